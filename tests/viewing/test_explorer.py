"""The explorer shows what the dataset, the network and its attribution say, live and in the page."""

import io
import time

import numpy as np
import pytest
from PIL import Image
from threadpoolctl import threadpool_limits

from stm_core.data import image_set, load_dataset
from stm_core.insight import grad_cam
from stm_core.learning import TrainingConfig, build_model, fit, predict
from stm_core.viewing import explorer, explorer_figure, figure_html
from stm_core.viewing.scene import FLOOR, Scene

N_K = 101
RESPONSE = 0.3  # seconds of one core, promised for a change of a slider
PAGE = 3e6  # bytes, promised for a figure of a page
ROUNDING = 1e-3  # eV; pictures made alone and in a batch differ by single precision


@pytest.fixture(scope="module")
def dataset(small_dataset_path):
    return load_dataset(small_dataset_path)


@pytest.fixture(scope="module")
def trained(dataset):
    images = image_set(dataset, n_k=N_K)
    config = TrainingConfig(epochs=2, seed=1)
    return fit(build_model("cnn", seed=1), images.images, images.U, config=config, progress=False)


@pytest.fixture(scope="module")
def scene(dataset, trained):
    return Scene.build(dataset, trained, n_k=N_K)


@pytest.fixture(scope="module")
def page(dataset, trained):
    return explorer_figure(dataset, trained, n_k=N_K)


def ground_state(dataset, U):
    at_U = np.flatnonzero(dataset["U"].values == U)
    return at_U[np.argmin(dataset["energy"].values[at_U])]


def pixels(widget):
    return np.asarray(Image.open(io.BytesIO(widget.picture.value)).convert("RGB"), dtype=int)


def test_path_follows_the_lowest_energy_at_each_U(dataset, scene):
    np.testing.assert_array_equal(scene.U, np.unique(dataset["U"].values))
    top = dataset["layer"].values == 1
    for position, U in enumerate(scene.U):
        expected = dataset["ldos"].values[ground_state(dataset, U)][:, top]
        np.testing.assert_array_equal(scene.ldos[position], expected)


def test_view_at_a_computed_U_is_the_dataset_seen_by_network_and_attribution(dataset, trained, scene):
    bias = 4
    view = scene.view(2.4, bias)
    images = image_set(dataset, bias=float(scene.bias[bias]), n_k=N_K)
    image = images.images[ground_state(dataset, 2.4)]
    assert view.between is None and view.U == 2.4 and view.bias == scene.bias[bias]
    np.testing.assert_array_equal(view.image, image)
    assert view.prediction == pytest.approx(predict(trained, image[None]).U[0], abs=ROUNDING)
    np.testing.assert_array_equal(view.saliency, grad_cam(trained, image))


def test_view_between_two_U_is_their_mean_and_says_so(scene):
    low, high = scene.view(0.6, 3), scene.view(1.0, 3)
    middle = scene.view(0.8, 3)
    assert middle.between == (0.6, 1.0)
    np.testing.assert_allclose(middle.ldos, (low.ldos + high.ldos) / 2, rtol=1e-12)
    quarter = scene.view(0.7, 3)
    np.testing.assert_allclose(quarter.ldos, 0.75 * low.ldos + 0.25 * high.ldos, rtol=1e-9)


def test_filling_and_layer_must_be_the_datasets(dataset):
    with pytest.raises(ValueError, match="filling 2 is not in the dataset; it holds 0"):
        explorer(dataset, filling=2.0)
    with pytest.raises(ValueError, match="'top', 'bottom' and 'both'"):
        explorer(dataset, layer="middle")


def test_sliders_change_the_picture_and_the_note(dataset, trained):
    live = explorer(dataset, trained, n_k=N_K)
    first = pixels(live)
    live.U.value = 3.0
    assert live.view.U == 3.0 and live.note.value == "Hartree–Fock solution at U = 3 eV"
    second = pixels(live)
    assert second.shape == first.shape and np.abs(second - first).max() > 50
    live.bias.value = 0
    assert live.view.bias == dataset["bias"].values[0]
    assert np.abs(pixels(live) - second).max() > 50
    live.U.value = 2.8
    assert live.note.value == "interpolated between the solutions at U = 2.4 and 3 eV"


def test_slider_stops_at_the_exact_U_of_the_dataset_when_near(dataset):
    shifted = dataset.assign_coords(U=("sample", dataset["U"].values + 0.01 * (dataset["U"].values == 2.4)))
    live = explorer(shifted, n_k=N_K)
    live.U.value = 2.4
    assert live.view.U == pytest.approx(2.41) and live.view.between is None


def test_explorer_works_without_a_network_and_with_the_paper_style(dataset):
    live = explorer(dataset, style="paper", n_k=N_K)
    before = pixels(live)
    live.U.value = 5.0
    assert live.view.prediction is None and live.view.saliency is None
    assert np.abs(pixels(live) - before).max() > 50


def test_a_change_is_answered_quickly(dataset, trained):
    live = explorer(dataset, trained, n_k=1003)
    waits = []
    # The processor's time, not the clock's: what else the machine does is not the explorer's.
    with threadpool_limits(1):
        for U in (1.0, 1.3, 2.0, 2.2, 4.5, 4.7):
            start = time.process_time()
            live.U.value = U
            waits.append(time.process_time() - start)
    assert np.median(waits) < RESPONSE


def test_page_figure_has_one_frame_per_U_with_the_datasets_pictures(page, scene):
    steps = page.layout.sliders[0].steps
    assert [frame.name for frame in page.frames] == [f"{U:g}" for U in scene.U]
    assert [step.args[0][0] for step in steps] == [frame.name for frame in page.frames]
    for frame, U in zip(page.frames, scene.U, strict=True):
        assert [page.data[trace].type for trace in frame.traces] == [trace.type for trace in frame.data]
        view = scene.view(U, scene.nearest_bias(0.0))
        atoms, picture, point, saliency = frame.data
        np.testing.assert_allclose(atoms.marker.color, view.ldos, rtol=1e-6)
        np.testing.assert_allclose(picture.z, np.log10(np.maximum(view.image, FLOOR)), atol=1e-6)
        assert point.x == (U,) and point.y[0] == pytest.approx(view.prediction)
        np.testing.assert_allclose(saliency.z, 100 * view.saliency, atol=0.51)


def test_page_figure_moves_the_traces_of_its_four_panels(page):
    panels = [page.data[trace] for trace in page.frames[0].traces]
    assert [(panel.xaxis, panel.yaxis) for panel in panels] == [
        ("x", "y"),
        ("x2", "y2"),
        ("x3", "y3"),
        ("x4", "y4"),
    ]
    np.testing.assert_array_equal(panels[1].z, page.frames[0].data[1].z)
    others = {0, 1, 2, 3, 4, 5} - set(page.frames[0].traces)
    assert all(page.data[other].xaxis == "x3" for other in others)


def test_page_figure_is_light_and_thins_its_stops_evenly(dataset, trained):
    thinned = explorer_figure(dataset, trained, bias=0.06, max_frames=3, n_k=N_K)
    assert [frame.name for frame in thinned.frames] == ["0", "2.4", "5"]
    assert "bias 60 meV" in thinned.layout.title.text
    per_frame = len(figure_html(thinned)) / 3
    assert 31 * per_frame < PAGE


def test_page_figure_names_bad_input(dataset, trained):
    with pytest.raises(ValueError, match="trained network"):
        explorer_figure(dataset, None)
    with pytest.raises(ValueError, match="at least 2 stops"):
        explorer_figure(dataset, trained, max_frames=1)
