"""Predicting U and measuring how well."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from stm_core.learning.checkpoints import Regressor, as_images, load_checkpoint
from stm_core.learning.loop import EVALUATION_BATCH
from stm_core.learning.training import FitResult

Trained = Regressor | FitResult | str | os.PathLike[str]


def as_regressor(trained: Trained) -> Regressor:
    """The regressor in a fit's result or a checkpoint file, or `trained` itself if it is one.

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_checkpoint` does.
    """
    if isinstance(trained, FitResult):
        return trained.model
    return trained if isinstance(trained, Regressor) else load_checkpoint(trained)


def predict(trained: Trained, images: ArrayLike) -> np.ndarray:
    """U of images.

    Parameters
    ----------
    trained : Regressor, FitResult or path-like
        What `fit` returned, or the path of its checkpoint.
    images : array_like, shape (n, size, size)
        Images rendered as those of the training were.

    Returns
    -------
    ndarray of float64, shape (n,)
        U in eV.

    Raises
    ------
    ValueError
        If shapes or values are not accepted, or the checkpoint is damaged.
    FileNotFoundError
        If there is no such checkpoint.
    """
    regressor = as_regressor(trained)
    batches = torch.from_numpy(as_images(images))[:, None].split(EVALUATION_BATCH)
    was_training = regressor.training
    regressor.eval()
    with torch.inference_mode():
        U = torch.cat([regressor(batch.to(regressor.mean.device)) for batch in batches])
    regressor.train(was_training)
    return U.cpu().numpy().astype(np.float64)


@dataclass(frozen=True)
class Metrics:
    """Errors of predicted U.

    Attributes
    ----------
    mae, rmse : float
        Mean absolute and root mean squared error, eV.
    r2 : float
        Share of the variance of U explained; NaN if all true U are the same.
    bias : float
        Mean of predicted minus true U, eV.
    n : int
        Number of predictions.
    """

    mae: float
    rmse: float
    r2: float
    bias: float
    n: int

    def as_dict(self) -> dict[str, float]:
        """The attributes by name."""
        return asdict(self)


def evaluate(U_true: ArrayLike, U_pred: ArrayLike) -> Metrics:
    """Compare predicted with true U.

    Parameters
    ----------
    U_true, U_pred : array_like, shape (n,)
        In eV.

    Raises
    ------
    ValueError
        If the shapes differ or are not (n,) with n of at least 1, or a value is not finite.
    """
    true, predicted = np.asarray(U_true, dtype=np.float64), np.asarray(U_pred, dtype=np.float64)
    if true.ndim != 1 or true.shape != predicted.shape or len(true) == 0:
        raise ValueError(
            f"true and predicted U must both have shape (n,) with n of at least 1, "
            f"not {true.shape} and {predicted.shape}"
        )
    if not (np.isfinite(true).all() and np.isfinite(predicted).all()):
        raise ValueError(
            "true and predicted U must be finite values in eV, but NaN or infinite ones are among them"
        )
    return Metrics(
        mae=float(mean_absolute_error(true, predicted)),
        rmse=float(root_mean_squared_error(true, predicted)),
        r2=float(r2_score(true, predicted)) if np.ptp(true) > 0 else float("nan"),
        bias=float(np.mean(predicted - true)),
        n=len(true),
    )
