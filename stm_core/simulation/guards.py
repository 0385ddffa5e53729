"""What the solvers refuse, and what they say where the machine is too small."""

from collections.abc import Iterator
from contextlib import contextmanager

from .lattice import Crystal


def check_parameters(crystal: Crystal, U: float, filling: float, nk: int) -> None:
    """Refuse what no mean field of this crystal can have, with a ValueError."""
    n = crystal.n_atoms
    if not U >= 0:
        raise ValueError(f"U must be zero or positive (eV), not {U}")
    if not -4 <= filling <= 4 or not 0 < n + filling < 2 * n:
        raise ValueError(f"the filling must lie between -4 and 4 electrons per cell, not {filling}")
    if nk != int(nk) or nk < 1:
        raise ValueError(f"nk must be a positive number of k-points per direction, not {nk}")


def check_limits(tolerance: float, max_iterations: int) -> None:
    """Refuse an iteration that could not end, with a ValueError."""
    if not tolerance > 0 or max_iterations < 1:
        raise ValueError("the tolerance must be positive and max_iterations at least 1")


@contextmanager
def memory_errors(n_matrices: int, n_orbitals: int) -> Iterator[None]:
    """Name the size of the problem where the machine runs out of memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "memory" in str(error):
            size = 16 * n_matrices * n_orbitals**2 / 2**30
            raise MemoryError(
                f"not enough memory for {n_matrices} Bloch matrices of {n_orbitals} orbitals: without "
                f"symmetry each set of them takes {size:.1f} GB"
            ) from error
        raise
