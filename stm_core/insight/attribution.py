"""Which pixels a network's U rests on: Grad-CAM, guided backpropagation and integrated gradients.

Images and maps are (size, size); maps refer to the image as given, before normalisation.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from pytorch_grad_cam import GradCAM, GuidedBackpropReLUModel
from pytorch_grad_cam.utils.model_targets import BinaryClassifierOutputTarget
from torch import nn

from stm_core.learning.checkpoints import Regressor
from stm_core.learning.evaluation import Trained, as_regressor
from stm_core.learning.inputs import as_images

logger = logging.getLogger(__name__)

_STEP = 1e-3  # of the way from the baseline: between rounding and the curvature of a reader


def single_image(image: ArrayLike) -> np.ndarray:
    """One image as a finite float32 array (1, size, size); ValueError where it is none."""
    array = np.asarray(image, dtype=np.float32)
    if array.ndim != 2:
        raise ValueError(f"attribution takes one image of shape (size, size), not {array.shape}")
    return as_images(array[None])


def _working_copy(trained: Trained, image: ArrayLike) -> tuple[Regressor, torch.Tensor]:
    """A copy that may be hooked and rewired, and the image as its input (1, 1, size, size)."""
    regressor = copy.deepcopy(as_regressor(trained)).eval()
    return regressor, torch.from_numpy(single_image(image))[None].to(regressor.mean.device)


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


def cam_cell(trained: Trained, image: ArrayLike) -> float:
    """Width in pixels of one cell of the layer that `grad_cam` shows: the finest detail of its maps."""
    regressor, tensor = _working_copy(trained, image)
    widths: list[int] = []
    layer = _layer(regressor.model, None)
    hook = layer.register_forward_hook(lambda module, given, found: widths.append(found.shape[-1]))
    regressor(tensor)
    hook.remove()
    return tensor.shape[-1] / widths[0]


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


def _path(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Places between 0 and 1 and their weights, exact for polynomials of degree 2 steps − 1."""
    if steps < 1:
        raise ValueError(f"steps is {steps}, but must be at least 1")
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return (nodes + 1) / 2, weights / 2


def integrated_gradients(
    trained: Trained, image: ArrayLike, baseline: ArrayLike | None = None, *, steps: int = 32
) -> np.ndarray:
    """Integrated gradients of the predicted U (Sundararajan, Taly and Yan, ICML 2017).

    The gradient along the straight path from the baseline to the image, times the way. The pixels add up to
    the difference of the two predictions, but for the error of the quadrature.

    Parameters
    ----------
    trained : Regressor, FitResult or path-like
        What `fit` returned, or its checkpoint.
    image : array_like, shape (size, size)
    baseline : array_like, shape (size, size), optional
        The picture that nothing is attributed to; by default the mean of the training pictures, or their mean
        grey where the network was normalised by that.
    steps : int
        Gauss-Legendre points on the path, at least 1.

    Returns
    -------
    ndarray of float32, shape (size, size)
        Signed, in eV.

    Raises
    ------
    ValueError
        If the image, the baseline or `steps` is not accepted.
    """
    regressor, tensor = _working_copy(trained, image)
    if baseline is None:
        start = regressor.mean.expand_as(tensor)
    else:
        start = torch.from_numpy(single_image(baseline))[None].to(tensor.device)
        if start.shape != tensor.shape:
            raise ValueError(
                f"the baseline has shape {tuple(start.shape[2:])}, "
                f"but must have the image's, {tuple(tensor.shape[2:])}"
            )
    nodes, weights = (
        torch.as_tensor(each, dtype=tensor.dtype, device=tensor.device) for each in _path(steps)
    )
    between = (start + nodes[:, None, None, None] * (tensor - start)).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(regressor(between).sum(), between)
    total = (tensor - start) * (weights[:, None, None, None] * gradient).sum(dim=0, keepdim=True)
    return total[0, 0].detach().cpu().numpy()


def group_attribution(
    read: Callable[[np.ndarray], np.ndarray],
    features: ArrayLike,
    baseline: ArrayLike,
    groups: ArrayLike,
    *,
    steps: int = 8,
) -> np.ndarray:
    """Integrated gradients for any reader of U, by finite differences and for whole groups of features.

    For the readers of Bragg amplitudes, whose features are peaks and whose groups are stars or families of
    peaks. The groups add up to the difference of the two predictions, but for the error of the quadrature.

    Parameters
    ----------
    read : callable
        From features (n, n_features) to U (n,) in eV.
    features, baseline : array_like, shape (n_features,)
        What to explain, and what nothing is attributed to.
    groups : array_like of int, shape (n_features,)
        From 0; features of one group move together.
    steps : int
        Gauss-Legendre points on the path, at least 1.

    Returns
    -------
    ndarray, shape (n_groups,)
        Signed, in eV.

    Raises
    ------
    ValueError
        If shapes or `steps` are not accepted.
    """
    end, start = (np.asarray(each, dtype=float) for each in (features, baseline))
    group = np.asarray(groups)
    if end.ndim != 1 or start.shape != end.shape or group.shape != end.shape:
        raise ValueError(
            f"features, baseline and groups must be of one shape (n,), "
            f"not {end.shape}, {start.shape} and {group.shape}"
        )
    nodes, weights = _path(steps)
    moves = (end - start) * (group == np.arange(group.max() + 1)[:, None])
    points = start + nodes[:, None] * (end - start)
    ahead, behind = (points[:, None] + sign * _STEP * moves for sign in (1, -1))
    read_off = [np.reshape(read(each.reshape(-1, end.size)), each.shape[:2]) for each in (ahead, behind)]
    return weights @ (read_off[0] - read_off[1]) / (2 * _STEP)
