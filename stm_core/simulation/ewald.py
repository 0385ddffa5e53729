"""Lattice sums of the gate-screened Coulomb interaction, by Ewald's method, in units of 1/Å."""

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
from scipy.special import k0

from .lattice import Crystal

KNOT_STEP = 0.005
"""Knots of the radial splines, in units of the shortest length scale: interpolates to about 1e-11."""

SCREENED_OUT = 25.0
"""Gate distances beyond which the screening function is less than 1e-16."""

_SPLIT = 3.0  # times 1/√area: the width in k of the far part, which balances the two lattice sums


def screening(x: ArrayLike) -> NDArray[np.float64]:
    """Ratio of the gate-screened to the bare interaction, as a function of x = r/D.

    Σ_n (-1)ⁿ x/√(x² + 4n²). Beyond half a gate distance the Poisson-resummed form
    2x Σ_m K0((2m + 1) π x/2) takes over, which converges exponentially.

    Parameters
    ----------
    x : float array
        Distance over gate distance, not negative, of any shape.

    Returns
    -------
    float array
        Between 1 (x = 0) and 0 (x → ∞), same shape.
    """
    x = np.asarray(x, dtype=float)
    near = x < 0.5
    result = np.empty_like(x)
    result[near] = _image_sum(x[near])
    odd = 2 * np.arange(24) + 1
    far = x[~near]
    result[~near] = 2 * far * k0(np.multiply.outer(far, odd) * np.pi / 2).sum(axis=-1)
    return result


def periodic_sum(crystal: Crystal, gate_distance: float, allowed: float) -> NDArray[np.float64]:
    """Σ_R v(|r_j + R - r_i|) of v(r) = Σ_n (-1)ⁿ / √(r² + (2nD)²), without an atom on itself.

    A sum of Gaussians L(r) that equals v at long distance is summed over the reciprocal lattice,
    and the short-ranged rest v - L over the lattice.

    Parameters
    ----------
    crystal : Crystal
        N atoms and their lattice.
    gate_distance : float
        D in Å.
    allowed : float
        Error of a pair, in 1/Å.

    Returns
    -------
    (N, N) float array
        Symmetric, in 1/Å.
    """
    gaussians = _FarGaussians.of(gate_distance, _SPLIT / np.sqrt(crystal.area))
    total = _near_sum(crystal, gaussians, gate_distance, allowed / 2)
    total += _far_sum(crystal, gaussians, allowed / 2)
    total[np.diag_indices_from(total)] -= gaussians(0.0)
    return total


def reduced_lattice(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shortest two vectors that span the same lattice (Lagrange-Gauss), (2, 2) with rows in Å."""
    short, long = sorted(np.asarray(lattice, dtype=float), key=np.linalg.norm)
    while True:
        long = long - np.rint(short @ long / (short @ short)) * short
        if np.linalg.norm(long) >= np.linalg.norm(short) * (1 - 1e-12):
            return np.array([short, long])
        short, long = long, short


@dataclass(frozen=True)
class _FarGaussians:
    """Long-distance part L(r) = Σ_m w_m e^{-t_m² r²} of Σ_n (-1)ⁿ / √(r² + (2nD)²).

    From 1/s = (2/√π) ∫ e^{-t²s²} dt over t > 0, by quadrature over t < α (Ewald, Ann. Phys. 369,
    253 (1921)). The images turn into a factor Σ_n (-1)ⁿ e^{-(2nDt)²} that vanishes towards t = 0,
    so that no term of the reciprocal sum diverges.

    Attributes
    ----------
    rates, weights : (m,) float arrays
        t in 1/Å and w in 1/Å; empty where the gates leave nothing beyond the distance 1/α.
    split : float
        α in 1/Å.
    """

    rates: NDArray[np.float64]
    weights: NDArray[np.float64]
    split: float

    @classmethod
    def of(cls, gate_distance: float, split: float) -> "_FarGaussians":
        span = np.log(split * gate_distance / 0.12)  # the images' factor at 0.12/D is below 1e-17
        if span <= 0:
            return cls(np.empty(0), np.empty(0), split)
        nodes, weights = np.polynomial.legendre.leggauss(24 + int(12 * span))
        t = split * np.exp((nodes - 1) * span / 2)
        images = _alternating_gaussians(gate_distance * t)
        return cls(t, weights * span / 2 * t * images * 2 / np.sqrt(np.pi), split)

    def __call__(self, r: ArrayLike) -> NDArray[np.float64]:
        """L(r) in 1/Å."""
        return np.exp(-np.multiply.outer(np.asarray(r) ** 2, self.rates**2)) @ self.weights

    def transform(self, q: NDArray[np.float64], height: float) -> NDArray[np.float64]:
        """In-plane Fourier transform of L between two planes ``height`` apart, in Å, at q in 1/Å."""
        weights = self.weights * np.pi / self.rates**2 * np.exp(-((self.rates * height) ** 2))
        return np.exp(-np.multiply.outer(q**2, 1 / (4 * self.rates**2))) @ weights


def _alternating_gaussians(s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Σ_n (-1)ⁿ e^{-(2ns)²} over all integers, by its Poisson-resummed form where s is small."""
    n = np.arange(1, 8)
    direct = 1 + 2 * np.exp(-4 * np.multiply.outer(s, n) ** 2) @ (-1.0) ** n
    modes = np.exp(-((np.pi / 4 * np.multiply.outer(1 / s, 2 * n - 1)) ** 2)).sum(axis=-1)
    return np.where(s > 0.5, direct, np.sqrt(np.pi) / s * modes)


def _near_sum(
    crystal: Crystal, gaussians: _FarGaussians, gate_distance: float, allowed: float
) -> NDArray[np.float64]:
    """Lattice sum of the interaction without its far part, (N, N) in 1/Å, to ``allowed`` (1/Å)."""
    step = KNOT_STEP * min(gate_distance, 1 / gaussians.split)
    radii = np.arange(0.0, min(SCREENED_OUT * gate_distance, 8 / gaussians.split), step)
    values = screening(radii / gate_distance) - radii * gaussians(radii)  # r times the interaction
    rest = np.cumsum(np.abs(values)[::-1])[::-1] * step * 2 * np.pi / crystal.area
    # An integral for what lies beyond smooths out shells of atoms, hence a tenth.
    enough = rest[1:] + np.abs(values[1:]) / radii[1:] < allowed / 10
    reach = radii[1:][enough][0] if enough.any() else radii[-1]
    lattice = reduced_lattice(crystal.lattice)
    shifts = _vectors_within(lattice, reach + np.linalg.norm(lattice, axis=1).sum() / 2)
    pieces = cubic_pieces(radii, values)
    return _pair_sums(crystal.positions, shifts, lattice, np.linalg.inv(lattice), reach, pieces, step)


def _far_sum(crystal: Crystal, gaussians: _FarGaussians, allowed: float) -> NDArray[np.float64]:
    """Reciprocal sum of the far part over all images, (N, N) in 1/Å, to ``allowed`` (1/Å)."""
    # The transform falls like e^{-(q/2α)²}.
    waves = _vectors_within(reduced_lattice(crystal.reciprocal), 16 * gaussians.split)
    lengths = np.linalg.norm(waves, axis=1)
    rest = np.cumsum(gaussians.transform(lengths, 0.0)[::-1])[::-1] / crystal.area
    waves, lengths = waves[rest > allowed], lengths[rest > allowed]
    phases = crystal.positions[:, :2] @ waves.T
    patterns = np.concatenate([np.cos(phases), np.sin(phases)], axis=1)
    heights, level = np.unique(crystal.positions[:, 2].round(9), return_inverse=True)
    members = [np.flatnonzero(level == index) for index in range(len(heights))]
    total = np.empty((crystal.n_atoms, crystal.n_atoms))
    for a, b in combinations_with_replacement(range(len(heights)), 2):
        weights = np.sqrt(gaussians.transform(lengths, heights[b] - heights[a]) / crystal.area)
        lower, upper = (patterns[members[level]] * np.tile(weights, 2) for level in (a, b))
        block = lower @ upper.T
        total[np.ix_(members[a], members[b])] = block
        total[np.ix_(members[b], members[a])] = block.T
    return total


def _vectors_within(lattice: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Vectors of a lattice (rows) no longer than ``reach``, shortest first, (n, 2)."""
    heights = abs(np.linalg.det(lattice)) / np.linalg.norm(lattice[::-1], axis=1)
    n = (reach / heights).astype(int)
    cells = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in n), indexing="ij"), axis=-1)
    vectors = cells.reshape(-1, 2) @ lattice
    lengths = np.linalg.norm(vectors, axis=1)
    order = np.argsort(lengths)
    return vectors[order[: np.count_nonzero(lengths <= reach)]]


def cubic_pieces(knots: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients of the cubic spline through values on uniform knots, (4, n - 1), highest power first."""
    return np.ascontiguousarray(CubicSpline(knots, values).c)


@njit(inline="always")
def interpolate(r, pieces, step):  # pragma: no cover - compiled
    piece = int(r / step)
    if piece >= pieces.shape[1]:
        return 0.0
    u = r - piece * step
    return ((pieces[0, piece] * u + pieces[1, piece]) * u + pieces[2, piece]) * u + pieces[3, piece]


@njit(inline="always")
def fold(dx, dy, lattice, inverse):  # pragma: no cover - compiled
    """Shift a displacement by lattice vectors into the cell about the origin."""
    first = np.rint(dx * inverse[0, 0] + dy * inverse[1, 0])
    second = np.rint(dx * inverse[0, 1] + dy * inverse[1, 1])
    dx -= first * lattice[0, 0] + second * lattice[1, 0]
    dy -= first * lattice[0, 1] + second * lattice[1, 1]
    return dx, dy


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


@njit(parallel=True, cache=True)
def _pair_sums(positions, shifts, lattice, inverse, reach, pieces, step):  # pragma: no cover - compiled
    """Σ_R f(r)/r over images closer than ``reach``, f interpolated; (N, N)."""
    n = len(positions)
    total = np.zeros((n, n))
    for i in prange(n):
        for j in range(i, n):
            dx, dy, dz = positions[j] - positions[i]
            dx, dy = fold(dx, dy, lattice, inverse)
            value = 0.0
            for shift in shifts:
                r2 = (dx + shift[0]) ** 2 + (dy + shift[1]) ** 2 + dz * dz
                if 1e-12 < r2 < reach * reach:
                    r = np.sqrt(r2)
                    value += interpolate(r, pieces, step) / r
            total[i, j] = value
    for i in range(n):
        for j in range(i):
            total[i, j] = total[j, i]
    return total
