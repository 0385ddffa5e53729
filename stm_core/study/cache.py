"""What an executed page depends on, and the copies that are kept of it."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml

from stm_core.study.pages import Page
from stm_core.study.reachable import Library

PROVENANCE = "stm_core"
"""Entry of a notebook's metadata: what an executed copy was made from, or what a page says of itself."""

WRITTEN = ("checkpoints", "ship")
"""Parameters that name a folder to write into. Networks there are named after what they were trained with."""

_SHIPPED = ("data", "models")  # folders of notebooks/
_USUAL = 30.0  # seconds of a page that says nothing else


class NotebookFailed(RuntimeError):
    """A notebook raised: the message names the notebook, the cell, the error and where to read on."""


@dataclass(frozen=True)
class Inputs:
    """Digests of all that an executed copy of a page depends on.

    Attributes
    ----------
    settings : str
        Of the parameters alone: a copy supersedes another of the same settings.
    data : str
        Of the data and models that come with the study, and of all files that the parameters name.
    code : str
        Of the library's files that the page can reach, and of the pins.
    key : str
        Of all of these, the notebook and the interpreter.
    """

    settings: str
    data: str
    code: str
    key: str


def digest_of(paths: Sequence[Path], root: Path, *texts: str) -> str:
    """Hexadecimal digest of the named files (with their names) and texts, 16 characters."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    for path in paths:
        name = path.relative_to(root) if path.is_relative_to(root) else path.name
        digest.update(hashlib.sha256(str(name).encode()).digest())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def inputs_of(root: Path, page: Page) -> Inputs:
    """What ``page`` depends on now.

    Raises
    ------
    FileNotFoundError
        If a parameter names a file that is not there.
    NotebookFailed
        If a cell is not Python.
    """
    shipped = [path for room in _SHIPPED for path in _files(root / "notebooks" / room)]
    data = digest_of(shipped, root, *(digest_of(_files(path), path.parent) for path in _named(root, page)))
    notebook = nbformat.read(page.source, as_version=4)
    code = digest_of([*_reached(root, page.name, notebook), root / "constraints.txt"], root)
    given = yaml.safe_dump(dict(page.parameters))
    notebook.metadata.pop(PROVENANCE, None)  # what a page says of itself changes nothing that it computes
    key = digest_of([], root, nbformat.writes(notebook), data, code, given, sys.version)
    return Inputs(digest_of([], root, given)[:8], data, code, key)


def _files(path: Path) -> list[Path]:
    """The file itself, or all files below a folder."""
    return [path] if path.is_file() else sorted(inner for inner in path.rglob("*") if inner.is_file())


def _named(root: Path, page: Page) -> Iterator[Path]:
    """Files and folders that the values of a page's parameters name, those it writes into excepted."""
    for key, value in {**page.declared, **page.parameters}.items():
        words = value if isinstance(value, list) else [value]
        base = Path() if key in page.parameters else root
        for word in (word for word in words if isinstance(word, str) and word and key not in WRITTEN):
            if os.path.exists(base / word):
                yield (base / word).resolve()
            elif names_a_file(page, key):
                raise FileNotFoundError(f"{page.name}: there is no {key} {word}")


def names_a_file(page: Page, key: str) -> bool:
    """Whether a value of this parameter is a path: its default is empty, or it is written into."""
    return page.declared[key] == "" or key in WRITTEN


def _reached(root: Path, name: str, notebook: nbformat.NotebookNode) -> list[Path]:
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    try:
        return Library(root).reached_by(code)
    except SyntaxError as error:
        raise NotebookFailed(f"{name} holds a line that is not Python: {error.text}") from error


def copy_of(build: Path, page: Page, inputs: Inputs) -> Path:
    """Where the executed copy of a page made from these inputs is, or will be."""
    return build / "executed" / f"{page.name}-{inputs.settings}-{inputs.key}.ipynb"


def drop_superseded(copy: Path) -> None:
    """Delete the executed copies of the same page and settings that ``copy`` takes the place of."""
    alike = copy.stem.rsplit("-", 1)[0]
    for older in copy.parent.glob(f"{alike}-*.ipynb"):
        if older != copy:
            older.unlink()


def expected_seconds(build: Path, page: Page, inputs: Inputs) -> float:
    """What a page took last, at best with these settings, or else what its metadata say that it takes."""
    copies = [
        max(found, key=os.path.getmtime)
        for pattern in (f"{page.name}-{inputs.settings}-*.ipynb", f"{page.name}-*.ipynb")
        if (found := list((build / "executed").glob(pattern)))
    ]
    read = nbformat.read(copies[0] if copies else page.source, as_version=4)
    return float(read.metadata.get(PROVENANCE, {}).get("seconds", _USUAL))
