"""The density matrix at one U from those of states at others."""

from collections.abc import Sequence

import numpy as np
import torch

from .bloch import BlochMatrices
from .state import HartreeFockState
from .symmetry import SymmetryReduction


def extrapolate(
    states: Sequence[HartreeFockState], U: float, limit: SymmetryReduction, device: torch.device
) -> BlochMatrices:
    """Density matrix at U from the polynomial in U through those of the states.

    Parameters
    ----------
    states : sequence of HartreeFockState
        At different U.
    U : float
        In eV.
    limit : SymmetryReduction
        The result keeps the symmetries that all states have and this one too.
    device : torch.device

    Raises
    ------
    ValueError
        If the states do not fit the atoms, k-points and spins of ``limit``, or two have the same U.
    """
    crystal = limit.crystal
    shape = (limit.n_spin, limit.nk**2, limit.components * crystal.n_atoms)
    for state in states:
        if state.energies.shape != shape:
            raise ValueError(
                f"a start has {state.crystal.n_atoms} atoms, nk = {state.nk} and {state.spin} spins; this "
                f"problem has {crystal.n_atoms} atoms, nk = {limit.nk}, {limit.n_spin} separate spins and "
                f"{limit.components} components of an orbital"
            )
    path = np.array([state.U for state in states])
    if len(np.unique(path)) != len(path):
        raise ValueError("states to extrapolate from must have different U")
    shares = [np.prod([(U - b) / (a - b) for b in path if b != a]) for a in path]
    reduction = states[0].orbitals.reduction
    for other in (*(state.orbitals.reduction for state in states[1:]), limit):
        reduction = reduction.restricted_to(other)
    parts = [
        state.density_matrix(reduction, device).map(lambda stack, s=share: s * stack)
        for share, state in zip(shares, states, strict=True)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = total.map(torch.add, part)
    return total
