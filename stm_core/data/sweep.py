"""Resumable Hartree-Fock sweeps: one file per sample, gathered into one dataset."""

import hashlib
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import IO, Any

import numpy as np
import yaml
from numpy.typing import NDArray
from tqdm.auto import tqdm

import stm_core
from stm_core.simulation import (
    GateScreenedCoulomb,
    HartreeFock,
    HartreeFockState,
    TightBinding,
    TwistedBilayer,
)

from .store import dataset_from_samples, write_dataset

Sample = dict[str, Any]


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep computes.

    Parameters
    ----------
    U : sequence of floats
        On-site repulsions in eV.
    filling : sequence of floats
        Electrons per cell from neutrality.
    seed : sequence of ints
        Symmetry-breaking starts.
    i, spacing, cutoff : int, float, float
        Twist index, layer spacing and longest hopping in Å.
    epsilon, gate_distance : float
        Coulomb interaction; ``epsilon = 0`` switches it off.
    nk, temperature, tolerance, max_iterations
        As in ``HartreeFock`` and its ``solve``.
    bias : sequence of floats
        Biases of the LDOS in eV.
    broadening : float
        Tunnelling resolution in eV.
    """

    U: tuple[float, ...]
    filling: tuple[float, ...] = (0.0,)
    seed: tuple[int, ...] = (0,)
    i: int = 9
    spacing: float = 2.94
    cutoff: float = 8.0
    epsilon: float = 10.0
    gate_distance: float = 100.0
    nk: int = 1
    temperature: float = 0.003
    tolerance: float = 1e-6
    max_iterations: int = 300
    bias: tuple[float, ...] = tuple(np.round(np.linspace(-0.06, 0.06, 13), 6).tolist())
    broadening: float = 0.005

    def __post_init__(self) -> None:
        for name in ("U", "filling", "seed", "bias"):
            values = getattr(self, name)
            if not isinstance(values, Sequence) or isinstance(values, str) or len(values) == 0:
                raise ValueError(
                    f"a sweep plan needs {name} as a list of at least one number, not {values!r}"
                )
            try:
                numbers = tuple(sorted({float(value) for value in values}))
            except (TypeError, ValueError):
                raise ValueError(f"a sweep plan needs numbers in {name}, not {values!r}") from None
            object.__setattr__(self, name, numbers)
        for name, value in self.physics.items():
            if name != "bias" and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise ValueError(f"a sweep plan needs a number for {name}, not {value!r}")
        if any(seed != int(seed) for seed in self.seed):
            raise ValueError(f"a seed must be a non-negative integer, not {self.seed}")
        object.__setattr__(self, "seed", tuple(int(seed) for seed in self.seed))
        for name in ("cutoff", "nk", "temperature", "tolerance", "max_iterations", "broadening"):
            if not getattr(self, name) > 0:
                raise ValueError(f"a sweep plan needs a positive {name}, not {getattr(self, name)}")
        TwistedBilayer(self.i, self.spacing)  # refuses a geometry that cannot be built
        if self.epsilon:
            GateScreenedCoulomb(self.epsilon, self.gate_distance)
        if self.U[0] < 0:
            raise ValueError(f"U must be zero or positive (eV), not {self.U[0]}")
        if self.seed[0] < 0:
            raise ValueError(f"a seed must be a non-negative integer, not {self.seed[0]}")
        if max(map(abs, self.filling)) > 4:
            raise ValueError(f"the filling must lie between -4 and 4 electrons per cell, not {self.filling}")

    @property
    def physics(self) -> dict[str, Any]:
        """Every parameter that all samples share."""
        return {name: value for name, value in asdict(self).items() if name not in ("U", "filling", "seed")}

    @property
    def tasks(self) -> list[tuple[float, float, int]]:
        """The (U, filling, seed) of every sample."""
        return [(U, nu, seed) for nu, seed, U in itertools.product(self.filling, self.seed, self.U)]


def read_plan(path: str | Path) -> SweepPlan:
    """Read a plan from a YAML file whose keys are the parameters of ``SweepPlan``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not YAML, has an unknown key or lacks U.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no plan {path}; give a YAML file of sweep parameters")
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        content = None
    known = [f.name for f in fields(SweepPlan)]
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} is not a YAML file of sweep parameters; accepted keys are {', '.join(known)}"
        )
    unknown = [str(key) for key in content if key not in known]
    if unknown:
        raise ValueError(
            f"{path} has unknown keys {', '.join(unknown)}; accepted keys are {', '.join(known)}"
        )
    if "U" not in content:
        raise ValueError(f"{path} has no U; give a list of interactions in eV")
    return SweepPlan(**content)


class Sweep:
    """A plan being carried out in a folder.

    A sample is one file, written beside and then renamed, so a run killed at any moment loses at
    most the sample it was working on; run again, it computes what is missing.

    Parameters
    ----------
    plan : SweepPlan
    folder : path
        Made if missing. A folder keeps the physics it was started with; U, fillings and seeds may
        be added later.

    Raises
    ------
    ValueError
        If the folder holds samples of other physics.
    """

    def __init__(self, plan: SweepPlan, folder: str | Path) -> None:
        self.plan, self.folder = plan, Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        record = self.folder / "physics.yml"
        if record.exists():
            known = yaml.safe_load(record.read_text(encoding="utf-8"))
            ours = yaml.safe_load(yaml.safe_dump(_plain(plan.physics)))
            changed = sorted(key for key in ours if known.get(key) != ours[key])
            if changed:
                raise ValueError(
                    f"{self.folder} holds a sweep with other {', '.join(changed)}; choose another folder"
                )
        else:
            with _beside(record) as stream:
                stream.write(yaml.safe_dump(_plain(plan.physics)).encode())

    def path(self, U: float, filling: float, seed: int) -> Path:
        """File of one sample."""
        return self.folder / f"U{U:.5f}_filling{filling:+.3f}_seed{seed}.npz"

    @property
    def missing(self) -> list[tuple[float, float, int]]:
        """Tasks without a finished sample."""
        return [task for task in self.plan.tasks if not self.path(*task).exists()]

    @cached_property
    def problem(self) -> HartreeFock:
        """The mean-field problem all samples share."""
        plan = self.plan
        model = TightBinding(TwistedBilayer(plan.i, plan.spacing), plan.cutoff)
        coulomb = GateScreenedCoulomb(plan.epsilon, plan.gate_distance) if plan.epsilon else None
        return HartreeFock(model, plan.U[0], coulomb, plan.filling[0], plan.nk, plan.temperature)

    def run(self, progress: bool = True) -> None:
        """Compute every missing sample, each from its own seeded start."""
        tasks = self.plan.tasks
        missing = self.missing
        with tqdm(
            total=len(tasks),
            initial=len(tasks) - len(missing),
            desc="sweep",
            unit="sample",
            disable=not progress,
        ) as bar:
            for U, filling, seed in missing:
                bar.set_postfix(U=f"{U:g}", filling=f"{filling:g}", seed=seed)
                sample = self._sample(U, filling, seed)
                with _beside(self.path(U, filling, seed)) as stream:
                    np.savez(stream, **sample)
                bar.update()

    def gather(self) -> Path:
        """Write all samples of the plan to ``dataset.nc`` in the folder and return its path.

        Raises
        ------
        ValueError
            If samples are missing.
        """
        if self.missing:
            raise ValueError(
                f"{len(self.missing)} of {len(self.plan.tasks)} samples are missing; run the sweep first"
            )
        samples = [_read_sample(self.path(*task)) for task in self.plan.tasks]
        versions = sorted({str(sample["code_version"]) for sample in samples})
        attributes = {**self.plan.physics, "code_version": ", ".join(versions)}
        bias = np.array(attributes.pop("bias"))
        path = self.folder / "dataset.nc"
        crystal = TwistedBilayer(self.plan.i, self.plan.spacing)
        write_dataset(dataset_from_samples(samples, crystal, bias, attributes), path)
        return path

    def _sample(self, U: float, filling: float, seed: int) -> Sample:
        began = time.perf_counter()
        state = self.problem.at(U, filling).solve(
            seed=seed, tolerance=self.plan.tolerance, max_iterations=self.plan.max_iterations
        )
        return sample_of(state, seed, self.plan, time.perf_counter() - began)


def sample_of(state: HartreeFockState, seed: int, plan: SweepPlan, wall_time: float) -> Sample:
    """The numbers that a sweep keeps of one Hartree-Fock state, as NumPy arrays by name."""
    sample: Sample = {
        "U": state.U,
        "filling": state.filling,
        "seed": seed,
        "start": state.start,
        "ldos": state.ldos(plan.bias, plan.broadening, layer="both").astype(np.float32),
        "charge": state.density.sum(axis=0).astype(np.float32),
        "magnetisation": (state.density[0] - state.density[1]).astype(np.float32),
        "energy": state.total_energy,
        "chemical_potential": state.chemical_potential,
        "levels": central_levels(state),
        "gap": state.gap,
        "residual": state.residual,
        "iterations": state.iterations,
        "converged": state.converged,
        "wall_time": wall_time,
        "code_version": code_version(),
    }
    return sample | {f"order_{name}": value for name, value in state.order_parameters().items()}


def central_levels(state: HartreeFockState, number: int = 8) -> NDArray[np.float32]:
    """The levels around half filling, (2, n_k, number) in eV from the chemical potential."""
    middle = state.crystal.n_atoms // 2
    window = state.energies[:, :, middle - number // 2 : middle + number // 2]
    return (window - state.chemical_potential).astype(np.float32)


def code_version() -> str:
    """Version of the library and a hash of its simulation code: what a sample depends on."""
    digest = hashlib.sha256()
    for entry in sorted(resources.files("stm_core.simulation").iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".py"):
            digest.update(entry.read_bytes())
    return f"{stm_core.__version__}+{digest.hexdigest()[:12]}"


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in parameters.items()}


@contextmanager
def _beside(path: Path) -> Iterator[IO[bytes]]:
    """A stream beside ``path`` that takes its place once it is written whole."""
    beside = path.with_name(path.name + ".part")
    with open(beside, "wb") as stream:
        yield stream
    os.replace(beside, path)


def _read_sample(path: Path) -> Sample:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name][()] for name in stored}
