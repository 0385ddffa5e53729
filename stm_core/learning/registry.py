"""What every model has in common, and the registry that builds models by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from stm_core.discovery import discover
from stm_core.learning.inputs import InputConfig, PictureConfig, check_number


class Reading(NamedTuple):
    """What a model says of inputs (n, ...), each of shape (n,).

    Attributes
    ----------
    U : torch.Tensor
        In eV.
    spread : torch.Tensor
        Expected error up to a common factor, which calibration finds.
    novelty : torch.Tensor or None
        How unlike the training inputs they are; None leaves it to the distance between `Model.features`.
    """

    U: torch.Tensor
    spread: torch.Tensor
    novelty: torch.Tensor | None = None


class Model(nn.Module):
    """Base class: normalised inputs -> features -> U in eV.

    Parameters
    ----------
    config : InputConfig
        What the model sees and how it is built, kept as ``.config``.
    """

    name: ClassVar[str]

    def __init__(self, config: InputConfig) -> None:
        super().__init__()
        self.config: Any = config

    def features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Features (n, n_features) of normalised inputs (n, ...)."""
        raise NotImplementedError

    def initialise(self) -> None:
        """Draw the starting weights from torch's random state."""

    def read(self, inputs: torch.Tensor) -> Reading:
        """U of normalised inputs (n, ...), and how sure; networks expect the same error everywhere."""
        U = self(inputs)
        return Reading(U, torch.ones_like(U))

    @property
    def limits(self) -> tuple[float, float]:
        """Between which U (eV) the model can answer."""
        return -np.inf, np.inf

    def restore(self, weights: dict[str, torch.Tensor]) -> None:
        """Take the weights of a checkpoint."""
        self.load_state_dict(weights)


class Solved(Model):
    """A model found in one step from its samples, whose buffers have the shapes that these need."""

    def solve(self, inputs: torch.Tensor, U: np.ndarray, branch: np.ndarray) -> None:
        """Find the model.

        Parameters
        ----------
        inputs : torch.Tensor, shape (n, ...)
            Normalised.
        U : array, shape (n,)
            In eV.
        branch : int array, shape (n,)
            Number of the branch that each sample is of.
        """
        raise NotImplementedError

    def keep(self, **buffers: np.ndarray) -> None:
        """Keep arrays as the model's buffers."""
        self.restore({name: torch.as_tensor(array) for name, array in buffers.items()})

    def restore(self, weights: dict[str, torch.Tensor]) -> None:
        for name, tensor in weights.items():
            self.register_buffer(name, tensor)


@dataclass(frozen=True)
class NetworkConfig(PictureConfig):
    """What every network of pictures shares.

    Attributes
    ----------
    l2_normalise : bool
        Scale the features of each image to unit length before the head.
    clamp : bool
        Cut the prediction off at 0 eV.
    dropout : float
        Share of features dropped before the last layer while training, in [0, 1).
    initial_output : float
        Bias of the last layer before training, eV. The original starts at 0; a start that predicts less than
        0 for every image then has no gradient through the clamp and never learns. The middle of the range
        avoids this.
    """

    l2_normalise: bool = True
    clamp: bool = True
    dropout: float = 0.0
    initial_output: float = 2.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("dropout", self.dropout)
        check_number("initial_output", self.initial_output)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, but must be at least 0 and below 1")


class ImageNetwork(Model):
    """Base class of networks: image -> features -> U in eV. Subclasses provide `features` and `head`."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.head: nn.Sequential

    def initialise(self) -> None:
        """Draw the starting weights from torch's random state: He's scheme, fan-out, as in the original."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        start_at(self.head, self.config.initial_output)

    @property
    def attribution_layer(self) -> nn.Module:
        """The layer Grad-CAM looks at: the deepest one whose cells are at most 8 pixels wide."""
        raise ValueError(
            f"the network {self.name!r} has no convolution layer for Grad-CAM; networks with one are "
            "'cnn' and 'resnet18', and guided_backprop serves all of them"
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """U (n,) in eV of normalised images (n, 1, size, size)."""
        size = self.config.image_size
        if images.ndim != 4 or tuple(images.shape[1:]) != (1, size, size):
            raise ValueError(
                f"the network {self.name!r} takes images of shape (n, 1, {size}, {size}), "
                f"but was given {tuple(images.shape)}"
            )
        features = self.features(images)
        if self.config.l2_normalise:
            features = functional.normalize(features, dim=1)
        U = self.head(features)[:, 0]
        return U.clamp(min=0) if self.config.clamp else U


def start_at(head: nn.Sequential, U: float) -> None:
    """Let a head answer about `U` (eV) before training."""
    output = cast(nn.Linear, head[-1])
    output.reset_parameters()
    nn.init.constant_(output.bias, U)


_REGISTRY: dict[str, tuple[type[Model], type[InputConfig]]] = {}


def register(name: str, config: type[InputConfig]) -> Callable[[type[Model]], type[Model]]:
    """Make a class known to `build_model` by `name`, with the class of its options."""

    def add(model: type[Model]) -> type[Model]:
        model.name = name
        _REGISTRY[name] = (model, config)
        return model

    return add


def registered() -> Mapping[str, tuple[type[Model], type[InputConfig]]]:
    """Every model of ``stm_core/learning/models`` with the class of its options, by name."""
    discover("stm_core.learning.models")
    return _REGISTRY


def model_from_config(name: str, config: dict[str, Any]) -> Model:
    """The model `name` with the options `config`, its weights not yet meaningful.

    Raises
    ------
    ValueError
        If the name or an option is unknown, or an option's value is not accepted.
    """
    known = registered()
    if name not in known:
        raise ValueError(f"unknown model {name!r}; known models are {', '.join(sorted(known))}")
    model, config_class = known[name]
    accepted = [field.name for field in fields(config_class)]
    unknown = sorted(set(config) - set(accepted))
    if unknown:
        raise ValueError(
            f"model {name!r} has no option {', '.join(unknown)}; its options are {', '.join(accepted)}"
        )
    return model(config_class(**config))


def build_model(name: str, *, seed: int = 0, **config: Any) -> Model:
    """A model that has learned nothing yet.

    Parameters
    ----------
    name : str
        One that a file of ``stm_core/learning/models`` registers: "fc", "cnn", "resnet18", networks of
        pictures as in the original study; "bragg", "bragg_process", "bragg_tokens", "bragg_biases", models of
        Bragg amplitudes: curves inverted, a Gaussian process, a network over stars, a network over biases.
    seed : int
        Seed of the starting weights; torch's own random state is left as it was.
    **config
        Fields of the model's configuration class, for example ``l2_normalise=False, clamp=False``
        for a repaired network, or ``bias=(0.0,)`` for a Bragg model of one bias.

    Returns
    -------
    Model
        Module from normalised inputs (n, ...) to U (n,) in eV.

    Raises
    ------
    ValueError
        If the name or an option is unknown, or an option's value is not accepted.
    RuntimeError
        If ImageNet weights are asked for and cannot be fetched.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_from_config(name, config)
        model.initialise()
    return model
