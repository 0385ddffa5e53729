"""Executing a page, or finding it in the cache of executed ones."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

import stm_core
from stm_core.study.cache import (
    PROVENANCE,
    Inputs,
    NotebookFailed,
    copy_of,
    digest_of,
    drop_superseded,
    inputs_of,
    names_a_file,
)
from stm_core.study.pages import Page

logger = logging.getLogger(__name__)

_TRAINED_WITH = ("simulation", "imaging", "data", "learning")


def execute(root: Path, build: Path, page: Page, again: bool = False) -> Path:
    """Executed copy of ``page``, from the cache unless ``again`` or something it depends on changed."""
    inputs = inputs_of(root, page)  # at the last moment: an earlier page may have written data
    target = copy_of(build, page, inputs)
    if target.is_file() and not again:
        logger.info("%-24s from the cache", page.name)
        return target
    partial = build / "partial" / f"{page.name}.ipynb"
    for folder in (target.parent, partial.parent):
        folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    _papermill(page, partial, _injected(root, build, page), root)
    seconds = time.perf_counter() - started
    _note(partial, page, inputs, seconds)
    os.replace(partial, target)
    drop_superseded(target)
    logger.info("%-24s %.1f s", page.name, seconds)
    return target


def _injected(root: Path, build: Path, page: Page) -> dict[str, Any]:
    """Parameters as the kernel gets them: whole paths, and a folder for trained networks."""
    parameters = dict(page.parameters)
    for key, value in parameters.items():
        if value and names_a_file(page, key):
            parameters[key] = str(Path(value).resolve())
    if "checkpoints" in page.declared:
        # Pages share networks, whose names say data and settings; none outlives the code that trained it.
        rooms = [path for room in _TRAINED_WITH for path in sorted((root / "stm_core" / room).rglob("*.py"))]
        made_from = [*rooms, root / "constraints.txt"]
        trained = digest_of(made_from, root)
        parameters.setdefault("checkpoints", str(build / "checkpoints" / trained))
    return parameters


def _note(path: Path, page: Page, inputs: Inputs, seconds: float) -> None:
    """Write into an executed notebook what it was made from."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata[PROVENANCE] = {
        "parameters": {key: page.parameters.get(key, value) for key, value in page.declared.items()},
        "data": inputs.data,
        "code": inputs.code,
        "version": stm_core.__version__,
        "seconds": round(seconds, 1),
    }
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
