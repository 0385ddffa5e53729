"""Panels draw what they are given, each in its place."""

import numpy as np
import pytest

from stm_core.viewing import attribution_panels, panels_against_U, training_curves

HISTORIES = {
    "one": {"train_loss": [3.0, 2.0, 1.0], "validation_loss": [3.5, 2.5, 2.6]},
    "other": {"train_loss": [1.0, 0.5]},
}


def test_training_curves_have_a_panel_for_each_network_and_mark_the_epoch_kept():
    figure = training_curves(HISTORIES, {"one": 1, "other": 1})
    assert [note.text for note in figure.layout.annotations] == ["one", "other"]
    losses = {(trace.name, trace.xaxis): list(trace.y) for trace in figure.data}
    assert losses == {
        ("training", "x"): [3.0, 2.0, 1.0],
        ("validation", "x"): [3.5, 2.5, np.float32(2.6)],
        ("training", "x2"): [1.0, 0.5],
    }
    assert [shape.x0 for shape in figure.layout.shapes] == [2, 2]
    assert {axis.matches for axis in figure.select_xaxes()} == {None}, "each network has its own epochs"
    with pytest.raises(ValueError, match="train_loss"):
        training_curves({"one": {"train_loss": []}}, {"one": 0})


def test_panels_against_U_sort_each_group_and_shade_an_interval():
    U, groups = np.array([2.0, 0, 1, 2, 0, 1]), np.array(["a", "a", "a", "b", "b", "b"])
    figure = panels_against_U({"score": 10 * U, "gap (eV)": -U}, U, groups, {"gap (eV)": (0.5, 1.5)})
    drawn = {(trace.name, trace.xaxis): (list(trace.x), list(trace.y)) for trace in figure.data}
    assert drawn["a", "x"] == ([0, 1, 2], [0, 10, 20])
    assert drawn["b", "x2"] == ([0, 1, 2], [0, -1, -2])
    assert len(drawn) == 4
    (shade,) = figure.layout.shapes
    assert (shade.x0, shade.x1, shade.xref) == (0.5, 1.5, "x2")
    for wrong in ({}, {"score": U[:3]}):
        with pytest.raises(ValueError, match="at least one panel"):
            panels_against_U(wrong, U, groups)


def test_attribution_panels_draw_each_map_as_a_share_of_its_maximum():
    rng = np.random.default_rng(0)
    images = rng.random((2, 8, 8))
    maps = {"Grad-CAM": rng.random((2, 8, 8)), "signed": rng.standard_normal((2, 8, 8))}
    figure = attribution_panels(images, maps, ["U = 1 eV", "U = 2 eV"], marks=[[1.0, -1.0]])
    axes = np.array(figure.axes[:6]).reshape(2, 3)
    np.testing.assert_allclose(axes[1, 0].images[0].get_array(), images[1])
    signed = np.abs(maps["signed"][1])
    np.testing.assert_allclose(axes[1, 2].images[0].get_array(), signed / signed.max())
    assert [each.get_title() for each in axes[:, 0]] == ["U = 1 eV", "U = 2 eV"]
    assert axes[1, 0].get_xlabel() == "$k_x$ (1/Å)"
    np.testing.assert_allclose(axes[0, 1].collections[0].get_offsets(), [[1.0, -1.0]])
    with pytest.raises(ValueError, match="one title each"):
        attribution_panels(images, maps, ["U = 1 eV"])
