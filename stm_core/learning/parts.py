"""Which samples train, stop, calibrate and test a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stm_core.data import continuous_protocol, paper_protocol, random_image_split

PROTOCOLS = ("paper", "continuous", "images", "states")
# A tenth of a small sweep, as the original tests on, would be a handful of pictures.
IMAGE_FRACTIONS = (0.6, 0.2, 0.2)
_FRACTIONS = (0.6, 0.2, 0.2)
_SAME_U = 6e-6  # eV: the list has five decimals

# fmt: off
PAPER_U = (
    0.02335, 0.59711, 0.66178, 0.72272, 0.82341, 0.83316, 0.88271, 1.07074, 1.19060, 1.56432,
    1.56952, 1.60495, 1.63091, 2.21417, 2.24803, 2.27756, 2.28210, 2.35727, 2.40456, 2.43271,
    2.46689, 2.48054, 2.60812, 2.68366, 2.68630, 2.74485, 2.81588, 2.82111, 2.87098, 2.95031,
    3.04796, 3.06779, 3.06899, 3.08776, 3.11791, 3.12906, 3.16400, 3.30523, 3.32813, 3.38632,
    3.54631, 3.76988, 3.78046, 3.99258, 4.13606, 4.17963, 4.19387, 4.30023, 4.31255, 4.42405,
    4.53071, 5.02509, 5.20748, 5.30786, 5.33826, 5.38743, 5.45172, 5.88439, 5.89673, 5.93652,
)
"""The sixty values of U in eV that the original study is tested on (arXiv:2602.18890)."""
# fmt: on


@dataclass(frozen=True, eq=False)
class Parts:
    """Boolean masks (n,) over samples, no two of which share one."""

    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    calibration: NDArray[np.bool_]
    test: NDArray[np.bool_]

    @property
    def known(self) -> NDArray[np.bool_]:
        """What a model may learn from: training and validation."""
        return self.train | self.validation

    def of(self, index: ArrayLike) -> Parts:
        """The masks of samples at these positions, which may repeat."""
        chosen = np.asarray(index)
        return Parts(*(mask[chosen] for mask in (self.train, self.validation, self.calibration, self.test)))


def parts(U: ArrayLike, protocol: str = "paper", seed: int = 0, states: ArrayLike | None = None) -> Parts:
    """Split samples by their U, so that no two parts share a value.

    Parameters
    ----------
    U : array_like, shape (n,)
        In eV, one for each sample or picture.
    protocol : {"paper", "continuous", "images", "states"}
        "paper" trains on integer U up to 5 eV and validates on none, tests on all of the original's sixty
        values that there are and calibrates on the other U within the trained range, which the sweep drew at
        random; without others, on nothing. Where there are none of the sixty, every third fraction in that
        range calibrates and the others test. "continuous" shuffles all values. "images" shuffles
        single pictures at integer U, so that its parts do share values (`random_image_split`), and
        calibrates on none. "states" does the same with whole states.
    seed : int
        Of the shuffles.
    states : array_like of int, shape (n,), optional
        For "states": pictures of equal number stay together. Without, each is its own state.

    Returns
    -------
    Parts

    Raises
    ------
    ValueError
        If the protocol is unknown, or as `paper_protocol`, `continuous_protocol` and `random_image_split`.
    """
    values = np.asarray(U, dtype=float)
    nothing = np.zeros(values.shape, dtype=bool)
    if protocol in ("images", "states"):
        together = states if protocol == "states" else None
        split = random_image_split(values, seed, IMAGE_FRACTIONS, groups=together)
        return Parts(split.train, split.validation, nothing, split.test)
    if protocol == "continuous":
        split = continuous_protocol(values, seed, _FRACTIONS)
        stops = np.isin(values, np.unique(values[split.validation])[::3])
        return Parts(split.train, stops, split.validation & ~stops, split.test)
    if protocol != "paper":
        raise ValueError(f"protocol is {protocol!r}, but must be one of {', '.join(PROTOCOLS)}")
    split = paper_protocol(values)
    within = split.test & (values < values[split.train].max())
    sixty = split.test & (np.abs(values[:, None] - PAPER_U) < _SAME_U).any(axis=1)
    if sixty.any():
        return Parts(split.train, split.validation, within & ~sixty, sixty)
    third = np.isin(values, np.unique(values[within])[1::3])
    return Parts(split.train, split.validation, third, split.test & ~third)
