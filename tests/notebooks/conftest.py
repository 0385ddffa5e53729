"""The executed notebooks and what they glued."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from stm_core.study.claims import glued_values
from tests.tiny_study import executed


@pytest.fixture(scope="session")
def notebooks(study_dataset_path: Path) -> dict[str, nbformat.NotebookNode]:
    """Every notebook, executed on the small cell with the parameters of its metadata."""
    return executed(study_dataset_path)


@pytest.fixture(scope="session")
def glued(notebooks: dict[str, nbformat.NotebookNode]) -> Callable[[str], dict[str, Any]]:
    """Values that a notebook glued into its prose, by key; figures are left out."""
    return lambda name: glued_values(notebooks[name])
