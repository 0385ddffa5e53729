"""The converged mean field: what the solver returns, saves and loads."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .archive import read_archive, write_archive
from .bloch import BlochMatrices, density_matrix, expand_levels, site_sum
from .coulomb import GateScreenedCoulomb
from .fock import site_densities
from .lattice import Crystal, TwistedBilayer
from .observables import LAYERS, fermi, indirect_gap, order_parameters, spin_density, thermal_kernel
from .starts import intralayer_bonds
from .symmetry import SymmetryReduction


@dataclass(frozen=True, eq=False)
class HartreeFockState:
    """A Hartree-Fock state of N atoms on n_k k-points; spins are ordered (up, down).

    Attributes
    ----------
    crystal : Crystal
    U, filling, temperature : float
        In eV, electrons per cell from neutrality, eV.
    nk : int
        k-points per direction.
    layer_potential : float
        Of the model, in eV.
    coulomb : GateScreenedCoulomb or None
    reference, spin : str
        Reference density of the exchange, treatment of spin.
    start : str
        Kind of start the solution grew from.
    route : tuple of str
        Stages of the iteration, the last of which ended it.
    orbitals : BlochMatrices
        Columns are the Bloch states, kept once for each star of the symmetry group.
    levels : (n_kept, M) array
        Levels of the kept matrices in eV, ascending; M = N, or 2N for spinors.
    chemical_potential, total_energy : float
        In eV; the energy is per cell.
    entropy : float
        Per cell, in Boltzmann constants.
    history : (iterations, 2) array
        Residual max|Δρ| and total energy (eV) of each iteration.
    single_iterations : int
        How many of them ran in single precision.
    converged : bool
    """

    crystal: Crystal
    U: float
    filling: float
    nk: int
    temperature: float
    layer_potential: float
    coulomb: GateScreenedCoulomb | None
    reference: str
    spin: str
    start: str
    route: tuple[str, ...]
    orbitals: BlochMatrices
    levels: NDArray[np.float64]
    chemical_potential: float
    total_energy: float
    entropy: float
    history: NDArray[np.float64]
    single_iterations: int
    converged: bool

    @property
    def residual(self) -> float:
        """Largest change of a density-matrix element in the last iteration."""
        return float(self.history[-1, 0])

    @property
    def iterations(self) -> int:
        """Iterations taken."""
        return len(self.history)

    @property
    def degeneracy(self) -> float:
        """Electrons that one orbital holds: 2 in a spin-restricted state."""
        return 2.0 if self.spin == "restricted" else 1.0

    @property
    def energies(self) -> NDArray[np.float64]:
        """Levels at every spin and k, (n_spin, n_k, M) in eV; n_spin is 2 for collinear states."""
        return expand_levels(self.orbitals.reduction, self.levels)

    @property
    def free_energy(self) -> float:
        """Total energy minus temperature times entropy, in eV per cell."""
        return self.total_energy - self.temperature * self.entropy

    @property
    def occupations(self) -> NDArray[np.float64]:
        """Fermi occupation of every level, (n_spin, n_k, M)."""
        return fermi(self.energies - self.chemical_potential, self.temperature)

    @property
    def symmetry(self) -> tuple[str, ...]:
        """Operations that the state keeps exactly, by name."""
        return self.orbitals.reduction.names

    def orbitals_at(self, spin: int, k: int) -> NDArray:
        """Bloch states at one spin and k index as columns, (M, M); spinors have their up half first."""
        return self.orbitals.unfold(spin, k, columns=False).numpy()

    def density_matrix(
        self, reduction: SymmetryReduction | None = None, device: torch.device | str = "cpu"
    ) -> BlochMatrices:
        """Density matrix ρ_ij(k) = Σ_n f ψ_i ψ_j*, kept for another symmetry group if one is given."""
        occupation = fermi(self.levels - self.chemical_potential, self.temperature)
        density = density_matrix(self.orbitals, occupation)
        if reduction is not None and reduction.names != self.orbitals.reduction.names:
            cpu, whole = torch.device("cpu"), density
            density = BlochMatrices.build(reduction, lambda s, k: whole.unfold(s, k).numpy(), cpu)
        return density.map(lambda stack: stack.to(device))

    @cached_property
    def density(self) -> NDArray[np.float64]:
        """Electrons per atom and spin, (2, N)."""
        return np.stack(site_densities(self.density_matrix())[:2])

    @cached_property
    def spin_density(self) -> NDArray[np.float64]:
        """Spin vector of every atom in units of ħ/2, (N, 3)."""
        return spin_density(self)

    @property
    def gap(self) -> float:
        """Indirect gap in eV, 0 for a metal."""
        electrons = self.crystal.n_atoms + self.filling
        return indirect_gap(self.energies, electrons / self.degeneracy)

    def bond_order(self) -> NDArray[np.complex128]:
        """⟨c†_B c_A⟩ summed over spins on every nearest-neighbour bond inside the layers, (n_bonds,)."""
        bonds, n = intralayer_bonds(self.crystal), self.crystal.n_atoms
        result: NDArray[np.complex128] = np.zeros(len(bonds.source), dtype=complex)
        for index, k in enumerate(self.crystal.k_grid(self.nk)):
            phase = np.exp(-1j * bonds.cell @ self.crystal.lattice @ k)
            for spin, occupation in enumerate(self.occupations[:, index]):
                orbitals = self.orbitals_at(spin, index).reshape(-1, n, occupation.size)
                for part in orbitals:
                    pairs = (part[bonds.source] * occupation) * part[bonds.target].conj()
                    result += phase * pairs.sum(axis=1)
        return np.asarray(self.degeneracy * result / self.nk**2, dtype=complex)

    def order_parameters(self) -> dict[str, float]:
        """Numbers that tell broken-symmetry states apart; see ``observables.order_parameters``."""
        bonds = self.bond_order() if isinstance(self.crystal, TwistedBilayer) else None
        return order_parameters(self.crystal, self.density, bonds)

    def ldos(
        self,
        bias: Sequence[float] | NDArray[np.float64] = (0.0,),
        broadening: float = 0.005,
        layer: str = "top",
    ) -> NDArray[np.float64]:
        """Local density of states at a series of biases.

        Parameters
        ----------
        bias : (n_bias,) floats
            Energies from the chemical potential, in eV.
        broadening : float
            Effective thermal width w of the tunnelling resolution, in eV.
        layer : {"top", "bottom", "both"}
            A microscope sees the top layer.

        Returns
        -------
        (n_bias, n_atoms of the layer) float array
            States per eV and atom, both spins together.

        Raises
        ------
        ValueError
            For an unknown layer or a broadening that is not positive.
        """
        if layer not in LAYERS:
            raise ValueError(f"layer must be one of {', '.join(LAYERS)}, not {layer!r}")
        if not broadening > 0:
            raise ValueError(f"the broadening must be positive (eV), not {broadening}")
        bias = np.atleast_1d(np.asarray(bias, dtype=float))
        levels = self.levels - self.chemical_potential
        # Levels 40 widths outside the window weigh less than 1e-16.
        near = (levels > bias.min() - 40 * broadening) & (levels < bias.max() + 40 * broadening)
        columns = np.nonzero(near.any(axis=0))[0]
        if columns.size == 0:
            columns = np.arange(levels.shape[1])
        span = slice(columns[0], columns[-1] + 1)
        kept = np.stack(
            [
                thermal_kernel(bias[:, None] - levels[b, span], broadening)
                @ (self.orbitals[b][:, span].abs() ** 2).numpy().T
                for b in range(len(levels))
            ]
        )
        whole = site_sum(self.orbitals.reduction, kept)
        by_atom = whole.reshape(-1, len(bias), self.orbitals.reduction.components, self.crystal.n_atoms)
        atoms = np.isin(self.crystal.layer, LAYERS[layer])
        return np.asarray(self.degeneracy * by_atom.sum(axis=(0, 2))[:, atoms], dtype=float)

    def save(self, path: str | Path) -> None:
        """Write the state to an ``.npz`` file, beside first and then renamed."""
        write_archive(path, self)

    @classmethod
    def load(cls, path: str | Path) -> "HartreeFockState":
        """Read a state written by ``save``.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is truncated or not a saved state.
        """
        return cls(**read_archive(path))
