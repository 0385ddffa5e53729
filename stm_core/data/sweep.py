"""Resumable Hartree-Fock sweeps: one file per sample, gathered into one dataset."""

import heapq
import logging
import socket
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from stm_core.files import UNFINISHED

from .chains import Chain
from .plan import SweepPlan, Task
from .progress import SweepLog, SweepStatus, failure_path, record_failure, status
from .record import check_record, write_record
from .sample import compute_sample, read_sample, sample_path
from .store import dataset_from_samples, write_dataset
from .workers import Watch, Workforce, check_device, fitting_workers, was_killed, workforce

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)


class Sweep:
    """A plan being carried out in a folder.

    A sample is one file, written beside and then renamed. A run killed at any moment, or one of its
    workers, loses at most the samples being worked on; run again, it computes what is missing, and what is
    gathered in the end has the same bytes as if nothing had happened.

    Parameters
    ----------
    plan : SweepPlan
    folder : path
        Made by ``run`` if missing. A folder keeps the physics it was started with, except for
        ``max_iterations``; U, fillings, seeds and blocks may be added later. To a warm plan only such that
        the samples already there keep the ones before them: further blocks after the others, or higher U.

    Raises
    ------
    ValueError
        If the folder holds samples of other physics, or with others before them in their warm chain.
    """

    def __init__(self, plan: SweepPlan, folder: str | Path) -> None:
        self.plan, self.folder = plan, Path(folder).absolute()
        self._log = SweepLog(self.folder)
        if self._record.exists():
            check_record(self._record, plan)

    @property
    def missing(self) -> list[Task]:
        """Samples that have not been tried yet."""
        return [
            task
            for task in self.plan.tasks
            if not sample_path(self.folder, task).exists() and not failure_path(self.folder, task).exists()
        ]

    def status(self) -> SweepStatus:
        """How far the sweep is, read from its folder; it may be running meanwhile."""
        return status(self.folder, self.plan.tasks, self._is_running())

    def run(
        self,
        client: "Client | None" = None,
        retry_failed: bool = False,
        device: str = "cpu",
        workers: int | None = None,
        progress: bool = True,
    ) -> None:
        """Compute every missing sample.

        A sample that fails is put on record with its reason and passed over; one that does not converge is
        kept and marked. Both are listed at the end and tried again only on request.

        Parameters
        ----------
        client : distributed.Client, optional
            A Dask cluster that shares this folder's file system; without one the work is done here, in as
            many processes as cores and memory allow.
        retry_failed : bool
            Also compute again what failed or did not converge.
        device : str
            As in ``HartreeFock``.
        workers : int, optional
            Processes to use here instead.
        progress : bool
            Show a line with what is done, running and failed and the time left.

        Raises
        ------
        ValueError
            If there is no such device, ``workers`` is not positive, or a finished sample is damaged.
        RuntimeError
            If another run is at work in the folder, the cluster or all its workers are lost, several workers
            die on one sample, or the cluster does not share the folder.
        OSError
            If the folder cannot be written to.
        """
        if workers is not None and workers < 1:
            raise ValueError(f"a sweep needs at least one worker, not {workers}")
        if client is None:
            check_device(device)
        fitting, threads = fitting_workers(self.plan, device) if client is None else (1, 1)
        with self._claimed():
            chains = [Chain(self.folder, tasks, retry_failed) for tasks in self.plan.chains]
            chains = [chain for chain in chains if chain.left]
            if chains:
                number = workers or min(fitting, len(chains))
                with workforce(client, number) as force:
                    self._work(chains, force, {"device": device, "threads": threads}, progress)
        for task, reason in self.status().problems.items():
            log.warning("%s: %s", task.name, reason)

    def gather(self, missing_ok: bool = False) -> Path:
        """Write all samples of the plan to ``dataset.nc`` in the folder and return its path.

        Samples that failed have no numbers and are left out.

        Parameters
        ----------
        missing_ok : bool
            Gather what is there of a sweep that is not finished.

        Raises
        ------
        ValueError
            If samples are missing, there is none, or one is damaged.
        """
        tasks = [task for task in self.plan.tasks if sample_path(self.folder, task).exists()]
        total, missing = len(self.plan.tasks), len(self.missing)
        if missing and not missing_ok:
            raise ValueError(f"{missing} of {total} samples are missing; run the sweep first")
        if not tasks:
            raise ValueError(f"none of the {total} samples has been computed; see the status of the sweep")
        samples = [read_sample(sample_path(self.folder, task)) for task in tasks]
        versions = sorted({str(sample["code_version"]) for sample in samples})
        attributes = {**self.plan.constants, **self.plan.physics, "code_version": ", ".join(versions)}
        bias = np.array(attributes.pop("bias"))
        path = self.folder / "dataset.nc"
        write_dataset(dataset_from_samples(samples, self.plan.crystal, bias, attributes), path)
        return path

    def _work(self, chains: list[Chain], force: Workforce, how: dict[str, Any], progress: bool) -> None:
        """Hand out samples, those of most value first, until the chains are done."""
        order = {task: rank for rank, task in enumerate(self.plan.tasks)}
        ready = [(order[chain.left[0]], chain) for chain in chains]
        heapq.heapify(ready)
        running: dict[Future[Any], Chain] = {}
        failed = 0
        finished = len(order) - sum(len(chain.left) for chain in chains)
        watch = Watch(force)
        self._log.write("run", workers=force.workers(), host=socket.gethostname(), **how)
        with tqdm(
            total=len(order), initial=finished, desc="sweep", unit="sample", disable=not progress
        ) as bar:
            while ready or running:
                bar.set_postfix(running=min(len(ready) + len(running), watch.workers()), failed=failed)
                while ready and len(running) < force.at_once:
                    rank, chain = heapq.heappop(ready)
                    running[self._submit(chain, force, how, -rank)] = chain
                for future in wait(running, timeout=1, return_when=FIRST_COMPLETED).done:
                    chain = running.pop(future)
                    failed += not self._finish(chain, future)
                    bar.update()
                    if chain.left:
                        heapq.heappush(ready, (order[chain.left[0]], chain))

    def _submit(self, chain: Chain, force: Workforce, how: dict[str, Any], priority: int) -> Future[Any]:
        task = chain.left[0]
        previous, keep = chain.previous(task), chain.is_followed(task)
        return force.submit(priority, compute_sample, self.plan, self.folder, task, previous, keep, **how)

    def _finish(self, chain: Chain, future: Future[Any]) -> bool:
        """Put the outcome of a chain's next sample on record; returns whether it converged."""
        task = chain.left[0]
        try:
            report = future.result()
        except CancelledError:
            raise RuntimeError("the Dask cluster was lost; the same command goes on from here") from None
        except OSError:
            raise  # a full disk, say, is not the fault of this sample
        except Exception as error:
            if was_killed(error):  # nor is this: blamed, it would be passed over by what follows in its chain
                raise RuntimeError(
                    f"several workers in turn died on {task.name}, killed or out of memory; "
                    "the same command goes on from here"
                ) from None
            self._log.write("failed", task, reason=record_failure(self.folder, task, error))
            chain.finish(converged=False)
            return False
        if not sample_path(self.folder, task).exists():
            raise RuntimeError(
                f"{report['host']} has written {task.name}, but not here; "
                f"{self.folder} must be on a file system that all workers share"
            )
        failure_path(self.folder, task).unlink(missing_ok=True)
        self._log.write("done", task, **report)
        chain.finish(report["converged"])
        return bool(report["converged"])

    @property
    def _record(self) -> Path:
        return self.folder / "physics.yml"

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        """The folder, made ready and held against other runs."""
        (self.folder / "states").mkdir(parents=True, exist_ok=True)
        lock = self._lock()
        try:
            lock.acquire(timeout=1)
        except Timeout:
            raise RuntimeError(f"another run is at work in {self.folder}; wait for it or stop it") from None
        try:
            for unfinished in self.folder.rglob(f"*{UNFINISHED}"):
                unfinished.unlink(missing_ok=True)
            write_record(self._record, self.plan)
            yield
        finally:
            lock.release()

    def _is_running(self) -> bool:
        if not self.folder.exists():
            return False
        lock = self._lock()
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        return False

    def _lock(self) -> FileLock:
        return FileLock(self.folder / ".lock")
