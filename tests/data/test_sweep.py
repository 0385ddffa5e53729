"""The resumable sweep: nothing lost, nothing repeated, and clear refusals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from stm_core.data import Sweep, SweepPlan, load_dataset, read_plan
from stm_core.simulation import GateScreenedCoulomb, HartreeFock, TightBinding, TwistedBilayer

SMALL = {"i": 2, "spacing": 2.6, "nk": 2}


def small_plan(**changes):
    return SweepPlan(**{"U": (0, 1.5, 3), "seed": (0, 1), **SMALL, **changes})


def test_samples_are_what_the_solver_gives(tmp_path):
    sweep = Sweep(small_plan(U=(3.0,), seed=(0,)), tmp_path)
    sweep.run(progress=False)
    ds = load_dataset(sweep.gather())
    problem = HartreeFock(TightBinding(TwistedBilayer(2, 2.6)), 3.0, GateScreenedCoulomb(), nk=2)
    state = problem.solve(seed=0, progress=False)
    assert float(ds.energy[0]) == pytest.approx(state.total_energy, abs=1e-9)
    assert float(ds.gap[0]) == pytest.approx(state.gap, abs=1e-9)
    np.testing.assert_allclose(ds.ldos[0], state.ldos(ds.bias.values, 0.005, layer="both"), rtol=1e-5)
    np.testing.assert_allclose(ds.charge[0], state.density.sum(axis=0), atol=1e-6)
    assert float(ds.order_staggered_spin[0]) == pytest.approx(state.order_parameters()["staggered_spin"])
    assert ds.levels.dims == ("sample", "spin", "kpoint", "level")


def test_a_second_run_computes_only_what_is_new(tmp_path):
    sweep = Sweep(small_plan(U=(0, 3)), tmp_path)
    sweep.run(progress=False)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    assert len(written) == 4
    larger = Sweep(small_plan(), tmp_path)
    assert {U for U, _, _ in larger.missing} == {1.5}
    larger.run(progress=False)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert len(list(tmp_path.glob("*.npz"))) == 6


def start_sweep(plan, folder):
    return subprocess.Popen(
        [sys.executable, "-m", "stm_core", "sweep", str(plan), "--out", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_killed_at_any_moment_it_loses_and_repeats_nothing(tmp_path):
    """SIGKILL after the first, a middle and a late sample; the result is that of an undisturbed run."""
    plan = small_plan(U=tuple(np.linspace(0, 5, 12)), i=3, spacing=2.7)
    file = tmp_path / "plan.yml"
    file.write_text(yaml.safe_dump({"U": list(plan.U), "seed": [0, 1], "i": 3, "spacing": 2.7, "nk": 2}))
    folder = tmp_path / "killed"
    finished: dict[Path, int] = {}
    for wanted in (1, 9, 20):
        process = start_sweep(file, folder)
        while len(list(folder.glob("*.npz"))) < wanted and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        after = {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
        assert finished.items() <= after.items()
        finished = after
    assert start_sweep(file, folder).wait() == 0
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    undisturbed = Sweep(plan, tmp_path / "undisturbed")
    undisturbed.run(progress=False)
    ours, theirs = load_dataset(folder / "dataset.nc"), load_dataset(undisturbed.gather())
    for name in ("ldos", "energy", "gap", "iterations", "charge"):
        # Another process may sum in another order: equal to the tolerance of the solver.
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-5)


def test_gather_waits_for_all_samples(tmp_path):
    sweep = Sweep(small_plan(), tmp_path)
    with pytest.raises(ValueError, match="6 of 6 samples are missing"):
        sweep.gather()


def test_a_folder_keeps_its_physics(tmp_path):
    Sweep(small_plan(U=(0,), seed=(0,)), tmp_path).run(progress=False)
    with pytest.raises(ValueError, match="other spacing"):
        Sweep(small_plan(spacing=2.7), tmp_path)
    Sweep(small_plan(U=(0.5,), filling=(1.0,)), tmp_path)


def test_unconverged_samples_are_kept_but_left_out(tmp_path):
    sweep = Sweep(small_plan(max_iterations=2), tmp_path)
    sweep.run(progress=False)
    path = sweep.gather()
    assert load_dataset(path, converged_only=False).sizes["sample"] == 6
    assert load_dataset(path).sizes["sample"] == 0
    assert not load_dataset(path, converged_only=False).ground.any()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("U: [0, 1]\ntwist: 9\n", "unknown keys twist; accepted keys are U, filling"),
        ("filling: [0]\n", "has no U"),
        ("- 1\n- 2\n", "not a YAML file of sweep parameters"),
        ("U: {a: [\n", "not a YAML file of sweep parameters"),
        ("U: [0, -1]\n", "U must be zero or positive"),
        ("U: []\n", "U as a list of at least one number"),
        ("U: [zero]\n", "needs numbers in U"),
        ("U: 3\n", "U as a list of at least one number"),
        ("U: [1]\nfilling: [5]\n", "between -4 and 4"),
        ("U: [1]\nseed: [-1]\n", "non-negative integer"),
        ("U: [1]\nseed: [0.5]\n", "non-negative integer"),
        ("U: [1]\ni: nine\n", "number for i, not 'nine'"),
        ("U: [1]\ni: 0\n", "twist index i must be a whole number of at least 1"),
        ("U: [1]\nnk: 0\n", "positive nk"),
        ("U: [1]\nepsilon: -1\n", "epsilon must be positive"),
    ],
)
def test_bad_plans_are_refused(tmp_path, content, message):
    path = tmp_path / "plan.yml"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_plan(path)


def test_no_such_plan(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no plan"):
        read_plan(tmp_path / "none.yml")


def test_a_plan_reads_back(tmp_path):
    path = tmp_path / "plan.yml"
    path.write_text("U: [3, 0, 3]\nseed: [1]\ni: 2\nspacing: 2.6\n")
    plan = read_plan(path)
    assert plan.U == (0.0, 3.0)
    assert plan.tasks == [(0.0, 0.0, 1), (3.0, 0.0, 1)]
    assert len(plan.bias) == 13
