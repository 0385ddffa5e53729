"""Checks of attribution maps: do they need what was learned, do they agree, do they point at Bragg peaks?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from stm_core.insight.channels import rank_correlation
from stm_core.insight.peaks import pixel_vectors
from stm_core.learning.checkpoints import Normalisation, Regressor
from stm_core.learning.evaluation import Trained, as_regressor
from stm_core.learning.registry import ImageNetwork, build_model


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


def map_agreement(
    attribution: Callable[[Regressor, np.ndarray], np.ndarray],
    trained: Trained,
    others: Sequence[Trained],
    images: ArrayLike,
) -> np.ndarray:
    """How much maps of a network resemble those of others (Adebayo et al., NeurIPS 2018).

    Of `untrained` networks, or of ones trained on shuffled labels, a map should be no likeness: one that is
    shows the image, not what was learned. Of networks that differ in their seed alone, it should be one.

    Parameters
    ----------
    attribution : callable
        ``attribution(regressor, image)`` gives a map (size, size); signed maps are compared by magnitude.
    trained : Regressor, FitResult or path-like
        What `fit` returned, or its checkpoint.
    others : sequence of the same
        At least one.
    images : array_like, shape (n, size, size)

    Returns
    -------
    ndarray, shape (n, n_others)
        Rank correlations over pixels; 0 where a map is blank.

    Raises
    ------
    ValueError
        If there is no other network, or as `attribution` does.
    """
    if not others:
        raise ValueError("there is no other network to compare with; at least one is needed")
    networks = [as_regressor(other) for other in others]
    regressor, pixels = as_regressor(trained), np.asarray(images, dtype=np.float32)
    found = np.empty((len(pixels), len(networks)))
    for row, image in zip(found, pixels, strict=True):
        mine = np.abs(attribution(regressor, image))
        row[:] = [rank_correlation(mine, np.abs(attribution(network, image))) for network in networks]
    return found


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
    kx, ky = np.moveaxis(pixel_vectors(size, extent), -1, 0)
    mask = np.zeros((size, size), dtype=bool)
    for x, y in peaks:
        mask |= (ky - y) ** 2 + (kx - x) ** 2 <= radius**2
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
