"""Two estimators of a bend, on data whose bend is known."""

import numpy as np
import pytest

from stm_core.insight import crossover

METHODS = ("segments", "curvature")


def bent(U_c, noise, seed, n=31, repeats=3):
    U = np.repeat(np.linspace(0, 6, n), repeats)
    rng = np.random.default_rng(seed)
    return U, 2.0 - 0.5 * U + 0.8 * np.maximum(0, U - U_c) + noise * rng.standard_normal(len(U))


@pytest.mark.parametrize("U_c", [1.0, 2.7, 4.4])
def test_a_bend_without_noise_is_found_with_its_slopes(U_c):
    result = crossover(*bent(U_c, 0, 0))
    step = (6 - 0.4) / 199
    assert result.U == pytest.approx(U_c, abs=step)
    assert result.low <= result.U <= result.high
    assert result.slope_below == pytest.approx(-0.5, abs=0.02)
    assert result.slope_above == pytest.approx(0.3, abs=0.02)
    assert result.gain > 0.999


@pytest.mark.parametrize("method", METHODS)
def test_the_interval_covers_the_bend_about_as_often_as_it_says(method):
    results = [
        crossover(*bent(2.7, 0.1, seed, repeats=1), method=method, n_bootstrap=80, seed=seed)
        for seed in range(100)
    ]
    covered = np.mean([result.low <= 2.7 <= result.high for result in results])
    # Nominal 90 %; 100 sets scatter by 3 %.
    assert 0.81 < covered <= 1.0
    # An interval of the whole range would cover too.
    assert np.mean([result.high - result.low for result in results]) < 1.5


@pytest.mark.parametrize("U_c", [1.7, 2.2, 3.0, 3.8])
def test_the_largest_curvature_of_a_bend_is_at_the_bend(U_c):
    result = crossover(*bent(U_c, 0.02, 1), method="curvature")
    # A third of the window's width of 0.75 eV near the ends.
    assert result.U == pytest.approx(U_c, abs=0.25 if U_c < 2 else 0.15)


def test_the_largest_curvature_of_a_peak_is_at_its_top():
    U = np.linspace(0, 6, 121)
    score = np.exp(-((U - 3.4) ** 2) / 2)
    assert crossover(U, score, method="curvature").U == pytest.approx(3.4, abs=0.05)


def test_more_noise_widens_the_interval():
    quiet, loud = (crossover(*bent(2.7, noise, 0)) for noise in (0.02, 0.2))
    assert loud.high - loud.low > 3 * (quiet.high - quiet.low)


def test_a_straight_line_gains_nothing_from_a_bend():
    U, score = bent(9.0, 0.1, 0)
    assert crossover(U, score).gain < 0.2


def test_the_seed_decides_the_interval_and_only_that():
    one, again, other = (crossover(*bent(2.7, 0.2, 0), seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one.U == other.U
    assert (one.low, one.high) != (other.low, other.high)


def test_a_bend_beats_a_cubic_and_a_smooth_curve_does_not():
    U, score = bent(2.7, 0.02, 0)
    sharp = crossover(U, score)
    assert sharp.bends and sharp.gain > sharp.smooth_gain
    smooth = crossover(U, 0.02 * (U - 1) ** 3 + 0.01 * np.sin(7 * U))
    assert not smooth.bends


def test_shuffled_labels_leave_nothing_to_find():
    U, score = bent(2.7, 0.05, 0)
    shuffled = crossover(U, np.random.default_rng(1).permutation(score))
    assert shuffled.gain < 0.3 < crossover(U, score).gain
    assert shuffled.high - shuffled.low > 2


def test_intervals_that_overlap_agree():
    near, same, far = (crossover(*bent(U_c, 0.1, seed)) for U_c, seed in ((2.7, 0), (2.7, 1), (4.4, 2)))
    assert near.agrees(same) and same.agrees(near)
    assert not near.agrees(far) and not far.agrees(near)


def test_the_best_bend_is_that_of_a_direct_least_squares_search():
    U, score = bent(2.7, 0.3, 5, repeats=2)
    breaks = np.linspace(0.2, 5.8, 200)

    def residual(b):
        design = np.stack([np.ones_like(U), U, np.maximum(0, U - b)], axis=1)
        return np.linalg.lstsq(design, score, rcond=None)[1][0]

    assert crossover(U, score).U == pytest.approx(min(breaks, key=residual))


@pytest.mark.parametrize(
    "U, score, options, message",
    [
        ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], {}, "at least 6"),
        (np.arange(6), np.arange(5), {}, "U must be 5 finite values"),
        (np.arange(6), np.full(6, np.nan), {}, "NaN"),
        (np.arange(6), np.arange(6), {"confidence": 1.0}, "between 0 and 1"),
        (np.arange(6), np.arange(6), {"n_bootstrap": 0}, "at least 1"),
        (np.arange(6), np.arange(6), {"method": "eye"}, "'segments' or 'curvature'"),
    ],
)
def test_what_has_no_bend_to_find_is_named(U, score, options, message):
    with pytest.raises(ValueError, match=message):
        crossover(U, score, **options)
