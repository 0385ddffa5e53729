"""Side by side with other mean-field codes: the same Hamiltonian, start and tolerance, in one run.

``python -m tests.benchmarks.peers --out results.json``

Each peer climbs a ladder of sizes and stops at the largest that it solves within the budget; this
library then solves the same problem. Every solution runs in a process of its own, so that its
peak memory can be told. Pin the run (``taskset``, ``OMP_NUM_THREADS``) to compare single cores.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from .measure import PROBLEMS

LADDERS = {
    "meanfi": ("bilayer", (1, 2, 3, 4, 5, 6)),
    "pyqula": ("bilayer", (1, 2, 3, 4, 5, 6)),
    "pyscf": ("flake", (3, 4, 5, 6, 7, 8, 9, 10, 11)),
}
"""Peer -> its problem and the sizes that it is tried on."""

UNITS = {
    "energy": "eV per cell",
    "energy_difference": "eV per cell, peer minus stm_core",
    "seconds": "s",
    "peak_mib": "MiB, largest resident size of the process",
    "added_mib": "MiB, what the problem added to it",
    "time_ratio": "peer over stm_core",
    "memory_ratio": "peer over stm_core, of added_mib",
}

Measure = Callable[[str, str, int, float], dict[str, Any]]


def in_child(budget: float) -> Measure:
    """A ``measure`` that runs in a new process and gives up after ``budget`` seconds."""

    def run(solver: str, problem: str, size: int, tolerance: float) -> dict[str, Any]:
        command = [
            sys.executable,
            "-m",
            "tests.benchmarks.measure",
            solver,
            problem,
            str(size),
            str(tolerance),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=budget)
        return json.loads(done.stdout.splitlines()[-1])

    return run


def compare(
    peer: str, sizes: Sequence[int], tolerance: float, budget: float, measure: Measure
) -> dict[str, Any]:
    """The largest problem that a peer solves within the budget, and this library on the same one.

    Raises
    ------
    RuntimeError
        If the peer does not solve even the smallest problem.
    """
    problem = LADDERS[peer][0]
    reached: tuple[int, dict[str, Any]] | None = None
    with tqdm(sizes, desc=peer, unit="size") as ladder:
        for size in ladder:
            ladder.set_postfix(size=size)
            try:
                theirs = measure(peer, problem, size, tolerance)
            except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as failure:
                ladder.write(f"{peer} stops before size {size}: {type(failure).__name__}")
                break
            if reached is not None and theirs["seconds"] > budget:
                break
            reached = size, theirs
    if reached is None:
        raise RuntimeError(f"{peer} does not solve the smallest {problem} within {budget:g} s")
    size, theirs = reached
    ours = measure("stm_core", problem, size, tolerance)
    return {
        "peer": peer,
        "version": version(peer),
        "problem": problem,
        "size": size,
        "atoms": PROBLEMS[problem](size).model.crystal.n_atoms,
        "k_points": PROBLEMS[problem](size).nk ** 2,
        "theirs": theirs,
        "stm_core": ours,
        "energy_difference": theirs["energy"] - ours["energy"],
        "time_ratio": theirs["seconds"] / ours["seconds"],
        "memory_ratio": theirs["added_mib"] / max(ours["added_mib"], 1.0),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare with every peer that is installed and write the results."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--peers", nargs="+", choices=LADDERS, default=list(LADDERS))
    parser.add_argument("--budget", type=float, default=60.0, help="seconds that a peer may take")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="of the density matrix")
    options = parser.parse_args(arguments)
    missing = [peer for peer in options.peers if find_spec(peer) is None]
    if missing:
        parser.error(f"not installed: {', '.join(missing)}; see tests/benchmarks/README.md")
    # Loading and compiling come on top of the budget, and the last rung may exceed it.
    measure = in_child(3 * options.budget + 120)
    rows = [
        compare(peer, LADDERS[peer][1], options.tolerance, options.budget, measure) for peer in options.peers
    ]
    result = {
        "tolerance": options.tolerance,
        "budget_seconds": options.budget,
        "threads": len(os.sched_getaffinity(0)),
        "units": UNITS,
        "rows": rows,
    }
    beside = options.out.with_name(options.out.name + ".part")
    beside.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    beside.replace(options.out)
    for row in rows:
        tqdm.write(
            f"{row['peer']:8} {row['problem']:8} {row['atoms']:5d} atoms {row['k_points']:3d} k: "
            f"{row['time_ratio']:6.1f} times the time, {row['memory_ratio']:6.1f} times the memory, "
            f"energies differ by {row['energy_difference']:.1e} eV"
        )


if __name__ == "__main__":
    main()
