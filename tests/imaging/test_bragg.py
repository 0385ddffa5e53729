"""Amplitudes at the moiré reciprocal vectors: which vectors, which values, which symmetries."""

from types import SimpleNamespace

import numpy as np
import pytest

from stm_core.imaging import FourierGrid, bragg_amplitudes, ft_ldos, graphene_vectors, layer_mask
from stm_core.simulation import GRAPHENE_LATTICE, TwistedBilayer

ROUNDING = 1e-10  # relative to the number of atoms


@pytest.fixture(scope="module")
def cell():
    return TwistedBilayer(i=2)


@pytest.fixture(scope="module")
def maps(cell):
    return np.random.default_rng(7).uniform(0.1, 1.0, (3, cell.n_atoms))


def test_number_of_vectors_follows_from_the_areas():
    cell = TwistedBilayer(i=9)
    _, vectors = bragg_amplitudes(cell, np.ones(cell.n_atoms))
    window = (2.2 * 2 * np.pi) * (2.2 * 4 * np.pi / np.sqrt(3)) / GRAPHENE_LATTICE**2
    zone = abs(np.linalg.det(cell.reciprocal))
    assert len(vectors) == pytest.approx(window / zone, rel=0.02)
    assert 1250 < len(vectors) < 1370


def test_vectors_are_all_of_the_reciprocal_lattice_in_the_window(cell):
    _, vectors = bragg_amplitudes(cell, np.ones(cell.n_atoms))
    whole = vectors @ cell.lattice.T / (2 * np.pi)
    np.testing.assert_allclose(whole, np.round(whole), atol=1e-9)
    limit = np.array([1.1 * 2 * np.pi, 1.1 * 4 * np.pi / np.sqrt(3)]) / GRAPHENE_LATTICE
    steps = np.arange(-60, 61)
    every = np.stack([grid.ravel() for grid in np.meshgrid(steps, steps)], axis=1) @ cell.reciprocal
    assert len(vectors) == (np.abs(every) <= limit).all(axis=1).sum()
    assert len(np.unique(np.round(vectors, 6), axis=0)) == len(vectors)
    assert np.all(vectors[0] == 0) and np.all(np.diff(np.linalg.norm(vectors, axis=1)) > -1e-8)


def test_amplitudes_are_the_transform_at_these_vectors(cell, maps):
    amplitudes, vectors = bragg_amplitudes(cell, maps)
    top = cell.layer == 1
    xy = cell.positions[top, :2] / GRAPHENE_LATTICE
    reduced = vectors * GRAPHENE_LATTICE / [2 * np.pi, 4 * np.pi / np.sqrt(3)]
    for index in range(0, len(vectors), 7):
        # Stretching the positions puts this G on the corner (1, 1) of a 2 × 2 grid of extent 1.
        corner = FourierGrid.build(xy * reduced[index], n_k=2, extent=1.0).transform(maps[:, top])[:, 1, 1]
        np.testing.assert_allclose(amplitudes[:, index], corner, atol=ROUNDING * cell.n_atoms)


def test_first_amplitude_is_the_total_weight(cell, maps):
    amplitudes, _ = bragg_amplitudes(cell, maps)
    np.testing.assert_allclose(amplitudes[:, 0], maps[:, cell.layer == 1].sum(axis=1), rtol=1e-12)


def test_uniform_layer_shows_only_graphene_peaks(cell):
    # A uniform layer repeats with graphene's own lattice: of all moiré vectors only G = 0 and the
    # first shell answer, the latter with half the weight because the two sublattices are 120° apart.
    amplitudes, vectors = bragg_amplitudes(cell, np.ones(cell.n_atoms))
    atoms = cell.n_atoms / 2
    strong = np.abs(amplitudes) > 1e-8 * atoms
    assert strong.sum() == 7
    np.testing.assert_allclose(np.abs(amplitudes[strong])[1:], atoms / 2, rtol=1e-9)
    shell = 4 * np.pi / (np.sqrt(3) * GRAPHENE_LATTICE)
    np.testing.assert_allclose(np.linalg.norm(vectors[strong], axis=1)[1:], shell, rtol=1e-9)


def test_choice_of_atom_image_does_not_matter(cell, maps):
    rng = np.random.default_rng(8)
    moved = cell.positions.copy()
    moved[:, :2] += rng.integers(-3, 4, (cell.n_atoms, 2)) @ cell.lattice
    other = SimpleNamespace(
        positions=moved, lattice=cell.lattice, reciprocal=cell.reciprocal, layer=cell.layer
    )
    before, _ = bragg_amplitudes(cell, maps, layer="both")
    after, _ = bragg_amplitudes(other, maps, layer="both")
    np.testing.assert_allclose(after, before, atol=ROUNDING * cell.n_atoms)
    # Between these vectors the transform does depend on where the cell is cut.
    xy, other_xy = cell.positions[:, :2] / GRAPHENE_LATTICE, moved[:, :2] / GRAPHENE_LATTICE
    assert np.abs(ft_ldos(xy, maps[0], n_k=40) - ft_ldos(other_xy, maps[0], n_k=40)).max() > 1.0


def test_layer_values_and_full_values_agree(cell, maps):
    full, _ = bragg_amplitudes(cell, maps, layer="bottom")
    only, _ = bragg_amplitudes(cell, maps[:, cell.layer == 0], layer="bottom")
    single, _ = bragg_amplitudes(cell, maps[0], layer="bottom")
    np.testing.assert_array_equal(full, only)
    np.testing.assert_allclose(single, full[0], rtol=0, atol=ROUNDING * cell.n_atoms)
    both, _ = bragg_amplitudes(cell, maps, layer="both")
    top, _ = bragg_amplitudes(cell, maps, layer="top")
    np.testing.assert_allclose(both, top + full, rtol=0, atol=ROUNDING * cell.n_atoms)


def test_layer_mask_reads_zero_as_bottom_and_one_as_top():
    assert layer_mask([0, 1, 1], "top").tolist() == [False, True, True]
    assert layer_mask([0, 1, 1], "bottom").tolist() == [True, False, False]
    assert layer_mask([0, 1, 1], "both").all()


def test_bad_input_is_named(cell, maps):
    with pytest.raises(ValueError, match="'top', 'bottom' and 'both'"):
        bragg_amplitudes(cell, maps, layer="middle")
    with pytest.raises(ValueError, match="must match the 38 positions"):
        bragg_amplitudes(cell, maps[:, :5])
    with pytest.raises(ValueError, match="NaN"):
        bragg_amplitudes(cell, np.full(cell.n_atoms, np.nan))


@pytest.mark.parametrize("strain", [0.0, 0.02])
def test_graphene_vectors_are_the_layers_reciprocal_lattice_and_its_corners(strain):
    cell = TwistedBilayer(i=6, heterostrain=strain, strain_angle=0.3)
    for layer, number in (("bottom", 0), ("top", 1)):
        vectors = graphene_vectors(cell, layer)
        same = cell.positions[(cell.layer == number) & (cell.sublattice == 0), :2]
        phases = np.exp(1j * (same - same[0]) @ vectors["Bragg"].T)
        np.testing.assert_allclose(phases, 1.0, atol=1e-9)
        # Three times a corner is a reciprocal vector, and the corner itself is not.
        tripled = np.exp(3j * (same - same[0]) @ vectors["K"].T)
        np.testing.assert_allclose(tripled, 1.0, atol=1e-9)
        assert np.abs(np.exp(1j * (same - same[0]) @ vectors["K"].T) - 1).max() > 1
        for name, shell in vectors.items():
            directions = np.degrees(np.unwrap(np.arctan2(shell[:, 1], shell[:, 0])))
            np.testing.assert_allclose(np.diff(directions), 60, atol=2 if strain else 1e-9)
            assert strain or directions[0] == pytest.approx(
                (30 if name == "Bragg" else 0) + (number - 0.5) * np.degrees(cell.angle)
            )
    with pytest.raises(ValueError, match="'top' and 'bottom'"):
        graphene_vectors(cell, "both")
