"""Measures that respect what the predictions are: many images of each U, and few distinct U."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stm_core.learning.evaluation import evaluate

MEASURES = ("mae", "rmse", "r2", "bias")


@dataclass(frozen=True)
class Interval:
    """A bootstrap percentile interval from `low` to `high`."""

    low: float
    high: float


def bootstrap_intervals(
    U_true: ArrayLike,
    U_pred: ArrayLike,
    *,
    metrics: Sequence[str] = MEASURES,
    confidence: float = 0.9,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """How much the measures of `evaluate` depend on which U happened to be tested.

    Distinct U are drawn with replacement, each with all its images: images of one U are siblings, and drawing
    them one by one would make the intervals much too short (cluster bootstrap; Field and Welsh, J. R. Stat.
    Soc. B 69, 369 (2007)).

    Parameters
    ----------
    U_true, U_pred : array_like, shape (n,)
        In eV, at least two distinct true U.
    metrics : sequence of str
        Some of mae, rmse, r2 and bias, as `Metrics` has them.
    confidence : float
        Nominal coverage, between 0 and 1.
    n_bootstrap : int
        Number of draws, at least 1.
    seed : int
        Seed of the draws.

    Raises
    ------
    ValueError
        If a shape, value or setting is not accepted, or there is only one distinct U.
    """
    evaluate(U_true, U_pred)
    true, predicted = np.asarray(U_true, dtype=np.float64), np.asarray(U_pred, dtype=np.float64)
    if not set(metrics) <= set(MEASURES) or not 0 < confidence < 1 or n_bootstrap < 1:
        raise ValueError(
            f"metrics are {metrics}, confidence {confidence} and n_bootstrap {n_bootstrap}, but metrics must "
            f"be among {', '.join(MEASURES)}, confidence between 0 and 1 and n_bootstrap at least 1"
        )
    values, group, counts = np.unique(true, return_inverse=True, return_counts=True)
    if len(values) < 2:
        raise ValueError("one distinct U has no spread over U; at least two are needed for an interval")
    drawn = np.random.default_rng(seed).multinomial(
        len(values), np.full(len(values), 1 / len(values)), n_bootstrap
    )
    draws = _measures(drawn, values, counts, predicted - true, group)
    # A draw of one U alone has no r2; it says nothing about r2's spread.
    tail = (1 - confidence) / 2
    bounds = {name: np.nanquantile(draws[name], [tail, 1 - tail]) for name in metrics}
    return {name: Interval(float(low), float(high)) for name, (low, high) in bounds.items()}


def _measures(
    drawn: np.ndarray, values: np.ndarray, counts: np.ndarray, error: np.ndarray, group: np.ndarray
) -> dict[str, np.ndarray]:
    """Measures (n_bootstrap,) when each of `values` (n_U,) is drawn `drawn` (n_bootstrap, n_U) times."""
    n, absolute, signed, squared = (
        drawn @ sums
        for sums in (counts, *(np.bincount(group, weights=w) for w in (np.abs(error), error, error**2)))
    )
    centred = values - values.mean()
    variance = drawn @ (counts * centred**2) / n - (drawn @ (counts * centred) / n) ** 2
    several = np.count_nonzero(drawn, axis=1) > 1
    r2 = np.where(several, 1 - squared / n / np.where(several, variance, 1), np.nan)
    return {"mae": absolute / n, "rmse": np.sqrt(squared / n), "r2": r2, "bias": signed / n}


def snapping(U: ArrayLike, levels: ArrayLike = (0, 1, 2, 3, 4, 5), within: float = 0.1) -> float:
    """Share of U that lie within `within` of one of `levels`, all in eV.

    A regressor that snaps to its training levels has a larger share among its predictions than there is among
    the true U.

    Raises
    ------
    ValueError
        If `U` or `levels` are empty, not one-dimensional or not finite, or `within` is not above 0.
    """
    values, known = np.asarray(U, dtype=np.float64), np.asarray(levels, dtype=np.float64)
    for name, array in (("U", values), ("levels", known)):
        if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite values in eV of shape (n,), not of shape {array.shape}")
    if not within > 0:
        raise ValueError(f"within is {within}, but must be above 0 eV")
    return float(np.mean(np.abs(values[:, None] - known).min(axis=1) <= within))
