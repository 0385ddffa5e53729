"""The gate-screened interaction and its lattice sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf, erfc

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


@st.composite
def crystals(draw):
    """A few atoms anywhere in a random cell, none on top of another."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, angle = draw(st.integers(2, 5)), rng.uniform(0.8, 2.3)
    lattice = rng.uniform(3.0, 9.0, 2)[:, None] * [[1.0, 0.0], [np.cos(angle), np.sin(angle)]]
    positions = np.column_stack([rng.uniform(size=(n, 2)) @ lattice, np.arange(n) + rng.uniform(size=n) / 2])
    return Crystal(positions, lattice, np.zeros(n, dtype=int), np.arange(n) % 2)


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
    coulomb = GateScreenedCoulomb(gate_distance=4.0, tolerance=1e-10)
    summed = coulomb.hartree(crystal)
    np.testing.assert_array_equal(summed, summed.T)
    np.testing.assert_allclose(summed, brute_force(crystal, coulomb, 14), atol=SUM_TOLERANCE)


@settings(max_examples=25, deadline=None)
@given(crystals(), st.floats(2.0, 200.0), st.sampled_from([1e-3, 1e-5, 1e-7]))
def test_lattice_sum_reaches_its_tolerance(crystal, gate_distance, tolerance):
    exact = GateScreenedCoulomb(gate_distance=gate_distance, tolerance=1e-12).hartree(crystal)
    summed = GateScreenedCoulomb(gate_distance=gate_distance, tolerance=tolerance).hartree(crystal)
    assert np.abs(summed - exact).max() < tolerance


@settings(max_examples=25, deadline=None)
@given(crystals(), st.integers(0, 2**32 - 1))
def test_sums_do_not_depend_on_the_cell(crystal, seed):
    """Other vectors of the same lattice, and atoms in other cells."""
    rng = np.random.default_rng(seed)
    shear = rng.choice([[[1, 1], [0, 1]], [[2, 1], [1, 1]], [[1, 0], [-3, 1]], [[0, 1], [1, 0]]])
    moves = rng.integers(-3, 4, size=(crystal.n_atoms, 2)) @ crystal.lattice
    moved = crystal.positions + np.pad(moves, ((0, 0), (0, 1)))
    other = Crystal(moved, shear @ crystal.lattice, crystal.layer, crystal.sublattice)
    coulomb = GateScreenedCoulomb(gate_distance=15.0, tolerance=1e-10)
    np.testing.assert_allclose(coulomb.hartree(other), coulomb.hartree(crystal), atol=SUM_TOLERANCE)


def ewald_energy(crystal, charges):
    """Energy per cell of a neutral arrangement of unit charges with period in two dimensions, in eV.

    Parry's sum (Surf. Sci. 49, 433 (1975)), with the bare Coulomb interaction and its own splitting.
    """
    splitting = 2.5 / np.sqrt(crystal.area)
    apart = crystal.positions[:, None] - crystal.positions[None]
    pairs = np.outer(charges, charges)
    cells = np.stack(np.meshgrid(*2 * [np.arange(-8, 9)]), axis=-1).reshape(-1, 2)
    near = 0.0
    for shift in cells @ crystal.lattice:
        r = np.linalg.norm(apart + np.append(shift, 0.0), axis=-1)
        other = r > 1e-9
        near += (pairs[other] * erfc(splitting * r[other]) / r[other]).sum()
    z = apart[..., 2]
    far = (
        -2
        * np.sqrt(np.pi)
        * (np.exp(-((splitting * z) ** 2)) / splitting + np.sqrt(np.pi) * z * erf(splitting * z))
    )
    for wave in cells[np.any(cells != 0, axis=1)] @ crystal.reciprocal:
        q = np.linalg.norm(wave)
        decay = sum(
            np.exp(sign * q * z) * erfc(q / (2 * splitting) + sign * splitting * z) for sign in (1, -1)
        )
        far = far + np.pi / q * np.cos(apart[..., :2] @ wave) * decay
    itself = 2 * splitting / np.sqrt(np.pi) * (charges**2).sum()
    return COULOMB_CONSTANT / 2 * (near + (pairs * far).sum() / crystal.area - itself)


@settings(max_examples=20, deadline=None)
@given(crystals(), st.integers(0, 2**32 - 1))
def test_distant_gates_leave_the_bare_ewald_sum(crystal, seed):
    """What the gates add to a neutral cell falls like the inverse of their distance."""
    charges = np.random.default_rng(seed).normal(size=crystal.n_atoms)
    charges -= charges.mean()
    near, far = (
        charges @ GateScreenedCoulomb(1.0, distance, tolerance=1e-10).hartree(crystal) @ charges / 2
        for distance in (1e3, 1e4)
    )
    assert (10 * far - near) / 9 == pytest.approx(ewald_energy(crystal, charges), abs=1e-6)


def test_ewald_reference_gives_the_square_madelung_constant():
    """Alternating charges on a square lattice: M = 1.6155426267128247 (Borwein et al. 1985)."""
    positions = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    checkerboard = Crystal(
        positions, np.array([[1.0, 1.0], [1.0, -1.0]]), np.zeros(2, dtype=int), np.array([0, 1])
    )
    energy = ewald_energy(checkerboard, np.array([1.0, -1.0]))
    assert energy / COULOMB_CONSTANT == pytest.approx(-1.6155426267128247, abs=1e-12)


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
    positions = np.array([[0.0, 0, 0], [1.4, 0, 0], [300.0, 0, 0]])
    crystal = Crystal(positions, 1e5 * np.eye(2), np.zeros(3, int), np.array([0, 1, 0]))
    v = GateScreenedCoulomb(tolerance=1e-10)
    distance = np.abs(positions[:, None, 0] - positions[None, :, 0])
    expected = np.where(distance > 0, v(np.maximum(distance, 1.0)), 0.0)
    assert expected[0, 2] > 1e-6
    np.testing.assert_allclose(v.hartree(crystal), expected, atol=1e-10)


@pytest.mark.parametrize("name", ["epsilon", "gate_distance", "tolerance"])
def test_parameters_must_be_positive(name):
    with pytest.raises(ValueError, match=f"{name} must be positive"):
        GateScreenedCoulomb(**{name: 0.0})
