"""Uniaxial heterostrain of two lattices, kept commensurate."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import polar

POISSON_RATIO = 0.16
"""Of graphene in its plane: contraction across over elongation along."""


def uniaxial(strain: float, angle: float) -> NDArray[np.float64]:
    """Strain tensor (2, 2) of an elongation along a direction (radians) and Poisson's contraction across."""
    direction = np.array([np.cos(angle), np.sin(angle)])
    along = np.outer(direction, direction)
    return strain * (along - POISSON_RATIO * (np.eye(2) - along))


def strained_cell(
    moire: NDArray[np.float64], layers: NDArray[np.float64], strain: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The commensurate cell nearest to two layers strained oppositely, by half each.

    A moiré vector is the same vector counted in both lattices, T = M₀ L₀ = M₁ L₁ with whole M, and
    one moiré cell keeps M₀ - M₁ whatever the strain. So the strained layers call for
    T = (M₀ - M₁)(L₀⁻¹ - L₁⁻¹)⁻¹; M₀ is rounded to integers, which fixes the deformation of one layer
    relative to the other, and the mean of M₀ L₀ and M₁ L₁ becomes the common moiré lattice.

    Parameters
    ----------
    moire : (2, 2) float array
        Moiré vectors of the unstrained layers as rows, in Å.
    layers : (2, 2, 2) float array
        Primitive vectors of the bottom and the top layer as rows, in Å.
    strain : (2, 2) float array
        Wanted strain of the top layer minus that of the bottom one.

    Returns
    -------
    moire : (2, 2) float array
        In Å.
    layers : (2, 2, 2) float array
        Uniformly deformed layers, exactly periodic in the new cell.
    """
    counts = np.rint(moire @ np.linalg.inv(layers))
    difference = counts[0] - counts[1]
    bottom, top = (layers[side] @ (np.eye(2) + (side - 0.5) * strain) for side in (0, 1))
    wanted = difference @ np.linalg.inv(np.linalg.inv(bottom) - np.linalg.inv(top))
    integers = np.rint(wanted @ np.linalg.inv(bottom))
    common = (integers @ bottom + (integers - difference) @ top) / 2
    return common, np.linalg.solve(np.stack([integers, integers - difference]), common)


def stretch_and_turn(
    reference: NDArray[np.float64], lattice: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Stretch tensor (2, 2) and turn (radians) whose product makes one lattice (rows) out of another.

    The lattice is first turned, then stretched along fixed directions (left polar decomposition).
    """
    turn, stretch = polar((np.linalg.inv(reference) @ lattice).T, side="left")
    return np.asarray(stretch, dtype=float), float(np.arctan2(turn[1, 0], turn[0, 0]))
