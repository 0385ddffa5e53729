"""The picture of the leaderboard."""

import pytest
from PIL import Image

from stm_core.learning import read_results
from stm_core.study import CHECKOUT
from stm_core.viewing.__main__ import main
from stm_core.viewing.board import board_errors, board_figure


def record(model: str, mae: float, protocol: str = "paper") -> dict:
    return {"model": model, "protocol": protocol, "parts": {"inside": {"mae": mae}}}


def test_models_stand_in_the_order_of_their_mean_error():
    seen = [record("cnn", 0.5), record("bragg", 0.2), record("bragg", 0.1), record("rounding", 0.25)]
    errors = board_errors([*seen, record("bragg", 9, "continuous"), record("+unit", 9)])
    (axes,) = board_figure(errors).axes
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == ["Bragg curves, 13 biases", "CNN, as in the paper"]
    bragg, cnn, rounding = axes.lines
    assert [list(line.get_xdata()) for line in (bragg, cnn)] == [[0.2, 0.1], [0.5]]
    assert set(rounding.get_xdata()) == {0.25}


def test_results_of_other_protocols_are_refused():
    with pytest.raises(ValueError, match="nothing is drawn"):
        board_errors([record("cnn", 0.5, "continuous")])


def test_the_shipped_picture_is_that_of_the_shipped_results(tmp_path, capsys):
    drawn = tmp_path / "board.png"
    assert main([str(drawn)]) == 0
    shipped = CHECKOUT / "book" / "_static" / "board.png"
    one, other = (Image.open(path) for path in (drawn, shipped))
    assert (one.size, one.text["Description"]) == (other.size, other.text["Description"])
    assert shipped.stat().st_size < 200e3
    assert main([]) == 2 and "one argument" in capsys.readouterr().err
    assert main([str(tmp_path / "no" / "board.png")]) == 1


def test_the_picture_shows_what_the_readme_says_of_it():
    errors: dict[str, list[float]] = {}
    for one in read_results().values():
        if one["protocol"] == "paper":
            errors.setdefault(one["model"], []).append(one["parts"]["inside"]["mae"])
    mean = {name: sum(each) / len(each) for name, each in errors.items()}
    others = {name: mean.pop(name) for name in list(mean) if not name.startswith("bragg")}
    assert max(mean.values()) < min(others.values()), "Bragg amplitudes on top"
    assert others["rounding"] < min(others[name] for name in ("cnn", "resnet18", "fc"))
    assert min(mean.values()) < 0.015 and others["resnet18"] > 0.5
