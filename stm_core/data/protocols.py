"""Which samples train a model and which test it.

Images of one state under the point group of its cell carry the same U, so a split by U never parts them; a
split by image does, unless it is told which belong together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_INTEGER = 1e-6  # eV


@dataclass(frozen=True, eq=False)
class Split:
    """Boolean masks (n,) over samples. Only `random_image_split` lets two of them share a value of U."""

    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    test: NDArray[np.bool_]

    def parted(self, groups: ArrayLike) -> NDArray[np.int64]:
        """Groups that two of the masks share, whose members are thus no independent test.

        Parameters
        ----------
        groups : (n,) int array
            Equal numbers for what belongs together, as `state_labels` and `sample_labels` give them.

        Returns
        -------
        (n_parted,) int array
        """
        labels = np.asarray(groups)
        names, place = np.unique(labels, return_inverse=True)
        masks = (self.train, self.validation, self.test)
        sides = [np.bincount(place[mask], minlength=names.size) > 0 for mask in masks]
        return np.asarray(names[np.sum(sides, axis=0) > 1])


def paper_protocol(
    U: ArrayLike, leave_out: float | Sequence[float] | None = None, highest: float = 5.0
) -> Split:
    """Train on integer U, test on all other U (arXiv:2602.18890, held-out set).

    Parameters
    ----------
    U : (n,) float array
        In eV, one for each sample or image.
    leave_out : float or sequence of floats, optional
        Integer U set aside to stop training early; none by default.
    highest : float
        Largest U trained on, in eV; larger integers are in no set.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        If there is nothing to train on, or ``leave_out`` is not among the integers.
    """
    U = np.asarray(U, dtype=float)
    integer = np.abs(U - np.rint(U)) < _INTEGER
    train = integer & (U <= highest + _INTEGER)
    validation = np.zeros_like(train)
    for left_out in [] if leave_out is None else np.atleast_1d(leave_out):
        chosen = train & (np.abs(U - left_out) < _INTEGER)
        if not chosen.any():
            choices = ", ".join(f"{value:g}" for value in np.unique(U[train]))
            raise ValueError(f"leave_out must be among the training values {choices} eV, not {left_out:g}")
        validation |= chosen
    train = train & ~validation
    if not train.any():
        raise ValueError(f"the paper protocol needs samples at integer U up to {highest:g} eV to train on")
    return Split(train, validation, ~integer)


def continuous_protocol(
    U: ArrayLike, seed: int = 0, fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
) -> Split:
    """Shuffle the distinct values of U into training, validation and test.

    Parameters
    ----------
    U : (n,) float array
        In eV.
    seed : int
        Of the shuffle.
    fractions : three floats
        Shares of the values of U; they add up to one.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        If the fractions do not add up to one, or a set would be empty.
    """
    _check_fractions(fractions)
    U = np.asarray(U, dtype=float)
    values = np.random.default_rng(seed).permutation(np.unique(U))
    cuts = np.rint(np.cumsum(fractions)[:2] * len(values)).astype(int)
    parts = np.split(values, cuts)
    if min(map(len, parts)) == 0:
        raise ValueError(f"{len(values)} distinct values of U are too few for fractions {fractions}")
    train, validation, test = (np.isin(U, part) for part in parts)
    return Split(train, validation, test)


def random_image_split(
    U: ArrayLike,
    seed: int = 0,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    highest: float = 5.0,
    groups: ArrayLike | None = None,
) -> Split:
    """Shuffle the single images of integer U into training, validation and test, as the original study did.

    Siblings of every test image, of the same U and often of the same Hartree-Fock state, are in training.
    The test therefore measures how well the trained levels are recognised, not how well U is read.

    Parameters
    ----------
    U : (n,) float array
        In eV, one for each image.
    seed : int
        Of the shuffle. It depends on the images of integer U alone, whatever others stand between them.
    fractions : three floats
        Shares of those images; they add up to one.
    highest : float
        Largest U used, in eV.
    groups : (n,) int array, optional
        Images of equal number stay together, as `state_labels` numbers the samples they are of; every image
        is its own by default. The fractions are then those of the groups.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        If the fractions are not positive or do not add up to one, a set would be empty, or ``groups`` does
        not have one number for each image.
    """
    _check_fractions(fractions)
    U = np.asarray(U, dtype=float)
    labels = np.arange(U.size) if groups is None else np.asarray(groups)
    if labels.shape != U.shape:
        raise ValueError(f"groups has shape {labels.shape}; one number for each of {U.size} images is needed")
    used = (np.abs(U - np.rint(U)) < _INTEGER) & (U <= highest + _INTEGER)
    _, first = np.unique(labels[used], return_index=True)
    shuffled = np.random.default_rng(seed).permutation(labels[used][np.sort(first)])
    cuts = np.rint(np.cumsum(fractions)[:2] * shuffled.size).astype(int)
    parts = np.split(shuffled, cuts)
    if min(map(len, parts)) == 0:
        kind = "images" if groups is None else "groups of images"
        raise ValueError(f"{shuffled.size} {kind} at integer U are too few for fractions {fractions}")
    train, validation, test = (used & np.isin(labels, part) for part in parts)
    return Split(train, validation, test)


def _check_fractions(fractions: tuple[float, float, float]) -> None:
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"the three fractions must be positive and add up to one, not {fractions}")
