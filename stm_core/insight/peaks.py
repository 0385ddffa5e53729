"""Families of Bragg peaks: the satellites of the moiré, graphene's own peaks, and the Kekulé peaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stm_core.imaging import graphene_vectors, k_axes
from stm_core.simulation import GRAPHENE_LATTICE

FAMILIES = ("moiré", "graphene", "Kekulé")


def pixel_vectors(size: int, extent: float = 1.1) -> np.ndarray:
    """Wave vectors (size, size, 2) in 1/Å of the pixels' centres of a picture, rows ascending in k_y."""
    ends = [axis[-1] / GRAPHENE_LATTICE for axis in k_axes(2, extent)]
    # Pixel centres lie half a pixel inside the edges of the window.
    kx, ky = (end * ((2 * np.arange(size) + 1) / size - 1) for end in ends)
    return np.stack(np.meshgrid(kx, ky), axis=-1)


def _landmarks(cell: Any, points: np.ndarray, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Nearest corner or centre of graphene's zones, (..., 2) in 1/Å, and its pair of integers."""
    basis = graphene_vectors(cell, layer)["K"][:2]
    base = np.floor(points @ np.linalg.inv(basis))
    corners = base[..., None, :] + np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    distance = np.linalg.norm(corners @ basis - points[..., None, :], axis=-1)
    whole = np.take_along_axis(corners, distance.argmin(axis=-1)[..., None, None], axis=-2)[..., 0, :]
    return whole @ basis, whole.astype(int)


def peak_families(cell: Any, points: ArrayLike, layer: str = "top") -> dict[str, np.ndarray]:
    """To which landmark of one layer's transform wave vectors belong: the nearest one.

    Parameters
    ----------
    cell : TwistedBilayer
    points : array_like, shape (..., 2)
        In 1/Å: reciprocal vectors, or pixels (`pixel_vectors`).
    layer : str
        "top" or "bottom".

    Returns
    -------
    dict of str to ndarray of bool, shape (...)
        Each point is in one of them. "moiré": nearest to k = 0. "graphene": nearest to a reciprocal vector of
        the layer. "Kekulé": nearest to a corner of its zones, where a modulation by √3 × √3 shows.

    Raises
    ------
    ValueError
        If the layer is another word.
    """
    _, whole = _landmarks(cell, np.asarray(points, dtype=float), layer)
    centre = (whole == 0).all(axis=-1)
    # K vectors 60° apart span a lattice of which every third point is a reciprocal vector.
    reciprocal = (whole[..., 0] - whole[..., 1]) % 3 == 0
    return {"moiré": centre, "graphene": reciprocal & ~centre, "Kekulé": ~reciprocal}


def peak_shells(
    cell: Any, vectors: ArrayLike, layer: str = "top"
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each family the Bragg peaks next to its landmarks, and their first satellites.

    Parameters
    ----------
    cell : TwistedBilayer
    vectors : array_like, shape (n_G, 2)
        Moiré reciprocal vectors in 1/Å, as `bragg_amplitudes` returns them.
    layer : str
        "top" or "bottom".

    Returns
    -------
    dict of str to (central, satellites), each ndarray of bool, shape (n_G,)
        The peaks at the smallest distance from a landmark of the family, and at the next. A landmark that is
        no moiré vector itself, as a corner of graphene's zones, is surrounded by several of each.

    Raises
    ------
    ValueError
        If the layer is another word.
    """
    wave = np.asarray(vectors, dtype=float)
    landmarks, _ = _landmarks(cell, wave, layer)
    step = np.linalg.norm(np.asarray(cell.reciprocal), axis=1).min()
    distance = np.round(np.linalg.norm(wave - landmarks, axis=-1) / step, 4)
    shells = {}
    for name, mask in peak_families(cell, wave, layer).items():
        nearest, second = np.unique(distance[mask])[:2]
        shells[name] = (mask & (distance == nearest), mask & (distance == second))
    return shells


def pixels_of(vectors: ArrayLike, size: int, extent: float = 1.1) -> np.ndarray:
    """Which pixels (size, size) of a picture hold one of these wave vectors (n, 2) in 1/Å."""
    corner = -np.array([axis[-1] / GRAPHENE_LATTICE for axis in k_axes(2, extent)])
    places = np.floor((np.asarray(vectors, dtype=float) - corner) / (-2 * corner) * size)
    columns, rows = np.clip(places, 0, size - 1).astype(int).T
    mask = np.zeros((size, size), dtype=bool)
    mask[rows, columns] = True
    return mask


def satellite_share(saliency: ArrayLike, central: ArrayLike, satellites: ArrayLike) -> float:
    """What a map gives a satellite, of what it gives a satellite and a central peak, on average over peaks.

    Parameters
    ----------
    saliency : array_like
        Magnitudes count: over pixels, or over features that are peaks.
    central, satellites : array_like of bool, same shape

    Returns
    -------
    float
        One half where both are marked alike, 1 where only satellites are; NaN where neither is.
    """
    weight = np.abs(np.asarray(saliency, dtype=float))
    inner, outer = (weight[np.asarray(mask, dtype=bool)].mean() for mask in (central, satellites))
    return float(outer / (inner + outer)) if inner + outer > 0 else float("nan")


def family_weights(
    amplitudes: ArrayLike, vectors: ArrayLike, families: Mapping[str, ArrayLike]
) -> dict[str, np.ndarray]:
    """How strong each family of Bragg peaks is: (Σ |F(G)|²)^½ / |F(0)|, without G = 0.

    Parameters
    ----------
    amplitudes : array_like, shape (..., n_G)
        As `bragg_amplitudes` returns them, complex or as magnitudes.
    vectors : array_like, shape (n_G, 2)
        In 1/Å; the first is zero.
    families : mapping of str to array of bool, shape (n_G,)

    Returns
    -------
    dict of str to ndarray, shape (...)

    Raises
    ------
    ValueError
        If shapes do not match, the first vector is not zero, or nothing is there to divide by.
    """
    strength, wave = np.abs(np.asarray(amplitudes)), np.asarray(vectors, dtype=float)
    masks = {name: np.asarray(mask, dtype=bool) for name, mask in families.items()}
    if strength.shape[-1:] != wave.shape[:1] or any(mask.shape != wave.shape[:1] for mask in masks.values()):
        raise ValueError(f"amplitudes {strength.shape}, vectors {wave.shape} and families must match.")
    if wave[0].any() or not np.all(strength[..., 0] > 0):
        raise ValueError(
            "the first vector must be zero and its amplitude above zero: the others are over it."
        )
    return {
        name: np.sqrt(np.sum(strength[..., 1:][..., mask[1:]] ** 2, axis=-1)) / strength[..., 0]
        for name, mask in masks.items()
    }
