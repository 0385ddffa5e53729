"""Samples that start from one another: which are left to compute, and from what."""

from collections import deque
from math import prod
from pathlib import Path

from .plan import Task
from .progress import failure_path
from .sample import read_sample, sample_path, state_path

STARTS_FROM = 3
"""Converged samples before it that one is extrapolated from: their density matrices give a parabola in U."""

_REACH = 1.5
"""How much more than evenly spaced samples an extrapolation may magnify what is left of their errors."""


class Chain:
    """The unfinished part of a chain of samples.

    Each sample starts from the stored states of the last ones before it that converged. A state stays on
    disk as long as a sample that is missing, or did not succeed, may start from it.

    Parameters
    ----------
    folder : Path
        Of the sweep.
    tasks : tuple of Task
        In the order in which they start from one another.
    retry_failed : bool
        Also compute again what failed or did not converge.
    """

    def __init__(self, folder: Path, tasks: tuple[Task, ...], retry_failed: bool = False) -> None:
        self.folder, self.tasks = folder, tasks
        self._converged = {
            task: bool(read_sample(sample_path(folder, task), "converged")["converged"])
            for task in tasks
            if sample_path(folder, task).exists()
        }
        left = {task for task in tasks if self._is_left(task, retry_failed)}
        for task in reversed(tasks):
            if task in left:  # where a state it starts from is gone, that is made again
                left |= {other for other in self.previous(task) if not state_path(folder, other).exists()}
        self.left = deque(task for task in tasks if task in left)
        self._drop_states()

    def previous(self, task: Task) -> tuple[Task, ...]:
        """The samples whose states this one starts from; none for its seed's own field."""
        chosen = self._before(task)
        while len(chosen) > 1 and _magnification(task.U, chosen) > _REACH * (2 ** len(chosen) - 1):
            chosen = chosen[1:]
        return tuple(chosen)

    def is_followed(self, task: Task) -> bool:
        """Whether another sample may start from this one."""
        return task != self.tasks[-1]

    def finish(self, converged: bool) -> None:
        """Strike off the first sample left."""
        self._converged[self.left.popleft()] = converged
        self._drop_states()

    def _is_left(self, task: Task, retry_failed: bool) -> bool:
        if task in self._converged:
            return retry_failed and not self._converged[task]
        return retry_failed or not failure_path(self.folder, task).exists()

    def _before(self, task: Task) -> list[Task]:
        before = self.tasks[: self.tasks.index(task)]
        return [other for other in before if self._converged.get(other)][-STARTS_FROM:]

    def _drop_states(self) -> None:
        needed = {
            other
            for task in self.tasks
            if task in self.left or not self._converged.get(task)
            for other in self._before(task)
        }
        for task in self.tasks:
            if task not in needed:
                state_path(self.folder, task).unlink(missing_ok=True)


def _magnification(U: float, nodes: list[Task]) -> float:
    """Sum of the absolute weights by which the polynomial through the nodes gives its value at U.

    2ⁿ - 1 for the next of n evenly spaced ones, and without bound where the last ones lie close together.
    """
    return sum(abs(prod((U - b.U) / (a.U - b.U) for b in nodes if b != a)) for a in nodes)
