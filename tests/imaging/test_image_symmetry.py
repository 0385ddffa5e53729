"""The point group on samples, Bragg amplitudes and pictures: one geometry in all three."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from stm_core.imaging import (
    bragg_amplitudes,
    domain_average,
    domain_average_image,
    group_orbit,
    k_axes,
    same_sample,
    sample_labels,
)
from stm_core.simulation import GRAPHENE_LATTICE, TwistedBilayer

ROUNDING = 1e-10  # relative to the number of atoms
SIXTY = np.array([[0.5, -np.sqrt(0.75)], [np.sqrt(0.75), 0.5]])


@pytest.fixture(scope="module")
def cell():
    return TwistedBilayer(i=2)


def broken(cell, seed, n_bias=3):
    """LDOS without any symmetry."""
    return np.random.default_rng(seed).uniform(0.1, 1.0, (n_bias, cell.n_atoms))


def at_turned_vectors(vectors, operation):
    """For each vector inside, where the vector lies that the operation takes to it."""
    distance, index = cKDTree(vectors).query(vectors @ operation)
    return index, distance < 1e-6


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000))
def test_images_turn_the_bragg_amplitudes(cell, seed):
    ldos = broken(cell, seed)
    top = cell.layer == 1
    before, vectors = bragg_amplitudes(cell, ldos)
    for turns, image in enumerate(group_orbit(cell, ldos[:, top], layer="top")):
        after, _ = bragg_amplitudes(cell, image)
        index, inside = at_turned_vectors(vectors, np.linalg.matrix_power(SIXTY, turns))
        assert inside.sum() > 0.6 * len(vectors)
        np.testing.assert_allclose(
            after[:, inside], before[:, index[inside]], rtol=0, atol=ROUNDING * cell.n_atoms
        )


def test_half_of_the_group_exchanges_the_layers(cell):
    ldos = broken(cell, 1)
    images = group_orbit(cell, ldos)
    assert images.shape == (12, *ldos.shape)
    assert len(np.unique(np.round(images[:, 0], 9), axis=0)) == 12
    top = cell.layer == 1
    keep = [np.allclose(np.sort(image[:, top]), np.sort(ldos[:, top])) for image in images]
    swap = [np.allclose(np.sort(image[:, top]), np.sort(ldos[:, ~top])) for image in images]
    assert sum(keep) == sum(swap) == 6 and not any(np.logical_and(keep, swap))
    # What the tip sees of a turned sample is the bottom layer in a mirror.
    flipped = images[list(cell.point_group).index("C6^0 C2x")]
    seen, vectors = bragg_amplitudes(cell, flipped, layer="top")
    below, _ = bragg_amplitudes(cell, ldos, layer="bottom")
    index, inside = at_turned_vectors(vectors, np.diag([1.0, -1.0]))
    assert inside.all()
    np.testing.assert_allclose(seen, below[:, index], rtol=0, atol=ROUNDING * cell.n_atoms)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000), operation=st.integers(0, 11))
def test_an_image_has_the_same_orbit(cell, seed, operation):
    orbit = group_orbit(cell, broken(cell, seed, n_bias=1)[0])
    again = group_orbit(cell, orbit[operation])
    distance = np.linalg.norm(orbit[:, None] - again, axis=-1)
    np.testing.assert_array_equal(np.sort(distance.argmin(axis=1)), np.arange(12))
    assert distance.min(axis=1).max() == 0.0


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), operation=st.integers(0, 11))
def test_a_sample_is_known_from_every_side(cell, seed, operation):
    first, other = broken(cell, seed), broken(cell, seed + 5000)
    image = group_orbit(cell, first)[operation]
    unconverged = image * (1 + 1e-3 * np.random.default_rng(seed).standard_normal(image.shape))
    assert same_sample(cell, first, unconverged) and same_sample(cell, unconverged, first)
    assert not same_sample(cell, first, unconverged, tolerance=1e-4)
    assert not same_sample(cell, first, other)
    assert not same_sample(cell, first, first[:, ::-1])


def test_images_share_a_label_and_neighbours_do_not(cell):
    first, second = broken(cell, 1), broken(cell, 2)
    near = first.copy()
    near[0, 0] *= 1.5
    stack = [first, second, group_orbit(cell, second)[7], near, group_orbit(cell, first)[3], second]
    np.testing.assert_array_equal(sample_labels(cell, np.stack(stack)), [0, 1, 1, 3, 0, 1])


def test_domain_average_is_the_average_of_the_images(cell):
    ldos = broken(cell, 4)
    top = cell.layer == 1
    amplitudes, vectors = bragg_amplitudes(cell, ldos)
    averaged, kept = domain_average(amplitudes, vectors)
    mean, _ = bragg_amplitudes(cell, group_orbit(cell, ldos[:, top], layer="top").mean(axis=0))
    whole, found = cKDTree(vectors).query(kept)[1], cKDTree(vectors).query(kept)[0]
    assert found.max() == 0.0 and 0 < len(kept) < len(vectors)
    np.testing.assert_allclose(averaged, mean[:, whole], rtol=0, atol=ROUNDING * cell.n_atoms)
    both, vectors = bragg_amplitudes(cell, ldos, layer="both")
    averaged, kept = domain_average(both, vectors, mirrors=True)
    mean, _ = bragg_amplitudes(cell, group_orbit(cell, ldos).mean(axis=0), layer="both")
    whole = cKDTree(vectors).query(kept)[1]
    np.testing.assert_allclose(averaged, mean[:, whole], rtol=0, atol=ROUNDING * cell.n_atoms)


def test_averaged_magnitudes_do_not_tell_domains_apart(cell):
    ldos = broken(cell, 4)
    top = cell.layer == 1
    results = []
    for image in group_orbit(cell, ldos[:, top], layer="top"):
        amplitudes, vectors = bragg_amplitudes(cell, image)
        results.append(domain_average(np.abs(amplitudes), vectors)[0])
    np.testing.assert_allclose(results, np.broadcast_to(results[0], np.shape(results)), rtol=1e-9)


def test_only_whole_stars_are_kept(cell):
    amplitudes, vectors = bragg_amplitudes(cell, broken(cell, 4))
    _, kept = domain_average(amplitudes, vectors)
    limit = np.array([1.1 * 2 * np.pi, 1.1 * 4 * np.pi / np.sqrt(3)]) / GRAPHENE_LATTICE
    stars = np.stack([vectors @ np.linalg.matrix_power(SIXTY, n) for n in range(6)])
    whole = (np.abs(stars) <= limit * (1 + 1e-9)).all(axis=(0, 2))
    np.testing.assert_array_equal(kept, vectors[whole])
    assert (np.linalg.norm(kept, axis=1) > 2.9).sum() >= 6  # graphene's first shell is among them


def picture(function, n_k=201, extent=1.1):
    kx, ky = k_axes(n_k, extent)
    return function(*np.meshgrid(kx, ky))


def test_a_hexagonal_picture_stays_as_it_is():
    def hexagonal(kx, ky):
        angles = np.arange(3) * np.pi / 3
        return 3 + sum(np.cos(1.5 * (np.cos(a) * kx + np.sin(a) * ky)) for a in angles)

    image = picture(hexagonal)
    np.testing.assert_allclose(domain_average_image(image), image, atol=0.005 * image.max())


def test_one_spot_becomes_six_in_true_geometry():
    place = np.array([3.0, 4.0])

    def spot(kx, ky, centre=place):
        return np.exp(-((kx - centre[0]) ** 2 + (ky - centre[1]) ** 2) / (2 * 0.3**2))

    def six(kx, ky):
        turned = [np.linalg.matrix_power(SIXTY, n) @ place for n in range(6)]
        return sum(spot(kx, ky, centre) for centre in turned) / 6

    averaged = domain_average_image(picture(spot, n_k=301))
    kx, ky = np.meshgrid(*k_axes(301))
    inside = np.hypot(kx, ky) < 1.1 * 2 * np.pi
    np.testing.assert_allclose(averaged[inside], picture(six, n_k=301)[inside], atol=0.01 / 6)


def test_bad_input_is_named(cell):
    with pytest.raises(ValueError, match="they must agree"):
        same_sample(cell, np.ones(cell.n_atoms), np.ones((2, cell.n_atoms)))
    with pytest.raises(ValueError, match="last axis must match"):
        group_orbit(cell, np.ones(5))
    with pytest.raises(ValueError, match="'top', 'bottom' and 'both'"):
        group_orbit(cell, np.ones(cell.n_atoms), layer="middle")
    with pytest.raises(ValueError, match="do not belong"):
        domain_average(np.ones(4), np.ones((5, 2)))
    with pytest.raises(ValueError, match="finite square"):
        domain_average_image(np.ones((4, 5)))
