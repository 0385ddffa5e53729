"""What a score of the images follows: U, the Hartree-Fock branch, the bias or an order parameter."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata


def group_means(values: ArrayLike, *labels: ArrayLike) -> tuple[np.ndarray, list[np.ndarray]]:
    """Means of the values that share all labels.

    Parameters
    ----------
    values : array_like, shape (n, ...)
    *labels : array_like, shape (n,)
        At least one.

    Returns
    -------
    means : ndarray, shape (n_groups, ...)
        In ascending order of the labels, the first one slowest.
    labels : list of ndarray, shape (n_groups,)
        The labels of each group.

    Raises
    ------
    ValueError
        If there is no label, or a label does not have one entry per value.
    """
    array = np.asarray(values)
    columns = [np.asarray(label) for label in labels]
    if not columns or any(column.shape != array.shape[:1] for column in columns):
        shapes = ", ".join(str(column.shape) for column in columns) or "none"
        raise ValueError(f"{len(array)} values need labels of shape ({len(array)},), not {shapes}")
    codes = [np.unique(column, return_inverse=True)[1] for column in columns]
    _, first, group = np.unique(np.stack(codes), axis=1, return_index=True, return_inverse=True)
    means = np.stack([array[group.ravel() == g].mean(axis=0) for g in range(len(first))])
    return means, [column[first] for column in columns]


def variance_share(values: ArrayLike, groups: ArrayLike, *others: ArrayLike) -> float:
    """Share of the variance of `values` that `groups` decide, beyond `others` and beyond what noise gives.

    Values are fitted by a sum of one term for each label. With the squared residuals R of all labels and R'
    of the others alone, the share is (R' − R − d s²)/S, where d parameters of the groups remove d s² from
    noise of variance s² = R/(degrees of freedom left), and S is the sum of squares. Without others this is
    Kelley's ε² = 1 − (1 − η²)(n − 1)/(n − n_groups) (PNAS 21, 554 (1935)), where η² is the share between the
    groups' means. Labels with many values and labels with few can be compared: one where the group decides
    the value, zero on average where it does not matter.

    Parameters
    ----------
    values : array_like, shape (n,)
    groups, *others : array_like, shape (n,)
        Any labels, for example U, the branch or the bias; together of fewer parameters than values.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, all values are the same, or the labels leave nothing over.
    """
    array, labels = np.asarray(values, dtype=np.float64), [np.asarray(each) for each in (*others, groups)]
    if array.ndim != 1 or any(each.shape != array.shape for each in labels) or not np.isfinite(array).all():
        raise ValueError(
            "values and groups must be of one shape (n,) and values finite, "
            f"not {array.shape} and {', '.join(str(each.shape) for each in labels)}"
        )
    total = np.sum((array - array.mean()) ** 2)
    if not total > 0:
        raise ValueError("all values are the same, so they have no variance to share out")
    (left, rank), (without, lower) = (_left_by(array, each) for each in (labels, labels[:-1]))
    if rank == len(array):
        raise ValueError(
            f"the labels tell all {len(array)} values apart, so that none are left for the noise"
        )
    return float((without - left - (rank - lower) * left / (len(array) - rank)) / total)


def _left_by(values: np.ndarray, labels: list[np.ndarray]) -> tuple[float, int]:
    """Squared residual of a sum of one term for each label, and its number of parameters."""
    columns = [np.ones((len(values), 1))] + [
        (each[:, None] == np.unique(each)).astype(float) for each in labels
    ]
    design = np.hstack(columns)
    solution, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    return float(np.sum((values - design @ solution) ** 2)), int(rank)


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float:
    """Spearman's correlation of two arrays of one shape, in [-1, 1]; 0 where either does not vary.

    Raises
    ------
    ValueError
        If the shapes differ, there are fewer than two values, or a value is not finite.
    """
    arrays = [np.asarray(array, dtype=np.float64) for array in (one, other)]
    if arrays[0].shape != arrays[1].shape or arrays[0].size < 2:
        raise ValueError(
            "arrays of one shape with at least two values are needed, "
            f"not {arrays[0].shape} and {arrays[1].shape}"
        )
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("an array contains NaN or infinite values; every value must be finite")
    ranks = [rankdata(array.ravel()) for array in arrays]
    deviations = [rank - rank.mean() for rank in ranks]
    norm = np.sqrt(np.prod([np.sum(deviation**2) for deviation in deviations]))
    return float(np.clip(np.dot(*deviations) / norm, -1, 1)) if norm > 0 else 0.0
