import numpy as np
import pytest

from stm_core.imaging import bragg_amplitudes, graphene_vectors, layer_mask
from stm_core.insight import (
    family_weights,
    peak_families,
    peak_shells,
    pixel_vectors,
    pixels_of,
    satellite_share,
)
from stm_core.simulation import TwistedBilayer


@pytest.fixture(scope="module")
def cell():
    return TwistedBilayer(i=5)


@pytest.mark.parametrize("layer", ["top", "bottom"])
def test_landmarks_and_their_satellites_belong_to_their_families(cell, layer):
    vectors = graphene_vectors(cell, layer)
    landmarks = {"moiré": np.zeros((1, 2)), "graphene": vectors["Bragg"], "Kekulé": vectors["K"]}
    for family, points in landmarks.items():
        assert peak_families(cell, points, layer)[family].all()
        # The moiré's own vectors around a landmark are its satellites and of its family.
        around = (points[:, None] + cell.reciprocal).reshape(-1, 2)
        assert peak_families(cell, around, layer)[family].all()


def test_satellites_are_the_second_shell_of_peaks_about_a_landmark(cell):
    vectors = bragg_amplitudes(cell, np.ones(cell.n_atoms))[1]
    step = np.linalg.norm(cell.reciprocal[0])
    shells = peak_shells(cell, vectors)
    central, satellites = shells["moiré"]
    assert vectors[central].tolist() == [[0, 0]]
    np.testing.assert_allclose(np.linalg.norm(vectors[satellites], axis=1), np.full(6, step))
    for family, landmarks in graphene_vectors(cell).items():
        central, satellites = shells["graphene" if family == "Bragg" else "Kekulé"]
        away = [np.linalg.norm(vectors[mask][:, None] - landmarks, axis=-1) for mask in (central, satellites)]
        if family == "Bragg":
            np.testing.assert_allclose(away[0].min(axis=1), 0, atol=1e-9)
            np.testing.assert_allclose(away[1].min(axis=1), step)
        assert not (central & satellites).any()


def test_each_peak_lies_in_its_pixel(cell):
    vectors = bragg_amplitudes(cell, np.ones(cell.n_atoms))[1]
    centres = pixel_vectors(200)
    pitch = np.abs(centres[1, 1] - centres[0, 0])
    for vector in vectors[[0, 1, 5, 40, -1]]:
        (held,) = centres[pixels_of(vector[None], 200)]
        assert (np.abs(held - vector) <= pitch / 2 + 1e-9).all()


def test_the_share_of_satellites_is_known_where_the_map_is():
    central, satellites = np.arange(8) == 0, np.arange(8) > 5
    assert satellite_share(np.ones(8), central, satellites) == pytest.approx(0.5)
    assert satellite_share(-1.0 * satellites, central, satellites) == 1
    assert satellite_share(np.r_[3.0, np.ones(7)], central, satellites) == pytest.approx(0.25)
    assert np.isnan(satellite_share(np.arange(8) == 3, central, satellites))


def test_families_share_out_all_pixels_as_areas_of_zones(cell):
    families = peak_families(cell, pixel_vectors(300))
    assert (sum(mask.astype(int) for mask in families.values()) == 1).all()
    # One landmark of three is a reciprocal vector, and the window cuts those of the shell.
    kx, ky = 1.1 * 2 * np.pi, 1.1 * 4 * np.pi / np.sqrt(3)
    zone = (4 * np.pi / 3) ** 2 * np.sqrt(3) / 2  # per landmark, in 1/a²
    assert families["moiré"].mean() == pytest.approx(zone / (4 * kx * ky), rel=0.02)


def test_a_modulation_shows_in_its_own_family_only(cell):
    xy = cell.positions[layer_mask(cell.layer, "top"), :2]
    flat = np.ones(len(xy))
    moire = np.cos(xy @ cell.reciprocal[0])
    # The reciprocal vector of the cell next to K: a √3 × √3 pattern that fits the moiré cell.
    corner = graphene_vectors(cell)["K"][0]
    steps = np.rint(corner @ np.linalg.inv(cell.reciprocal))
    kekule = np.cos(xy @ (steps @ cell.reciprocal))
    patterns = np.stack([flat, flat + 0.1 * moire, flat + 0.1 * kekule])
    amplitudes, vectors = bragg_amplitudes(cell, patterns)
    weights = family_weights(amplitudes, vectors, peak_families(cell, vectors))
    assert weights["moiré"][0] == pytest.approx(0, abs=1e-9)
    assert weights["moiré"][1] == pytest.approx(0.1 / np.sqrt(2), rel=1e-6)
    assert weights["moiré"][2] == pytest.approx(0, abs=1e-9)
    assert weights["Kekulé"][:2] == pytest.approx(0, abs=1e-9)
    assert weights["Kekulé"][2] > 0.05
    assert weights["graphene"][0] > 0.5


def test_weights_do_not_depend_on_the_set_point(cell):
    amplitudes, vectors = bragg_amplitudes(cell, np.random.default_rng(0).random((2, cell.n_atoms)))
    families = peak_families(cell, vectors)
    once, scaled = (family_weights(f * amplitudes, vectors, families) for f in (1.0, 7.0))
    for name in families:
        np.testing.assert_allclose(once[name], scaled[name])


def test_what_is_no_list_of_peaks_is_named(cell):
    vectors = np.array([[0.0, 0.0], [1.0, 0.0]])
    with pytest.raises(ValueError, match="must match"):
        family_weights(np.ones(3), vectors, {"all": np.ones(2, bool)})
    with pytest.raises(ValueError, match="first vector must be zero"):
        family_weights(np.ones(2), vectors[::-1], {"all": np.ones(2, bool)})
    with pytest.raises(ValueError, match="'top' and 'bottom'"):
        peak_families(cell, vectors, "both")
