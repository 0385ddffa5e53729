"""One sample of a sweep: solved, measured and written to its file."""

import hashlib
import socket
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from threadpoolctl import threadpool_limits

import stm_core
from stm_core.files import replacing
from stm_core.simulation import FlatBands, GateScreenedCoulomb, HartreeFock, HartreeFockState, identify

from .plan import SweepPlan, Task
from .registry import observables

Sample = dict[str, Any]

COLD = -1.0
"""Stands for the U of the sample before where a sample grew from its seed's own field."""


def sample_path(folder: Path, task: Task) -> Path:
    """File of a finished sample."""
    return folder / f"{task.name}.npz"


def state_path(folder: Path, task: Task) -> Path:
    """File of the state that the next sample of a chain starts from."""
    return folder / "states" / f"{task.name}.npz"


def compute_sample(
    plan: SweepPlan,
    folder: Path,
    task: Task,
    previous: Sequence[Task] = (),
    keep_state: bool = False,
    device: str = "cpu",
    threads: int = 1,
) -> dict[str, Any]:
    """Solve for one sample and write it to its file.

    Nothing else is needed to repeat it: on the same machine, library and number of threads the file holds
    the same bits, in whatever process and after whatever other samples it is made.

    Parameters
    ----------
    plan : SweepPlan
    folder : Path
        Of the sweep; absolute where the work is done in another process.
    task : Task
    previous : sequence of Task
        Samples of ascending U whose stored states this one starts from, extrapolated to its U.
    keep_state : bool
        Store the state too, if it converged.
    device : str
        As in ``HartreeFock``.
    threads : int
        Cores to use. A sum over more threads is a sum in another order.

    Returns
    -------
    dict
        What a log keeps: converged, residual, iterations, wall_time (s), host.
    """
    began = time.perf_counter()
    with _limited(threads):
        problem = _problem(plan, device).at(task.U, task.filling)
        start = [HartreeFockState.load(state_path(folder, other)) for other in previous]
        state = problem.solve(
            seed=task.seed,
            start=start or None,
            tolerance=plan.tolerance,
            max_iterations=int(plan.max_iterations),
            progress=False,
        )
        sample = sample_of(state, task.seed, plan, previous[-1].U if previous else COLD)
    if keep_state and state.converged:
        state.save(state_path(folder, task))
    # Last, so that a sample that is there has its state too.
    with replacing(sample_path(folder, task)) as beside, open(beside, "wb") as stream:
        np.savez(stream, **sample)
    return {
        "converged": bool(state.converged),
        "residual": float(state.residual),
        "iterations": int(state.iterations),
        "wall_time": round(time.perf_counter() - began, 3),
        "host": socket.gethostname(),
    }


def read_sample(path: Path, *names: str) -> Sample:
    """The numbers in a sample's file: all of them, or those named.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name][()] for name in names or stored}
    except (zipfile.BadZipFile, KeyError, EOFError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged; delete it, and the sweep computes it again") from error


def sample_of(state: HartreeFockState, seed: int, plan: SweepPlan, previous_U: float = COLD) -> Sample:
    """The numbers that a sweep keeps of one Hartree-Fock state, as NumPy arrays by name."""
    sample: Sample = {
        "U": state.U,
        "filling": state.filling,
        "seed": seed,
        "start": state.start,
        "previous_U": previous_U,
        "ldos": state.ldos(plan.bias, plan.broadening, layer="both").astype(np.float32),
        **{name: observable.of(state) for name, observable in observables().items()},
        "residual": state.residual,
        "iterations": state.iterations,
        "converged": state.converged,
        "code_version": code_version(),
    }
    order = state.order_parameters()
    bands = _flat_bands(plan)
    if bands is not None:
        flat = bands.order_parameters(state)
        order |= flat
        sample["phase"] = identify(flat)
    return sample | {f"order_{name}": value for name, value in order.items()}


@lru_cache(maxsize=1)
def code_version() -> str:
    """Version of the library and a hash of the code that solves and measures: what a sample depends on."""
    digest = hashlib.sha256()
    for package in ("stm_core.simulation", "stm_core.data.observables"):
        for entry in sorted(resources.files(package).iterdir(), key=lambda entry: entry.name):
            if entry.name.endswith(".py"):
                digest.update(entry.read_bytes())
    return f"{stm_core.__version__}+{digest.hexdigest()[:12]}"


@lru_cache(maxsize=1)
def _problem(plan: SweepPlan, device: str) -> HartreeFock:
    """The mean-field problem all samples of a plan share; a process meets one plan at a time."""
    coulomb = GateScreenedCoulomb(plan.epsilon, plan.gate_distance) if plan.epsilon else None
    return HartreeFock(plan.model, 0.0, coulomb, nk=int(plan.nk), temperature=plan.temperature, device=device)


@lru_cache(maxsize=1)
def _flat_bands(plan: SweepPlan) -> FlatBands | None:
    """The flat bands that orders are read in; None for a cell whose central bands touch others."""
    try:
        return FlatBands(plan.model, int(plan.nk), progress=False)
    except ValueError:
        return None


@contextmanager
def _limited(threads: int) -> Iterator[None]:
    """Let every library that computes in threads use so many, and put back what they used."""
    torch_before, numba_before = torch.get_num_threads(), numba.get_num_threads()
    numba_most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba_most))
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(torch_before)
        numba.set_num_threads(numba_before)
