"""Where the course of a quantity against U changes: two estimators with bootstrap intervals.

Any curve has a best breakpoint and a place of largest curvature. `Crossover` therefore says beside the place
how much a bend explains, and how much a smooth curve of as many parameters explains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

N_CANDIDATES = 200
NORMAL_RIDGE = 1e-12
FITTED = 4  # parameters of two lines that meet: the draws leave out as many levels
BANDWIDTH = 1 / 8  # of the range of U: width of the window that curvature is measured in
MARGIN = 1.5  # of these widths: nearer to an end, a second derivative is an extrapolation
Method = Literal["segments", "curvature"]


@dataclass(frozen=True)
class Crossover:
    """Where the slope of a quantity changes.

    Attributes
    ----------
    U : float
        Estimated place, eV.
    low, high : float
        Bounds of its bootstrap percentile interval, eV.
    slope_below, slope_above : float
        Slopes on either side, units of the quantity per eV.
    gain : float
        Share of the straight line's squared residual that two lines meeting at `U` remove, in [0, 1].
    smooth_gain : float
        The same for a cubic, which has as many parameters and no bend.
    """

    U: float
    low: float
    high: float
    slope_below: float
    slope_above: float
    gain: float
    smooth_gain: float

    @property
    def bends(self) -> bool:
        """Whether a bend explains the course better than a smooth curve of as many parameters."""
        return self.gain > self.smooth_gain

    def agrees(self, other: Crossover) -> bool:
        """Whether the two intervals overlap."""
        return self.low <= other.high and other.low <= self.high


def crossover(
    U: ArrayLike,
    score: ArrayLike,
    *,
    method: Method = "segments",
    confidence: float = 0.9,
    n_bootstrap: int = 500,
    seed: int = 0,
) -> Crossover:
    """Estimate where a quantity changes its course, with an interval.

    "segments" fits ``score = a + b U + c max(0, U - U_c)`` by least squares over a grid of U_c (Muggeo,
    Statistics in Medicine 22, 3055 (2003)). "curvature" takes the U of largest second derivative of a
    local parabola with Gaussian weights, an eighth of the range of U wide (Fan and Gijbels, Local Polynomial
    Modelling, 1996). U_c lies between the second and the last but one distinct U, and for "curvature" at
    least 1.5 such widths from the ends, beyond which a second derivative is an extrapolation. Within 2.5
    widths of an end it displaces a bend, by up to a third of a width.

    The bootstrap draws distinct U, since scores of equal U are not independent evidence about where the trend
    bends. As four parameters are fitted, it draws four fewer than there are. With 31 distinct U, a slope that
    changes by 0.8 per eV and noise of 0.05 to 0.2, a nominal 90 % interval of "segments" then covers the true
    bend in 89 to 92 % of 300 simulated sets, and one of "curvature", which is wider, in 96 to 100 %.

    Parameters
    ----------
    U : array_like, shape (n,)
        In eV, at least six distinct values.
    score : array_like, shape (n,)
        For example one column of `PCAResult.scores`.
    method : {"segments", "curvature"}
    confidence : float
        Nominal coverage of the interval, between 0 and 1.
    n_bootstrap : int
        Number of draws, at least 1.
    seed : int
        Seed of the draws.

    Raises
    ------
    ValueError
        If shapes, values or a setting are not accepted.
    """
    labels, values = np.asarray(U, dtype=np.float64), np.asarray(score, dtype=np.float64)
    _check(labels, values, method, confidence, n_bootstrap)
    levels, group, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.bincount(group, weights=values) / counts
    draws = np.random.default_rng(seed).multinomial(
        len(levels) - FITTED, np.full(len(levels), 1 / len(levels)), n_bootstrap
    )
    weights = counts * np.vstack([np.ones_like(levels), draws])
    breaks = np.linspace(levels[1], levels[-2], N_CANDIDATES)
    rss = _broken_stick(levels, means, weights, breaks)
    criterion = rss if method == "segments" else -_curvature(levels, means, weights, breaks)
    best = criterion.argmin(axis=1)
    low, high = np.quantile(breaks[best[1:]], [(1 - confidence) / 2, (1 + confidence) / 2])
    _, below, change = _solve(_two_lines(levels, breaks[best[:1]]), counts[None], means)[0]
    straight, smooth = (_residual(levels, means, counts, degree) for degree in (1, 3))
    gains = [1 - each / straight if straight > 0 else 0.0 for each in (rss[0, best[0]], smooth)]
    return Crossover(
        float(breaks[best[0]]),
        float(low),
        float(high),
        float(below),
        float(below + change),
        *(float(np.clip(gain, 0, 1)) for gain in gains),
    )


def _check(U: np.ndarray, score: np.ndarray, method: str, confidence: float, n_bootstrap: int) -> None:
    if score.ndim != 1 or not np.isfinite(score).all():
        raise ValueError(f"score must hold one finite value per U, not shape {score.shape} or NaN")
    if U.shape != score.shape or not np.isfinite(U).all():
        raise ValueError(f"U must be {len(score)} finite values in eV, one per score, not shape {U.shape}")
    if len(np.unique(U)) < FITTED + 2:
        raise ValueError(
            f"{len(np.unique(U))} distinct U are too few to place a bend; at least {FITTED + 2} are needed"
        )
    if method not in ("segments", "curvature"):
        raise ValueError(f"method is {method!r}, but must be 'segments' or 'curvature'")
    if not 0 < confidence < 1 or n_bootstrap < 1:
        raise ValueError(
            f"confidence is {confidence} and n_bootstrap {n_bootstrap}, but confidence must lie "
            "between 0 and 1 and n_bootstrap be at least 1"
        )


def _residual(U: np.ndarray, score: np.ndarray, counts: np.ndarray, degree: int) -> float:
    curve = np.polynomial.Polynomial.fit(U, score, degree, w=np.sqrt(counts))
    return float(np.sum(counts * (score - curve(U)) ** 2))


def _solve(design: np.ndarray, weights: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Weighted least squares (..., p) for designs (..., n, p) and weights (..., n)."""
    weighted = design * weights[..., None]
    normal = np.swapaxes(weighted, -1, -2) @ design
    right = np.swapaxes(weighted, -1, -2) @ score[:, None]
    # Draws that leave one side of the break empty have no unique slope there; the ridge makes it finite.
    size = design.shape[-1]
    ridge = NORMAL_RIDGE * np.trace(normal, axis1=-2, axis2=-1)[..., None, None] * np.eye(size)
    return np.linalg.solve(normal + ridge, right)[..., 0]


def _two_lines(U: np.ndarray, breaks: np.ndarray) -> np.ndarray:
    """Design (n_breaks, n_U, 3) of two lines that meet at each of the breaks."""
    hinge = np.maximum(0, U - breaks[:, None])
    return np.stack([np.ones_like(hinge), np.broadcast_to(U, hinge.shape), hinge], axis=-1)


def _broken_stick(U: np.ndarray, score: np.ndarray, weights: np.ndarray, breaks: np.ndarray) -> np.ndarray:
    """Squared residuals (n_weights, n_breaks) of two lines that meet."""
    design = _two_lines(U, breaks)
    rss = np.empty((len(weights), len(breaks)))
    for row, each in zip(rss, weights, strict=True):
        solution = _solve(design, np.broadcast_to(each, design.shape[:2]), score)
        row[:] = (score - np.einsum("bi,bui->bu", solution, design)) ** 2 @ each
    return rss


def _curvature(U: np.ndarray, score: np.ndarray, weights: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Magnitude of the local parabola's second derivative, (n_weights, n_places)."""
    distance = (U - places[:, None]) / (BANDWIDTH * np.ptp(U))
    design = np.stack([distance**power for power in range(3)], axis=-1)
    window = np.exp(-0.5 * distance**2)
    found = np.stack([np.abs(_solve(design, window * each, score)[:, 2]) for each in weights])
    margin = MARGIN * BANDWIDTH * np.ptp(U)
    return np.where((places >= U[0] + margin) & (places <= U[-1] - margin), found, -np.inf)
