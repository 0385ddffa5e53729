"""Convergence acceleration of the self-consistent field."""

from collections import deque

import torch


class CommutatorDIIS:
    """Direct inversion in the iterative subspace on the commutator [F, ρ].

    The next Fock matrix is Σ_m c_m F_m with Σ_m c_m = 1, the coefficients minimising
    ‖Σ_m c_m [F_m, ρ_m]‖: at self-consistency F and ρ commute
    (Pulay, J. Comput. Chem. 3, 556 (1982), eqs. 5-6).

    Parameters
    ----------
    history : int
        Number of Fock matrices kept.
    """

    def __init__(self, history: int = 8) -> None:
        if history < 1:
            raise ValueError(f"the history must hold at least one Fock matrix, not {history}")
        self._fock: deque[torch.Tensor] = deque(maxlen=history)
        self._error: deque[torch.Tensor] = deque(maxlen=history)
        self._overlap = torch.zeros((0, 0), dtype=torch.float64)

    @property
    def extrapolated(self) -> bool:
        """Whether the last result mixed more than one Fock matrix."""
        return len(self._fock) > 1

    def __call__(self, fock: torch.Tensor, density: torch.Tensor) -> torch.Tensor:
        """Extrapolated Fock matrix.

        Parameters
        ----------
        fock, density : (2, n_k, N, N) tensors
            Fock matrix built from the density matrix, in eV, and that density matrix.

        Returns
        -------
        (2, n_k, N, N) tensor
            Fock matrix to diagonalise next.
        """
        product = fock @ density
        # Stored in single precision to halve the memory; overlaps are summed in double, or their noise
        # would dominate the coefficients near convergence.
        single = torch.complex64 if product.is_complex() else torch.float32
        self._fock.append(fock)
        self._error.append((product - product.mH).to(single))
        self._extend_overlap()
        result = torch.zeros_like(fock)
        for coefficient, past in zip(self._coefficients(), self._fock, strict=True):
            result.add_(past, alpha=coefficient)
        return result

    def _extend_overlap(self) -> None:
        newest = _flat(self._error[-1]).double()
        row = [float(torch.dot(_flat(error).double(), newest)) for error in self._error]
        n = len(row)
        overlap = torch.empty((n, n), dtype=torch.float64)
        overlap[: n - 1, : n - 1] = self._overlap[len(self._overlap) - n + 1 :, len(self._overlap) - n + 1 :]
        overlap[-1] = overlap[:, -1] = torch.tensor(row, dtype=torch.float64)
        self._overlap = overlap

    def _coefficients(self) -> list[float]:
        # Scaling to a unit diagonal keeps the system solvable as the errors shrink by many orders.
        scale = torch.sqrt(torch.diagonal(self._overlap)).clamp_min(torch.finfo(torch.float64).tiny)
        normalised = self._overlap / torch.outer(scale, scale)
        right = (1.0 / scale)[:, None]
        weights = torch.linalg.lstsq(normalised, right, rcond=1e-12, driver="gelsd").solution[:, 0] / scale
        return (weights / weights.sum()).tolist()


def _flat(matrix: torch.Tensor) -> torch.Tensor:
    return (torch.view_as_real(matrix) if matrix.is_complex() else matrix).reshape(-1)
