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
        # Single precision is ample for the overlaps that set the coefficients, and halves the memory.
        single = torch.complex64 if product.is_complex() else torch.float32
        self._fock.append(fock)
        self._error.append((product - product.mH).to(single))
        coefficients = self._coefficients()
        result = coefficients[0] * self._fock[0]
        for c, f in zip(coefficients[1:], list(self._fock)[1:], strict=True):
            result += c * f
        return result

    def _coefficients(self) -> list[float]:
        n = len(self._error)
        overlap = torch.empty((n, n), dtype=torch.float64)
        for a in range(n):
            for b in range(a, n):
                value = torch.sum(self._error[a].conj() * self._error[b]).real
                overlap[a, b] = overlap[b, a] = float(value)
        # Scaling to a unit diagonal keeps the system solvable as the errors shrink by many orders.
        scale = torch.sqrt(torch.diagonal(overlap)).clamp_min(torch.finfo(torch.float64).tiny)
        normalised = overlap / torch.outer(scale, scale)
        weights = torch.linalg.lstsq(normalised, 1.0 / scale[:, None], rcond=1e-12, driver="gelsd").solution[:, 0] / scale
        return (weights / weights.sum()).tolist()
