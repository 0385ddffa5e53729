"""One call that executes what has changed and builds the book."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from stm_core.study.book import build_book, print_book
from stm_core.study.cache import copy_of, expected_seconds, inputs_of
from stm_core.study.execution import execute
from stm_core.study.pages import Page, called, lay, read_pages
from stm_core.study.progress import Progress
from stm_core.study.staging import stage

CHECKOUT = Path(__file__).resolve().parents[2]


def run_study(
    root: Path = CHECKOUT,
    output: Path | None = None,
    *,
    profile: str = "quick",
    only: Sequence[str] = (),
    start: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    book: bool = True,
    single_file: bool = False,
) -> Path:
    """Execute the notebooks and build the book.

    Parameters
    ----------
    root : Path
        Checkout holding ``stm_core``, ``notebooks``, ``book`` and ``_config.yml``.
    output : Path, optional
        Folder that receives ``_build``; ``root`` by default.
    profile : str
        Name of a file in ``notebooks/profiles``, or the path of another YAML file.
    only : sequence of str
        Execute these notebooks again, whatever the cache holds.
    start : str, optional
        Execute this notebook and all that follow it again. Names may be cut short: ``05``.
    overrides : mapping, optional
        Parameters laid over the profile's, for the notebooks of ``only`` or else for all that declare them.
    book : bool
        Build the book. Without it only the selected notebooks are executed.
    single_file : bool
        Print the book into one PDF as well, with a browser of this machine.

    Returns
    -------
    Path
        The book's ``index.html`` or its PDF, or the folder of executed notebooks without a book.

    Raises
    ------
    ValueError
        Unknown notebook or parameter, the message lists the valid ones; or a single file without a book.
    FileNotFoundError
        A profile or data file that is not there.
    NotebookFailed, BookFailed
        The study itself went wrong.
    """
    if single_file and not book:
        raise ValueError("a single file is printed from the book: ask for it or for no book, not for both")
    build = (output or root).resolve() / "_build"
    pages = read_pages(root, profile)
    names = [page.name for page in pages]
    only = [called(name, names) for name in only]
    pages = lay(overrides or {}, only, pages)
    again = {*only, *(names[names.index(called(start, names)) :] if start else ())}
    wanted = pages if book or not again else [page for page in pages if page.name in again]
    executed = {}
    with Progress(_expected(root, build, wanted, again)) as progress:
        for page in wanted:
            with progress.page(page.name):
                executed[page.name] = execute(root, build, page, again=page.name in again)
    if not book:
        return build / "executed"
    source = stage(root, build, executed)
    made = build_book(source, build)
    return print_book(source, build) if single_file else made


def _expected(root: Path, build: Path, pages: Sequence[Page], again: Container[str]) -> dict[str, float]:
    """Seconds that each page will take, none for those from the cache."""
    expected = {}
    for page in pages:
        inputs = inputs_of(root, page)
        kept = page.name not in again and copy_of(build, page, inputs).is_file()
        expected[page.name] = 0.0 if kept else expected_seconds(build, page, inputs)
    return expected
