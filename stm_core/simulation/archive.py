"""Hartree-Fock states as files."""

import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stm_core.files import replacing

from .bloch import BlochMatrices
from .coulomb import GateScreenedCoulomb
from .lattice import Crystal, TwistedBilayer
from .symmetry import SymmetryReduction, candidate_operations

if TYPE_CHECKING:
    from .state import HartreeFockState

_TWIST = ("i", "spacing", "heterostrain", "strain_angle")
_GEOMETRY = ("positions", "lattice", "layer", "sublattice")
_SCALARS = (
    "U",
    "filling",
    "nk",
    "temperature",
    "layer_potential",
    "reference",
    "spin",
    "start",
    "chemical_potential",
    "total_energy",
    "entropy",
    "single_iterations",
    "converged",
)
_ARRAYS = ("levels", "history")


def write_archive(path: str | Path, state: "HartreeFockState") -> None:
    """Write a state to an ``.npz`` file, beside first and then renamed."""
    crystal = state.crystal
    if isinstance(crystal, TwistedBilayer):
        geometry = {"twist": np.array([getattr(crystal, name) for name in _TWIST])}
    else:
        geometry = {name: getattr(crystal, name) for name in _GEOMETRY}
    reduction = state.orbitals.reduction
    stored: dict[str, Any] = {
        **geometry,
        **({} if state.coulomb is None else {"coulomb": np.array(list(asdict(state.coulomb).values()))}),
        **{name: np.array(getattr(state, name)) for name in (*_SCALARS, *_ARRAYS)},
        "route": np.array(state.route),
        "operations": np.array([operation.name for operation in reduction.operations]),
        "real_orbitals": state.orbitals.stacks[0].numpy(),
        "complex_orbitals": state.orbitals.stacks[1].numpy(),
    }
    with replacing(path) as beside, open(beside, "wb") as stream:
        np.savez(stream, allow_pickle=False, **stored)


def read_archive(path: str | Path) -> dict[str, Any]:
    """Fields of a state that ``write_archive`` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated or not a saved state.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            data = dict(stored)
        if "twist" in data:
            i, *others = data["twist"].tolist()
            crystal: Crystal = TwistedBilayer(int(i), **dict(zip(_TWIST[1:], others, strict=True)))
        else:
            crystal = Crystal(*(data[name] for name in _GEOMETRY))
        scalars = {name: data[name].item() for name in _SCALARS}
        components, n_spin = 1 + (scalars["spin"] == "noncollinear"), 1 + (scalars["spin"] == "collinear")
        kept = set(data["operations"].tolist())
        operations = [o for o in candidate_operations(crystal, n_spin) if o.name in kept]
        reduction = SymmetryReduction(crystal, scalars["nk"], n_spin, operations, components)
        stacks = tuple(torch.from_numpy(data[name]) for name in ("real_orbitals", "complex_orbitals"))
        return {
            "crystal": crystal,
            "coulomb": GateScreenedCoulomb(*map(float, data["coulomb"])) if "coulomb" in data else None,
            "route": tuple(data["route"].tolist()),
            "orbitals": BlochMatrices(reduction, (stacks[0], stacks[1])),
            **scalars,
            **{name: data[name] for name in _ARRAYS},
        }
    except FileNotFoundError:
        raise
    except (zipfile.BadZipFile, KeyError, EOFError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} is not a complete Hartree-Fock state written by HartreeFockState.save"
        ) from error
