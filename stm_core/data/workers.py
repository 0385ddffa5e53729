"""Where the samples of a sweep are computed: in this process, in several here, or on a Dask cluster."""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import torch
from dask.system import CPU_COUNT

from .plan import SweepPlan

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)

_MATRICES = 12  # (2, n_k, N, N) complex matrices alive at the peak of a solution, mixing history included
_PROCESS = 0.7e9  # bytes that a worker takes before it has begun
_SMALL = 100e6  # bytes: a smaller sample is done before another process has started
_SHARE = 0.8  # of the memory; the rest is for the system and what else runs
_UNLIMITED = 10**9
_TELL, _RETURN = 60, 600  # s without a worker after which to say so, and to give up on those that were lost


def sample_memory(plan: SweepPlan) -> float:
    """Memory of the matrices that one sample of a plan takes at its peak, in bytes (an estimate)."""
    return _MATRICES * 2 * plan.nk**2 * plan.crystal.n_atoms**2 * 16


def fitting_workers(plan: SweepPlan, device: str = "cpu") -> tuple[int, int]:
    """Workers, and threads for each, that this machine's cores and memory hold.

    One thread for each sample is the fastest way through many; more only where memory, or the one
    accelerator, leaves cores idle. Both numbers depend on the machine and the plan alone, not on how much
    of it is done: a sum over other threads rounds in another way.
    """
    if device != "cpu":
        return 1, CPU_COUNT
    from distributed.system import MEMORY_LIMIT

    need = sample_memory(plan)
    if need < _SMALL:
        return 1, 1
    workers = max(1, min(CPU_COUNT, int(_SHARE * MEMORY_LIMIT // (need + _PROCESS))))
    return workers, CPU_COUNT // workers


class Workforce(Protocol):
    """Where calls are handed to; ``at_once`` says how many at a time."""

    at_once: int

    def submit(self, priority: int, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a function called; of those that wait, the one of highest priority comes first."""

    def workers(self) -> int:
        """How many calls are being worked on while there is enough to do."""


class _ThisProcess:
    at_once = 1

    def submit(self, priority: int, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def workers(self) -> int:
        return 1


class _Cluster:
    def __init__(self, client: "Client", at_once: int) -> None:
        self._client, self._executor = client, client.get_executor(pure=False)
        self.at_once = at_once

    def submit(self, priority: int, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        return self._executor.submit(function, *args, priority=priority, **kwargs)

    def workers(self) -> int:
        return sum(self._client.nthreads().values())

    def dismiss(self) -> None:
        self._executor.shutdown(wait=False)


class Watch:
    """Sees to it that a sweep whose workers were lost neither keeps silent nor waits for ever.

    A cluster may be empty for long before its first worker gets through a queue, so that is only told.
    """

    def __init__(self, force: Workforce, clock: Callable[[], float] = time.monotonic) -> None:
        self._force, self._clock = force, clock
        self._since, self._had_any, self._told = clock(), False, False

    def workers(self) -> int:
        """How many there are now.

        Raises
        ------
        RuntimeError
            If there were some, and have been none for ten minutes.
        """
        number = self._force.workers()
        if number:
            self._since, self._had_any, self._told = self._clock(), True, False
            return number
        waited = self._clock() - self._since
        if self._had_any and waited > _RETURN:
            raise RuntimeError(
                f"all workers were lost, and none came back within {_RETURN // 60} minutes; "
                "the same command goes on from here"
            )
        if waited > _TELL and not self._told:
            log.warning("there is no worker to compute on; waiting for one")
            self._told = True
        return number


@contextmanager
def workforce(client: "Client | None", workers: int) -> Iterator[Workforce]:
    """Workers for a sweep, dismissed at the end with whatever they have not finished.

    Parameters
    ----------
    client : distributed.Client or None
        A cluster to work on.
    workers : int
        Without a client: processes on this machine; one means this very process.
    """
    if client is None and workers == 1:
        yield _ThisProcess()
        return
    # To a cluster everything that is ready, since it may grow while it works. Here no more than can be worked
    # on, since a worker would take what it has in store before another sample of more value.
    at_once = workers if client is None else _UNLIMITED
    with nullcontext(client) if client is not None else local_client(workers) as there:
        cluster = _Cluster(there, at_once)
        try:
            yield cluster
        finally:
            cluster.dismiss()


@contextmanager
def local_client(workers: int) -> Iterator["Client"]:
    """So many worker processes on this machine. They end with this process, even if it is killed."""
    import dask
    from distributed import Client, LocalCluster

    with (
        # On a busy machine a killed worker takes longer to come back than Dask waits before it gives it up.
        dask.config.set({"distributed.deploy.lost-worker-timeout": f"{_RETURN}s"}),
        tempfile.TemporaryDirectory(prefix="stm_core-") as scratch,
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,  # their number has been chosen to fit
            dashboard_address=":0",
            local_directory=scratch,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def was_killed(error: BaseException) -> bool:
    """Whether a call failed because the workers it was given to died, several in turn."""
    from distributed import KilledWorker

    return isinstance(error, KilledWorker)


def check_device(device: str) -> None:
    """Refuse a device that this machine does not have.

    Raises
    ------
    ValueError
        If torch does not know it or finds none.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"there is no device {device!r} here; accepted are cpu and, with a GPU, cuda"
        ) from error
