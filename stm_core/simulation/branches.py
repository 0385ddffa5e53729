"""The ground state and its competitors: one problem solved from several starts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from .hartree_fock import HartreeFock
from .lattice import TwistedBilayer
from .order import FlatBands, identify
from .state import HartreeFockState

_SAME_ENERGY = 2e-6  # eV per cell: self-consistency to 1e-6 in the density fixes the energy better
_SAME_GAP = 1e-4  # eV


@dataclass(frozen=True, eq=False)
class Branch:
    """One self-consistent solution among several.

    Attributes
    ----------
    label : str
        Name of its order; see ``order.identify``.
    above : float
        Free energy above the lowest branch, in eV per cell.
    starts : tuple of str
        Kinds of start that led here.
    orders : dict
        Order parameters in the flat bands; empty for other crystals than twisted bilayers.
    state : HartreeFockState
        From the first of those starts.
    """

    label: str
    above: float
    starts: tuple[str, ...]
    orders: dict[str, float]
    state: HartreeFockState


def competing_branches(
    problem: HartreeFock,
    seeds: Iterable[int] = range(8),
    tolerance: float = 1e-6,
    max_iterations: int = 300,
    found: Callable[[HartreeFockState], None] | None = None,
) -> list[Branch]:
    """Solve from several starts and sort what they lead to by free energy.

    Solutions of equal energy and gap are one branch: a start picks one of the states that symmetry
    makes degenerate. States that did not converge are left out.

    Parameters
    ----------
    problem : HartreeFock
    seeds : iterable of int
        See ``starts.starting_field``: the first eight are one of each kind.
    tolerance, max_iterations
        As in ``HartreeFock.solve``.
    found : callable, optional
        Called with every state, converged or not, as it is found.

    Returns
    -------
    list of Branch
        The ground state first.

    Raises
    ------
    ValueError
        If no start converges.
    """
    states: list[HartreeFockState] = []
    starts: list[list[str]] = []
    for seed in tqdm(list(seeds), desc=f"starts at U = {problem.U:g} eV", leave=False):
        state = problem.solve(seed=seed, tolerance=tolerance, max_iterations=max_iterations)
        if found is not None:
            found(state)
        if not state.converged:
            continue
        for known, kinds in zip(states, starts, strict=True):
            if _same(known, state):
                kinds.append(state.start)
                break
        else:
            states.append(state)
            starts.append([state.start])
    if not states:
        raise ValueError("no start converged; allow more iterations")
    flat = FlatBands(problem.model, problem.nk) if isinstance(states[0].crystal, TwistedBilayer) else None
    lowest = min(state.free_energy for state in states)
    branches = []
    for index in np.argsort([state.free_energy for state in states]):
        state = states[index]
        orders = {} if flat is None else flat.order_parameters(state)
        label = identify(orders) if orders else state.start
        branches.append(Branch(label, state.free_energy - lowest, tuple(starts[index]), orders, state))
    return branches


def _same(a: HartreeFockState, b: HartreeFockState) -> bool:
    return abs(a.free_energy - b.free_energy) < _SAME_ENERGY and abs(a.gap - b.gap) < _SAME_GAP
