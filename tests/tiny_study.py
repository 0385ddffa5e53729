"""The whole study on tiny parameters: each notebook run on a small cell, and the book built from them."""

import tempfile
from functools import cache
from pathlib import Path

import nbformat
import yaml

from stm_core.study import CHECKOUT, run_study
from stm_core.study.contents import contents, said_of_itself
from stm_core.study.pages import notebooks

NOTEBOOKS = notebooks(CHECKOUT)
CONTENTS = contents(CHECKOUT)
PAGES = [CONTENTS["root"], *(page["file"] for part in CONTENTS["parts"] for page in part["chapters"])]
TINY = {path.stem: dict(said_of_itself(path).get("tiny", {})) for path in NOTEBOOKS}
"""Parameters of each notebook for the 76-atom cell (i = 2) and few training epochs, as its metadata say."""


@cache
def html_of(dataset: Path) -> Path:
    """Folder of the book built on ``dataset``; made once, whichever test asks first."""
    output = Path(tempfile.mkdtemp(prefix="study-", dir=dataset.parent))
    profile = output / "tiny.yml"
    profile.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return run_study(output=output, profile=str(profile), overrides={"dataset": str(dataset)}).parent


def executed(dataset: Path) -> dict[str, nbformat.NotebookNode]:
    """The executed notebooks by name, as the book's pages were made from them."""
    staged = html_of(dataset).parent / "src" / "notebooks"
    return {path.stem: nbformat.read(staged / path.name, as_version=4) for path in NOTEBOOKS}
