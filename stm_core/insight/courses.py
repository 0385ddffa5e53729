"""Least squares of many courses against U at once: polynomials, and polynomials with one bend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EXPONENTS = (1.0, 0.5)
FEWEST = 6  # values of U: three parameters of a bend, two of a line, and one to tell the scatter from
SIDE = 3  # values of U on either side of a bend, where there are enough: fewer would be outliers
N_BREAKS = 200
HIGHEST_DEGREE = 10
_LEAST_NORM = 1e-6  # of a bend beside a polynomial: below, it is one


@dataclass(frozen=True)
class Fits:
    """The best smooth and the best bent model of each of m courses.

    Attributes
    ----------
    smooth, bent : ndarray, shape (m, n_U)
        The two fitted curves.
    degree, place, power : ndarray of int, shape (m,)
        Of the bent one: degree of its polynomial, and positions in `Courses.breaks` and in `EXPONENTS`.
    variance : ndarray, shape (m, 1)
        Of the scatter about the most flexible model, at least the square of the precision.
    evidence : ndarray, shape (m,)
        By how much the bent model's criterion, squared residual over variance plus log(n_U) for each
        parameter, is lower than the smooth one's.
    gain : ndarray, shape (m,)
        Share of the smooth model's squared residual that the bent one removes.
    """

    smooth: np.ndarray
    bent: np.ndarray
    degree: np.ndarray
    place: np.ndarray
    power: np.ndarray
    variance: np.ndarray
    evidence: np.ndarray
    gain: np.ndarray


class Courses:
    """Models of courses at given values of U.

    Parameters
    ----------
    U : ndarray, shape (n_U,)
        Distinct and ascending, eV; at least `FEWEST`.

    Attributes
    ----------
    breaks : ndarray, shape (n_breaks,)
        Places of a bend that are tried, eV.
    """

    def __init__(self, U: np.ndarray) -> None:
        # A bend takes three parameters more, and half of the values are kept for the scatter.
        highest = int(np.clip((len(U) - 4) // 2, 1, HIGHEST_DEGREE))
        x = 2 * (U - U[0]) / np.ptp(U) - 1
        side = min(SIDE, (len(U) - 2) // 2)
        self.breaks = np.linspace(U[side - 1], U[-side], N_BREAKS)
        self.basis = np.linalg.qr(np.polynomial.legendre.legvander(x, highest))[0].T
        ramp = np.maximum(0, U - self.breaks[:, None])
        terms = np.stack([np.where(ramp > 0, ramp**power, 0.0) for power in EXPONENTS])
        terms /= np.linalg.norm(terms, axis=-1, keepdims=True)
        self.bends = {degree: self._beside(terms, degree) for degree in range(1, highest + 1)}

    def _beside(self, terms: np.ndarray, degree: int) -> np.ndarray:
        """Unit vectors (n_powers, n_breaks, n_U) of the part of each bend that no polynomial explains."""
        lower = self.basis[: degree + 1]
        rest = terms - (terms @ lower.T) @ lower
        norm = np.linalg.norm(rest, axis=-1, keepdims=True)
        return np.divide(rest, norm, out=np.zeros_like(rest), where=norm > _LEAST_NORM)

    def _explained(self, scores: np.ndarray, degree: int) -> tuple[np.ndarray, np.ndarray]:
        """What a polynomial leaves of courses, and its projections (m, n_powers, n_breaks) on bends."""
        lower = self.basis[: degree + 1]
        rest = scores - (scores @ lower.T) @ lower
        return rest, np.moveaxis(self.bends[degree] @ rest.T, -1, 0)

    def fit(self, scores: np.ndarray, precision: float) -> Fits:
        """The best smooth and the best bent model of courses (m, n_U).

        Parameters
        ----------
        scores : ndarray, shape (m, n_U)
        precision : float
            Smallest error of a score, in its units.
        """
        rows, n = np.arange(len(scores)), scores.shape[1]
        left, best, removed, bent = [], [], [], []
        for degree, bends in self.bends.items():
            rest, projections = self._explained(scores, degree)
            flat = projections.reshape(len(scores), -1)
            index = np.abs(flat).argmax(axis=1)
            size = flat[rows, index]
            left.append(np.sum(rest**2, axis=1))
            best.append(index)
            removed.append(size**2)
            bent.append((scores - rest) + size[:, None] * bends.reshape(-1, n)[index])
        unbent, smallest = np.stack(left), np.stack(left) - np.stack(removed)
        degrees = np.arange(1, len(left) + 1)[:, None]
        variance = np.maximum(smallest[-1] / (n - len(left) - 4), precision**2)
        penalty = np.log(n) * degrees
        smooth, kinked = unbent / variance + penalty, smallest / variance + penalty
        one, other = smooth.argmin(axis=0), kinked.argmin(axis=0)
        place = np.stack(best)[other, rows]
        lower = [self.basis[: degree + 2] for degree in range(len(left))]
        curves = np.stack([(scores @ each.T) @ each for each in lower])
        with np.errstate(invalid="ignore"):
            gain = np.nan_to_num(1 - smallest[other, rows] / unbent[one, rows])
        return Fits(
            curves[one, rows],
            np.stack(bent)[other, rows],
            other + 1,
            place % len(self.breaks),
            place // len(self.breaks),
            variance[:, None],
            smooth[one, rows] - kinked[other, rows],
            np.clip(gain, 0, 1),
        )
