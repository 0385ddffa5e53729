"""Reading a dataset: the cell it is of, parts of it, and which of its samples are one state."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stm_core.imaging import sample_labels
from stm_core.simulation import TwistedBilayer

_OF_A_RUN = {"max_iterations", "code_version"}  # attributes in which sweeps of one physics may differ
# How to put samples together whose atoms and biases are the same.
_ALIKE: Any = {"data_vars": "minimal", "coords": "minimal", "compat": "override", "join": "override"}
_SAME_VALUE = 1e-6  # electrons per cell or eV: what a person types, against what a file holds


def cell_of(ds: xr.Dataset) -> TwistedBilayer:
    """The twisted bilayer whose atoms a dataset's ``atom`` dimension lists."""
    strain = {name: float(ds.attrs.get(name, 0.0)) for name in ("heterostrain", "strain_angle")}
    return TwistedBilayer(int(ds.attrs["i"]), float(ds.attrs["spacing"]), **strain)


def select(
    ds: xr.Dataset,
    filling: float | Sequence[float] | None = None,
    start: str | Sequence[str] | None = None,
    seed: int | Sequence[int] | None = None,
    ground: bool | None = None,
) -> xr.Dataset:
    """The samples of some fillings or branches; protocols and pictures take them like a whole sweep.

    Parameters
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns.
    filling : float or sequence of floats, optional
        Electrons per cell from neutrality.
    start : str or sequence of str, optional
        Kinds of field that the branches grew from.
    seed : int or sequence of ints, optional
        Seeds of those fields.
    ground : bool, optional
        Only the lowest state of every U and filling, or only the others.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    ValueError
        If a wanted value is not in the dataset, or no sample has all that is wanted.
    """
    kept = np.ones(ds.sizes["sample"], dtype=bool)
    for name, wanted in (("filling", filling), ("start", start), ("seed", seed)):
        if wanted is not None:
            kept &= _matches(ds, name, wanted)
    if ground is not None:
        kept &= ds["ground"].values == ground
    if not kept.any():
        raise ValueError("no sample of the dataset has everything that was selected.")
    return ds.isel(sample=np.flatnonzero(kept))


def joined(*datasets: xr.Dataset) -> xr.Dataset:
    """Sweeps of one cell, at other fillings or from other starts, as one dataset.

    Parameters
    ----------
    *datasets : xarray.Dataset
        As `load_dataset` returns.

    Returns
    -------
    xarray.Dataset
        The samples of all, one sweep after the other; ``ground`` marks the lowest of them all.

    Raises
    ------
    ValueError
        If they differ in their atoms, biases, physics or variables, or have a sample in common.
    """
    first, *others = datasets
    for other in others:
        different = _differences(first, other)
        if different:
            raise ValueError(
                f"sweeps to be joined must be of one cell; these differ in {', '.join(different)}."
            )
    both = xr.concat(datasets, "sample", combine_attrs="drop_conflicts", **_ALIKE)
    names = np.stack([both[name].values for name in ("U", "filling", "seed")], axis=1)
    samples, count = np.unique(names, axis=0, return_counts=True)
    if (count > 1).any():
        U, filling, seed = samples[count > 1][0]
        raise ValueError(
            f"sweeps to be joined share the sample U = {U:g} eV, filling {filling:g}, seed {seed:g}; "
            "each sample may be in one of them."
        )
    return both.assign(ground=both["ground"].copy(data=ground_states(both)))


def ground_states(columns: Mapping[Any, Any]) -> NDArray[np.bool_]:
    """Which samples (n,) have the lowest energy among the converged ones of equal U and filling.

    Takes a dataset, or its U, filling, energy and converged as arrays (n,) by name.
    """
    compared = np.where(columns["converged"], columns["energy"], np.inf)
    ground = np.zeros(len(compared), dtype=bool)
    for same in points(columns):
        best = same[np.argmin(compared[same])]
        ground[best] = np.isfinite(compared[best])
    return ground


def with_domains(ds: xr.Dataset) -> xr.Dataset:
    """Every sample of a dataset, then all of them turned by 120° and by 240°.

    A state that breaks the threefold axis of its cell has three domains of the same energy, and which of
    them a scan meets is chance. A further turn by 60° leaves the magnitudes of a transform as they are.

    Parameters
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns.

    Returns
    -------
    xarray.Dataset
        Three times the samples; whatever is given on atoms has moved with them.

    Raises
    ------
    ValueError
        If the cell has no threefold axis, as under strain.
    """
    third = cell_of(ds).point_group.get("C6^2")
    if third is None:
        raise ValueError("a strained cell has no threefold axis, so its states have no domains to add.")
    comes_here = np.argsort(third)
    on_atoms = [name for name, values in ds.data_vars.items() if {"sample", "atom"} <= set(values.dims)]

    def turned(one: xr.Dataset) -> xr.Dataset:
        return one.assign({n: one[n].copy(data=one[n].isel(atom=comes_here).values) for n in on_atoms})

    once = turned(ds)
    return xr.concat([ds, once, turned(once)], "sample", **_ALIKE)


def _differences(one: xr.Dataset, other: xr.Dataset) -> list[str]:
    """Names of what two sweeps have not in common, apart from their samples."""
    variables, sizes = set(one.variables) ^ set(other.variables), set(one.sizes) | set(other.sizes)
    attributes = (set(one.attrs) | set(other.attrs)) - _OF_A_RUN
    alike = {name for name in set(one.variables) & set(other.variables) if "sample" not in one[name].dims}
    different = {
        *variables,
        *(size for size in sizes - {"sample"} if one.sizes.get(size) != other.sizes.get(size)),
        *(
            name
            for name in attributes
            if not np.array_equal(one.attrs.get(name, np.nan), other.attrs.get(name, np.nan))
        ),
        *(name for name in alike if not one[name].equals(other[name])),
    }
    return sorted(str(name) for name in different)


def _matches(ds: xr.Dataset, name: str, wanted: Any) -> NDArray[np.bool_]:
    held = ds[name].values
    matches = np.zeros(held.shape, dtype=bool)
    for value in np.atleast_1d(wanted):
        same = held == value if name == "start" else np.abs(held - value) < _SAME_VALUE
        if not same.any():
            listed = ", ".join(str(each) if name == "start" else f"{each:g}" for each in np.unique(held))
            named = value if name == "start" else f"{value:g}"
            raise ValueError(f"{name} {named} is not in the dataset; it holds {listed}.")
        matches |= same
    return matches


def points(ds: Mapping[Any, Any]) -> list[NDArray[np.int64]]:
    """Positions of the samples at each U and filling, of a dataset or of its columns by name."""
    pairs = np.stack([ds["U"], ds["filling"]])
    _, point = np.unique(pairs, axis=1, return_inverse=True)
    return [np.flatnonzero(point == number) for number in range(point.max(initial=-1) + 1)]


def lowest_states(ds: xr.Dataset, filling: float | None = None) -> NDArray[np.int64]:
    """Positions of the lowest state at each U where every branch that matters has been solved.

    A sweep need not solve every branch at every U, and the lowest of those at hand may then lie far above
    one that is missing. Branches that matter are those that are lowest at some U; each is asked for at every
    U between the ends of its own.

    Parameters
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns.
    filling : float, optional
        Electrons per cell from neutrality; by default each filling of the dataset.

    Returns
    -------
    numpy int array
        By filling, then by U.

    Raises
    ------
    ValueError
        If no sample has this filling, or no U is left.
    """
    wanted = np.unique(ds["filling"].values) if filling is None else [filling]
    return np.concatenate([_lowest(ds, np.flatnonzero(_matches(ds, "filling", value))) for value in wanted])


def _lowest(ds: xr.Dataset, members: NDArray[np.int64]) -> NDArray[np.int64]:
    U, energy, branch = (values[members] for values in (ds["U"].values, ds["energy"].values, _names(ds)))
    order = np.lexsort((energy, U))
    values, first = np.unique(U[order], return_index=True)
    lowest, complete = order[first], np.ones(values.size, dtype=bool)
    for name in np.unique(branch[lowest]):
        own = U[branch == name]
        complete &= np.isin(values, own) | (values < own.min()) | (values > own.max())
    if not complete.any():
        raise ValueError("at no U have all branches been solved that are lowest somewhere; one is needed.")
    return members[lowest[complete]]


def _names(ds: xr.Dataset) -> NDArray[np.str_]:
    kinds = zip(ds["start"].values, ds["seed"].values, strict=True)
    return np.array([f"{start} start, seed {seed}" for start, seed in kinds])


def branches(ds: xr.Dataset, filling: float) -> dict[str, NDArray[np.int64]]:
    """Positions of the samples of each branch at one filling, in the order of U; the longest branch first.

    Along one branch U alone changes, where the path of lowest energy changes the kind of state, too.
    ValueError if no sample has this filling.
    """
    members = np.flatnonzero(_matches(ds, "filling", filling))
    members = members[np.argsort(ds["U"].values[members], kind="stable")]
    names = _names(ds)[members]
    found, count = np.unique(names, return_counts=True)
    return {str(name): members[names == name] for name in found[np.argsort(-count, kind="stable")]}


def state_labels(ds: xr.Dataset, tolerance: float = 3e-3) -> NDArray[np.int64]:
    """Number the samples so that those of one state share a number, from whatever side it is seen.

    Samples of equal U and filling are one state where an operation of the cell's point group takes the
    LDOS of one to that of the other (`stm_core.imaging.same_sample`): two starts that led to the same
    solution, or to domains of it. A split that keeps these together (`groups`) holds no copies.

    Parameters
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns.
    tolerance : float
        As in `same_sample`.

    Returns
    -------
    numpy int array, shape (n,)
        The position of the first sample of each state.
    """
    cell, labels = cell_of(ds), np.arange(ds.sizes["sample"])
    for members in points(ds):
        if len(members) > 1:
            ldos = ds["ldos"].isel(sample=members).values
            labels[members] = members[sample_labels(cell, ldos, tolerance)]
    return labels
