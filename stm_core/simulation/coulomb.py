"""The Coulomb interaction between two metallic gates, summed over a periodic crystal."""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike, NDArray

from .ewald import (
    KNOT_STEP,
    SCREENED_OUT,
    cubic_pieces,
    fold,
    interpolate,
    periodic_sum,
    reduced_lattice,
    screening,
)
from .lattice import Crystal, fractions

COULOMB_CONSTANT = 14.3996
"""e²/4πε₀ in eV·Å."""


@dataclass(frozen=True)
class GateScreenedCoulomb:
    """Coulomb repulsion screened by two metallic gates, one on each side of the sheet.

    V(r) = (e²/4πε₀ε) Σ_n (-1)ⁿ / √(r² + (2nD)²), the image charges of a point charge half-way
    between two conducting planes 2D apart, r being the three-dimensional distance.

    Parameters
    ----------
    epsilon : float
        Relative permittivity of the surroundings.
    gate_distance : float
        D, from the sheet to each gate, in Å.
    tolerance : float
        Lattice sums stop where all that is left out adds less than this to a pair of atoms, in eV.
    """

    epsilon: float = 10.0
    gate_distance: float = 100.0
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("epsilon", "gate_distance", "tolerance"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")

    def __call__(self, r: ArrayLike) -> NDArray[np.float64]:
        """Interaction in eV at distances r > 0 in Å, of any shape."""
        r = np.asarray(r, dtype=float)
        return self._strength * screening(r / self.gate_distance) / r

    def hartree(self, crystal: Crystal) -> NDArray[np.float64]:
        """Interaction summed over all periodic images, Σ_R V(|r_j + R - r_i|).

        An atom's interaction with itself (R = 0) is left to the on-site U.

        Parameters
        ----------
        crystal : Crystal
            N atoms and their lattice.

        Returns
        -------
        (N, N) float array
            Symmetric matrix in eV.
        """
        allowed = self.tolerance / self._strength
        return self._strength * periodic_sum(crystal, self.gate_distance, allowed)

    def exchange(self, crystal: Crystal, nk: int) -> NDArray[np.float64]:
        """Interaction at the nearest image within the Born-von Kármán cell of a k-grid.

        The density matrix of an nk by nk grid repeats after nk cells, so its Fock term is cut at
        the nearest of the repeated images.

        Parameters
        ----------
        crystal : Crystal
            N atoms and their lattice.
        nk : int
            k-points per direction.

        Returns
        -------
        (nk², N, N) float array
            V(|r_j + R - r_i|) in eV for the cells R of ``fractions(nk)``; zero on an atom itself.
        """
        step = KNOT_STEP * self.gate_distance
        radii = np.arange(0.0, SCREENED_OUT * self.gate_distance, step)
        supercell = reduced_lattice(nk * crystal.lattice)
        return _nearest_images(
            crystal.positions,
            fractions(nk) @ crystal.lattice,
            supercell,
            np.linalg.inv(supercell),
            (fractions(3) - 1) @ supercell,
            self._strength * cubic_pieces(radii, screening(radii / self.gate_distance)),
            step,
        )

    @property
    def _strength(self) -> float:
        return COULOMB_CONSTANT / self.epsilon


@njit(parallel=True, cache=True)
def _nearest_images(positions, cells, lattice, inverse, around, pieces, step):  # pragma: no cover
    """f(r)/r at the nearest image of each pair, f interpolated, zero at r = 0; (cells, N, N)."""
    n = len(positions)
    result = np.zeros((len(cells), n, n))
    for i in prange(n):
        for index in range(len(cells)):
            for j in range(n):
                dx, dy, dz = positions[j] - positions[i]
                dx, dy = fold(dx + cells[index, 0], dy + cells[index, 1], lattice, inverse)
                nearest = dx * dx + dy * dy
                for shift in around:
                    nearest = min(nearest, (dx + shift[0]) ** 2 + (dy + shift[1]) ** 2)
                r = np.sqrt(nearest + dz * dz)
                if r > 1e-6:
                    result[index, i, j] = interpolate(r, pieces, step) / r
    return result
