"""Labelled pictures for the networks, made from the LDOS of a sweep."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from stm_core.imaging import FourierGrid, layer_mask, render
from stm_core.simulation import GRAPHENE_LATTICE

_BIAS_TOLERANCE = 1e-6  # eV: below the thermal and lock-in broadening of any scan


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Pictures and their labels, one row each.

    Attributes
    ----------
    images : numpy float32 array, shape (n, size, size)
        |F(k)|/|F(0)| (style "linear") or grey levels in [0, 1] (style "paper"); rows ascend in k_y.
    U : numpy float array, shape (n,)
        On-site interaction in eV.
    filling : numpy float array, shape (n,)
        Electrons per moiré cell from neutrality.
    seed : numpy int array, shape (n,)
        Seed of the Hartree-Fock start.
    bias : numpy float array, shape (n,)
        Sample bias in eV.
    sample : numpy int array, shape (n,)
        Position of the sample in its dataset.
    """

    images: NDArray[np.float32]
    U: NDArray[np.float64]
    filling: NDArray[np.float64]
    seed: NDArray[np.int64]
    bias: NDArray[np.float64]
    sample: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.U)

    def subset(self, index: Any) -> "ImageSet":
        """The rows chosen by a boolean mask, integer positions or a slice, as a new set."""
        chosen = np.atleast_1d(np.arange(len(self))[index])
        return replace(self, **{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


def _picture(grid: FourierGrid, ldos: NDArray, size: int, style: str) -> NDArray[np.float32]:
    # Dividing first keeps the tiny LDOS of a gap within the range of single precision.
    total = abs(ldos.sum())
    return rendered(grid.magnitude(ldos / total if total > 0 else ldos), size, style)


def rendered(magnitude: NDArray, size: int, style: str) -> NDArray[np.float32]:
    """Magnitudes (n, n) of a transform as a picture (size, size) of an `ImageSet`; errors as of `render`."""
    return render(magnitude, size, style).astype(np.float32) / np.float32(255 if style == "paper" else 1)


def ldos_image(
    xy: ArrayLike | FourierGrid, ldos: ArrayLike, size: int = 64, style: str = "linear", n_k: int = 1003
) -> NDArray[np.float32]:
    """One picture from one LDOS map, made exactly as `image_set` makes them.

    Parameters
    ----------
    xy : array, shape (N, 2), or FourierGrid
        Positions in units of a, or the prepared transform where many maps share them.
    ldos : array, shape (N,)
        LDOS in 1/eV.
    size, style
        As in `stm_core.imaging.render`.
    n_k : int
        Points per direction before the reduction; unused where a FourierGrid is given.

    Returns
    -------
    numpy float32 array, shape (size, size)
        A map of zeros, as deep in a gap, has no F(0) to divide by and gives a blank picture.

    Raises
    ------
    ValueError
        If shapes do not match, a value is not finite or the style is unknown.
    """
    grid = xy if isinstance(xy, FourierGrid) else FourierGrid.build(xy, n_k=n_k, dtype=np.float32)
    return _picture(grid, np.asarray(ldos, dtype=float), size, style)


def _bias_positions(available: NDArray, bias: float | Sequence[float] | None) -> NDArray[np.int64]:
    if bias is None:
        return np.arange(available.size)
    positions = []
    for wanted in np.atleast_1d(np.asarray(bias, dtype=float)):
        nearest = int(np.argmin(np.abs(available - wanted)))
        if not abs(available[nearest] - wanted) <= _BIAS_TOLERANCE:
            listed = ", ".join(f"{value:g}" for value in available)
            raise ValueError(f"bias {wanted:g} eV is not in the dataset; it holds {listed} eV.")
        positions.append(nearest)
    return np.array(positions, dtype=np.int64)


def _layer_positions(ds: xr.Dataset, layer: str) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    mask = layer_mask(ds["layer"].values, layer)
    xy = np.stack([ds["x"].values[mask], ds["y"].values[mask]], axis=1)
    return mask, xy / GRAPHENE_LATTICE


def image_set(
    ds: xr.Dataset,
    bias: float | Sequence[float] | None = None,
    size: int = 64,
    style: str = "linear",
    layer: str = "top",
    n_k: int = 1003,
) -> ImageSet:
    """Turn every sample of a sweep into FT-LDOS pictures, one per bias.

    The transform is prepared once, since all samples share one geometry, and computed in single
    precision on the full grid before it is averaged: the modulus does not commute with the average,
    so the two cannot be merged. A smaller `n_k` is the way to trade fineness for time.

    Parameters
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns: `ldos` (sample, bias, atom) in 1/eV, x and y in Å, `layer`, and the
        coordinates U, filling, seed and bias.
    bias : float, sequence of floats or None
        Biases in eV, each one of the dataset's; None takes all.
    size : int
        Pixels per side, at most `n_k`.
    style : str
        "linear": |F(k)|/|F(0)|, which does not depend on the set point of the tip.
        "paper": grey levels of the original renderer, in [0, 1].
    layer : str
        "top" (what a tip sees), "bottom" or "both".
    n_k : int
        Points per direction of the transform.

    Returns
    -------
    ImageSet
        Ordered by sample, then by bias as given.

    Raises
    ------
    ValueError
        If a bias is not in the dataset, a word is unknown, the dataset is empty, or a map holds
        values that are not finite.
    """
    if ds.sizes["sample"] == 0:
        raise ValueError("the dataset has no sample; at least one is needed to make images.")
    mask, xy = _layer_positions(ds, layer)
    chosen = _bias_positions(ds["bias"].values, bias)
    grid = FourierGrid.build(xy, n_k=n_k, dtype=np.float32)
    n_sample, n_bias = ds.sizes["sample"], len(chosen)
    images = np.empty((n_sample, n_bias, size, size), np.float32)
    for sample in tqdm(range(n_sample), desc="images", unit="sample", delay=2.0):
        maps = ds["ldos"][sample].values[:, mask][chosen].astype(float)
        for position, ldos in enumerate(maps):
            images[sample, position] = _picture(grid, ldos, size, style)
    return ImageSet(
        images=images.reshape(-1, size, size),
        U=np.repeat(ds["U"].values.astype(float), n_bias),
        filling=np.repeat(ds["filling"].values.astype(float), n_bias),
        seed=np.repeat(ds["seed"].values.astype(np.int64), n_bias),
        bias=np.tile(ds["bias"].values[chosen].astype(float), n_sample),
        sample=np.repeat(np.arange(n_sample), n_bias),
    )
