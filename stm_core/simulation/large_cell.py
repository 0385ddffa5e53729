"""Mean field of on-site and Hartree repulsion for cells too large to diagonalise."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import erfc
from tqdm.auto import tqdm

from .coulomb import GateScreenedCoulomb
from .guards import check_parameters
from .hopping import TightBinding
from .lattice import TwistedBilayer
from .observables import fermi
from .orbits import GammaLevels, Orbits
from .sparse import TAIL, RealBloch, WindowLevels, levels_around

log = logging.getLogger(__name__)

_STEP = 2.5  # window half-widths per width of the smooth step: all but erfc(2.5)/2 of it is inside


@dataclass(frozen=True, eq=False)
class LargeCellIteration:
    """What a callback is told after each iteration: the potential (N,) and energies, in eV."""

    number: int
    residual: float
    chemical_potential: float
    potential: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LargeCellState:
    """A spin-degenerate mean field of on-site and Hartree repulsion.

    Attributes
    ----------
    potential : (N,) float array
        Mean-field potential of each atom, in eV.
    density : (N,) float array
        Electrons per atom, both spins together.
    chemical_potential : float
        In eV.
    history : (iterations,) float array
        Largest difference between the potential put in and the one that came out, in eV.
    converged : bool
    """

    potential: NDArray[np.float64]
    density: NDArray[np.float64]
    chemical_potential: float
    history: NDArray[np.float64]
    converged: bool


class LargeCell:
    """Spin-restricted mean field of a bilayer of ten thousand atoms, without the Fock term.

    Each atom feels U(n/2 - ½) + Σ_j V_ij(n_j - 1). The Fermi function of its density is split as
    f = s + (f - s) with the smooth step s(E) = erfc((E - E_F)/w)/2. The remainder f - s vanishes
    outside a window and is summed over the k-grid from the levels that shift-invert Lanczos finds
    there. The step varies so slowly that its density matrix decays within the cell; it is summed
    at Γ alone, where D6 cuts the Hamiltonian into six small blocks that are diagonalised outright.

    Parameters
    ----------
    model : TightBinding
        Hopping of a ``TwistedBilayer`` with its full point group, N atoms.
    U : float
        On-site repulsion in eV, not negative.
    coulomb : GateScreenedCoulomb or None
        Long-range repulsion.
    filling : float
        Electrons per cell from neutrality, -4 to 4.
    nk : int
        k-points per direction of the Γ-centred grid.
    temperature : float
        Width of the Fermi-Dirac smearing, in eV.
    window : float
        Half-width of the window, in eV. w is a third of it; the error of summing s at Γ falls like
        a Gaussian of w times the cell length over ħv.

    Raises
    ------
    ValueError
        For a parameter outside these ranges, or a model without the symmetry D6.
    """

    def __init__(
        self,
        model: TightBinding,
        U: float,
        coulomb: GateScreenedCoulomb | None = None,
        filling: float = 0.0,
        nk: int = 3,
        temperature: float = 0.003,
        window: float = 0.4,
    ) -> None:
        if not isinstance(model.crystal, TwistedBilayer):
            raise ValueError("a large cell must be a TwistedBilayer")
        check_parameters(model.crystal, U, filling, nk)
        if not 0 < temperature < window / (2 * TAIL):
            raise ValueError(
                f"the temperature must be positive and below a {2 * TAIL:g}th of the window "
                f"({window} eV), not {temperature}"
            )
        self.model, self.U, self.coulomb, self.nk = model, U, coulomb, nk
        self.temperature, self.window = temperature, window
        self.electrons = model.crystal.n_atoms + filling
        self.orbits = Orbits(model.crystal)
        self._bloch = RealBloch(model, self.orbits.permutations[3])
        pairs, n = model.pairs, model.crystal.n_atoms
        self._gamma = sp.coo_array((model.values, (pairs.source, pairs.target)), shape=(n, n)).tocsr()
        for operation in self.orbits.permutations:
            if abs(self._gamma[operation][:, operation] - self._gamma).max() > 1e-9:
                raise ValueError("the hopping must keep the point group D6 of the cell")
        if model.layer_potential:
            raise ValueError("a large cell takes no layer potential: it breaks the point group D6")
        self._hartree = self._orbit_hartree()

    def solve(
        self,
        start: NDArray[np.float64] | None = None,
        tolerance: float = 1e-5,
        max_iterations: int = 40,
        callback: Callable[[LargeCellIteration], None] | None = None,
        progress: bool = True,
    ) -> LargeCellState:
        """Iterate the potential to self-consistency by Anderson mixing.

        Parameters
        ----------
        start : (N,) float array, optional
            Potential to start from, in eV: that of a callback resumes an interrupted run.
        tolerance : float
            Converged when no atom's potential changes by more, in eV.
        max_iterations : int
            Give up after this many; the state is then marked as not converged.
        callback : callable, optional
            Called with a ``LargeCellIteration`` after each iteration.
        progress : bool
            Show a progress bar.

        Returns
        -------
        LargeCellState

        Raises
        ------
        ValueError
            If the tolerance is not positive or the start has another shape.
        FloatingPointError
            If the potential becomes infinite or undefined.
        """
        n = self.model.crystal.n_atoms
        if not tolerance > 0 or max_iterations < 1:
            raise ValueError("the tolerance must be positive and max_iterations at least 1")
        if start is not None and start.shape != (n,):
            raise ValueError(f"the start must hold one potential for each of the {n} atoms")
        potential = np.zeros(n) if start is None else start
        reduced = self.orbits.sum(potential) / self.orbits.size
        mixer, history = _Anderson(), []
        with tqdm(total=max_iterations, desc=f"large cell, U = {self.U:g} eV", disable=not progress) as bar:
            for number in range(1, max_iterations + 1):
                potential = reduced[self.orbits.of_atom]
                density, mu = self.density(potential)
                change = self._mean_field(density) - reduced
                history.append(float(np.abs(change).max()))
                if not np.isfinite(history[-1]):
                    raise FloatingPointError(f"the potential of iteration {number} is not finite")
                bar.update()
                bar.set_postfix(residual=f"{history[-1]:.1e}")
                if callback is not None:
                    callback(LargeCellIteration(number, history[-1], mu, potential))
                if history[-1] < tolerance:
                    break
                reduced = mixer(reduced, change)
        converged = history[-1] < tolerance
        if not converged:
            log.warning("U = %g eV: residual %.1e after %d iterations", self.U, history[-1], max_iterations)
        return LargeCellState(potential, density, mu, np.array(history), converged)

    def density(self, potential: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """Electrons per atom, both spins together, in a potential, and the chemical potential.

        Parameters
        ----------
        potential : (N,) float array
            In eV, with the symmetry of the cell.

        Returns
        -------
        density : (N,) float array
            Sums to the number of electrons.
        chemical_potential : float
            In eV.
        """
        gamma = self._at_gamma(potential)
        levels = self._window_levels(gamma, potential, self.nk, self.window)
        mu = levels.chemical_potential(self.electrons, self.temperature)

        def step(energies: NDArray[np.float64]) -> NDArray[np.float64]:
            return erfc((energies - levels.centre) * _STEP / self.window) / 2

        smooth = gamma.weights @ (gamma.degeneracy * step(gamma.energies))
        remainder = fermi(levels.energies - mu, self.temperature) - step(levels.energies)
        density = 2 * (smooth + levels.weights @ (levels.share * remainder)) / self.orbits.size
        # The chemical potential counts every k-point's levels, the smooth step those of Γ only.
        missing = self.electrons - float(self.orbits.size @ density)
        log.info("%.1e electrons of the smooth step are spread over the cell", missing)
        density += missing / self.model.crystal.n_atoms
        return density[self.orbits.of_atom], mu

    def levels(
        self, potential: NDArray[np.float64], nk: int | None = None, window: float | None = None
    ) -> WindowLevels:
        """Levels around the Fermi energy in a potential (N,), on this or another k-grid (window in eV)."""
        gamma = self._at_gamma(potential)
        return self._window_levels(gamma, potential, nk or self.nk, window or self.window)

    def _at_gamma(self, potential: NDArray[np.float64]) -> GammaLevels:
        return self.orbits.eigenstates(self._gamma + sp.diags_array(potential).tocsr())

    def _window_levels(
        self, gamma: GammaLevels, potential: NDArray[np.float64], nk: int, window: float
    ) -> WindowLevels:
        every = np.repeat(gamma.energies, gamma.degeneracy)
        filled = round(self.electrons / 2)
        centre = float(every[filled - 4 : filled + 4].mean())
        guess = int(1.1 * np.count_nonzero(np.abs(every - centre) < window)) + 8
        ks, multiplicity = self.orbits.irreducible_k(nk)
        found = [(gamma.energies, gamma.degeneracy / nk**2, gamma.weights)]
        below = 0.0
        for k, points in zip(ks[1:], multiplicity[1:], strict=True):
            energies, states, under = levels_around(self._bloch(k, potential), centre, window, guess)
            weights = np.empty_like(states)
            weights[self._bloch.order] = states**2
            share = np.full(len(energies), points / nk**2)
            found.append((energies, share, self.orbits.sum(weights)))
            below += under * points / nk**2
        energies, shares, weights = (np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True))
        return WindowLevels(self.orbits, energies, shares, weights, below, centre, window)

    def _mean_field(self, density: NDArray[np.float64]) -> NDArray[np.float64]:
        """Potential of each orbit in eV, (n_orbits,)."""
        excess = density[self.orbits.first] - 1
        return self.U * excess / 2 + self._hartree @ excess

    def _orbit_hartree(self) -> NDArray[np.float64]:
        """Potential on an atom of each orbit per electron on every atom of another, (n_orbits, n_orbits)."""
        first = self.orbits.first
        if self.coulomb is None:
            return np.zeros((len(first), len(first)))
        return self.orbits.sum(self.coulomb.hartree(self.model.crystal)[:, first]).T


class _Anderson:
    """Next guess of a fixed point from the last guesses x_m and their changes f_m.

    x + βf - Σ_j γ_j (Δx_j + β Δf_j), with γ minimising |f - Σ_j γ_j Δf_j|
    (Walker and Ni, SIAM J. Numer. Anal. 49, 1715 (2011), eq. 2.2 and section 2).
    """

    def __init__(self, history: int = 8, damping: float = 0.4) -> None:
        self._damping = damping
        self._past: deque[tuple[NDArray[np.float64], NDArray[np.float64]]] = deque(maxlen=history)

    def __call__(self, guess: NDArray[np.float64], change: NDArray[np.float64]) -> NDArray[np.float64]:
        self._past.append((guess, change))
        guesses, changes = (np.diff(np.stack(series), axis=0).T for series in zip(*self._past, strict=True))
        gamma = np.linalg.lstsq(changes, change, rcond=1e-10)[0]
        return guess + self._damping * change - (guesses + self._damping * changes) @ gamma
