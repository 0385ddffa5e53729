"""The executed notebooks and what they glued."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.tiny_study import executed

GLUED = "scrapbook"
STORED = "application/papermill.record/text/plain"


@pytest.fixture(scope="session")
def notebooks(small_dataset_path: Path) -> dict[str, nbformat.NotebookNode]:
    """Every notebook, executed on the small cell with the parameters of tiny.yml."""
    return executed(small_dataset_path)


@pytest.fixture(scope="session")
def glued(notebooks: dict[str, nbformat.NotebookNode]) -> Callable[[str], dict[str, Any]]:
    """Values that a notebook glued into its prose, by key; figures are left out."""

    def of(name: str) -> dict[str, Any]:
        values = {}
        for cell in notebooks[name].cells:
            for output in cell.get("outputs", []):
                key = output.get("metadata", {}).get(GLUED, {}).get("name")
                text = output.get("data", {}).get(STORED) or output.get("data", {}).get("text/plain")
                if key and text:
                    values[key] = _value(text)
        return values

    return of


def _value(text: str) -> Any:
    if text.startswith("np."):  # NumPy 2 writes its scalars as np.float64(0.1)
        text = text.split("(", 1)[1].rstrip(")")
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
