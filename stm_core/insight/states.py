"""What the Hartree-Fock states themselves say at each U: the truth that an image is held against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

CONTROL = Path(__file__).parents[2] / "notebooks" / "data" / "control.nc"
"""A sweep without the long-range interaction, nk = 2, whose moment sets in at a known U."""


def double_occupancy(charge: ArrayLike, magnetisation: ArrayLike) -> np.ndarray:
    """Mean of ⟨n↑⟩⟨n↓⟩ = (n² − m²)/4 over the atoms: the double occupancy of a mean-field state.

    Parameters
    ----------
    charge, magnetisation : array_like, shape (..., N)
        Electrons per atom, and spin up minus spin down.

    Returns
    -------
    ndarray, shape (...)
        1/4 for one electron per atom without a moment, 0 for full moments.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    n, m = np.asarray(charge, dtype=float), np.asarray(magnetisation, dtype=float)
    if n.shape != m.shape or n.ndim == 0:
        raise ValueError(f"charge has shape {n.shape} and magnetisation {m.shape}; they must agree.")
    return np.mean((n**2 - m**2) / 4, axis=-1)


def state_quantities(ds: xr.Dataset) -> pd.DataFrame:
    """One row per sample of a sweep: where it belongs and what its state says.

    Parameters
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns.

    Returns
    -------
    pandas DataFrame
        ``U`` (eV), ``filling``, ``branch`` (the start it grew from), ``ground``; then ``gap`` (meV),
        ``double occupancy`` (per atom), ``energy above the ground state`` (meV per cell), and every order
        parameter of the dataset under its name without ``order_``, by magnitude.
    """
    frame = pd.DataFrame(
        {
            "U": ds["U"].values,
            "filling": ds["filling"].values,
            "branch": ds["start"].values.astype(str),
            "ground": ds["ground"].values,
            "gap": 1e3 * ds["gap"].values,
            "double occupancy": double_occupancy(ds["charge"].values, ds["magnetisation"].values),
        }
    )
    lowest = pd.Series(ds["energy"].values).groupby([frame["U"], frame["filling"]]).transform("min")
    frame["energy above the ground state"] = 1e3 * (ds["energy"].values - lowest.values)
    orders = [str(name) for name in ds.data_vars if str(name).startswith("order_")]
    more = {name.removeprefix("order_").replace("_", " "): np.abs(ds[name].values) for name in orders}
    return frame.assign(**more)
