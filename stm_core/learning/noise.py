"""What noise allows: the Cramér–Rao bound of U, and scans of a sweep's states to hold models against it.

The bound is that of white noise on the pixels of a scan over whole moiré cells. Its set point, a factor
common to all pixels of one bias, is unknown to whoever reads the scan: what U does to the mean is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from tqdm.auto import tqdm

from stm_core.data import cell_of, rendered
from stm_core.imaging import (
    ScanMap,
    SurfaceLDOS,
    form_factor,
    layer_mask,
    scan_amplitudes,
    scan_transform,
)
from stm_core.learning.bragg_inputs import BraggConfig, star_vectors
from stm_core.learning.inputs import PictureConfig, Samples, branch_numbers

_LONGEST = 3.2  # 1/Å: the tip passes less than a hundredth of a component beyond the zone's corner
_LEAST_KNOWN = 4  # values of U that a spline needs
_FINENESS = 4  # points of the transform per pixel of a picture, along each side


@dataclass(frozen=True)
class Exposure:
    """How a map is taken.

    Attributes
    ----------
    noise : float
        White noise of a pixel over the mean of the map.
    pixels : int
        Pixels per side.
    pixel : float
        Distance between pixels in Å.
    height : float
        Of the tip above the atoms in Å.
    """

    noise: float = 0.0
    pixels: int = 128
    pixel: float = 1.2
    height: float = 3.0

    def __post_init__(self) -> None:
        if self.noise < 0 or min(self.pixels, self.pixel, self.height) <= 0:
            raise ValueError(f"{self} is no scan: noise must be at least 0, the others above 0")


def information(ds: xr.Dataset, exposure: Exposure, samples: NDArray | None = None) -> NDArray[np.float64]:
    """Fisher information of U in maps with white noise, one map for each bias.

    With w the map over its mean, w' its change with U at the sweep's own states of one branch, and N pixels
    of noise σ, it is (⟨w'²⟩ − ⟨w'w⟩²/⟨w²⟩) N/σ² (Kay, "Fundamentals of statistical signal processing", 1993,
    eq. 3.31, the set point being a nuisance). That of independent maps adds up, and no unbiased reader has a
    smaller variance than its inverse, the Cramér–Rao bound.

    Parameters
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns.
    exposure : Exposure
        With noise.
    samples : array of int, optional
        Positions of the samples; all by default.

    Returns
    -------
    numpy float array, shape (n_samples, n_bias)
        In 1/eV²; NaN for samples of branches with fewer than four values of U.
    """
    cell, top = cell_of(ds), layer_mask(ds["layer"].values, "top")
    chosen = np.arange(ds.sizes["sample"]) if samples is None else np.asarray(samples)
    vectors = _within(np.asarray(cell.reciprocal), _LONGEST)
    xy = np.asarray(cell.positions)[top, :2]
    waves = np.exp(-1j * xy @ vectors.T) * form_factor(np.linalg.norm(vectors, axis=1), exposure.height)
    ldos = ds["ldos"].values[:, :, top].astype(float)
    relative = ldos / ldos.sum(axis=-1, keepdims=True)
    slope = _slopes(ds["U"].values, branch_numbers(ds["filling"].values, ds["seed"].values), relative)
    found = np.empty((len(chosen), ds.sizes["bias"]))
    for row, number in zip(found, chosen, strict=True):
        w, change = relative[number] @ waves, slope[number] @ waves
        both = (change.conj() * w).sum(axis=1).real
        row[:] = (np.abs(change) ** 2).sum(axis=1) - both**2 / (np.abs(w) ** 2).sum(axis=1)
    return found * (exposure.pixels / exposure.noise) ** 2


def _slopes(U: NDArray, branch: NDArray, values: NDArray) -> NDArray[np.float64]:
    """Change with U of values (n, ...) along each branch, by a cubic spline; NaN where there is none."""
    slope = np.full_like(values, np.nan)
    for number in np.unique(branch):
        mine = np.flatnonzero(branch == number)
        known, first = np.unique(U[mine], return_index=True)
        if len(known) >= _LEAST_KNOWN:
            slope[mine] = CubicSpline(known, values[mine[first]])(U[mine], 1)
    return slope


def _within(reciprocal: NDArray, longest: float) -> NDArray[np.float64]:
    """All vectors of a lattice up to a length, (n, 2)."""
    reach = int(np.ceil(longest * np.linalg.norm(np.linalg.inv(reciprocal), axis=0).max()))
    steps = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    vectors = steps @ reciprocal
    return vectors[np.linalg.norm(vectors, axis=1) <= longest]


def noisy_samples(
    config: BraggConfig, ds: xr.Dataset, exposure: Exposure, rng: Generator, draws: int = 1
) -> Samples:
    """A dataset as a Bragg model sees it in scans of whole cells with white noise.

    Parameters
    ----------
    config : BraggConfig
        Of the model.
    ds : xarray.Dataset
    exposure : Exposure
    rng : numpy Generator
    draws : int
        Scans of each sample, one after the other.

    Returns
    -------
    Samples
    """
    cell = cell_of(ds)
    vectors = star_vectors(cell, config.n_stars)
    passed = form_factor(np.linalg.norm(vectors, axis=1), exposure.height)
    clean = np.repeat(config.amplitudes(ds) * passed, draws, axis=0)
    level = clean[..., :1].real * exposure.noise / exposure.pixels
    half = rng.standard_normal((*clean.shape[:-1], config.n_stars, 3, 2)) @ (np.array([1, 1j]) / np.sqrt(2))
    # Opposite vectors of a star hold one number: the map is real.
    stars = np.concatenate([half, half.conj()], axis=-1).reshape(*clean.shape[:-1], -1)
    uniform = rng.standard_normal((*clean.shape[:-1], 1))
    inputs = config.of_amplitudes(clean + level * np.concatenate([uniform, stars], axis=-1))
    return _labelled(ds, inputs, draws)


def scanned_samples(
    config: BraggConfig | PictureConfig,
    ds: xr.Dataset,
    imperfect: Callable[[ScanMap, Generator], ScanMap],
    rng: Generator,
    exposure: Exposure | None = None,
    progress: bool = True,
    draws: int = 1,
) -> Samples:
    """A dataset as a model sees it in finite, imperfect scans of each sample and bias.

    The scan is centred on the rotation axis and read at the vectors of the perfect cell, or on the k-frame of
    pictures: nothing is registered or straightened, which is the worst case.

    Parameters
    ----------
    config : BraggConfig or PictureConfig
        Of the model. Pictures are windowed transforms over their value at k = 0.
    ds : xarray.Dataset
    imperfect : callable
        `Imperfections` or a single one.
    rng : numpy Generator
    exposure : Exposure, optional
        Its white noise comes on top.
    progress : bool
        Show a progress bar.
    draws : int
        Scans of each sample, one after the other.

    Returns
    -------
    Samples
        A row for each sample and draw; of pictures, which show one bias each, for each bias as well.

    Raises
    ------
    ValueError
        If a bias is none of the dataset's, or the pixels are too coarse for what is read.
    """
    exposure = exposure or Exposure()
    cell, chosen = cell_of(ds), config.positions(ds)
    read = _reading(config, cell)
    corner = np.full(2, -exposure.pixel * (exposure.pixels - 1) / 2)
    tables, found = ds["ldos"].values[:, chosen].astype(float), []
    for maps in tqdm(tables, desc="scans", unit="sample", disable=not progress):
        surfaces = [SurfaceLDOS.above(cell, ldos, exposure.height) for ldos in maps]
        still = [each.scan(exposure.pixels, exposure.pixel, origin=corner) for each in surfaces]
        for _ in range(draws):
            scans = [imperfect(each, rng) for each in still]
            found.append([read(_with_noise(scan, exposure.noise, rng)) for scan in scans])
    if isinstance(config, BraggConfig):
        return _labelled(ds, config.of_amplitudes(np.array(found)), draws)
    size = config.image_size
    return _labelled(ds, np.array(found, np.float32).reshape(-1, size, size), draws * len(chosen))


def _reading(config: BraggConfig | PictureConfig, cell: Any) -> Callable[[ScanMap], NDArray]:
    """What a model takes from a scan: complex amplitudes of its stars, or a picture."""
    if isinstance(config, BraggConfig):
        vectors = star_vectors(cell, config.n_stars)
        return lambda scan: scan_amplitudes(scan, vectors)
    # An odd number of points has k = 0 among them.
    n_k = _FINENESS * config.image_size + 1

    def picture(scan: ScanMap) -> NDArray:
        transform = scan_transform(scan, n_k)
        return rendered(transform / transform[n_k // 2, n_k // 2], config.image_size, config.style)

    return picture


def _with_noise(scan: ScanMap, noise: float, rng: Generator) -> ScanMap:
    white = noise * scan.values.mean() * rng.standard_normal(scan.values.shape)
    return ScanMap(scan.values + white, scan.pixel, scan.origin)


def _labelled(ds: xr.Dataset, inputs: NDArray, draws: int) -> Samples:
    U, filling, seed = (np.repeat(ds[name].values, draws) for name in ("U", "filling", "seed"))
    sample = np.repeat(np.arange(ds.sizes["sample"]), draws)
    return Samples(inputs, U.astype(float), filling.astype(float), seed.astype(np.int64), sample)
