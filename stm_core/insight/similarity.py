"""How images differ with U: cosine similarity and principal components, with their bootstrap bands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise

# Pixels whose spread is rounding noise beside the largest are left unscaled.
NEGLIGIBLE_SPREAD = 1e-9


def _images(images: ArrayLike, least: int) -> np.ndarray:
    array = np.asarray(images, dtype=np.float64)
    if array.ndim < 2 or len(array) < least:
        raise ValueError(
            f"images must have shape (n, ...), such as (n, height, width), with n of at least {least}, "
            f"not {array.shape}"
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
    images : array_like, shape (n, height, width) or (n, ...)
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


def pattern_change(coarse: ArrayLike, fine: ArrayLike) -> NDArray[np.float64]:
    """Distance of two patterns, each over its largest entry, relative to the norm of the second.

    Parameters
    ----------
    coarse, fine : array_like, shape (..., n)
        Amplitudes of one picture and of a better one, in any unit; by bias, for instance.

    Returns
    -------
    numpy float array, shape (...)
        0 for patterns that differ in strength alone.

    Raises
    ------
    ValueError
        If the shapes differ, or a pattern is not finite or has no positive entry.
    """
    patterns = [np.asarray(each, dtype=np.float64) for each in (coarse, fine)]
    if patterns[0].shape != patterns[1].shape or patterns[0].ndim < 1:
        raise ValueError(f"patterns must be two arrays of one shape, not {[p.shape for p in patterns]}")
    largest = [each.max(axis=-1, keepdims=True, initial=0) for each in patterns]
    if not all(
        np.isfinite(each).all() and (top > 0).all() for each, top in zip(patterns, largest, strict=True)
    ):
        raise ValueError("patterns must be finite, each with a positive largest amplitude")
    a, b = (each / top for each, top in zip(patterns, largest, strict=True))
    return np.asarray(np.linalg.norm(a - b, axis=-1) / np.linalg.norm(b, axis=-1))


@dataclass(frozen=True)
class PCAResult:
    """Principal components of a set of images.

    Attributes
    ----------
    scores : ndarray, shape (n_images, n)
        Coordinates of each image.
    components : ndarray, shape (n, height, width)
        Orthonormal eigen-images, of the images' shape; the largest pixel of each is positive.
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
        flat = self.components.reshape(len(self.components), -1)
        return centred.reshape(len(centred), -1) @ flat.T


def principal_components(images: ArrayLike, n: int = 3, standardise: bool = False) -> PCAResult:
    """The `n` leading principal components.

    Parameters
    ----------
    images : array_like, shape (n_images, height, width) or (n_images, ...)
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
class ComponentBands:
    """How certain principal components are, from a bootstrap.

    Attributes
    ----------
    low, high : ndarray, shape (n_images, n)
        Bounds of the scores.
    spread : ndarray, shape (n, height, width)
        Standard deviation of each pixel of the eigen-images.
    stability : ndarray, shape (n,)
        Mean |cosine| between a component and itself in the draws: 1 where it is certain.
    """

    low: np.ndarray
    high: np.ndarray
    spread: np.ndarray
    stability: np.ndarray


def component_bands(
    images: ArrayLike,
    result: PCAResult,
    U: ArrayLike,
    *,
    confidence: float = 0.9,
    n_bootstrap: int = 200,
    seed: int = 0,
) -> ComponentBands:
    """Bootstrap bands of principal components, drawing distinct U with replacement.

    Each draw's components are matched in order and sign to those of `result`, and all images are scored by
    them. Images of equal U are drawn together, since they are not independent evidence.

    Parameters
    ----------
    images : array_like, shape (n_images, height, width) or (n_images, ...)
    result : PCAResult
        Of these images.
    U : array_like, shape (n_images,)
        In eV.
    confidence : float
        Of the bands of the scores, between 0 and 1.
    n_bootstrap : int
        Number of draws, at least 1.
    seed : int
        Seed of the draws.

    Raises
    ------
    ValueError
        If shapes, values or a setting are not accepted.
    """
    pixels = _images(images, 2)
    levels, group = np.unique(_labels(U, len(pixels)), return_inverse=True)
    if not 0 < confidence < 1 or n_bootstrap < 1:
        raise ValueError(
            f"confidence is {confidence} and n_bootstrap {n_bootstrap}, but confidence must lie "
            "between 0 and 1 and n_bootstrap be at least 1"
        )
    flat = ((pixels - result.mean) / result.scale).reshape(len(pixels), -1)
    gram, n = flat @ flat.T, result.scores.shape[1]
    rng = np.random.default_rng(seed)
    scores, components, cosines = [], [], []
    for _ in range(n_bootstrap):
        drawn = rng.integers(len(levels), size=len(levels))
        rows = np.concatenate([np.flatnonzero(group == level) for level in drawn])
        weights = _drawn_components(gram, rows, n)
        overlap = result.scores.T @ weights
        mine, theirs = linear_sum_assignment(-np.abs(overlap))
        matched = overlap[mine, theirs]
        weights = weights[:, theirs] * np.sign(matched)
        scores.append(gram @ weights)
        components.append(weights.T @ flat)
        cosines.append(np.abs(matched))
    low, high = np.quantile(scores, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    spread = np.std(components, axis=0).reshape(result.components.shape)
    return ComponentBands(low, high, spread, np.mean(cosines, axis=0))


def _drawn_components(gram: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """Weights (n_images, n) of the images in the unit components of those drawn, from their products."""
    inner = gram[np.ix_(rows, rows)]
    centring = np.eye(len(rows)) - 1 / len(rows)
    values, vectors = np.linalg.eigh(centring @ inner @ centring)
    leading = centring @ vectors[:, ::-1][:, :n]
    # A draw of too few different images has fewer components; the rest weigh nothing.
    size = np.sqrt(np.maximum(values[::-1][:n], 0))
    unit = np.divide(leading, size, out=np.zeros_like(leading), where=size > NEGLIGIBLE_SPREAD * size[0])
    weights = np.zeros((len(gram), n))
    np.add.at(weights, rows, unit)
    return weights
