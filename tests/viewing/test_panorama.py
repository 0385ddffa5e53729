"""The road in one figure, and the bias slider, show what the dataset holds."""

import numpy as np
import pytest

from stm_core.data import image_set, load_dataset
from stm_core.simulation import TwistedBilayer
from stm_core.viewing import bias_figure, cover_figure, figure_html, road_figure
from stm_core.viewing.panorama import relative
from stm_core.viewing.scene import FLOOR
from stm_core.viewing.spectrum import stacking_regions
from stm_core.viewing.stage import grey_steps

N_K = 61
PAGE = 3e6  # bytes, promised for a figure of a page


@pytest.fixture(scope="module")
def dataset(small_dataset_path):
    return load_dataset(small_dataset_path)


def test_relative_contrast_has_mean_one_and_leaves_an_empty_map_empty():
    maps = np.array([[1.0, 3.0], [0.0, 0.0]])
    np.testing.assert_allclose(relative(maps), [[0.5, 1.5], [0.0, 0.0]])


def test_cover_has_a_column_for_each_U_with_its_map_picture_and_reading(dataset):
    figure = cover_figure(dataset, U=[1.0, 4.0], readings=["one", "four"], size=16, n_k=N_K)
    maps, pictures = figure.axes[:2], figure.axes[2:4]
    assert [axes.get_title() for axes in maps] == ["U = 1 eV", "U = 4 eV"]
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["one", "four"]
    expected = image_set(dataset, bias=0.0, size=16, n_k=N_K)
    for axes, U in zip(pictures, (1.0, 4.0), strict=True):
        lowest = np.flatnonzero((expected.U == U) & dataset["ground"].values)[0]
        np.testing.assert_array_equal(axes.images[0].get_array(), expected.images[lowest])
        assert axes.images[0].get_clim() == (FLOOR, 1.0)


def test_cover_spreads_over_the_range_of_U_by_default(dataset):
    titles = [axes.get_title() for axes in cover_figure(dataset, size=8, n_k=N_K).axes[:4]]
    assert titles[0] == "U = 0 eV" and titles[-1] == "U = 5 eV" and len(set(titles)) == 4


def test_cover_refuses_a_U_that_was_not_computed(dataset):
    with pytest.raises(ValueError, match=r"U = 0\.7 eV is not in the dataset; it holds 0, 0\.6, 1"):
        cover_figure(dataset, U=[0.7], n_k=N_K)


def test_maps_of_the_road_repeat_the_cell():
    cell = TwistedBilayer(i=1)
    values = np.arange(1.0, cell.n_atoms + 1)
    figure = road_figure(cell.positions, [values], np.ones((1, 4, 4)), ["cell"], lattice=cell.lattice)
    dots = figure.axes[0].collections[0]
    drawn = {
        tuple(np.round(point, 6)): value
        for point, value in zip(dots.get_offsets(), dots.get_array(), strict=True)
    }
    half = 0.8 * np.linalg.norm(cell.lattice[0])
    assert np.abs(list(drawn)).max() < half
    # Everywhere in the square, a step of the lattice that stays inside leads to the same value.
    steps = [(point, tuple(np.round(np.add(point, cell.lattice[0]), 6))) for point in drawn]
    found = [drawn[start] == drawn[end] for start, end in steps if end in drawn]
    assert len(found) > 5 and all(found)
    with pytest.raises(ValueError, match="1 maps, 1 images, 2 titles"):
        road_figure(cell.positions, [values], np.ones((1, 4, 4)), ["a", "b"], lattice=cell.lattice)


def test_regions_are_hexagons_about_the_stacking_centres():
    cell = TwistedBilayer(i=9)
    top = cell.positions[cell.layer == 1, :2]
    regions = stacking_regions(top, cell.lattice)
    corners = {"AA": np.zeros(2), "AB": cell.lattice.sum(axis=0) / 3}
    for name, atoms in regions.items():
        away = (top[atoms] - corners[name]) @ np.linalg.inv(cell.lattice)
        distance = np.linalg.norm((away - np.rint(away)) @ cell.lattice, axis=1)
        assert distance.max() < 3.0
    assert not set(regions["AA"]) & set(regions["AB"])


def test_bias_slider_has_a_stop_for_each_bias_with_its_own_map_picture_and_level(dataset):
    figure = bias_figure(dataset, U=2.1, size=16, n_k=N_K)
    assert figure.layout.title.text.startswith("U = 2 eV")
    assert [step.label for step in figure.layout.sliders[0].steps] == [frame.name for frame in figure.frames]
    lowest = np.flatnonzero((dataset["U"].values == 2.0) & dataset["ground"].values)[0]
    ldos = dataset["ldos"].values[lowest][:, dataset["layer"].values == 1].astype(float)
    images = image_set(dataset.isel(sample=[lowest]), size=16, n_k=N_K).images
    assert len(figure.frames) == len(ldos)
    for frame, values, image in zip(figure.frames, ldos, images, strict=True):
        atoms, picture, point = frame.data
        np.testing.assert_allclose(atoms.marker.color, values / values.mean(), rtol=1e-5)
        np.testing.assert_array_equal(picture.z, grey_steps(image, "linear"))
        assert point.y[0] == pytest.approx(values.mean())
    assert len(figure_html(figure)) < PAGE
