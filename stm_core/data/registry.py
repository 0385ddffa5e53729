"""Functions of a Hartree-Fock state whose values a sweep keeps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stm_core.discovery import discover
from stm_core.simulation import HartreeFockState

Measure = Callable[[HartreeFockState], Any]


@dataclass(frozen=True)
class Observable:
    """A function of a state, and what the dataset says of its values.

    Attributes
    ----------
    measure : function
        Of a `HartreeFockState`; its values are floats.
    unit, meaning : str
        As the dataset gives them.
    over : tuple of str
        Dimensions of its values for one state: "atom", "spin", "kpoint", "level", or one of its own.
    """

    measure: Measure
    unit: str
    meaning: str
    over: tuple[str, ...]

    def of(self, state: HartreeFockState) -> NDArray[np.floating]:
        """Values for one state, with as many dimensions as `over` names; ValueError if they have others."""
        values = np.asarray(self.measure(state))
        if values.ndim != len(self.over):
            raise ValueError(
                f"the observable {self.measure.__name__} gives values of shape {values.shape}, "
                f"but is registered over ({', '.join(self.over)})"
            )
        return values


_REGISTRY: dict[str, Observable] = {}


def observable(unit: str, meaning: str, over: tuple[str, ...] = ()) -> Callable[[Measure], Measure]:
    """Let sweeps keep what a function of a state gives, under the function's name.

    Parameters
    ----------
    unit, meaning, over
        As in `Observable`.
    """

    def add(measure: Measure) -> Measure:
        _REGISTRY[measure.__name__] = Observable(measure, unit, meaning, over)
        return measure

    return add


def observables() -> Mapping[str, Observable]:
    """Every observable of ``stm_core/data/observables``, by name."""
    discover("stm_core.data.observables")
    return _REGISTRY
