"""Speed of the Hartree-Fock engine as ratios in one run, on the cell of the study.

``python -m tests.benchmarks.engine --out results.json``

An iteration against the bare eigensolves in it, single precision first against double throughout,
a start from neighbouring U against a cold one, and the peak memory of a process that solves nk = 3.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from tqdm.auto import tqdm

from stm_core.files import replacing
from stm_core.simulation import GateScreenedCoulomb, HartreeFock, TightBinding, TwistedBilayer
from stm_core.simulation.bloch import BlochMatrices
from stm_core.simulation.problem import Problem
from stm_core.simulation.scf import Iteration

UNITS = {
    "iteration_ratio": "time of an iteration over that of the bare eigensolves in it",
    "mixed_speedup": "time in double precision over time with single precision first",
    "density_difference": "electrons, largest difference between the two",
    "cold_iterations": "iterations to max|Δρ| < 1e-6",
    "warm_iterations": "the same, extrapolated from U - 0.3, U - 0.2 and U - 0.1 eV",
    "peak_mib": "MiB, largest resident size of the process",
}

_MEMORY = """
import resource, sys
from stm_core.simulation import *
i, spacing, cutoff, nk, seed = int(sys.argv[1]), *map(float, sys.argv[2:4]), *map(int, sys.argv[4:])
model = TightBinding(TwistedBilayer(i, spacing), cutoff)
HartreeFock(model, 3.0, GateScreenedCoulomb(), nk=nk).solve(seed=seed, progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def iteration_ratio(problem: HartreeFock, mixed: bool) -> tuple[float, float]:
    """Median time of an iteration over that of the eigensolves in it, and the latter in seconds.

    Both are timed in the same iteration, so that what else the machine does slows both.
    """
    problem.mixed_precision = mixed
    limit, solve, spent, stamps = 9, Problem.eigenstates, [0.0], [time.perf_counter()]

    def timed(self: Problem, fock: BlochMatrices) -> Any:
        start = time.perf_counter()
        found = solve(self, fock)
        spent[-1] += time.perf_counter() - start
        return found

    def after(_: Iteration) -> None:
        stamps.append(time.perf_counter())
        spent.append(0.0)

    with patch.object(Problem, "eigenstates", timed):
        state = problem.solve(max_iterations=limit, callback=after, progress=False)
    last = state.single_iterations - 1 if mixed else limit - 2
    assert last > 3, "too few iterations in single precision to time"
    # The first interval also holds the start.
    bare = np.array(spent[1:last])
    return float(np.median(np.diff(stamps)[1:last] / bare)), float(np.median(bare))


def precision(problem: HartreeFock) -> dict[str, float]:
    """Both ways to the same state."""
    found = {}
    for mixed in (True, False):
        problem.mixed_precision = mixed
        start = time.perf_counter()
        found[mixed] = (problem.solve(progress=False), time.perf_counter() - start)
    difference = np.abs(found[True][0].density - found[False][0].density).max()
    return {
        "mixed_speedup": found[False][1] / found[True][1],
        "density_difference": float(difference),
        "cold_iterations": found[True][0].iterations,
        "double_iterations": found[False][0].iterations,
        "single_iterations": found[True][0].single_iterations,
        "seconds": found[True][1],
    }


def warm(problem: HartreeFock, U: float = 3.0) -> dict[str, int]:
    """Iterations along a path in U."""
    problem.mixed_precision = True
    states = [problem.at(U=U - step).solve(progress=False) for step in (0.3, 0.2, 0.1)]
    return {
        f"warm_iterations_from_{n}": problem.at(U=U).solve(start=states[-n:], progress=False).iterations
        for n in (1, 2, 3)
    }


def peak(i: int, spacing: float, cutoff: float, nk: int, seed: int) -> float:
    """Peak memory of a process that solves one problem, in MiB."""
    arguments = [str(a) for a in (i, spacing, cutoff, nk, seed)]
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, *arguments], capture_output=True, text=True, check=True
    )
    return float(done.stdout.splitlines()[-1])


def measure(i: int, spacing: float, cutoff: float, grids: tuple[int, ...]) -> dict[str, Any]:
    """All figures for one cell."""
    model = TightBinding(TwistedBilayer(i, spacing), cutoff)
    rows = []
    for nk in tqdm(grids, desc="k-grids"):
        problem = HartreeFock(model, 3.0, GateScreenedCoulomb(), nk=nk)
        double, bare = iteration_ratio(problem, mixed=False)
        single, bare_single = iteration_ratio(problem, mixed=True)
        rows.append(
            {
                "nk": nk,
                "iteration_ratio_double": double,
                "iteration_ratio_single": single,
                "eigensolve_seconds_double": bare,
                "eigensolve_seconds_single": bare_single,
                **precision(problem),
                **warm(problem),
                "peak_mib": peak(i, spacing, cutoff, nk, 0),
                # Seed 8 starts with disorder, so that only time reversal is left to use.
                "peak_mib_without_symmetry": peak(i, spacing, cutoff, nk, 8),
            }
        )
    return {
        "atoms": model.crystal.n_atoms,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "units": UNITS,
        "rows": rows,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--i", type=int, default=9, help="twist index")
    parser.add_argument("--spacing", type=float, default=2.94, help="distance between the layers in Å")
    parser.add_argument("--cutoff", type=float, default=8.0, help="longest hopping in Å")
    parser.add_argument("--nk", type=int, nargs="+", default=[2, 3], help="k-points per direction")
    options = parser.parse_args()
    results = measure(options.i, options.spacing, options.cutoff, tuple(options.nk))
    with replacing(options.out) as beside:
        beside.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
