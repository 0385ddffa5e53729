"""Time left: pages count by the seconds they take, those from the cache by none."""

import logging
import time

import pytest

from stm_core.study.progress import Progress, in_words, time_left

EXPECTED = {"00_first": 20.0, "01_second": 0.0, "02_third": 180.0}


def test_pages_from_the_cache_cost_nothing():
    assert time_left(EXPECTED, {}) == pytest.approx(200)
    assert time_left(dict.fromkeys(EXPECTED, 0.0), {}) == 0


def test_a_slow_machine_is_noticed_but_not_by_one_short_page():
    alone = time_left(EXPECTED, {"00_first": 40.0})
    assert 180 < alone < 2 * 180
    longer = {**EXPECTED, "03_fourth": 180.0}
    assert time_left(longer, {"00_first": 40.0, "02_third": 360.0}) > alone


def test_when_all_is_done_nothing_is_left():
    assert time_left(EXPECTED, dict.fromkeys(EXPECTED, 1.0)) == 0


@pytest.mark.parametrize(
    "seconds, words", [(0.2, "1 s"), (95, "95 s"), (540, "9 min"), (5399, "90 min"), (9000, "2.5 h")]
)
def test_a_duration_is_said_in_words(seconds, words):
    assert in_words(seconds) == words


def test_the_reader_is_told_what_runs(caplog, capsys, monkeypatch):
    monkeypatch.setattr(time, "perf_counter", iter([0.0, 20.0, 20.0, 20.0, 20.0, 200.0]).__next__)
    with caplog.at_level(logging.INFO, "stm_core"), Progress(EXPECTED) as progress:
        for name in EXPECTED:
            with progress.page(name):
                pass
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].split() == "00_first runs, usually for 20 s; 3 min left for all".split()
    assert said[1].split() == "02_third runs, usually for 3 min; 3 min left for all".split()
    assert "02_third, 3 min left" in capsys.readouterr().err


def test_no_bar_is_drawn_over_a_full_cache(capsys):
    with Progress({"00_first": 0.0}) as progress, progress.page("00_first"):
        pass
    assert capsys.readouterr().err == ""
