"""What a network has to beat: guesses that see no image, and regression on a few principal components."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import StandardScaler

from stm_core.learning.inputs import as_images, as_labelled_images

ALPHAS = tuple(10.0**k for k in range(-6, 2))
GAMMAS = tuple(10.0 ** (k / 2) for k in range(-6, 2))


def constant_guess(U_train: ArrayLike, n: int) -> np.ndarray:
    """The mean of the training U (eV) for each of `n` images, shape (n,)."""
    return np.full(n, np.mean(np.asarray(U_train, dtype=np.float64)))


def nearest_integer(U: ArrayLike, levels: ArrayLike = (0, 1, 2, 3, 4, 5)) -> np.ndarray:
    """The training level (eV) nearest to each true U, shape (n,).

    An oracle: the best that a classifier of the levels could do, given the true U. A regressor that does
    worse has not learned to interpolate.
    """
    values, known = np.asarray(U, dtype=np.float64), np.asarray(levels, dtype=np.float64)
    return known[np.abs(values[:, None] - known).argmin(axis=1)]


class PrincipalComponentRegression(RegressorMixin, BaseEstimator):
    """Ridge or kernel ridge regression of U on the leading principal components of the images.

    Scores are scaled to unit variance, so that the penalty treats all components alike. A penalty or kernel
    width not given is chosen by leaving out one training U at a time (with fewer than three distinct U, 1e-3
    and ``1 / n_components``).

    Parameters
    ----------
    n_components : int
        Number of principal components.
    kernel : {None, "rbf"}
        None for linear ridge, "rbf" for kernel ridge with ``exp(-gamma |x - y|^2)``.
    alpha : float, optional
        Penalty.
    gamma : float, optional
        Inverse squared width of the kernel, in units of the scores' spread.
    """

    def __init__(
        self,
        n_components: int = 3,
        kernel: Literal["rbf"] | None = None,
        alpha: float | None = None,
        gamma: float | None = None,
    ) -> None:
        self.n_components = n_components
        self.kernel = kernel
        self.alpha = alpha
        self.gamma = gamma

    def fit(self, images: ArrayLike, U: ArrayLike) -> PrincipalComponentRegression:
        """Fit to images (n, size, size) and their U (n,) in eV.

        Raises
        ------
        ValueError
            If the kernel is unknown, shapes or values are not accepted, or there are not more images than
            components.
        """
        if self.kernel not in (None, "rbf"):
            raise ValueError(f"kernel is {self.kernel!r}, but must be None or 'rbf'")
        pixels, values = as_labelled_images(images, U, self.n_components + 1, "training")
        self.pca_ = PCA(self.n_components, whiten=True, svd_solver="full")
        scores = self.pca_.fit_transform(pixels.reshape(len(pixels), -1).astype(np.float64))
        self.regression_ = self._regression(scores, values.astype(np.float64))
        return self

    def _regression(self, scores: np.ndarray, U: np.ndarray) -> TransformedTargetRegressor:
        base, grid = (Ridge(), {}) if self.kernel is None else (KernelRidge(kernel="rbf"), {"gamma": GAMMAS})
        # Kernel ridge has no intercept of its own.
        centred = TransformedTargetRegressor(base, transformer=StandardScaler(with_std=False))
        grid = {f"regressor__{name}": options for name, options in {"alpha": ALPHAS, **grid}.items()}
        given: dict[str, Any] = {
            f"regressor__{name}": getattr(self, name)
            for name in ("alpha", "gamma")
            if f"regressor__{name}" in grid and getattr(self, name) is not None
        }
        grid = {name: options for name, options in grid.items() if name not in given}
        if np.unique(U).size < 3:
            defaults = {"regressor__alpha": 1e-3, "regressor__gamma": 1 / self.n_components}
            given, grid = {**{name: defaults[name] for name in grid}, **given}, {}
        centred.set_params(**given)
        if not grid:
            return centred.fit(scores, U)
        search = GridSearchCV(centred, grid, scoring="neg_mean_absolute_error", cv=LeaveOneGroupOut())
        return search.fit(scores, U, groups=U).best_estimator_

    def predict(self, images: ArrayLike) -> np.ndarray:
        """U (n,) in eV of images (n, size, size).

        Raises
        ------
        ValueError
            If shapes or values are not accepted.
        """
        pixels = as_images(images)
        return self.regression_.predict(
            self.pca_.transform(pixels.reshape(len(pixels), -1).astype(np.float64))
        )


@dataclass(frozen=True)
class Baseline:
    """A way to answer that needs no network.

    Attributes
    ----------
    title : str
        What tables call it.
    read : callable
        From training images (n, size, size) and their U (n,), and test images (m, size, size) and their
        U (m,), which only an oracle uses, to U (m,) in eV.
    """

    title: str
    read: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _neighbours(images: np.ndarray, U: np.ndarray, unseen: np.ndarray, true: np.ndarray) -> np.ndarray:
    model = KNeighborsRegressor(min(5, len(images)), weights="distance")
    return model.fit(images.reshape(len(images), -1), U).predict(unseen.reshape(len(unseen), -1))


BASELINES: dict[str, Baseline] = {
    "constant": Baseline("mean of the training U", lambda x, U, y, true: constant_guess(U, len(y))),
    "rounding": Baseline(
        "rounding to a trained U (oracle)", lambda x, U, y, true: nearest_integer(true, np.unique(U))
    ),
    "ridge": Baseline(
        "3 PCs + ridge", lambda x, U, y, true: PrincipalComponentRegression(3).fit(x, U).predict(y)
    ),
    "kernel_ridge": Baseline(
        "3 PCs + kernel ridge",
        lambda x, U, y, true: PrincipalComponentRegression(3, "rbf").fit(x, U).predict(y),
    ),
    "neighbours": Baseline("nearest neighbours", _neighbours),
}
"""What every model has to beat, on linear pictures."""
