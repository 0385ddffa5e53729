"""What a page shows of its code: pieces that can be read at a glance, and a button for the rest."""

import nbformat
import pytest

from stm_core.study.folding import fold_code
from tests.tiny_study import NOTEBOOKS

GLUED = {"application/papermill.record/text/plain": "3"}
IMPORTS = "import numpy as np\nfrom myst_nb import glue"
SHORT = "a = 1\nb = 2\nb"
LONG = "\n".join(f"a{n} = {n}" for n in range(7))
LAST = "print(total)"


def folded(*cells: tuple[str, dict[str, str] | None] | str) -> list[set[str]]:
    """Tags of code cells, each given by its source and what it put out."""
    notebook = nbformat.v4.new_notebook()
    for cell in cells:
        source, data = cell if isinstance(cell, tuple) else (cell, None)
        outputs = [nbformat.v4.new_output("display_data", data)] if data else []
        notebook.cells.append(nbformat.v4.new_code_cell(source, outputs=outputs))
    fold_code(notebook)
    assert [bool(cell.outputs) for cell in notebook.cells] == [isinstance(cell, tuple) for cell in cells]
    return [set(cell.metadata.get("tags", [])) for cell in notebook.cells]


@pytest.mark.parametrize(
    "cell, expected",
    [
        (IMPORTS, {"remove-input"}),
        (SHORT, set()),
        (LONG, {"hide-input"}),
        (f"a = '{90 * 'x'}'\na", {"hide-input"}),
        (("mean = 3\nglue('mean', mean)", GLUED), {"remove-input"}),
        (("total = 3\nglue('total', total)", GLUED), {"hide-input"}),
        (("glue('mean', 3)\nshow(figure)", {"image/png": "aaaa"}), {"hide-input"}),
        ((f"glue('mean', 3)\n{SHORT}", {"text/plain": "2"}), {"hide-input"}),
    ],
)
def test_a_cell_shows_no_more_than_is_worth_reading(cell, expected):
    assert folded(cell, LAST)[0] == expected


def test_what_an_earlier_cell_used_is_not_needed_any_more():
    assert folded(LAST, ("total = 3\nglue('total', total)", GLUED))[1] == {"remove-input"}


def test_a_cell_that_has_its_tag_keeps_it():
    cell = nbformat.v4.new_code_cell(LONG, metadata={"tags": ["remove-cell"]})
    fold_code(nbformat.v4.new_notebook(cells=[cell]))
    assert cell.metadata["tags"] == ["remove-cell"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_page_opens_with_bookkeeping(path):
    notebook = nbformat.read(path, as_version=4)
    fold_code(notebook)
    bare = [cell.source for cell in notebook.cells if cell.cell_type == "code" and not _put_away(cell)]
    assert not any("glue(" in source for source in bare)
    lines = [source.splitlines() for source in bare]
    assert all(len(source) <= 6 and max(map(len, source)) <= 84 for source in lines)


def _put_away(cell: nbformat.NotebookNode) -> bool:
    return bool({"hide-input", "remove-input", "remove-cell"} & set(cell.metadata.get("tags", [])))
