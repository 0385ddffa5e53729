"""Networks whose important pixels are known by construction."""

import numpy as np
import torch
from torch import nn

from stm_core.learning import Normalisation

SIZE = 32
IDENTITY = Normalisation(torch.zeros(1, 1), torch.ones(1, 1))


class ByConstruction(nn.Module):
    """U is the mean of the left half's pixels times `weight`; the right half is seen but not used."""

    def __init__(self, weight):
        super().__init__()
        self.split = nn.Conv2d(1, 2, 1, bias=False)
        nn.init.ones_(self.split.weight)
        self.halves = nn.Identity()
        mask = torch.ones(1, 2, SIZE, SIZE)
        mask[:, 0, :, SIZE // 2 :] = 0
        mask[:, 1, :, : SIZE // 2] = 0
        self.register_buffer("mask", mask)
        self.register_buffer("weight", torch.tensor([weight, 0.0]))
        self.relu = nn.ReLU()

    @property
    def attribution_layer(self):
        return self.halves

    def forward(self, images):
        return (self.relu(self.halves(self.split(images) * self.mask)).mean(dim=(2, 3)) * self.weight).sum(
            dim=1
        )


def two_peaks(U, seed):
    """Images (n, SIZE, SIZE) whose upper left peak falls with U and whose lower right one is a nuisance."""
    y, x = np.mgrid[:SIZE, :SIZE]
    carrier, nuisance = (np.exp(-((y - c) ** 2 + (x - c) ** 2) / 4) for c in (8, 23))
    rng = np.random.default_rng(seed)
    heights = rng.uniform(0.1, 0.5, len(U))
    noise = 1e-3 * rng.standard_normal((len(U), SIZE, SIZE))
    return (
        np.exp(-np.asarray(U) / 6)[:, None, None] * carrier + heights[:, None, None] * nuisance + noise,
        carrier,
        nuisance,
    )
