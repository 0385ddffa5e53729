"""The whole study on tiny parameters: each notebook run on a small cell, and the book built from them."""

import tempfile
from functools import cache
from pathlib import Path

import nbformat
import yaml

from stm_core.study import CHECKOUT, run_study

NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
CONTENTS = yaml.safe_load((CHECKOUT / "book" / "_toc.yml").read_text(encoding="utf-8"))
PAGES = [CONTENTS["root"], *(page["file"] for part in CONTENTS["parts"] for page in part["chapters"])]
PROFILE = Path(__file__).parent / "notebooks" / "tiny.yml"


@cache
def html_of(dataset: Path) -> Path:
    """Folder of the book built on ``dataset``; made once, whichever test asks first."""
    output = Path(tempfile.mkdtemp(prefix="study-", dir=dataset.parent))
    return run_study(output=output, profile=str(PROFILE), overrides={"dataset": str(dataset)}).parent


def executed(dataset: Path) -> dict[str, nbformat.NotebookNode]:
    """The executed notebooks by name, as the book's pages were made from them."""
    staged = html_of(dataset).parent / "src" / "notebooks"
    return {path.stem: nbformat.read(staged / path.name, as_version=4) for path in NOTEBOOKS}
