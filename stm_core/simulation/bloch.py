"""Bloch matrices of a mean field, kept once for each star of its symmetry group."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from .symmetry import SymmetryReduction

Stacks = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, eq=False)
class BlochMatrices:
    """One (M, M) matrix for each kept (spin, k): the real ones stacked first, then the complex ones.

    Attributes
    ----------
    reduction : SymmetryReduction
        How all the others follow.
    stacks : (n_real, M, M) real and (n_complex, M, M) complex tensor
    """

    reduction: SymmetryReduction
    stacks: Stacks

    @classmethod
    def build(
        cls,
        reduction: SymmetryReduction,
        matrix: Callable[[int, int], NDArray],
        device: torch.device,
        dtype: torch.dtype = torch.float64,
    ) -> "BlochMatrices":
        """Fill from ``matrix(spin, k_index)``, (M, M) arrays."""
        size = reduction.components * reduction.crystal.n_atoms
        n = (reduction.n_real, len(reduction.kept) - reduction.n_real)
        stacks = tuple(
            torch.empty((count, size, size), dtype=kind, device=device)
            for count, kind in zip(n, (dtype, dtype.to_complex()), strict=True)
        )
        result = cls(reduction, (stacks[0], stacks[1]))
        for index, (spin, k) in enumerate(reduction.kept):
            entry = matrix(spin, k)
            result[index].copy_(torch.from_numpy(entry.real if index < reduction.n_real else entry))
        return result

    def __getitem__(self, index: int) -> torch.Tensor:
        n_real = self.reduction.n_real
        return self.stacks[0][index] if index < n_real else self.stacks[1][index - n_real]

    def __len__(self) -> int:
        return len(self.reduction.kept)

    @property
    def precision(self) -> torch.dtype:
        """Real data type, float32 or float64."""
        return self.stacks[0].dtype

    @property
    def device(self) -> torch.device:
        return self.stacks[0].device

    def map(self, function: Callable[..., torch.Tensor], *others: "BlochMatrices") -> "BlochMatrices":
        """Apply a function of whole stacks, together with those of other matrices."""
        real, complex_ = (
            function(*parts) for parts in zip(self.stacks, *(o.stacks for o in others), strict=True)
        )
        return BlochMatrices(self.reduction, (real, complex_))

    def to(self, precision: torch.dtype) -> "BlochMatrices":
        """The same in another precision."""
        stacks = (self.stacks[0].to(precision), self.stacks[1].to(precision.to_complex()))
        return BlochMatrices(self.reduction, stacks)

    def diagonals(self) -> torch.Tensor:
        """Diagonals, (n_kept, M) real."""
        return torch.cat([torch.diagonal(stack, dim1=-2, dim2=-1).real for stack in self.stacks])

    def trace_product(self, other: "BlochMatrices") -> float:
        """Σ_σ (1/n_k) Σ_k Re Tr[A B] over all spins and k, of Hermitian matrices by their lower halves."""
        total = 0.0
        for b, weight in enumerate(self.reduction.weights):
            one, two = self[b], other[b]
            for rows, stop in staircase(len(one)):
                # Row by row, then in double: a million terms in single precision would lose four digits.
                left = torch.linalg.vecdot(one[rows, : rows.start], two[rows, : rows.start]).real
                square = torch.linalg.vecdot(one[rows, rows.start : stop], two[rows, rows.start : stop]).real
                total += float(weight) * float((2 * left + square).sum(dtype=torch.float64))
        return total

    def distance(self, other: "BlochMatrices") -> float:
        """Largest difference of any element, of Hermitian matrices by their lower halves."""
        largest = 0.0
        for b in range(len(self)):
            for rows, stop in staircase(len(self[b])):
                change = self[b][rows, :stop] - other[b][rows, :stop]
                parts = torch.view_as_real(change) if change.is_complex() else change[..., None]
                largest = max(largest, float(parts.square_().sum(dim=-1).max()))
        return float(np.sqrt(largest))

    def mirrored(self) -> "BlochMatrices":
        """The Hermitian matrices whose lower halves these are."""
        result = self.map(torch.clone)
        for b in range(len(result)):
            for rows, _ in staircase(len(result[b])):
                result[b][: rows.start, rows] = result[b][rows, : rows.start].mH
        return result

    def unfold(self, spin: int, k: int, columns: bool = True) -> torch.Tensor:
        """The matrix at any spin and k index; with ``columns=False`` only the rows are an atom index."""
        source, rows, phase, conjugate = self.reduction.image(spin, k)
        result = self[source]
        if conjugate:
            result = result.conj()
        index = torch.from_numpy(rows).to(self.device)
        result = result[index]
        if columns:
            result = result[:, index]
        if phase is None:
            return result.resolve_conj()
        turned = torch.from_numpy(phase).to(self.device)
        if not result.is_complex():
            turned = turned.real
        turned = turned.to(result.dtype)
        result = turned[:, None] * result
        return result * turned.conj() if columns else result


def staircase(size: int, steps: int = 4) -> list[tuple[slice, int]]:
    """Blocks of rows, each with the end of its columns, that cover a lower triangle."""
    edges = np.linspace(0, size, min(steps, size) + 1).astype(int).tolist()
    return [(slice(start, stop), stop) for start, stop in pairwise(edges)]


def density_matrix(orbitals: BlochMatrices, occupation: NDArray[np.float64]) -> BlochMatrices:
    """ρ_ij = Σ_n f_n ψ_i ψ_j* of states in columns with occupations (n_kept, M)."""
    filled = int(np.nonzero(occupation.max(axis=0) > 1e-17)[0].max()) + 1
    result = orbitals.map(torch.empty_like)
    for b in range(len(result)):
        columns = orbitals[b][:, :filled]
        weight = torch.from_numpy(occupation[b, :filled]).to(columns.device, columns.real.dtype)
        fill_density(columns, weight, out=result[b])
    return result


def fill_density(columns: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> None:
    """Write Σ_n w_n ψ_n ψ_n† for columns (M, n), computing only its lower half."""
    if weight.dtype == torch.float32:
        # The norms are off by enough to charge the cell and shift its potential.
        weight = weight / torch.linalg.vecdot(columns, columns, dim=0).real
    weighted = columns * weight
    for rows, stop in staircase(len(columns), 8):
        out[rows, :stop] = weighted[rows] @ columns[:stop].mH
        out[: rows.start, rows] = out[rows, : rows.start].mH


def expand_levels(reduction: SymmetryReduction, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Levels of the kept matrices (n_kept, M) at every spin and k, (n_spin, n_k, M)."""
    return levels[reduction.source]


def site_sum(reduction: SymmetryReduction, diagonals: NDArray) -> NDArray:
    """Average over k of a diagonal, at every spin.

    Parameters
    ----------
    reduction : SymmetryReduction
    diagonals : (n_kept, ..., M) array
        Diagonals of the kept matrices, complex if a conjugation matters.

    Returns
    -------
    (n_spin, ..., M) array
    """
    result = np.zeros((reduction.n_spin, *diagonals.shape[1:]), dtype=diagonals.dtype)
    for spin, index, weights in reduction.shares:
        operation = reduction.operations[index]
        part = np.tensordot(weights, diagonals, axes=1)
        image = np.empty_like(part)
        places = image.reshape(*image.shape[:-1], reduction.components, -1)
        parts = (part.conj() if operation.conjugates else part).reshape(places.shape)
        places[..., operation.permutation] = parts
        result[spin] += image
    return result
