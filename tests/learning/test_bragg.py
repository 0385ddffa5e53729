"""Models of Bragg amplitudes, on amplitudes whose dependence on U is known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_core.imaging import bragg_amplitudes, group_orbit
from stm_core.learning import (
    BraggConfig,
    TrainingConfig,
    build_model,
    coverage,
    evaluate,
    fit,
    load_checkpoint,
    predict,
)
from stm_core.learning.bragg_inputs import star_vectors
from stm_core.simulation import TwistedBilayer

BIAS = (-0.02, 0.0, 0.02)
STARS = 5
LEVELS = np.arange(6.0)
NAMES = ("bragg", "bragg_process", "bragg_tokens", "bragg_biases")
PIXEL = TrainingConfig(epochs=2, normalisation="pixel")


def amplitudes(U, branch=0, noise=0.0, seed=0):
    """Smooth functions of U (n,), other ones in each branch (n,): (n, 3, 5)."""
    rng = np.random.default_rng(9)
    shift, rate, phase = (rng.uniform(size=(2, len(BIAS), STARS)) for _ in range(3))
    U, branch = np.broadcast_arrays(np.asarray(U, float), branch)
    smooth = np.sin((0.2 + 0.5 * rate[branch]) * U[:, None, None] + 6 * phase[branch]) + shift[branch]
    scatter = np.random.default_rng(seed).standard_normal(smooth.shape)
    return (0.1 * smooth + noise * scatter).astype(np.float32)


def model(name="bragg", **options):
    return build_model(name, bias=BIAS, n_stars=STARS, **options)


@pytest.fixture(scope="module")
def cell():
    return TwistedBilayer(4, 2.94)


@pytest.fixture(scope="module")
def curves():
    branch = np.repeat([0, 1], 6)
    U = np.tile(LEVELS, 2)
    return fit(model(), amplitudes(U, branch), U, branch=branch)


def test_stars_are_orbits_of_the_rotation_and_the_shortest_there_are(cell):
    vectors = star_vectors(cell, 12)
    lengths = np.linalg.norm(vectors, axis=1)
    _, every = bragg_amplitudes(cell, np.ones(len(cell.layer)))
    np.testing.assert_allclose(np.sort(lengths), np.linalg.norm(every, axis=1)[:73], atol=1e-9)
    turn = np.array([[0.5, np.sqrt(0.75)], [-np.sqrt(0.75), 0.5]])
    for star in vectors[1:].reshape(12, 6, 2):
        np.testing.assert_allclose(np.roll(star, -1, axis=0), star @ turn, atol=1e-9)


def test_strain_moves_the_stars_and_keeps_their_order(cell):
    strained = TwistedBilayer(4, 2.94, heterostrain=0.0164)
    whole = star_vectors(cell, 8) @ np.linalg.inv(cell.reciprocal)
    np.testing.assert_allclose(
        star_vectors(strained, 8) @ np.linalg.inv(strained.reciprocal), whole, atol=1e-9
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["symmetric", "magnitude"]))
def test_no_rotation_or_factor_changes_what_a_model_sees(seed, channel):
    cell = TwistedBilayer(2, 2.94)
    config = BraggConfig(bias=(0.0,), n_stars=4, channel=channel, i=2)
    top = cell.layer == 1
    ldos = np.random.default_rng(seed).uniform(0.5, 1.5, top.sum())
    xy = cell.positions[top, :2] / 2.46
    seen = [config.of_ldos(xy, 3 * image) for image in group_orbit(cell, ldos, "top")]
    np.testing.assert_allclose(seen, np.broadcast_to(config.of_ldos(xy, ldos), np.shape(seen)), atol=1e-6)


def test_the_magnitude_needs_no_origin(cell):
    ldos = np.random.default_rng(0).uniform(0.5, 1.5, len(cell.layer))[cell.layer == 1]
    xy = cell.positions[cell.layer == 1, :2] / 2.46
    config = BraggConfig(bias=(0.0,), n_stars=4, channel="magnitude", i=4)
    np.testing.assert_allclose(
        config.of_ldos(xy + np.array([0.3, 1.7]), ldos), config.of_ldos(xy, ldos), atol=1e-6
    )


def test_a_dataset_and_its_ldos_tables_give_the_same_inputs(small_dataset_path):
    from stm_core.data import load_dataset

    ds = load_dataset(small_dataset_path)
    config = BraggConfig(bias=(-0.01, 0.03), n_stars=3, i=2, spacing=2.6)
    samples = config.samples(ds)
    top = ds.layer.values == 1
    xy = np.stack([ds.x.values[top], ds.y.values[top]], axis=1) / 2.46
    ldos = ds.ldos.sel(bias=list(config.bias), method="nearest").values[4][:, top]
    np.testing.assert_allclose(config.of_ldos(xy, ldos, config.bias)[0], samples.inputs[4], atol=1e-6)
    assert np.isnan(config.of_ldos(xy, ldos[0], [-0.01])[0, 1]).all()
    assert len(set(samples.branch)) == 2


def test_curves_read_values_in_between_in_every_branch(curves):
    U = np.random.default_rng(1).uniform(0, 5, 40)
    for branch in (0, 1):
        assert evaluate(U, predict(curves, amplitudes(U, branch)).U).mae < 0.01


def test_curves_read_what_bias_there_is(curves):
    U = np.linspace(0.2, 4.8, 24)
    one = amplitudes(U)
    one[:, [0, 2]] = np.nan
    assert evaluate(U, predict(curves, one).U).mae < 0.03
    with pytest.raises(ValueError, match="must not all be NaN"):
        predict(curves, np.full((1, 3, 5), np.nan))


def test_a_few_amplitudes_that_lie_are_outvoted(curves):
    U = np.linspace(0.3, 4.7, 23)
    seen = amplitudes(U)
    seen[:, 0, 0] += 3 * seen[:, 0, 0].std()
    assert evaluate(U, predict(curves, seen).U).mae < 0.05


def test_no_trained_value_attracts_the_readings(curves):
    U = np.linspace(0.05, 4.95, 99)
    error = predict(curves, amplitudes(U)).U - U
    towards = np.sign(np.rint(U) - U)
    assert abs(np.mean(error * towards)) < 0.003


def test_what_lies_on_no_curve_is_novel():
    U = np.linspace(0, 5, 21)
    known = np.rint(U) == U
    apart = amplitudes(U[~known]), U[~known]
    result = fit(model(), amplitudes(U[known]), U[known], calibration=apart)
    assert predict(result, amplitudes(np.array([1.3, 3.6]))).in_range.all()
    strange = predict(result, amplitudes(np.array([1.3, 3.6]), 1))
    assert not strange.in_range.any()


@pytest.mark.parametrize("measured", [(0,), (1,), (2,), (0, 1, 2)])
def test_an_interval_keeps_its_promise_at_every_set_of_biases(measured):
    def seen(U, seed):
        inputs = amplitudes(U, noise=2e-3, seed=seed)
        inputs[:, [k for k in range(3) if k not in measured]] = np.nan
        return inputs

    rng = np.random.default_rng(4)
    apart, unseen = rng.uniform(0, 5, 400), rng.uniform(0, 5, 2000)
    levels = np.linspace(0, 5, 11)
    whole = amplitudes(apart, noise=2e-3, seed=5), apart
    result = fit(model(), amplitudes(levels), levels, calibration=whole)
    found = predict(result, seen(unseen, 6))
    assert coverage(found, unseen) == pytest.approx(0.9, abs=0.04)
    assert found.low.min() >= 0 and found.high.max() <= 6


def test_curves_that_one_sample_calibrates_say_their_whole_range():
    result = fit(model(), amplitudes(LEVELS), LEVELS, calibration=(amplitudes([2.5]), [2.5]))
    found = predict(result, amplitudes([1.5, 3.5]))
    np.testing.assert_allclose([found.low, found.high], [[0, 0], [6, 6]])


def test_noise_is_weighed_by_what_each_amplitude_suffers():
    """With two amplitudes of unequal noise, χ² with their variances beats the two taken alike."""
    rng = np.random.default_rng(3)
    sigma = np.array([0.002, 0.05])

    def noisy(U):
        clean = np.stack([0.02 * U, 0.02 * U], axis=1)
        return (clean + sigma * rng.standard_normal(clean.shape)).astype(np.float32)[:, None]

    U = np.repeat(np.linspace(0, 6, 25), 20)
    reader = fit(build_model("bragg", bias=(0.0,), n_stars=2), noisy(U), U)
    test = rng.uniform(1, 5, 400)
    rmse = evaluate(test, predict(reader, noisy(test)).U).rmse
    # The Cramér-Rao bound of these two amplitudes.
    bound = 1 / np.sqrt(np.sum((0.02 / sigma) ** 2))
    assert bound * 0.9 < rmse < 1.2 * bound


@pytest.mark.parametrize("name", NAMES)
def test_every_model_comes_back_from_its_checkpoint(name, tmp_path):
    inputs = amplitudes(LEVELS)
    path = tmp_path / "model.pt"
    between = np.linspace(0.25, 4.75, 10)
    apart = amplitudes(between), between
    result = fit(
        model(name), inputs, LEVELS, config=PIXEL, checkpoint=path, calibration=apart, progress=False
    )
    expected, loaded = predict(result, inputs), predict(path, inputs)
    for part in ("U", "low", "high", "novelty"):
        np.testing.assert_allclose(getattr(loaded, part), getattr(expected, part), rtol=1e-6)
    assert load_checkpoint(path).model.config == result.model.model.config
    assert np.isfinite(expected.low).all() and path.stat().st_size < 2_000_000


@pytest.mark.parametrize("name", NAMES[1:])
def test_the_other_models_interpolate_better_than_rounding(name):
    U = np.linspace(0.25, 4.75, 19)
    config = TrainingConfig(epochs=150, batch_size=6, learning_rate=5e-3, normalisation="pixel")
    result = fit(model(name), amplitudes(LEVELS), LEVELS, config=config, progress=False)
    assert evaluate(U, predict(result, amplitudes(U)).U).mae < 0.15


def test_the_process_is_the_one_of_scikit_learn():
    from sklearn.decomposition import PCA
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    U = np.linspace(0, 5, 13)
    result = fit(model("bragg_process", n_components=3), amplitudes(U), U, config=PIXEL)
    flat = result.model.normalise(torch.from_numpy(amplitudes(U))).flatten(1).double().numpy()
    pca = PCA(3, svd_solver="full").fit(flat)
    _, _, _, amplitude, length, noise = result.model.model.scale.double().tolist()
    kernel = ConstantKernel(amplitude) * RBF(length) + WhiteKernel(noise)
    process = GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True)
    unit = np.sqrt(pca.explained_variance_[0])
    process.fit(pca.transform(flat) / unit, U)
    unseen = amplitudes(np.array([0.7, 3.3]))
    seen = result.model.normalise(torch.from_numpy(unseen)).flatten(1).double().numpy()
    expected, deviation = process.predict(pca.transform(seen) / unit, return_std=True)
    reading = result.model.read(torch.from_numpy(unseen))
    np.testing.assert_allclose(reading.U, expected, atol=1e-3)
    np.testing.assert_allclose(reading.spread, deviation, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize(
    "inputs, message",
    [
        (np.zeros((2, 3, 4)), r"shape \(n, 3, 5\)"),
        (np.zeros((0, 3, 5)), "n of at least 1"),
        (np.full((1, 3, 5), np.inf), "not be infinite"),
        (np.ones((1, 3, 5), complex), "real numbers"),
    ],
)
def test_amplitudes_that_cannot_be_read_are_named(curves, inputs, message):
    with pytest.raises(ValueError, match=message):
        predict(curves, inputs)


def test_a_missing_bias_is_refused_where_it_is_needed():
    holes = amplitudes(LEVELS)
    holes[0, 0] = np.nan
    with pytest.raises(ValueError, match="at every bias"):
        fit(model("bragg_process"), holes, LEVELS)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"channel": "phase"}, "'symmetric' or 'magnitude'"),
        ({"n_stars": 0}, "n_stars is 0, but must be a whole number"),
        ({"n_stars": 2.5}, "n_stars is 2.5"),
        ({"bias": 0.0}, "bias is 0.0, but must be a tuple"),
        ({"bias": ()}, "one at least"),
        ({"bias": (0.0, float("nan"))}, "one of bias is nan"),
        ({"spacing": 0.0}, "finite number above 0"),
        ({"high": float("inf")}, "high is inf"),
        ({"low": 6.0, "high": 0.0}, "is no range"),
        ({"depth": 3}, "no option depth"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build_model("bragg", **options)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("bragg_biases", {"n_heads": 5}, "n_heads is 5, but must divide the width of 32"),
        ("bragg_tokens", {"width": 0}, "width is 0"),
        ("bragg_process", {"n_components": 1.5}, "n_components is 1.5"),
    ],
)
def test_a_network_of_amplitudes_that_cannot_be_built_is_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        model(name, **options)


@pytest.mark.parametrize("values", [0.0, -1.0, np.nan])
def test_what_is_no_LDOS_is_refused(cell, values):
    xy = cell.positions[cell.layer == 1, :2] / 2.46
    with pytest.raises(ValueError, match="on average above 0"):
        BraggConfig(bias=(0.0,), n_stars=4, i=4).of_ldos(xy, np.full(len(xy), values))
    with pytest.raises(ValueError, match="on average above 0"):
        build_model("fc", image_size=8).config.of_ldos(xy, np.full(len(xy), values))


@pytest.mark.parametrize(
    "calibration, message",
    [
        ("loo", "calibration is 'loo', but must be a pair"),
        ((amplitudes(LEVELS[2:3]), LEVELS[2:3]), "U = 2 eV calibrates and trains"),
    ],
)
def test_a_calibration_that_promises_nothing_is_refused(calibration, message):
    with pytest.raises(ValueError, match=message):
        fit(model(), amplitudes(LEVELS), LEVELS, calibration=calibration)


def test_a_branch_needs_three_values():
    with pytest.raises(ValueError, match="3 values of U"):
        fit(model(), amplitudes(LEVELS), LEVELS, branch=np.arange(6))
