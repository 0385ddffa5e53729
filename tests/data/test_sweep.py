"""The resumable sweep: nothing lost, nothing repeated, and clear refusals."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr
import yaml
from filelock import FileLock

from stm_core.data import Sweep, SweepPlan, load_dataset
from stm_core.data import sample as sample_module
from stm_core.data.chains import Chain
from stm_core.data.plan import Task
from stm_core.data.workers import fitting_workers, sample_memory
from stm_core.simulation import (
    GateScreenedCoulomb,
    HartreeFock,
    HartreeFockState,
    TightBinding,
    TwistedBilayer,
)

SMALL = {"i": 2, "spacing": 2.6, "nk": 2}


def small_plan(**changes):
    return SweepPlan(**{"U": (0, 1.5, 3), "seed": (0, 1), **SMALL, **changes})


def run_and_gather(plan, folder):
    sweep = Sweep(plan, folder)
    sweep.run(progress=False)
    return sweep.gather()


def written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}


@pytest.fixture
def broken_at(monkeypatch):
    """Make the samples at one U fail, as a diagonalisation may."""
    solve = HartreeFock.solve

    def use(U):
        def sometimes(problem, **options):
            if U == problem.U:
                raise FloatingPointError("the mean field is not finite")
            return solve(problem, **options)

        monkeypatch.setattr(HartreeFock, "solve", sometimes)

    return use


def test_samples_are_what_the_solver_gives(tmp_path):
    ds = load_dataset(run_and_gather(small_plan(U=(3.0,), seed=(0,)), tmp_path))
    problem = HartreeFock(TightBinding(TwistedBilayer(2, 2.6)), 3.0, GateScreenedCoulomb(), nk=2)
    state = problem.solve(seed=0, progress=False)
    assert float(ds.energy[0]) == pytest.approx(state.total_energy, abs=1e-9)
    assert float(ds.gap[0]) == pytest.approx(state.gap, abs=1e-9)
    np.testing.assert_allclose(ds.ldos[0], state.ldos(ds.bias.values, 0.005, layer="both"), rtol=2e-5)
    np.testing.assert_allclose(ds.charge[0], state.density.sum(axis=0), atol=1e-6)
    assert float(ds.order_staggered_spin[0]) == pytest.approx(state.order_parameters()["staggered_spin"])
    assert ds.levels.dims == ("sample", "spin", "kpoint", "level")


def test_a_warm_chain_starts_from_the_states_before(tmp_path):
    plan = small_plan(U=(0, 1.5, 3), seed=(1,), warm=True)
    ds = load_dataset(run_and_gather(plan, tmp_path))
    assert ds.previous_U.values.tolist() == [-1, 0, 1.5]
    problem = HartreeFock(TightBinding(TwistedBilayer(2, 2.6)), 0.0, GateScreenedCoulomb(), nk=2)
    states = []
    for index, U in enumerate(plan.U):
        state = problem.at(U).solve(seed=1, start=states or None, progress=False)
        states.append(state)
        assert float(ds.energy[index]) == pytest.approx(state.total_energy, abs=1e-8)
        assert int(ds.iterations[index]) == state.iterations
    assert not list((tmp_path / "states").iterdir())


def test_a_second_run_computes_only_what_is_new(tmp_path):
    sweep = Sweep(small_plan(U=(0, 3)), tmp_path)
    sweep.run(progress=False)
    before = written(tmp_path)
    assert len(before) == 4
    larger = Sweep(small_plan(blocks=[{"U": [0], "seed": [2]}]), tmp_path)
    assert larger.missing == [(1.5, 0, 0), (1.5, 0, 1), (0, 0, 2)]
    larger.run(progress=False)
    assert before.items() <= written(tmp_path).items()
    assert len(written(tmp_path)) == 7


@pytest.mark.parametrize(("warm", "moments"), [(True, 20), (False, 5)])
def test_killed_at_random_moments_it_ends_as_if_undisturbed(tmp_path, warm, moments):
    """SIGKILL at random moments of a run, from its start to its gathering; whoever ends is compared."""
    plan = SweepPlan(U=tuple(range(6)), seed=(0, 1), i=1, spacing=2.7, warm=warm)
    expected = run_and_gather(plan, tmp_path / "undisturbed").read_bytes()
    began = time.perf_counter()
    run_and_gather(plan, tmp_path / "timed")
    duration = time.perf_counter() - began
    rng = np.random.default_rng(0)
    forking = multiprocessing.get_context("fork")  # a process that has imported everything already
    folder, kills, ended = tmp_path / "killed0", 0, 0
    while kills < moments or ended == 0:
        process = forking.Process(target=run_and_gather, args=(plan, folder))
        process.start()
        process.join(rng.uniform(0, duration))
        if process.exitcode is None:
            process.kill()
            process.join()
            kills += 1
            continue
        assert process.exitcode == 0
        assert (folder / "dataset.nc").read_bytes() == expected
        assert not list(folder.rglob("*.part")) and not list((folder / "states").iterdir())
        ended += 1
        folder = tmp_path / f"killed{ended}"


def test_the_command_killed_in_the_middle_goes_on(tmp_path):
    plan = {"U": {"from": 0, "to": 5.5, "step": 0.5}, "i": 2, "spacing": 2.6, "nk": 2, "warm": True}
    (tmp_path / "plan.yml").write_text(yaml.safe_dump(plan))
    folder = tmp_path / "out"
    command = [sys.executable, "-m", "stm_core", "sweep", str(tmp_path / "plan.yml"), "--out", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while len(list(folder.glob("*.npz"))) < 5 and process.poll() is None:
            time.sleep(0.002)
        assert "running" in str(Sweep(SweepPlan(**plan), folder).status())
        process.kill()
    before = written(folder)
    assert 5 <= len(before) < 12
    sweep = Sweep(SweepPlan(**plan), folder)
    sweep.run(progress=False)
    assert before.items() <= written(folder).items()
    assert sweep.gather().read_bytes() == run_and_gather(sweep.plan, tmp_path / "undisturbed").read_bytes()


def test_a_sample_is_there_only_when_its_state_is(tmp_path, monkeypatch):
    """Killed between the two files, the sample is computed again."""
    plan = small_plan(U=(0, 1.5), seed=(0,), warm=True)

    def killed(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(sample_module, "replacing", killed)
    with pytest.raises(KeyboardInterrupt):
        Sweep(plan, tmp_path).run(progress=False)
    assert not written(tmp_path) and len(list((tmp_path / "states").iterdir())) == 1
    monkeypatch.undo()
    assert run_and_gather(plan, tmp_path).exists()


def test_gather_waits_for_all_samples_unless_told_otherwise(tmp_path):
    sweep = Sweep(small_plan(), tmp_path)
    with pytest.raises(ValueError, match="6 of 6 samples are missing"):
        sweep.gather()
    with pytest.raises(ValueError, match="none of the 6 samples has been computed"):
        sweep.gather(missing_ok=True)
    Sweep(small_plan(U=(1.5,)), tmp_path).run(progress=False)
    assert load_dataset(sweep.gather(missing_ok=True)).U.values.tolist() == [1.5, 1.5]


def test_only_one_run_works_in_a_folder(tmp_path):
    with (
        FileLock(tmp_path / ".lock"),
        pytest.raises(RuntimeError, match="another run is at work"),
    ):
        Sweep(small_plan(), tmp_path).run(progress=False)


def test_unconverged_samples_are_kept_marked_and_retried_on_request(tmp_path, caplog):
    patient = load_dataset(run_and_gather(small_plan(), tmp_path / "patient"))
    shortest, folder = int(patient.iterations.min()), tmp_path / "hasty"
    hasty = Sweep(small_plan(max_iterations=shortest), folder)
    hasty.run(progress=False)
    status = hasty.status()
    assert status.done == int((patient.iterations == shortest).sum()) < 6
    assert all(f"after {shortest} iterations" in reason for reason in status.problems.values())
    assert all(task.name in caplog.text for task in status.problems)
    everything = load_dataset(hasty.gather(), converged_only=False)
    assert everything.sizes["sample"] == 6
    assert load_dataset(hasty.gather()).sizes["sample"] == status.done
    assert not everything.ground.values[~everything.converged.values].any()

    longer, before = Sweep(small_plan(), folder), written(folder)
    longer.run(progress=False)
    assert written(folder) == before
    longer.run(progress=False, retry_failed=True)
    assert len(written(folder).items() - before.items()) == len(status.problems)
    xr.testing.assert_identical(load_dataset(longer.gather()), patient)


def test_failed_samples_are_listed_and_retried_on_request(tmp_path, broken_at, monkeypatch, caplog):
    plan = small_plan(warm=True)
    sweep = Sweep(plan, tmp_path)
    broken_at(1.5)
    sweep.run(progress=False)
    status = sweep.status()
    assert set(status.problems) == {(1.5, 0, 0), (1.5, 0, 1)}
    assert set(status.problems.values()) == {"FloatingPointError: the mean field is not finite"}
    assert "U1.50000_filling+0.000_seed0: FloatingPointError" in caplog.text
    ds = load_dataset(sweep.gather())
    assert ds.U.values.tolist() == [0, 3, 0, 3]
    assert ds.previous_U.values.tolist() == [-1, 0, -1, 0]  # passed over, the chain goes on

    monkeypatch.undo()
    sweep.run(progress=False)
    assert len(sweep.status().problems) == 2
    sweep.run(progress=False, retry_failed=True)
    assert not sweep.status().problems
    assert load_dataset(sweep.gather()).previous_U.values.tolist() == [-1, 0, 0, -1, 0, 0]
    assert not list((tmp_path / "states").iterdir())


def test_a_lost_state_is_made_again(tmp_path, broken_at, monkeypatch):
    plan = small_plan(seed=(0,), warm=True)
    expected = run_and_gather(plan, tmp_path / "undisturbed").read_bytes()
    folder = tmp_path / "disturbed"
    broken_at(3.0)
    Sweep(plan, folder).run(progress=False)
    first, second = sorted((folder / "states").iterdir())
    assert [HartreeFockState.load(state).U for state in (first, second)] == [0, 1.5]
    first.unlink()
    monkeypatch.undo()
    sweep = Sweep(plan, folder)
    sweep.run(progress=False, retry_failed=True)
    assert sweep.gather().read_bytes() == expected


def test_an_extrapolation_does_not_reach_far(tmp_path):
    tasks = tuple(Task(U, 0.0, 0) for U in (0.0, 1.0, 2.0, 3.0, 3.01, 3.5, 4.0))
    chain = Chain(tmp_path, tasks)
    for _ in tasks:
        chain.finish(converged=True)
    starts = [[other.U for other in chain.previous(task)] for task in tasks]
    assert starts == [[], [0], [0, 1], [0, 1, 2], [1, 2, 3], [3.01], [3.01, 3.5]]


def test_unevenly_spaced_samples_find_their_states(tmp_path):
    plan = small_plan(U=(0, 1, 2, 2.01, 2.5, 3), seed=(0,), warm=True)
    sweep = Sweep(plan, tmp_path)
    sweep.run(progress=False)
    assert not sweep.status().problems
    assert sweep.status().done == 6


def test_a_full_disk_stops_the_run_and_blames_no_sample(tmp_path, monkeypatch):
    def full(*arguments, **named):
        raise OSError(28, "No space left on device")

    sweep = Sweep(small_plan(), tmp_path)
    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        sweep.run(progress=False)
    assert len(sweep.missing) == 6 and not sweep.status().problems
    assert not list(tmp_path.glob("*.part"))


def test_a_damaged_sample_is_named(tmp_path):
    sweep = Sweep(small_plan(U=(0,), seed=(0,)), tmp_path)
    sweep.run(progress=False)
    (path,) = written(tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    for use in (sweep.gather, sweep.status, lambda: sweep.run(progress=False)):
        with pytest.raises(ValueError, match=re.escape(f"{path.name} is damaged; delete it")):
            use()


def test_the_log_tells_each_sample_once_and_survives_a_cut(tmp_path):
    run_and_gather(small_plan(seed=(0,)), tmp_path)
    log = tmp_path / "log.jsonl"
    with open(log, "a") as stream:
        stream.write('{"time": "2026-')  # killed in the middle of a line
    run_and_gather(small_plan(), tmp_path)
    whole = [line for line in log.read_text().splitlines() if line.endswith("}")]
    entries = [json.loads(line) for line in whole]
    assert [entry["event"] for entry in entries] == ["run", *["done"] * 3] * 2
    assert len({(entry["U"], entry["seed"]) for entry in entries if entry["event"] == "done"}) == 6
    assert all(entry["wall_time"] > 0 and entry["host"] for entry in entries if entry["event"] == "done")
    assert Sweep(small_plan(), tmp_path).status().done == 6


def test_status_counts_and_makes_no_folder(tmp_path):
    sweep = Sweep(small_plan(), tmp_path / "none")
    assert str(sweep.status()) == "0 of 6 samples done, 0 running, 0 failed, 6 missing"
    assert not (tmp_path / "none").exists()


def test_status_of_a_running_sweep_tells_its_pace(tmp_path):
    Sweep(small_plan(U=(0, 1.5)), tmp_path).run(progress=False)
    with FileLock(tmp_path / ".lock"):
        status = Sweep(small_plan(), tmp_path).status()
    assert (status.done, status.running, status.missing) == (4, 1, 2)
    assert status.seconds_left > 0


def test_workers_keep_within_cores_and_memory(monkeypatch):
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 64e9)
    monkeypatch.setattr("stm_core.data.workers.CPU_COUNT", 16)
    assert fitting_workers(small_plan()) == (1, 1)
    for nk in (1, 2, 3, 4):
        plan = SweepPlan(U=(0,), nk=nk)
        workers, threads = fitting_workers(plan)
        assert 1 <= workers * threads <= 16
        assert workers == 1 or workers * sample_memory(plan) < 64e9
    assert fitting_workers(SweepPlan(U=(0,), nk=1)) == (16, 1)
    assert fitting_workers(SweepPlan(U=(0,), nk=3), "cuda") == (1, 16)


def test_bad_orders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one worker, not 0"):
        Sweep(small_plan(), tmp_path / "a").run(workers=0)
    with pytest.raises(ValueError, match="no device 'abacus'"):
        Sweep(small_plan(), tmp_path / "a").run(device="abacus")
    assert os.listdir(tmp_path) == []
