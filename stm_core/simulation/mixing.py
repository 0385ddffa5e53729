"""Convergence acceleration of the self-consistent field."""

from collections import deque

import numpy as np
import torch

from .bloch import BlochMatrices, staircase

Packed = list[torch.Tensor]

_NOISE = 6e-7  # relative to the Fock matrix: what a single-precision eigensolver leaves in F[ρ]
_ALIKE = 1e-4  # relative: past moves that differ by less do not span a direction of their own
_FLAT = 0.02  # least curvature that a step downhill trusts


class FockMixer:
    """The next Fock matrix from the past ones: downhill far from self-consistency, DIIS near it.

    The density matrix ρ_m of F_m gives a new Fock matrix F[ρ_m], and r_m = F[ρ_m] - F_m vanishes at
    self-consistency. The next one is F[ρ_n] plus a combination of the past changes of F[ρ].

    Near the solution this is Σ_m c_m F[ρ_m] with Σ_m c_m = 1, the coefficients minimising ‖Σ_m c_m r_m‖
    (Pulay, Chem. Phys. Lett. 73, 393 (1980), eqs. 4-6). Between occupied and empty states r is the
    commutator [F, ρ] of Pulay's later choice, without a matrix product. Iterations in single precision
    carry noise of a known size; Σ_m c_m² times its square joins the norm, so that they still teach the
    response but no longer the last digits.

    The residual vanishes at saddle points as well, and a metal has many: a partly filled star of k-points
    gains exchange by filling or by emptying. Far from the solution the combination is therefore a Newton
    step on the free energy, whose gradient with respect to ρ_m is r_m, in the space of the past moves of
    ρ. Curvatures λ are in units of those without interaction, for which F[ρ_n] is the right step; each
    counts as |λ|, which leads away from saddle points (Dauphin et al., Advances in Neural Information
    Processing Systems 27 (2014)). A mixed step that went uphill is taken back.

    Of each past iteration it keeps r and the changes of ρ and F[ρ], lower triangles in single precision:
    all shrink with the residual, and so does their rounding.

    Parameters
    ----------
    history : int
        Number of Fock matrices combined.
    """

    def __init__(self, history: int = 8) -> None:
        if history < 2:
            raise ValueError(f"the history must hold at least two Fock matrices, not {history}")
        self.history = history
        self._newest: tuple[BlochMatrices, BlochMatrices] | None = None
        self._errors: deque[list[Packed]] = deque(maxlen=history)
        self._noise: deque[float] = deque(maxlen=history)
        self._changes: deque[list[Packed]] = deque(maxlen=history - 1)
        self._moves: deque[list[Packed]] = deque(maxlen=history - 1)
        self._overlap = np.zeros((0, 0))  # ⟨r_l, r_m⟩
        self._slopes = np.zeros((0, 0))  # ⟨Δρ_l, r_m⟩
        self._response = np.zeros((0, 0))  # ⟨Δρ_l, ΔF_m⟩

    def __call__(
        self, fock: BlochMatrices, previous: BlochMatrices, density: BlochMatrices, far: bool
    ) -> BlochMatrices:
        """Mixed Fock matrix.

        Parameters
        ----------
        fock, previous : BlochMatrices
            Fock matrix built from the density matrix, and the one whose density matrix that was, in
            eV. Of the latter only the lower triangles are read.
        density : BlochMatrices
            That density matrix.
        far : bool
            Whether to go downhill instead of to the smallest residual.

        Returns
        -------
        BlochMatrices
            Fock matrix to diagonalise next; only its lower triangles are good.
        """
        weights = fock.reduction.weights
        error = _difference(fock, previous)
        if self._newest is not None:
            before, density_before = self._newest
            move = _difference(density, density_before)
            if far and self._moves and self._rise(move, error, weights) > 0:
                self._forget_all_but_newest()
                return before
            self._moves.append(move)
            self._changes.append(_difference(fock, before))
        self._errors.append(error)
        single = fock.precision == torch.float32
        self._noise.append(_NOISE**2 * fock.trace_product(fock) if single else 0.0)
        self._newest = fock, density
        self._make_room(weights)
        return self._combined(fock, self._newton(weights) if far else self._least_residual())

    def _rise(self, move: list[Packed], error: list[Packed], weights: np.ndarray) -> float:
        """Change of the free energy along a move, by the gradients at its two ends."""
        return _dot(move, self._errors[-1], weights) + _dot(move, error, weights)

    def _forget_all_but_newest(self) -> None:
        for series in (self._changes, self._moves):
            series.clear()
        for kept in (self._errors, self._noise):
            while len(kept) > 1:
                kept.popleft()
        self._overlap, self._slopes = self._overlap[-1:, -1:], np.zeros((0, 1))
        self._response = np.zeros((0, 0))

    def _make_room(self, weights: np.ndarray) -> None:
        """Extend the products by the newest iteration; those that only a step downhill needs wait for it."""
        errors, moves = len(self._errors), len(self._moves)
        self._overlap = _shifted(self._overlap, (errors, errors))
        self._slopes = _shifted(self._slopes, (moves, errors))
        self._response = _shifted(self._response, (moves, moves))
        _fill(self._overlap, self._errors, self._errors, weights, symmetric=True)

    def _combined(self, fock: BlochMatrices, shares: np.ndarray) -> BlochMatrices:
        """F[ρ_n] + Σ_l s_l (F[ρ_{l+1}] - F[ρ_l])."""
        result = fock.map(torch.clone)
        for b in range(len(fock)):
            for step, (rows, stop) in enumerate(staircase(fock[b].shape[-1])):
                for share, change in zip(shares.tolist(), self._changes, strict=True):
                    result[b][rows, :stop].add_(change[b][step], alpha=share)
        return result

    def _newton(self, weights: np.ndarray) -> np.ndarray:
        """Shares of the past changes that lead downhill."""
        _fill(self._slopes, self._moves, self._errors, weights)
        _fill(self._response, self._moves, self._changes, weights, symmetric=True)
        hessian = np.diff(self._slopes, axis=1)
        metric = hessian - self._response
        hessian, metric = (hessian + hessian.T) / 2, (metric + metric.T) / 2
        lengths = np.sqrt(np.maximum(np.diag(metric), 0))
        if not lengths.any():  # nowhere to go
            return np.zeros(len(lengths))
        scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        sizes, directions = np.linalg.eigh(metric * np.outer(scale, scale))
        good = sizes > _ALIKE * sizes[-1]
        directions = scale[:, None] * directions[:, good] / np.sqrt(sizes[good])
        curvatures, turn = np.linalg.eigh(directions.T @ hessian @ directions)
        directions = directions @ turn
        steps = directions.T @ self._slopes[:, -1] / np.maximum(np.abs(curvatures), _FLAT)
        return np.asarray(-directions @ steps)

    def _least_residual(self) -> np.ndarray:
        """Shares of the past changes that make the residual smallest."""
        # Scaling to a unit diagonal keeps the system solvable as the errors shrink by many orders.
        overlap = self._overlap + np.diag(self._noise)
        if overlap[-1, -1] == 0:  # nothing left to mix
            return np.zeros(len(overlap) - 1)
        scale = np.sqrt(np.diag(overlap))
        normalised = overlap / np.outer(scale, scale)
        weights = np.linalg.lstsq(normalised, 1 / scale, rcond=1e-12)[0] / scale
        # Σ_m c_m F_m = F_n - Σ_l (Σ_{m≤l} c_m) (F_{l+1} - F_l)
        return np.asarray(-np.cumsum(weights / weights.sum())[:-1])


def _shifted(matrix: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The last rows and columns of a matrix, with a last row and column that are not known yet."""
    result = np.full(shape, np.nan)
    rows, columns = (min(old, new - 1) for old, new in zip(matrix.shape, shape, strict=True))
    if rows > 0 and columns > 0:
        result[-1 - rows : -1, -1 - columns : -1] = matrix[-rows:, -columns:]
    return result


def _fill(
    products: np.ndarray,
    left: deque[list[Packed]],
    right: deque[list[Packed]],
    weights: np.ndarray,
    symmetric: bool = False,
) -> None:
    """Compute the products ⟨left_l, right_m⟩ that are not known yet, in place."""
    for row, column in np.argwhere(np.isnan(products)):
        known = symmetric and not np.isnan(products[column, row])
        products[row, column] = products[column, row] if known else _dot(left[row], right[column], weights)


def _difference(a: BlochMatrices, b: BlochMatrices) -> list[Packed]:
    """Lower staircases of a - b in single precision."""
    result = []
    for x, y in ((a[index], b[index]) for index in range(len(a))):
        single = torch.complex64 if x.is_complex() else torch.float32
        result.append([(x[rows, :stop] - y[rows, :stop]).to(single) for rows, stop in staircase(x.shape[-1])])
    return result


def _dot(a: list[Packed], b: list[Packed], weights: np.ndarray) -> float:
    """Trace product as ``BlochMatrices.trace_product``, of lower staircases.

    Summed in double: noise would dominate the coefficients near convergence.
    """
    total = 0.0
    for weight, left, right in zip(weights, a, b, strict=True):
        for x, y in zip(left, right, strict=True):
            start = x.shape[1] - x.shape[0]
            below = torch.linalg.vecdot(x[:, :start], y[:, :start]).real
            square = torch.linalg.vecdot(x[:, start:], y[:, start:]).real
            total += float(weight) * float((2 * below + square).sum(dtype=torch.float64))
    return total
