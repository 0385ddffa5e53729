"""Small networks of Bragg amplitudes: over stars as tokens, and over biases as tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from stm_core.learning.bragg_inputs import BraggConfig
from stm_core.learning.inputs import check_number, check_whole
from stm_core.learning.registry import Model, register, start_at


@dataclass(frozen=True)
class TokenConfig(BraggConfig):
    """Tokens of width `width`; the head starts at `initial_output` (eV)."""

    width: int = 64
    initial_output: float = 2.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("width", self.width)
        check_number("initial_output", self.initial_output)


class TokenNetwork(Model):
    """Base class: tokens -> mean over tokens -> U. Subclasses make the tokens."""

    config: TokenConfig

    def __init__(self, config: TokenConfig) -> None:
        super().__init__(config)
        self.head = nn.Sequential(
            nn.Linear(config.width, config.width), nn.GELU(), nn.Linear(config.width, 1)
        )

    def tokens(self, inputs: torch.Tensor) -> torch.Tensor:
        """Tokens (n, n_tokens, width) of normalised amplitudes (n, n_bias, n_stars)."""
        raise NotImplementedError

    def features(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.tokens(inputs).mean(dim=1)

    def initialise(self) -> None:
        start_at(self.head, self.config.initial_output)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """U (n,) in eV of normalised amplitudes (n, n_bias, n_stars)."""
        return self.head(self.features(inputs))[:, 0]


@register("bragg_tokens", TokenConfig)
class StarTokens(TokenNetwork):
    """Each star, with its amplitudes at all biases, through one network shared by all (Zaheer et al.,
    "Deep sets", arXiv:1703.06114); a learned vector tells the stars apart."""

    def __init__(self, config: TokenConfig) -> None:
        super().__init__(config)
        self.embed = nn.Linear(len(config.bias), config.width)
        self.place = nn.Parameter(torch.randn(config.n_stars, config.width))
        self.mix = nn.Sequential(nn.GELU(), nn.Linear(config.width, config.width), nn.GELU())

    def tokens(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.mix(self.embed(inputs.transpose(1, 2)) + self.place)


@dataclass(frozen=True)
class AttentionConfig(TokenConfig):
    """Transformer blocks `n_blocks` deep with `n_heads` heads."""

    width: int = 32
    n_heads: int = 4
    n_blocks: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("n_heads", self.n_heads)
        check_whole("n_blocks", self.n_blocks)
        if self.width % self.n_heads:
            raise ValueError(f"n_heads is {self.n_heads}, but must divide the width of {self.width}")


@register("bragg_biases", AttentionConfig)
class BiasAttention(TokenNetwork):
    """Each bias, with the amplitudes of all stars, is a token; they attend to each other (Vaswani et al.,
    arXiv:1706.03762). A learned vector tells the biases apart."""

    config: AttentionConfig

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__(config)
        self.embed = nn.Linear(config.n_stars, config.width)
        self.place = nn.Parameter(torch.randn(len(config.bias), config.width))
        block = nn.TransformerEncoderLayer(
            config.width, config.n_heads, 2 * config.width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, config.n_blocks, enable_nested_tensor=False)

    def tokens(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.blocks(self.embed(inputs) + self.place)
