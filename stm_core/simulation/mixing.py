"""Convergence acceleration of the self-consistent field."""

from collections import deque

import numpy as np
import torch

from .bloch import BlochMatrices, staircase

Packed = list[torch.Tensor]

_NOISE = 6e-7  # relative to the Fock matrix: what a single-precision eigensolver leaves in F[ρ]


class FockDIIS:
    """Direct inversion in the iterative subspace on the change of the Fock matrix.

    The density matrix of F_m gives a new Fock matrix F[ρ(F_m)], and r_m = F[ρ(F_m)] - F_m vanishes at
    self-consistency. The next one is Σ_m c_m F[ρ(F_m)] with Σ_m c_m = 1, the coefficients minimising
    ‖Σ_m c_m r_m‖ (Pulay, Chem. Phys. Lett. 73, 393 (1980), eqs. 4-6). Between occupied and empty
    states r is the commutator [F, ρ] of Pulay's later choice, without a matrix product.

    Iterations in single precision carry noise of a known size; Σ_m c_m² times its square joins the
    norm, so that they still teach the response but no longer the last digits.

    Of each past iteration it keeps r and the last change of F[ρ], lower triangles in single
    precision: both shrink with the residual, and so does their rounding.

    Parameters
    ----------
    history : int
        Number of Fock matrices combined.
    """

    def __init__(self, history: int = 10) -> None:
        if history < 1:
            raise ValueError(f"the history must hold at least one Fock matrix, not {history}")
        self.history = history
        self._newest: BlochMatrices | None = None
        self._changes: deque[list[Packed]] = deque(maxlen=max(history - 1, 1))
        self._errors: deque[list[Packed]] = deque(maxlen=history)
        self._noise: deque[float] = deque(maxlen=history)
        self._overlap = np.zeros((0, 0))

    @property
    def extrapolated(self) -> bool:
        """Whether the last result mixed more than one Fock matrix."""
        return len(self._errors) > 1

    def __call__(self, fock: BlochMatrices, previous: BlochMatrices) -> BlochMatrices:
        """Extrapolated Fock matrix.

        Parameters
        ----------
        fock, previous : BlochMatrices
            Fock matrix built from the density matrix, and the one whose density matrix that was, in
            eV. Of the latter only the lower triangles are read.

        Returns
        -------
        BlochMatrices
            Fock matrix to diagonalise next; only its lower triangles are good.
        """
        self._errors.append(_difference(fock, previous))
        if self._newest is not None:
            self._changes.append(_difference(fock, self._newest))
        self._newest = fock
        single = fock.precision == torch.float32
        self._noise.append(_NOISE**2 * fock.trace_product(fock) if single else 0.0)
        self._extend_overlap(fock.reduction.weights)
        # Σ_m c_m F_m = F_n - Σ_l (Σ_{m<l} c_m) (F_l - F_{l-1})
        shares = np.cumsum(self._coefficients())[:-1].tolist()
        changes = list(self._changes)[len(self._changes) - len(shares) :]
        result = fock.map(torch.clone)
        for b in range(len(fock)):
            for step, (rows, stop) in enumerate(staircase(fock[b].shape[-1])):
                for share, change in zip(shares, changes, strict=True):
                    result[b][rows, :stop].sub_(change[b][step], alpha=share)
        return result

    def _extend_overlap(self, weights: np.ndarray) -> None:
        newest = self._errors[-1]
        row = [
            sum(w * _dot(a, b) for w, a, b in zip(weights, error, newest, strict=True))
            for error in self._errors
        ]
        n = len(row)
        overlap = np.empty((n, n))
        old = len(self._overlap) - n + 1
        overlap[: n - 1, : n - 1] = self._overlap[old:, old:]
        overlap[-1] = overlap[:, -1] = row
        self._overlap = overlap

    def _coefficients(self) -> np.ndarray:
        # Scaling to a unit diagonal keeps the system solvable as the errors shrink by many orders.
        overlap = self._overlap + np.diag(self._noise)
        if overlap[-1, -1] == 0:  # nothing left to mix
            return np.eye(len(overlap))[-1]
        scale = np.sqrt(np.diag(overlap))
        normalised = overlap / np.outer(scale, scale)
        weights = np.linalg.lstsq(normalised, 1 / scale, rcond=1e-12)[0] / scale
        return np.asarray(weights / weights.sum())


def _difference(a: BlochMatrices, b: BlochMatrices) -> list[Packed]:
    """Lower staircases of a - b in single precision."""
    result = []
    for x, y in ((a[index], b[index]) for index in range(len(a))):
        single = torch.complex64 if x.is_complex() else torch.float32
        result.append([(x[rows, :stop] - y[rows, :stop]).to(single) for rows, stop in staircase(x.shape[-1])])
    return result


def _dot(a: Packed, b: Packed) -> float:
    """Re Σ a* b, summed in double: noise would dominate the coefficients near convergence."""
    return sum(
        float(torch.linalg.vecdot(x, y).real.sum(dtype=torch.float64)) for x, y in zip(a, b, strict=True)
    )
