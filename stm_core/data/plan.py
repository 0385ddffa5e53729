"""What a sweep computes: a plan, readable as a few lines of YAML."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from stm_core.simulation import (
    GRAPHENE_LATTICE,
    GateScreenedCoulomb,
    SlaterKoster,
    TightBinding,
    TwistedBilayer,
)

_DIGITS = {"U": 5, "filling": 3, "seed": 0}
# Written out, since these are what a person types: an inclusive range, or uniform random draws.
_RANGE = {"from", "to", "step"}
_DRAWS = {"random", "from", "to", "seed"}
_MOST = 100_000  # values of one range: more is a slip of the pen
_LARGEST = {"i": 100, "nk": 100, "max_iterations": 1_000_000, "seed": 2**32 - 1}  # nor fits more into memory
_FINITE = 1e15  # beyond any quantity here


class Task(NamedTuple):
    """One sample of a sweep: U in eV, filling in electrons per cell, seed of the start."""

    U: float
    filling: float
    seed: int

    @property
    def name(self) -> str:
        """What the files of this sample are called."""
        return f"U{self.U:.5f}_filling{self.filling:+.3f}_seed{self.seed}"


@dataclass(frozen=True)
class Block:
    """Samples at every combination of U, filling and seed.

    Parameters
    ----------
    U, filling, seed
        Each a list of numbers, an inclusive range ``{"from": 0, "to": 6, "step": 0.5}`` or uniform random
        draws ``{"random": 40, "from": 0, "to": 6, "seed": 1}``. They become sorted tuples without
        repetition; U is kept to 10⁻⁵ eV, a filling to 10⁻³ electrons per cell.

    Raises
    ------
    ValueError
        If one is none of these, or out of range.
    """

    U: Any
    filling: Any = (0.0,)
    seed: Any = (0,)

    def __post_init__(self) -> None:
        for name, digits in _DIGITS.items():
            values = _numbers(name, getattr(self, name))
            # Adding zero turns -0.0 into 0.0, which would be another file.
            rounded = sorted({round(value, digits) + 0.0 for value in values})
            if name == "seed":
                object.__setattr__(self, name, tuple(sorted({_whole(value) for value in values})))
            else:
                object.__setattr__(self, name, tuple(rounded))
        if self.U[0] < 0:
            raise ValueError(f"U must be zero or positive (eV), not {self.U[0]}")
        if max(map(abs, self.filling)) > 4:
            raise ValueError(f"the filling must lie between -4 and 4 electrons per cell, not {self.filling}")

    @property
    def chains(self) -> list[tuple[Task, ...]]:
        """Samples of equal filling and seed, in ascending U."""
        return [
            tuple(Task(U, filling, seed) for U in self.U)
            for filling, seed in itertools.product(self.filling, self.seed)
        ]


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep computes.

    Parameters
    ----------
    U, filling, seed
        The first block of samples, as in ``Block``; without U, only what the other blocks inherit.
    blocks : sequence of mappings or of Block
        Further samples in falling order of value, each ``{"U": …, "filling": …, "seed": …}``; filling and
        seed default to those above. A sample named twice is computed once.
    warm : bool
        Start each sample from the converged density matrix of the next lower U of its block, filling and
        seed instead of from its seed's field, which follows a branch even where others lie lower.
    i, spacing, cutoff : int, float, float
        Twist index, layer spacing and longest hopping in Å.
    heterostrain, strain_angle, layer_potential : float
        As in ``TwistedBilayer`` and ``TightBinding``: relative elongation, direction in radians, eV.
    epsilon, gate_distance : float
        Coulomb interaction; ``epsilon = 0`` switches it off.
    nk, temperature, tolerance, max_iterations
        As in ``HartreeFock`` and its ``solve``.
    bias : sequence of floats
        Biases of the LDOS in eV, listed or given as in ``Block``.
    broadening : float
        Tunnelling resolution in eV.

    Raises
    ------
    ValueError
        If a value is not what is described here, naming it.
    """

    U: Any = ()
    filling: Any = (0.0,)
    seed: Any = (0,)
    blocks: Any = ()
    warm: bool = False
    i: int = 9
    spacing: float = 2.94
    cutoff: float = 8.0
    heterostrain: float = 0.0
    strain_angle: float = 0.0
    layer_potential: float = 0.0
    epsilon: float = 10.0
    gate_distance: float = 100.0
    nk: int = 1
    temperature: float = 0.003
    tolerance: float = 1e-6
    max_iterations: int = 300
    bias: Any = tuple(np.round(np.linspace(-0.06, 0.06, 13), 6).tolist())
    broadening: float = 0.005

    def __post_init__(self) -> None:
        defaults = {"filling": self.filling, "seed": self.seed}
        if not isinstance(self.blocks, Sequence) or isinstance(self.blocks, str):
            raise ValueError(f"a sweep plan needs blocks as a list, not {self.blocks!r}")
        blocks = tuple(_block(block, defaults) for block in self.blocks)
        first = Block((0.0,) if _absent(self.U) and blocks else self.U, self.filling, self.seed)
        object.__setattr__(self, "U", () if _absent(self.U) else first.U)
        object.__setattr__(self, "filling", first.filling)
        object.__setattr__(self, "seed", first.seed)
        object.__setattr__(self, "blocks", blocks)
        object.__setattr__(self, "bias", tuple(sorted({float(b) for b in _numbers("bias", self.bias)})))
        self._check_physics()

    def _check_physics(self) -> None:
        if not isinstance(self.warm, bool):
            raise ValueError(f"a sweep plan needs true or false for warm, not {self.warm!r}")
        for name, value in self.physics.items():
            if name != "bias" and (isinstance(value, bool) or not isinstance(value, int | float)):
                hint = "; YAML takes 1.0e-6 for a number, but 1e-6 for text" if isinstance(value, str) else ""
                raise ValueError(f"a sweep plan needs a number for {name}, not {value!r}{hint}")
            if name != "bias" and not _is_number(value):
                raise ValueError(f"a sweep plan needs a finite {name}, not {value}")
            if name in _LARGEST and (value != int(value) or value > _LARGEST[name]):
                raise ValueError(
                    f"a sweep plan needs a whole number for {name}, at most {_LARGEST[name]}, not {value!r}"
                )
        for name in ("cutoff", "nk", "temperature", "tolerance", "max_iterations", "broadening"):
            if not getattr(self, name) > 0:
                raise ValueError(f"a sweep plan needs a positive {name}, not {getattr(self, name)}")
        _ = self.crystal  # refuses a geometry that cannot be built
        if self.epsilon:
            GateScreenedCoulomb(self.epsilon, self.gate_distance)

    @property
    def crystal(self) -> TwistedBilayer:
        """The atoms that all samples share."""
        return TwistedBilayer(int(self.i), self.spacing, self.heterostrain, self.strain_angle)

    @property
    def model(self) -> TightBinding:
        """The hopping between them."""
        return TightBinding(self.crystal, self.cutoff, layer_potential=self.layer_potential)

    @property
    def physics(self) -> dict[str, Any]:
        """Every parameter that all samples share, by name."""
        own = ("U", "filling", "seed", "blocks", "warm")
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in own}

    @property
    def constants(self) -> dict[str, Any]:
        """What no plan chooses, by name: hopping, lattice and reference of the exchange; and ``warm``."""
        common = {"lattice_constant": GRAPHENE_LATTICE, "reference": "decoupled"}
        return {**asdict(SlaterKoster()), **common, "warm": int(self.warm)}

    @cached_property
    def chains(self) -> list[tuple[Task, ...]]:
        """Samples that follow one another, in order of value; of one sample each unless ``warm``."""
        first = [Block(self.U, self.filling, self.seed)] if self.U else []
        chains: list[tuple[Task, ...]] = []
        named: set[Task] = set()
        for chain in itertools.chain.from_iterable(block.chains for block in [*first, *self.blocks]):
            new = tuple(task for task in chain if task not in named)
            named.update(new)
            chains.extend([new] if self.warm and new else [(task,) for task in new])
        return chains

    @property
    def tasks(self) -> list[Task]:
        """Every sample, in order of value."""
        return list(itertools.chain.from_iterable(self.chains))


def read_plan(path: str | Path) -> SweepPlan:
    """Read a plan from a YAML file whose keys are the parameters of ``SweepPlan``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not YAML, has an unknown key, lacks U, or asks for what ``SweepPlan`` refuses.
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
    if "U" not in content and not content.get("blocks"):
        raise ValueError(f"{path} has no U; give a list of interactions in eV")
    return SweepPlan(**content)


def _absent(values: Any) -> bool:
    return isinstance(values, tuple) and not values


def _block(given: Any, defaults: Mapping[str, Any]) -> Block:
    if isinstance(given, Block):
        return given
    if not isinstance(given, Mapping) or "U" not in given or not set(given) <= set(_DIGITS):
        raise ValueError(f"each block of a sweep plan needs U and may have filling and seed, not {given!r}")
    return Block(**{**defaults, **given})


def _numbers(name: str, given: Any) -> list[float]:
    """The finite numbers that a list, a range or random draws stand for."""
    if isinstance(given, Mapping):
        return _spread(name, given)
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) == 0:
        raise ValueError(f"a sweep plan needs {name} as a list of at least one number, not {given!r}")
    if not all(_is_number(value) for value in given):
        raise ValueError(f"a sweep plan needs numbers in {name}, not {given!r}")
    return [float(value) for value in given]


def _spread(name: str, given: Mapping[str, Any]) -> list[float]:
    keys = set(given)
    if keys not in (_RANGE, _DRAWS) or not all(_is_number(value) for value in given.values()):
        raise ValueError(
            f"{name} must be a list, a range {{from: 0, to: 6, step: 1}} or draws "
            f"{{random: 40, from: 0, to: 6, seed: 1}}, not {dict(given)!r}"
        )
    low, high = float(given["from"]), float(given["to"])
    count = given["random"] if "random" in keys else (high - low) / given["step"] if given["step"] > 0 else -1
    if not low <= high or not 0 <= count <= _MOST or ("random" in keys and count != max(int(count), 1)):
        raise ValueError(f"{name} must go upwards in at most {_MOST} values, not {dict(given)!r}")
    if "random" in keys:
        rng = np.random.default_rng(_whole(given["seed"]))
        return np.asarray(rng.uniform(low, high, int(count))).tolist()
    # The end belongs to the range even where the step is no binary fraction.
    steps = int(np.floor(count + 1e-9))
    return [low + index * float(given["step"]) for index in range(steps + 1)]


def _whole(seed: float) -> int:
    if seed != int(seed) or not 0 <= seed <= _LARGEST["seed"]:
        raise ValueError(f"a seed must be a non-negative integer below 2³², not {seed:g}")
    return int(seed)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _FINITE
