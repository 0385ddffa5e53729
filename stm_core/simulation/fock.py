"""The mean field of a density matrix: Fock matrices and total energy."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .bloch import BlochMatrices, site_sum, staircase
from .lattice import fractions
from .symmetry import SymmetryReduction

_CHUNK = 1 << 18  # matrix elements of all k-points worked on at once: they should stay in the cache


@dataclass(frozen=True, eq=False)
class Gather:
    """Index tables that bring one Bloch matrix from a kept one; see ``SymmetryReduction.image``."""

    source: int
    rows: torch.Tensor | None
    phase: torch.Tensor | None
    conjugate: bool

    @classmethod
    def of(cls, reduction: SymmetryReduction, spin: int, k: int, device: torch.device) -> "Gather":
        source, rows, phase, conjugate = reduction.image(spin, k)
        moved = not np.array_equal(rows, np.arange(len(rows)))
        return cls(
            source,
            torch.from_numpy(rows).to(device) if moved else None,
            None if phase is None else torch.from_numpy(phase).to(device),
            conjugate,
        )

    def block(self, matrices: BlochMatrices, rows: slice, stop: int) -> torch.Tensor:
        """Some rows of the image and its columns up to ``stop``, (n_rows, stop)."""
        matrix = matrices[self.source]
        if self.rows is None:
            result = matrix[rows, :stop]
        else:
            result = matrix.index_select(0, self.rows[rows]).index_select(1, self.rows[:stop])
        if self.conjugate:
            result = result.conj()
        if self.phase is not None:
            phase = (self.phase if result.is_complex() else self.phase.real).to(result.dtype)
            result = result * phase[rows, None] * phase[:stop].conj()
        return result


class Exchange:
    """Fock operator -Σ_R V(R) ∘ ρ(R) e^{ik·R}, evaluated where it is needed and nowhere else.

    Parameters
    ----------
    strength : (n_R, N, N) tensor
        V(R) in eV on the cells ``fractions(nk)``.
    reduction : SymmetryReduction
        Symmetry that the density matrix keeps.
    """

    def __init__(self, strength: torch.Tensor, reduction: SymmetryReduction) -> None:
        self.strength, self.reduction = strength, reduction
        device, nk = strength.device, reduction.nk
        grid = fractions(nk)
        opposite = (-grid % nk) @ [nk, 1]
        half = [k for k in range(nk * nk) if not reduction.real_space or k <= opposite[k]]
        double = np.array([1.0 + (reduction.real_space and opposite[k] != k) for k in half])
        turns = 2 * np.pi * (grid @ grid.T % nk) / nk
        self._to_cells = torch.from_numpy(np.exp(-1j * turns[:, half]) * double / nk**2).to(device)
        self._to_k = torch.from_numpy(np.exp(1j * turns)).to(device)
        self._gathers = {
            spin: [Gather.of(reduction, spin, k, device) for k in half]
            for spin in np.unique(reduction.kept[:, 0]).tolist()
        }

    def __call__(self, density: BlochMatrices) -> BlochMatrices:
        """Lower halves of the exchange field in eV of a density matrix."""
        result = density.map(torch.empty_like)
        size = density.stacks[0].shape[-1]
        step = max(1, _CHUNK // (size * len(self._to_k)))
        chunks = [
            (slice(start, min(start + step, rows.stop)), stop)
            for rows, stop in staircase(size)
            for start in range(rows.start, rows.stop, step)
        ]
        for spin, gathers in self._gathers.items():
            targets = [b for b, (owner, _) in enumerate(self.reduction.kept) if owner == spin]
            for rows, stop in chunks:
                local = self._cells([gather.block(density, rows, stop) for gather in gathers])
                local.mul_(self._strength(rows, local))
                self._spread(local, rows, targets, result)
        return result

    def _cells(self, blocks: list[torch.Tensor]) -> torch.Tensor:
        """ρ(R) of some rows, (n_R, n_rows, stop), real where time reversal makes it so."""
        to_cells = self._to_cells
        if self.reduction.real_space:
            real = torch.stack([block.real if block.is_complex() else block for block in blocks])
            result = torch.tensordot(to_cells.real.to(real.dtype), real, dims=1)
            turning = [i for i, block in enumerate(blocks) if block.is_complex()]
            if turning:
                imaginary = torch.stack([blocks[i].imag for i in turning])
                result -= torch.tensordot(to_cells.imag[:, turning].to(real.dtype), imaginary, dims=1)
            return result
        stacked = torch.stack(blocks)
        return torch.tensordot(to_cells.to(stacked.dtype), stacked, dims=1)

    def _strength(self, rows: slice, local: torch.Tensor) -> torch.Tensor:
        """-V(R) of some rows, repeated for the components of a spinor."""
        n = self.strength.shape[-1]
        precision, stop = local.real.dtype if local.is_complex() else local.dtype, local.shape[-1]
        if self.reduction.components == 1:
            return -self.strength[:, rows, :stop].to(precision)
        atoms = torch.arange(rows.start, rows.stop, device=local.device) % n
        return -self.strength[:, atoms].to(precision).repeat(1, 1, 2)[..., :stop]

    def _spread(self, local: torch.Tensor, rows: slice, targets: list[int], result: BlochMatrices) -> None:
        """Bloch sums of some rows into the result."""
        n_real = self.reduction.n_real
        for b in targets:
            phase, place = self._to_k[self.reduction.kept[b, 1]], result[b][rows, : local.shape[-1]]
            if b < n_real:
                place.copy_(torch.tensordot(phase.real.to(local.dtype), local, dims=1))
            elif local.is_complex():
                place.copy_(torch.tensordot(phase.to(local.dtype), local, dims=1))
            else:
                parts = torch.view_as_real(phase).T.contiguous().to(local.dtype)
                cosine, sine = torch.tensordot(parts, local, dims=1)
                place.copy_(torch.complex(cosine, sine))


@dataclass(frozen=True)
class Interaction:
    """On-site and long-range repulsion; the tensors are None without a Coulomb term.

    Attributes
    ----------
    U : float
        On-site repulsion in eV.
    hartree : (N, N) tensor or None
        Interaction summed over all periodic images, in eV.
    exchange : (n_R, N, N) tensor or None
        Interaction at the nearest image, in eV.
    """

    U: float
    hartree: torch.Tensor | None
    exchange: torch.Tensor | None


class MeanField:
    """Map from a density matrix to its Fock matrices and energy.

    Parameters
    ----------
    constant : BlochMatrices
        Hopping minus the exchange field of the reference density, in eV.
    offset : float
        Energy of that exchange field in the reference density, in eV per spin and cell.
    interaction : Interaction
    degeneracy : float
        Electrons that one orbital holds: 2 for spin-restricted states.
    """

    def __init__(
        self, constant: BlochMatrices, offset: float, interaction: Interaction, degeneracy: float
    ) -> None:
        self.constant, self.offset, self.interaction = constant, offset, interaction
        self.degeneracy = degeneracy
        strength = interaction.exchange
        self._exchange = None if strength is None else Exchange(strength, constant.reduction)
        self._rounded: BlochMatrices | None = None

    def __call__(self, density: BlochMatrices) -> tuple[BlochMatrices, float]:
        """Lower halves of the Fock matrices and total energy of a density matrix, both in eV.

        The derivative of the energy with respect to the density matrix is the Fock matrix.
        """
        constant = self._constant(density.precision)
        n_up, n_down, flip = site_densities(density)
        excess = n_up + n_down - 1
        hartree, energy = self._hartree(excess)
        U = self.interaction.U
        energy += U * float(((n_up - 0.5) * (n_down - 0.5)).sum() - (np.abs(flip) ** 2).sum())
        up, down, off = U * (n_down - 0.5) + hartree, U * (n_up - 0.5) + hartree, -U * flip
        # Tr[potential · ρ], which the trace with the Fock matrix would count twice
        local = float(up @ n_up + down @ n_down + 2 * (off.conj() @ flip).real)
        if self._exchange is None:
            fock = constant.map(torch.clone)
        else:
            fock = self._exchange(density)
            fock = fock.map(lambda field, bare: field.add_(bare), constant)
        self._add_potential(fock, up, down, off)
        traces = constant.trace_product(density) + fock.trace_product(density)
        n_blocks = density.reduction.n_spin * density.reduction.components
        energy += self.degeneracy * traces / 2 - local / 2
        return fock, energy + self.degeneracy * n_blocks * self.offset

    def forget_rounded(self) -> None:
        """Free what single precision needed."""
        self._rounded = None

    def _constant(self, precision: torch.dtype) -> BlochMatrices:
        if precision == self.constant.precision:
            return self.constant
        if self._rounded is None:
            self._rounded = self.constant.to(precision)
        return self._rounded

    def _hartree(self, excess: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """Potential (N,) and energy of the charge, in eV."""
        if self.interaction.hartree is None:
            return np.zeros_like(excess), 0.0
        charge = torch.from_numpy(excess).to(self.interaction.hartree.device)
        potential = (self.interaction.hartree @ charge).cpu().numpy()
        return potential, float(excess @ potential) / 2

    def _add_potential(
        self,
        fock: BlochMatrices,
        up: NDArray[np.float64],
        down: NDArray[np.float64],
        off: NDArray[np.complex128],
    ) -> None:
        """Put the local potentials on the diagonals; ``off`` couples the components of a spinor."""
        reduction, n = fock.reduction, len(up)
        spins = np.concatenate([up, down]) if reduction.components == 2 else np.stack([up, down])
        potential = torch.from_numpy(spins).to(fock.device, fock.precision)
        for b, (spin, _) in enumerate(reduction.kept):
            chosen = potential if reduction.components == 2 else potential[spin]
            torch.diagonal(fock[b]).add_(chosen)
            if off.any():
                coupling = torch.from_numpy(off).to(fock.device)
                coupling = (coupling if fock[b].is_complex() else coupling.real).to(fock[b].dtype)
                torch.diagonal(fock[b][:n, n:]).add_(coupling)
                torch.diagonal(fock[b][n:, :n]).add_(coupling.conj())


def site_densities(
    density: BlochMatrices,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.complex128]]:
    """Electrons of each spin on each atom and the spin-flip density ρ_{i↑,i↓}, each (N,)."""
    reduction = density.reduction
    n_atoms = reduction.crystal.n_atoms
    sums = site_sum(reduction, density.diagonals().double().cpu().numpy())
    if reduction.components == 1:
        return sums[0], sums[-1], np.zeros(n_atoms, dtype=complex)
    blocks = (density[b][:n_atoms, n_atoms:] for b in range(len(density)))
    crossed = torch.stack([torch.diagonal(block).to(torch.complex128) for block in blocks]).cpu().numpy()
    # site_sum moves both components; the flip density has one value per atom, so it goes in twice.
    flip = site_sum(reduction, np.concatenate([crossed, crossed], axis=1))[0, :n_atoms]
    return sums[0, :n_atoms], sums[0, n_atoms:], flip
