"""The dataset of a sweep: one NetCDF file, described by itself and checked when opened."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stm_core.simulation import TwistedBilayer

SCHEMA = "stm-hubbard-1"

SHIPPED = Path(__file__).parents[2] / "notebooks" / "data" / "sweep.nc"
"""The Hartree-Fock sweep that comes with the study."""

_UNITS = {
    "ldos": "1/eV",
    "charge": "electrons",
    "magnetisation": "electrons",
    "levels": "eV",
    "energy": "eV per cell",
    "chemical_potential": "eV",
    "gap": "eV",
    "wall_time": "s",
    "U": "eV",
    "filling": "electrons per cell",
    "bias": "eV",
    "x": "Å",
    "y": "Å",
    "z": "Å",
}
_REQUIRED = ("ldos", "charge", "magnetisation", "energy", "gap", "residual", "converged", "lowest")
_COORDINATES = ("U", "filling", "seed", "start")
_DIMENSIONS = {
    "ldos": ("sample", "bias", "atom"),
    "charge": ("sample", "atom"),
    "magnetisation": ("sample", "atom"),
    "levels": ("sample", "spin", "kpoint", "level"),
}


def dataset_from_samples(
    samples: Sequence[Mapping[str, Any]],
    crystal: TwistedBilayer,
    bias: NDArray[np.float64],
    attributes: Mapping[str, Any],
) -> xr.Dataset:
    """Label the samples of a sweep.

    Parameters
    ----------
    samples : sequence of mappings
        As ``sweep.sample_of`` makes them, all with the same names.
    crystal : TwistedBilayer
        Its N atoms are the ``atom`` dimension.
    bias : (n_bias,) float array
        In eV.
    attributes : mapping
        Physical parameters and code version.

    Returns
    -------
    xarray.Dataset
        Dimensions sample, bias, atom (and spin, kpoint, level for the levels around half filling, in
        eV from the chemical potential); ``lowest`` marks the lowest energy among the converged
        samples of equal U and filling.
    """
    columns = {name: np.array([sample[name] for sample in samples]) for name in samples[0]}
    variables = {
        name: (_DIMENSIONS.get(name, ("sample",)), values)
        for name, values in columns.items()
        if name not in _COORDINATES
    }
    variables["lowest"] = (("sample",), _lowest(columns))
    positions = crystal.positions
    coordinates = {name: (("sample",), columns[name]) for name in _COORDINATES} | {
        "bias": (("bias",), bias),
        "x": (("atom",), positions[:, 0]),
        "y": (("atom",), positions[:, 1]),
        "z": (("atom",), positions[:, 2]),
        "layer": (("atom",), crystal.layer),
        "sublattice": (("atom",), crystal.sublattice),
    }
    geometry = {"angle_deg": float(np.degrees(crystal.angle)), "lattice": crystal.lattice.ravel()}
    ds = xr.Dataset(variables, coordinates, {"schema": SCHEMA, **geometry, **attributes})
    for name, unit in _UNITS.items():
        ds[name].attrs["units"] = unit
    return ds


def _lowest(columns: Mapping[str, NDArray]) -> NDArray[np.bool_]:
    energy = np.where(columns["converged"], columns["energy"], np.inf)
    lowest = np.zeros(len(energy), dtype=bool)
    for point in np.unique(np.column_stack([columns["U"], columns["filling"]]), axis=0):
        same = np.flatnonzero((columns["U"] == point[0]) & (columns["filling"] == point[1]))
        best = same[np.argmin(energy[same])]
        lowest[best] = np.isfinite(energy[best])
    return lowest


def write_dataset(ds: xr.Dataset, path: str | Path) -> None:
    """Write a dataset to NetCDF, beside first and then renamed."""
    path = Path(path)
    beside = path.with_name(path.name + ".part")
    packed = {"zlib": True, "complevel": 9, "shuffle": True}
    encoding = {name: packed for name in ("ldos", "charge", "magnetisation")}
    ds.to_netcdf(beside, engine="h5netcdf", encoding=encoding)
    os.replace(beside, path)


def load_dataset(path: str | Path | None = None, converged_only: bool = True) -> xr.Dataset:
    """Open a sweep and check it.

    Parameters
    ----------
    path : path, optional
        NetCDF file of a sweep; the shipped one if empty or not given.
    converged_only : bool
        Leave out samples that did not converge.

    Returns
    -------
    xarray.Dataset
        Dimensions sample, bias, atom, with ``ldos`` in states per eV and atom (both spins, both
        layers); coordinates U (eV), filling, seed, start, bias (eV), x, y, z (Å), layer, sublattice.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, not a sweep, of another schema, or holds values that are not finite.
    """
    path = SHIPPED if not path else Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no dataset {path}; make one with `python -m stm_core sweep`")
    try:
        with xr.open_dataset(path, engine="h5netcdf") as stored:
            ds = stored.load()
    except (OSError, ValueError, KeyError, RuntimeError, EOFError) as error:  # whatever h5py makes of damage
        raise ValueError(f"{path} is damaged or not a NetCDF file written by a sweep") from error
    if ds.attrs.get("schema") != SCHEMA:
        raise ValueError(f"{path} has schema {ds.attrs.get('schema')!r}, but {SCHEMA!r} is needed")
    missing = [name for name in (*_REQUIRED, *_COORDINATES) if name not in ds.variables]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; it is not a complete sweep")
    bad = [
        str(name)
        for name, v in ds.data_vars.items()
        if v.dtype.kind == "f" and not np.isfinite(v.values).all()
    ]
    if bad:
        raise ValueError(f"{path} holds values that are not finite in {', '.join(bad)}")
    return ds.isel(sample=np.flatnonzero(ds["converged"].values)) if converged_only else ds
