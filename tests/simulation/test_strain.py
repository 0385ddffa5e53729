"""Heterostrain: exact periodicity, the strain that comes out, the symmetry that is left."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from stm_core.simulation import GRAPHENE_LATTICE, TightBinding, TwistedBilayer
from stm_core.simulation.strain import POISSON_RATIO, strained_cell, stretch_and_turn, uniaxial

angles = st.floats(0, np.pi)


@given(strain=st.floats(-0.1, 0.1), angle=angles)
def test_uniaxial_strain_stretches_along_and_shrinks_across(strain, angle):
    tensor = uniaxial(strain, angle)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    np.testing.assert_allclose(tensor @ along, strain * along, atol=1e-15)
    np.testing.assert_allclose(tensor @ across, -POISSON_RATIO * strain * across, atol=1e-15)


@given(turn=st.floats(-1, 1), strain=st.floats(-0.1, 0.1), angle=angles)
def test_stretch_and_turn_are_recovered(turn, strain, angle):
    lattice = np.array([[2.0, 0.3], [0.4, 1.7]])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    stretch = np.eye(2) + uniaxial(strain, angle)
    found, angle_found = stretch_and_turn(lattice, lattice @ rotation.T @ stretch)
    np.testing.assert_allclose(found, stretch, atol=1e-12)
    assert angle_found == pytest.approx(turn, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(i=st.integers(2, 40), share=st.floats(-0.5, 0.5), angle=angles)
def test_both_layers_are_periodic_and_the_error_shrinks_with_the_cell(i, share, angle):
    """Rounding moves a moiré vector by at most half a graphene vector: a strain error below θ²."""
    plain = TwistedBilayer(i)
    strain = uniaxial(share * plain.angle, angle)
    moire, layers = strained_cell(plain.lattice, plain.layer_lattices, strain)
    for layer in layers:
        counts = moire @ np.linalg.inv(layer)
        np.testing.assert_allclose(counts, np.rint(counts), atol=1e-9)
    bottom, top = (stretch_and_turn(plain.layer_lattices[0], layer)[0] for layer in layers)
    assert np.linalg.norm(top - bottom - strain) < 2 * plain.angle**2


@pytest.fixture(scope="module")
def strained():
    return TwistedBilayer(6, 3.0, heterostrain=0.02, strain_angle=0.3)


def test_every_atom_sees_the_same_strained_graphene(strained):
    shifts = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2) @ strained.lattice
    for side, vectors in enumerate(strained.layer_lattices):
        for sublattice in (0, 1):
            atoms = strained.positions[(strained.layer == side) & (strained.sublattice == sublattice), :2]
            assert len(atoms) == round(strained.area / abs(np.linalg.det(vectors)))
            distance, _ = cKDTree((atoms[None] + shifts[:, None]).reshape(-1, 2)).query(atoms, k=7)
            expected = np.sort(np.linalg.norm(np.array([[1, 0], [0, 1], [1, -1]]) @ vectors, axis=1))
            np.testing.assert_allclose(distance[:, 1:], np.repeat(expected, 2)[None].repeat(len(atoms), 0))


def test_the_wanted_strain_is_nearly_met(strained):
    wanted = uniaxial(0.02, 0.3)
    assert np.linalg.norm(strained.realised_strain - wanted) < np.linalg.norm(wanted) / 2
    assert strained.realised_twist == pytest.approx(strained.angle, rel=0.05)
    bottom, top = (
        stretch_and_turn(TwistedBilayer(6).layer_lattices[0], x)[0] for x in strained.layer_lattices
    )
    np.testing.assert_allclose(bottom + top, 2 * np.eye(2), atol=1e-3)


def test_without_strain_the_cell_is_the_twisted_one():
    plain = TwistedBilayer(9)
    np.testing.assert_allclose(plain.realised_strain, 0, atol=1e-14)
    assert plain.realised_twist == pytest.approx(plain.angle, abs=1e-14)
    np.testing.assert_allclose(np.linalg.norm(plain.layer_lattices, axis=2), GRAPHENE_LATTICE)
    moire, layers = strained_cell(plain.lattice, plain.layer_lattices, np.zeros((2, 2)))
    np.testing.assert_allclose(moire, plain.lattice, atol=1e-10)
    np.testing.assert_allclose(layers, plain.layer_lattices, atol=1e-12)


def test_strain_leaves_the_half_turn_and_splits_the_bands(strained):
    group = strained.point_group
    assert set(group) == {"C6^0", "C6^3"}
    half_turn = group["C6^3"]
    np.testing.assert_array_equal(half_turn[half_turn], np.arange(strained.n_atoms))
    np.testing.assert_array_equal(strained.sublattice[half_turn], 1 - strained.sublattice)
    h = TightBinding(strained, 5.0).hamiltonian(np.zeros(2))
    np.testing.assert_allclose(h[np.ix_(half_turn, half_turn)], h, atol=1e-9)


def test_strains_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="steps of about"):
        TwistedBilayer(6, heterostrain=0.001)
    with pytest.raises(ValueError, match="half the twist angle"):
        TwistedBilayer(9, heterostrain=0.05)
    with pytest.raises(ValueError, match="finite angle"):
        TwistedBilayer(9, heterostrain=0.01, strain_angle=np.nan)
