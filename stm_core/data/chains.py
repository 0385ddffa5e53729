"""Samples that start from one another: which are left to compute, and from what."""

from collections import deque
from pathlib import Path

from .plan import Task
from .progress import failure_path
from .sample import read_sample, sample_path, state_path


class Chain:
    """The unfinished part of a chain of samples.

    Each sample starts from the stored state of the last one before it that converged. A state stays on disk
    as long as a sample that is missing, or did not succeed, may start from it.

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
            previous = self.previous(task)
            if task in left and previous and not state_path(folder, previous).exists():
                left.add(previous)  # its state is gone, so it is made again
        self.left = deque(task for task in tasks if task in left)
        self._drop_states()

    def previous(self, task: Task) -> Task | None:
        """The sample whose state this one starts from; None for its seed's own field."""
        before = self.tasks[: self.tasks.index(task)]
        return next((other for other in reversed(before) if self._converged.get(other)), None)

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

    def _drop_states(self) -> None:
        needed = {
            self.previous(task) for task in self.tasks if task in self.left or not self._converged.get(task)
        }
        for task in self.tasks:
            if task not in needed:
                state_path(self.folder, task).unlink(missing_ok=True)
