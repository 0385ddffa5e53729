"""What a model sees of a sample, and pictures of its transform as one kind of it.

A model's configuration says how to make its inputs, so that a checkpoint knows how to prepare whatever it is
given.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from stm_core.data import image_set, ldos_image
from stm_core.imaging.render import STYLES

_SAME_BIAS = 2.5e-3  # eV: half the broadening of the simulated LDOS


@dataclass(frozen=True, eq=False)
class Samples:
    """Labelled inputs of a model, one row each.

    Attributes
    ----------
    inputs : numpy float32 array, shape (n, ...)
        As the model's configuration makes them.
    U, filling : numpy float array, shape (n,)
        In eV, and in electrons per moiré cell from neutrality.
    seed : numpy int array, shape (n,)
        Seed of the Hartree-Fock start.
    sample : numpy int array, shape (n,)
        Position of the sample in its dataset.
    """

    inputs: NDArray[np.float32]
    U: NDArray[np.float64]
    filling: NDArray[np.float64]
    seed: NDArray[np.int64]
    sample: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.U)

    @property
    def branch(self) -> NDArray[np.int64]:
        """Number of the branch, one for each pair of filling and seed, (n,)."""
        return branch_numbers(self.filling, self.seed)

    def subset(self, index: Any) -> Samples:
        """The rows chosen by a boolean mask, integer positions or a slice."""
        chosen = np.atleast_1d(np.arange(len(self))[index])
        return replace(self, **{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


def branch_numbers(filling: ArrayLike, seed: ArrayLike) -> NDArray[np.int64]:
    """Number of the branch of samples (n,), one for each pair of filling and seed."""
    pairs = np.stack([filling, seed], axis=1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)


def bias_positions(available: ArrayLike, wanted: ArrayLike) -> NDArray[np.int64]:
    """Where the wanted biases stand among the available ones, all in eV; ValueError if one is missing."""
    there = np.asarray(available, dtype=float)
    values = np.atleast_1d(np.asarray(wanted, dtype=float))
    nearest = np.abs(there - values[:, None]).argmin(axis=1)
    far = ~(np.abs(there[nearest] - values) <= _SAME_BIAS)  # NaN is far from all
    if far.any():
        listed = ", ".join(f"{value:g}" for value in there)
        raise ValueError(f"bias {values[far][0]:g} eV is none of {listed} eV")
    return nearest


def as_single(values: ArrayLike) -> np.ndarray:
    """Real numbers as a float32 array that torch takes; ValueError if they are complex."""
    if np.iscomplexobj(values):
        raise ValueError("a model reads real numbers, not complex ones")
    # torch takes neither reversed nor read-only arrays.
    with np.errstate(over="ignore"):  # what is too large becomes infinite, which the callers refuse
        return np.require(values, np.float32, ["C", "W"])


def as_maps(ldos: ArrayLike) -> NDArray[np.float64]:
    """LDOS maps (n, N) of one (N,) or several; ValueError unless they are finite and positive on average.

    A scan's noise may dip below zero, a map as a whole cannot.
    """
    maps = np.atleast_2d(np.asarray(ldos, dtype=float))
    if not np.isfinite(maps).all() or not (maps.mean(axis=-1) > 0).all():
        raise ValueError("an LDOS must be finite and on average above 0, which this one is not")
    return maps


def check_whole(name: str, value: Any, least: int = 1) -> None:
    """ValueError unless an option is a whole number of at least `least`."""
    if not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} is {value!r}, but must be a whole number of at least {least}")


def check_widths(name: str, value: Any) -> None:
    """ValueError unless an option holds whole numbers of at least 1, and one at least."""
    if not isinstance(value, tuple | list) or not value:
        raise ValueError(f"{name} is {value!r}, but must be a tuple of whole numbers, one at least")
    for width in value:
        check_whole(f"one of {name}", width)


def check_number(name: str, value: Any, above: float = -np.inf) -> None:
    """ValueError unless an option is a finite number above `above`."""
    if not isinstance(value, int | float | np.number) or not above < value < np.inf:
        bound = f" above {above:g}" if np.isfinite(above) else ""
        raise ValueError(f"{name} is {value!r}, but must be a finite number{bound}")


def as_images(images: ArrayLike) -> np.ndarray:
    """Images as a finite float32 array (n, size, size).

    Raises
    ------
    ValueError
        If the shape differs, there is no image, or a value is complex or not finite.
    """
    array = as_single(images)
    if array.ndim != 3 or array.shape[1] != array.shape[2] or len(array) == 0:
        raise ValueError(f"images must have shape (n, size, size) with n of at least 1, not {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("images contain NaN or infinite values; every pixel must be finite")
    return array


def as_labels(n: int, U: ArrayLike, least: int, what: str) -> np.ndarray:
    """U (n,) in eV as finite float32, for at least `least` samples; ValueError names them by `what`."""
    values = np.asarray(U, dtype=np.float32)
    if values.shape != (n,) or not np.isfinite(values).all():
        raise ValueError(
            f"U of the {what} images must be {n} finite values in eV, one per image, "
            f"not {np.isfinite(values).sum()} finite values in shape {values.shape}"
        )
    if n < least:
        raise ValueError(f"{n} {what} image(s) are too few; at least {least} are needed")
    return values


def as_labelled_images(
    images: ArrayLike, U: ArrayLike, least: int, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, size, size) and their U (n,) in eV as finite float32 arrays.

    Raises
    ------
    ValueError
        If either is not as `as_images` and one U per image require, or there are fewer than `least` images;
        `what` names them in the sentence.
    """
    pixels = as_images(images)
    return pixels, as_labels(len(pixels), U, least, what)


@dataclass(frozen=True)
class InputConfig:
    """What a model sees.

    Attributes
    ----------
    bias : tuple of float
        Biases in eV. A picture model takes a picture at any of them; a Bragg model takes them together.
    """

    bias: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        if not isinstance(self.bias, tuple | list) or not self.bias:
            raise ValueError(f"bias is {self.bias!r}, but must be a tuple of numbers in eV, one at least")
        for value in self.bias:
            check_number("one of bias", value)

    def positions(self, ds: xr.Dataset) -> NDArray[np.int64]:
        """Where the model's biases stand among a dataset's; ValueError if it lacks one."""
        return bias_positions(ds["bias"].values, self.bias)

    def check(self, inputs: ArrayLike) -> np.ndarray:
        """Inputs as a float32 array (n, ...); ValueError if they are none of this model's."""
        raise NotImplementedError

    def singles(self, inputs: np.ndarray) -> list[np.ndarray]:
        """Inputs (n, ...) with all but one bias missing, for each; none if all biases are needed."""
        return []

    def tensor(self, inputs: ArrayLike) -> torch.Tensor:
        """Checked inputs as the model's tensor."""
        return torch.from_numpy(self.check(inputs))

    def samples(self, ds: xr.Dataset) -> Samples:
        """Inputs and labels of a dataset, as `load_dataset` returns it; ValueError if it lacks a bias."""
        raise NotImplementedError

    def of_ldos(self, xy: ArrayLike, ldos: ArrayLike, bias: ArrayLike = (0.0,)) -> np.ndarray:
        """Inputs of one LDOS map or several.

        Parameters
        ----------
        xy : array, shape (N, 2)
            Atoms of the top layer over one moiré cell, in units of a, from the rotation axis.
        ldos : array, shape (n_bias, N) or (N,)
            In any unit.
        bias : array, shape (n_bias,)
            In eV.

        Raises
        ------
        ValueError
            If a map is not finite or not above 0 on average.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class PictureConfig(InputConfig):
    """A model of pictures, one at a time.

    Attributes
    ----------
    image_size : int
        Side of the square picture in pixels.
    style : {"linear", "paper"}
        Renderer, as in `stm_core.imaging.render`.
    """

    minimum_size: ClassVar[int] = 1

    image_size: int = 64
    style: str = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("image_size", self.image_size, self.minimum_size)
        if self.style not in STYLES:
            raise ValueError(f"style is {self.style!r}, but must be {' or '.join(map(repr, STYLES))}")

    def check(self, inputs: ArrayLike) -> np.ndarray:
        return as_images(inputs)

    def tensor(self, inputs: ArrayLike) -> torch.Tensor:
        return torch.from_numpy(self.check(inputs))[:, None]

    def samples(self, ds: xr.Dataset) -> Samples:
        images = image_set(ds, list(self.bias), self.image_size, self.style)
        return Samples(images.images, images.U, images.filling, images.seed, images.sample)

    def of_ldos(self, xy: ArrayLike, ldos: ArrayLike, bias: ArrayLike = (0.0,)) -> np.ndarray:
        return np.stack([ldos_image(xy, each, self.image_size, self.style) for each in as_maps(ldos)])
