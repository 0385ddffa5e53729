"""Self-consistency among the bands near the Fermi level, between two diagonalisations of all bands.

The slow part of a Hartree-Fock iteration is a few flat bands that exchange turns into one another: their
response is close to that of free rotation, while remote bands follow at once. An iteration of the few costs
a Fock matrix and no diagonalisation of the many.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from .bloch import BlochMatrices, density_matrix, expand_levels, staircase
from .mixing import FockMixer
from .observables import chemical_potential, fermi
from .problem import Levels, Problem

_BANDS = 48  # of each spin and k: the flat bands and the remote ones that answer most to them
_MOST = 12  # iterations: more would polish the few while the many wait
_ENOUGH = 0.1  # of the first change of the occupations: the remote bands decide the rest


class Window:
    """The bands nearest to the Fermi level of a Fock matrix that has been diagonalised.

    Parameters
    ----------
    problem : Problem
    levels : Levels
        Eigenstates of ``fock``.
    fock, density : BlochMatrices
        A Fock matrix in eV and its density matrix.
    """

    def __init__(self, problem: Problem, levels: Levels, fock: BlochMatrices, density: BlochMatrices) -> None:
        self.problem, self.fock, self.density = problem, fock, density
        size = levels.energies.shape[1]
        filled = round(float((levels.energies < levels.chemical_potential).sum(axis=1).mean()))
        first = min(max(filled - _BANDS // 2, 0), max(size - _BANDS, 0))
        chosen = slice(first, first + _BANDS)
        self._energies = levels.energies[:, chosen]
        self._states = levels.orbitals.map(lambda stack: stack[..., chosen].contiguous())
        self._occupations = fermi(self._energies - levels.chemical_potential, problem.temperature)
        expanded = expand_levels(density.reduction, self._occupations)
        self._electrons = float(expanded.sum() / expanded.shape[1])

    def relaxed(self) -> tuple[BlochMatrices, BlochMatrices]:
        """Fock matrix and density matrix after the bands of the window have followed their own field.

        The Fock matrix keeps its other bands, so that the density matrix is still that of its eigenstates.
        """
        start, occupied = self._diagonal(self._energies), self._diagonal(self._occupations)
        mixer, within, fock = FockMixer(), occupied, start
        density, first = self.density, 0.0
        for _ in range(_MOST):
            field = self.problem.mean_field(density)[0].mirrored()
            inside = field.map(lambda f, states: states.mH @ f @ states, self._states)
            fock = mixer(inside, fock, within, far=True).mirrored()
            before, within = within, self._filled(fock)
            density = self._updated(self.density, within.map(torch.sub, occupied))
            change = within.distance(before)
            first = first or change
            if change <= _ENOUGH * first:
                break
        return self._updated(self.fock, fock.map(torch.sub, start)), density

    def _filled(self, fock: BlochMatrices) -> BlochMatrices:
        """Density matrix of the window's Fock matrix, both in the basis of its bands."""
        energies, orbitals = self.problem.eigenstates(fock)
        expanded = expand_levels(fock.reduction, energies)
        mu = chemical_potential(expanded, self._electrons, self.problem.temperature)
        return density_matrix(orbitals, fermi(energies - mu, self.problem.temperature))

    def _diagonal(self, values: NDArray[np.float64]) -> BlochMatrices:
        """Diagonal matrices of values (n_kept, n_bands)."""
        n_real, precision = self.density.reduction.n_real, self.density.precision
        matrices = torch.diag_embed(torch.from_numpy(values).to(self.density.device, precision))
        stacks = (matrices[:n_real], matrices[n_real:].to(precision.to_complex()))
        return BlochMatrices(self.density.reduction, stacks)

    def _updated(self, matrices: BlochMatrices, change: BlochMatrices) -> BlochMatrices:
        """Lower halves of matrices after a change that is given in the basis of the window's bands."""
        return matrices.map(_add_within, self._states, change)


def _add_within(matrices: torch.Tensor, states: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """Lower halves of A + ψ c ψ†."""
    result, left = matrices.clone(), states @ change
    for rows, stop in staircase(matrices.shape[-1]):
        result[:, rows, :stop] += left[:, rows] @ states[:, :stop].mH
    return result


def window_fits(levels: Levels) -> bool:
    """Whether there are so many bands that the window is a small part of them."""
    return levels.energies.shape[1] >= 3 * _BANDS
