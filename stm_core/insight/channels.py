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


def variance_share(values: ArrayLike, groups: ArrayLike) -> float:
    """Share of the variance of `values` that lies between the groups, beyond what noise would put there.

    Kelley's ε² = 1 − (1 − η²)(n − 1)/(n − n_groups), with η² the share between the groups' means (PNAS 21,
    554 (1935)). Many groups of few values take a large share of pure noise, (n_groups − 1)/(n − 1) of η²; ε²
    is zero there on average, so that labels with many values and labels with few can be compared. It is one
    where the group decides the value, and below zero where groups differ less than noise makes them.

    Parameters
    ----------
    values : array_like, shape (n,)
    groups : array_like, shape (n,)
        Any labels, for example U, the branch or the bias; fewer groups than values.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, all values are the same, or no group has two of them.
    """
    array, labels = np.asarray(values, dtype=np.float64), np.asarray(groups)
    if array.ndim != 1 or labels.shape != array.shape or not np.isfinite(array).all():
        raise ValueError(
            "values and groups must be of one shape (n,) and values finite, "
            f"not {array.shape} and {labels.shape}"
        )
    deviation = array - array.mean()
    total = np.sum(deviation**2)
    if not total > 0:
        raise ValueError("all values are the same, so they have no variance to share out")
    _, group, counts = np.unique(labels, return_inverse=True, return_counts=True)
    free = len(array) - len(counts)
    if free == 0:
        raise ValueError(
            f"each of {len(array)} values is a group of its own; one group needs two values at least"
        )
    means = np.bincount(group, weights=deviation) / counts
    return float(1 - (1 - np.sum(counts * means**2) / total) * (len(array) - 1) / free)


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
