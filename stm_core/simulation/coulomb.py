"""The Coulomb interaction between two metallic gates, summed over a periodic crystal."""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
from scipy.special import k0

from .lattice import Crystal, fractions

COULOMB_CONSTANT = 14.3996
"""e²/4πε₀ in eV·Å."""

_KNOT_STEP = 0.005  # of the gate distance: interpolates the screening function to about 1e-11


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
        Lattice sums stop where all remaining images of an atom add less than this, in eV.
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
        return COULOMB_CONSTANT / self.epsilon * screening(r / self.gate_distance) / r

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
        reach = self._range(crystal)
        heights = np.linalg.norm(crystal.reciprocal, axis=1) / (2 * np.pi)
        spread = np.ptp(crystal.positions[:, :2], axis=0).max()
        n = np.ceil((reach + spread) * heights).astype(int)
        cells = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in n), indexing="ij"), axis=-1).reshape(
            -1, 2
        )
        strength = COULOMB_CONSTANT / self.epsilon
        spline = _spline_coefficients(reach / self.gate_distance)
        return strength * _lattice_sum(
            crystal.positions, cells @ crystal.lattice, reach, self.gate_distance, spline
        )

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
        separation = crystal.positions[None] - crystal.positions[:, None]
        supercell = nk * crystal.lattice
        around = (fractions(3) - 1) @ supercell
        result = np.empty((nk * nk, crystal.n_atoms, crystal.n_atoms))
        for index, cell in enumerate(fractions(nk) @ crystal.lattice):
            planar = separation[..., :2] + cell
            planar -= np.rint(planar @ np.linalg.inv(supercell)) @ supercell
            nearest = np.min([((planar + shift) ** 2).sum(axis=-1) for shift in around], axis=0)
            distance = np.sqrt(nearest + separation[..., 2] ** 2)
            itself = distance < 1e-6
            result[index] = np.where(itself, 0.0, self(np.where(itself, 1.0, distance)))
        return result

    def _range(self, crystal: Crystal) -> float:
        """Distance in Å beyond which all remaining images of one atom add less than the tolerance."""
        radii = self.gate_distance * np.arange(0.5, 40.0, 0.05)
        ring = 2 * np.pi * radii * self.gate_distance / crystal.area
        beyond = np.nonzero(ring * self(radii) < self.tolerance)[0]
        return float(radii[beyond[0]])


def screening(x: ArrayLike) -> NDArray[np.float64]:
    """Ratio of the gate-screened to the bare interaction, as a function of x = r/D.

    Σ_n (-1)ⁿ x/√(x² + 4n²). Beyond half a gate distance the Poisson-resummed form
    2x Σ_m K0((2m + 1) π x/2) takes over, which converges exponentially.

    Parameters
    ----------
    x : float array
        Distance over gate distance, positive, of any shape.

    Returns
    -------
    float array
        Between 1 (x → 0) and 0 (x → ∞), same shape.
    """
    x = np.asarray(x, dtype=float)
    near = x < 0.5
    result = np.empty_like(x)
    result[near] = _image_sum(x[near])
    odd = 2 * np.arange(24) + 1
    far = x[~near]
    result[~near] = 2 * far * k0(np.multiply.outer(far, odd) * np.pi / 2).sum(axis=-1)
    return result


@njit(cache=True)
def _image_sum(x):  # pragma: no cover - compiled
    """Alternating image-charge series by algorithm 1 of Cohen et al., Exp. Math. 9, 3 (2000)."""
    terms = 24
    d = (3.0 + np.sqrt(8.0)) ** terms
    d = (d + 1.0 / d) / 2.0
    result = np.empty_like(x)
    for p in range(x.size):
        b, c, total = -1.0, -d, 0.0
        for n in range(terms):
            c = b - c
            total += c / np.sqrt(x[p] ** 2 + 4.0 * (n + 1.0) ** 2)
            b *= (n + terms) * (n - terms) / ((n + 0.5) * (n + 1.0))
        result[p] = 1.0 - 2.0 * x[p] * total / d
    return result


def _spline_coefficients(x_max: float) -> NDArray[np.float64]:
    """Cubic pieces of the screening function on a uniform grid up to x_max, (4, n)."""
    knots = np.arange(0.0, x_max + 2 * _KNOT_STEP, _KNOT_STEP)
    values = np.concatenate([[1.0], screening(knots[1:])])
    return np.ascontiguousarray(CubicSpline(knots, values).c)


@njit(parallel=True, cache=True)
def _lattice_sum(positions, shifts, reach, gate_distance, spline):  # pragma: no cover - compiled
    """Σ_R s(r/D)/r over images closer than ``reach``, (N, N) in 1/Å."""
    n = len(positions)
    total = np.zeros((n, n))
    for i in prange(n):
        for j in range(i, n):
            dx, dy, dz = positions[j] - positions[i]
            value = 0.0
            for shift in shifts:
                r2 = (dx + shift[0]) ** 2 + (dy + shift[1]) ** 2 + dz * dz
                if 1e-12 < r2 < reach * reach:
                    r = np.sqrt(r2)
                    x = r / gate_distance / _KNOT_STEP
                    piece = int(x)
                    u = (x - piece) * _KNOT_STEP
                    c0, c1, c2, c3 = spline[0, piece], spline[1, piece], spline[2, piece], spline[3, piece]
                    value += (((c0 * u + c1) * u + c2) * u + c3) / r
            total[i, j] = value
    for i in range(n):
        for j in range(i):
            total[i, j] = total[j, i]
    return total
