"""A network for a page without Python: its layers, interval and known range as plain JSON.

``book/_static/stm`` holds the other half, the same layers and the same class activation map written for a
browser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from torch import nn

from stm_core.learning import Convolutional, FullyConnected, ImageNetwork, Regressor, predict
from stm_core.learning.evaluation import Trained, as_regressor
from stm_core.learning.inputs import as_images, as_labelled_images
from stm_core.viewing.inpage import packed, unpacked

SCHEMA = "stm_core page network 1"
_LARGEST = 4_000_000  # weights: 16 MB of a page
_FLAT = 1e-3  # spread of a feature that hardly varies, as a share of the typical one

Layer = dict[str, Any]


def _convolution(module: nn.Conv2d) -> Layer:
    bias = None if module.bias is None else packed(module.bias.detach())
    stride, padding = module.stride[0], cast(tuple[int, ...], module.padding)[0]
    return {
        "kind": "conv",
        "weight": packed(module.weight.detach()),
        "bias": bias,
        "stride": stride,
        "padding": padding,
    }


def _batch_norm(module: nn.BatchNorm2d) -> Layer:
    """Batch normalisation as it is after training: one factor and one shift for each channel."""
    mean, variance = (cast(torch.Tensor, t).double() for t in (module.running_mean, module.running_var))
    scale = module.weight.double() / torch.sqrt(variance + module.eps)
    return {
        "kind": "affine",
        "scale": packed(scale.detach()),
        "shift": packed((module.bias.double() - scale * mean).detach()),
    }


def _linear(module: nn.Linear) -> Layer:
    bias = None if module.bias is None else packed(module.bias.detach())
    return {"kind": "dense", "weight": packed(module.weight.detach()), "bias": bias}


_PACKERS: dict[type[nn.Module], Callable[[Any], Layer]] = {
    nn.Conv2d: _convolution,
    nn.BatchNorm2d: _batch_norm,
    nn.Linear: _linear,
    nn.ReLU: lambda module: {"kind": "relu"},
    nn.GELU: lambda module: {"kind": "gelu"},
    nn.Flatten: lambda module: {"kind": "flatten"},
    nn.MaxPool2d: lambda module: {"kind": "maxpool", "size": int(module.kernel_size)},
}


def _layers(modules: nn.Sequential) -> list[Layer]:
    used = [module for module in modules if not isinstance(module, nn.Dropout)]
    unknown = [type(module).__name__ for module in used if type(module) not in _PACKERS]
    if unknown:
        known = ", ".join(kind.__name__ for kind in _PACKERS)
        raise ValueError(f"a page cannot run a layer of kind {unknown[0]}; it knows {known}")
    return [_PACKERS[type(module)](module) for module in used]


def _trunk(model: ImageNetwork) -> tuple[list[Layer], int | None]:
    """Layers up to the features, and the position of the maps that explain the reading."""
    if isinstance(model, FullyConnected):
        return _layers(model.body), None
    if not isinstance(model, Convolutional):
        raise ValueError(f"a page can run the networks 'cnn' and 'fc', not {model.name!r}")
    layers = [
        layer
        for block in model.blocks
        for layer in [*_layers(cast(nn.Sequential, block)), *_layers(nn.Sequential(model.pool))]
    ]
    return [*layers, {"kind": "average"}], len(layers) - 2


def export_for_page(
    trained: Trained, calibration: tuple[ArrayLike, ArrayLike], known: ArrayLike, coverage: float = 0.9
) -> dict[str, Any]:
    """A trained network with all that its page says about a reading, as plain JSON values.

    Parameters
    ----------
    trained : Regressor, FitResult or path-like
        A ``cnn`` or ``fc`` network.
    calibration : tuple of (images, U)
        Pictures (n, size, size) and U (n,) in eV that the network has not been trained on. The interval is
        their split-conformal one: the error that a share `coverage` of them, and one more, stay below
        (Vovk et al., "Algorithmic learning in a random world", 2005).
    known : array_like, shape (m, size, size)
        Training pictures. A picture is within range if its features are as near to one of these as those of
        a share `coverage` of the calibration pictures are, twice over.
    coverage : float
        Between 0 and 1.

    Returns
    -------
    dict
        ``layers``, ``mean`` and ``scale`` of the picture, the positions ``features``, ``average`` and
        ``maps`` of outputs among the layers, ``interval`` and ``range``.

    Raises
    ------
    ValueError
        If the network has a layer that no page can run or too many weights, or shapes are not accepted.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage is {coverage}, but must lie between 0 and 1")
    regressor = as_regressor(trained)
    model = cast(ImageNetwork, regressor.model)
    weights = sum(weight.numel() for weight in model.parameters())
    if weights > _LARGEST:
        raise ValueError(f"the network has {weights} weights; a page takes {_LARGEST} at most")
    layers, maps = _trunk(model)
    features = len(layers) - 1
    if model.config.l2_normalise:
        layers.append({"kind": "unit"})
    layers += [*_layers(model.head), *([{"kind": "relu"}] if model.config.clamp else [])]
    images, U = as_labelled_images(*calibration, 1, "calibration")
    return {
        "schema": SCHEMA,
        "size": model.config.image_size,
        "mean": packed(regressor.mean),
        "scale": packed(regressor.scale),
        "layers": layers,
        "features": features,
        "average": None if maps is None else features,
        "maps": maps,
        "interval": {
            "coverage": coverage,
            "half_width": conformal_half_width(U, predict(regressor, images).U, coverage),
        },
        "range": _known_range(regressor, as_images(known), images, coverage),
    }


def conformal_half_width(U: ArrayLike, readings: ArrayLike, coverage: float) -> float:
    """Half width in eV of the split-conformal interval from calibration errors; U and readings are (n,).

    With fewer than ``coverage / (1 - coverage)`` errors no finite interval has that coverage, and the largest
    error is taken.
    """
    errors = np.sort(np.abs(np.asarray(readings, dtype=float) - np.asarray(U, dtype=float)))
    rank = int(np.ceil((len(errors) + 1) * coverage))
    return float(errors[min(rank, len(errors)) - 1])


def _features(regressor: Regressor, images: NDArray[np.float32]) -> NDArray[np.float64]:
    model = cast(ImageNetwork, regressor.model)
    with torch.inference_mode():
        batches = torch.from_numpy(images)[:, None].split(64)
        return torch.cat([model.features(regressor.normalise(batch)) for batch in batches]).double().numpy()


def distance_in_page(trained: Trained, network: Mapping[str, Any], images: ArrayLike) -> NDArray[np.float64]:
    """Distance (n,) of images (n, size, size) to what an exported network knows; its range ends at 1."""
    known = network["range"]
    references, spread = (unpacked(known[name]) for name in ("references", "spread"))
    features = _features(as_regressor(trained), as_images(images))
    return cdist(features / spread, references / spread).min(axis=1) / known["limit"]


def _known_range(
    regressor: Regressor, known: NDArray, calibration: NDArray, coverage: float
) -> dict[str, Any]:
    references, others = _features(regressor, known), _features(regressor, calibration)
    spread = references.std(axis=0)
    spread = np.maximum(spread, max(_FLAT * spread.mean(), np.finfo(np.float32).tiny))
    apart = cdist(others / spread, references / spread).min(axis=1)
    limit = 2 * float(np.quantile(apart, coverage)) or 1.0
    return {"references": packed(references), "spread": packed(spread), "limit": limit}
