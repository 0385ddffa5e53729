"""How far a run is, and how long it still takes: pages count by their seconds, not by their number."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Self

from tqdm.auto import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

logger = logging.getLogger(__name__)

_STEADY = 60.0  # seconds at the usual pace that stand before all pages, lest the first one says too much
_BAR = "{percentage:3.0f}% |{bar}| {elapsed}{postfix}"


def time_left(expected: Mapping[str, float], done: Mapping[str, float]) -> float:
    """Seconds that pages not yet done will take, at the pace of those that are.

    Parameters
    ----------
    expected : mapping
        Seconds that each page usually takes; none for one from the cache.
    done : mapping
        Seconds that the finished ones took.
    """
    pace = (_STEADY + sum(done.values())) / (_STEADY + sum(expected[name] for name in done))
    return pace * sum(seconds for name, seconds in expected.items() if name not in done)


def in_words(seconds: float) -> str:
    """A duration as one would say it: ``40 s``, ``9 min``, ``2.5 h``."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Progress:
    """A bar that says what is running and when all will be done.

    Parameters
    ----------
    expected : mapping
        Seconds that each page usually takes, in order; none for one from the cache.
    """

    def __init__(self, expected: Mapping[str, float]) -> None:
        self.expected = expected
        self.done: dict[str, float] = {}

    @contextmanager
    def page(self, name: str) -> Iterator[None]:
        """Around the making of one page."""
        usual = self.expected[name]
        if usual:
            left = in_words(time_left(self.expected, self.done))
            self.bar.set_postfix_str(f"{name}, {left} left")
            logger.info("%-24s runs, usually for %s; %s left for all", name, in_words(usual), left)
        started = time.perf_counter()
        yield
        if usual:
            self.done[name] = time.perf_counter() - started
        self.bar.update(usual)

    def __enter__(self) -> Self:
        self.open = ExitStack()
        self.open.enter_context(logging_redirect_tqdm())
        total = sum(self.expected.values())
        self.bar = self.open.enter_context(tqdm(total=total, bar_format=_BAR, disable=not total))
        return self

    def __exit__(self, *raised: object) -> None:
        self.open.close()
