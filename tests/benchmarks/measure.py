"""Time and memory of one solver on one problem, in a process of its own.

``python -m tests.benchmarks.measure SOLVER PROBLEM SIZE TOLERANCE`` prints one line of JSON.
"""

import json
import resource
import sys
import time
from typing import Any

from .problems import Problem, bilayer, flake, graphene
from .solvers import SOLVERS

PROBLEMS = {"bilayer": bilayer, "flake": flake}


def measure(solver: str, problem: str, size: int, tolerance: float) -> dict[str, Any]:
    """Solve once, after a tiny problem that loads and compiles everything.

    Returns
    -------
    dict
        ``energy`` (eV per cell), ``seconds``, ``peak_mib`` (largest resident size of the process)
        and ``added_mib`` (how much of that the problem itself added).
    """
    solve = SOLVERS[solver]
    solve(_tiny(problem), 1e-4)
    posed = PROBLEMS[problem](size)
    before = _peak_mib()
    start = time.perf_counter()
    energy, _ = solve(posed, tolerance)
    seconds = time.perf_counter() - start
    return {"energy": energy, "seconds": seconds, "peak_mib": _peak_mib(), "added_mib": _peak_mib() - before}


def _tiny(problem: str) -> Problem:
    return flake(1) if problem == "flake" else graphene(4)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    name, kind, size, tolerance = sys.argv[1:]
    print(json.dumps(measure(name, kind, int(size), float(tolerance))))
