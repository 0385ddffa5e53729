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


def satellites(cell: Any, points: ArrayLike, layer: str = "top") -> np.ndarray:
    """Which wave vectors (..., 2) in 1/Å lie off their landmark, by half a moiré vector or more."""
    wave = np.asarray(points, dtype=float)
    landmarks, _ = _landmarks(cell, wave, layer)
    step = np.linalg.norm(np.asarray(cell.reciprocal), axis=1).min()
    return np.linalg.norm(wave - landmarks, axis=-1) >= step / 2


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
