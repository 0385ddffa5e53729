import math

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_core.learning import Normalisation, Regressor, build_model, evaluate, predict

# Subnormal differences would vanish when squared.
U_VALUES = st.decimals(0, 6, places=6).map(float)


def regressor(size=16):
    normalisation = Normalisation(torch.tensor([[0.3]]), torch.tensor([[2.0]]))
    return Regressor(build_model("cnn", image_size=size, channels=(4, 8), clamp=False), normalisation)


@settings(deadline=None)
@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 30), st.just(2)), elements=U_VALUES))
def test_metrics_are_their_formulas(pairs):
    true, predicted = pairs.T
    metrics, error = evaluate(true, predicted), predicted - true
    assert metrics.mae == pytest.approx(np.abs(error).mean())
    assert metrics.rmse == pytest.approx(math.sqrt(np.mean(error**2)))
    assert metrics.bias == pytest.approx(error.mean())
    assert metrics.n == len(true)
    assert metrics.median == pytest.approx(np.median(np.abs(error)))
    assert metrics.p95 == pytest.approx(np.percentile(np.abs(error), 95))
    assert set(metrics.as_dict()) == {"mae", "rmse", "median", "p95", "r2", "bias", "n"}


def test_r2_is_one_for_the_truth_and_zero_for_the_mean():
    U = np.linspace(0, 6, 7)
    assert evaluate(U, U).r2 == 1
    assert evaluate(U, np.full(7, U.mean())).r2 == pytest.approx(0)
    assert math.isnan(evaluate([3, 3], [3, 4]).r2)


@pytest.mark.parametrize(
    "true, predicted, message",
    [
        ([1, 2], [1], "same|shape"),
        ([], [], "at least 1"),
        ([[1], [2]], [[1], [2]], "shape"),
        ([1, np.nan], [1, 2], "finite"),
        ([1, 2], [1, np.inf], "finite"),
    ],
)
def test_what_cannot_be_compared_is_named(true, predicted, message):
    with pytest.raises(ValueError, match=message):
        evaluate(true, predicted)


def test_predict_gives_the_network_s_output_for_each_image_whatever_its_company():
    images = np.random.default_rng(0).random((300, 16, 16), dtype=np.float32)
    model = regressor()
    U = predict(model, images).U
    assert U.dtype == np.float64
    assert U.shape == (300,)
    model.eval()
    with torch.no_grad():
        expected = model.model((torch.from_numpy(images)[:, None] - 0.3) / 2).numpy()
    np.testing.assert_allclose(U, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(predict(model, images[::-1]).U, U[::-1], rtol=1e-5, atol=1e-6)


def test_predict_ignores_dropout_and_leaves_the_mode():
    images = np.random.default_rng(0).random((5, 16, 16))
    model = regressor().train()
    np.testing.assert_array_equal(predict(model, images).U, predict(model, images).U)
    assert model.training


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((16, 16)), "shape"),
        (np.zeros((2, 8, 8)), r"takes images of shape \(n, 1, 16, 16\)"),
        (np.full((1, 16, 16), np.inf), "finite"),
    ],
)
def test_images_that_cannot_be_read_are_named(images, message):
    with pytest.raises(ValueError, match=message):
        predict(regressor(), images)
