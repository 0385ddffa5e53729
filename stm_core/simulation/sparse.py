"""Sparse Bloch Hamiltonians of large cells, and their levels around an energy."""

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.sparse.linalg import LinearOperator, eigsh, splu

from .hopping import TightBinding
from .observables import fermi, thermal_kernel
from .orbits import Orbits

TAIL = 40.0
"""Temperatures beyond which a Fermi function is 0 or 1."""

_GAP = 60.0  # temperatures across a gap in which the electron number no longer fixes μ


@dataclass(frozen=True, eq=False)
class RealBloch:
    """Bloch Hamiltonians as sparse real matrices, thanks to C2zT.

    With phases that follow the atoms, H_ij(k) = t_ij e^{ik·(r_j + R - r_i)}, half a turn about z
    with time reversal gives H_pq = H_ij* for the images p, q of the atoms i, j. In the basis
    (|i⟩ + |p⟩)/√2, i(|i⟩ - |p⟩)/√2 the matrix is then real at every k, which makes its
    factorisation several times faster (Ahn, Park and Yang, Phys. Rev. X 9, 021013 (2019),
    section II, on the reality condition).

    Parameters
    ----------
    model : TightBinding
        N atoms, with C2z among the symmetries of the crystal.
    partner : (N,) int array
        The permutation of the atoms by C2z; no atom may lie on the axis.

    Raises
    ------
    ValueError
        If the hopping is not symmetric under C2z.
    """

    model: TightBinding
    partner: NDArray[np.int64]
    order: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        first = np.flatnonzero(np.arange(len(self.partner)) < self.partner)
        object.__setattr__(self, "order", np.concatenate([first, self.partner[first]]))
        bare = self._bloch(np.zeros(2))
        half = len(first)
        if abs(bare[:half, :half] - bare[half:, half:]).max() > 1e-9:
            raise ValueError("the hopping must be symmetric under half a turn about z")

    def __call__(self, k: ArrayLike, potential: NDArray[np.float64]) -> sp.csc_array:
        """Real form of H(k) + diag(potential).

        Parameters
        ----------
        k : (2,) float array
            In 1/Å.
        potential : (N,) float array
            In eV, symmetric under C2z.

        Returns
        -------
        (N, N) sparse array
            In eV; row n and row n + N/2 belong to atom ``order[n]`` and its partner.
        """
        h = self._bloch(np.asarray(k, dtype=float)) + sp.diags_array(potential[self.order]).tocsr()
        half = h.shape[0] // 2
        within, across = h[:half, :half], h[:half, half:]
        return sp.block_array(
            [
                [within.real + across.real, across.imag - within.imag],
                [within.imag + across.imag, within.real - across.real],
            ],
            format="csc",
        )

    def _bloch(self, k: NDArray[np.float64]) -> sp.csr_array:
        """H(k) with the atoms in ``order``, (N, N) complex."""
        pairs, n = self.model.pairs, len(self.partner)
        place = np.empty(n, dtype=np.int64)
        place[self.order] = np.arange(n)
        values = self.model.values * np.exp(1j * pairs.displacement[:, :2] @ k)
        return sp.coo_array((values, (place[pairs.source], place[pairs.target])), shape=(n, n)).tocsr()


def levels_around(
    h: sp.csc_array, centre: float, half_width: float, guess: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """All levels closer to an energy than a half-width, and the number of levels below them.

    Lanczos on (H - centre)⁻¹ (Ericsson and Ruhe, Math. Comp. 35, 1251 (1980)). The factorisation
    pivots on the diagonal, so that by Sylvester's law the negative pivots count the levels below
    the centre.

    Parameters
    ----------
    h : (N, N) sparse array
        Real symmetric, in eV.
    centre, half_width : float
        In eV; the centre must not be a level.
    guess : int
        About how many levels there are; more are searched when they are not enough.

    Returns
    -------
    energies : (n,) float array
        Ascending, in eV; may reach a little beyond the half-width.
    states : (N, n) float array
        Normalised columns.
    below : int
        Number of levels of H under the first of these.

    Raises
    ------
    ValueError
        If the window holds every level.
    ArithmeticError
        If the pivots left the diagonal, so that they no longer count levels.
    """
    n = h.shape[0]
    factors = splu(
        (h - centre * sp.eye_array(n)).tocsc(),
        permc_spec="MMD_AT_PLUS_A",  # the fastest of SuperLU's orderings on these matrices
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    if np.any(factors.perm_r != factors.perm_c):
        raise ArithmeticError(f"H - {centre:g} eV could not be factorised with diagonal pivots")
    below = int(np.count_nonzero(factors.U.diagonal() < 0))
    inverse = LinearOperator(h.shape, matvec=factors.solve, dtype=float)
    start = np.random.default_rng(0).normal(size=n)
    while True:
        if guess >= n:
            raise ValueError(f"the window of ±{half_width:g} eV must leave some of the {n} levels outside")
        energies, states = eigsh(h, k=guess, sigma=centre, OPinv=inverse, v0=start)
        if np.abs(energies - centre).max() > half_width:
            break
        guess = int(1.3 * guess) + 1
    ascending = np.argsort(energies)
    energies = energies[ascending]
    return energies, states[:, ascending], below - int(np.count_nonzero(energies < centre))


@dataclass(frozen=True, eq=False)
class WindowLevels:
    """Levels near the Fermi energy on a k-grid, of one spin, with full point symmetry.

    Attributes
    ----------
    orbits : Orbits
    energies : (n,) float array
        In eV.
    share : (n,) float array
        States per cell that each level stands for: degeneracy and weight of its k-point.
    weights : (n_orbits, n) float array
        |ψ|² summed over the atoms of an orbit.
    below : float
        States per cell under these levels.
    centre, half_width : float
        The window that holds all levels, in eV.
    """

    orbits: Orbits
    energies: NDArray[np.float64]
    share: NDArray[np.float64]
    weights: NDArray[np.float64]
    below: float
    centre: float
    half_width: float

    def chemical_potential(self, electrons: float, temperature: float) -> float:
        """Chemical potential in eV that fills ``electrons`` per cell, both spins together.

        Raises
        ------
        ValueError
            If it falls outside the window, or too close to its edges for the temperature.
        """
        reach = self.half_width - TAIL * temperature
        lowest, highest = self.centre - reach, self.centre + reach

        def excess(mu: float) -> float:
            return float(self.share @ fermi(self.energies - mu, temperature) + self.below - electrons / 2)

        if lowest >= highest or excess(lowest) > 0 or excess(highest) < 0:
            raise ValueError("the window around the Fermi level is too narrow for the temperature or filling")
        order = np.argsort(self.energies)
        levels, filled = self.energies[order], np.cumsum(self.share[order]) + self.below
        top = int(np.searchsorted(filled, electrons / 2 - 1e-9))
        if abs(filled[top] - electrons / 2) < 1e-9 and levels[top + 1] - levels[top] > _GAP * temperature:
            return float(levels[top] + levels[top + 1]) / 2  # so deep in a gap, rounding would decide
        return float(brentq(excess, lowest, highest, xtol=1e-14, rtol=1e-14))

    def ldos(self, bias: ArrayLike, broadening: float, chemical_potential: float) -> NDArray[np.float64]:
        """Local density of states of both layers.

        Parameters
        ----------
        bias : (n_bias,) floats
            Energies from the chemical potential, in eV.
        broadening : float
            Width of ``observables.thermal_kernel``, in eV.
        chemical_potential : float
            In eV.

        Returns
        -------
        (n_bias, N) float array
            States per eV and atom, both spins together.
        """
        levels = self.energies - chemical_potential
        kernel = thermal_kernel(np.atleast_1d(np.asarray(bias, dtype=float))[:, None] - levels, broadening)
        per_atom = 2 * (kernel * self.share) @ self.weights.T / self.orbits.size
        return per_atom[:, self.orbits.of_atom]
