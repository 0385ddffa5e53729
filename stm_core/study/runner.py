"""One call that executes what has changed and builds the book."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from stm_core.study.book import build_book, print_book
from stm_core.study.cache import copy_of, expected_seconds, inputs_of
from stm_core.study.claims import check_claims, glued_values, read_claims, require
from stm_core.study.execution import execute
from stm_core.study.pages import Page, called, lay, read_pages
from stm_core.study.progress import Progress
from stm_core.study.staging import Recipe, stage

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
    strict: bool = False,
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
    strict : bool
        Fail, once all else is done, if a claim of ``book/claims.yml`` is not borne out by the values of the
        pages. Otherwise it is logged, and stands on the book's page of claims.

    Returns
    -------
    Path
        The book's ``index.html`` or its PDF, or the folder of executed notebooks without a book.

    Raises
    ------
    ValueError
        Unknown notebook or parameter, the message lists the valid ones; options that exclude each other; a
        claim that rests on no glued value.
    FileNotFoundError
        A profile or data file that is not there.
    NotebookFailed, BookFailed, ClaimsNotBorneOut
        The study itself went wrong.
    """
    if single_file and not book:
        raise ValueError("a single file is printed from the book: ask for it or for no book, not for both")
    if strict and not book and (only or start):
        raise ValueError("claims are those of all pages: strict goes with a book or with no choice of pages")
    build = (output or root).resolve() / "_build"
    pages = read_pages(root, profile)
    claims = read_claims(root / "book" / "claims.yml")
    names = [page.name for page in pages]
    only = [called(name, names) for name in only]
    pages = lay(overrides or {}, only, pages)
    again = {*only, *(names[names.index(called(start, names)) :] if start else ())}
    wanted = pages if book or not again else [page for page in pages if page.name in again]
    notebooks = _executed(root, build, wanted, again)
    glued = {key: value for notebook in notebooks.values() for key, value in glued_values(notebook).items()}
    verdicts = check_claims(claims, glued) if wanted is pages else []
    made = build / "executed"
    if book:
        recipe = Recipe(profile, only, overrides or {})
        source = stage(root, build, notebooks, verdicts, recipe)
        made = build_book(source, build)
        made = print_book(source, build) if single_file else made
    if strict:
        require(verdicts)
    return made


def _executed(
    root: Path, build: Path, pages: Sequence[Page], again: Container[str]
) -> dict[str, nbformat.NotebookNode]:
    """The executed notebooks by name."""
    executed = {}
    with Progress(_expected(root, build, pages, again)) as progress:
        for page in pages:
            with progress.page(page.name):
                executed[page.name] = execute(root, build, page, again=page.name in again)
    return {name: nbformat.read(path, as_version=4) for name, path in executed.items()}


def _expected(root: Path, build: Path, pages: Sequence[Page], again: Container[str]) -> dict[str, float]:
    """Seconds that each page will take, none for those from the cache."""
    expected = {}
    for page in pages:
        inputs = inputs_of(root, page)
        kept = page.name not in again and copy_of(build, page, inputs).is_file()
        expected[page.name] = 0.0 if kept else expected_seconds(build, page, inputs)
    return expected
