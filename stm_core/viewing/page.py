"""The explorer for a page without Python: every setting is computed beforehand, a slider turns them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import plotly.graph_objects as go
import xarray as xr

from stm_core.viewing.display import GREY, compact
from stm_core.viewing.frames import Choice, updated, with_stops
from stm_core.viewing.stage import CURVE, changes, reading_symbol, stage
from stm_core.viewing.survey import Look, Setting, Survey


def _stops(survey: Survey, first: Setting, most: int) -> list[Look]:
    """Looks at computed states, evenly spread over the U of a path with the ends included."""
    scene = survey.scenes[first.filling]
    return [survey.look(replace(first, U=float(scene.U[row]))) for row in scene.spread(most)]


def _choices(survey: Survey, biases: Sequence[float]) -> dict[str, Setting]:
    """A setting for every filling, bias and network, by the name that the menu shows."""
    scene = next(iter(survey.scenes.values()))
    positions = sorted({scene.nearest_bias(bias) for bias in biases})
    return {
        f"filling {survey.name_of(filling)}, {1e3 * scene.bias[bias]:.3g} meV, {model}": Setting(
            0.0, filling, bias, model
        )
        for filling, bias, model in product(survey.scenes, positions, survey.models)
    }


def _readings(looks: Sequence[Look]) -> dict[str, Any]:
    """What the model reads at all stops; a cross is a reading that it calls out of range itself."""
    read = [look.prediction for look in looks if look.prediction is not None]
    return {
        "x": compact([look.view.U for look in looks]),
        "y": compact([one.U[0] for one in read]),
        "marker.symbol": [reading_symbol(one) for one in read],
    }


def _choice(survey: Survey, looks: Sequence[Look]) -> Choice:
    """The stops of a slider, over which the curve of principal components and all readings stand still."""
    stops = [changes(survey, look) for look in looks]
    curve = stops[0][CURVE]
    labels = [f"{look.view.U:g}" for look in looks]
    return Choice(labels, [stop[:CURVE] + stop[CURVE + 1 :] for stop in stops], [curve, _readings(looks)])


def explorer_figure(
    dataset: xr.Dataset,
    models: Mapping[str, Any],
    biases: Sequence[float] = (0.0,),
    fillings: Sequence[float] | None = None,
    n_k: int = 1003,
    max_frames: int = 31,
    trained: Sequence[float] | None = None,
) -> go.Figure:
    """The six panels of the explorer with a U slider and a menu that work in a static page.

    Each stop of the slider is a computed state: the one of lowest energy at that U. Nothing is interpolated,
    and the microscope is perfect.

    Parameters
    ----------
    dataset, models, fillings, n_k, trained
        As in `explorer`.
    biases : sequence of float
        In eV; the dataset's nearest are taken.
    max_frames : int
        Most stops of a slider; of more U than this, evenly spread ones are kept, the ends included.

    Returns
    -------
    plotly Figure
        About 15 kB per stop, filling, bias and network for pictures of 64 × 64 at i = 9.

    Raises
    ------
    ValueError
        As `explorer`, if there is no network or no bias, or `max_frames` is below 2.
    """
    if not models or not biases:
        raise ValueError("explorer_figure needs a trained network and a bias at least.")
    if max_frames < 2:
        raise ValueError(f"max_frames is {max_frames}; a slider needs at least 2 stops.")
    survey = Survey.build(dataset, models, fillings, n_k, trained)
    looks = {name: _stops(survey, setting, max_frames) for name, setting in _choices(survey, biases).items()}
    first = next(iter(looks.values()))
    figure, traces = stage(survey, first[0], columns=2)
    panel = {"xaxis": figure.data[0].xaxis, "yaxis": figure.data[0].yaxis}
    grey = go.Scatter(mode="markers", marker={"color": GREY, "size": 6}, hoverinfo="skip", **panel)
    figure.add_trace(updated(grey, _readings(first)))
    choices = {name: _choice(survey, seen) for name, seen in looks.items()}
    moving = traces[:CURVE] + traces[CURVE + 1 :]
    return with_stops(figure, choices, "U", "eV", moving, still=[traces[CURVE], len(figure.data) - 1])
