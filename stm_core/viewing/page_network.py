"""A calibrated model for a page without Python: what it has learned as plain JSON.

``book/_static/stm`` holds the other half, the same layers and the same curves written for a browser.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from stm_core.learning import (
    BraggCurves,
    Convolutional,
    FullyConnected,
    ImageNetwork,
    Regressor,
    star_vectors,
)
from stm_core.learning.evaluation import Trained, as_regressor
from stm_core.learning.models.curves import TAIL, refinement
from stm_core.learning.uncertainty import COVERAGE
from stm_core.simulation import GRAPHENE_LATTICE, TwistedBilayer
from stm_core.viewing.inpage import packed

SCHEMA = "stm_core page model 2"
_LARGEST = 4_000_000  # weights: 16 MB of a page

Layer = dict[str, Any]


def _convolution(module: nn.Conv2d) -> Layer:
    bias = None if module.bias is None else packed(module.bias.detach())
    stride, padding = module.stride[0], cast(tuple[int, ...], module.padding)[0]
    weight = packed(module.weight.detach())
    return {"kind": "conv", "weight": weight, "bias": bias, "stride": stride, "padding": padding}


def _batch_norm(module: nn.BatchNorm2d) -> Layer:
    """Batch normalisation as it is after training: one factor and one shift for each channel."""
    mean, variance = (cast(torch.Tensor, t).double() for t in (module.running_mean, module.running_var))
    scale = module.weight.detach().double() / torch.sqrt(variance + module.eps)
    return {"kind": "affine", "scale": packed(scale), "shift": packed(module.bias.detach() - scale * mean)}


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


def export_for_page(trained: Trained) -> dict[str, Any]:
    """A model with all that its page says about a reading, as plain JSON values.

    Parameters
    ----------
    trained : Regressor, FitResult or path-like
        A calibrated ``cnn`` or ``fc`` network of pictures, or ``bragg`` curves of one bias.

    Returns
    -------
    dict
        ``kind`` ("network" or "curves"), the normalisation, what the model has learned, and ``coverage``,
        ``factor`` and ``limit`` of its calibration: half the interval over the spread, and the novelty where
        its range ends.

    Raises
    ------
    ValueError
        If the model is not calibrated, of another kind, has a layer that no page can run or too many
        weights.
    """
    regressor = as_regressor(trained)
    if regressor.calibration is None:
        raise ValueError("the model was never calibrated, so a page could not say how sure it is")
    common = {
        "schema": SCHEMA,
        "mean": packed(regressor.mean),
        "scale": packed(regressor.scale),
        "coverage": COVERAGE,
        # JSON knows no infinity, which is what too few samples promise.
        "factor": regressor.calibration.factor if np.isfinite(regressor.calibration.factor) else None,
        "limit": regressor.calibration.limit,
    }
    if isinstance(regressor.model, BraggCurves):
        return common | _curves(regressor.model)
    return common | _network(regressor)


def _curves(model: BraggCurves) -> dict[str, Any]:
    config = model.config
    if len(config.bias) != 1:
        raise ValueError(f"a page reads one bias at a time, but the model has {len(config.bias)}")
    fine, smooth, linear = refinement(model.grid.double().numpy())
    vectors = star_vectors(TwistedBilayer(config.i, config.spacing), config.n_stars) * GRAPHENE_LATTICE
    return {
        "kind": "curves",
        "channel": config.channel,
        "bias": config.bias[0],
        "vectors": vectors.tolist(),
        "fine": fine.tolist(),
        "tail": TAIL,
        # In double precision: χ² divides differences of curves by small errors.
        "smooth": packed(smooth, "float64"),
        "linear": packed(linear, "float64"),
        **{name: packed(getattr(model, name)) for name in ("curves", "error", "growth", "beyond")},
    }


def _network(regressor: Regressor) -> dict[str, Any]:
    model = cast(ImageNetwork, regressor.model)
    weights = sum(weight.numel() for weight in model.parameters())
    if weights > _LARGEST:
        raise ValueError(f"the network has {weights} weights; a page takes {_LARGEST} at most")
    layers, maps = _trunk(model)
    features = len(layers) - 1
    if model.config.l2_normalise:
        layers.append({"kind": "unit"})
    layers += [*_layers(model.head), *([{"kind": "relu"}] if model.config.clamp else [])]
    known = regressor.familiarity
    if known is None:
        raise ValueError("the network does not know its training pictures; train it by fit")
    return {
        "kind": "network",
        "size": model.config.image_size,
        "layers": layers,
        "features": features,
        "average": None if maps is None else features,
        "maps": maps,
        "familiar": {"mean": packed(known.mean), "whiten": packed(known.whiten)},
    }


def _trunk(model: ImageNetwork) -> tuple[list[Layer], int | None]:
    """Layers up to the features, and the position of the maps that explain the reading."""
    if isinstance(model, FullyConnected):
        return _layers(model.body), None
    if not isinstance(model, Convolutional):
        raise ValueError(f"a page can run the models 'cnn', 'fc' and 'bragg', not {model.name!r}")
    pool = _layers(nn.Sequential(model.pool))
    blocks = [_layers(cast(nn.Sequential, block)) + pool for block in model.blocks]
    layers = [layer for block in blocks for layer in block]
    return [*layers, {"kind": "average"}], len(layers) - 2


def _layers(modules: nn.Sequential) -> list[Layer]:
    used = [module for module in modules if not isinstance(module, nn.Dropout)]
    unknown = [type(module).__name__ for module in used if type(module) not in _PACKERS]
    if unknown:
        known = ", ".join(kind.__name__ for kind in _PACKERS)
        raise ValueError(f"a page cannot run a layer of kind {unknown[0]}; it knows {known}")
    return [_PACKERS[type(module)](module) for module in used]
