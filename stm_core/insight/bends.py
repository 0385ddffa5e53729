"""Where the course of a quantity against U changes, with an interval, and whether it changes there at all.

Any curve has a best breakpoint and a place of largest curvature. What is asked first is therefore whether a
bend explains the course better than the best smooth curve does, and how often chance would say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from stm_core.insight.courses import EXPONENTS, FEWEST, N_BREAKS, Courses

BANDWIDTH = 1 / 8  # of the range of U: width of the window that curvature is measured in
MARGIN = 1.5  # of these widths: nearer to an end, a second derivative is an extrapolation
LEVEL = 0.05  # of the test
Method = Literal["bend", "curvature"]


@dataclass(frozen=True)
class Crossover:
    """Where a quantity changes its course.

    Attributes
    ----------
    U : float
        Estimated place, eV.
    low, high : float
        Bounds of its interval, eV.
    exponent : float
        1 for a kink, 1/2 for an onset as a square root, whichever fits better.
    gain : float
        Share of the best smooth curve's squared residual that the bend removes, in [0, 1].
    p_value : float
        How often a smooth course with errors of the same size gains as much from a bend.
    """

    U: float
    low: float
    high: float
    exponent: float
    gain: float
    p_value: float

    @property
    def bends(self) -> bool:
        """Whether a bend explains the course better than chance would let it in one case of twenty."""
        return self.p_value <= LEVEL

    def agrees(self, other: Crossover) -> bool:
        """Whether the two intervals overlap."""
        return self.low <= other.high and other.low <= self.high


def crossover(
    U: ArrayLike,
    score: ArrayLike,
    *,
    method: Method = "bend",
    confidence: float = 0.9,
    precision: float = 0.01,
    n_bootstrap: int = 999,
    seed: int = 0,
) -> Crossover:
    """Estimate where a quantity changes its course, with an interval and a test.

    Two models compete (`Courses`): a polynomial, and a polynomial plus ``c max(0, U - U_c)^p`` with p of 1 or
    1/2, each of the degree that the Bayesian information criterion chooses. Within mean-field theory an order
    parameter sets in as a square root, and what is even in it, such as the charge, with a kink. The
    p-value is that of the difference of the two criteria among courses drawn from the fitted polynomial
    (parametric bootstrap; Davies, Biometrika 74, 33 (1987) says why no textbook distribution serves).

    "bend" takes the U_c of least squares; its interval holds the middle share of those of courses drawn from
    the fitted bend, for which everything is chosen anew. With 31 to 57 values of U and errors of 1 to 3 % of
    the range, a nominal 90 % interval covers kinks and square-root onsets, alone or on a parabola, in 86 to
    100 % of 50 simulated sets each. "curvature" takes the U of largest second derivative of a local parabola
    with Gaussian weights, an eighth of the range of U wide (Fan and Gijbels, Local Polynomial Modelling,
    1996), at least 1.5 such widths from the ends, and removes the bias that it has on the drawn courses. It
    is a second opinion on a bend that is certain; of a faint one, or within two widths of an end, its
    interval is too narrow.

    Computed courses have no noise, but are not exact either. Errors are taken to be as large as the scatter
    about the most flexible model, and at least `precision`.

    Parameters
    ----------
    U : array_like, shape (n,)
        In eV, at least six distinct values. Scores of equal U are averaged: they are no independent
        evidence about where the trend bends.
    score : array_like, shape (n,)
        For example one column of `PCAResult.scores`.
    method : {"bend", "curvature"}
    confidence : float
        Nominal coverage of the interval, between 0 and 1.
    precision : float
        Smallest error of a score that is granted, in shares of the range of the scores.
    n_bootstrap : int
        Number of draws, at least 1; no p-value is below 1/(n_bootstrap + 1).
    seed : int
        Seed of the draws.

    Raises
    ------
    ValueError
        If shapes, values or a setting are not accepted.
    """
    labels, values = np.asarray(U, dtype=np.float64), np.asarray(score, dtype=np.float64)
    _check(labels, values, method, confidence, precision, n_bootstrap)
    levels, group, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.bincount(group, weights=values) / counts
    scale = np.ptp(means) or 1.0
    course, courses = (means - means.mean()) / scale, Courses(levels)
    fit = courses.fit(course[None], precision)
    rng = np.random.default_rng(seed)
    noise = np.sqrt(fit.variance) * rng.standard_normal((2, n_bootstrap, len(levels)))
    smooth = courses.fit(fit.smooth + noise[0], precision)
    p_value = (1 + np.sum(smooth.evidence >= fit.evidence)) / (1 + n_bootstrap)
    drawn, here = fit.bent + noise[1], float(courses.breaks[fit.place[0]])
    half = (courses.breaks[1] - courses.breaks[0]) / 2
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    if method == "bend":
        place = here
        low, high = np.quantile(courses.breaks[courses.fit(drawn, precision).place], tails)
    else:
        found, *others = _largest_curvature(levels, np.vstack([course, drawn]))
        high, low = found - (np.quantile(others, tails) - here)
        place = found - (np.median(others) - here)
    exponent, gain = EXPONENTS[int(fit.power[0])], float(fit.gain[0])
    return Crossover(float(place), float(low - half), float(high + half), exponent, gain, float(p_value))


def _check(
    U: np.ndarray, score: np.ndarray, method: str, confidence: float, precision: float, n_bootstrap: int
) -> None:
    if score.ndim != 1 or not np.isfinite(score).all():
        raise ValueError(f"score must hold one finite value per U, not shape {score.shape} or NaN")
    if U.shape != score.shape or not np.isfinite(U).all():
        raise ValueError(f"U must be {len(score)} finite values in eV, one per score, not shape {U.shape}")
    if len(np.unique(U)) < FEWEST:
        raise ValueError(
            f"{len(np.unique(U))} distinct U are too few to place a bend; at least {FEWEST} are needed"
        )
    if method not in ("bend", "curvature"):
        raise ValueError(f"method is {method!r}, but must be 'bend' or 'curvature'")
    if not 0 < confidence < 1 or not 0 < precision < 1 or n_bootstrap < 1:
        raise ValueError(
            f"confidence is {confidence}, precision {precision} and n_bootstrap {n_bootstrap}, but the first "
            "two must lie between 0 and 1 and n_bootstrap be at least 1"
        )


def _largest_curvature(U: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Where each course (n_courses, n_U) has the largest second derivative of a local parabola."""
    width = BANDWIDTH * np.ptp(U)
    places = np.linspace(U[0] + MARGIN * width, U[-1] - MARGIN * width, N_BREAKS)
    distance = (U - places[:, None]) / width
    window = np.exp(-0.25 * distance**2)  # the root of the weights of squared residuals
    design = np.stack([distance**power for power in range(3)], axis=-1) * window[..., None]
    second = np.linalg.pinv(design)[:, 2] * window
    return places[np.abs(scores @ second.T).argmax(axis=1)]
