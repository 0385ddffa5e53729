"""Geometry of the commensurate cells."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from stm_core.simulation import BOND_LENGTH, GRAPHENE_LATTICE, Crystal, TwistedBilayer, honeycomb
from stm_core.simulation.lattice import rotation

# i: atoms, twist angle in degrees, moiré length in Å (closed forms, checked with sisl)
CELLS = {
    1: (28, 21.786789, 6.509),
    6: (508, 5.085848, 27.723),
    8: (868, 3.890238, 36.238),
    9: (1084, 3.481006, 40.497),
    30: (11164, 1.084549, 129.962),
    31: (11908, 1.050121, 134.222),
}


@pytest.mark.parametrize("i", CELLS)
def test_cell_size_angle_and_length(i):
    atoms, angle, length = CELLS[i]
    cell = TwistedBilayer(i)
    assert cell.n_atoms == atoms
    assert np.degrees(cell.angle) == pytest.approx(angle, abs=1e-6)
    assert np.linalg.norm(cell.lattice, axis=1) == pytest.approx([length, length], abs=1e-3)


@settings(max_examples=12, deadline=None)
@given(i=st.integers(1, 12), spacing=st.floats(2.5, 4.0))
def test_every_layer_is_graphene(i, spacing):
    cell = TwistedBilayer(i, spacing)
    assert cell.area == pytest.approx(cell.n_atoms / 4 * GRAPHENE_LATTICE**2 * np.sqrt(3) / 2)
    shifts = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2) @ cell.lattice
    for layer in (0, 1):
        atoms = cell.positions[cell.layer == layer, :2]
        periodic = (atoms[None] + shifts[:, None]).reshape(-1, 2)
        distance, _ = cKDTree(periodic).query(atoms, k=5)
        assert distance[:, 1:4] == pytest.approx(BOND_LENGTH, abs=1e-9)
        assert distance[:, 4] == pytest.approx(GRAPHENE_LATTICE, abs=1e-9)
    assert np.ptp(cell.positions[:, 2]) == pytest.approx(spacing)


@pytest.mark.parametrize("i", [1, 2, 6, 9])
def test_full_point_group_as_permutations(i):
    cell = TwistedBilayer(i)
    group = cell.point_group
    assert len(group) == 12
    tables = {tuple(p) for p in group.values()}
    assert len(tables) == 12
    closed = {tuple(p[q]) for p in group.values() for q in group.values()}
    assert closed == tables
    threefold = group["C6^2"]
    np.testing.assert_array_equal(threefold[threefold[threefold]], np.arange(cell.n_atoms))
    np.testing.assert_array_equal(cell.layer[group["C6^1 C2x"]], 1 - cell.layer)
    np.testing.assert_array_equal(cell.sublattice[group["C6^3"]], 1 - cell.sublattice)


def test_a_mirror_is_not_a_symmetry_of_a_twist():
    with pytest.raises(ValueError, match="not a symmetry"):
        TwistedBilayer(2).permutation(np.diag([1.0, -1.0, 1.0]))
    with pytest.raises(ValueError, match="not a symmetry"):
        TwistedBilayer(2).permutation(rotation(np.pi / 4))


@pytest.mark.parametrize("crystal", [honeycomb(), TwistedBilayer(1), TwistedBilayer(9)])
def test_high_symmetry_points(crystal):
    np.testing.assert_allclose(crystal.lattice @ crystal.reciprocal.T, 2 * np.pi * np.eye(2), atol=1e-12)
    points = crystal.high_symmetry
    length = np.linalg.norm(crystal.lattice[0])
    assert np.linalg.norm(points["K"]) == pytest.approx(4 * np.pi / (3 * length))
    assert np.linalg.norm(points["M"]) == pytest.approx(2 * np.pi / (np.sqrt(3) * length))
    # A turn by 120° moves K by a reciprocal vector.
    moved = (rotation(2 * np.pi / 3)[:2, :2] @ points["K"] - points["K"]) @ np.linalg.inv(crystal.reciprocal)
    np.testing.assert_allclose(moved, np.rint(moved), atol=1e-9)


@pytest.mark.parametrize("i", [0, -3, 2.5])
def test_bad_twist_index(i):
    with pytest.raises(ValueError, match="whole number of at least 1"):
        TwistedBilayer(i)


def test_bad_spacing_shape_and_grid():
    with pytest.raises(ValueError, match="between 1 and 10 Å"):
        TwistedBilayer(2, spacing=-3.0)
    with pytest.raises(ValueError, match=r"positions of shape \(N, 3\)"):
        Crystal(np.zeros((2, 2)), np.eye(2), np.zeros(2, int), np.zeros(2, int))
    with pytest.raises(ValueError, match="each of the 2 atoms"):
        Crystal(np.zeros((2, 3)), np.eye(2), np.zeros(3, int), np.zeros(2, int))
    with pytest.raises(ValueError, match="positive number of k-points"):
        honeycomb().k_grid(0)


def test_path_through_high_symmetry_points():
    cell = TwistedBilayer(2)
    ks, distance, ticks = cell.k_path(("Γ", "K", "M", "Γ"), n=5)
    assert ks.shape == (16, 2)
    assert [name for name, _ in ticks] == ["Γ", "K", "M", "Γ"]
    for index, (name, place) in zip((0, 5, 10, 15), ticks, strict=True):
        np.testing.assert_allclose(ks[index], cell.high_symmetry[name], atol=1e-12)
        assert distance[index] == place
    sides = np.diff([place for _, place in ticks])
    assert sides == pytest.approx(np.linalg.norm(cell.high_symmetry["K"]) * np.array([1, 0.5, np.sqrt(0.75)]))
