"""Readers of Bragg amplitudes put to the same tests as networks of pictures, star by star."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stm_core.insight.attribution import group_attribution
from stm_core.insight.removal import Faithfulness
from stm_core.learning.evaluation import Trained, predict

COUNTS = (1, 2, 4)
"""Numbers of stars that are exchanged."""


def star_reader(trained: Trained, shape: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
    """How a model of Bragg amplitudes of `shape` (n_bias, n_stars) reads flat ones (n, n_features)."""
    return lambda features: predict(trained, np.reshape(features, (-1, *shape))).U


def star_contributions(
    trained: Trained, inputs: ArrayLike, baseline: ArrayLike, *, steps: int = 16
) -> NDArray:
    """What each star adds to a model's reading since the baseline (`group_attribution`).

    Parameters
    ----------
    trained : Regressor, FitResult or path-like
        A model of Bragg amplitudes.
    inputs, baseline : array_like, shape (n_bias, n_stars)
        What to explain, and what nothing is attributed to.
    steps : int
        Gauss-Legendre points on the path.

    Returns
    -------
    ndarray, shape (n_stars,)
        Signed, in eV.
    """
    own, start = np.asarray(inputs), np.asarray(baseline)
    groups = np.broadcast_to(np.arange(own.shape[1]), own.shape)
    read = star_reader(trained, own.shape)
    return group_attribution(read, own.ravel(), start.ravel(), groups.ravel(), steps=steps)


def exchanged(features: ArrayLike, other: ArrayLike, groups: ArrayLike, chosen: ArrayLike) -> NDArray:
    """Features (n, n_features) with the chosen groups (n, n_groups) taken from `other`, exactly."""
    own, theirs, group = np.asarray(features), np.asarray(other), np.asarray(groups)
    return np.where(np.asarray(chosen, dtype=bool)[:, group], theirs, own)


def star_deletion_insertion(
    read: Callable[[np.ndarray], np.ndarray],
    features: ArrayLike,
    reference: ArrayLike,
    relevance: ArrayLike,
    groups: ArrayLike,
    *,
    counts: Sequence[int] = COUNTS,
    n_random: int = 20,
    seed: int = 0,
) -> tuple[Faithfulness, Faithfulness]:
    """Turn one sample into another star by star, the most relevant ones first, and back.

    As `deletion_insertion` does with pixels. The random companions take stars in random order.

    Parameters
    ----------
    read : callable
        From features (n, n_features) to U (n,) in eV.
    features, reference : array_like, shape (n_features,)
        The sample explained, and for example one of another U.
    relevance : array_like, shape (n_groups,)
        Magnitudes count.
    groups : array_like of int, shape (n_features,)
        From 0: to which star each feature belongs.
    counts : sequence of int
        Numbers of stars to exchange, each below that of all.
    n_random, seed : int
        Number of random orders, and their seed.

    Returns
    -------
    deletion, insertion : Faithfulness

    Raises
    ------
    ValueError
        If shapes do not match or a count is not accepted.
    """
    own, other, group = np.asarray(features), np.asarray(reference), np.asarray(groups)
    weight = np.abs(np.asarray(relevance, dtype=float))
    if own.shape != other.shape or own.shape != group.shape or weight.shape != (group.max() + 1,):
        raise ValueError(
            f"features {own.shape}, reference {other.shape}, groups {group.shape} and relevance "
            f"{weight.shape} do not match."
        )
    if not all(0 < count < weight.size for count in counts) or n_random < 1:
        raise ValueError(f"counts {tuple(counts)} must lie between 0 and {weight.size}, n_random be above 0.")
    rng = np.random.default_rng(seed)
    orders = [np.lexsort((rng.random(weight.size), -weight))]
    orders += [rng.permutation(weight.size) for _ in range(n_random)]
    rank = np.argsort(np.array(orders), axis=1)
    chosen = np.concatenate([rank < count for count in counts])
    results = []
    for before, after in ((own, other), (other, own)):
        readings = read(np.concatenate([before[None], exchanged(before, after, group, chosen)]))
        change = np.abs(readings[1:] - readings[0]).reshape(len(counts), -1).T
        results.append(Faithfulness(np.array(counts) / weight.size, change[0], change[1:]))
    return results[0], results[1]
