"""Symmetries of a mean field: which of its Bloch matrices determine all the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .lattice import Crystal, fractions, hexagonal_group

Apply = Callable[[int, int, NDArray[np.complex128]], NDArray[np.complex128]]

_SAME = 1e-9  # relative: matrices that differ by less are equal but for rounding


@dataclass(frozen=True, eq=False)
class Operation:
    """A point operation about the origin, with or without a spin flip and complex conjugation.

    It takes the Bloch matrix M^σ(k) to M^{σ'}(k'), with k' = ±Ok (minus for a conjugation) and
    M'_{p(i)p(j)} = e^{-ik'·T_i} M_ij e^{ik'·T_j}, complex conjugated where the operation says so.
    Conjugation is time reversal of one spin.

    Attributes
    ----------
    name : str
    permutation : (N,) int array
        Atom j goes to the place of atom ``permutation[j]``,
    shift : (N, 2) int array
        in this cell T_j, in lattice vectors.
    turn : (2, 2) int array
        k' = m' B/nk from k = m B/nk by m' = m @ turn, sign of a conjugation included.
    flips_spin, conjugates : bool
    """

    name: str
    permutation: NDArray[np.int64]
    shift: NDArray[np.int64]
    turn: NDArray[np.int64]
    flips_spin: bool
    conjugates: bool


def candidate_operations(crystal: Crystal, n_spin: int) -> list[Operation]:
    """Operations of the hexagonal point group D6 that keep the crystal, with their spin and time partners.

    Parameters
    ----------
    crystal : Crystal
        N atoms.
    n_spin : {1, 2}
        Spin flips exist only for two separate spins.

    Returns
    -------
    list of Operation
        The identity first. Whether a mean field keeps them is for ``detect`` to find.
    """
    result = []
    group = hexagonal_group()
    for name, permutation in crystal.point_group.items():
        spatial = group[name]
        moved = (crystal.positions @ spatial.T - crystal.positions[permutation])[:, :2]
        shift = np.rint(moved @ np.linalg.inv(crystal.lattice)).astype(int)
        turn = crystal.reciprocal @ spatial[:2, :2].T @ crystal.lattice.T / (2 * np.pi)
        for flips in (False, True)[:n_spin]:
            for conjugates in (False, True):
                full = name + " flip" * flips + " conjugate" * conjugates
                signed = np.rint(-turn if conjugates else turn).astype(int)
                result.append(Operation(full, permutation, shift, signed, flips, conjugates))
    return result


class SymmetryReduction:
    """Partition of the Bloch matrices (spin, k) into stars of a symmetry group.

    One matrix of each star is kept; the others are its images.

    Parameters
    ----------
    crystal : Crystal
        N atoms.
    nk : int
        k-points per direction of the Γ-centred grid.
    n_spin : int
        Number of separate spins.
    operations : sequence of Operation
        A group, the identity first.
    components : int
        Rows of a Bloch matrix per atom, 2 for spinors.

    Attributes
    ----------
    kept : (n_kept, 2) int array
        Spin and k index of the kept matrices; the first ``n_real`` are real.
    weights : (n_kept,) float array
        Share of each star in the average over k, summing to ``n_spin``.
    source : (n_spin, n_k) int array
        Index into ``kept`` from which each matrix follows.
    shares : list of (spin, operation index, (n_kept,) weights)
        For averages over k: what each operation brings to each spin.
    real_space : bool
        Whether every spin keeps time reversal, so that its matrices are real in real space.
    """

    def __init__(
        self,
        crystal: Crystal,
        nk: int,
        n_spin: int,
        operations: Sequence[Operation],
        components: int = 1,
    ) -> None:
        self.crystal, self.nk, self.n_spin, self.components = crystal, nk, n_spin, components
        self.operations = tuple(operations)
        self._grid = fractions(nk)
        self._images = [self._image_of_grid(operation) for operation in self.operations]
        self.real_space = any(o.conjugates and _is_identity(o) for o in self.operations)
        self._partition()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the operations."""
        return tuple(operation.name for operation in self.operations)

    def _image_of_grid(self, operation: Operation) -> NDArray[np.int64]:
        moved = self._grid @ operation.turn % self.nk
        return moved[:, 0] * self.nk + moved[:, 1]

    def _partition(self) -> None:
        shape = (self.n_spin, self.nk**2)
        representative = np.full(shape, -1)
        self._operation = np.zeros(shape, dtype=int)
        kept: list[tuple[int, int]] = []
        for spin, k in np.ndindex(shape):
            if representative[spin, k] >= 0:
                continue
            for index, operation in enumerate(self.operations):
                image = (spin ^ operation.flips_spin, self._images[index][k])
                if representative[image] < 0:
                    representative[image], self._operation[image] = len(kept), index
            kept.append((spin, k))
        real = np.array([self.real_space and not np.any(2 * self._grid[k] % self.nk) for _, k in kept])
        order = np.argsort(~real, kind="stable")
        self.kept: NDArray[np.int64] = np.array(kept)[order]
        self.n_real = int(real.sum())
        self.source = np.argsort(order)[representative]
        self.weights = np.bincount(self.source.ravel(), minlength=len(kept)) / self.nk**2
        self.shares = self._shares()

    def _shares(self) -> list[tuple[int, int, NDArray[np.float64]]]:
        """Spin, index of an operation, and the weight with which it brings each kept matrix there."""
        result = []
        for spin in range(self.n_spin):
            for index in np.unique(self._operation[spin]):
                chosen = self.source[spin][self._operation[spin] == index]
                result.append((spin, int(index), np.bincount(chosen, minlength=len(self.kept)) / self.nk**2))
        return result

    def image(self, spin: int, k: int) -> tuple[int, NDArray[np.int64], NDArray[np.complex128] | None, bool]:
        """How the Bloch matrix (spin, k) follows from a kept one.

        Returns
        -------
        source : int
            Index of the kept matrix.
        rows : (M,) int array
            Row i of the image is row ``rows[i]`` of the source, the same for columns,
        phase : (M,) complex array or None
            times ``phase[i]`` from the left and its conjugate from the right (None: all are 1),
        conjugate : bool
            and complex conjugated before that.
        """
        operation = self.operations[self._operation[spin, k]]
        rows = np.argsort(operation.permutation)
        turns = operation.shift[rows] @ self._grid[k] % self.nk
        phase = np.exp(-2j * np.pi * turns / self.nk) if turns.any() else None
        if self.components == 2:
            rows = np.concatenate([rows, rows + len(rows)])
            phase = None if phase is None else np.concatenate([phase, phase])
        return int(self.source[spin, k]), rows, phase, operation.conjugates

    def restricted_to(self, other: "SymmetryReduction") -> "SymmetryReduction":
        """The reduction by the operations that both have."""
        common = [operation for operation in self.operations if operation.name in other.names]
        return SymmetryReduction(self.crystal, self.nk, self.n_spin, common, self.components)


def detect(crystal: Crystal, nk: int, n_spin: int, apply: Apply, components: int = 1) -> SymmetryReduction:
    """Find the symmetries that a set of Bloch matrices keeps.

    Each candidate is tried on random vectors at every spin and k; nothing is assumed.

    Parameters
    ----------
    crystal : Crystal
        N atoms.
    nk, n_spin, components : int
        As in ``SymmetryReduction``.
    apply : callable
        ``apply(spin, k_index, vector)`` multiplies a vector (M,) by the Bloch matrix.

    Returns
    -------
    SymmetryReduction
        By the largest subgroup found.
    """
    rng = np.random.default_rng(0)
    size = components * crystal.n_atoms
    vector = rng.normal(size=size) + 1j * rng.normal(size=size)
    candidates = candidate_operations(crystal, n_spin)
    everything = SymmetryReduction(crystal, nk, n_spin, candidates[:1], components)
    images = [[apply(spin, k, vector) for k in range(nk**2)] for spin in range(n_spin)]
    scale = max(float(np.abs(image).max()) for row in images for image in row)
    found = [
        operation
        for operation in candidates
        if _keeps(everything, operation, apply, vector, images, _SAME * max(scale, 1e-300))
    ]
    return SymmetryReduction(crystal, nk, n_spin, found, components)


def _keeps(
    grid: SymmetryReduction,
    operation: Operation,
    apply: Apply,
    vector: NDArray[np.complex128],
    images: list[list[NDArray[np.complex128]]],
    tolerance: float,
) -> bool:
    """Whether M' D v = D (M v) for one operation D and every Bloch matrix."""
    targets = grid._image_of_grid(operation)
    for spin, k in np.ndindex(grid.n_spin, grid.nk**2):
        turns = operation.shift @ grid._grid[targets[k]]
        phase = np.exp(-2j * np.pi * turns / grid.nk)

        def carry(v: NDArray[np.complex128], phase: NDArray[np.complex128] = phase) -> NDArray[np.complex128]:
            parts = (np.conj(v) if operation.conjugates else v).reshape(grid.components, -1)
            result = np.empty_like(parts)
            result[:, operation.permutation] = phase * parts
            return result.ravel()

        image = apply(spin ^ operation.flips_spin, int(targets[k]), carry(vector))
        if np.abs(image - carry(images[spin][k])).max() > tolerance:
            return False
    return True


def _is_identity(operation: Operation) -> bool:
    """Whether an operation moves no atom and flips no spin."""
    still = np.array_equal(operation.permutation, np.arange(len(operation.permutation)))
    return bool(still and not operation.shift.any() and not operation.flips_spin)
