"""Spin density by stacking region."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from stm_core.simulation import TwistedBilayer, honeycomb
from stm_core.simulation.observables import STACKINGS, moire_magnetisation, stacking_regions


def localised(crystal, up, down, turn=None):
    """Every orbital on one atom, filled with ``up`` and ``down`` electrons; as spinors if turned."""
    n = crystal.n_atoms
    if turn is None:
        orbitals, occupations = np.broadcast_to(np.eye(n), (2, 1, n, n)), np.stack([up, down])[:, None]
    else:
        orbitals, occupations = np.kron(turn, np.eye(n))[None, None], np.concatenate([up, down])[None, None]
    return SimpleNamespace(
        crystal=crystal,
        nk=1,
        filling=0.0,
        energies=np.zeros(occupations.shape),
        occupations=occupations,
        orbitals_at=lambda spin, k: orbitals[spin, k],
    )


@pytest.mark.parametrize("cell", [TwistedBilayer(16, 3.35), TwistedBilayer(16, 3.35, 0.01, 0.4)])
def test_regions_are_stacked_as_their_names_say(cell):
    """Around the centres of AB and BA an atom has one of the other sublattice right above, or none."""
    region = stacking_regions(cell)
    shifts = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2) @ cell.lattice
    top = np.nonzero(cell.layer == 1)[0]
    above = cKDTree((cell.positions[top, :2] + shifts[:, None]).reshape(-1, 2))
    for name, below, over in (("AA", 0, 0), ("AA", 1, 1), ("AB", 0, 1), ("BA", 1, 0)):
        centre = np.array(STACKINGS[name][0]) @ cell.lattice
        distance = np.linalg.norm(cell.positions[:, :2] - centre - shifts[:, None], axis=-1).min(axis=0)
        near = np.nonzero((cell.layer == 0) & (cell.sublattice == below) & (distance < 5.0))[0]
        assert np.all(region[near] == name)
        offset, found = above.query(cell.positions[near, :2])
        assert offset.max() < 0.5
        assert np.all(cell.sublattice[top[found % len(top)]] == over)


def test_regions_have_the_symmetry_of_the_cell():
    cell = TwistedBilayer(8)
    region = stacking_regions(cell)
    threefold, half_turn = cell.point_group["C6^2"], cell.point_group["C6^3"]
    swap = {"AA": "AA", "AB": "BA", "BA": "AB", "SP": "SP"}
    np.testing.assert_array_equal(region[threefold], region)
    np.testing.assert_array_equal(region[half_turn], [swap[name] for name in region])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_spin_density_adds_up_and_turns_with_the_spin(seed):
    rng = np.random.default_rng(seed)
    cell = TwistedBilayer(2)
    up, down = rng.uniform(size=(2, cell.n_atoms))
    collinear = moire_magnetisation(localised(cell, up, down))
    np.testing.assert_allclose(collinear.spin, (up - down)[:, None] * [0, 0, 1])
    np.testing.assert_allclose(sum(collinear.total.values()), [0, 0, (up - down).sum()], atol=1e-12)
    sign = 1 - 2 * cell.sublattice
    np.testing.assert_allclose(sum(collinear.staggered.values())[2], (sign * (up - down)).sum(), atol=1e-12)
    turn = np.linalg.qr(rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2)))[0]
    spinor = turn[:, 0]
    pauli = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    axis = np.einsum("s,ast,t->a", spinor.conj(), pauli, spinor).real
    turned = moire_magnetisation(localised(cell, up, down, turn))
    np.testing.assert_allclose(turned.spin, (up - down)[:, None] * axis, atol=1e-12)


def test_equal_spins_have_no_magnetisation_and_a_monolayer_no_regions():
    cell = TwistedBilayer(1)
    restricted = localised(cell, np.ones(28), np.ones(28))
    restricted.energies = np.zeros((1, 1, 28))
    assert not moire_magnetisation(restricted).spin.any()
    with pytest.raises(ValueError, match="twisted bilayer"):
        moire_magnetisation(localised(honeycomb(), np.ones(2), np.ones(2)))
