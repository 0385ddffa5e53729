"""Files that are either whole or not there."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = ".part"
"""Ending of a file that is still being written."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A file beside ``path`` to write to, which takes its place when the block ends without an error.

    A reader sees the old content or the new one, whatever moment the writer dies at. The name beside is
    drawn anew each time, so that two writers of one path do not mix.

    Parameters
    ----------
    path : path
        The file to make or to replace; its folder must exist.

    Yields
    ------
    Path
        Where to write. It is removed again if the block raises.
    """
    path = Path(path)
    beside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}{UNFINISHED}")
    try:
        yield beside
        with open(beside, "rb") as written:
            os.fsync(written.fileno())  # or a power cut could leave the new name with no content
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
