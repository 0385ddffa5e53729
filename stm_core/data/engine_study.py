"""The engine's own study: convergence in k, reference densities, branches and reliability, as one record."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from stm_core.files import replacing
from stm_core.imaging import bragg_amplitudes
from stm_core.simulation import (
    FlatBands,
    GateScreenedCoulomb,
    HartreeFock,
    HartreeFockState,
    TightBinding,
    TwistedBilayer,
    identify,
)
from stm_core.simulation.reference import REFERENCES

RECORDED = Path(__file__).parents[2] / "notebooks" / "data" / "engine.json"
"""The record that comes with the study."""

BENCHMARKS = RECORDED.with_name("benchmarks.json")
"""Figures of ``tests.benchmarks``, measured in one run each."""

PARTS = ("k_points", "references", "branches", "reliability")

Record = dict[str, Any]
_Case = tuple[dict[str, Any], Callable[[], Record]]


def load_engine_study(path: str | Path = "") -> dict[str, list[Record]]:
    """Records of each part; energies in eV, see ``engine_study``.

    Parameters
    ----------
    path : path
        Empty for the record that comes with the study.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a record of the study.
    """
    try:
        stored = json.loads(Path(path or RECORDED).read_text(encoding="utf-8"))
        if set(stored) - set(PARTS):
            raise KeyError
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a record of the engine study") from error
    return {part: stored.get(part, []) for part in PARTS}


def engine_study(
    path: str | Path,
    parts: Sequence[str] = PARTS,
    i: int = 9,
    spacing: float = 2.94,
    cutoff: float = 8.0,
    k_points: Sequence[int] = (1, 2, 3, 4, 5, 6),
    U: Sequence[float] = (1.0, 3.0, 5.0),
    fillings: Sequence[float] = (-2.0, -1.0, 1.0, 2.0),
    seeds: Sequence[int] = (0, 1, 2, 4, 5, 6, 7),
    n_random: int = 100,
    nk: int = 2,
) -> dict[str, list[Record]]:
    """Solve what the study of the engine needs and record it; go on where an earlier run stopped.

    Parameters
    ----------
    path : path
        JSON file, extended after every solution.
    parts : sequence of str
        ``k_points`` (neutral, U = 3 eV), ``references`` of the exchange, ``branches`` from every seed
        over U at neutrality and over fillings at U = 3 eV, ``reliability`` on random problems.
    i, spacing, cutoff
        The cell and its hopping, in Å.
    k_points, U, fillings, seeds : sequences
        What the parts run over; U in eV, fillings in electrons per cell.
    n_random : int
        Random problems: U in [0, 6] eV, filling in -4…4, seed in 0…7.
    nk : int
        k-points per direction of all parts but the first.

    Returns
    -------
    dict
        As from ``load_engine_study``.

    Raises
    ------
    ValueError
        For an unknown part.
    """
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise ValueError(f"unknown parts {sorted(unknown)}; the parts are {', '.join(PARTS)}")
    path = Path(path)
    records = load_engine_study(path) if path.exists() else {part: [] for part in PARTS}
    model = TightBinding(TwistedBilayer(i, spacing), cutoff)
    cases = {
        "k_points": lambda: _k_points(model, k_points),
        "references": lambda: _references(model, nk),
        "branches": lambda: _branches(model, nk, U, fillings, seeds),
        "reliability": lambda: _reliability(model, nk, n_random),
    }
    for part in parts:
        for key, solve in tqdm(list(cases[part]()), desc=part, leave=False):
            if any(all(record.get(k) == v for k, v in key.items()) for record in records[part]):
                continue
            records[part].append({**key, **solve()})
            with replacing(path) as beside:
                beside.write_text(json.dumps(records, indent=1), encoding="utf-8")
    return records


def _summary(state: HartreeFockState) -> Record:
    """What every part keeps of a state."""
    return {
        "free_energy": state.free_energy,
        "gap": state.gap,
        "converged": state.converged,
        "iterations": state.iterations,
        "single_iterations": state.single_iterations,
        "route": list(state.route),
        "operations": len(state.symmetry),
        "kept": len(state.levels),
    }


def _k_points(model: TightBinding, k_points: Sequence[int]) -> Iterator[_Case]:
    bias = np.linspace(-0.06, 0.06, 13)
    for nk in k_points:

        def solve(nk: int = nk) -> Record:
            problem = HartreeFock(model, 3.0, GateScreenedCoulomb(), nk=nk)
            state = problem.solve(seed=0)
            amplitudes = np.abs(bragg_amplitudes(model.crystal, state.ldos(bias))[0])
            return {
                **_summary(state),
                "bias": bias.tolist(),
                "amplitudes": np.round(amplitudes[:, :200], 6).tolist(),
            }

        yield {"nk": nk}, solve


def _references(model: TightBinding, nk: int) -> Iterator[_Case]:
    for reference in REFERENCES:

        def solve(reference: str = reference) -> Record:
            problem = HartreeFock(model, 3.0, GateScreenedCoulomb(), nk=nk, reference=reference)
            state = problem.solve(seed=0)
            return {**_summary(state), **state.order_parameters()}

        yield {"reference": reference}, solve


def _branches(
    model: TightBinding, nk: int, U: Sequence[float], fillings: Sequence[float], seeds: Sequence[int]
) -> Iterator[_Case]:
    problem = HartreeFock(model, 3.0, GateScreenedCoulomb(), nk=nk)
    flat = FlatBands(model, nk)
    points = [(u, 0.0) for u in U] + [(3.0, filling) for filling in fillings]
    for u, filling in points:
        for seed in seeds:

            def solve(u: float = u, filling: float = filling, seed: int = seed) -> Record:
                chosen = problem.at(U=u, filling=filling)
                state = chosen.solve(seed=seed, max_iterations=150)
                orders = flat.order_parameters(state)
                return {
                    **_summary(state),
                    "start": state.start,
                    "label": identify(orders),
                    "orders": orders,
                    **state.order_parameters(),
                }

            yield {"nk": nk, "U": u, "filling": filling, "seed": seed}, solve


def _reliability(model: TightBinding, nk: int, n_random: int) -> Iterator[_Case]:
    problem = HartreeFock(model, 3.0, GateScreenedCoulomb(), nk=nk)
    rng = np.random.default_rng(2026)
    for index in range(n_random):
        u, filling = round(float(rng.uniform(0, 6)), 3), float(rng.integers(-4, 5))
        seed = int(rng.integers(0, 8))

        def solve(u: float = u, filling: float = filling, seed: int = seed) -> Record:
            chosen = problem.at(U=u, filling=filling)
            state = chosen.solve(seed=seed, max_iterations=200)
            return {**_summary(state), "start": state.start, "residual": state.residual}

        yield {"nk": nk, "index": index, "U": u, "filling": filling, "seed": seed}, solve
