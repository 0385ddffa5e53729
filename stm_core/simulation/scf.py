"""The self-consistency loop: precision, acceleration, and what to do when it stalls."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from stm_core.files import replacing

from .bloch import BlochMatrices
from .fock import site_densities
from .mixing import FockMixer
from .problem import Levels, Problem
from .routes import STAGES, Mixture, Stage
from .window import Window, window_fits

log = logging.getLogger(__name__)

_SINGLE_ENOUGH = 5e-5  # electrons: single precision carries the density matrix no further
_SINGLE_WORTH = 200  # rows: smaller matrices gain nothing from single precision
_FAR = 1e-5  # electrons: after larger changes of the density matrix the mixing goes downhill
_POLISH = 6  # iterations after which DIIS should have come ten times closer
_ROUGH = 1e-4  # electrons: where a fallback hands on, and soft bands need no care of their own
_QUICK = 8  # iterations after which what is not there yet is slow
_PATIENCE = 24  # iterations in which the residual must halve: saddle points take their time


@dataclass
class Progress:
    """All that the iteration carries from one step to the next; saved, it resumes identically."""

    density: BlochMatrices
    entropy: float
    single: bool
    fock: BlochMatrices | None = None
    mixer: FockMixer = field(default_factory=FockMixer)
    history: list[tuple[float, float]] = field(default_factory=list)
    stage: int = 0
    stage_began: int = 0
    single_iterations: int = 0
    verifying: bool = False
    converged: bool = False
    mixture: Mixture | None = None
    plain_step: bool = True
    route: list[str] = field(default_factory=lambda: [STAGES[0].name])
    kind: str = ""


@dataclass(frozen=True)
class Iteration:
    """What a callback is told after each iteration; energies in eV.

    ``before`` and ``density`` are the electrons per atom and spin, (2, N), that the iteration began and ended
    with. ``save(path)`` writes all that ``HartreeFock.resume`` needs to go on identically, and keeps that in
    memory as long as the iteration is kept.
    """

    number: int
    residual: float
    total_energy: float
    chemical_potential: float
    stage: str
    precision: str
    before: NDArray[np.float64]
    density: NDArray[np.float64]
    save: Callable[[str | Path], None]


def worth_single(matrices: BlochMatrices) -> bool:
    """Whether single precision is quicker for matrices of this size."""
    return matrices.stacks[0].shape[-1] >= _SINGLE_WORTH


def start_progress(density: BlochMatrices, entropy: float, mixed: bool) -> Progress:
    """The iteration before its first step."""
    single = mixed and worth_single(density)
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
    if progress.converged and progress.fock is not None and progress.history[-1][0] < tolerance:
        return problem.diagonalise(progress.fock), True
    progress.converged = False
    with tqdm(
        total=max_iterations,
        initial=len(progress.history),
        desc=f"SCF U = {problem.label['U']:g} eV",
        leave=False,
        disable=not show,
    ) as bar:
        while not progress.converged and len(progress.history) < max_iterations:
            precise, stage, before = not progress.single, STAGES[progress.stage], progress.density
            levels = _step(problem, progress)
            residual, energy = progress.history[-1]
            if not np.isfinite(residual + energy):
                raise FloatingPointError(
                    f"the mean field at {problem.name} is not finite in step {len(progress.history)}"
                )
            small = precise and stage.plain and residual < tolerance
            # A mixed step may be small because the mixing stalls; only a plain one proves convergence.
            progress.converged = small and progress.plain_step
            progress.verifying = small
            if not progress.converged:
                _choose_stage(problem, progress, residual)
            bar.update()
            bar.set_postfix(residual=f"{residual:.1e}")
            if callback is not None:
                precision = "double" if precise else "single"
                callback(_told(problem, progress, before, levels, stage.name, precision))
    return levels, progress.converged


def _told(
    problem: Problem, progress: Progress, before: BlochMatrices, levels: Levels, stage: str, precision: str
) -> Iteration:
    """What a callback hears of the iteration just made."""
    residual, energy = progress.history[-1]
    return Iteration(
        number=len(progress.history),
        residual=residual,
        total_energy=energy,
        chemical_potential=levels.chemical_potential,
        stage=stage,
        precision=precision,
        before=np.stack(site_densities(before)[:2]),
        density=np.stack(site_densities(progress.density)[:2]),
        save=lambda path: save_progress(path, problem, progress),
    )


def _step(problem: Problem, progress: Progress) -> Levels:
    """One iteration: mean field, mixing, eigenstates, density matrix."""
    stage, density = STAGES[progress.stage], progress.density
    fock, energy = problem.mean_field(density)
    mixed = _mix(problem, progress, stage, fock)
    progress.fock = mixed
    if stage.shift:
        mixed = mixed.map(lambda f, r: f - stage.shift * r, density)
    levels = problem.diagonalise(mixed, stage.smearing)
    progress.density, progress.entropy = problem.density_matrix(levels, stage.smearing)
    if _is_slow(progress, stage) and window_fits(levels):
        progress.fock, progress.density = Window(problem, levels, mixed, progress.density).relaxed()
    progress.single_iterations += progress.single
    progress.history.append((progress.density.distance(density), energy))
    return levels


def _mix(problem: Problem, progress: Progress, stage: Stage, fock: BlochMatrices) -> BlochMatrices:
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
    far = not stage.shift and (progress.history[-1][0] > _FAR or _polishes_in_vain(progress))
    return progress.mixer(fock, progress.fock, progress.density, far)


def _polishes_in_vain(progress: Progress) -> bool:
    """Whether DIIS hovers near a saddle point, which the way downhill leaves."""
    lately = [r for r, _ in progress.history[-_POLISH:]]
    return len(lately) == _POLISH and max(lately) <= _FAR and lately[-1] > 0.1 * lately[0]


def _is_slow(progress: Progress, stage: Stage) -> bool:
    """Whether soft bands hold up the iteration, so that it is worth while to relax them by themselves."""
    residuals = [r for r, _ in progress.history[progress.stage_began :]]
    return stage.plain and not progress.plain_step and len(residuals) >= _QUICK and residuals[-1] > _ROUGH


def _choose_stage(problem: Problem, progress: Progress, residual: float) -> None:
    """Leave single precision when it has done its work, and a stage that stalls."""
    stage = STAGES[progress.stage]
    if _polishes_in_vain(progress):
        progress.stage_began = len(progress.history)
    residuals = [r for r, _ in progress.history[progress.stage_began :]]
    stalled = len(residuals) > _PATIENCE and min(residuals[-_PATIENCE:]) > min(residuals[:-_PATIENCE]) / 2
    if progress.single and (residual < _SINGLE_ENOUGH or stalled):
        progress.single = False
        problem.mean_field.forget_rounded()
        progress.density = progress.density.to(torch.float64)
        progress.fock = None if progress.fock is None else progress.fock.to(torch.float64)
        progress.mixture = None
        progress.stage_began = len(progress.history)
    elif (not stage.plain and residual < _ROUGH) or stalled:
        progress.stage = (progress.stage + 1) % len(STAGES)
        progress.stage_began = len(progress.history)
        progress.route.append(STAGES[progress.stage].name)
        progress.mixer, progress.mixture, progress.fock = FockMixer(), None, None
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
    with replacing(path) as beside:
        torch.save({"label": problem.label, "progress": progress}, beside)


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
