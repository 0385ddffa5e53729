"""Reading U by a Gaussian process on the leading components of the Bragg amplitudes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from scipy.linalg import cholesky
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from stm_core.learning.bragg_inputs import BraggConfig
from stm_core.learning.inputs import check_whole
from stm_core.learning.registry import Reading, Solved, register


@dataclass(frozen=True)
class ProcessConfig(BraggConfig):
    """The number of components, at most, that U is a function of."""

    n_components: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("n_components", self.n_components)


@register("bragg_process", ProcessConfig)
class BraggProcess(Solved):
    """Gaussian-process regression of U (Rasmussen and Williams, 2006, algorithm 2.1).

    One length for all components, each scaled by the spread of the first; lengths and noise by scikit-learn's
    marginal likelihood.
    """

    config: ProcessConfig
    origin: torch.Tensor
    components: torch.Tensor
    known: torch.Tensor
    weights: torch.Tensor
    whiten: torch.Tensor
    scale: torch.Tensor

    def solve(self, inputs: torch.Tensor, U: np.ndarray, branch: np.ndarray) -> None:
        flat, values = inputs.flatten(1).double().numpy(), np.asarray(U, dtype=float)
        pca = PCA(min(self.config.n_components, len(flat) - 1), svd_solver="full").fit(flat)
        unit = np.sqrt(pca.explained_variance_[0])
        scores = pca.transform(flat) / unit
        kernel = ConstantKernel(10.0, (1e-2, 1e5)) * RBF(2.0, (1e-1, 1e2)) + WhiteKernel(1e-4, (1e-7, 1.0))
        process = GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=2, random_state=0)
        with warnings.catch_warnings():
            # A bound that is met is an answer here: data without noise has none.
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(scores, values)
        found = cast(Any, process.kernel_)
        noisy = found(scores) + process.alpha * np.eye(len(scores))
        self.keep(
            origin=pca.mean_,
            components=pca.components_,
            known=scores,
            weights=np.asarray(process.alpha_),
            # The largest of them, and of the spread alone.
            whiten=np.linalg.inv(cholesky(noisy, lower=True)).astype(np.float32),
            scale=np.array(
                [
                    unit,
                    values.mean(),
                    values.std(),
                    found.k1.k1.constant_value,
                    found.k1.k2.length_scale,
                    found.k2.noise_level,
                ]
            ),
        )

    def _scores(self, inputs: torch.Tensor) -> torch.Tensor:
        return (inputs.flatten(1).double() - self.origin) @ self.components.T / self.scale[0]

    def features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scores and the length of what they leave out, (n, n_components + 1)."""
        scores = self._scores(inputs)
        rebuilt = self.origin + self.scale[0] * scores @ self.components
        left = (inputs.flatten(1) - rebuilt).norm(dim=1, keepdim=True) / self.scale[0]
        return torch.cat([scores, left], dim=1)

    def read(self, inputs: torch.Tensor) -> Reading:
        _, mean, deviation, amplitude, length, noise = self.scale
        apart = self._scores(inputs)[:, None] - self.known
        kernel = amplitude * torch.exp(-(apart**2).sum(dim=2) / (2 * length**2))
        explained = ((kernel @ self.whiten.double().T) ** 2).sum(dim=1)
        spread = (amplitude + noise - explained).clamp(min=1e-8).sqrt()
        return Reading(mean + deviation * (kernel @ self.weights), deviation * spread)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """U (n,) in eV of normalised amplitudes (n, n_bias, n_stars)."""
        return self.read(inputs).U.to(inputs.dtype)
