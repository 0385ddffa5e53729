"""Checks of attribution maps: do they need the trained weights, and do they point at Bragg peaks?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from stm_core.imaging import k_axes
from stm_core.insight.channels import rank_correlation
from stm_core.learning.checkpoints import Normalisation, Regressor
from stm_core.learning.evaluation import Trained, as_regressor
from stm_core.learning.registry import ImageNetwork, build_model
from stm_core.simulation import GRAPHENE_LATTICE


def untrained(trained: Trained, seed: int = 0) -> Regressor:
    """The same network and normalisation with freshly drawn weights, in evaluation mode.

    Parameters
    ----------
    trained : Regressor, FitResult or path-like
        What `fit` returned, or its checkpoint.
    seed : int
        Seed of the weights.
    """
    regressor = as_regressor(trained)
    model = cast(ImageNetwork, regressor.model)
    # Pretrained weights would be no random network.
    options = {**asdict(model.config), **({"weights": None} if hasattr(model.config, "weights") else {})}
    return Regressor(
        build_model(model.name, seed=seed, **options), Normalisation(regressor.mean, regressor.scale)
    ).eval()


def randomisation(
    attribution: Callable[[Regressor, np.ndarray], np.ndarray],
    trained: Trained,
    images: ArrayLike,
    n_random: int = 5,
    seed: int = 0,
) -> np.ndarray:
    """How much maps of a trained network resemble those of untrained ones (Adebayo et al., NeurIPS 2018).

    A map that stays the same when all weights are drawn anew shows the image, not what was learned.

    Parameters
    ----------
    attribution : callable
        ``attribution(regressor, image)`` gives a map (size, size); signed maps are compared by magnitude.
    trained : Regressor, FitResult or path-like
        What `fit` returned, or its checkpoint.
    images : array_like, shape (n, size, size)
    n_random : int
        Number of untrained networks, at least 1.
    seed : int
        Seed of the first; the others follow.

    Returns
    -------
    ndarray, shape (n, n_random)
        Rank correlations over pixels; 0 where a map is blank.

    Raises
    ------
    ValueError
        If `n_random` is below 1, or as `attribution` does.
    """
    if n_random < 1:
        raise ValueError(f"n_random is {n_random}, but must be at least 1")
    regressor = as_regressor(trained)
    networks = [untrained(regressor, seed + k) for k in range(n_random)]
    pixels = np.asarray(images, dtype=np.float32)
    learned = [np.abs(attribution(regressor, image)) for image in pixels]
    return np.array(
        [
            [rank_correlation(mine, np.abs(attribution(network, image))) for network in networks]
            for mine, image in zip(learned, pixels, strict=True)
        ]
    )


def peak_mask(vectors: ArrayLike, size: int, radius: float, extent: float = 1.1) -> np.ndarray:
    """Pixels whose centre lies within `radius` of a wave vector.

    Parameters
    ----------
    vectors : array_like, shape (n_G, 2)
        In 1/Å, for example of `bragg_amplitudes`.
    size : int
        Pixels per side of the picture.
    radius : float
        In 1/Å; half a pixel's diagonal or more catches every peak.
    extent : float
        Half width of the window, as in `ft_ldos`.

    Returns
    -------
    ndarray of bool, shape (size, size)
        Rows ascend in k_y.

    Raises
    ------
    ValueError
        If the vectors have another shape, or `size` or `radius` are not above 0.
    """
    peaks = np.asarray(vectors, dtype=np.float64)
    if peaks.ndim != 2 or peaks.shape[1] != 2 or size < 1 or not radius > 0:
        raise ValueError(
            f"vectors of shape (n, 2), size of at least 1 and radius above 0 are needed, "
            f"not {peaks.shape}, {size} and {radius}"
        )
    # Pixel centres lie half a pixel inside the edges of the window.
    ends = [axis[-1] / GRAPHENE_LATTICE for axis in k_axes(2, extent)]
    kx, ky = (end * ((2 * np.arange(size) + 1) / size - 1) for end in ends)
    mask = np.zeros((size, size), dtype=bool)
    for x, y in peaks:
        mask |= (ky[:, None] - y) ** 2 + (kx[None] - x) ** 2 <= radius**2
    return mask


def map_share(saliency: ArrayLike, mask: ArrayLike) -> float:
    """Share of a map's total magnitude on the masked pixels; compare it with the mask's share of the area.

    Parameters
    ----------
    saliency : array_like, shape (size, size)
    mask : array_like of bool, shape (size, size)

    Raises
    ------
    ValueError
        If the shapes differ, or the map is blank or not finite.
    """
    weight, chosen = np.abs(np.asarray(saliency, dtype=np.float64)), np.asarray(mask, dtype=bool)
    if weight.shape != chosen.shape:
        raise ValueError(f"the mask has shape {chosen.shape}, but must have the map's, {weight.shape}")
    if not np.isfinite(weight).all() or not weight.any():
        raise ValueError("the map is blank or not finite, so no share of it lies anywhere")
    return float(weight[chosen].sum() / weight.sum())
