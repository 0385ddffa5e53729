"""Executing a page, or finding it in the cache of executed ones."""

from __future__ import annotations

import ast
import hashlib
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

import stm_core
from stm_core.study.pages import Page

logger = logging.getLogger(__name__)

PROVENANCE = "stm_core"
"""Entry of an executed notebook's metadata that says what it was made from."""
_TRAINED_WITH = ("simulation", "imaging", "data", "learning")
_SHIPPED = ("data", "models")  # folders of notebooks/


class NotebookFailed(RuntimeError):
    """A notebook raised: the message names the notebook, the cell, the error and where to read on."""


def digest_of(paths: Sequence[Path], root: Path, *texts: str) -> str:
    """Hexadecimal digest of the named files (with their names) and texts, 16 characters."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    for path in paths:
        name = path.relative_to(root) if path.is_relative_to(root) else path.name
        digest.update(hashlib.sha256(str(name).encode()).digest())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _named(code: str, package: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Dotted names that Python code imports, relative ones taken from ``package``."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            yield from ((*module, alias.name) for alias in node.names)


def library_of(root: Path, code: str) -> list[Path]:
    """Files of ``stm_core`` that ``code`` imports, directly or through others, wherever the import stands."""
    reached: set[Path] = set()
    waiting = list(_named(code))
    while waiting:
        name = waiting.pop()
        if name[0] != "stm_core":
            continue
        for depth in range(1, len(name) + 1):
            folder = root.joinpath(*name[:depth])
            for path in (folder / "__init__.py", folder.with_suffix(".py")):
                if path.is_file() and path not in reached:
                    reached.add(path)
                    package = name[:depth] if path.parent == folder else name[: depth - 1]
                    waiting += _named(path.read_text(), package)
    return sorted(reached)


def _library_of(root: Path, page: Page) -> list[Path]:
    cells = nbformat.read(page.source, as_version=4).cells
    try:
        return library_of(root, "\n".join(cell.source for cell in cells if cell.cell_type == "code"))
    except SyntaxError as error:
        raise NotebookFailed(f"{page.name} holds a line that is not Python: {error.text}") from error


def _data_of(root: Path, page: Page) -> list[Path]:
    dataset = page.parameters.get("dataset") or page.declared.get("dataset")
    if dataset and not Path(dataset).is_file():
        raise FileNotFoundError(f"{page.name}: there is no dataset {dataset}")
    if dataset:
        return [Path(dataset)]
    shipped = (path for room in _SHIPPED for path in (root / "notebooks" / room).rglob("*.*"))
    return sorted(path for path in shipped if path.is_file())


def execute(root: Path, build: Path, page: Page, again: bool = False) -> Path:
    """Executed copy of ``page``, from the cache unless ``again`` or something it depends on changed."""
    data, library, pins = _data_of(root, page), _library_of(root, page), [root / "constraints.txt"]
    source, given = page.source.read_text(), yaml.safe_dump(dict(page.parameters))
    key = digest_of([*library, *pins, *data], root, source, given, sys.version)
    target = build / "executed" / f"{page.name}-{key}.ipynb"
    if target.is_file() and not again:
        logger.info("%-24s from the cache", page.name)
        return target
    partial = build / "partial" / f"{page.name}.ipynb"
    for folder in (target.parent, partial.parent):
        folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    _papermill(page, partial, _injected(root, build, page, [*pins, *data]), root)
    seconds = time.perf_counter() - started
    made_from = {"data": digest_of(data, root), "code": digest_of([*library, *pins], root)}
    _note(partial, page, {**made_from, "version": stm_core.__version__, "seconds": round(seconds, 1)})
    os.replace(partial, target)
    logger.info("%-24s %.1f s", page.name, seconds)
    return target


def _injected(root: Path, build: Path, page: Page, others: Sequence[Path]) -> dict[str, Any]:
    """Parameters as the kernel gets them: whole paths, and a folder for trained networks."""
    parameters = dict(page.parameters)
    if parameters.get("dataset"):
        parameters["dataset"] = str(Path(parameters["dataset"]).resolve())
    if "checkpoints" in page.declared:
        # Pages with the same settings share networks, and no network outlives the code that trained it.
        settings = {k: v for k, v in page.parameters.items() if v != page.declared[k]}
        rooms = [path for room in _TRAINED_WITH for path in sorted((root / "stm_core" / room).rglob("*.py"))]
        trained = digest_of([*rooms, *others], root, yaml.safe_dump(settings))
        parameters.setdefault("checkpoints", str(build / "checkpoints" / trained))
    return parameters


def _note(path: Path, page: Page, made_from: Mapping[str, Any]) -> None:
    """Write into an executed notebook what it was made from."""
    notebook = nbformat.read(path, as_version=4)
    parameters = {key: page.parameters.get(key, value) for key, value in page.declared.items()}
    notebook.metadata[PROVENANCE] = {"parameters": parameters, **made_from}
    nbformat.write(notebook, path)


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
