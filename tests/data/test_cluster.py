"""A sweep on a Dask cluster of two worker processes: the same bytes, whatever happens to a worker."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from distributed import WorkerPlugin

from stm_core.data import Sweep, SweepPlan
from stm_core.data.workers import local_client
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
