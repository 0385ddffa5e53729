"""How much code a page shows: short pieces, longer ones behind a button, no bookkeeping."""

from __future__ import annotations

import ast

from nbformat import NotebookNode

_SHORT, _NARROW = 6, 84  # lines and columns that a reader takes in at a glance
_GLUED = "application/papermill.record/"  # kind of a value that is kept for the text and not shown
_SETTLED = {"hide-input", "remove-input", "hide-cell", "remove-cell"}


def fold_code(notebook: NotebookNode) -> None:
    """Tag the code cells of an executed notebook for its page; their outputs stay.

    A cell of imports alone loses its code, and so does one that shows nothing, glues values into the text and
    computes nothing that a later cell uses. Any other that glues, or is longer or wider than a glance,
    hides its code behind a button.

    Parameters
    ----------
    notebook : NotebookNode
        Executed notebook, changed in place. Cells that carry a tag about their code already are left alone.

    Raises
    ------
    SyntaxError
        If a cell is not Python.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    trees = [ast.parse(cell.source) for cell in cells]
    for place, (cell, tree) in enumerate(zip(cells, trees, strict=True)):
        tags = cell.metadata.get("tags", [])
        if _SETTLED & set(tags):
            continue
        later = set().union(*map(_needed, trees[place + 1 :]))
        if _only_imports(tree) or (_only_glues(cell, tree) and not _names(tree, ast.Store) & later):
            cell.metadata["tags"] = [*tags, "remove-input"]
        elif _glues(tree) or not _at_a_glance(cell.source):
            cell.metadata["tags"] = [*tags, "hide-input"]


def _only_imports(tree: ast.Module) -> bool:
    return all(isinstance(statement, ast.Import | ast.ImportFrom) for statement in tree.body)


def _only_glues(cell: NotebookNode, tree: ast.Module) -> bool:
    kinds = (kind for output in cell.get("outputs", []) for kind in output.get("data", {"text": ""}))
    return _glues(tree) and all(kind.startswith(_GLUED) for kind in kinds)


def _at_a_glance(source: str) -> bool:
    lines = source.splitlines()
    return len(lines) <= _SHORT and all(len(line) <= _NARROW for line in lines)


def _glues(tree: ast.Module) -> bool:
    called = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(isinstance(function, ast.Name) and function.id == "glue" for function in called)


def _needed(tree: ast.Module) -> set[str]:
    """Names that a cell reads and gives no value itself."""
    return _names(tree, ast.Load) - _names(tree, ast.Store)


def _names(tree: ast.Module, context: type[ast.expr_context]) -> set[str]:
    """Names that code reads (``ast.Load``) or gives a value (``ast.Store``)."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return {node.id for node in nodes if isinstance(node.ctx, context)}
