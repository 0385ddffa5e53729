import numpy as np
import pytest

from stm_core.insight import bend_table, component_table, crossover, holm, varies

U = np.linspace(0, 6, 25)


def test_each_row_is_the_bend_of_its_quantity_and_still_ones_are_left_out():
    noise = 0.02 * np.random.default_rng(0).standard_normal((2, U.size))
    quantities = {
        "bent": np.maximum(0, U - 2) + noise[0],
        "later": np.maximum(0, U - 4) + noise[1],
        "still": np.full(U.size, 3.0),
    }
    table = bend_table(U, quantities, n_bootstrap=99)
    assert list(table.index) == ["bent", "later"]
    expected = crossover(U, quantities["bent"], n_bootstrap=99)
    assert table.loc["bent", "p"] == expected.p_value
    assert table.loc["bent", ["U_c", "low", "high"]].tolist() == [expected.U, expected.low, expected.high]
    assert table["bends"].all()
    assert bend_table(U, {"still": quantities["still"]}).empty


@pytest.mark.parametrize(
    "values, moves",
    [
        ([1, 1, 1], False),
        ([1, 1 + 1e-9, 1], False),
        ([0, 1e-9, 0], False),
        ([5e-16, -3e-15, 8e-15], False),
        ([1e6, 1e6 + 1, 1e6], False),
        ([0, 1e-4, 0], True),
        ([0, np.nan, 1], False),
    ],
)
def test_what_changes_by_rounding_alone_does_not_vary(values, moves):
    assert varies(values) == moves


def test_holm_multiplies_each_p_value_by_the_tests_that_are_left():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).size == 0


def test_many_tests_of_nothing_rarely_find_anything():
    rng = np.random.default_rng(0)
    wrong = np.mean([np.any(holm(rng.random(40)) <= 0.05) for _ in range(1000)])
    assert 0.02 < wrong < 0.08


def test_a_nuisance_follows_the_branch_breaks_the_axis_and_flips():
    branch = np.repeat(["a", "b"], U.size)
    twice = np.tile(U, 2)
    side = np.where(branch == "a", 1.0, -1.0)
    scores = np.stack([twice - 3, side, side * (1 + 0 * twice)], axis=1)
    table = component_table(scores, [0.5, 0.3, 0.2], twice, branch, [0.9, 0.9, 0.1])
    assert table["nuisance"].tolist() == [False, True, False]
    assert table["flips"].tolist() == [False, True, True]
    assert table.loc["PC 1", "between U"] == pytest.approx(1)
    assert table.loc["PC 2", "between branches"] == pytest.approx(1)


def test_one_branch_has_nothing_to_flip_to():
    table = component_table((U - 3)[:, None], [1.0], U, np.full(U.size, "a"), [0.9])
    assert not table["flips"].any() and not table["nuisance"].any()
    assert table["between branches"].item() == 0
