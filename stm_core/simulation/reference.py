"""The hopping without the exchange that it holds already: that of a reference density matrix."""

import numpy as np
import torch
from scipy.sparse import csr_array

from .bloch import BlochMatrices
from .fock import Exchange, Interaction, MeanField
from .hopping import TightBinding
from .problem import Problem
from .symmetry import detect

REFERENCES = ("decoupled", "average", "none")
"""The two decoupled layers at neutrality, ½δ_ij, or nothing."""


def hopping(model: TightBinding, nk: int, device: torch.device) -> BlochMatrices:
    """H(k) in eV on the grid, one spin, reduced by the symmetries it has."""
    sparse = [csr_array(model.hamiltonian(k)) for k in model.crystal.k_grid(nk)]
    reduction = detect(model.crystal, nk, 1, lambda spin, k, v: sparse[k] @ v)
    return BlochMatrices.build(reduction, lambda spin, k: sparse[k].toarray(), device)


def subtract_reference(
    bare: BlochMatrices, model: TightBinding, exchange: torch.Tensor, reference: str, temperature: float
) -> tuple[BlochMatrices, float]:
    """Take the exchange field of the reference density out of the hopping.

    Parameters
    ----------
    bare : BlochMatrices
        From ``hopping``.
    model : TightBinding
        N atoms.
    exchange : (n_R, N, N) tensor
        Interaction at the nearest image, in eV.
    reference : str
        One of ``REFERENCES``.
    temperature : float
        Of the reference density, in eV.

    Returns
    -------
    BlochMatrices
        The rest, in eV.
    float
        Half the trace of that field with the reference density, in eV per spin and cell.
    """
    n, reduction = model.crystal.n_atoms, bare.reduction
    if reference == "none":
        return bare, 0.0
    if reference == "decoupled":
        ks = model.crystal.k_grid(reduction.nk)
        layers = BlochMatrices.build(reduction, lambda _, k: model.decoupled(ks[k]), bare.device)
        problem = Problem({}, MeanField(layers, 0.0, Interaction(0.0, None, None), 2.0), n, temperature)
        density, _ = problem.density_matrix(problem.diagonalise(layers))
    else:
        density = BlochMatrices.build(reduction, lambda *_: np.eye(n) / 2, bare.device)
    field = Exchange(exchange, reduction)(density).mirrored()
    return bare.map(torch.sub, field), field.trace_product(density) / 2
