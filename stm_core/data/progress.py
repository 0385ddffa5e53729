"""The log of a sweep, its failures, and how far it is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stm_core.files import replacing

from .plan import Task
from .sample import read_sample, sample_path


@dataclass(frozen=True)
class SweepStatus:
    """How far a sweep is.

    Attributes
    ----------
    total, done, running : int
        Samples in the plan, those that converged, and those being worked on.
    problems : mapping of Task to str
        Why a sample failed or did not converge.
    seconds_left : float or None
        At the pace of the present run; None if nothing runs or nothing is done yet.
    """

    total: int
    done: int
    running: int
    problems: Mapping[Task, str]
    seconds_left: float | None

    @property
    def missing(self) -> int:
        """Samples that have not been tried yet."""
        return self.total - self.done - len(self.problems)

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", about {self.seconds_left / 60:.0f} min left"
        return (
            f"{self.done} of {self.total} samples done, {self.running} running, "
            f"{len(self.problems)} failed, {self.missing} missing{left}"
        )


def failure_path(folder: Path, task: Task) -> Path:
    """File that says why a sample failed."""
    return folder / f"{task.name}.failed.json"


def record_failure(folder: Path, task: Task, error: BaseException) -> str:
    """Put on record that a sample failed; returns the reason."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    with replacing(failure_path(folder, task)) as beside:
        beside.write_text(json.dumps({"reason": reason}) + "\n", encoding="utf-8")
    return reason


def problem_of(folder: Path, task: Task) -> str | None:
    """Why a sample failed or did not converge; None if it did, or has not been tried."""
    path = sample_path(folder, task)
    if path.exists():
        sample = read_sample(path, "converged", "residual", "iterations")
        if sample["converged"]:
            return None
        return f"residual {sample['residual']:.1e} after {sample['iterations']} iterations"
    path = failure_path(folder, task)
    return _reason(path) if path.exists() else None


def _reason(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["reason"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{path} is damaged; delete it, and the sweep counts the sample as missing"
        ) from None


class SweepLog:
    """``log.jsonl`` in the folder of a sweep: one JSON object a line, written by the run alone.

    What differs from run to run stands here and nowhere else: times, hosts, wall times.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log.jsonl"

    def write(self, event: str, task: Task | None = None, **entries: Any) -> None:
        """Append one line."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event}
        text = json.dumps(line | (task._asdict() if task else {}) | entries) + "\n"
        with open(self.path, "a+b") as stream:
            if stream.tell() and not _ends_a_line(stream):
                text = "\n" + text  # the run before was killed in the middle of a line
            stream.write(text.encode())

    def read(self) -> list[dict[str, Any]]:
        """Every whole line that a run wrote."""
        if not self.path.exists():
            return []
        entries = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entries.append(json.loads(line))
            except ValueError:
                continue  # cut short when a run was killed
        return [entry for entry in entries if isinstance(entry, dict) and "event" in entry]

    def pace(self) -> tuple[int, float | None]:
        """Workers of the latest run, and seconds it takes from one finished sample to the next."""
        entries = self.read()
        begins = [index for index, entry in enumerate(entries) if entry["event"] == "run"]
        if not begins:
            return 0, None
        latest = entries[begins[-1] :]
        try:
            workers, began = int(latest[0]["workers"]), datetime.fromisoformat(latest[0]["time"])
            elapsed = (datetime.now(UTC) - began).total_seconds()
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{self.path} has a damaged line; it may be deleted without loss") from None
        return workers, elapsed / (len(latest) - 1) if len(latest) > 1 else None


def _ends_a_line(stream: Any) -> bool:
    stream.seek(-1, 2)
    return bool(stream.read(1) == b"\n")


def status(folder: Path, tasks: list[Task], running: bool) -> SweepStatus:
    """Read from a sweep's folder how far it is; ``running`` says whether a run is at work in it."""
    problems = {task: reason for task in tasks if (reason := problem_of(folder, task))}
    done = sum(sample_path(folder, task).exists() for task in tasks if task not in problems)
    workers, pace = SweepLog(folder).pace() if running else (0, None)
    missing = len(tasks) - done - len(problems)
    seconds_left = None if pace is None else pace * missing
    return SweepStatus(len(tasks), done, min(workers, missing), problems, seconds_left)
