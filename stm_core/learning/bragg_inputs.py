"""Bragg amplitudes as what a model sees: stars of moiré vectors, averaged over the point group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from stm_core.data import cell_of
from stm_core.imaging import layer_mask
from stm_core.learning.inputs import (
    InputConfig,
    Samples,
    as_maps,
    as_single,
    bias_positions,
    check_number,
    check_whole,
)
from stm_core.simulation import GRAPHENE_LATTICE, TwistedBilayer

BIASES = tuple(round(0.01 * step, 2) for step in range(-6, 7))
"""Biases of the study's sweep, in eV."""


@dataclass(frozen=True)
class BraggConfig(InputConfig):
    """A model of Bragg amplitudes |F(G)|/|F(0)|, averaged over the point group.

    Attributes
    ----------
    n_stars : int
        Stars of six moiré vectors, shortest first.
    channel : {"symmetric", "magnitude"}
        Average of the complex amplitudes about the rotation axis, which is real and belongs to the sixfold
        part of the LDOS alone; or of their magnitudes, which needs no origin.
    i, spacing : int, float
        The twisted bilayer whose vectors are read in an LDOS map; a dataset brings its own.
    """

    partial: ClassVar[bool] = False

    bias: tuple[float, ...] = BIASES
    n_stars: int = 20
    channel: Literal["symmetric", "magnitude"] = "symmetric"
    i: int = 9
    spacing: float = 2.94

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channel not in ("symmetric", "magnitude"):
            raise ValueError(f"channel is {self.channel!r}, but must be 'symmetric' or 'magnitude'")
        check_whole("n_stars", self.n_stars)
        check_whole("i", self.i)
        check_number("spacing", self.spacing, above=0)

    @property
    def n_features(self) -> int:
        """Numbers that the model sees of one sample."""
        return len(self.bias) * self.n_stars

    def check(self, inputs: ArrayLike) -> np.ndarray:
        array = as_single(inputs)
        if array.ndim != 3 or array.shape[1:] != (len(self.bias), self.n_stars) or len(array) == 0:
            raise ValueError(
                f"Bragg amplitudes must have shape (n, {len(self.bias)}, {self.n_stars}) for the model's "
                f"biases and stars, with n of at least 1, not {array.shape}"
            )
        missing = np.isnan(array)
        if np.isinf(array).any() or missing.all(axis=(1, 2)).any() or (missing.any() and not self.partial):
            which = "must not all be NaN" if self.partial else "must be there at every bias of the model"
            raise ValueError(f"Bragg amplitudes {which} and must not be infinite")
        return array

    def singles(self, inputs: np.ndarray) -> list[np.ndarray]:
        if not self.partial or len(self.bias) == 1:
            return []
        alone = np.eye(len(self.bias), dtype=bool)[:, :, None]
        return [np.where(one, inputs, np.float32(np.nan)) for one in alone]

    def of_amplitudes(self, amplitudes: ArrayLike) -> np.ndarray:
        """Inputs from complex amplitudes (..., n_bias, 1 + 6 n_stars) at `star_vectors`, G = 0 first."""
        values = np.asarray(amplitudes)
        total = values[..., :1].real
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(total != 0, values[..., 1:] / total, 0)
        stars = relative.reshape(*relative.shape[:-1], self.n_stars, 6)
        part = stars.real if self.channel == "symmetric" else np.abs(stars)
        return part.mean(axis=-1).astype(np.float32)

    def amplitudes(self, ds: xr.Dataset) -> NDArray[np.complex128]:
        """Complex amplitudes (n, n_bias, 1 + 6 n_stars) of a dataset at `star_vectors`, G = 0 first."""
        top = layer_mask(ds["layer"].values, "top")
        xy = np.stack([ds["x"].values[top], ds["y"].values[top]], axis=1)
        ldos = ds["ldos"].values[:, self.positions(ds)][:, :, top].astype(float)
        return ldos @ _waves(xy, star_vectors(cell_of(ds), self.n_stars))

    def samples(self, ds: xr.Dataset) -> Samples:
        return Samples(
            self.of_amplitudes(self.amplitudes(ds)),
            ds["U"].values.astype(float),
            ds["filling"].values.astype(float),
            ds["seed"].values.astype(np.int64),
            np.arange(ds.sizes["sample"]),
        )

    def of_ldos(self, xy: ArrayLike, ldos: ArrayLike, bias: ArrayLike = (0.0,)) -> np.ndarray:
        """As `InputConfig.of_ldos`, shape (1, n_bias, n_stars); NaN at the model's biases not measured.

        Raises
        ------
        ValueError
            If a bias is none of the model's, the shapes do not match, or a map is not finite or not above 0
            on average.
        """
        maps, measured = as_maps(ldos), np.atleast_1d(np.asarray(bias, float))
        places = np.asarray(xy, dtype=float) * GRAPHENE_LATTICE
        if maps.shape != (len(measured), len(places)):
            raise ValueError(
                f"{maps.shape} values are no LDOS at {len(measured)} biases on {len(places)} atoms"
            )
        vectors = star_vectors(TwistedBilayer(self.i, self.spacing), self.n_stars)
        inputs = np.full((1, len(self.bias), self.n_stars), np.nan, dtype=np.float32)
        read = self.of_amplitudes(maps @ _waves(places, vectors))
        inputs[0, bias_positions(self.bias, measured)] = read
        return inputs


def star_vectors(cell: Any, n_stars: int) -> NDArray[np.float64]:
    """G = 0 and the shortest stars of six moiré vectors, (1 + 6 n_stars, 2) in 1/Å, star after star.

    Stars are counted by whole numbers of the reciprocal vectors, so that they are the same ones in every
    cell, strained or not.
    """
    first, second = np.asarray(cell.reciprocal, dtype=float)
    # A turn by 60° takes b₁ to b₂ and b₂ to b₂ − b₁ where they enclose 60°, and b₁ to b₁ + b₂ and b₂ to −b₁
    # where they enclose 120°.
    sharp = first @ second > 0
    turn = np.array([[0, 1], [-1, 1]]) if sharp else np.array([[1, 1], [-1, 0]])
    reach = np.arange(-n_stars - 1, n_stars + 2)
    m, n = (axis.ravel() for axis in np.meshgrid(reach, reach, indexing="ij"))
    steps = np.stack([m, n], axis=1)
    wedge = (m > 0) & (n >= 0) if sharp else (n >= 0) & (m > n)
    steps = steps[wedge]
    length = (steps**2).sum(axis=1) + (1 if sharp else -1) * steps.prod(axis=1)
    steps = steps[np.lexsort((steps[:, 1], length))][:n_stars]
    orbit = [steps]
    for _ in range(5):
        orbit.append(orbit[-1] @ turn)
    stars = np.stack(orbit, axis=1).reshape(-1, 2)
    return np.vstack([np.zeros((1, 2)), stars @ np.array([first, second])])


def _waves(xy: NDArray, vectors: NDArray) -> NDArray[np.complex128]:
    return np.exp(-1j * xy @ vectors.T)
