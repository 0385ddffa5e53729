"""Predicting U and measuring how well."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from stm_core.learning.checkpoints import Regressor, load_checkpoint
from stm_core.learning.registry import Model
from stm_core.learning.training import FitResult, read_in_batches
from stm_core.learning.uncertainty import Prediction

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


def predict(trained: Trained, inputs: ArrayLike) -> Prediction:
    """U of inputs, with a 90 % interval and a verdict.

    Parameters
    ----------
    trained : Regressor, FitResult or path-like
        What `fit` returned, or the path of its checkpoint.
    inputs : array_like, shape (n, ...)
        Made as those of the training were, by the `samples` or `of_ldos` of the model's configuration.

    Returns
    -------
    Prediction

    Raises
    ------
    ValueError
        If shapes or values are not accepted or too large for a finite U, or the checkpoint is damaged.
    FileNotFoundError
        If there is no such checkpoint.
    """
    regressor = as_regressor(trained)
    was_training = regressor.training
    regressor.eval()
    reading = read_in_batches(regressor, inputs)
    regressor.train(was_training)
    U, spread = (values.double().numpy() for values in (reading.U, reading.spread))
    if not np.isfinite(U).all():
        raise ValueError("the model gives no finite U here; the inputs' values are too large for it")
    calibration = regressor.calibration
    if calibration is None or reading.novelty is None:
        unknown = np.full(len(U), np.nan)
        return Prediction(U, np.full(len(U), -np.inf), np.full(len(U), np.inf), unknown)
    factor, limit = calibration.scales(np.asarray(inputs))
    model = regressor.model
    ends = model.limits if isinstance(model, Model) else (-np.inf, np.inf)
    low, high = (np.clip(U + sign * factor * spread, *ends) for sign in (-1, 1))
    return Prediction(U, low, high, reading.novelty.double().numpy() / limit)


@dataclass(frozen=True)
class Metrics:
    """Errors of predicted U.

    Attributes
    ----------
    mae, rmse : float
        Mean absolute and root mean squared error, eV.
    median, p95 : float
        Median and 95th percentile of the absolute error, eV.
    r2 : float
        Share of the variance of U explained; NaN if all true U are the same.
    bias : float
        Mean of predicted minus true U, eV.
    n : int
        Number of predictions.
    """

    mae: float
    rmse: float
    median: float
    p95: float
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
    middle, most = np.quantile(np.abs(predicted - true), [0.5, 0.95])
    return Metrics(
        mae=float(mean_absolute_error(true, predicted)),
        rmse=float(root_mean_squared_error(true, predicted)),
        median=float(middle),
        p95=float(most),
        r2=float(r2_score(true, predicted)) if np.ptp(true) > 0 else float("nan"),
        bias=float(np.mean(predicted - true)),
        n=len(true),
    )
