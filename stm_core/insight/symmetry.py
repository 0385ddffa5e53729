"""The point group's channels: what of a sample keeps the symmetry of the lattice, and what breaks it how."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stm_core.imaging import domain_average, domain_average_image, group_orbit

_TURNS = 6
_FREQUENCIES = {"A": 0, "B": 3, "E1": 1, "E2": 2}
THREEFOLD_BROKEN = ("E1", "E2")
"""The channels that a turn by 120° changes."""


def symmetry_channels(cell: Any, ldos: ArrayLike, layer: str = "top") -> dict[str, np.ndarray]:
    """Split samples into the irreducible representations of the rotations by 60°.

    The projectors are P_m = (d_m/6) Σ_n cos(πmn/3) C6ⁿ with d = 1 for A (m = 0) and B (m = 3), 2 for E1 and
    E2 (m = 1, 2); see Dresselhaus, Dresselhaus and Jorio, Group Theory (2008), eq. 4.28.

    Parameters
    ----------
    cell : TwistedBilayer
        Without strain, so that the layer has its six rotations.
    ldos : array_like, shape (..., N) or (..., N_layer)
        Any quantity on the atoms.
    layer : str
        "top" or "bottom".

    Returns
    -------
    dict of str to ndarray, shape (..., N_layer)
        "A": unchanged by every turn. "B": changes sign by a half turn and by 60°. "E1": the rest of what is
        odd under the half turn. "E2": what is even and turns with the axis, nematic order. They are
        orthogonal and add up to the sample.

    Raises
    ------
    ValueError
        If the cell is strained, the layer unknown, or `ldos` does not match it or is not finite.
    """
    if layer == "both":
        raise ValueError("layer is 'both'; accepted are 'top' and 'bottom', which turns keep.")
    mask = np.asarray(cell.layer) == {"bottom": 0, "top": 1}.get(layer, -1)
    values = np.asarray(ldos, dtype=float)
    if values.ndim and values.shape[-1] == mask.size:
        values = values[..., mask]
    orbit = group_orbit(cell, values, layer)
    if len(orbit) != _TURNS:
        raise ValueError(
            f"the cell has {len(orbit)} of the six rotations by 60°; one without strain is needed."
        )
    turns = np.arange(_TURNS)
    return {
        name: np.tensordot(np.cos(np.pi * m * turns / 3), orbit, 1) * (1 if m % 3 == 0 else 2) / _TURNS
        for name, m in _FREQUENCIES.items()
    }


def broken_share(values: ArrayLike, vectors: ArrayLike) -> np.ndarray:
    """Share of the squared norm of real values at Bragg peaks that turns by 60° change.

    Magnitudes are the same at G and −G, so that for them this is what breaks the threefold axis (E2).

    Parameters
    ----------
    values : array_like, shape (..., n_G)
        Real, for example magnitudes or a principal component of such; not all zero.
    vectors : array_like, shape (n_G, 2)
        Whole stars of reciprocal vectors, in 1/Å, as `stm_core.imaging.domain_average` keeps them.

    Returns
    -------
    ndarray, shape (...)
        In [0, 1].

    Raises
    ------
    ValueError
        If the stars are not whole, or values are zero everywhere.
    """
    array = np.asarray(values, dtype=float)
    averaged, kept = domain_average(array, vectors)
    if len(kept) != len(np.asarray(vectors)):
        raise ValueError(f"only {len(kept)} of {len(np.asarray(vectors))} vectors are in whole stars.")
    norm = np.sum(array**2, axis=-1)
    if not np.all(norm > 0):
        raise ValueError("values that are zero everywhere have no share of anything.")
    return np.sum((array - averaged) ** 2, axis=-1) / norm


def turned_share(pictures: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Share of the squared norm of pictures of the transform that turns by 60° change.

    A picture of a magnitude is even, so that this is what breaks the threefold axis; but turning pixels
    blurs. The second result is what the picture's own average, which is symmetric, loses in the same way:
    below it, nothing is known to be broken.

    Parameters
    ----------
    pictures : array_like, shape (n, size, size)
        Pictures or eigen-images, none of them zero everywhere.

    Returns
    -------
    changed, blurred : ndarray, shape (n,)
        In [0, 1].

    Raises
    ------
    ValueError
        As `stm_core.imaging.domain_average_image`, or if a picture is zero everywhere.
    """
    given = np.asarray(pictures, dtype=float)
    shares = []
    for _ in range(2):
        averaged = np.stack([domain_average_image(each) for each in given])
        norm = np.sum(given**2, axis=(-2, -1))
        if not np.all(norm > 0):
            raise ValueError("a picture that is zero everywhere has no share of anything.")
        shares.append(np.sum((given - averaged) ** 2, axis=(-2, -1)) / norm)
        given = averaged
    return shares[0], shares[1]
