"""What Sphinx reads: the book's own pages beside the executed notebooks, each with its provenance."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import yaml

from stm_core.study.cache import PROVENANCE, digest_of
from stm_core.study.folding import fold_code

_WIDGET = "application/vnd.jupyter.widget-view+json"
_WHOLE_PATH = re.compile(r'"/[^"\n]*/([^"/\n]+)"')


def stage(root: Path, build: Path, executed: Mapping[str, Path]) -> Path:
    """Folder for Sphinx to read: a copy of ``book`` beside the executed notebooks."""
    source = build / "src"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(root / "book", source / "book", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "notebooks").mkdir()
    for name, path in executed.items():
        nbformat.write(_for_the_page(name, path), source / "notebooks" / f"{name}.ipynb")
    for kept in ("_config.yml", "constraints.txt"):
        shutil.copy(root / kept, source)
    library = sorted((root / "stm_core").rglob("*.py"))  # whose docstrings are a page of the book
    (source / "library.digest").write_text(digest_of(library, root))
    return source


def _for_the_page(name: str, path: Path) -> nbformat.NotebookNode:
    """An executed notebook without what a static page cannot show, and with its provenance."""
    notebook = nbformat.read(path, as_version=4)
    made_from = notebook.metadata.pop(PROVENANCE)
    for entry in (notebook, *notebook.cells):
        for left_out in ("widgets", "papermill", "execution"):
            entry.metadata.pop(left_out, None)
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.outputs = [output for output in cell.outputs if _WIDGET not in output.get("data", {})]
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = _WHOLE_PATH.sub(r'"\1"', cell.source)
            cell.metadata["tags"] = [*cell.metadata["tags"], "hide-input"]
            cell.metadata["mystnb"] = {"code_prompt_show": "Parameters of this run"}
    fold_code(notebook)
    footer = nbformat.v4.new_markdown_cell(_provenance(name, made_from), id="provenance")
    notebook.cells.append(footer)
    return notebook


def _provenance(name: str, made_from: Mapping[str, Any]) -> str:
    """Markdown that says what a page was made from, how to make it again, and where its notebook is."""
    parameters = made_from["parameters"]
    shown = {key: Path(value).name if key == "dataset" else value for key, value in parameters.items()}
    listed = ", ".join(f"`{key} = {value!r}`" for key, value in shown.items() if key != "checkpoints")
    rows = {
        "parameters": listed,
        "seed": parameters.get("seed", "none: nothing on this page is random"),
        "data": f"`{made_from['data']}` (SHA-256, shortened)",
        "code": f"stm_core {made_from['version']}, library and pins `{made_from['code']}`",
        "run time": f"{made_from['seconds']:g} s",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    return (
        f"````{{dropdown}} How this page was made\n| | |\n|---|---|\n{table}\n\n"
        f"To make it again, from a checkout:\n\n```bash\n{command(name, shown)}\n```\n\n"
        f'<a href="../_sources/notebooks/{name}.ipynb" download>Download the executed notebook</a>\n````'
    )


def command(name: str, parameters: Mapping[str, Any]) -> str:
    """The papermill command that runs a page with these parameters."""
    given = {key: value for key, value in parameters.items() if key not in ("dataset", "checkpoints")}
    words = ["papermill", f"notebooks/{name}.ipynb", "out.ipynb"]
    for key, value in given.items():
        if isinstance(value, str | int | float):
            words += ["-p", key, str(value)]
        else:
            words += ["-y", yaml.safe_dump({key: value}, default_flow_style=True).strip().strip("{}")]
    return shlex.join(words)
