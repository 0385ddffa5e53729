"""What a state reports, and that it survives the disk."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_core.simulation import (
    GateScreenedCoulomb,
    HartreeFock,
    HartreeFockState,
    TightBinding,
    TwistedBilayer,
)
from stm_core.simulation.observables import indirect_gap, order_parameters, thermal_kernel
from stm_core.simulation.starts import STARTS, intralayer_bonds, kekule_vectors, starting_field


@pytest.fixture(scope="module")
def state():
    problem = HartreeFock(
        TightBinding(TwistedBilayer(1, 3.0)), 6.0, GateScreenedCoulomb(gate_distance=20.0), nk=2
    )
    return problem.solve(seed=0, progress=False)


def test_ldos_counts_all_states(state):
    bias = np.arange(-30, 30, 0.01)
    ldos = state.ldos(bias, broadening=0.02, layer="both")
    assert ldos.shape == (len(bias), 28)
    # Every atom holds one orbital with two spins.
    np.testing.assert_allclose(ldos.sum(axis=0) * 0.01, 2.0, rtol=1e-6)
    assert ldos.min() >= 0


def test_ldos_below_the_fermi_level_is_the_charge(state):
    bias = np.arange(-30, 0, 0.005) + 0.0025
    filled = state.ldos(bias, broadening=0.01, layer="both").sum(axis=0) * 0.005
    np.testing.assert_allclose(filled, state.density.sum(axis=0), atol=2e-3)


def test_layers_of_the_ldos(state):
    top, bottom, both = (state.ldos([0.01, 0.3], layer=name) for name in ("top", "bottom", "both"))
    layer = state.crystal.layer
    np.testing.assert_array_equal(both[:, layer == 1], top)
    np.testing.assert_array_equal(both[:, layer == 0], bottom)
    with pytest.raises(ValueError, match="bottom, top, both"):
        state.ldos(layer="middle")
    with pytest.raises(ValueError, match="broadening must be positive"):
        state.ldos(broadening=0)


@given(st.floats(1e-4, 0.1))
def test_kernel_is_normalised_with_the_stated_width(w):
    energy = np.linspace(-60 * w, 60 * w, 20001)
    g = thermal_kernel(energy, w)
    assert g.sum() * (energy[1] - energy[0]) == pytest.approx(1, rel=1e-9)
    assert thermal_kernel(np.array([1.7627 * w]), w)[0] == pytest.approx(g.max() / 2, rel=1e-4)


def test_gap_of_simple_spectra():
    levels = np.array([[[0.0, 1.0], [0.2, 1.5]]] * 2)
    assert indirect_gap(levels, 2) == pytest.approx(0.8)
    assert indirect_gap(levels, 1.9) == 0
    assert indirect_gap(levels, 2.5) == 0


def test_order_parameters_of_states_made_by_hand():
    cell = TwistedBilayer(2, 3.0)
    sign = 1.0 - 2.0 * cell.sublattice
    up_down = np.stack([0.5 + 0.1 * sign, 0.5 - 0.1 * sign])
    spin = order_parameters(cell, up_down)
    assert spin["staggered_spin"] == pytest.approx(0.2)
    assert spin["maximum_moment"] == pytest.approx(0.2)
    assert spin["total_spin"] == pytest.approx(0, abs=1e-12)
    charge = order_parameters(cell, np.stack([0.5 + 0.1 * sign] * 2))
    assert charge["sublattice"] == pytest.approx(0.2)
    assert charge["c3_breaking"] == pytest.approx(0, abs=1e-12)
    striped = order_parameters(
        cell, 0.5 + 0.01 * np.cos(cell.positions @ [*cell.reciprocal[0], 0]) * np.ones((2, 1))
    )
    assert striped["c3_breaking"] > 0.5
    assert order_parameters(cell, np.stack([np.full(76, 0.5) + 0.1 * cell.layer] * 2))[
        "layer"
    ] == pytest.approx(7.6)


def test_kekule_order_sees_a_valley_pattern_and_nothing_else():
    cell = TwistedBilayer(9)
    bonds = intralayer_bonds(cell)
    middle = cell.positions[bonds.source, :2] + bonds.displacement[:, :2] / 2
    density = np.full((2, cell.n_atoms), 0.5)
    top = cell.layer[bonds.source] == 1
    pattern = np.where(top, np.cos(middle @ kekule_vectors(cell, 1)[0]), 0.0)
    assert order_parameters(cell, density, pattern.astype(complex))["kekule"] > 0.2
    assert order_parameters(cell, density, 1j * pattern)["kekule_current"] > 0.2
    uniform = order_parameters(cell, density, np.ones(len(middle), dtype=complex))
    moire = order_parameters(cell, density, np.cos(middle @ cell.reciprocal[0]).astype(complex))
    assert max(uniform["kekule"], moire["kekule"]) < 1e-3


def test_bond_order_equals_the_density_matrix(state):
    """Hellmann-Feynman: summed bond orders times hopping are the nearest-neighbour kinetic energy."""
    crystal = state.crystal
    bonds = intralayer_bonds(crystal)
    kinetic = 0.0
    model = TightBinding(crystal, cutoff=1.6, hopping=lambda d: np.where(np.abs(d[:, 2]) < 1e-9, -1.0, 0.0))
    for index, k in enumerate(crystal.k_grid(2)):
        h = model.hamiltonian(k)
        for spin, filled in enumerate(state.occupations[:, index]):
            orbitals = state.orbitals_at(spin, index)
            kinetic += np.einsum("in,ij,jn,n->", orbitals.conj(), h, orbitals, filled).real / 4
    assert len(bonds.source) == 42
    assert -2 * state.bond_order().real.sum() == pytest.approx(kinetic, rel=1e-10)


def test_starts_break_what_they_say():
    cell, k = TwistedBilayer(2, 3.0), np.array([0.1, 0.03])
    for seed, kind in enumerate(STARTS):
        field = starting_field(cell, seed)
        assert field.kind == kind
        matrix = field.matrix(0, cell, k).toarray()
        assert np.abs(matrix).max() > 1e-3
        np.testing.assert_allclose(matrix, matrix.conj().T)
        np.testing.assert_array_equal(matrix, starting_field(cell, seed).matrix(0, cell, k).toarray())
        # Only currents break time reversal.
        mirror = field.matrix(0, cell, -k).toarray().conj()
        assert np.allclose(matrix, mirror) == (kind not in ("kramers", "valley"))
        spinor = field.spinor_matrix(cell, k).toarray()
        np.testing.assert_allclose(spinor, spinor.conj().T)
        dressed = starting_field(cell, seed + len(STARTS))
        assert dressed.kind == kind
        assert len(np.unique(dressed.sites)) == 2 * cell.n_atoms
        assert len(np.unique(field.sites)) <= 2 or kind == "random"


def test_the_valley_start_tells_the_valleys_of_graphene_apart():
    """Its expectation values at K and K' are 1 and -1 on both sublattices."""
    cell = TwistedBilayer(5, 10.0)  # so far apart that the layers do not know of each other
    bonds = starting_field(cell, STARTS.index("valley"))
    scale = 3 * np.sqrt(3) * np.abs(bonds.amplitudes).max()
    model = TightBinding(cell, cutoff=1.6, hopping=lambda d: np.full(len(d), -2.7))
    for name, expected in (("K", 1), ("K'", -1)):
        k = cell.high_symmetry[name]
        energies, states = np.linalg.eigh(model.hamiltonian(k))
        dirac = states[:, np.abs(energies) < 1e-6]
        valley = np.linalg.eigvalsh(dirac.conj().T @ bonds.matrix(0, cell, k).toarray() @ dirac) / scale
        assert dirac.shape[1] == 4
        # Each layer has one of its valleys folded here, and the two layers opposite ones.
        np.testing.assert_allclose(np.abs(valley), 1, atol=1e-6)
        assert valley.sum() == pytest.approx(0, abs=1e-6), expected


def test_save_and_load_round_trip(state, tmp_path):
    path = tmp_path / "state.npz"
    state = replace(state, layer_potential=0.02)
    state.save(path)
    loaded = HartreeFockState.load(path)
    for name in ("levels", "energies", "history"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(state, name))
    np.testing.assert_allclose(loaded.density, state.density, rtol=1e-14)
    for name in (
        "U",
        "layer_potential",
        "start",
        "gap",
        "coulomb",
        "route",
        "symmetry",
        "spin",
        "free_energy",
    ):
        assert getattr(loaded, name) == getattr(state, name)
    np.testing.assert_allclose(loaded.ldos(), state.ldos(), rtol=1e-13)
    np.testing.assert_array_equal(loaded.orbitals_at(1, 3), state.orbitals_at(1, 3))
    assert [p.name for p in tmp_path.iterdir()] == ["state.npz"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "other"])
def test_damaged_states_are_named(state, tmp_path, damage):
    path = tmp_path / "state.npz"
    state.save(path)
    content = {
        "truncated": path.read_bytes()[:-5000],
        "empty": b"",
        "text": b"not a state",
    }
    if damage == "other":
        np.savez(path, something=np.arange(3))
    else:
        path.write_bytes(content[damage])
    with pytest.raises(ValueError, match="not a complete Hartree-Fock state"):
        HartreeFockState.load(path)


def test_missing_state_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        HartreeFockState.load(tmp_path / "none.npz")
