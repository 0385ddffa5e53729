"""The point group D6 of a twisted bilayer, put to work on cells of many thousand atoms."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from .lattice import TwistedBilayer, hexagonal_group

_TURNS = np.arange(6)


@dataclass(frozen=True, eq=False)
class GammaLevels:
    """Every level at Γ.

    Attributes
    ----------
    energies : (n,) float array
        Ascending, in eV, a doubly degenerate pair listed once.
    degeneracy : (n,) int array
        1 or 2; sums to the number of atoms.
    weights : (n_orbits, n) float array
        |ψ|² of one state of each level, summed over the atoms of an orbit.
    """

    energies: NDArray[np.float64]
    degeneracy: NDArray[np.int64]
    weights: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Orbits:
    """Atoms of a cell that the point group D6 carries into each other.

    Quantities with the full symmetry are stored once per orbit: about a twelfth of the atoms.

    Parameters
    ----------
    crystal : TwistedBilayer
        N atoms.

    Raises
    ------
    ValueError
        If the crystal has lost part of D6.
    """

    crystal: TwistedBilayer

    def __post_init__(self) -> None:
        if len(self.crystal.point_group) != 12:
            raise ValueError("the cell must have the full point group D6: no strain, no layer distortion")

    @cached_property
    def permutations(self) -> NDArray[np.int64]:
        """(12, N): the six turns, then each turn after C2x."""
        return np.stack(list(self.crystal.point_group.values()))

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """One atom of each orbit, (n_orbits,)."""
        return np.unique(self.permutations.min(axis=0))

    @cached_property
    def of_atom(self) -> NDArray[np.int64]:
        """Orbit of each atom, (N,)."""
        return np.searchsorted(self.first, self.permutations.min(axis=0))

    @cached_property
    def size(self) -> NDArray[np.int64]:
        """Atoms in each orbit, (n_orbits,)."""
        return np.bincount(self.of_atom)

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over the atoms of each orbit: (N, ...) to (n_orbits, ...)."""
        n = self.crystal.n_atoms
        members = sp.csr_array((np.ones(n), (self.of_atom, np.arange(n))), shape=(len(self.first), n))
        return np.asarray(members @ values)

    @cached_property
    def blocks(self) -> list[tuple[int, sp.csr_array, NDArray[np.int64]]]:
        """Symmetry-adapted basis of each irreducible representation of D6.

        The matrix element of an operation C6^n C2x^s in the first row of the representation of
        angular momentum m and parity ±1 is (±1)^s cos(πmn/3), and Σ_g D(g)_11 g projects on that row
        (Dresselhaus, Dresselhaus and Jorio, Group Theory (2008), chapter 4, on projection operators).

        Returns
        -------
        list of (int, (N, n) sparse array, (n,) int array)
            Dimension of the representation; orthonormal columns, each on one orbit; that orbit.
        """
        return [self._block(m, parity) for m, parity in ((0, 1), (0, -1), (3, 1), (3, -1), (1, 1), (2, 1))]

    def _block(self, momentum: int, parity: int) -> tuple[int, sp.csr_array, NDArray[np.int64]]:
        n, dimension = self.crystal.n_atoms, 1 if momentum in (0, 3) else 2
        turned = np.cos(np.pi * momentum * _TURNS / 3) * dimension / 12
        elements = np.concatenate([turned, parity * turned])
        source = np.tile(np.arange(n), 12)
        projector = sp.csr_array((np.repeat(elements, n), (self.permutations.ravel(), source)), shape=(n, n))
        rows, values, counts = [], [], []
        for atom in self.first:
            orbit = np.unique(self.permutations[:, atom])
            eigenvalues, vectors = np.linalg.eigh(projector[orbit][:, orbit].toarray())
            kept = vectors[:, eigenvalues > 0.5]
            rows.append(np.tile(orbit, kept.shape[1]))
            values.append(kept.T.ravel())
            counts.append((kept.shape[1], len(orbit)))
        orbit_of = np.repeat(np.arange(len(counts)), [columns for columns, _ in counts])
        columns = np.repeat(np.arange(len(orbit_of)), self.size[orbit_of])
        basis = sp.csr_array(
            (np.concatenate(values), (np.concatenate(rows), columns)), shape=(n, len(orbit_of))
        )
        return dimension, basis, orbit_of

    def eigenstates(self, h: sp.csr_array) -> GammaLevels:
        """Every level of a symmetric matrix that commutes with the point group.

        Parameters
        ----------
        h : (N, N) sparse array
            Real symmetric, in eV, invariant under the permutations.

        Returns
        -------
        GammaLevels
        """
        energies, degeneracy, weights = [], [], []
        for dimension, basis, orbit in self.blocks:
            levels, vectors = torch.linalg.eigh(torch.from_numpy((basis.T @ h @ basis).toarray()))
            members = sp.csr_array(
                (np.ones(len(orbit)), (orbit, np.arange(len(orbit)))), shape=(len(self.first), len(orbit))
            )
            energies.append(levels.numpy())
            degeneracy.append(np.full(len(levels), dimension))
            weights.append(members @ vectors.numpy() ** 2)
        order = np.argsort(np.concatenate(energies))
        return GammaLevels(
            np.concatenate(energies)[order],
            np.concatenate(degeneracy)[order],
            np.concatenate(weights, axis=1)[:, order],
        )

    def irreducible_k(self, nk: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Grid points that the point group does not carry into each other, Γ first.

        Parameters
        ----------
        nk : int
            k-points per direction of the Γ-centred grid.

        Returns
        -------
        ks : (n, 2) float array
            In 1/Å.
        multiplicity : (n,) int array
            Points of the grid that each stands for; sums to nk².
        """
        grid = self.crystal.k_grid(nk)
        images = np.stack([grid @ operation[:2, :2].T for operation in hexagonal_group().values()])
        steps = np.rint(images @ self.crystal.lattice.T * nk / (2 * np.pi)).astype(np.int64) % nk
        chosen, multiplicity = np.unique((steps @ [nk, 1]).min(axis=0), return_counts=True)
        return grid[chosen], multiplicity
