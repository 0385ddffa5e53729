"""One mean-field problem, solved by this library and by each of its peers.

Every function takes a ``Problem`` and the largest change of a density-matrix element, or the
peer's nearest counterpart, at which to stop, and returns the energy per cell in eV and the
electrons per spin and atom, (2, N). A peer is imported where it is used: none is a dependency.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stm_core.simulation import HartreeFock

from .problems import Cells, Problem

Solution = tuple[float, NDArray[np.float64]]

TEMPERATURE = 1e-3  # eV: the problems are insulators, so that this is zero


def solve_stm_core(problem: Problem, tolerance: float) -> Solution:
    """This library, from its antiferromagnetic start."""
    engine = HartreeFock(
        problem.model,
        problem.U,
        problem.coulomb,
        nk=problem.nk,
        temperature=TEMPERATURE,
        reference="none",
    )
    state = engine.solve(seed=0, tolerance=tolerance, progress=False)
    if not state.converged:
        raise RuntimeError("stm_core did not converge")
    return state.total_energy, state.density


def solve_meanfi(problem: Problem, tolerance: float) -> Solution:
    """MeanFi (Vilkelis et al.), with SciPy's Anderson mixing of five past densities.

    Its default, no past density and a line search, is several times slower on these problems.
    """
    import meanfi
    from scipy.optimize import anderson

    n = problem.model.crystal.n_atoms
    hopping = {cell: np.kron(np.eye(2), matrix) for cell, matrix in problem.hoppings().items()}
    repulsion = {cell: np.kron(np.ones((2, 2)), matrix) for cell, matrix in problem.repulsions().items()}
    repulsion[0, 0] += problem.U * np.kron([[0, 1], [1, 0]], np.eye(n))
    model = meanfi.Model(hopping, repulsion, filling=n)
    guess = {cell: np.zeros((2 * n, 2 * n)) for cell in repulsion}
    guess[0, 0] = np.diag(problem.start().ravel())
    options = {"M": 5, "f_tol": tolerance}
    field = meanfi.solver(model, guess, nk=problem.nk, optimizer=anderson, optimizer_kwargs=options)
    density, _ = meanfi.density_matrix(meanfi.add_tb(hopping, field), n, problem.nk)
    interaction = meanfi.expectation_value(density, meanfi.meanfield(density, repulsion)) / 2
    energy = (meanfi.expectation_value(density, hopping) + interaction).real + problem.background()
    return float(energy), np.diagonal(density[0, 0]).real.reshape(2, n)


def solve_pyqula(problem: Problem, tolerance: float) -> Solution:
    """pyqula (Lado), with its multisecant Broyden mixing.

    It stops when the mean absolute change of a mean-field element is below the tolerance.
    """
    from pyqula.geometry import Geometry
    from pyqula.scftk.densitydensity import densitydensity, set_hoppings

    crystal = problem.model.crystal
    n = crystal.n_atoms
    geometry = Geometry()
    geometry.dimensionality = 2
    geometry.r = crystal.positions
    geometry.r2xyz()
    geometry.a1, geometry.a2 = np.pad(crystal.lattice, ((0, 0), (0, 1)))
    hamiltonian = geometry.get_hamiltonian(tij=[0.0], has_spin=True).get_multicell().get_dense()
    set_hoppings(hamiltonian, _with_spin(problem.hoppings(), np.eye(2)))
    # Every pair is visited from both its ends.
    halves = {cell: matrix / 2 for cell, matrix in problem.repulsions().items()}
    repulsion = _with_spin(halves, np.ones((2, 2)))
    repulsion[0, 0, 0] = repulsion[0, 0, 0] + problem.U / 2 * np.kron(np.eye(n), [[0, 1], [1, 0]])
    guess = {cell: np.zeros((2 * n, 2 * n), dtype=complex) for cell in repulsion}
    guess[0, 0, 0] = np.diag(problem.start().T.ravel()).astype(complex)
    with _scratch_folder():
        found = densitydensity(
            hamiltonian,
            v=repulsion,
            nk=problem.nk,
            mf=guess,
            filling=0.5,
            solver="broyden_mixing",
            maxerror=tolerance,
            T=TEMPERATURE,
            load_mf=False,
            write=False,
        )
    if not found.converged:
        raise RuntimeError("pyqula did not converge")
    density = np.diagonal(found.dm[0, 0, 0]).real.reshape(n, 2).T
    return found.total_energy + problem.background(), density


def solve_pyscf(problem: Problem, tolerance: float) -> Solution:
    """PySCF's UHF of an open cluster.

    The four-index integrals of a large cluster do not fit in memory, so PySCF gets their exact
    three-index factors: (ij|kl) = δ_ij δ_kl W_ik with W = L Lᵀ.
    """
    from pyscf import df, gto, scf

    n = problem.model.crystal.n_atoms
    molecule = gto.M(verbose=0)
    molecule.incore_anyway = True
    molecule.nelec, molecule.nao = (n // 2, n // 2), n
    core = problem.hoppings()[0, 0]
    factor = np.linalg.cholesky(problem.total_repulsion() + problem.U * np.eye(n))
    field = scf.UHF(molecule).density_fit()
    field.with_df = df.DF(molecule)
    diagonal = np.arange(n) * (np.arange(n) + 3) // 2  # of a packed lower triangle
    field.with_df._cderi = np.zeros((n, n * (n + 1) // 2))
    field.with_df._cderi[:, diagonal] = factor.T
    field.get_hcore = lambda *_: core
    field.get_ovlp = lambda *_: np.eye(n)
    field.energy_nuc = lambda *_: problem.background()
    field.conv_tol, field.conv_tol_grad, field.max_cycle = tolerance * 1e-3, tolerance, 300
    filled = np.linalg.eigh(core + np.stack([np.diag(spin) for spin in problem.start()]))[1][..., : n // 2]
    energy = field.kernel(filled @ filled.swapaxes(1, 2))
    if not field.converged:
        raise RuntimeError("PySCF did not converge")
    return float(energy), np.diagonal(field.make_rdm1(), axis1=1, axis2=2)


SOLVERS: dict[str, Callable[[Problem, float], Solution]] = {
    "stm_core": solve_stm_core,
    "meanfi": solve_meanfi,
    "pyqula": solve_pyqula,
    "pyscf": solve_pyscf,
}


def _with_spin(cells: Cells, spin: NDArray[np.float64]) -> dict[tuple[int, int, int], NDArray]:
    """Matrices with the spin index running fastest, in three dimensions: pyqula's layout."""
    return {(*cell, 0): np.kron(matrix, spin).astype(complex) for cell, matrix in cells.items()}


@contextlib.contextmanager
def _scratch_folder():
    """Work in an empty folder for a while: pyqula writes files where it stands."""
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(home)
