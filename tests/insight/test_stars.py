"""A reader of stars whose important ones are known by construction."""

import numpy as np
import pytest

from stm_core.insight import exchanged, group_attribution, star_deletion_insertion

STARS = np.arange(24) % 6
"""To which of six stars each of 24 features, four biases long, belongs."""


def read(features):
    """U rests on the stars 1 and 4 alone, on the first twice as much."""
    weight = np.select([STARS == 1, STARS == 4], [2.0, 1.0], 0.0)
    return np.asarray(features) @ weight


@pytest.fixture
def pair():
    return np.zeros(24), np.random.default_rng(0).uniform(0.5, 1.5, 24)


def test_stars_that_carry_the_reading_are_the_only_ones_with_a_share(pair):
    shares = group_attribution(read, pair[1], pair[0], STARS)
    assert np.flatnonzero(np.abs(shares) > 1e-6).tolist() == [1, 4]
    assert shares[1] > shares[4] > 0


def test_a_true_map_beats_all_random_orders_and_a_false_one_none(pair):
    true = group_attribution(read, pair[1], pair[0], STARS)
    for found in star_deletion_insertion(read, pair[1], pair[0], true, STARS, n_random=10):
        assert found.rank > 0.8 and found.advantage > 0
        assert found.change[1] == pytest.approx(read(pair[1]), rel=1e-6)
    for found in star_deletion_insertion(read, pair[1], pair[0], 1 / (1 + true), STARS, n_random=10):
        assert found.rank < 0.2 and found.change[:2].tolist() == [0, 0]


def test_an_exchange_takes_whole_stars_and_leaves_the_others(pair):
    edited = exchanged(*pair, STARS, np.eye(6, dtype=bool))
    np.testing.assert_array_equal(edited[2], np.where(STARS == 2, pair[1], pair[0]))
    whole = read(pair[1]) - read(pair[0])
    assert (read(edited) / whole).sum() == pytest.approx(1)


def test_stars_that_do_not_match_are_refused(pair):
    with pytest.raises(ValueError, match="do not match"):
        star_deletion_insertion(read, *pair, np.ones(5), STARS)
    with pytest.raises(ValueError, match="counts"):
        star_deletion_insertion(read, *pair, np.ones(6), STARS, counts=(6,))
