"""What a sweep's folder holds: its physics and which samples start from which, in ``physics.yml``."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from stm_core.files import replacing

from .plan import SweepPlan

_CHAINS = "warm chains"
_MAY_CHANGE = {"max_iterations", _CHAINS}


def check_record(path: Path, plan: SweepPlan) -> None:
    """Refuse a plan whose samples would not be those that a folder holds under the same names.

    Raises
    ------
    ValueError
        If the physics differs, or a sample of a warm plan would follow upon another one than before.
    """
    known, ours = _read(path), _identity(plan)
    changed = sorted(
        name for name in {*known, *ours} - _MAY_CHANGE if known.get(name, _default(name)) != ours.get(name)
    )
    if (_CHAINS in known) != (_CHAINS in ours):
        changed.append("warm")
    if changed:
        raise ValueError(
            f"{path.parent} holds a sweep with other {', '.join(changed)}; choose another folder"
        )
    before, now = _followed(known.get(_CHAINS, ())), _followed(ours.get(_CHAINS, ()))
    moved = next((name for name in now if name in before and now[name] != before[name]), None)
    if moved:
        raise ValueError(
            f"{path.parent} holds {moved}, which started from {before[moved] or 'its seed'} and in this plan "
            f"would start from {now[moved] or 'its seed'}; add samples in further blocks after the others"
        )


def write_record(path: Path, plan: SweepPlan) -> None:
    """Put a plan on record, and keep what is there of another that it goes with."""
    known, ours = _read(path) if path.exists() else {}, _identity(plan)
    if _CHAINS in ours:
        kept = _followed(ours[_CHAINS])
        ours[_CHAINS] = ours[_CHAINS] + [
            chain for chain in known.get(_CHAINS, ()) if not kept.keys() >= set(chain)
        ]
    merged = ours | {name: value for name, value in known.items() if name != _CHAINS}
    if merged != known:
        with replacing(path) as beside:
            beside.write_text(yaml.safe_dump(merged), encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        content = None
    if not isinstance(content, dict) or not _are_chains(content.get(_CHAINS, [])):
        raise ValueError(f"{path} is damaged; it says which physics the samples beside it have")
    return content


def _are_chains(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(chain, list) and all(isinstance(name, str) for name in chain) for chain in value
    )


def _identity(plan: SweepPlan) -> dict[str, Any]:
    """What the samples of a folder have in common, as YAML keeps it."""
    shared = {name: list(v) if isinstance(v, tuple) else v for name, v in plan.physics.items()}
    if plan.warm:
        shared[_CHAINS] = [[task.name for task in chain] for chain in plan.chains]
    return shared


def _default(name: str) -> Any:
    """What a parameter was before there was a choice."""
    return next((field.default for field in fields(SweepPlan) if field.name == name), None)


def _followed(chains: Iterable[list[str]]) -> Mapping[str, str | None]:
    """The sample before each one; equal for equal pasts, since it holds for that one as well."""
    return {name: before for chain in chains for before, name in pairwise([None, *chain]) if name}
