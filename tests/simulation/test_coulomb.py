"""The gate-screened interaction and its lattice sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_core.simulation import COULOMB_CONSTANT, Crystal, GateScreenedCoulomb, TwistedBilayer
from stm_core.simulation.ewald import screening

SUM_TOLERANCE = 1e-8  # eV


def image_series(x, terms=400_001):
    """The alternating image sum as written, its last two partial sums averaged."""
    n = np.arange(1, terms)
    signs = np.where(n % 2, -1.0, 1.0)
    partial = 1 + 2 * x * np.cumsum(signs / np.sqrt(x * x + 4.0 * n * n))
    return (partial[-1] + partial[-2]) / 2


@pytest.mark.parametrize("x", [1e-3, 0.1, 0.499, 0.501, 1.0, 3.0])
def test_screening_equals_the_image_series(x):
    assert float(screening(x)) == pytest.approx(image_series(x), abs=1e-10)


@given(st.floats(1e-3, 15.0), st.floats(1.01, 2.0))
def test_screening_falls_from_one_to_zero(x, factor):
    near, far = screening([x, factor * x])
    assert 0 < far < near <= 1


def test_bare_limit_and_screened_tail():
    distant_gates = GateScreenedCoulomb(epsilon=10, gate_distance=1e7)
    assert distant_gates(2.0) == pytest.approx(COULOMB_CONSTANT / 20, rel=1e-6)
    v = GateScreenedCoulomb(gate_distance=50.0)
    # Far away the lowest mode between the plates is left: V ∝ K0(πr/2D), decaying over 2D/π.
    r = np.array([500.0, 600.0])
    decay = np.log(v(r[0]) / v(r[1]) * np.sqrt(r[0] / r[1])) / 100.0
    assert decay == pytest.approx(np.pi / 100.0, rel=1e-2)


def brute_force(crystal, coulomb, cells):
    shifts = np.stack(np.meshgrid(np.arange(-cells, cells + 1), np.arange(-cells, cells + 1)), axis=-1)
    shifts = np.column_stack([shifts.reshape(-1, 2) @ crystal.lattice, np.zeros((2 * cells + 1) ** 2)])
    total = np.zeros((crystal.n_atoms, crystal.n_atoms))
    for shift in shifts:
        distance = np.linalg.norm(crystal.positions[None] + shift - crystal.positions[:, None], axis=-1)
        near = distance > 1e-6
        total[near] += coulomb(distance[near])
    return total


def test_lattice_sum_against_brute_force():
    crystal = TwistedBilayer(1, 3.0)
    coulomb = GateScreenedCoulomb(gate_distance=8.0, tolerance=1e-10)
    summed = coulomb.hartree(crystal)
    np.testing.assert_array_equal(summed, summed.T)
    np.testing.assert_allclose(summed, brute_force(crystal, coulomb, 30), atol=SUM_TOLERANCE)


def test_lattice_sum_reaches_its_tolerance():
    crystal = TwistedBilayer(1, 3.0)
    exact = GateScreenedCoulomb(gate_distance=20.0, tolerance=1e-12).hartree(crystal)
    for tolerance in (1e-3, 1e-5, 1e-7):
        summed = GateScreenedCoulomb(gate_distance=20.0, tolerance=tolerance).hartree(crystal)
        assert np.abs(summed - exact).max() < tolerance


def test_exchange_takes_the_nearest_image():
    crystal = TwistedBilayer(1, 3.0)
    coulomb = GateScreenedCoulomb()
    v = coulomb.exchange(crystal, 2)
    assert v.shape == (4, 28, 28)
    assert np.abs(np.diagonal(v[0])).max() == 0
    index, i, j = 3, 5, 17  # cell R = a1 + a2
    images = np.stack(np.meshgrid([-3, -2, -1, 0, 1, 2, 3], [-3, -2, -1, 0, 1, 2, 3]), axis=-1).reshape(-1, 2)
    apart = crystal.positions[j] - crystal.positions[i]
    planar = apart[:2] + crystal.lattice.sum(axis=0) + images @ (2 * crystal.lattice)
    nearest = np.sqrt((planar**2).sum(axis=1) + apart[2] ** 2).min()
    assert v[index, i, j] == pytest.approx(float(coulomb(nearest)))
    # V(R)_ij = V(-R)_ji, and R = -R in a 2x2 supercell.
    np.testing.assert_allclose(v, v.transpose(0, 2, 1), atol=1e-12)


def test_isolated_cluster_has_no_images():
    positions = np.array([[0.0, 0, 0], [1.4, 0, 0]])
    crystal = Crystal(positions, 1e5 * np.eye(2), np.zeros(2, int), np.array([0, 1]))
    v = GateScreenedCoulomb()
    np.testing.assert_allclose(v.hartree(crystal), float(v(1.4)) * np.array([[0, 1], [1, 0]]), atol=1e-10)


@pytest.mark.parametrize("name", ["epsilon", "gate_distance", "tolerance"])
def test_parameters_must_be_positive(name):
    with pytest.raises(ValueError, match=f"{name} must be positive"):
        GateScreenedCoulomb(**{name: 0.0})
