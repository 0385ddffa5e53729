"""How sure a reading is: conformal intervals, and whether the input is like those of the training.

The interval is split-conformal (Vovk et al., "Algorithmic learning in a random world", 2005; Lei et al.,
J. Am. Stat. Assoc. 113, 1094 (2018)): the reading ± the spread that the model expects, times the factor below
which a share of the errors of a calibration set lies. It covers as often as promised where new inputs are
exchangeable with the calibration set's, whatever the model; nowhere else. MAPIE computes the same intervals,
but keeps an estimator and its calibration data, where a checkpoint needs the one factor; the tests compare.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cholesky
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

COVERAGE = 0.9
"""Share of readings whose interval is to hold the true U."""

FALSE_ALARM = 0.05
"""Share of readings like the calibration set's that are called out of range."""


@dataclass(frozen=True)
class Prediction:
    """What `predict` returns; every array has shape (n,).

    Attributes
    ----------
    U : numpy float array
        In eV.
    low, high : numpy float array
        Ends of the 90 % interval in eV, within the range that the model can answer; infinite where it was
        never calibrated.
    novelty : numpy float array
        How unlike the calibration set the input is: above 1 is out of range. NaN without calibration.
    """

    U: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    novelty: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.U)

    @property
    def in_range(self) -> NDArray[np.bool_]:
        """Whether the input is like those that the interval was calibrated on; false without calibration."""
        return self.novelty <= 1

    @property
    def verdict(self) -> str:
        """On one reading: "in range", "out of range", or "not calibrated"."""
        if not np.isfinite(self.novelty[0]):
            return "not calibrated"
        return "in range" if self.in_range[0] else "out of range"

    def subset(self, index: Any) -> Prediction:
        """The readings chosen by a boolean mask, integer positions or a slice."""
        return Prediction(self.U[index], self.low[index], self.high[index], self.novelty[index])


@dataclass(frozen=True)
class Familiarity:
    """Mahalanobis distance to the features of the training (Lee et al., arXiv:1807.03888).

    Attributes
    ----------
    mean : torch.Tensor, shape (n_features,)
    whiten : torch.Tensor, shape (n_features, n_features)
        Root of the inverse covariance, shrunk as Ledoit and Wolf do for few samples.
    """

    mean: torch.Tensor
    whiten: torch.Tensor

    @classmethod
    def of(cls, features: torch.Tensor) -> Familiarity:
        """Of training features (n, n_features)."""
        values = features.double().numpy()
        estimate = LedoitWolf().fit(values)
        ridge = 1e-9 * max(float(np.trace(estimate.covariance_)) / values.shape[1], 1e-300)
        root = cholesky(estimate.covariance_ + ridge * np.eye(values.shape[1]), lower=True)
        whiten = np.linalg.inv(root)
        return cls(*(torch.as_tensor(array, dtype=torch.float32) for array in (estimate.location_, whiten)))

    def distance(self, features: torch.Tensor) -> torch.Tensor:
        """Distance (n,) of features (n, n_features)."""
        return ((features.double() - self.mean.double()) @ self.whiten.double().T).norm(dim=1)


@dataclass(frozen=True)
class Calibration:
    """What turns a spread into an interval and a novelty into a verdict.

    Attributes
    ----------
    factor : float
        Half the interval over the model's spread; infinite where too few samples calibrated.
    limit : float
        Novelty up to which an input is in range.
    alone : tuple of (float, float)
        Both for each of the model's biases by itself, where the model reads them so.
    """

    factor: float
    limit: float
    alone: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(
        cls, error: ArrayLike, spread: ArrayLike, novelty: ArrayLike, alone: Iterable[ArrayLike] = ()
    ) -> Calibration:
        """From the errors (eV), spreads (eV) and novelties (n,) of samples that the model never saw.

        `alone` has the three (3, n) for each bias by itself.
        """
        scores = np.abs(np.asarray(error, dtype=float)) / np.asarray(spread, dtype=float)
        # Too few samples promise no interval, but the least familiar of them is a limit all the same.
        limit = min(conformal_quantile(novelty, 1 - FALSE_ALARM), float(np.max(novelty)))
        singles = [cls.of(*np.asarray(each)) for each in alone]
        return cls(
            conformal_quantile(scores, COVERAGE), limit, tuple((one.factor, one.limit) for one in singles)
        )

    def scales(self, inputs: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Factor and limit of each of some inputs (n, ...).

        Where biases are missing (NaN), those of the worst of the measured ones by itself.
        """
        scale = np.tile([self.factor, self.limit], (len(inputs), 1))
        if self.alone:
            missing = np.isnan(inputs).all(axis=-1)
            worst = np.where(missing[..., None], -np.inf, np.array(self.alone)).max(axis=1)
            scale = np.where(missing.any(axis=1)[:, None], worst, scale)
        return scale[:, 0], scale[:, 1]


def conformal_quantile(scores: ArrayLike, share: float) -> float:
    """What a new score stays below with probability `share`; infinite for too few scores (n,)."""
    ordered = np.sort(np.asarray(scores, dtype=float))
    rank = int(np.ceil((len(ordered) + 1) * share))
    return float(ordered[rank - 1]) if rank <= len(ordered) else np.inf


def coverage(prediction: Prediction, U: ArrayLike) -> float:
    """Share of intervals that hold the true U (n,) in eV."""
    true = np.asarray(U, dtype=float)
    return float(np.mean((prediction.low <= true) & (true <= prediction.high)))


def novelty_auroc(inside: Prediction, outside: Prediction) -> float:
    """How well novelty tells outside from inside: area under the ROC curve, 0.5 for a guess."""
    novelty = np.concatenate([inside.novelty, outside.novelty])
    return float(roc_auc_score(np.repeat([0, 1], [len(inside), len(outside)]), novelty))
