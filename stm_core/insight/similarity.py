"""How images differ with U: cosine similarity, principal components, and where their trend bends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise

# Pixels whose spread is rounding noise beside the largest are left unscaled.
NEGLIGIBLE_SPREAD = 1e-9
N_CANDIDATES = 200
NORMAL_RIDGE = 1e-12


def _images(images: ArrayLike, least: int) -> np.ndarray:
    array = np.asarray(images, dtype=np.float64)
    if array.ndim != 3 or len(array) < least:
        raise ValueError(
            f"images must have shape (n, height, width) with n of at least {least}, not {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ValueError("images contain NaN or infinite values; every pixel must be finite")
    return array


def _labels(U: ArrayLike, n: int) -> np.ndarray:
    values = np.asarray(U, dtype=np.float64)
    if values.shape != (n,) or not np.isfinite(values).all():
        raise ValueError(
            f"U must be {n} finite values in eV, one for each of the others, not shape {values.shape}"
        )
    return values


def cosine_similarity(images: ArrayLike, U: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Cosine of the angle between the mean images of each U.

    Parameters
    ----------
    images : array_like, shape (n, height, width)
    U : array_like, shape (n,)
        In eV; images of equal U are averaged.

    Returns
    -------
    values : ndarray, shape (n_U,)
        The distinct U in ascending order, eV.
    matrix : ndarray, shape (n_U, n_U)
        Symmetric, within [-1, 1], ones on the diagonal.

    Raises
    ------
    ValueError
        If shapes or values are not accepted, or a mean image is zero everywhere.
    """
    pixels = _images(images, 1)
    values, group = np.unique(_labels(U, len(pixels)), return_inverse=True)
    means = np.stack([pixels[group == g].mean(axis=0).ravel() for g in range(len(values))])
    largest = np.abs(means).max(axis=1, keepdims=True)
    if not largest.all():
        raise ValueError(
            f"the mean image at U = {values[np.argmin(largest)]:g} eV is zero everywhere, "
            "so its angle to the others is not defined"
        )
    # Scaled to order one first: the squares of very small or large pixels would leave the range of doubles.
    matrix = np.clip(pairwise.cosine_similarity(means / largest), -1, 1)
    np.fill_diagonal(matrix, 1.0)
    return values, matrix


@dataclass(frozen=True)
class PCAResult:
    """Principal components of a set of images.

    Attributes
    ----------
    scores : ndarray, shape (n_images, n)
        Coordinates of each image.
    components : ndarray, shape (n, height, width)
        Orthonormal eigen-images; the largest pixel of each is positive.
    explained_variance_ratio : ndarray, shape (n,)
        Share of the total variance, in descending order.
    mean, scale : ndarray, shape (height, width)
        Removed from, and divided out of, every image first; `scale` is one without standardising.
    """

    scores: np.ndarray
    components: np.ndarray
    explained_variance_ratio: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    def transform(self, images: ArrayLike) -> np.ndarray:
        """Scores (n_images, n) of other images (n_images, height, width)."""
        centred = (_images(images, 1) - self.mean) / self.scale
        return np.einsum("nyx,cyx->nc", centred, self.components, optimize=True)


def principal_components(images: ArrayLike, n: int = 3, standardise: bool = False) -> PCAResult:
    """The `n` leading principal components.

    Parameters
    ----------
    images : array_like, shape (n_images, height, width)
    n : int
        Number of components, below the number of images.
    standardise : bool
        Scale each pixel to unit variance first (pixels that do not vary stay as they are).

    Returns
    -------
    PCAResult

    Raises
    ------
    ValueError
        If shapes, values or `n` are not accepted.
    """
    pixels = _images(images, 2)
    most = min(len(pixels) - 1, pixels[0].size)
    if not 1 <= n <= most:
        raise ValueError(
            f"n is {n}, but {len(pixels)} images of {pixels[0].size} pixels allow 1 to {most} components"
        )
    mean, spread = pixels.mean(axis=0), pixels.std(axis=0)
    varies = spread > NEGLIGIBLE_SPREAD * spread.max()
    scale = np.where(varies, spread, 1.0) if standardise else np.ones_like(spread)
    pca = PCA(n, svd_solver="full")
    scores = pca.fit_transform(((pixels - mean) / scale).reshape(len(pixels), -1))
    return PCAResult(
        scores, pca.components_.reshape(n, *mean.shape), pca.explained_variance_ratio_, mean, scale
    )


@dataclass(frozen=True)
class Crossover:
    """Where the slope of a score changes.

    Attributes
    ----------
    U : float
        Best breakpoint, eV.
    low, high : float
        Bounds of its bootstrap percentile interval, eV.
    slope_below, slope_above : float
        Slopes on either side, score units per eV.
    gain : float
        Share of the straight line's squared residual that the bend removes, in [0, 1]. A smooth curve also
        has a best breakpoint, so a breakpoint means little where the gain is small or the interval wide.
    """

    U: float
    low: float
    high: float
    slope_below: float
    slope_above: float
    gain: float


def crossover(
    U: ArrayLike, score: ArrayLike, *, confidence: float = 0.9, n_bootstrap: int = 500, seed: int = 0
) -> Crossover:
    """Breakpoint of two straight lines that meet, by least squares over a grid of breakpoints.

    The model is ``score = a + b U + c max(0, U - U_c)`` with U_c between the second and the last but one
    distinct U; see Muggeo, Statistics in Medicine 22, 3055 (2003). The bootstrap
    draws distinct U with replacement, since scores of equal U are not independent evidence about where the
    trend bends. Its interval is somewhat short: with 31 distinct U, a slope that changes by 0.8 per eV and
    noise of 0.03 to 0.2, a nominal 90 % interval covered the true bend in 85 to 86 % of 300 simulated sets.

    Parameters
    ----------
    U : array_like, shape (n,)
        In eV, at least five distinct values.
    score : array_like, shape (n,)
        For example one column of `PCAResult.scores`.
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
    values = np.asarray(score, dtype=np.float64)
    levels, group, counts = np.unique(_labels(U, len(values)), return_inverse=True, return_counts=True)
    _check_crossover(values, len(levels), confidence, n_bootstrap)
    means = np.bincount(group, weights=values) / counts
    breaks = np.linspace(levels[1], levels[-2], N_CANDIDATES)
    draws = np.random.default_rng(seed).multinomial(
        len(levels), np.full(len(levels), 1 / len(levels)), n_bootstrap
    )
    rss, coefficients = _broken_stick(
        levels, means, counts[None] * np.vstack([np.ones_like(levels), draws]), breaks
    )
    best = rss.argmin(axis=1)
    low, high = np.quantile(breaks[best[1:]], [(1 - confidence) / 2, (1 + confidence) / 2])
    _, below, change = coefficients[best[0]]
    line = np.polynomial.Polynomial.fit(levels, means, 1, w=np.sqrt(counts))
    straight = np.sum(counts * (means - line(levels)) ** 2)
    gain = 1 - rss[0, best[0]] / straight if straight > 0 else 0.0
    return Crossover(
        float(breaks[best[0]]),
        float(low),
        float(high),
        float(below),
        float(below + change),
        float(np.clip(gain, 0, 1)),
    )


def _check_crossover(score: np.ndarray, n_levels: int, confidence: float, n_bootstrap: int) -> None:
    if score.ndim != 1 or not np.isfinite(score).all():
        raise ValueError(f"score must hold one finite value per U, not shape {score.shape} or NaN")
    if n_levels < 5:
        raise ValueError(f"{n_levels} distinct U are too few to place a bend; at least 5 are needed")
    if not 0 < confidence < 1 or n_bootstrap < 1:
        raise ValueError(
            f"confidence is {confidence} and n_bootstrap {n_bootstrap}, but confidence must lie "
            "between 0 and 1 and n_bootstrap be at least 1"
        )


def _broken_stick(
    U: np.ndarray, score: np.ndarray, weights: np.ndarray, breaks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Squared residuals (n_weights, n_breaks) and, for the first weights, coefficients (n_breaks, 3)."""
    hinge = np.maximum(0, U - breaks[:, None])
    design = np.stack([np.ones_like(hinge), np.broadcast_to(U, hinge.shape), hinge], axis=-1)
    normal = np.einsum("wu,bui,buj->wbij", weights, design, design, optimize=True)
    right = np.einsum("wu,u,bui->wbi", weights, score, design, optimize=True)
    # Draws that leave one side of the break empty have no unique slope there; the ridge makes it finite.
    ridge = NORMAL_RIDGE * np.trace(normal, axis1=2, axis2=3)[..., None, None] * np.eye(3)
    solution = np.linalg.solve(normal + ridge, right[..., None])[..., 0]
    residual = score - np.einsum("wbi,bui->wbu", solution, design, optimize=True)
    return np.einsum("wu,wbu->wb", weights, residual**2), solution[0]
