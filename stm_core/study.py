"""The study: execute the ordered notebooks with a profile, then build the book from them.

Every executed notebook is cached under the digest of all it depends on (its source, its parameters, the
library, the pins and the data), so a second run repeats only what changed. The book is built from executed
notebooks alone: Sphinx runs nothing.

Folders, all below ``<output>/_build``: ``executed`` (the cache), ``partial`` (the notebook being run, or the
one that failed), ``checkpoints`` (trained networks), ``src`` (what Sphinx reads) and ``html`` (the book).
"""

from __future__ import annotations

import ast
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from tqdm.auto import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

logger = logging.getLogger(__name__)

CHECKOUT = Path(__file__).resolve().parents[1]
EVERY_PAGE = "every_page"
_TRAINED_WITH = ("simulation", "imaging", "data", "learning")
_WIDGET = "application/vnd.jupyter.widget-view+json"


class NotebookFailed(RuntimeError):
    """A notebook raised: the message names the notebook, the cell, the error and where to read on."""


class BookFailed(RuntimeError):
    """Sphinx refused the book: the message holds its first warnings and where to find the rest."""


@dataclass(frozen=True)
class Page:
    """One notebook of the study with the parameters it will run with."""

    name: str
    source: Path
    declared: Mapping[str, Any]
    parameters: Mapping[str, Any]


def run_study(
    root: Path = CHECKOUT,
    output: Path | None = None,
    *,
    profile: str = "quick",
    only: Sequence[str] = (),
    start: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    book: bool = True,
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
        Execute this notebook and all that follow it again.
    overrides : mapping, optional
        Parameters laid over the profile's, for the notebooks of ``only`` or else for all that declare them.
    book : bool
        Build the book. Without it only the selected notebooks are executed.

    Returns
    -------
    Path
        The book's ``index.html``, or the folder of executed notebooks without a book.

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
    pages = _lay(overrides or {}, only, read_pages(root, profile))
    names = [page.name for page in pages]
    for name in (*only, *([start] if start else [])):
        _check_name(name, names)
    again = {*only, *(names[names.index(start) :] if start else ())}
    wanted = pages if book or not again else [page for page in pages if page.name in again]
    executed = {}
    with logging_redirect_tqdm(), tqdm(wanted, unit="page") as bar:
        for page in bar:
            bar.set_postfix_str(page.name)
            executed[page.name] = execute(root, build, page, again=page.name in again)
    return build_book(stage(root, build, executed), build) if book else build / "executed"


def read_pages(root: Path, profile: str) -> list[Page]:
    """The notebooks of ``root`` in reading order, each with its parameters from ``profile``."""
    sources = sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not sources:
        raise FileNotFoundError(f"{root} holds no notebooks/00_….ipynb; run the study from a checkout")
    path = Path(profile)
    if path.suffix not in (".yml", ".yaml"):
        path = root / "notebooks" / "profiles" / f"{profile}.yml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in (root / "notebooks" / "profiles").glob("*.yml")))
        raise FileNotFoundError(f"no profile {profile!r}: take {known}, or the path of a YAML file")
    try:
        chosen = yaml.safe_load(path.read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError):
        chosen = None
    if not isinstance(chosen, dict) or not all(isinstance(v, dict) for v in chosen.values()):
        raise ValueError(f"{path.name} must be YAML that maps notebook names to their parameters")
    pages = [Page(source.stem, source, _declared(source), {}) for source in sources]
    for name in chosen:
        _check_name(name, [EVERY_PAGE, *(page.name for page in pages)])
    for key, value in chosen.get(EVERY_PAGE, {}).items():
        pages = _lay({key: value}, (), pages)
    return [replace(p, parameters={**p.parameters, **_checked(p, chosen.get(p.name, {}))}) for p in pages]


def _declared(source: Path) -> dict[str, Any]:
    """Parameter names of a notebook with their default values."""
    defaults = {}
    for name, found in papermill.inspect_notebook(str(source)).items():
        try:
            defaults[name] = ast.literal_eval(found["default"])
        except (ValueError, SyntaxError):
            defaults[name] = None
    return defaults


def _check_name(name: str, valid: Sequence[str]) -> None:
    if name not in valid:
        raise ValueError(f"unknown notebook {name!r}; the notebooks are {', '.join(valid)}")


def _checked(page: Page, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """``parameters``, if ``page`` declares each of them with a value of that type."""
    checked = {}
    for key, value in parameters.items():
        if key not in page.declared:
            valid = ", ".join(page.declared) or "none"
            raise ValueError(f"{page.name} has no parameter {key!r}; its parameters are {valid}")
        checked[key] = _like(page.declared[key], value)
        if checked[key] is None:
            raise ValueError(f"{page.name} takes {key} like {page.declared[key]!r}, not {value!r}")
    return checked


def _like(default: Any, value: Any) -> Any:
    """``value`` as the kind of ``default``, or None where it is of another; a default of None takes any."""
    if default is None:
        return value
    if isinstance(default, bool) or isinstance(value, bool) or not isinstance(default, (int, float)):
        return value if type(value) is type(default) else None
    try:
        number = float(value)  # YAML reads 1e-3 as a word
    except (TypeError, ValueError):
        return None
    return number if isinstance(default, float) else int(number) if number.is_integer() else None


def _lay(overrides: Mapping[str, Any], only: Sequence[str], pages: Sequence[Page]) -> list[Page]:
    """Pages with ``overrides`` on those of ``only``, or on every page that declares them."""
    selected = [page for page in pages if not only or page.name in only]
    for key in overrides:
        if not only and not any(key in page.declared for page in pages):
            valid = ", ".join(sorted({name for page in pages for name in page.declared}))
            raise ValueError(f"no notebook has a parameter {key!r}; the parameters are {valid}")
    laid = []
    for page in pages:
        mine = {k: v for k, v in overrides.items() if page in selected and (only or k in page.declared)}
        laid.append(replace(page, parameters={**page.parameters, **_checked(page, mine)}))
    return laid


def _digest(paths: Sequence[Path], root: Path, *texts: str) -> str:
    """Hexadecimal digest of the named files (with their names) and texts, 16 characters."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    for path in paths:
        name = path.relative_to(root) if path.is_relative_to(root) else path.name
        digest.update(hashlib.sha256(str(name).encode()).digest())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _depends_on(root: Path, page: Page, rooms: Sequence[str] = (".",)) -> list[Path]:
    """Files whose content decides a page's result: library rooms, pins and data."""
    library = [path for room in rooms for path in sorted((root / "stm_core" / room).rglob("*.py"))]
    dataset = page.parameters.get("dataset") or page.declared.get("dataset")
    if dataset and not Path(dataset).is_file():
        raise FileNotFoundError(f"{page.name}: there is no dataset {dataset}")
    data = [Path(dataset)] if dataset else sorted((root / "notebooks" / "data").glob("*.*"))
    return [*library, *[p for p in [root / "constraints.txt"] if p.is_file()], *data]


def execute(root: Path, build: Path, page: Page, again: bool = False) -> Path:
    """Executed copy of ``page``, from the cache unless ``again`` or something it depends on changed."""
    parameters = dict(page.parameters)
    source = page.source.read_text()
    key = _digest(_depends_on(root, page), root, source, yaml.safe_dump(parameters), sys.version)
    target = build / "executed" / f"{page.name}-{key}.ipynb"
    if target.is_file() and not again:
        logger.info("%-24s from the cache", page.name)
        return target
    if parameters.get("dataset"):
        parameters["dataset"] = str(Path(parameters["dataset"]).resolve())
    if "checkpoints" in page.declared:
        # Pages with the same settings share networks, and no network outlives the code that trained it.
        settings = {k: v for k, v in page.parameters.items() if v != page.declared[k]}
        trained = _digest(_depends_on(root, page, _TRAINED_WITH), root, yaml.safe_dump(settings))
        parameters.setdefault("checkpoints", str(build / "checkpoints" / trained))
    partial = build / "partial" / f"{page.name}.ipynb"
    for folder in (target.parent, partial.parent):
        folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    _papermill(page, partial, parameters, root)
    os.replace(partial, target)
    logger.info("%-24s %.1f s", page.name, time.perf_counter() - started)
    return target


def _papermill(page: Page, target: Path, parameters: Mapping[str, Any], cwd: Path) -> None:
    try:
        papermill.execute_notebook(
            str(page.source),
            str(target),
            parameters,
            cwd=str(cwd),
            kernel_name="python3",
            progress_bar=False,
            extra_arguments=["--log-level=ERROR"],
        )
    except PapermillExecutionError as error:
        said = " ".join(f"{error.ename}: {error.evalue}".split())
        raise NotebookFailed(
            f"{page.name} stopped in cell {error.cell_index} with {said} (read it up to there in {target})"
        ) from error
    except DeadKernelError as error:
        raise NotebookFailed(f"{page.name} stopped: its kernel died, out of memory perhaps") from error


def stage(root: Path, build: Path, executed: Mapping[str, Path]) -> Path:
    """Folder for Sphinx to read: a copy of ``book`` beside the executed notebooks."""
    source = build / "src"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(root / "book", source / "book", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "notebooks").mkdir()
    for name, path in executed.items():
        nbformat.write(_for_the_page(path), source / "notebooks" / f"{name}.ipynb")
    shutil.copy(root / "_config.yml", source)
    return source


def _for_the_page(path: Path) -> nbformat.NotebookNode:
    """An executed notebook without what a static page cannot show: widgets, paths and times of the run."""
    notebook = nbformat.read(path, as_version=4)
    for entry in (notebook, *notebook.cells):
        for left_out in ("widgets", "papermill", "execution"):
            entry.metadata.pop(left_out, None)
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.outputs = [output for output in cell.outputs if _WIDGET not in output.get("data", {})]
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"] = [*cell.metadata["tags"], "hide-input"]
            cell.metadata["mystnb"] = {"code_prompt_show": "Parameters of this run"}
    return notebook


def build_book(source: Path, build: Path) -> Path:
    """Build the staged ``source`` with warnings as errors; the last good book stays until this one is."""
    fresh = build / "next"
    shutil.rmtree(fresh, ignore_errors=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(source)]
    command += ["--config", str(source / "_config.yml"), "--toc", str(source / "book" / "_toc.yml")]
    command += ["--path-output", str(fresh), "-W", "--keep-going", "--all"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    log = build / "book.log"
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        said = [line for line in log.read_text().splitlines() if "WARNING" in line or "rror" in line]
        raise BookFailed(f"the book did not build: {'; '.join(said[:3])} (all of it in {log})")
    shutil.rmtree(build / "html", ignore_errors=True)
    os.replace(fresh / "_build" / "html", build / "html")
    shutil.rmtree(fresh, ignore_errors=True)
    return build / "html" / "index.html"
