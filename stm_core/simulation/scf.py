"""The self-consistency loop: precision, acceleration, and what to do when it stalls."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from .bloch import BlochMatrices, expand_levels, fill_density
from .fock import MeanField
from .mixing import FockDIIS
from .observables import chemical_potential, fermi

log = logging.getLogger(__name__)

_UPHILL = {torch.float64: 1e-7, torch.float32: 2e-2}  # eV: rounding of the energy of a thousand atoms
_LEAP = 1e-3  # electrons: a step that changes the density matrix by more must not go uphill
_SINGLE_ENOUGH = 5e-5  # electrons: single precision carries the density matrix no further
_SINGLE_WORTH = 200  # rows: smaller matrices gain nothing from single precision
_ROUGH = 1e-4  # electrons: where a fallback hands on
_PATIENCE = 12  # iterations in which the residual must halve,
_NEAR = 3  # times as many once it was below _ROUGH: soft modes and saddle points take their time
_RETREATS = 2  # uphill leaps after which a stage has failed


@dataclass(frozen=True)
class Stage:
    """One way of iterating; the solver goes through ``STAGES`` until one converges.

    Attributes
    ----------
    name : str
    shift : float
        Raises the empty levels, in eV.
    damped : bool
        Whether each step goes to the lowest free energy between the old mixture and the new density
        matrix, which never rises (Cancès and Le Bris, Int. J. Quantum Chem. 79, 82 (2000)), instead
        of DIIS.
    smearing : float
        Factor on the temperature.
    """

    name: str
    shift: float = 0.0
    damped: bool = False
    smearing: float = 1.0

    @property
    def plain(self) -> bool:
        """Whether this stage may finish the solution."""
        return not self.shift and not self.damped and self.smearing == 1.0


STAGES = (
    Stage("DIIS"),
    Stage("smearing × 16", smearing=16.0),
    Stage("smearing × 4", smearing=4.0),
    Stage("DIIS after smearing"),
    Stage("optimal damping", damped=True),
    Stage("DIIS after damping"),
    Stage("level shift", shift=0.2),
    Stage("DIIS after level shift"),
)
"""What the solver tries in turn. A metal's levels jump across the Fermi level as they fill: smearing calms
that first. Damping goes downhill where DIIS finds no way, and a level shift keeps a state from flipping."""


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
class Mixture:
    """Convex combination of density matrices, with its mean field, entropy and free energy bound."""

    density: BlochMatrices
    fock: BlochMatrices
    entropy: float

    def towards(self, new: "Mixture", temperature: float, degeneracy: float) -> "Mixture":
        """The combination with another that minimises the free energy, which is quadratic but for -TS.

        The entropy of a mixture is at least the mixture of the entropies, so the true free energy
        falls by more than the parabola says.
        """
        change = new.density.map(torch.sub, self.density)
        slope = degeneracy * self.fock.trace_product(change) - temperature * (new.entropy - self.entropy)
        bend = degeneracy * new.fock.map(torch.sub, self.fock).trace_product(change)
        step = 1.0 if bend <= -slope else min(1.0, max(0.0, -slope / bend))
        return Mixture(
            self.density.map(lambda old, d: old + step * d, change),
            self.fock.map(lambda old, f: torch.lerp(old, f, step), new.fock),
            (1 - step) * self.entropy + step * new.entropy,
        )


@dataclass
class Progress:
    """All that the iteration carries from one step to the next; saved, it resumes identically."""

    density: BlochMatrices
    entropy: float
    single: bool
    fock: BlochMatrices | None = None
    mixer: FockDIIS = field(default_factory=FockDIIS)
    lowest: tuple[float, BlochMatrices] | None = None
    history: list[tuple[float, float]] = field(default_factory=list)
    stage: int = 0
    stage_began: int = 0
    single_iterations: int = 0
    verifying: bool = False
    retreats: int = 0
    mixture: "Mixture | None" = None
    plain_step: bool = True
    route: list[str] = field(default_factory=lambda: [STAGES[0].name])
    kind: str = ""


@dataclass(frozen=True)
class Iteration:
    """What a callback is told after each iteration; energies in eV.

    ``save(path)`` writes all that ``HartreeFock.resume`` needs to go on identically.
    """

    number: int
    residual: float
    total_energy: float
    chemical_potential: float
    stage: str
    precision: str
    save: Callable[[str | Path], None]


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
        try:
            solved = [torch.linalg.eigh(stack) for stack in fock.stacks]
        except torch.linalg.LinAlgError as error:
            raise FloatingPointError(f"the mean field at {self.name} is not finite") from error
        energies = torch.cat([e for e, _ in solved]).double().cpu().numpy()
        degeneracy = self.mean_field.degeneracy
        mu = chemical_potential(
            expand_levels(fock.reduction, energies), self.electrons / degeneracy, self.temperature * smearing
        )
        orbitals = BlochMatrices(fock.reduction, (solved[0][1], solved[1][1]))
        return Levels(energies, orbitals, mu)

    def density_matrix(self, levels: Levels, smearing: float = 1.0) -> tuple[BlochMatrices, float]:
        """Density matrix ρ_ij(k) = Σ_n f ψ_i ψ_j* and entropy per cell in Boltzmann constants."""
        temperature = self.temperature * smearing
        occupation = fermi(levels.energies - levels.chemical_potential, temperature)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = occupation * np.log(occupation) + (1 - occupation) * np.log1p(-occupation)
        weights = levels.orbitals.reduction.weights
        entropy = -self.mean_field.degeneracy * float(weights @ np.nan_to_num(terms).sum(axis=1))
        filled = int(np.nonzero(occupation.max(axis=0) > 1e-17)[0].max()) + 1
        result = levels.orbitals.map(torch.empty_like)
        for b in range(len(result)):
            columns = levels.orbitals[b][:, :filled]
            weight = torch.from_numpy(occupation[b, :filled]).to(columns.device, columns.real.dtype)
            fill_density(columns, weight, out=result[b])
        return result, entropy


def start_progress(density: BlochMatrices, entropy: float, mixed: bool) -> Progress:
    """The iteration before its first step."""
    single = mixed and density.stacks[0].shape[-1] >= _SINGLE_WORTH
    if single:
        density = density.to(torch.float32)
    return Progress(density, entropy, single)


def iterate(
    problem: Problem,
    progress: Progress,
    tolerance: float,
    max_iterations: int,
    callback: Callable[[Iteration], None] | None,
    show: bool,
) -> tuple[Levels, bool]:
    """Run the loop until max|Δρ| is below the tolerance, or the iterations are used up.

    ``progress`` is updated as it goes.

    Raises
    ------
    FloatingPointError
        If the iteration produces a value that is not finite.
    """
    converged = False
    with tqdm(
        total=max_iterations,
        initial=len(progress.history),
        desc=f"SCF U = {problem.label['U']:g} eV",
        leave=False,
        disable=not show,
    ) as bar:
        while not converged and len(progress.history) < max_iterations:
            precise, stage = not progress.single, STAGES[progress.stage]
            levels = _step(problem, progress)
            residual, energy = progress.history[-1]
            if not np.isfinite(residual + energy):
                raise FloatingPointError(
                    f"the mean field at {problem.name} is not finite in step {len(progress.history)}"
                )
            small = precise and stage.plain and residual < tolerance
            # A mixed step may be small because the mixing stalls; only a plain one proves convergence.
            converged = small and progress.plain_step
            progress.verifying = small
            if not converged:
                _choose_stage(problem, progress, residual)
            bar.update()
            bar.set_postfix(residual=f"{residual:.1e}")
            if callback is not None:
                callback(
                    Iteration(
                        number=len(progress.history),
                        residual=residual,
                        total_energy=energy,
                        chemical_potential=levels.chemical_potential,
                        stage=stage.name,
                        precision="double" if precise else "single",
                        save=lambda path: save_progress(path, problem, progress),
                    )
                )
    return levels, converged


def _step(problem: Problem, progress: Progress) -> Levels:
    """One iteration: mean field, mixing, eigenstates, density matrix."""
    stage, density = STAGES[progress.stage], progress.density
    fock, energy = problem.mean_field(density)
    mixed = _mix(problem, progress, stage, fock, energy)
    progress.fock = mixed
    if stage.shift:
        mixed = mixed.map(lambda f, r: f - stage.shift * r, density)
    levels = problem.diagonalise(mixed, stage.smearing)
    progress.density, progress.entropy = problem.density_matrix(levels, stage.smearing)
    progress.single_iterations += progress.single
    progress.history.append((progress.density.distance(density), energy))
    return levels


def _mix(
    problem: Problem, progress: Progress, stage: Stage, fock: BlochMatrices, energy: float
) -> BlochMatrices:
    """The Fock matrix to diagonalise next."""
    progress.plain_step = progress.fock is None or progress.verifying
    if progress.plain_step or progress.fock is None:
        return fock
    if stage.damped:
        new = Mixture(progress.density, fock, progress.entropy)
        if progress.mixture is None:
            progress.mixture = new
        temperature = problem.temperature * stage.smearing
        progress.mixture = progress.mixture.towards(new, temperature, problem.mean_field.degeneracy)
        return progress.mixture.fock
    free_energy = energy - problem.temperature * stage.smearing * progress.entropy
    leapt = progress.mixer.extrapolated and progress.history[-1][0] > _LEAP
    lowest = progress.lowest
    if lowest is None or not leapt or free_energy < lowest[0] + _UPHILL[fock.precision]:
        progress.lowest = (free_energy, fock)
        return progress.mixer(fock, progress.fock)
    # The residual vanishes at saddle points too; going uphill gives one away.
    log.info("%s: uphill in iteration %d, back to the lowest state", problem.name, len(progress.history))
    progress.mixer = FockDIIS(progress.mixer.history)
    progress.retreats += 1
    return lowest[1]


def _choose_stage(problem: Problem, progress: Progress, residual: float) -> None:
    """Leave single precision when it has done its work, and a stage that stalls."""
    stage = STAGES[progress.stage]
    residuals = [r for r, _ in progress.history[progress.stage_began :]]
    patience = _PATIENCE * (_NEAR if min(residuals) < _ROUGH else 1)
    stalled = len(residuals) > patience and min(residuals[-patience:]) > min(residuals[:-patience]) / 2
    stalled |= progress.retreats > _RETREATS
    if progress.single and (residual < _SINGLE_ENOUGH or stalled):
        progress.single = False
        progress.density = progress.density.to(torch.float64)
        progress.fock = None if progress.fock is None else progress.fock.to(torch.float64)
        progress.lowest, progress.retreats = None, 0
        progress.stage_began = len(progress.history)
    elif (not stage.plain and residual < _ROUGH) or stalled:
        progress.stage = (progress.stage + 1) % len(STAGES)
        progress.stage_began = len(progress.history)
        progress.route.append(STAGES[progress.stage].name)
        progress.mixer, progress.lowest, progress.fock = FockDIIS(), None, None
        progress.mixture, progress.retreats = None, 0
        log.warning(
            "%s: %s at residual %.1e after %d iterations, now %s",
            problem.name,
            "stalled" if stalled else "ready",
            residual,
            len(progress.history),
            STAGES[progress.stage].name,
        )


def save_progress(path: str | Path, problem: Problem, progress: Progress) -> None:
    """Write an interrupted iteration, beside first and then renamed."""
    path = Path(path)
    beside = path.with_name(path.name + ".part")
    torch.save({"label": problem.label, "progress": progress}, beside)
    os.replace(beside, path)


def load_progress(path: str | Path, problem_label: dict[str, Any]) -> Progress:
    """Read what ``save_progress`` wrote; the file must come from a trusted place, as any pickle.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or belongs to another problem.
    """
    try:
        stored = torch.load(path, weights_only=False)
        label, progress = stored["label"], stored["progress"]
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path} is not a complete checkpoint of a Hartree-Fock iteration") from error
    if label != problem_label:
        different = [name for name in problem_label if label.get(name) != problem_label[name]]
        raise ValueError(f"the checkpoint {path} belongs to another problem: {', '.join(different)} differ")
    return progress
