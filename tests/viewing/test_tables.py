"""Tables of a page: their lines, and verdicts that follow from the figures."""

import math

import pytest

from stm_core.viewing import Target, markdown_table, target_table


def test_tables_have_a_head_and_a_line_for_each_row():
    table = markdown_table([{"a": 1, "b": "x"}, {"a": 2.5, "b": "y"}])
    assert table.splitlines() == ["| a | b |", "|---|---|", "| 1 | x |", "| 2.5 | y |"]
    assert markdown_table([]) == "*none*"
    assert markdown_table([{"|x|": 1}]).startswith("| \\|x\\| |\n|---|\n")


@pytest.mark.parametrize(
    ("here", "at_least", "met"),
    [(1.0, True, True), (0.9, True, False), (1.0, False, True), (1.1, False, False), (math.nan, True, False)],
)
def test_a_target_is_met_up_to_its_goal(here, at_least, met):
    assert Target("speed-up", here, 1.0, at_least).met is met


def test_targets_are_listed_with_their_verdicts():
    table = target_table([Target("error (eV)", 0.0123456, 0.03), Target("speed-up", 1.2, 1.5, at_least=True)])
    assert table.splitlines()[2:] == [
        "| error (eV) | at most 0.03 | 0.01235 | met |",
        "| speed-up | at least 1.5 | 1.2 | missed |",
    ]
