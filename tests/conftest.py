"""Data that several rooms test with: a real sweep of a small twisted bilayer."""

from pathlib import Path

import pytest

from stm_core.data import Sweep, SweepPlan


@pytest.fixture(scope="session")
def small_dataset_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hartree-Fock sweep of the 76-atom cell (i = 2) at six integer and five fractional U."""
    plan = SweepPlan(U=(0, 0.6, 1, 1.6, 2, 2.4, 3, 3.5, 4, 4.5, 5), seed=(0, 1), i=2, spacing=2.6, nk=2)
    sweep = Sweep(plan, tmp_path_factory.mktemp("sweep"))
    sweep.run(progress=False)
    return sweep.gather()
