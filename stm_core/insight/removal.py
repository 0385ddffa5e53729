"""What becomes of a prediction when the pixels that a map marks are taken away or brought in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from pytorch_grad_cam.metrics.perturbation_confidence import RemoveMostRelevantFirst
from pytorch_grad_cam.metrics.road import NoisyLinearImputer

from stm_core.insight.attribution import single_image
from stm_core.learning.evaluation import Trained, as_regressor, predict

SHARES = (0.02, 0.05, 0.1, 0.2)
"""Shares of the pixels that are replaced."""


@dataclass(frozen=True)
class Faithfulness:
    """How much more a map's top pixels matter than as many pixels elsewhere.

    Attributes
    ----------
    removed : ndarray, shape (n_p,)
        Shares of pixels replaced.
    change : ndarray, shape (n_p,)
        |change of predicted U| on replacing the map's top pixels, eV.
    random_change : ndarray, shape (n_random, n_p)
        The same for the randomly moved maps, eV.
    """

    removed: np.ndarray
    change: np.ndarray
    random_change: np.ndarray

    @property
    def advantage(self) -> float:
        """Mean change of the map minus that of the random ones, eV."""
        return float(self.change.mean() - self.random_change.mean())

    @property
    def rank(self) -> float:
        """Share of the random maps that the map beats, 0 to 1."""
        return float(np.mean(self.change.mean() > self.random_change.mean(axis=1)))


def faithfulness(
    trained: Trained,
    image: ArrayLike,
    saliency: ArrayLike,
    *,
    removed: Sequence[float] = SHARES,
    n_random: int = 20,
    seed: int = 0,
) -> Faithfulness:
    """Replace a map's most relevant pixels and see how far U moves (ROAD, Rong et al., ICML 2022).

    Pixels are replaced by linear interpolation from their neighbours, without ROAD's noise term: peaks of
    FT-LDOS images span decades, and one level of noise would drown the small ones. The random maps are the
    map itself, moved and mirrored at random, so that they cover patches of the same shapes; single random
    pixels would be interpolated away and make any map look good.

    Parameters
    ----------
    trained : Regressor, FitResult or path-like
        What `fit` returned, or its checkpoint.
    image, saliency : array_like, shape (size, size)
        The image and the map to check; larger is more relevant.
    removed : sequence of float
        Shares of pixels to replace, between 0 and 1.
    n_random : int
        Number of random maps, at least 1.
    seed : int
        Seed of the random maps and of the order of equal values.

    Raises
    ------
    ValueError
        If the image, the map, or a setting is not accepted.
    """
    pixels, shares, maps = _prepared(image, saliency, removed, n_random, seed)
    altered = np.stack([_without_top(pixels, each, share) for each in maps for share in shares])
    regressor = as_regressor(trained)
    change = np.abs(predict(regressor, altered).U - predict(regressor, pixels[None]).U).reshape(len(maps), -1)
    return Faithfulness(shares, change[0], change[1:])


def deletion_insertion(
    trained: Trained,
    image: ArrayLike,
    saliency: ArrayLike,
    reference: ArrayLike,
    *,
    shares: Sequence[float] = SHARES,
    n_random: int = 20,
    seed: int = 0,
) -> tuple[Faithfulness, Faithfulness]:
    """Turn an image into another pixel by pixel, the map's most relevant ones first, and back.

    The deletion and insertion of Petsiuk, Das and Saenko (BMVC 2018), towards a picture that the network
    knows instead of a grey one that it has never seen. The random maps are as in `faithfulness`.

    Parameters
    ----------
    trained : Regressor, FitResult or path-like
        What `fit` returned, or its checkpoint.
    image, saliency, reference : array_like, shape (size, size)
        The image, the map to check, and for example the picture of another U.
    shares : sequence of float
        Shares of pixels to exchange, between 0 and 1.
    n_random, seed
        As in `faithfulness`.

    Returns
    -------
    deletion, insertion : Faithfulness
        |change of predicted U| from the image's, as the top pixels become the reference's; and from the
        reference's, as the image's top pixels come in. The larger, the better the map.

    Raises
    ------
    ValueError
        If an image, the map, or a setting is not accepted.
    """
    pixels, fractions, maps = _prepared(image, saliency, shares, n_random, seed)
    other = single_image(reference)[0]
    if other.shape != pixels.shape:
        raise ValueError(f"the reference has shape {other.shape}, but must have the image's, {pixels.shape}")
    top = np.stack([ranks >= 1 - share for ranks in maps for share in fractions])
    regressor = as_regressor(trained)
    results = []
    for before, after in ((pixels, other), (other, pixels)):
        moved = predict(regressor, np.where(top, after, before)).U - predict(regressor, before[None]).U
        change = np.abs(moved).reshape(len(maps), -1)
        results.append(Faithfulness(fractions, change[0], change[1:]))
    return results[0], results[1]


def _prepared(
    image: ArrayLike, saliency: ArrayLike, shares: Sequence[float], n_random: int, seed: int
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """The image, the shares, and the ranks of the map's pixels followed by those of its random companions."""
    pixels, relevance = single_image(image)[0], single_image(saliency)[0]
    if relevance.shape != pixels.shape:
        raise ValueError(f"the map has shape {relevance.shape}, but must have the image's, {pixels.shape}")
    fractions = np.asarray(shares, dtype=np.float64)
    inside = fractions.ndim == 1 and fractions.size > 0 and np.all((fractions > 0) & (fractions < 1))
    if not inside or n_random < 1:
        raise ValueError(
            f"the shares of pixels are {shares} and n_random {n_random}, but shares must lie between 0 and 1 "
            "and n_random be at least 1"
        )
    rng = np.random.default_rng(seed)
    ranks = _ranks(relevance, rng)
    return pixels, fractions, [ranks, *(_moved(ranks, rng) for _ in range(n_random))]


def _ranks(relevance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rank of each pixel in [0, 1]; ties in random order, so that any share of pixels is well defined."""
    order = np.lexsort((rng.random(relevance.size), relevance.ravel()))
    ranks = np.empty(relevance.size)
    ranks[order] = np.linspace(0, 1, relevance.size)
    return ranks.reshape(relevance.shape)


def _moved(ranks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    turned = ranks.T if rng.random() < 0.5 else ranks
    return np.roll(turned, rng.integers(0, len(ranks), 2), axis=(0, 1))


def _without_top(pixels: np.ndarray, ranks: np.ndarray, share: float) -> np.ndarray:
    remove = RemoveMostRelevantFirst(100 * (1 - share), NoisyLinearImputer(noise=0.0))
    return remove(torch.from_numpy(pixels)[None], torch.from_numpy(ranks))[0].numpy()
