"""What Sphinx reads: the book's own pages beside the executed notebooks, each with its provenance."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml

import stm_core
from stm_core.study.cache import PROVENANCE, digest_of
from stm_core.study.claims import Verdict, claims_table
from stm_core.study.contents import contents
from stm_core.study.folding import fold_code

_WIDGET = "application/vnd.jupyter.widget-view+json"
_WHOLE_PATH = re.compile(r'"/[^"\n]*/([^"/\n]+)"')
_QUOTES = re.compile(r"\{glue:")  # a page of the book that quotes values of the notebooks


@dataclass(frozen=True)
class Recipe:
    """What was asked of the study beyond its defaults."""

    profile: str
    only: Sequence[str]
    overrides: Mapping[str, Any]


def stage(
    root: Path,
    build: Path,
    notebooks: Mapping[str, nbformat.NotebookNode],
    verdicts: Sequence[Verdict],
    recipe: Recipe,
) -> Path:
    """Folder for Sphinx to read: the book's own pages beside the executed notebooks, with their footers."""
    source = build / "src"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(root / "book", source / "book", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "book" / "_toc.yml").write_text(yaml.safe_dump(contents(root)), encoding="utf-8")
    library = sorted((root / "stm_core").rglob("*.py"))  # whose docstrings are a page of the book
    (source / "library.digest").write_text(digest_of(library, root))
    code = digest_of([*library, root / "constraints.txt"], root)
    footer = _of_the_study([notebook.metadata[PROVENANCE] for notebook in notebooks.values()], code, recipe)
    for page in sorted((source / "book").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        table = f"\n{claims_table(verdicts)}\n" if page.stem == "claims" else ""
        if table or _QUOTES.search(text):
            page.write_text(f"{text}{table}\n{footer}\n", encoding="utf-8")
    (source / "notebooks").mkdir()
    for name, notebook in notebooks.items():
        nbformat.write(_for_the_page(name, notebook), source / "notebooks" / f"{name}.ipynb")
    for kept in ("_config.yml", "constraints.txt"):
        shutil.copy(root / kept, source)
    return source


def _for_the_page(name: str, notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An executed notebook without what a static page cannot show, and with its provenance."""
    notebook = deepcopy(notebook)
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
    parameters = {key: _shown(value) for key, value in made_from["parameters"].items()}
    listed = ", ".join(f"`{key} = {value!r}`" for key, value in parameters.items() if key != "checkpoints")
    rows = {
        "parameters": listed,
        "seed": parameters.get("seed", "none: nothing on this page is random"),
        "data": f"`{made_from['data']}` (SHA-256, shortened)",
        "code": f"stm_core {made_from['version']}, library and pins `{made_from['code']}`",
        "run time": f"{made_from['seconds']:g} s",
    }
    link = f'<a href="../_sources/notebooks/{name}.ipynb" download>Download the executed notebook</a>'
    return _footer(rows, command(name, parameters), link)


def _of_the_study(pages: Sequence[Mapping[str, Any]], code: str, recipe: Recipe) -> str:
    """Markdown that says what a page was made from that quotes values of all the others."""
    laid = ", ".join(f"`{key} = {_shown(value)!r}`" for key, value in recipe.overrides.items())
    where = f" on {', '.join(recipe.only)}" if recipe.only else ""
    data = dict.fromkeys(page["data"] for page in pages)
    rows = {
        "profile": f"`{_shown(recipe.profile)}`" + (f", with {laid}{where}" if laid else ""),
        "data": f"{', '.join(f'`{digest}`' for digest in data)} (SHA-256, shortened)",
        "code": f"stm_core {stm_core.__version__}, library and pins `{code}`",
        "run time": f"{sum(page['seconds'] for page in pages):.0f} s for all {len(pages)} notebooks",
    }
    words = ["python", "-m", "stm_core", "study", "--profile", _shown(recipe.profile)]
    if recipe.overrides and recipe.only:
        words += ["--only", *recipe.only]
    for key, value in recipe.overrides.items():
        words += ["-p", key, _flow(_shown(value))]
    return _footer(rows, shlex.join(words))


def _footer(rows: Mapping[str, object], again: str, *others: str) -> str:
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    parts = [
        f"| | |\n|---|---|\n{table}",
        "To make it again, from a checkout:",
        f"```bash\n{again}\n```",
        *others,
    ]
    return "````{dropdown} How this page was made\n" + "\n\n".join(parts) + "\n````"


def _shown(value: Any) -> Any:
    """A value as a page shows it: of a whole path, which is another on every machine, the name."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _flow(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, str | int | float):
        return str(value)
    return yaml.safe_dump(value, default_flow_style=True).strip()


def command(name: str, parameters: Mapping[str, Any]) -> str:
    """The papermill command that runs a page with these parameters; files are given by their names."""
    given = {key: value for key, value in parameters.items() if value != "" and key != "checkpoints"}
    words = ["papermill", f"notebooks/{name}.ipynb", "out.ipynb"]
    for key, value in given.items():
        if isinstance(value, str | int | float):
            words += ["-p", key, str(value)]
        else:
            words += ["-y", yaml.safe_dump({key: value}, default_flow_style=True).strip().strip("{}")]
    return shlex.join(words)
