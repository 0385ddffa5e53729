"""What every network has in common, and the registry that builds networks by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, cast

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class NetworkConfig:
    """What every network shares.

    Attributes
    ----------
    image_size : int
        Side of the square input image in pixels.
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

    minimum_size: ClassVar[int] = 1

    image_size: int = 64
    l2_normalise: bool = True
    clamp: bool = True
    dropout: float = 0.0
    initial_output: float = 2.5

    def __post_init__(self) -> None:
        if self.image_size < self.minimum_size:
            raise ValueError(
                f"image_size is {self.image_size}, but must be at least {self.minimum_size} pixels"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, but must be at least 0 and below 1")


class ImageNetwork(nn.Module):
    """Base class: image -> features -> U in eV. Subclasses provide `features` and `head`.

    Parameters
    ----------
    config : NetworkConfig
        The network's configuration, kept as ``.config``.
    """

    name: ClassVar[str]

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.head: nn.Sequential

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Features (n, n_features) of normalised images (n, 1, size, size)."""
        raise NotImplementedError

    def initialise(self) -> None:
        """Draw the starting weights from torch's random state: He's scheme, fan-out, as in the original."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self._initialise_output()

    def _initialise_output(self) -> None:
        output = cast(nn.Linear, self.head[-1])
        output.reset_parameters()
        nn.init.constant_(output.bias, self.config.initial_output)

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


_REGISTRY: dict[str, tuple[type[ImageNetwork], type[NetworkConfig]]] = {}


def register(name: str, config: type[NetworkConfig]) -> Callable[[type[ImageNetwork]], type[ImageNetwork]]:
    def add(network: type[ImageNetwork]) -> type[ImageNetwork]:
        network.name = name
        _REGISTRY[name] = (network, config)
        return network

    return add


def network_from_config(name: str, config: dict[str, Any]) -> ImageNetwork:
    """The network `name` with the options `config`, its weights not yet meaningful.

    Raises
    ------
    ValueError
        If the name or an option is unknown, or an option's value is not accepted.
    """
    if name not in _REGISTRY:
        raise ValueError(f"unknown model {name!r}; known models are {', '.join(sorted(_REGISTRY))}")
    network, config_class = _REGISTRY[name]
    accepted = [field.name for field in fields(config_class)]
    unknown = sorted(set(config) - set(accepted))
    if unknown:
        raise ValueError(
            f"model {name!r} has no option {', '.join(unknown)}; its options are {', '.join(accepted)}"
        )
    return network(config_class(**config))


def build_model(name: str, *, image_size: int = 64, seed: int = 0, **config: Any) -> ImageNetwork:
    """A network with freshly drawn weights.

    Parameters
    ----------
    name : {"fc", "cnn", "resnet18"}
        Which network.
    image_size : int
        Side of the square input image in pixels.
    seed : int
        Seed of the starting weights; torch's own random state is left as it was.
    **config
        Fields of the network's configuration class, for example ``l2_normalise=False, clamp=False``
        for a repaired network.

    Returns
    -------
    ImageNetwork
        Module from normalised images (n, 1, image_size, image_size) to U (n,) in eV.

    Raises
    ------
    ValueError
        If the name or an option is unknown, or an option's value is not accepted.
    RuntimeError
        If ImageNet weights are asked for and cannot be fetched.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = network_from_config(name, {"image_size": image_size, **config})
        model.initialise()
    return model
