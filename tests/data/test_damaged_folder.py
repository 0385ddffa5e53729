"""Files of a sweep's folder that no run wrote, or not to the end: each is named."""

import re

import numpy as np
import pytest
from filelock import FileLock

from stm_core.data import Sweep, SweepPlan
from stm_core.data.progress import failure_path
from stm_core.data.sample import sample_path


@pytest.fixture
def sweep(tmp_path):
    return Sweep(SweepPlan(U=(0, 1.5, 3), seed=(0, 1), i=2, spacing=2.6, nk=2), tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", "3"])
def test_a_damaged_failure_is_named(sweep, tmp_path, content):
    path = failure_path(tmp_path, sweep.plan.tasks[0])
    path.write_text(content)
    with pytest.raises(ValueError, match=re.escape(f"{path} is damaged; delete it, and the sweep")):
        sweep.status()


def test_an_array_in_place_of_a_sample_is_named(sweep, tmp_path):
    with open(sample_path(tmp_path, sweep.plan.tasks[0]), "wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(ValueError, match=r"npz is damaged; delete it"):
        sweep.status()


@pytest.mark.parametrize("line", ["3", "{}", '{"time": "now"}', '{"event": ["run"]}', "9" * 5000])
def test_a_line_that_no_run_wrote_is_left_out(sweep, tmp_path, line):
    (tmp_path / "log.jsonl").write_text(line + "\n")
    with FileLock(tmp_path / ".lock"):
        assert sweep.status().missing == 6


@pytest.mark.parametrize("entries", ["", ', "workers": 1, "time": 3', ', "workers": 1, "time": "2026-01-01"'])
def test_a_damaged_beginning_in_the_log_is_named(sweep, tmp_path, entries):
    (tmp_path / "log.jsonl").write_text('{"event": "run"' + entries + "}\n")
    with FileLock(tmp_path / ".lock"), pytest.raises(ValueError, match=r"log\.jsonl has a damaged line"):
        sweep.status()
