"""The table of contents: what ``book/_toc.yml`` lists, and the chapters that notebooks are.

A notebook says in its metadata where it stands, ``"stm_core": {"part": …, "tiny": {…}}``: the caption of its
part, and the parameters with which the tests run it on a small cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import yaml

from stm_core.study.pages import notebooks


def said_of_itself(source: Path) -> Mapping[str, Any]:
    """What a notebook's metadata say of its place in the study; empty if nothing."""
    return nbformat.read(source, as_version=4).metadata.get("stm_core", {})


def contents(root: Path) -> dict[str, Any]:
    """The table of contents of a checkout as jupyter-book reads it: notebooks first in each part, by number.

    Raises
    ------
    ValueError
        If a notebook names no part of ``book/_toc.yml``.
    """
    table = yaml.safe_load((root / "book" / "_toc.yml").read_text(encoding="utf-8"))
    chapters: dict[str, list[dict[str, str]]] = {part["caption"]: [] for part in table["parts"]}
    for source in notebooks(root):
        part = said_of_itself(source).get("part")
        if part not in chapters:
            raise ValueError(
                f"{source.name} stands in part {part!r} by its metadata stm_core.part; "
                f"the parts of book/_toc.yml are {', '.join(chapters)}"
            )
        chapters[part].append({"file": f"notebooks/{source.stem}"})
    parts = [
        {**part, "chapters": chapters[part["caption"]] + part.get("chapters", [])} for part in table["parts"]
    ]
    return {**table, "parts": [part for part in parts if part["chapters"]]}
