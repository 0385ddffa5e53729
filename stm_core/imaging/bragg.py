"""The Fourier components of a periodic LDOS: amplitudes at the moiré reciprocal vectors."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stm_core.imaging.fourier import checked_ldos, k_axes
from stm_core.simulation import GRAPHENE_LATTICE

LAYERS = {"bottom": 0, "top": 1}


def layer_mask(layers: ArrayLike, layer: str) -> NDArray[np.bool_]:
    """Select the atoms of one layer, or of both.

    Parameters
    ----------
    layers : array of int, shape (N,)
        0 on the bottom layer, 1 on the top layer.
    layer : str
        "top", "bottom" or "both".

    Returns
    -------
    numpy bool array, shape (N,)

    Raises
    ------
    ValueError
        If `layer` is another word.
    """
    layers = np.asarray(layers)
    if layer == "both":
        return np.ones(layers.shape, dtype=bool)
    if layer not in LAYERS:
        raise ValueError(f"layer is {layer!r}; accepted are 'top', 'bottom' and 'both'.")
    return layers == LAYERS[layer]


def graphene_vectors(cell: Any, layer: str = "top") -> dict[str, NDArray[np.float64]]:
    """Landmarks of one layer in an FT-LDOS picture.

    Parameters
    ----------
    cell : TwistedBilayer
        Anything with `layer_lattices` (2, 2, 2): primitive vectors 60° apart of the bottom and the top
        layer, strained or not.
    layer : str
        "top" or "bottom".

    Returns
    -------
    dict
        "Bragg", the first shell of graphene's reciprocal vectors, and "K", the corners of its Brillouin
        zone, where intervalley coherence shows: each (6, 2) in 1/Å, counter-clockwise.

    Raises
    ------
    ValueError
        If `layer` is another word.
    """
    if layer not in LAYERS:
        raise ValueError(f"layer is {layer!r}; accepted are 'top' and 'bottom'.")
    reciprocal = 2 * np.pi * np.linalg.inv(np.asarray(cell.layer_lattices)[LAYERS[layer]]).T
    halves = {"Bragg": np.array([[1, 1], [0, 1], [-1, 0]]), "K": np.array([[2, 1], [1, 2], [-1, 1]]) / 3}
    return {name: np.concatenate([half, -half]) @ reciprocal for name, half in halves.items()}


def _window_vectors(cell: Any, extent: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Moiré reciprocal vectors in the window, whole and in 1/Å, by length and angle; the first is G = 0."""
    kx, ky = k_axes(2, extent)
    limit = np.array([kx[-1], ky[-1]]) / GRAPHENE_LATTICE
    # m = G·a₁/2π, so |m| ≤ |G|max·|a₁|/2π, and the same for the second vector.
    reach = int(np.ceil(np.linalg.norm(limit) * np.linalg.norm(cell.lattice, axis=1).max() / (2 * np.pi)))
    steps = np.arange(-reach, reach + 1)
    m, n = np.meshgrid(steps, steps, indexing="ij")
    whole = np.stack([m.ravel(), n.ravel()], axis=1)
    vectors = whole @ np.asarray(cell.reciprocal)
    inside = (np.abs(vectors) <= limit * (1 + 1e-9)).all(axis=1)
    whole, vectors = whole[inside], vectors[inside]
    length = np.round(np.linalg.norm(vectors, axis=1), 9)
    angle = np.round(np.arctan2(vectors[:, 1], vectors[:, 0]), 9)
    order = np.lexsort((angle, length))
    return whole[order], vectors[order]


def _waves(positions: NDArray, reciprocal: NDArray, whole: NDArray) -> NDArray[np.complex128]:
    """exp(−iG·r) (N, n_G) of G = m b₁ + n b₂: a factor of m times a factor of n, so few exponentials."""
    reach = int(np.abs(whole).max())
    steps = np.arange(-reach, reach + 1)
    first, second = (np.exp(-1j * np.outer(positions @ vector, steps)) for vector in reciprocal)
    return first[:, whole[:, 0] + reach] * second[:, whole[:, 1] + reach]


def bragg_amplitudes(
    cell: Any, ldos: ArrayLike, layer: str = "top", extent: float = 1.1
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Complex FT-LDOS at the moiré reciprocal vectors, where a periodic map holds all it knows.

    Parameters
    ----------
    cell : TwistedBilayer
        Anything with `positions` (N, 3) in Å, `lattice` and `reciprocal` (2, 2) rows, `layer` (N,).
    ldos : array, shape (n_bias, N), (N,) or (..., N)
        LDOS in 1/eV on every atom, or on the atoms of `layer` only.
    layer : str
        "top", "bottom" or "both".
    extent : float
        Half width of the window, as in `ft_ldos`.

    Returns
    -------
    amplitudes : numpy complex array, shape (n_bias, n_G) or (..., n_G)
        Σ_i LDOS_i exp(−iG·r_i), in the unit of `ldos`.
    G : numpy float array, shape (n_G, 2)
        Vectors in 1/Å, sorted by length and then by angle; `G[0]` is zero.

    Raises
    ------
    ValueError
        If the layer is unknown, or `ldos` matches neither the cell nor the layer, or is not finite.
    """
    mask = layer_mask(cell.layer, layer)
    values = np.asarray(ldos, dtype=float)
    if values.ndim and values.shape[-1] == mask.size:
        values = values[..., mask]
    values = checked_ldos(values, int(mask.sum()))
    whole, vectors = _window_vectors(cell, extent)
    return values @ _waves(np.asarray(cell.positions)[mask, :2], np.asarray(cell.reciprocal), whole), vectors
