"""Every notebook runs on the small cell, quietly, and its numbers are the ones that the library gives."""

import numbers

import numpy as np
import pytest

from tests.tiny_study import NOTEBOOKS

NAMES = [path.stem for path in NOTEBOOKS]


@pytest.mark.parametrize("name", NAMES)
def test_runs_without_a_word_on_standard_error(notebooks, name):
    outputs = [output for cell in notebooks[name].cells for output in cell.get("outputs", [])]
    assert outputs
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_in_its_prose_are_finite(glued, name):
    values = glued(name)
    assert values
    assert all(np.isfinite(value) for value in values.values() if isinstance(value, numbers.Real))


@pytest.mark.parametrize("name", NAMES)
def test_what_only_a_kernel_can_draw_stays_out_of_the_page(notebooks, name):
    kinds = {
        kind
        for cell in notebooks[name].cells
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
    }
    assert not any("widget" in kind for kind in kinds)
