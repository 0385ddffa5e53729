"""One call that executes what has changed and builds the book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from stm_core.study.book import build_book, print_book
from stm_core.study.execution import execute
from stm_core.study.pages import called, lay, read_pages
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
        Unknown notebook, profile or parameter; the message lists the valid ones.
    FileNotFoundError
        A profile or data file that is not there.
    NotebookFailed, BookFailed
        The study itself went wrong.
    """
    build = (output or root).resolve() / "_build"
    pages = read_pages(root, profile)
    names = [page.name for page in pages]
    only = [called(name, names) for name in only]
    pages = lay(overrides or {}, only, pages)
    again = {*only, *(names[names.index(called(start, names)) :] if start else ())}
    wanted = pages if book or not again else [page for page in pages if page.name in again]
    executed = {}
    with logging_redirect_tqdm(), tqdm(wanted, unit="page") as bar:
        for page in bar:
            bar.set_postfix_str(page.name)
            executed[page.name] = execute(root, build, page, again=page.name in again)
    if not book:
        return build / "executed"
    source = stage(root, build, executed)
    made = build_book(source, build)
    return print_book(source, build) if single_file else made
