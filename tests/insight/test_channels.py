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


def test_what_the_group_decides_has_the_whole_share():
    groups = np.repeat(["a", "b", "c"], 4)
    assert variance_share(np.repeat([1.0, 5.0, 2.0], 4), groups) == pytest.approx(1)
    values = np.array([0.0, 2, 10, 12])
    # Between the means 100 of 104, and 3 degrees of freedom of which 2 are left.
    assert variance_share(values, [0, 0, 1, 1]) == pytest.approx(1 - 4 / 104 * 3 / 2)


@pytest.mark.parametrize("n_groups, size", [(3, 57), (57, 3)])
def test_noise_leaves_no_share_however_many_the_groups(n_groups, size):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(n_groups), size)
    shares = [variance_share(rng.standard_normal(groups.size), groups) for _ in range(400)]
    assert np.mean(shares) == pytest.approx(0, abs=0.01)


def test_the_share_is_that_of_the_population():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 3)
    shares = [
        variance_share(rng.standard_normal(40)[groups] + rng.standard_normal(120), groups) for _ in range(200)
    ]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)


def test_shares_of_two_labels_are_each_beyond_the_other():
    U, branch = (grid.ravel() for grid in np.meshgrid(np.arange(30), np.arange(3)))
    rng = np.random.default_rng(0)
    of_U, of_branch = rng.standard_normal(30)[U], 3.0 * branch
    total = np.var(of_U) + np.var(of_branch)
    assert variance_share(of_U + of_branch, U, branch) == pytest.approx(np.var(of_U) / total)
    assert variance_share(of_U + of_branch, branch, U) == pytest.approx(np.var(of_branch) / total)
    # Beside a large effect of the branch, one label alone would say of U that it is worse than noise.
    noise = [3.0 * branch + 0.1 * rng.standard_normal(branch.size) for _ in range(50)]
    assert np.mean([variance_share(each, U, branch) for each in noise]) == pytest.approx(0, abs=1e-3)
    assert np.mean([variance_share(each, U) for each in noise]) < -0.3


@pytest.mark.parametrize(
    "values, groups, message",
    [
        ([0, 1], [0], "one shape"),
        ([0, np.nan], [0, 1], "finite"),
        ([1, 1], [0, 1], "the same"),
        ([1, 2], [0, 1], "none are left"),
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
