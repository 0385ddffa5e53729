import numpy as np
import pytest
from scipy.stats import spearmanr

from stm_core.insight import group_means, rank_correlation, variance_share


def test_means_are_of_the_values_that_share_all_labels():
    values = np.random.default_rng(0).random((8, 3, 2))
    U = np.array([1.0, 0, 1, 0, 1, 0, 1, 0])
    branch = np.array(["b", "b", "a", "a", "b", "b", "a", "a"])
    means, (U_of, branch_of) = group_means(values, U, branch)
    assert list(zip(U_of, branch_of, strict=True)) == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
    for mean, one, other in zip(means, U_of, branch_of, strict=True):
        np.testing.assert_allclose(mean, values[(U == one) & (branch == other)].mean(axis=0))


def test_a_group_that_is_not_there_has_no_mean():
    means, labels = group_means(np.arange(3.0), [0, 0, 1], [0, 1, 1])
    np.testing.assert_array_equal(means, [0, 1, 2])
    np.testing.assert_array_equal(labels[1], [0, 1, 1])


@pytest.mark.parametrize("labels", [(), ([0, 1],)])
def test_labels_must_match(labels):
    with pytest.raises(ValueError, match="need labels of shape"):
        group_means(np.zeros(3), *labels)


def test_shares_of_a_balanced_design_without_interaction_add_up_to_one():
    U, branch = (grid.ravel() for grid in np.meshgrid(np.arange(5), np.arange(3)))
    values = 2.0 * U - 1.0 * branch**2
    assert variance_share(values, U) + variance_share(values, branch) == pytest.approx(1)
    assert variance_share(values, U) == pytest.approx(4 * np.var(U) / np.var(values))


def test_noise_leaves_the_share_of_its_degrees_of_freedom():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(5), 4)
    shares = [variance_share(rng.standard_normal(20), groups) for _ in range(400)]
    assert np.mean(shares) == pytest.approx(4 / 19, abs=0.02)


@pytest.mark.parametrize(
    "values, groups, message",
    [
        ([0, 1], [0], "one shape"),
        ([0, np.nan], [0, 1], "finite"),
        ([1, 1], [0, 1], "the same"),
    ],
)
def test_values_without_variance_are_named(values, groups, message):
    with pytest.raises(ValueError, match=message):
        variance_share(values, groups)


def test_rank_correlation_is_that_of_scipy_with_ties():
    rng = np.random.default_rng(1)
    one, other = rng.integers(0, 5, (2, 6, 7))
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one.ravel(), other.ravel()).statistic)
    assert rank_correlation(one, -one) == -1
    assert rank_correlation(one, np.ones_like(one)) == 0


@pytest.mark.parametrize(
    "one, other, message",
    [([0, 1], [0, 1, 2], "one shape"), ([0], [0], "two values"), ([0, np.inf], [0, 1], "finite")],
)
def test_arrays_without_a_correlation_are_named(one, other, message):
    with pytest.raises(ValueError, match=message):
        rank_correlation(one, other)
