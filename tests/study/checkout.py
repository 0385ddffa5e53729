"""A checkout with two small notebooks, for the runner to run."""

import re
import shutil
from html import unescape
from pathlib import Path

import nbformat

from stm_core.study import CHECKOUT

PARAMETERS = {
    "00_first": 'U = 3.0  # eV\nsteps = 5\ndataset = ""',
    "01_second": 'seed = 0\nU = 1.0  # eV\ncheckpoints = "_build/checkpoints"',
}

CALLS = {
    "00_first": 'from myst_nb import glue\nglue("doubled", 2 * U, display=False)',
    "01_second": "from myst_nb import glue\nimport stm_core.viewing\n"
    "glue('place', checkpoints, display=False)\nprint(U, seed)",
}

TOC = (
    "format: jb-book\nroot: book/intro\nparts:\n- caption: Empty\n- caption: All\n"
    "  chapters:\n  - file: book/claims\n"
)

CLAIMS = """
- {page: notebooks/00_first, says: Twice is more., holds: doubled > 7}
- {page: book/intro, says: Half of it is U., holds: 1 < doubled / 2 < 10}
"""

INTRO = "# Cover\n\nTwice U is {glue:text}`../notebooks/00_first.ipynb::doubled:.2f` eV.\n"


def write_notebook(root: Path, name: str, calls: str, part: str = "All") -> None:
    cells = [
        nbformat.v4.new_markdown_cell(f"# {name}"),
        nbformat.v4.new_code_cell(PARAMETERS[name], metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(calls),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "stm_core": {"part": part}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")


def write_checkout(root: Path) -> None:
    """All that a study needs, as small as it can be."""
    (root / "notebooks" / "profiles").mkdir(parents=True)
    (root / "notebooks" / "data").mkdir()
    (root / "notebooks" / "data" / "sweep.nc").write_bytes(b"one")
    (root / "notebooks" / "models").mkdir()
    (root / "notebooks" / "models" / "bragg.pt").write_bytes(b"one")
    (root / "notebooks" / "profiles" / "quick.yml").write_text("every_page: {U: 4}\n01_second: {seed: 7}\n")
    for name, calls in CALLS.items():
        write_notebook(root, name, calls)
    (root / "book").mkdir()
    for kept in ("_static", "_ext", "_templates", "references.bib"):
        copy = shutil.copytree if (CHECKOUT / "book" / kept).is_dir() else shutil.copy
        copy(CHECKOUT / "book" / kept, root / "book" / kept)
    (root / "book" / "_toc.yml").write_text(TOC)
    (root / "book" / "intro.md").write_text(INTRO)
    (root / "book" / "claims.md").write_text("# Claims\n")
    (root / "book" / "claims.yml").write_text(CLAIMS)
    shutil.copy(CHECKOUT / "_config.yml", root)
    (root / "constraints.txt").write_text("numpy==2.0\n")
    for room in ("learning", "viewing", "insight"):
        (root / "stm_core" / room).mkdir(parents=True)
        (root / "stm_core" / room / "__init__.py").write_text("from . import code\n")
        (root / "stm_core" / room / "code.py").write_text("")
    (root / "stm_core" / "__init__.py").write_text("")
    (root / "stm_core" / "viewing" / "code.py").write_text("def draw():\n    import stm_core.learning.code\n")


def page(root: Path, name: str) -> str:
    return (root / "_build" / "html" / f"{name}.html").read_text()


def words(root: Path, name: str) -> str:
    """What a reader of the page sees."""
    return " ".join(unescape(re.sub("<[^>]+>", "", page(root, name))).split())
