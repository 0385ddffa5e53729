"""The bands near the Fermi level, followed by themselves between two diagonalisations of all."""

import numpy as np
import pytest

from stm_core.simulation import GateScreenedCoulomb, HartreeFock, TightBinding, TwistedBilayer
from stm_core.simulation.window import Window, window_fits


def free_energy(problem, density, levels):
    return problem.mean_field(density)[1] - problem.temperature * problem.density_matrix(levels)[1]


@pytest.fixture(scope="module", params=["collinear", "restricted", "noncollinear"])
def step(request):
    """One step of an iteration, far from self-consistency: problem, levels, Fock and density matrix."""
    model = TightBinding(TwistedBilayer(4, 2.71), cutoff=5.0)
    options = {"filling": 1.0, "nk": 1, "spin": request.param, "mixed_precision": False}
    solver = HartreeFock(model, 3.0, GateScreenedCoulomb(), **options)
    _, density, _ = solver._start(4, None)
    problem = solver.problem(density.reduction)
    fock = problem.mean_field(density)[0]
    levels = problem.diagonalise(fock)
    return problem, levels, fock, problem.density_matrix(levels)[0]


@pytest.fixture(scope="module")
def relaxed(step):
    """The Fock matrix and the density matrix after the window has followed its own field."""
    return Window(*step).relaxed()


def test_it_goes_downhill(step, relaxed):
    problem, levels, _, density = step
    after = free_energy(problem, relaxed[1], problem.diagonalise(relaxed[0]))
    assert after < free_energy(problem, density, levels) - 1e-5


def test_the_density_matrix_is_that_of_the_fock_matrix(step, relaxed):
    problem = step[0]
    again = problem.density_matrix(problem.diagonalise(relaxed[0]))[0]
    assert again.distance(relaxed[1]) < 1e-6


def test_electrons_stay(step, relaxed):
    problem, _, _, density = step
    weights = density.reduction.weights
    counts = [weights @ matrices.diagonals().numpy().sum(axis=1) for matrices in (density, relaxed[1])]
    np.testing.assert_allclose(counts, problem.electrons / problem.mean_field.degeneracy, atol=1e-9)


def test_remote_bands_are_left_alone(step, relaxed):
    problem, levels, _, _ = step
    lowest = problem.diagonalise(relaxed[0]).energies[:, :20]
    np.testing.assert_allclose(lowest, levels.energies[:, :20], atol=1e-10)


def test_few_bands_need_no_window():
    model = TightBinding(TwistedBilayer(2, 2.6), cutoff=5.0)
    solver = HartreeFock(model, 3.0, nk=1)
    _, density, _ = solver._start(0, None)
    problem = solver.problem(density.reduction)
    assert not window_fits(problem.diagonalise(problem.mean_field(density)[0]))
