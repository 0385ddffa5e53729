"""Rules that every notebook keeps as a file, before it is ever run."""

import ast
import re
from pathlib import Path

import nbformat
import papermill
import pytest

from tests.tiny_study import NOTEBOOKS, PAGES

LONGEST_CELL = 25  # lines
PARTS = (
    "*What to see:*",
    "## What we learned",
    "*What is uncertain:*",
    "## Exercises",
    "{dropdown} Solutions",
)
# A live Output area answers its kernel while a cell runs, which can stall an unattended run.
LIVE_OUTPUT = ("interact", "interactive", "interactive_output", "Output")


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code(path: Path) -> list[str]:
    return [cell.source for cell in read(path).cells if cell.cell_type == "code"]


def prose(path: Path) -> str:
    return "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def parameters_cell(path: Path) -> str:
    (cell,) = [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]
    return cell.source


def defaults(path: Path) -> dict[str, object]:
    return {
        statement.targets[0].id: ast.literal_eval(statement.value)
        for statement in ast.parse(parameters_cell(path)).body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }


def figures(source: str) -> float:
    """How many figures a cell shows; in a loop, any number."""
    tree = ast.parse(source)
    found = {id(node): 1.0 for node in ast.walk(tree) if _shows(node)}
    for loop in ast.walk(tree):
        if isinstance(loop, ast.For | ast.While | ast.FunctionDef | ast.ListComp | ast.GeneratorExp):
            found |= {id(node): float("inf") for node in ast.walk(loop) if _shows(node)}
    return sum(found.values())


def _shows(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "show"


@pytest.mark.parametrize(
    "source, count",
    [
        ("show(a)", 1),
        ("show(a) if a else None", 1),
        ("show(a)\nshow(b)", 2),
        ("for a in b:\n    show(a)", float("inf")),
        ("[show(a) for a in b]", float("inf")),
        ("explorer(a)", 0),
    ],
)
def test_figures_of_a_cell_are_counted(source, count):
    assert figures(source) == count


def test_the_study_is_numbered_without_gaps_and_is_in_the_contents():
    assert [int(path.stem[:2]) for path in NOTEBOOKS] == list(range(len(NOTEBOOKS)))
    of_notebooks = [page for page in PAGES if page.startswith("notebooks/")]
    assert of_notebooks == [f"notebooks/{path.stem}" for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestEachNotebook:
    def test_is_valid_and_its_cells_have_names(self, path):
        notebook = read(path)
        nbformat.validate(notebook)
        assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
        assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
        assert notebook.metadata.kernelspec.name == "python3"

    def test_stores_no_results(self, path):
        for cell in read(path).cells:
            assert not cell.get("outputs")
            assert cell.get("execution_count") is None

    def test_has_one_parameters_cell_of_plain_assignments(self, path):
        statements = ast.parse(parameters_cell(path)).body
        assert statements
        assert all(isinstance(statement, ast.Assign) for statement in statements)
        assert set(papermill.inspect_notebook(str(path))) == set(defaults(path))

    def test_has_short_cells(self, path):
        assert max(len(source.splitlines()) for source in code(path)) <= LONGEST_CELL

    def test_opens_with_its_title_and_ends_in_words(self, path):
        cells = read(path).cells
        assert cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")
        assert cells[-1].cell_type == "markdown"

    def test_leaves_shared_functions_to_the_library(self, path):
        cells = [ast.parse(source) for source in code(path)]
        for position, tree in enumerate(cells):
            defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
            elsewhere = {
                node.id
                for other, tree in enumerate(cells)
                if other != position
                for node in ast.walk(tree)
                if isinstance(node, ast.Name)
            }
            assert not defined & elsewhere

    def test_shows_widgets_only_where_they_work(self, path):
        names = {
            node.id if isinstance(node, ast.Name) else node.attr
            for source in code(path)
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Name | ast.Attribute)
        }
        assert not names & set(LIVE_OUTPUT)


def test_pages_that_share_networks_share_their_defaults():
    seen: dict[str, object] = {}
    for path in NOTEBOOKS:
        declared = defaults(path)
        if "checkpoints" in declared:
            for name, value in declared.items():
                assert seen.setdefault(name, value) == value, (path.stem, name)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestEachChapter:
    def test_has_all_parts(self, path):
        text = prose(path)
        assert "?" in read(path).cells[0].source, "a question"
        assert "objection" in text.lower()
        assert [part for part in PARTS if part not in text] == []
        assert f"papermill notebooks/{path.name} out.ipynb -" in text

    def test_says_below_each_figure_what_to_see(self, path):
        cells = read(path).cells
        for place, cell in enumerate(cells):
            if cell.cell_type != "code" or not (shown := figures(cell.source)):
                continue
            below = next(place for place in range(place + 1, len(cells)) if cells[place].cell_type != "code")
            assert shown == 1, f"{cell.id} shows several figures"
            assert not any(figures(other.source) for other in cells[place + 1 : below]), cell.id
            told = cells[below].source.split("\n## ")[0].count("*What to see:*")
            assert told == 1, f"{cell.id} has {told} captions"

    def test_refers_to_each_of_its_numbered_equations(self, path):
        text = prose(path)
        labels = re.findall(r"\$\$ \(([\w-]+)\)", text)
        assert labels
        assert [label for label in labels if f"{{eq}}`{label}`" not in text] == []
        assert text.count("$$") == 2 * len(labels), "an equation without a number"

    def test_links_to_the_library(self, path):
        assert re.search(r"\{(?:func|class)\}`~?stm_core\.", prose(path))

    def test_solves_each_of_its_exercises(self, path):
        exercises = prose(path).split("## Exercises")[1].split("\n## ")[0]
        asked, solved = exercises.split("````{dropdown} Solutions")
        numbers = [re.findall(r"^(\d)\. ", part, re.MULTILINE) for part in (asked, solved)]
        assert numbers[0] == numbers[1]
        assert len(numbers[0]) >= 2
