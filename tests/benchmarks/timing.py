"""The clock of the benchmarks."""

import statistics
import time
from collections.abc import Callable
from typing import Any


def seconds(action: Callable[[], Any], repeat: int = 3) -> float:
    """Median time of an action."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
