"""What several rooms test with: a real sweep of a small twisted bilayer, and a real browser."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from stm_core.data import Sweep, SweepPlan, joined, load_dataset
from stm_core.data.store import write_dataset

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="session")
def small_dataset_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hartree-Fock sweep of the 76-atom cell (i = 2) at six integer and five fractional U."""
    plan = SweepPlan(U=(0, 0.6, 1, 1.6, 2, 2.4, 3, 3.5, 4, 4.5, 5), seed=(0, 1), i=2, spacing=2.6, nk=2)
    sweep = Sweep(plan, tmp_path_factory.mktemp("sweep"))
    sweep.run(progress=False)
    return sweep.gather()


@pytest.fixture(scope="session")
def study_dataset_path(small_dataset_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with states of another filling, as the sweep of the study has them."""
    folder = tmp_path_factory.mktemp("doped")
    sweep = Sweep(SweepPlan(U=tuple(range(6)), filling=(-2,), seed=(4,), i=2, spacing=2.6, nk=2), folder)
    sweep.run(progress=False)
    both = joined(load_dataset(small_dataset_path), load_dataset(sweep.gather()))
    write_dataset(both, folder / "both.nc")
    return folder / "both.nc"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        reason = f"no browser on this machine: install one of {', '.join(BROWSERS)}"
        (pytest.fail if os.environ.get("STM_REQUIRE_BROWSER") else pytest.skip)(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()
