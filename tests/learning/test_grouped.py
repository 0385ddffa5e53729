from itertools import product

import numpy as np
import pytest

from stm_core.learning import bootstrap_intervals, evaluate, snapping

N_IMAGES = 8


def siblings(n_U, seed, spread=0.3):
    """True and predicted U of images whose errors are those of their U."""
    rng = np.random.default_rng(seed)
    U = np.repeat(rng.uniform(0, 6, n_U), N_IMAGES)
    return U, U + np.repeat(spread * rng.standard_normal(n_U), N_IMAGES)


def test_intervals_cover_the_bias_as_often_as_they_say():
    covered = 0
    for seed in range(200):
        found = bootstrap_intervals(*siblings(25, seed), metrics=("bias",), n_bootstrap=200, seed=seed)
        covered += found["bias"].low <= 0 <= found["bias"].high
    # 90 % nominal; percentile intervals of 25 values are a little short, and 200 sets scatter by 2 %.
    assert 0.81 < covered / 200 < 0.96


def test_siblings_do_not_narrow_the_interval():
    U, predicted = siblings(12, 0)
    one_each = bootstrap_intervals(U[::N_IMAGES], predicted[::N_IMAGES])
    assert bootstrap_intervals(U, predicted) == pytest.approx(one_each)


def test_the_interval_holds_the_measure_it_is_about():
    U, predicted = siblings(30, 1)
    intervals, measures = bootstrap_intervals(U, predicted), evaluate(U, predicted)
    assert set(intervals) == {"mae", "rmse", "r2", "bias"}
    assert all(pair.low < getattr(measures, name) < pair.high for name, pair in intervals.items())


def test_every_draw_is_an_evaluation_of_the_images_drawn():
    U, predicted = siblings(3, 4)
    U, predicted = U[:-2], predicted[:-2]  # one U with fewer images than the others
    intervals = bootstrap_intervals(U, predicted, confidence=1 - 1e-9, n_bootstrap=500)
    drawn = []
    for choice in product(np.unique(U), repeat=3):
        rows = np.concatenate([np.flatnonzero(U == value) for value in choice])
        drawn.append(evaluate(U[rows], predicted[rows]))
    for name, pair in intervals.items():
        values = [getattr(measures, name) for measures in drawn]
        assert (pair.low, pair.high) == pytest.approx((np.nanmin(values), np.nanmax(values)))


@pytest.mark.parametrize(
    "U, options, message",
    [
        ([1.0, 1.0], {}, "one distinct U"),
        ([1.0, 2.0], {"metrics": ("median",)}, "metrics are"),
        ([1.0, 2.0], {"confidence": 0}, "confidence 0"),
        ([1.0, 2.0], {"n_bootstrap": 0}, "n_bootstrap 0"),
        ([1.0, np.nan], {}, "finite"),
    ],
)
def test_what_has_no_interval_is_named(U, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_intervals(U, U, **options)


def test_snapping_counts_what_lies_near_a_level():
    assert snapping([0.05, 0.5, 1.09, 4.93, 6.0]) == pytest.approx(3 / 5)
    assert snapping([6.0], levels=[6]) == 1
    # Uniform U lie within 0.1 eV of an integer one time in five.
    assert snapping(np.random.default_rng(0).uniform(0, 5, 4000)) == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(
    "U, options, message",
    [
        ([], {}, "U must be"),
        ([1.0], {"levels": [np.nan]}, "levels must be"),
        ([1.0], {"within": 0}, "within is 0"),
    ],
)
def test_what_cannot_snap_is_named(U, options, message):
    with pytest.raises(ValueError, match=message):
        snapping(U, **options)
