"""The explorer for a page without Python: every setting is computed beforehand, a slider turns them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import plotly.graph_objects as go
import xarray as xr
from tqdm.auto import tqdm

from stm_core.viewing.display import GREY, compact, signed
from stm_core.viewing.frames import Choice, updated, with_stops
from stm_core.viewing.microscope import CLEAN
from stm_core.viewing.stage import CURVE, changes, reading_symbol, stage
from stm_core.viewing.survey import Look, Setting, Survey

_MENUS = ("filling", "bias", "model", "imperfections of the microscope")


def _stops(survey: Survey, first: Setting, most: int) -> list[Look]:
    """Looks at computed states, evenly spread over the U of a path with the ends included."""
    scene = survey.scenes[first.filling]
    return [survey.look(replace(first, U=float(scene.U[row]))) for row in scene.spread(most)]


def _choices(
    survey: Survey, biases: Sequence[float], strengths: Sequence[str]
) -> dict[tuple[str, ...], Setting]:
    """A setting for each choice of the menus, by what they show."""
    scene = next(iter(survey.scenes.values()))
    # In the order asked for: the page opens with the first.
    positions = dict.fromkeys(scene.nearest_bias(bias) for bias in biases)
    found: dict[tuple[str, ...], Setting] = {}
    for filling, bias, model in product(survey.scenes, positions, survey.models):
        # A reading at a filling that no model learned is worth nothing on the best of days.
        for strength in strengths if filling in survey.trained else strengths[:1]:
            voltage = f"{signed(1e3 * scene.bias[bias])} meV"
            name = (f"filling {survey.name_of(filling)}", voltage, model, f"imperfections: {strength}")
            found[name] = Setting(0.0, filling, bias, model, strength)
    return found


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
    strengths: Sequence[str] = (CLEAN,),
) -> go.Figure:
    """The six panels of the explorer with a U slider and menus that work in a static page.

    Each stop of the slider is a computed state: the one of lowest energy at that U. Nothing is interpolated.

    Parameters
    ----------
    dataset, models, fillings, n_k, trained
        As in `explorer`.
    biases : sequence of float
        In eV; the dataset's nearest are taken, the first to begin with.
    max_frames : int
        Most stops of a slider; of more U than this, evenly spread ones are kept, the ends included.
    strengths : sequence of str
        Of the microscope's imperfections, of `STRENGTHS`; where no model was trained, only the first.

    Returns
    -------
    plotly Figure
        About 15 kB per stop of each choice for pictures of 64 × 64 at i = 9.

    Raises
    ------
    ValueError
        As `explorer`, if there is no network, bias or strength, or a strength is unknown, or `max_frames`
        is below 2.
    """
    if not models or not biases or not strengths:
        raise ValueError("explorer_figure needs at least a trained network, a bias and a strength.")
    if max_frames < 2:
        raise ValueError(f"max_frames is {max_frames}; a slider needs at least 2 stops.")
    survey = Survey.build(dataset, models, fillings, n_k, trained)
    settings = _choices(survey, biases, strengths)
    looks = {
        name: _stops(survey, setting, max_frames)
        for name, setting in tqdm(settings.items(), desc="explorer", unit="choice", delay=2.0)
    }
    first = next(iter(looks.values()))
    figure, traces = stage(survey, first[0], columns=2)
    panel = {"xaxis": figure.data[0].xaxis, "yaxis": figure.data[0].yaxis}
    grey = go.Scatter(mode="markers", marker={"color": GREY, "size": 6}, hoverinfo="skip", **panel)
    figure.add_trace(updated(grey, _readings(first)))
    choices = {name: _choice(survey, seen) for name, seen in looks.items()}
    moving = traces[:CURVE] + traces[CURVE + 1 :]
    still = [traces[CURVE], len(figure.data) - 1]
    return with_stops(figure, choices, "U", "eV", moving, still, menus=_MENUS)
