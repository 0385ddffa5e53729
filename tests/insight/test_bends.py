"""Estimators of a bend and its test, on courses whose bend is known or absent."""

import numpy as np
import pytest
from scipy.stats import binom

from stm_core.insight import crossover

SETS = 100

# Courses without a bend, and with one at the U of its name.
SMOOTH = {
    "line": lambda U: U,
    "cubic": lambda U: (U - 1) ** 3,
    "decay": lambda U: np.exp(-U),
    "wave": lambda U: np.sin(1.5 * U),
    "step of 1 eV": lambda U: np.tanh(U - 2.5),
}
BENT = {
    "kink": (2.3, lambda U: -0.5 * U + 0.8 * np.maximum(0, U - 2.3)),
    "kink on a parabola": (2.3, lambda U: 0.15 * U**2 - 0.5 * U + 0.8 * np.maximum(0, U - 2.3)),
    "onset": (2.3, lambda U: np.sqrt(np.maximum(0, U - 2.3))),
    "onset on a parabola": (3.1, lambda U: 0.1 * (U - 1) ** 2 + np.sqrt(np.maximum(0, U - 3.1))),
}


def measured(course, noise, seed, n=41):
    rng = np.random.default_rng(seed)
    U = np.sort(rng.uniform(0, 5, n))
    exact = course(U)
    return U, exact + noise * np.ptp(exact) * rng.standard_normal(n)


def results(course, noise, **options):
    return [
        crossover(*measured(course, noise, seed), n_bootstrap=59, seed=seed, **options)
        for seed in range(SETS)
    ]


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_courses_bend_about_as_often_as_chance_allows(name):
    alarms = sum(result.bends for result in results(SMOOTH[name], 0.02))
    # The limits that a test with errors in 5 % of cases exceeds once in a thousand; 10 % for what no
    # polynomial is.
    rate = 0.05 if name in ("line", "cubic") else 0.10
    assert alarms <= binom.ppf(0.999, SETS, rate)


def test_the_p_value_of_a_line_is_as_often_small_as_large():
    p = np.array([result.p_value for result in results(SMOOTH["line"], 0.02)])
    assert binom.ppf(0.001, SETS, 0.5) <= np.sum(p <= 0.5) <= binom.ppf(0.999, SETS, 0.5)
    assert 1 / 60 <= p.min() and p.max() <= 1


@pytest.mark.parametrize("name", SMOOTH)
def test_a_smooth_course_without_noise_does_not_bend(name):
    U = np.linspace(0, 5, 41)
    assert not crossover(U, SMOOTH[name](U), n_bootstrap=99).bends


@pytest.mark.parametrize("name", BENT)
def test_bends_are_found(name):
    _, course = BENT[name]
    assert np.mean([result.bends for result in results(course, 0.01)[:30]]) >= 0.8


@pytest.mark.parametrize("name", BENT)
def test_the_interval_covers_the_bend_about_as_often_as_it_says(name):
    U_c, course = BENT[name]
    found = results(course, 0.02)
    covered = sum(result.low <= U_c <= result.high for result in found)
    # Nominal 90 %, between 84 and 97 % in truth; an interval of the whole range would always cover.
    assert binom.ppf(0.001, SETS, 0.84) <= covered <= binom.ppf(0.999, SETS, 0.97)


@pytest.mark.parametrize("name, limit", [("kink", 0.15), ("onset", 0.1)])
def test_a_bend_that_is_certain_has_a_narrow_interval_by_either_estimator(name, limit):
    U_c, course = BENT[name]
    for method in ("bend", "curvature"):
        found = results(course, 0.01, method=method)
        covered = sum(result.low <= U_c <= result.high for result in found)
        assert binom.ppf(0.001, SETS, 0.84) <= covered <= binom.ppf(0.999, SETS, 0.97)
        assert np.median([result.high - result.low for result in found]) < limit
        assert np.median([abs(result.U - U_c) for result in found]) < limit / 4


def test_noise_has_no_certain_bend():
    found = results(np.zeros_like, 0)[:1] + [
        crossover(np.linspace(0, 5, 41), np.random.default_rng(seed).standard_normal(41), n_bootstrap=59)
        for seed in range(SETS)
    ]
    assert sum(result.bends for result in found) <= binom.ppf(0.999, SETS, 0.05)
    # The best bend of noise may lie anywhere, and its interval says so.
    assert np.median([result.high - result.low for result in found]) > 2


@pytest.mark.parametrize("name, exponent", [("kink", 1.0), ("onset", 0.5)])
def test_a_bend_without_noise_is_found_with_its_exponent(name, exponent):
    U_c, course = BENT[name]
    U = np.linspace(0, 5, 41)
    result = crossover(U, course(U))
    assert result.U == pytest.approx(U_c, abs=0.02)
    assert result.low <= U_c <= result.high
    assert result.exponent == exponent
    assert result.bends and result.gain > 0.9


def test_precision_is_the_error_that_a_course_without_noise_is_granted():
    U = np.linspace(0, 5, 41)
    faint = np.exp(-U) + 0.02 * np.maximum(0, U - 2.3)
    sharp, blunt = (crossover(U, faint, precision=precision, n_bootstrap=99) for precision in (1e-3, 5e-2))
    assert sharp.bends and not blunt.bends
    assert sharp.high - sharp.low < blunt.high - blunt.low


def test_more_noise_widens_the_interval():
    quiet, loud = (crossover(*measured(BENT["kink"][1], noise, 0)) for noise in (0.01, 0.05))
    assert loud.high - loud.low > 2 * (quiet.high - quiet.low)


def test_units_of_the_quantity_do_not_matter():
    U, score = measured(BENT["onset"][1], 0.02, 3)
    one, other = crossover(U, score, n_bootstrap=99), crossover(U, 5 - 1e6 * score, n_bootstrap=99)
    assert (one.U, one.exponent) == (other.U, other.exponent)
    assert one.gain == pytest.approx(other.gain)


def test_the_seed_decides_the_interval_and_only_that():
    course = measured(BENT["onset"][1], 0.05, 0)
    one, again, other = (crossover(*course, n_bootstrap=99, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one.U == other.U
    assert (one.low, one.high) != (other.low, other.high)


def test_intervals_that_overlap_agree():
    early, same = (crossover(*measured(BENT["onset"][1], 0.02, seed)) for seed in (0, 1))
    late = crossover(*measured(BENT["onset on a parabola"][1], 0.01, 2))
    assert early.agrees(same) and same.agrees(early)
    assert not early.agrees(late) and not late.agrees(early)


def test_the_best_bend_is_that_of_a_direct_least_squares_search():
    U, score = measured(BENT["kink"][1], 0.03, 5)
    result = crossover(U, score)
    breaks = np.linspace(np.sort(U)[2], np.sort(U)[-3], 200)

    def residual(b):
        ramp = np.maximum(0, U - b) ** result.exponent
        return np.linalg.lstsq(np.stack([np.ones_like(U), U, ramp], axis=1), score, rcond=None)[1][0]

    assert result.U == pytest.approx(min(breaks, key=residual))


def test_scores_of_equal_U_count_as_one():
    U, score = measured(BENT["kink"][1], 0.02, 7)
    one, twice = crossover(U, score), crossover(np.tile(U, 2), np.tile(score, 2))
    assert (one.U, one.low, one.high, one.p_value) == (twice.U, twice.low, twice.high, twice.p_value)


@pytest.mark.parametrize(
    "U, score, options, message",
    [
        ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], {}, "at least 6"),
        (np.arange(6), np.arange(5), {}, "U must be 5 finite values"),
        (np.arange(6), np.full(6, np.nan), {}, "NaN"),
        (np.arange(6), np.arange(6), {"confidence": 1.0}, "between 0 and 1"),
        (np.arange(6), np.arange(6), {"precision": 0}, "between 0 and 1"),
        (np.arange(6), np.arange(6), {"n_bootstrap": 0}, "at least 1"),
        (np.arange(6), np.arange(6), {"method": "eye"}, "'bend' or 'curvature'"),
    ],
)
def test_what_has_no_bend_to_find_is_named(U, score, options, message):
    with pytest.raises(ValueError, match=message):
        crossover(U, score, **options)
