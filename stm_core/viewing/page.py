"""The explorer for a page without Python: every setting is computed beforehand, a slider turns them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from stm_core.viewing.display import GREY, compact
from stm_core.viewing.stage import changes, frame, stage
from stm_core.viewing.survey import Look, Setting, Survey


def frame_slider(names: Sequence[str], symbol: str, unit: str, labels: Sequence[str] = ()) -> dict[str, Any]:
    """A slider with one stop for each frame of that name; `labels` are what it shows instead of the names."""
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    return {
        "active": 0,
        "currentvalue": {"prefix": f"{symbol} = ", "suffix": f" {unit}"},
        "pad": {"t": 45},
        "steps": [
            {"method": "animate", "label": label, "args": [[name], still]}
            for name, label in zip(names, labels or names, strict=True)
        ],
    }


def _stops(survey: Survey, first: Setting, most: int) -> list[Look]:
    """Looks at evenly spaced U of a path, the ends included."""
    U = survey.scenes[first.filling].U
    kept = np.unique(np.linspace(0, U.size - 1, min(U.size, most)).round().astype(int))
    return [survey.look(replace(first, U=float(U[stop]))) for stop in kept]


def _choices(survey: Survey, biases: Sequence[float]) -> dict[str, Setting]:
    """A setting for every filling, bias and network, by the name that the menu shows."""
    scene = next(iter(survey.scenes.values()))
    positions = sorted({scene.nearest_bias(bias) for bias in biases})
    return {
        f"filling {filling:g}, {1e3 * scene.bias[bias]:.3g} meV, {model}": Setting(0.0, filling, bias, model)
        for filling, bias, model in product(survey.scenes, positions, survey.models)
    }


def _readings(looks: Sequence[Look]) -> dict[str, Any]:
    read = [look.prediction.U[0] for look in looks if look.prediction is not None]
    return {"x": compact([look.view.U for look in looks]), "y": compact(read)}


def _button(
    figure: go.Figure, survey: Survey, name: str, looks: Sequence[Look], moving: list[int], number: int
) -> dict[str, Any]:
    """A menu entry that shows the first stop of its choice, its readings and its slider."""
    traces = [*moving, moving[-1] + 1]
    news = [*changes(survey, looks[0]), _readings(looks)]
    # A key goes to all traces at once, and what is not given again would be lost.
    keys = sorted({key for new in news for key in new})
    restyle = {
        key: [_kept(figure.data[trace], new, key) for trace, new in zip(traces, news, strict=True)]
        for key in keys
    }
    shown = {f"sliders[{n}].visible": n == number for n in range(len(figure.layout.sliders))}
    return {
        "label": name,
        "method": "update",
        "args": [restyle, {**shown, f"sliders[{number}].active": 0}, traces],
    }


def _kept(trace: Any, new: dict[str, Any], key: str) -> Any:
    if key in new:
        return new[key]
    return trace[key] if key.split(".")[0] in trace else None


def _with_controls(
    figure: go.Figure, survey: Survey, looks: Mapping[str, Sequence[Look]], moving: list[int]
) -> go.Figure:
    """The figure with the readings at all stops, a slider for every choice and a menu of the choices."""
    first = next(iter(looks.values()))
    grey = {"color": GREY, "size": 6}
    panel = {"xaxis": figure.data[0].xaxis, "yaxis": figure.data[0].yaxis}
    figure.add_scatter(**_readings(first), mode="markers", marker=grey, hoverinfo="skip", **panel)
    frames, sliders = [], []
    for number, seen in enumerate(looks.values()):
        labels = [f"{look.view.U:g}" for look in seen]
        names = [f"{number}: {label}" for label in labels]
        frames += [frame(survey, look, name, moving) for look, name in zip(seen, names, strict=True)]
        sliders.append(frame_slider(names, "U", "eV", labels) | {"visible": number == 0})
    figure.frames = frames
    figure.update_layout(sliders=sliders, margin={"t": 110})
    buttons = [
        _button(figure, survey, name, seen, moving, number)
        for number, (name, seen) in enumerate(looks.items())
    ]
    menu = {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom", "pad": {"b": 45}}
    return figure.update_layout(updatemenus=[menu])


def explorer_figure(
    dataset: xr.Dataset,
    models: Mapping[str, Any],
    biases: Sequence[float] = (0.0,),
    fillings: Sequence[float] | None = None,
    n_k: int = 1003,
    max_frames: int = 31,
) -> go.Figure:
    """The six panels of the explorer with a U slider and a menu that work in a static page.

    Each stop of the slider is a computed state: the one of lowest energy at that U. Nothing is interpolated,
    and the microscope is perfect.

    Parameters
    ----------
    dataset, models, fillings, n_k
        As in `explorer`.
    biases : sequence of float
        In eV; the dataset's nearest are taken.
    max_frames : int
        Most stops of a slider; of more U than this, evenly spaced ones are kept, the ends included.

    Returns
    -------
    plotly Figure
        About 20 kB per stop, filling, bias and network for pictures of 64 × 64 at i = 9.

    Raises
    ------
    ValueError
        As `explorer`, if there is no network or no bias, or `max_frames` is below 2.
    """
    if not models or not biases:
        raise ValueError("explorer_figure needs a trained network and a bias at least.")
    if max_frames < 2:
        raise ValueError(f"max_frames is {max_frames}; a slider needs at least 2 stops.")
    survey = Survey.build(dataset, models, fillings, n_k)
    looks = {name: _stops(survey, setting, max_frames) for name, setting in _choices(survey, biases).items()}
    first = next(iter(looks.values()))
    figure, moving = stage(survey, first[0], columns=2)
    return _with_controls(figure, survey, looks, moving)
