"""What every dataset has of a state: charge and spin of its atoms, energies, levels around half filling."""

import numpy as np
from numpy.typing import NDArray

from stm_core.data.registry import observable
from stm_core.simulation import HartreeFockState

_KEPT_LEVELS = 8


@observable("electrons", "electrons per atom", over=("atom",))
def charge(state: HartreeFockState) -> NDArray[np.float32]:
    return state.density.sum(axis=0).astype(np.float32)


@observable("electrons", "spin up minus spin down per atom", over=("atom",))
def magnetisation(state: HartreeFockState) -> NDArray[np.float32]:
    return (state.density[0] - state.density[1]).astype(np.float32)


@observable("eV per cell", "total energy")
def energy(state: HartreeFockState) -> float:
    return state.total_energy


@observable("eV", "chemical potential")
def chemical_potential(state: HartreeFockState) -> float:
    return state.chemical_potential


@observable("eV", "levels around half filling, from the chemical potential", over=("spin", "kpoint", "level"))
def levels(state: HartreeFockState) -> NDArray[np.float32]:
    first = state.crystal.n_atoms // 2 - _KEPT_LEVELS // 2
    window = state.energies[:, :, first : first + _KEPT_LEVELS]
    return (window - state.chemical_potential).astype(np.float32)


@observable("eV", "indirect gap, 0 for a metal")
def gap(state: HartreeFockState) -> float:
    return state.gap
