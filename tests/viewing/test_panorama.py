"""The road in one figure, and the bias slider, show what the dataset holds."""

import base64

import numpy as np
import pytest

from stm_core.data import image_set, joined, load_dataset
from stm_core.simulation import TwistedBilayer
from stm_core.viewing import U_figure, bias_figure, cover_figure, figure_html, road_figure
from stm_core.viewing.panorama import BRIGHTEST, relative
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
    steps = figure.layout.sliders[0].steps
    assert [step.args[0][0] for step in steps] == [frame.name for frame in figure.frames]
    assert [step.label for step in steps] == [f"{1000 * bias:.3g}" for bias in dataset["bias"].values]
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


@pytest.fixture(scope="module")
def doped(dataset):
    """The same cell with a filling that has fewer U and other maps."""
    few = dataset.isel(sample=np.flatnonzero(dataset["U"].values >= 2))
    few = few.assign(ldos=few["ldos"] * (1 + 0.5 * few["layer"].values * np.cos(few["x"].values)))
    return few.assign_coords(filling=("sample", np.full(few.sizes["sample"], -2.0)))


def test_U_slider_has_its_stops_for_each_filling_and_bias(dataset, doped):
    both = joined(dataset, doped)
    figure = U_figure(both, biases=(0.0, 0.02), size=16, n_k=N_K, max_frames=4)
    (menu,), sliders = figure.layout.updatemenus, figure.layout.sliders
    labels = ["ν = 0, 0 meV", "ν = 0, 20 meV", "ν = −2, 0 meV", "ν = −2, 20 meV"]
    assert [button.label for button in menu.buttons] == labels
    stops = [[float(step.label) for step in slider.steps] for slider in sliders]
    assert stops[0] == stops[1] and (stops[0][0], stops[0][-1]) == (0, 5)
    assert stops[2] == stops[3] and (stops[2][0], stops[2][-1]) == (2, 5)
    frames = {frame.name: frame for frame in figure.frames}
    top = both["layer"].values == 1
    for number, (slider, filling, bias) in enumerate(
        zip(sliders, (0, 0, -2, -2), (0.0, 0.02) * 2, strict=True)
    ):
        position = int(np.abs(both["bias"].values - bias).argmin())
        for step in slider.steps:
            here = (both["U"].values == float(step.label)) & (both["filling"].values == filling)
            lowest = np.flatnonzero(here & both["ground"].values)[0]
            ldos = both["ldos"].values[lowest, position, top].astype(float)
            atoms, picture, point = frames[step.args[0][0]].data
            np.testing.assert_allclose(atoms.marker.color, ldos / ldos.mean(), rtol=1e-5)
            assert point.y[0] == pytest.approx(ldos.mean()) and point.x[0] == float(step.label)
            expected = image_set(both.isel(sample=[lowest]), bias=bias, size=16, n_k=N_K).images[0]
            np.testing.assert_array_equal(picture.z, grey_steps(expected, "linear"))
        curve = menu.buttons[number].args[0]["y"][3]
        n_U = np.unique(both["U"].values[both["filling"].values == filling]).size
        assert len(base64.b64decode(curve["bdata"])) == 4 * n_U and curve["dtype"] == "f4"
    assert figure.data[0].marker.cmax <= BRIGHTEST
    # Inside the gap a state looks the same at every bias, but no state looks like another.
    pictures = [frame.data[1].z.tobytes() for frame in figure.frames]
    assert len(set(pictures[:4] + pictures[8:12])) == 8


def test_a_U_slider_of_one_filling_and_bias_can_be_played(dataset):
    figure = U_figure(dataset, size=16, n_k=N_K)
    assert [button.label for button in figure.layout.updatemenus[0].buttons] == ["Play", "Pause"]
    with pytest.raises(ValueError, match="2 stops at least"):
        U_figure(dataset, max_frames=1)
    with pytest.raises(ValueError, match="a bias"):
        U_figure(dataset, biases=())
