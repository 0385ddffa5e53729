"""The notebooks of a study in reading order, each with the parameters it will run with."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import papermill
import yaml

EVERY_PAGE = "every_page"


@dataclass(frozen=True)
class Page:
    """One notebook of the study with the parameters it will run with."""

    name: str
    source: Path
    declared: Mapping[str, Any]
    parameters: Mapping[str, Any]


def notebooks(root: Path) -> list[Path]:
    """The notebooks of a checkout in reading order."""
    return sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def read_pages(root: Path, profile: str) -> list[Page]:
    """The notebooks of ``root`` in reading order, each with its parameters from ``profile``."""
    sources = notebooks(root)
    if not sources:
        raise FileNotFoundError(f"{root} holds no notebooks/00_….ipynb; run the study from a checkout")
    path = Path(profile)
    if path.suffix not in (".yml", ".yaml"):
        path = root / "notebooks" / "profiles" / f"{profile}.yml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in (root / "notebooks" / "profiles").glob("*.yml")))
        raise FileNotFoundError(f"no profile {profile!r}: take {known}, or the path of a YAML file")
    pages = [Page(source.stem, source, _declared(source), {}) for source in sources]
    chosen = _chosen(path, [EVERY_PAGE, *(page.name for page in pages)])
    for key, value in chosen.get(EVERY_PAGE, {}).items():
        pages = lay({key: value}, (), pages)
    return [replace(p, parameters={**p.parameters, **_checked(p, chosen.get(p.name, {}))}) for p in pages]


def _chosen(path: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Parameters by notebook, as a profile has them.

    Keys are taken as they are written: YAML itself reads an unquoted 05 as a number, and keeps the last of
    two entries of one name without a word.
    """
    chosen: dict[str, dict[str, Any]] = {}
    written: dict[str, str] = {}
    try:
        top = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
        for key, mapping in _entries(top):
            name = called(key, names)
            if name in chosen:
                raise ValueError(f"{path.name} has {name} twice, as {written[name]!r} and as {key!r}")
            written[name], chosen[name] = key, {}
            for parameter, value in _entries(mapping):
                if parameter in chosen[name]:
                    raise ValueError(f"{path.name} gives {name} two values of {parameter}")
                chosen[name][parameter] = yaml.SafeLoader("").construct_document(value)
    except (yaml.YAMLError, UnicodeDecodeError, TypeError) as error:
        raise ValueError(f"{path.name} must be YAML that maps notebook names to their parameters") from error
    return chosen


def _entries(node: yaml.Node | None) -> list[tuple[str, yaml.Node]]:
    """Keys of a mapping as they are written, each with its value; none of an empty file."""
    if node is None:
        return []
    if not isinstance(node, yaml.MappingNode):
        raise TypeError(node.tag)
    if not all(isinstance(key, yaml.ScalarNode) for key, _ in node.value):
        raise TypeError("a key of several words")
    return [(key.value, value) for key, value in node.value]


def _declared(source: Path) -> dict[str, Any]:
    """Parameter names of a notebook with their default values."""
    defaults = {}
    for name, found in papermill.inspect_notebook(str(source)).items():
        try:
            defaults[name] = ast.literal_eval(found["default"])
        except (ValueError, SyntaxError):
            defaults[name] = None
    return defaults


def called(name: str, valid: Sequence[str]) -> str:
    """The one of `valid` that `name` is, or the only one that begins with it: ``05`` is ``05_training``."""
    found = [name] if name in valid else [known for known in valid if name and known.startswith(name)]
    if len(found) != 1:
        raise ValueError(f"unknown notebook {name!r}; the notebooks are {', '.join(valid)}")
    return found[0]


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
    if isinstance(default, list) and isinstance(value, list):
        kind = default[0] if default else None
        alike = [_like(kind, each) for each in value]
        return alike if kind is None or None not in alike else None
    if isinstance(default, bool) or isinstance(value, bool) or not isinstance(default, (int, float)):
        return value if type(value) is type(default) else None
    try:
        number = float(value)  # YAML reads 1e-3 as a word
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number):
        return None
    return number if isinstance(default, float) else int(number) if number.is_integer() else None


def lay(overrides: Mapping[str, Any], only: Sequence[str], pages: Sequence[Page]) -> list[Page]:
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
