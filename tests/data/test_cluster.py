"""A sweep on a Dask cluster of two worker processes: the same bytes, whatever happens to a worker."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import KilledWorker, WorkerPlugin

from stm_core.data import Sweep, SweepPlan
from stm_core.data.sample import compute_sample
from stm_core.data.workers import Watch, local_client
from stm_core.simulation import HartreeFock


@pytest.fixture(scope="module")
def client():
    with local_client(2) as client:
        yield client


def plan(**changes):
    return SweepPlan(**{"U": tuple(range(6)), "seed": (0, 1), "i": 1, "spacing": 2.7, **changes})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    sweep = Sweep(plan(warm=True), tmp_path_factory.mktemp("undisturbed"))
    sweep.run(progress=False)
    return sweep.gather().read_bytes()


def kill_a_worker_after_each(samples, folder, client, stop):
    """SIGKILL one of the workers a random moment after so many samples are there."""
    rng = np.random.default_rng(1)
    for number in samples:
        while len(list(folder.glob("*.npz"))) < number and not stop.is_set():
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        os.kill(rng.choice([*client.run(os.getpid).values()]), signal.SIGKILL)


def test_a_cluster_gives_the_same_bytes(client, undisturbed, tmp_path):
    sweep = Sweep(plan(warm=True), tmp_path)
    sweep.run(client, progress=False)
    assert sweep.gather().read_bytes() == undisturbed
    assert sweep.status().done == 12


def test_killed_workers_cost_nothing(client, undisturbed, tmp_path):
    sweep, stop = Sweep(plan(warm=True), tmp_path), threading.Event()
    killer = threading.Thread(target=kill_a_worker_after_each, args=((1, 5, 9), tmp_path, client, stop))
    killer.start()
    try:
        sweep.run(client, progress=False)
    finally:
        stop.set()
        killer.join()
    assert not sweep.status().problems
    assert sweep.gather().read_bytes() == undisturbed


SBATCH = """#!/bin/sh
job=$(mktemp {room}/job-XXXX)
cp "$1" "$job"  # the file it is given goes away
setsid sh "$job" >"$job.log" 2>&1 &
echo Submitted batch job $!
"""
SCANCEL = """#!/bin/sh
kill -- -"$1"
"""


def test_the_recipe_for_slurm_runs_as_printed(undisturbed, tmp_path):
    """With a queue of one machine: what it is asked for is what the page says."""
    page = (Path(__file__).parents[2] / "book" / "cluster.md").read_text(encoding="utf-8")
    recipe = re.search(r"```python\n(from dask_jobqueue.*?)```", page, re.DOTALL)[1]
    recipe = recipe.replace("/shared/sweep", "sweep").replace("maximum_jobs=40", "maximum_jobs=2")
    (tmp_path / "plan.yml").write_text(
        "{U: {from: 0, to: 5, step: 1}, seed: [0, 1], i: 1, spacing: 2.7, warm: true}"
    )
    (tmp_path / "recipe.py").write_text(recipe)
    for name, script in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(script.format(room=tmp_path))
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    run = [sys.executable, "recipe.py"]
    subprocess.run(run, cwd=tmp_path, env={**os.environ, "PATH": path}, timeout=120, check=True)
    assert (tmp_path / "sweep" / "dataset.nc").read_bytes() == undisturbed
    asked = next(tmp_path.glob("job-????")).read_text()
    assert "-p standard" in asked and "-t 12:00:00" in asked and "--mem=8G" in asked


def test_a_sample_on_which_workers_die_is_not_to_blame(undisturbed, tmp_path, monkeypatch):
    """Passed over, it would be missing among the states that the samples after it start from."""

    def killed(plan, folder, task, *arguments, **named):
        if task.U == 3:
            raise KilledWorker(task.name, None, 3)
        return compute_sample(plan, folder, task, *arguments, **named)

    sweep = Sweep(plan(warm=True), tmp_path)
    monkeypatch.setattr("stm_core.data.sweep.compute_sample", killed)
    with pytest.raises(RuntimeError, match=r"died on U3\.00000\S+, killed or out of memory; the same"):
        sweep.run(progress=False)
    assert not sweep.status().problems and 0 < len(sweep.missing) < 12
    monkeypatch.undo()
    sweep.run(progress=False)
    assert sweep.gather().read_bytes() == undisturbed


def test_a_worker_may_take_long_to_come_back(client):
    assert dask.config.get("distributed.deploy.lost-worker-timeout") == "600s"


def test_what_is_of_more_value_comes_first(tmp_path):
    """Of three chains and two workers the last waits until one of the others is done."""
    sweep = Sweep(plan(warm=True, seed=(0, 1, 2)), tmp_path)
    sweep.run(workers=2, progress=False)
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    seeds = [event["seed"] for event in events if event["event"] == "done"]
    before = seeds[: seeds.index(2)]
    assert len(seeds) == 18 and 6 in (before.count(0), before.count(1))


class Crew:
    """A workforce of so many."""

    def __init__(self, number):
        self.number = number

    def workers(self):
        return self.number


def test_lost_workers_are_waited_for_and_then_given_up(caplog):
    now, crew = [0.0], Crew(2)
    watch = Watch(crew, clock=lambda: now[0])
    assert watch.workers() == 2
    crew.number = 0
    for now[0], told in ((50.0, 0), (70.0, 1), (590.0, 1)):
        assert watch.workers() == 0
        assert caplog.text.count("there is no worker to compute on") == told
    crew.number, now[0] = 1, 595.0
    assert watch.workers() == 1
    crew.number = 0
    for now[0], told in ((1000.0, 2), (1190.0, 2)):
        assert watch.workers() == 0
        assert caplog.text.count("there is no worker to compute on") == told
    now[0] = 1196.0
    with pytest.raises(RuntimeError, match="none came back within 10 minutes; the same command goes on"):
        watch.workers()


def test_the_first_worker_of_a_cluster_may_stand_in_a_queue(caplog):
    now = [0.0]
    watch = Watch(Crew(0), clock=lambda: now[0])
    for now[0] in (100.0, 1e5):
        assert watch.workers() == 0
    assert caplog.text.count("there is no worker to compute on") == 1


def test_a_sweep_without_workers_ends(tmp_path, monkeypatch):
    """It asks the watch while it waits, whatever becomes of the samples that it has handed out."""

    class Deserted(Crew):
        at_once = 10

        def submit(self, *arguments, **named):
            self.number = 0
            return Future()

    @contextmanager
    def deserted(client, number):
        yield Deserted(2)

    clock = itertools.count(0.0, 100.0)
    monkeypatch.setattr("stm_core.data.sweep.workforce", deserted)
    monkeypatch.setattr("stm_core.data.sweep.Watch", lambda force: Watch(force, lambda: next(clock)))
    sweep = Sweep(plan(), tmp_path)
    with pytest.raises(RuntimeError, match="all workers were lost"):
        sweep.run(progress=False)
    assert len(sweep.missing) == 12


def test_a_failure_on_a_worker_is_listed(client, tmp_path):
    class BrokenSolver(WorkerPlugin):
        """Reaches the workers that come back after a kill as well."""

        name = "broken-solver"

        def setup(self, worker):
            def broken(problem, **options):
                raise FloatingPointError("the mean field is not finite")

            self.kept, HartreeFock.solve = HartreeFock.solve, broken

        def teardown(self, worker):
            HartreeFock.solve = self.kept

    client.register_plugin(BrokenSolver())
    try:
        sweep = Sweep(plan(U=(0, 1), seed=(0,)), tmp_path)
        sweep.run(client, progress=False)
    finally:
        client.unregister_worker_plugin("broken-solver")
    assert set(sweep.status().problems.values()) == {"FloatingPointError: the mean field is not finite"}
