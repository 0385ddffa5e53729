"""The mean field of large cells against dense diagonalisation of small ones."""

import numpy as np
import pytest
import torch
from scipy.optimize import anderson

from stm_core.simulation import GateScreenedCoulomb, TightBinding, TwistedBilayer, honeycomb
from stm_core.simulation.large_cell import LargeCell
from stm_core.simulation.observables import chemical_potential, fermi, thermal_kernel

TEMPERATURE = 0.01  # eV
WIDE = 4.5  # eV: a window that leaves the smooth step of a 28 Å cell less than a millionth of an electron
COULOMB = GateScreenedCoulomb(epsilon=10.0, gate_distance=100.0)


@pytest.fixture(scope="module")
def model():
    return TightBinding(TwistedBilayer(6, 3.35))


@pytest.fixture(scope="module")
def potential(model):
    """A rough potential with the symmetry of the cell, (N,) in eV."""
    noise = np.random.default_rng(1).normal(scale=0.2, size=model.crystal.n_atoms)
    return np.mean([noise[p] for p in model.crystal.point_group.values()], axis=0)


def dense_levels(model, potential, nk):
    """Energies (n_k, N) in eV and |ψ|² (n_k, N, N) on the whole grid."""
    matrices = [model.hamiltonian(k) + np.diag(potential) for k in model.crystal.k_grid(nk)]
    energies, orbitals = torch.linalg.eigh(torch.from_numpy(np.stack(matrices)))
    return energies.numpy(), orbitals.abs().numpy() ** 2


def dense_density(model, potential, nk, filling=0.0):
    energies, weights = dense_levels(model, potential, nk)
    electrons = model.crystal.n_atoms + filling
    mu = chemical_potential(np.stack([energies, energies]), electrons, TEMPERATURE)
    return 2 * np.einsum("kin,kn->i", weights, fermi(energies - mu, TEMPERATURE)) / nk**2, mu


@pytest.mark.parametrize("filling", [0.0, 2.0, -1.5])
def test_density_at_gamma_is_exact(model, potential, filling):
    cell = LargeCell(model, 0.0, None, filling, nk=1, temperature=TEMPERATURE, window=1.0)
    density, mu = cell.density(potential)
    expected, expected_mu = dense_density(model, potential, 1, filling)
    np.testing.assert_allclose(density, expected, atol=1e-11)
    assert mu == pytest.approx(expected_mu, abs=1e-11)


def test_density_on_a_grid_converges_with_the_window(model, potential):
    expected, expected_mu = dense_density(model, potential, 2, filling=1.0)
    errors = []
    for window in (2.0, WIDE):
        cell = LargeCell(model, 0.0, filling=1.0, nk=2, temperature=TEMPERATURE, window=window)
        density, mu = cell.density(potential)
        assert mu == pytest.approx(expected_mu, abs=1e-10)
        assert density.sum() == pytest.approx(model.crystal.n_atoms + 1, abs=1e-9)
        errors.append(np.abs(density - expected).max())
    assert errors[0] > 20 * errors[1]
    assert errors[1] < 1e-6


def test_ldos_agrees_with_dense_levels(model, potential):
    bias, broadening = np.array([-0.4, 0.0, 0.7]), 0.03
    cell = LargeCell(model, 0.0, temperature=TEMPERATURE, window=1.0)
    energies, weights = dense_levels(model, potential, 2)
    mu = 0.8
    expected = [
        2 * np.einsum("kin,kn->i", weights, thermal_kernel(b - energies + mu, broadening)) / 4 for b in bias
    ]
    levels = cell.levels(potential, nk=2, window=1.2)
    np.testing.assert_allclose(levels.ldos(bias, broadening, mu), expected, atol=1e-9)


@pytest.fixture(scope="module")
def interacting(model):
    return LargeCell(model, 3.0, COULOMB, filling=2.0, nk=1, temperature=TEMPERATURE, window=1.0)


@pytest.fixture(scope="module")
def solved(interacting):
    iterations = []
    return interacting.solve(tolerance=1e-7, callback=iterations.append, progress=False), iterations


def test_self_consistency_agrees_with_a_dense_solution(model, interacting, solved):
    hartree = COULOMB.hartree(model.crystal)

    def change(x):
        density, _ = dense_density(model, x, 1, filling=2.0)
        return 3.0 * (density - 1) / 2 + hartree @ (density - 1) - x

    expected = anderson(change, np.zeros(model.crystal.n_atoms), f_tol=1e-7, alpha=0.3)
    state, _ = solved
    assert state.converged
    density, mu = dense_density(model, expected, 1, filling=2.0)
    assert np.ptp(density) > 1e-3
    np.testing.assert_allclose(state.density, density, atol=1e-6)
    assert state.chemical_potential == pytest.approx(mu, abs=1e-5)


def test_state_keeps_the_electrons_and_the_symmetry(model, solved):
    state, _ = solved
    assert state.density.sum() == pytest.approx(model.crystal.n_atoms + 2, abs=1e-9)
    for operation in model.crystal.point_group.values():
        np.testing.assert_array_equal(state.density[operation], state.density)


def test_an_interrupted_solution_resumes(interacting, solved):
    state, iterations = solved
    again = interacting.solve(start=state.potential, tolerance=1e-6, progress=False)
    assert again.converged and len(again.history) == 1
    resumed = interacting.solve(start=iterations[2].potential, tolerance=1e-7, progress=False)
    assert resumed.history[0] == pytest.approx(state.history[2], rel=1e-6)
    np.testing.assert_allclose(resumed.density, state.density, atol=1e-7)


def test_giving_up_is_marked(interacting, caplog):
    state = interacting.solve(max_iterations=1, progress=False)
    assert not state.converged
    assert "after 1 iterations" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"U": -1.0}, "U must be"),
        ({"filling": 5.0}, "filling"),
        ({"nk": 0}, "nk must be"),
        ({"temperature": 0.1, "window": 0.5}, "temperature"),
    ],
)
def test_impossible_parameters_are_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        LargeCell(model, **{"U": 1.0, **options})


def test_models_without_the_symmetry_are_refused():
    with pytest.raises(ValueError, match="TwistedBilayer"):
        LargeCell(TightBinding(honeycomb()), 1.0)
    with pytest.raises(ValueError, match="layer potential"):
        LargeCell(TightBinding(TwistedBilayer(2, 3.0), layer_potential=0.1), 1.0)
    with pytest.raises(ValueError, match="D6"):
        LargeCell(TightBinding(TwistedBilayer(2, 3.0), hopping=_stronger_along_x), 1.0)


def _stronger_along_x(displacement):
    r2 = displacement[:, 0] ** 2 / 2 + displacement[:, 1] ** 2 + displacement[:, 2] ** 2
    return -np.exp(-r2)


def test_starts_and_tolerances_are_checked(interacting):
    with pytest.raises(ValueError, match="508 atoms"):
        interacting.solve(start=np.zeros(3))
    with pytest.raises(ValueError, match="tolerance"):
        interacting.solve(tolerance=0)
