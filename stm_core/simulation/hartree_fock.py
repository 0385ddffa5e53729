"""Hartree-Fock of a crystal with on-site and gate-screened Coulomb repulsion."""

import copy
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .bloch import BlochMatrices
from .coulomb import GateScreenedCoulomb
from .extrapolation import extrapolate
from .fock import Interaction, MeanField
from .guards import check_limits, check_parameters, memory_errors
from .hopping import TightBinding
from .problem import Problem
from .reference import REFERENCES, hopping, subtract_reference
from .scf import Iteration, Progress, iterate, load_progress, start_progress, worth_single
from .starts import starting_field
from .state import HartreeFockState
from .symmetry import SymmetryReduction, candidate_operations, detect

log = logging.getLogger(__name__)

SPINS = {"collinear": (2, 1, 1.0), "restricted": (1, 1, 2.0), "noncollinear": (1, 2, 1.0)}
"""Treatment of spin: number of separate spins, components of an orbital, electrons it holds."""


class HartreeFock:
    """Mean-field problem of a tight-binding model.

    H = Σ t_ij c†c + U Σ_i (n_i↑ - ½)(n_i↓ - ½) + ½ Σ_{i≠j} V(r_ij)(n_i - 1)(n_j - 1), whose
    collinear mean field is F^σ = t + U(⟨n_-σ⟩ - ½) + Σ_j V_ij(⟨n_j⟩ - 1) - V_ij(ρ^σ_ij - ρ^ref_ij)
    (Szabo and Ostlund, Modern Quantum Chemistry (1996), section 3.8). The Hartree sum runs over all
    periodic images; the Fock term is cut at the Born-von Kármán cell of the k-grid.

    Parameters
    ----------
    model : TightBinding
        Crystal and hopping, N atoms.
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
    reference : {"decoupled", "average", "none"}
        Density matrix whose exchange the hoppings hold already: that of the two decoupled layers at
        neutrality, ½δ_ij, or none.
    device : str
        Where torch works, "cpu" or "cuda".
    spin : {"collinear", "restricted", "noncollinear"}
        Two separate spins; one orbital for both spins at half the cost; or spinors.
    symmetry : bool
        Whether to use the symmetries that a start is found to keep. A mean field inherits them, so
        that a clean start stays in its symmetry class; without, only rounding decides.
    mixed_precision : bool
        Whether to iterate in single precision first where that is quicker; the last iterations are in
        double precision always.

    Raises
    ------
    ValueError
        For a parameter outside these ranges.
    """

    def __init__(
        self,
        model: TightBinding,
        U: float,
        coulomb: GateScreenedCoulomb | None = None,
        filling: float = 0.0,
        nk: int = 1,
        temperature: float = 0.003,
        reference: str = "decoupled",
        device: str = "cpu",
        spin: str = "collinear",
        symmetry: bool = True,
        mixed_precision: bool = True,
    ) -> None:
        self.model, self.coulomb, self.nk, self.temperature = model, coulomb, nk, temperature
        self.reference, self.device, self.spin = reference, torch.device(device), spin
        self.symmetry, self.mixed_precision = symmetry, mixed_precision
        self.U, self.filling = U, filling
        self._validate()
        self.n_spin, self.components, self.degeneracy = SPINS[spin]
        self._hartree = self._exchange = None
        self._bare, self._offset = hopping(model, nk, self.device), 0.0
        if coulomb is not None:
            self._hartree = torch.from_numpy(coulomb.hartree(model.crystal)).to(self.device)
            self._exchange = torch.from_numpy(coulomb.exchange(model.crystal, nk)).to(self.device)
            self._bare, self._offset = subtract_reference(
                self._bare, model, self._exchange, reference, temperature
            )

    def at(self, U: float | None = None, filling: float | None = None) -> "HartreeFock":
        """The same problem at another U or filling, sharing the interaction sums."""
        other = copy.copy(self)
        other.U = self.U if U is None else U
        other.filling = self.filling if filling is None else filling
        other._validate()
        return other

    def solve(
        self,
        seed: int = 0,
        start: HartreeFockState | Sequence[HartreeFockState] | None = None,
        tolerance: float = 1e-6,
        max_iterations: int = 300,
        callback: Callable[[Iteration], None] | None = None,
        progress: bool = True,
    ) -> HartreeFockState:
        """Iterate to self-consistency, downhill in the free energy first and by DIIS at the end.

        Where soft bands hold that up, those near the Fermi level follow their own field between two
        diagonalisations of all (``window.Window``). Where it stalls, a ladder of smearings, damping and a
        level shift follow; the state's ``route`` and the log name them. See ``mixing.FockMixer`` and
        ``routes.STAGES``.

        Parameters
        ----------
        seed : int
            Chooses the symmetry-breaking start; see ``starts.starting_field``.
        start : HartreeFockState or sequence of them, optional
            Start from this state's density matrix instead; from several, at different U, from the
            density matrix extrapolated to this problem's U by the polynomial through them.
        tolerance : float
            Converged when no element of the density matrix changes by more.
        max_iterations : int
            Give up after this many; the state is then marked as not converged.
        callback : callable, optional
            Called with an ``Iteration`` after each iteration.
        progress : bool
            Show a progress bar.

        Returns
        -------
        HartreeFockState

        Raises
        ------
        ValueError
            If the tolerance is not positive or ``start`` does not fit this problem.
        FloatingPointError
            If the iteration produces a value that is not finite.
        MemoryError
            If the machine cannot hold the matrices.
        """
        check_limits(tolerance, max_iterations)
        with self._memory_errors():
            kind, density, entropy = self._start(seed, start)
            state = start_progress(density, entropy, self.mixed_precision)
            return self._finish(kind, state, tolerance, max_iterations, callback, progress)

    def resume(
        self,
        path: str | Path,
        tolerance: float = 1e-6,
        max_iterations: int = 300,
        callback: Callable[[Iteration], None] | None = None,
        progress: bool = True,
    ) -> HartreeFockState:
        """Go on from a checkpoint that a callback wrote by ``Iteration.save``.

        The result is that of the uninterrupted solution, bit for bit on the same machine. The file
        must come from a trusted place, as any pickle.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged, belongs to another problem or has used up the iterations.
        """
        check_limits(tolerance, max_iterations)
        stored = load_progress(path, self.label)
        if not stored.converged and len(stored.history) >= max_iterations:
            raise ValueError(
                f"the checkpoint {path} has used {len(stored.history)} iterations already; "
                f"max_iterations must be larger, not {max_iterations}"
            )
        with self._memory_errors():
            return self._finish(stored.kind, stored, tolerance, max_iterations, callback, progress)

    @property
    def label(self) -> dict[str, Any]:
        """Parameters that tell this problem from others."""
        return {
            "U": self.U,
            "filling": self.filling,
            "nk": self.nk,
            "temperature": self.temperature,
            "reference": self.reference,
            "spin": self.spin,
            "coulomb": repr(self.coulomb),
            "atoms": self.model.crystal.n_atoms,
            "hopping": float(np.abs(self.model.values).sum()),
            "layer_potential": self.model.layer_potential,
        }

    def problem(self, reduction: SymmetryReduction) -> Problem:
        """The problem for density matrices of a given symmetry."""
        constant = BlochMatrices.build(
            reduction, lambda spin, k: self._spinor(self._bare.unfold(0, k).cpu().numpy()), self.device
        )
        interaction = Interaction(self.U, self._hartree, self._exchange)
        mean_field = MeanField(constant, self._offset, interaction, self.degeneracy)
        return Problem(self.label, mean_field, self.model.crystal.n_atoms + self.filling, self.temperature)

    def mean_field(self, density: BlochMatrices) -> tuple[BlochMatrices, float]:
        """Fock matrices and total energy (eV per cell) of a density matrix; see ``fock.MeanField``."""
        fock, energy = self.problem(density.reduction).mean_field(density)
        return fock.mirrored(), energy

    def _finish(
        self,
        kind: str,
        state: Progress,
        tolerance: float,
        max_iterations: int,
        callback: Callable[[Iteration], None] | None,
        show: bool,
    ) -> HartreeFockState:
        """Iterate to the end and make the state."""
        state.kind = kind
        problem = self.problem(state.density.reduction)
        levels, converged = iterate(problem, state, tolerance, max_iterations, callback, show)
        if not converged:
            log.warning("%s: residual %.1e, not converged", problem.name, state.history[-1][0])
        return HartreeFockState(
            crystal=self.model.crystal,
            U=self.U,
            filling=self.filling,
            nk=self.nk,
            temperature=self.temperature,
            layer_potential=self.model.layer_potential,
            coulomb=self.coulomb,
            reference=self.reference,
            spin=self.spin,
            start=kind,
            route=tuple(state.route),
            orbitals=levels.orbitals.map(lambda stack: stack.cpu()),
            levels=levels.energies,
            chemical_potential=levels.chemical_potential,
            total_energy=problem.mean_field(state.density)[1],
            entropy=state.entropy,
            history=np.array(state.history),
            single_iterations=state.single_iterations,
            converged=converged,
        )

    def _start(
        self, seed: int, start: HartreeFockState | Sequence[HartreeFockState] | None
    ) -> tuple[str, BlochMatrices, float]:
        """Kind, density matrix and entropy that the iteration starts from."""
        if start is not None:
            states = [start] if isinstance(start, HartreeFockState) else list(start)
            limit = self._reduction(lambda spin, k, v: v)
            return states[-1].start, extrapolate(states, self.U, limit, self.device), states[-1].entropy
        crystal = self.model.crystal
        field = starting_field(crystal, seed)
        ks = crystal.k_grid(self.nk)
        fields = {
            (spin, k): field.spinor_matrix(crystal, ks[k])
            if self.components == 2
            else field.matrix(spin, crystal, ks[k])
            for spin in range(self.n_spin)
            for k in range(len(ks))
        }
        reduction = self._reduction(lambda spin, k, v: fields[spin, k] @ v)
        problem = self.problem(reduction)
        perturbed = BlochMatrices.build(
            reduction,
            lambda spin, k: self._spinor(self.model.hamiltonian(ks[k])) + fields[spin, k].toarray(),
            self.device,
        )
        if self.mixed_precision and worth_single(perturbed):
            perturbed = perturbed.to(torch.float32)
        density, entropy = problem.density_matrix(problem.diagonalise(perturbed))
        return field.kind, density, entropy

    def _reduction(self, apply: Callable[[int, int, NDArray], NDArray]) -> SymmetryReduction:
        """The symmetries that both the Hamiltonian and some field keep, as far as they are wanted."""
        crystal = self.model.crystal
        if not self.symmetry:
            identity = candidate_operations(crystal, self.n_spin)[:1]
            return SymmetryReduction(crystal, self.nk, self.n_spin, identity, self.components)
        found = detect(crystal, self.nk, self.n_spin, apply, self.components)
        kept = {operation.name for operation in self._bare.reduction.operations}
        common = [o for o in found.operations if o.name.replace(" flip", "") in kept]
        return SymmetryReduction(crystal, self.nk, self.n_spin, common, self.components)

    def _spinor(self, matrix: NDArray) -> NDArray:
        """The same matrix for both components of a spinor."""
        return matrix if self.components == 1 else np.kron(np.eye(2), matrix)

    def _memory_errors(self) -> AbstractContextManager[None]:
        return memory_errors(self.n_spin * self.nk**2, self.components * self.model.crystal.n_atoms)

    def _validate(self) -> None:
        check_parameters(self.model.crystal, self.U, self.filling, self.nk)
        if not self.temperature > 0:
            raise ValueError(f"the temperature must be positive (eV), not {self.temperature}")
        if self.reference not in REFERENCES:
            raise ValueError(f"reference must be one of {', '.join(REFERENCES)}, not {self.reference!r}")
        if self.spin not in SPINS:
            raise ValueError(f"spin must be one of {', '.join(SPINS)}, not {self.spin!r}")
