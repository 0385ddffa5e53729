"""The networks that read U from an FT-LDOS image.

Architectures follow the original study ("Prediction of the atomistic Hubbard U interaction from moire system
STM-images using image recognition", and its published code): fully connected, three double convolution
blocks, ResNet-18. Two of its habits, unit-length features and an output clamped at zero, are options:
repaired networks are the same classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal
from urllib.error import URLError

import torch
from torch import nn

from stm_core.learning.inputs import check_whole, check_widths
from stm_core.learning.registry import ImageNetwork, NetworkConfig, register


@dataclass(frozen=True)
class FullyConnectedConfig(NetworkConfig):
    """Two hidden layers of widths `hidden`; neither normalised nor clamped, as in the original."""

    l2_normalise: bool = False
    clamp: bool = False
    hidden: tuple[int, ...] = (512, 256)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("hidden", self.hidden)


@dataclass(frozen=True)
class ConvolutionalConfig(NetworkConfig):
    """Double convolution blocks of widths `channels`, then a hidden layer of width `hidden`."""

    dropout: float = 0.2
    channels: tuple[int, ...] = (32, 64, 128)
    hidden: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("channels", self.channels)
        check_whole("hidden", self.hidden)
        least = 2 ** len(self.channels)
        if self.image_size < least:
            raise ValueError(
                f"image_size is {self.image_size}, but {len(self.channels)} blocks need {least} pixels"
            )


@dataclass(frozen=True)
class ResNet18Config(NetworkConfig):
    """ResNet-18 from random weights (``weights=None``) or from ImageNet's (``weights="imagenet"``)."""

    minimum_size: ClassVar[int] = 32

    weights: Literal["imagenet"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights not in (None, "imagenet"):
            raise ValueError(f"weights is {self.weights!r}, but must be None or 'imagenet'")


@register("fc", FullyConnectedConfig)
class FullyConnected(ImageNetwork):
    """Flattened pixels through hidden layers with ReLU."""

    config: FullyConnectedConfig

    def __init__(self, config: FullyConnectedConfig) -> None:
        super().__init__(config)
        widths = (config.image_size**2, *config.hidden)
        layers = [layer for n_in, n_out in pairwise(widths) for layer in (nn.Linear(n_in, n_out), nn.ReLU())]
        self.body = nn.Sequential(nn.Flatten(), *layers)
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(widths[-1], 1))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images)


def _double_block(n_in: int, n_out: int) -> nn.Sequential:
    # ReLU before batch normalisation is the original's order.
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(n_out),
        nn.Conv2d(n_out, n_out, 3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(n_out),
    )


@register("cnn", ConvolutionalConfig)
class Convolutional(ImageNetwork):
    """Double 3x3 convolution blocks with pooling, global average pooling and one hidden layer."""

    config: ConvolutionalConfig

    def __init__(self, config: ConvolutionalConfig) -> None:
        super().__init__(config)
        widths = (1, *config.channels)
        self.blocks = nn.ModuleList(_double_block(*pair) for pair in pairwise(widths))
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Sequential(
            nn.Linear(widths[-1], config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, 1),
        )

    def features(self, images: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            images = self.pool(block(images))
        return images.mean(dim=(2, 3))

    @property
    def attribution_layer(self) -> nn.Module:
        # Block b works on cells of 2**b pixels; the fourth (b = 3) is the deepest within 8 pixels.
        return self.blocks[min(len(self.blocks), 4) - 1]


@register("resnet18", ResNet18Config)
class ResNet18(ImageNetwork):
    """torchvision's ResNet-18 for one channel, with one linear layer on its 512 pooled features."""

    config: ResNet18Config

    def __init__(self, config: ResNet18Config) -> None:
        super().__init__(config)
        from torchvision.models import resnet18  # seconds that only this network needs

        self.backbone = resnet18(weights=None)
        self.backbone.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        self.backbone.fc = nn.Identity()
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(512, 1))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return self.backbone(images)

    def initialise(self) -> None:
        """Random weights, or ImageNet's with the first layer's three colours summed into one.

        Raises
        ------
        RuntimeError
            If the ImageNet weights are neither in torch's cache nor to be downloaded.
        """
        super().initialise()
        if self.config.weights == "imagenet":
            state = _imagenet_weights()
            state["conv1.weight"] = state["conv1.weight"].sum(dim=1, keepdim=True)
            self.backbone.load_state_dict(
                {key: value for key, value in state.items() if not key.startswith("fc.")}
            )

    @property
    def attribution_layer(self) -> nn.Module:
        return self.backbone.layer2


def _imagenet_weights() -> dict[str, torch.Tensor]:
    from torchvision.models import ResNet18_Weights

    try:
        weights = ResNet18_Weights.IMAGENET1K_V1
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (URLError, OSError, RuntimeError) as error:
        raise RuntimeError(
            f"the ImageNet weights of ResNet-18 could not be fetched on this machine ({error}); "
            "use weights=None to start from random weights"
        ) from error
