"""Intervals and verdicts, beside MAPIE and by repeated draws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mapie.regression import SplitConformalRegressor
from sklearn.base import BaseEstimator, RegressorMixin

from stm_core.learning import Calibration, Familiarity, Prediction, coverage, novelty_auroc
from stm_core.learning.uncertainty import conformal_quantile

SCORES = hnp.arrays(np.float64, st.integers(20, 60), elements=st.floats(0, 10, width=32))


class _Zero(RegressorMixin, BaseEstimator):
    """Answers zero, so that the targets are the errors."""

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.zeros(len(X))


@settings(deadline=None)
@given(SCORES)
def test_half_the_interval_is_what_mapie_finds(errors):
    X = np.arange(len(errors), dtype=float)[:, None]
    peer = SplitConformalRegressor(_Zero().fit(X, errors), confidence_level=0.9, prefit=True)
    _, interval = peer.conformalize(X, errors).predict_interval(X[:1])
    found = Calibration.of(errors, np.ones_like(errors), errors).factor
    assert found == pytest.approx(interval[0, 1, 0], abs=1e-9)


@pytest.mark.parametrize("heavy", [False, True])
def test_the_interval_covers_as_promised_whatever_the_errors_are(heavy):
    rng = np.random.default_rng(0)
    draw = (lambda n: rng.standard_t(2, n)) if heavy else (lambda n: rng.normal(0.3, 1, n))
    covered = []
    for _ in range(400):
        factor = Calibration.of(draw(59), np.ones(59), np.ones(59)).factor
        covered.append(np.mean(np.abs(draw(100)) <= factor))
    # 54 of 60 places are below: exactly 90 %.
    assert np.mean(covered) == pytest.approx(0.9, abs=0.01)


def test_too_few_errors_promise_nothing():
    assert conformal_quantile(np.arange(8.0), 0.9) == np.inf
    assert conformal_quantile(np.arange(9.0), 0.9) == 8.0
    few = Calibration.of([0.1], [1.0], [2.0])
    assert few.factor == np.inf and few.limit == 2.0


def test_a_bias_by_itself_has_a_factor_of_its_own():
    calibration = Calibration(1.0, 10.0, ((2.0, 20.0), (3.0, 15.0), (5.0, 50.0)))
    inputs = np.ones((4, 3, 2))
    inputs[1, 1:] = inputs[2, [0, 2]] = inputs[3, 2] = np.nan
    factor, limit = calibration.scales(inputs)
    np.testing.assert_array_equal(factor, [1, 2, 3, 3])
    np.testing.assert_array_equal(limit, [10, 20, 15, 20])


def test_the_distance_to_the_training_is_mahalanobis_s():
    rng = np.random.default_rng(1)
    mix = np.array([[1.0, 0.5, 0.0], [0.0, 2.0, 0.3], [0.0, 0.0, 1.5]])
    features = rng.normal(size=(50_000, 3)) @ mix + [1, 2, 3]
    unseen = rng.normal(size=(5, 3)) @ mix
    found = Familiarity.of(torch.from_numpy(features)).distance(torch.from_numpy(unseen))
    apart = unseen - features.mean(axis=0)
    expected = np.sqrt(np.einsum("ni,ij,nj->n", apart, np.linalg.inv(np.cov(features.T)), apart))
    np.testing.assert_allclose(found, expected, rtol=0.01)


def test_features_that_never_vary_do_no_harm():
    features = torch.zeros(8, 3, dtype=torch.float64)
    features[:, 0] = torch.arange(8)
    found = Familiarity.of(features).distance(features)
    assert torch.isfinite(found).all()


def test_coverage_and_verdicts_count_what_they_say():
    prediction = Prediction(
        U=np.array([1.0, 2.0, 3.0]),
        low=np.array([0.5, 1.9, 2.0]),
        high=np.array([1.5, 2.1, 4.0]),
        novelty=np.array([0.5, 1.0, 7.0]),
    )
    assert coverage(prediction, [1.2, 2.3, 2.0]) == pytest.approx(2 / 3)
    np.testing.assert_array_equal(prediction.in_range, [True, True, False])
    assert novelty_auroc(prediction.subset([0, 1]), prediction.subset([2])) == 1.0
    assert len(prediction.subset(prediction.in_range)) == 2
