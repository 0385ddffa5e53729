"""The explorer shows what the dataset, the models and their attribution say, live and in the page."""

import base64
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from stm_core.data import image_set, joined, load_dataset
from stm_core.imaging import bragg_amplitudes
from stm_core.insight import grad_cam
from stm_core.learning import TrainingConfig, build_model, fit, predict
from stm_core.viewing import explorer, explorer_figure, figure_html
from stm_core.viewing.microscope import CLEAN, STRENGTHS, Microscope
from stm_core.viewing.scene import FLOOR, Scene
from stm_core.viewing.stage import STEPS, grey_steps
from stm_core.viewing.survey import Setting, Survey

N_K = 101
SIZE = 32
RESPONSE = 0.3  # seconds of one core, promised for a change of a control
STOP = 25e3  # bytes, promised for a stop of the page's slider
ROUNDING = 1e-3  # eV; pictures made alone and in a batch differ by single precision


@pytest.fixture(scope="module")
def dataset(small_dataset_path):
    return load_dataset(small_dataset_path)


@pytest.fixture(scope="module")
def models(dataset):
    """A network of each kind of picture, one without convolutions, and curves of Bragg amplitudes."""
    config = TrainingConfig(epochs=1, seed=1)
    trained = {}
    for name, kind, style in (("CNN", "cnn", "linear"), ("paper", "cnn", "paper"), ("FC", "fc", "linear")):
        images = image_set(dataset, bias=0.0, size=SIZE, style=style, n_k=N_K)
        network = build_model(kind, image_size=SIZE, style=style, seed=1, clamp=False)
        trained[name] = fit(network, images.images, images.U, config=config, progress=False)
    curves = build_model("bragg", n_stars=4, i=2, spacing=2.6, high=5.0)
    samples = curves.config.samples(dataset)
    whole = samples.U == np.rint(samples.U)
    train, apart = samples.subset(whole), samples.subset(~whole)
    trained["bragg"] = fit(
        curves,
        train.inputs,
        train.U,
        branch=train.branch,
        calibration=(apart.inputs, apart.U),
        progress=False,
    )
    return trained


@pytest.fixture(scope="module")
def survey(dataset, models):
    return Survey.build(dataset, models, n_k=N_K)


@pytest.fixture
def live(dataset, models):
    return explorer(dataset, models, n_k=N_K)


def ground_state(dataset, U):
    at_U = np.flatnonzero(dataset["U"].values == U)
    return at_U[np.argmin(dataset["energy"].values[at_U])]


def test_path_follows_the_lowest_energy_at_each_U(dataset):
    scene = Scene.build(dataset, n_k=N_K)
    np.testing.assert_array_equal(scene.U, np.unique(dataset["U"].values))
    top = dataset["layer"].values == 1
    for position, U in enumerate(scene.U):
        sample = ground_state(dataset, U)
        np.testing.assert_array_equal(scene.ldos[position], dataset["ldos"].values[sample][:, top])
        np.testing.assert_allclose(
            scene.levels[position], dataset["levels"].values[sample].reshape(2, -1), rtol=1e-6
        )


def test_a_look_at_a_computed_U_is_the_dataset_seen_by_model_and_attribution(dataset, models, survey):
    look = survey.look(Setting(2.4, 0.0, 4, "CNN"))
    bias = float(dataset["bias"].values[4])
    image = image_set(dataset, bias=bias, size=SIZE, n_k=N_K).images[ground_state(dataset, 2.4)]
    assert look.view.between is None and look.view.bias == bias
    np.testing.assert_array_equal(look.view.image, image)
    assert look.prediction.U[0] == pytest.approx(predict(models["CNN"], image[None]).U[0], abs=ROUNDING)
    np.testing.assert_array_equal(look.saliency, grad_cam(models["CNN"], image))


def test_between_two_U_everything_is_their_mean_and_says_so(survey):
    low, middle, high = (survey.look(Setting(U, 0.0, 3)) for U in (0.6, 0.8, 1.0))
    assert middle.view.between == (0.6, 1.0) and low.view.between is None
    np.testing.assert_allclose(middle.view.ldos, (low.view.ldos + high.view.ldos) / 2, rtol=1e-12)
    np.testing.assert_allclose(middle.levels, (low.levels + high.levels) / 2, rtol=1e-12)


def test_a_computed_state_lies_on_the_curve_whose_components_are_those_of_its_peaks(dataset, survey):
    scene = survey.scenes[0.0]
    for row in (0, 5):
        setting = Setting(float(scene.U[row]), 0.0, 6)
        np.testing.assert_allclose(survey.look(setting).position, survey.curve(setting)[row], atol=1e-9)
    amplitudes = np.abs(bragg_amplitudes(survey.microscope.cell, scene.ldos[:, 6])[0])
    features = amplitudes[:, 1:] / amplitudes[:, :1]
    spread = np.linalg.svd(features - features.mean(axis=0), compute_uv=False)[:2]
    np.testing.assert_allclose(np.linalg.norm(survey.curve(setting), axis=0), spread)


def test_each_model_is_given_what_it_was_taught(survey):
    paper = survey.look(Setting(2.0, 0.0, 6, "paper"))
    assert paper.view.image.max() > 0.5 and set(np.unique(255 * paper.view.image) % 1) == {0.0}
    dense = survey.look(Setting(2.0, 0.0, 6, "FC"))
    assert dense.saliency.max() == 1 and dense.saliency.min() >= 0
    curves = survey.look(Setting(2.0, 0.0, 6, "bragg"))
    assert curves.prediction.low[0] < curves.prediction.U[0] < curves.prediction.high[0]
    # Six peaks of each of four stars, a pixel or two each.
    assert 0 < np.count_nonzero(curves.saliency) < 200
    nothing = survey.look(Setting(2.0, 0.0, 6))
    assert nothing.prediction is None and nothing.saliency is None


def test_imperfections_change_the_ldos_the_more_the_stronger_and_keep_its_mean(survey):
    scene = survey.scenes[0.0]
    clean = scene.ldos[3, 6]
    changed = {name: survey.microscope.read(clean, name) for name in STRENGTHS}
    np.testing.assert_array_equal(changed[CLEAN], clean)
    mild, noisy = (np.std(changed[name] / clean) for name in ("mild", "noisy"))
    assert 0 < mild < noisy
    for name in ("mild", "noisy"):
        assert changed[name].mean() == pytest.approx(clean.mean(), rel=0.2)
        np.testing.assert_array_equal(changed[name], survey.microscope.read(clean, name))
    with pytest.raises(ValueError, match="accepted are none, mild, strain, noisy"):
        survey.microscope.read(clean, "awful")


def test_the_microscope_reads_whole_cells_only(survey):
    rows, columns = Microscope.over(survey.microscope.cell).places
    assert rows.shape == columns.shape and rows.shape[0] > 1
    assert min(rows.min(), columns.min()) >= 0


def test_what_the_dataset_lacks_is_named(dataset):
    with pytest.raises(ValueError, match="filling 2 is not in the dataset; it holds 0"):
        explorer(dataset, fillings=(2.0,))
    two = dataset.isel(sample=np.flatnonzero(dataset["U"].values < 1))
    with pytest.raises(ValueError, match="at least 3 are needed"):
        explorer(two)


def drawn(live):
    return [trace.to_plotly_json() for trace in live.figure.data]


def test_controls_change_the_panels_and_the_note(live, dataset):
    first = drawn(live)
    live.U.value = 3.0
    assert live.look.setting.U == 3.0 and live.note.value.startswith("Hartree–Fock solution at U = 3 eV")
    second = drawn(live)
    moved = [str(one) != str(other) for one, other in zip(first, second, strict=True)]
    # The diagonal and the curve stay where they are.
    assert moved == [False, True, True, True, True, False, True, True, True, True]
    live.bias.value = 0
    assert live.look.view.bias == dataset["bias"].values[0]
    live.U.value = 2.8
    assert "<b>interpolated</b> between the solutions at U = 2.4 and 3 eV" in live.note.value
    assert "without an interval" in live.note.value
    live.model.value = "bragg"
    assert "90 % interval" in live.note.value and live.figure.data[4].error_y.visible
    live.strength.value = "noisy"
    assert live.look.setting.strength == "noisy"


def test_a_click_on_the_curve_goes_there(live, survey):
    callback = live._jump
    callback(None, SimpleNamespace(point_inds=[7]), None)
    assert live.U.value == pytest.approx(survey.scenes[0.0].U[7], abs=0.051)
    assert live.look.view.between is None
    callback(None, SimpleNamespace(point_inds=[]), None)


def test_slider_stops_at_the_exact_U_of_the_dataset_when_near(dataset):
    shifted = dataset.assign_coords(U=("sample", dataset["U"].values + 0.01 * (dataset["U"].values == 2.4)))
    live = explorer(shifted, n_k=N_K)
    live.U.value = 2.4
    assert live.look.view.U == pytest.approx(2.41) and live.look.view.between is None


@pytest.fixture(scope="module")
def both(dataset):
    """Two fillings, the second with fewer U and maps that no model has seen."""
    high = dataset.isel(sample=np.flatnonzero(dataset["U"].values >= 2))
    foreign = high.assign(ldos=high["ldos"] * (1 + 0.9 * np.cos(1.3 * high["x"].values)))
    return joined(dataset, foreign.assign_coords(filling=("sample", np.full(high.sizes["sample"], -2.0))))


def test_another_filling_brings_its_own_range_of_U(both):
    live = explorer(both, n_k=N_K)
    assert (live.U.min, live.U.max) == (0, 5)
    assert live.filling.options == (("−2", -2.0), ("0", 0.0)), "nothing was trained, so nothing is marked"
    live.filling.value = -2.0
    assert (live.U.min, live.U.value) == (2, 2)
    live.filling.value = 0.0
    assert live.U.min == 0


def test_a_filling_that_no_model_was_trained_on_is_marked_and_read_as_out_of_range(both, models):
    live = explorer(both, {"bragg": models["bragg"]}, n_k=N_K, trained=(0.0,))
    assert live.filling.options == (("−2 (not trained on)", -2.0), ("0", 0.0))
    live.U.value = 3.0
    before = drawn(live)
    assert "in range" in live.note.value and "not trained" not in live.note.value
    assert (live.figure.data[4].marker.symbol, live.figure.data[9].text[0][-10:]) == ("circle", ", in range")
    live.filling.value = -2.0
    assert live.look.view.between is None and live.look.setting.U == 3.0
    assert "out of range" in live.note.value and "not trained at this filling" in live.note.value
    assert (live.figure.data[4].marker.symbol, live.figure.data[9].text[0][-14:]) == ("x", ", out of range")
    moved = [str(one) != str(other) for one, other in zip(before, drawn(live), strict=True)]
    assert moved[1] and moved[2] and moved[4] and moved[5]
    live.U.value = 2.8
    assert "<b>interpolated</b>" in live.note.value


def test_the_page_has_a_slider_for_each_filling_and_marks_what_is_out_of_range(both, models):
    page = explorer_figure(both, {"bragg": models["bragg"]}, max_frames=3, n_k=N_K, trained=(0.0,))
    labels = [button.label for button in page.layout.updatemenus[0].buttons]
    assert labels == [
        "filling 0, 0 meV, bragg, imperfections: none",
        "filling −2 (not trained on), 0 meV, bragg, imperfections: none",
    ]
    stops = [[float(step.label) for step in slider.steps] for slider in page.layout.sliders]
    assert [(one[0], one[-1]) for one in stops] == [(0, 5), (2, 5)]
    words = [frame.data[-1].text[0] for frame in page.frames]
    assert all(word.endswith("eV, out of range") for word in words[3:])
    readings = page.layout.updatemenus[0].buttons[1].args[0]["marker.symbol"][-1]
    assert readings == ["x"] * len(stops[1])


def test_a_change_is_answered_quickly(dataset, models):
    live = explorer(dataset, models, n_k=1003)
    waits = []
    # The processor's time, not the clock's: what else the machine does is not the explorer's.
    with threadpool_limits(1):
        for control, value in (
            (live.U, 1.3),
            (live.U, 2.0),
            (live.bias, 2),
            (live.strength, "noisy"),
            (live.U, 4.7),
            (live.model, "bragg"),
        ):
            start = time.process_time()
            control.value = value
            waits.append(time.process_time() - start)
    assert np.median(waits) < RESPONSE


@pytest.fixture(scope="module")
def page(dataset, models):
    two = {name: models[name] for name in ("CNN", "paper")}
    return explorer_figure(dataset, two, biases=(0.0, 0.02), max_frames=4, n_k=N_K)


def test_page_has_a_slider_for_every_choice_and_a_menu_of_them(page, survey):
    buttons, sliders = page.layout.updatemenus[0].buttons, page.layout.sliders
    assert len(buttons) == len(sliders) == 4
    assert [slider.visible for slider in sliders] == [True, False, False, False]
    assert len({frame.name for frame in page.frames}) == len(page.frames) == 16
    names = [step.args[0][0] for slider in sliders for step in slider.steps]
    assert names == [frame.name for frame in page.frames]
    names = [button.name.split("|") for button in buttons]
    assert [name[1:3] for name in names] == [
        ["0 meV", "CNN"],
        ["0 meV", "paper"],
        ["+20 meV", "CNN"],
        ["+20 meV", "paper"],
    ]
    assert all(len(name) == len(page.layout.updatemenus[0].name.split("|")) == 4 for name in names)


def test_the_page_shows_bad_days_at_the_microscope_where_a_model_was_trained(both, models):
    strengths = ("none", "noisy")
    page = explorer_figure(
        both, {"CNN": models["CNN"]}, max_frames=2, n_k=N_K, trained=(0.0,), strengths=strengths
    )
    ends = [button.name.rsplit(": ", 1)[1] for button in page.layout.updatemenus[0].buttons]
    assert ends == ["none", "noisy", "none"]
    survey = Survey.build(both, {"CNN": models["CNN"]}, n_k=N_K)
    look = survey.look(replace(survey.start, strength="noisy"))
    clean, noisy = (page.frames[stop].data for stop in (0, 2))
    np.testing.assert_allclose(noisy[0].marker.color, 1e3 * look.view.ldos, rtol=1e-6)
    assert np.abs(noisy[0].marker.color / clean[0].marker.color - 1).max() > 0.01
    np.testing.assert_array_equal(noisy[6].y, clean[6].y)


def test_page_frames_hold_what_the_survey_sees(page, survey):
    stops = [float(step.label) for step in page.layout.sliders[2].steps]
    assert stops[0] == 0 and stops[-1] == 5
    bias = survey.scenes[0.0].nearest_bias(0.02)
    for frame, U in zip(page.frames[8:12], stops, strict=True):
        look = survey.look(Setting(U, 0.0, bias, "CNN"))
        atoms, picture, saliency, reading, place, up, _, verdict = frame.data
        np.testing.assert_allclose(atoms.marker.color, 1e3 * look.view.ldos, rtol=1e-6)
        np.testing.assert_array_equal(picture.z, grey_steps(look.view.image, "linear"))
        np.testing.assert_allclose(saliency.z, 100 * look.saliency, atol=0.51)
        assert reading.x == (U,) and reading.y[0] == pytest.approx(look.prediction.U[0], abs=ROUNDING)
        np.testing.assert_allclose([place.x[0], place.y[0]], look.position)
        assert verdict.text == (f"{look.prediction.U[0]:.2f} eV, not calibrated".replace("-", "−"),)
        assert set(np.asarray(up.y, float)) == set(np.float32(1e3 * look.levels[0]).astype(float))


def unpacked(sent):
    """Numbers of an array as a menu sends it."""
    flat = np.frombuffer(base64.b64decode(sent["bdata"]), sent["dtype"])
    return flat.reshape([int(n) for n in sent.get("shape", str(flat.size)).split(",")])


def test_menu_entries_show_the_first_stop_of_their_choice_and_keep_the_rest(page):
    restyle, layout, traces = page.layout.updatemenus[0].buttons[3].args
    first = page.frames[12]
    np.testing.assert_array_equal(unpacked(restyle["z"][1]), first.data[1].z)
    np.testing.assert_array_equal(unpacked(restyle["x"][0]), page.data[traces[0]].x)
    assert layout["sliders[3].visible"] and not layout["sliders[0].visible"]
    # The curve of components and the readings at all stops do not move with the slider.
    assert len(traces) == len(restyle["x"]) == len(first.data) + 2


def test_grey_steps_span_the_decades_of_a_linear_picture():
    image = np.array([[0.0, FLOOR], [np.sqrt(FLOOR), 1.0]])
    np.testing.assert_array_equal(grey_steps(image, "linear"), [[0, 0], [STEPS / 2, STEPS]])
    np.testing.assert_array_equal(grey_steps(image, "paper")[1], [round(STEPS * np.sqrt(FLOOR)), STEPS])


def test_page_figure_is_light(page):
    assert len(figure_html(page)) / len(page.frames) < STOP


@pytest.mark.parametrize(
    "options, message",
    [
        ({"models": {}}, "trained network"),
        ({"biases": ()}, "a bias"),
        ({"strengths": ()}, "a strength"),
        ({"strengths": ("awful",)}, "accepted are none, mild"),
        ({"max_frames": 1}, "at least 2 stops"),
    ],
)
def test_page_figure_names_bad_input(dataset, models, options, message):
    with pytest.raises(ValueError, match=message):
        explorer_figure(**{"dataset": dataset, "models": models, **options})
