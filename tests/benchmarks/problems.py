"""Mean-field problems that this library and its peers can all be given, term by term."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stm_core.simulation import (
    BOND_LENGTH,
    Crystal,
    GateScreenedCoulomb,
    SlaterKoster,
    TightBinding,
    TwistedBilayer,
    honeycomb,
)
from stm_core.simulation.hopping import neighbour_pairs

Cells = dict[tuple[int, int], NDArray[np.float64]]
"""Matrices (N, N) of each lattice translation R, as X_ij(R) between atom i and atom j + R."""


@dataclass(frozen=True)
class ShortRepulsion:
    """Repulsion of ``strength``(r), in eV, between atoms closer than ``reach``, in Å.

    It stands in for ``GateScreenedCoulomb`` where a peer can only take a short-ranged interaction.
    """

    reach: float
    strength: GateScreenedCoulomb = field(default_factory=GateScreenedCoulomb)

    def cells(self, crystal: Crystal) -> Cells:
        """V_ij(R) in eV."""
        pairs = neighbour_pairs(crystal, self.reach)
        return _by_cell(crystal, pairs, self.strength(np.linalg.norm(pairs.displacement, axis=1)))

    def hartree(self, crystal: Crystal) -> NDArray[np.float64]:
        """Σ_R V(R), (N, N) in eV."""
        return sum(self.cells(crystal).values(), np.zeros((crystal.n_atoms, crystal.n_atoms)))

    def exchange(self, crystal: Crystal, nk: int) -> NDArray[np.float64]:
        """V(R) of every cell of the Born-von Kármán supercell, (nk², N, N) in eV."""
        result = np.zeros((nk * nk, crystal.n_atoms, crystal.n_atoms))
        for (first, second), matrix in self.cells(crystal).items():
            result[first % nk * nk + second % nk] += matrix
        return result


@dataclass(frozen=True)
class Problem:
    """A neutral mean-field problem: exchange is counted in full, the start is antiferromagnetic.

    Attributes
    ----------
    model : TightBinding
        N atoms.
    U : float
        In eV.
    coulomb : GateScreenedCoulomb, ShortRepulsion or None
    nk : int
        k-points per direction; 1 for an open cluster.
    """

    model: TightBinding
    U: float
    coulomb: GateScreenedCoulomb | ShortRepulsion | None
    nk: int

    def hoppings(self) -> Cells:
        """t_ij(R) in eV, with the potentials -U/2 - Σ_j V_ij of the neutral background on the diagonal."""
        crystal = self.model.crystal
        cells = _by_cell(crystal, self.model.pairs, self.model.values)
        cells[0, 0] -= np.diag(self.U / 2 + self.total_repulsion().sum(axis=1))
        return cells

    def repulsions(self) -> Cells:
        """V_ij(R) in eV."""
        n = self.model.crystal.n_atoms
        short = isinstance(self.coulomb, ShortRepulsion)
        return self.coulomb.cells(self.model.crystal) if short else {(0, 0): np.zeros((n, n))}

    def total_repulsion(self) -> NDArray[np.float64]:
        """Σ_R V(R), (N, N) in eV."""
        n = self.model.crystal.n_atoms
        return np.zeros((n, n)) if self.coulomb is None else self.coulomb.hartree(self.model.crystal)

    def background(self) -> float:
        """Energy per cell, in eV, of the terms without an operator: N U/4 + ½ Σ V."""
        return self.model.crystal.n_atoms * self.U / 4 + float(self.total_repulsion().sum()) / 2

    def start(self) -> NDArray[np.float64]:
        """Mean field of a neutral antiferromagnet, (2, N) in eV: with it the hoppings are bare again."""
        staggered = np.array([[1.0], [-1.0]]) * (2.0 * self.model.crystal.sublattice - 1.0)
        return staggered + self.U / 2 + self.total_repulsion().sum(axis=1)


def graphene(nk: int) -> Problem:
    """Graphene with a large U and the repulsion of nearest neighbours."""
    model = TightBinding(honeycomb(), cutoff=1.6, hopping=lambda d: np.full(len(d), -2.7))
    return Problem(model, 9.0, ShortRepulsion(1.6), nk)


def bilayer(i: int) -> Problem:
    """Antiferromagnetic twisted bilayer: all hoppings, U and the repulsion up to 3 Å, 4 by 4 k-points."""
    model = TightBinding(TwistedBilayer(i, 3.35), cutoff=5.0)
    return Problem(model, 9.0, ShortRepulsion(3.0), 4)


def flake(rings: int) -> Problem:
    """Hexagonal zigzag flake of 6 rings² atoms with U and the whole gate-screened repulsion."""
    reach = np.arange(-rings, rings + 1)
    first, second = np.stack(np.meshgrid(reach, reach), axis=-1).reshape(-1, 2).T
    inside = np.abs(first + second) < rings
    inside &= (np.abs(first) < rings) & (np.abs(second) < rings)
    sheet = honeycomb()
    centres = np.column_stack([first, second])[inside] @ sheet.lattice
    angles = np.pi / 6 + np.arange(6) * np.pi / 3
    corners = centres[:, None] + BOND_LENGTH * np.column_stack([np.cos(angles), np.sin(angles)])
    points, index = np.unique(corners.reshape(-1, 2).round(6) + 0.0, axis=0, return_index=True)
    crystal = Crystal(
        np.column_stack([points, np.zeros(len(points))]),
        1e5 * np.eye(2),
        np.zeros(len(points), dtype=int),
        index % 2,
    )
    return Problem(TightBinding(crystal, 5.0, SlaterKoster()), 9.0, GateScreenedCoulomb(tolerance=1e-10), 1)


def _by_cell(crystal: Crystal, pairs, values: NDArray[np.float64]) -> Cells:
    """Sort the values of neighbour pairs into one matrix for each lattice translation."""
    cells: Cells = {(0, 0): np.zeros((crystal.n_atoms, crystal.n_atoms))}
    for cell in np.unique(pairs.cell, axis=0):
        here = np.all(pairs.cell == cell, axis=1)
        matrix = cells.setdefault(tuple(cell.tolist()), np.zeros((crystal.n_atoms, crystal.n_atoms)))
        matrix[pairs.source[here], pairs.target[here]] = values[here]
    return cells
