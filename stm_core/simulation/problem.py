"""A Hartree-Fock problem as the self-consistency loop sees it: Fock matrices in, density matrices out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .bloch import BlochMatrices, density_matrix, expand_levels
from .fock import MeanField
from .observables import chemical_potential, fermi


@dataclass(frozen=True)
class Levels:
    """Eigenstates of a Fock matrix.

    Attributes
    ----------
    energies : (n_kept, M) float array
        In eV.
    orbitals : BlochMatrices
        Columns are Bloch states.
    chemical_potential : float
        In eV.
    """

    energies: NDArray[np.float64]
    orbitals: BlochMatrices
    chemical_potential: float


@dataclass(frozen=True)
class Problem:
    """What the loop needs to know of a Hartree-Fock problem.

    Attributes
    ----------
    label : dict
        Parameters that tell the problem from others, for messages and checkpoints.
    mean_field : MeanField
    electrons : float
        Per cell.
    temperature : float
        In eV.
    """

    label: dict[str, Any]
    mean_field: MeanField
    electrons: float
    temperature: float

    @property
    def name(self) -> str:
        """For messages."""
        return f"U = {self.label['U']:g} eV, filling {self.label['filling']:g}, nk = {self.label['nk']}"

    def diagonalise(self, fock: BlochMatrices, smearing: float = 1.0) -> Levels:
        """Eigenstates and chemical potential of Fock matrices."""
        energies, orbitals = self.eigenstates(fock)
        degeneracy = self.mean_field.degeneracy
        mu = chemical_potential(
            expand_levels(fock.reduction, energies), self.electrons / degeneracy, self.temperature * smearing
        )
        return Levels(energies, orbitals, mu)

    def eigenstates(self, fock: BlochMatrices) -> tuple[NDArray[np.float64], BlochMatrices]:
        """Eigenvalues (n_kept, M) in eV and eigenvectors, in columns, of Hermitian matrices (M, M)."""
        try:
            solved = [torch.linalg.eigh(stack) for stack in fock.stacks]
        except torch.linalg.LinAlgError as error:
            raise FloatingPointError(f"the mean field at {self.name} is not finite") from error
        energies = torch.cat([e for e, _ in solved]).double().cpu().numpy()
        return energies, BlochMatrices(fock.reduction, (solved[0][1], solved[1][1]))

    def density_matrix(self, levels: Levels, smearing: float = 1.0) -> tuple[BlochMatrices, float]:
        """Density matrix ρ_ij(k) = Σ_n f ψ_i ψ_j* and entropy per cell in Boltzmann constants."""
        temperature = self.temperature * smearing
        occupation = fermi(levels.energies - levels.chemical_potential, temperature)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = occupation * np.log(occupation) + (1 - occupation) * np.log1p(-occupation)
        weights = levels.orbitals.reduction.weights
        entropy = -self.mean_field.degeneracy * float(weights @ np.nan_to_num(terms).sum(axis=1))
        return density_matrix(levels.orbitals, occupation), entropy
