"""Which pixels a network's U rests on: Grad-CAM, guided backpropagation, and a check of such maps.

All three go through the grad-cam package. Images and maps are (size, size); maps refer to the image as given,
before normalisation.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from pytorch_grad_cam import GradCAM, GuidedBackpropReLUModel
from pytorch_grad_cam.metrics.perturbation_confidence import RemoveMostRelevantFirst
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from pytorch_grad_cam.utils.model_targets import BinaryClassifierOutputTarget
from torch import nn

from stm_core.learning.checkpoints import Regressor, as_images
from stm_core.learning.evaluation import Trained, as_regressor, predict

logger = logging.getLogger(__name__)


def _single(image: ArrayLike) -> np.ndarray:
    array = np.asarray(image, dtype=np.float32)
    if array.ndim != 2:
        raise ValueError(f"attribution takes one image of shape (size, size), not {array.shape}")
    return as_images(array[None])


def _working_copy(trained: Trained, image: ArrayLike) -> tuple[Regressor, torch.Tensor]:
    """A copy that may be hooked and rewired, and the image as its input (1, 1, size, size)."""
    regressor = copy.deepcopy(as_regressor(trained)).eval()
    return regressor, torch.from_numpy(_single(image))[None].to(regressor.mean.device)


def grad_cam(
    trained: Trained, image: ArrayLike, layer: str | None = None, *, direction: Literal["up", "down"] = "up"
) -> np.ndarray:
    """Grad-CAM of the predicted U (Selvaraju et al., ICCV 2017), with U itself as the target.

    Parameters
    ----------
    trained : Regressor, FitResult or path-like
        What `fit` returned, or its checkpoint.
    image : array_like, shape (size, size)
    layer : str, optional
        Name of a layer of the network as in ``named_modules()``; by default the deepest one whose cells are
        at most 8 pixels wide (``cnn``: 4 pixels; ``resnet18``: 8). Deeper ones blur neighbouring satellite
        peaks together.
    direction : {"up", "down"}
        Show what raises the predicted U, or what lowers it.

    Returns
    -------
    ndarray of float32, shape (size, size)
        Scaled to [0, 1]; all zero where the network's output has no gradient, as for a prediction clamped at
        0.

    Raises
    ------
    ValueError
        If the image, layer or direction is not accepted, or the network has no convolution layer.
    """
    if direction not in ("up", "down"):
        raise ValueError(f"direction is {direction!r}, but must be 'up' or 'down'")
    regressor, tensor = _working_copy(trained, image)
    target = BinaryClassifierOutputTarget(1 if direction == "up" else -1)
    with GradCAM(regressor, [_layer(regressor.model, layer)]) as cam:
        saliency = cam(tensor, [target])[0]
    if not saliency.any():
        logger.warning(
            "the Grad-CAM map is zero: the network's output has no %sward gradient here", direction
        )
    return saliency


def _layer(model: nn.Module, name: str | None) -> nn.Module:
    if name is None:
        return model.attribution_layer  # type: ignore[return-value]
    layers = {known: module for known, module in model.named_modules() if known}
    if name not in layers:
        shown = [known for known, module in layers.items() if isinstance(module, nn.Conv2d)]
        raise ValueError(
            f"the network has no layer {name!r}; its convolutions are {', '.join(shown) or 'none'}"
        )
    return layers[name]


class _Column(nn.Module):
    """U (n,) as (n, 1), the shape the package takes a target index from."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images)[:, None]


def guided_backprop(trained: Trained, image: ArrayLike) -> np.ndarray:
    """Guided backpropagation of the predicted U (Springenberg et al., arXiv:1412.6806).

    The gradient of U with respect to each pixel, with negative signals stopped at every ReLU. Known to follow
    edges of the image more than the weights (Adebayo et al., NeurIPS 2018): compare with an untrained
    network.

    Parameters
    ----------
    trained : Regressor, FitResult or path-like
        What `fit` returned, or its checkpoint.
    image : array_like, shape (size, size)

    Returns
    -------
    ndarray of float32, shape (size, size)
        Signed, in eV per unit of pixel value.

    Raises
    ------
    ValueError
        If the image is not accepted.
    """
    regressor, tensor = _working_copy(trained, image)
    return GuidedBackpropReLUModel(_Column(regressor))(tensor, target_category=0)[..., 0]


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
    removed: Sequence[float] = (0.02, 0.05, 0.1, 0.2),
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
    pixels, relevance = _single(image)[0], _single(saliency)[0]
    if relevance.shape != pixels.shape:
        raise ValueError(f"the map has shape {relevance.shape}, but must have the image's, {pixels.shape}")
    shares = np.asarray(removed, dtype=np.float64)
    if shares.ndim != 1 or shares.size == 0 or not np.all((shares > 0) & (shares < 1)) or n_random < 1:
        raise ValueError(
            f"removed is {removed} and n_random {n_random}, but removed must be shares between 0 and 1 "
            "and n_random at least 1"
        )
    rng = np.random.default_rng(seed)
    ranks = _ranks(relevance, rng)
    maps = [ranks, *(_moved(ranks, rng) for _ in range(n_random))]
    altered = np.stack([_without_top(pixels, each, share) for each in maps for share in shares])
    regressor = as_regressor(trained)
    change = np.abs(predict(regressor, altered) - predict(regressor, pixels[None])).reshape(len(maps), -1)
    return Faithfulness(shares, change[0], change[1:])


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
