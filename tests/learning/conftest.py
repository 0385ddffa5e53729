"""Images with a known answer: a few Bragg-like peaks, of which some carry U and the others are a nuisance."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch

DECAY = 6.0
NUISANCE_SPREAD = 0.3
PEAK_WIDTH = 1.0


@dataclass(frozen=True)
class BraggLike:
    """Six inner peaks of height 0.3 exp(-U / 6 eV), six outer ones of random height, one central peak."""

    size: int

    def _peaks(self, radius: float, turn: float) -> np.ndarray:
        angles = turn + np.arange(6) * np.pi / 3
        y, x = np.mgrid[: self.size, : self.size] - (self.size - 1) / 2
        centres = radius * self.size * np.stack([np.sin(angles), np.cos(angles)], axis=1)
        distance2 = (y - centres[:, :1, None]) ** 2 + (x - centres[:, 1:, None]) ** 2
        return np.exp(-distance2 / (2 * PEAK_WIDTH**2))

    @property
    def carriers(self) -> np.ndarray:
        """(6, size, size): the peaks whose height depends on U."""
        return self._peaks(0.2, 0.0)

    @property
    def nuisance(self) -> np.ndarray:
        """(6, size, size): the peaks whose height does not."""
        return self._peaks(0.42, np.pi / 6)

    def images(self, U: np.ndarray, seed: int = 0, noise: float = 1e-3) -> np.ndarray:
        """(n, size, size) float32 images of U (n,) in eV."""
        rng = np.random.default_rng(seed)
        heights = 0.2 * (1 + NUISANCE_SPREAD * rng.standard_normal((len(U), 6)))
        signal = 0.3 * np.exp(-np.asarray(U) / DECAY)[:, None, None] * self.carriers.sum(axis=0)
        centre = self._peaks(0.0, 0.0)[0]
        nuisance = np.einsum("np,pyx->nyx", heights, self.nuisance)
        return (signal + nuisance + centre + noise * rng.standard_normal(signal.shape)).astype(np.float32)


@pytest.fixture(scope="session")
def bragg_like() -> Callable[[int], BraggLike]:
    return BraggLike


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only wait for each other's threads on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
