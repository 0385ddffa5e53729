"""What a dataset holds, in the numbers of its data card."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from .selection import points

_FLAT = slice(2, 6)  # the four flat bands among the eight levels kept around half filling
SAME_ENERGY = 1e-6
"""In eV per cell: states closer than this are one, or equal by symmetry."""


class Coverage(NamedTuple):
    """Samples of one filling (electrons per cell): how many, how many converged, at how many values of U.

    ``cold`` grew from their seed's own field, the others from samples of lower U.
    """

    filling: float
    samples: int
    converged: int
    values: int
    cold: int
    starts: tuple[str, ...]


class GroundRun(NamedTuple):
    """Neighbouring U (eV) of one filling whose lowest states have the same label."""

    filling: float
    lowest_U: float
    highest_U: float
    values: int
    label: str


def coverage(ds: xr.Dataset) -> list[Coverage]:
    """Samples of every filling, in ascending order, of a dataset with those that did not converge."""
    rows = []
    for filling in np.unique(ds["filling"].values):
        part = ds.isel(sample=np.flatnonzero(ds["filling"].values == filling))
        rows.append(
            Coverage(
                float(filling),
                part.sizes["sample"],
                int(part["converged"].values.sum()),
                len(np.unique(part["U"].values)),
                int((part["previous_U"].values < 0).sum()),
                tuple(np.unique(part["start"].values).tolist()),
            )
        )
    return rows


def energy_above_lowest(ds: xr.Dataset) -> NDArray[np.float64]:
    """Energy of every sample above the lowest of equal U and filling, (n,) in eV per cell.

    NaN where it did not converge, or where no other one did: alone, a sample is the lowest of nothing.
    """
    energy = np.where(ds["converged"].values, ds["energy"].values, np.nan)
    above = np.full(energy.shape, np.nan)
    for members in points(ds):
        if np.isfinite(energy[members]).sum() > 1:
            above[members] = energy[members] - np.nanmin(energy[members])
    return above


def ground_runs(ds: xr.Dataset, labels: ArrayLike) -> list[GroundRun]:
    """The lowest states along U: for every filling, intervals over which their label stays the same.

    Of states that are equally low, the one whose label goes on counts.

    Parameters
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns.
    labels : (n,) array
        Of every sample, such as its phase or the start it grew from.
    """
    energy, names = (
        np.where(ds["converged"].values, ds["energy"].values, np.nan),
        np.asarray(labels).astype(str),
    )
    runs: list[GroundRun] = []
    for members in sorted(points(ds), key=lambda at: (ds["filling"].values[at[0]], ds["U"].values[at[0]])):
        if not np.isfinite(energy[members]).any():
            continue
        lowest = members[energy[members] - np.nanmin(energy[members]) < SAME_ENERGY]
        filling, U = float(ds["filling"].values[lowest[0]]), float(ds["U"].values[lowest[0]])
        if runs and runs[-1].filling == filling and runs[-1].label in names[lowest]:
            runs[-1] = runs[-1]._replace(highest_U=U, values=runs[-1].values + 1)
        else:
            label = names[members[np.nanargmin(energy[members])]]
            runs.append(GroundRun(filling, U, U, 1, str(label)))
    return runs


def flat_levels_in_reach(ds: xr.Dataset) -> NDArray[np.float64]:
    """Share of every sample's flat-band levels that lie within its range of biases, (n,)."""
    levels, bias = ds["levels"].values[..., _FLAT], ds["bias"].values
    inside = (levels >= bias.min()) & (levels <= bias.max())
    return np.asarray(inside.mean(axis=(1, 2, 3)))
