"""Figures that move in a page without Python: a slider over stops, and a menu or a button to go with it."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

Changes = Sequence[Mapping[str, Any]]
"""For each of some traces, what becomes of it: values by plotly's names, such as ``marker.color``."""

_BETWEEN = "|"  # parts of a name, as the book's sliders.js reads them
_PACE = 500  # ms that a stop is shown for by the button
_ABOVE: dict[str, Any] = {"x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom", "pad": {"b": 45}}


@dataclass(frozen=True, eq=False)
class Choice:
    """What there is to see after one choice of the menu.

    Attributes
    ----------
    labels : sequence of str
        What the slider shows at each stop.
    stops : sequence of Changes
        What each stop makes of the moving traces.
    still : Changes
        What the choice makes of the traces that its stops leave alone.
    """

    labels: Sequence[str]
    stops: Sequence[Changes]
    still: Changes = ()


def updated(trace: Any, change: Mapping[str, Any]) -> Any:
    """A plotly trace with its changes made; the same object."""
    return trace.update({key.replace(".", "_"): value for key, value in change.items()})


def with_stops(
    figure: go.Figure,
    choices: Mapping[Any, Choice],
    symbol: str,
    unit: str,
    moving: Sequence[int],
    still: Sequence[int] = (),
    menus: Sequence[str] = (),
) -> go.Figure:
    """Give a figure, which shows the first stop of the first choice, its slider and the way to the others.

    Parameters
    ----------
    figure : plotly Figure
        Changed and returned.
    choices : mapping of str or tuple of str to Choice
        By the name in the menu. A single one has no menu, but a button that plays its stops. Names of several
        parts get a menu for each part in the book's pages, and one for all elsewhere.
    symbol, unit : str
        Of what the slider moves.
    moving, still : sequence of int
        Numbers of the traces that the stops and the choices change.
    menus : sequence of str
        What the parts of a name are.

    Returns
    -------
    plotly Figure
    """
    frames, sliders = [], []
    for number, choice in enumerate(choices.values()):
        names = [f"{number}: {label}" for label in choice.labels]
        for name, stop in zip(names, choice.stops, strict=True):
            made = [
                updated(type(figure.data[trace])(), change)
                for trace, change in zip(moving, stop, strict=True)
            ]
            frames.append(go.Frame(name=name, data=made, traces=list(moving)))
        sliders.append(_slider(names, choice.labels, symbol, unit) | {"visible": number == 0})
    figure.frames = frames
    figure.update_layout(sliders=sliders, margin={"t": 110})
    if len(choices) == 1:
        return figure.update_layout(updatemenus=[_player([frame.name for frame in frames])])
    traces = [*moving, *still]
    buttons = [_button(figure, traces, name, choice, n) for n, (name, choice) in enumerate(choices.items())]
    return figure.update_layout(updatemenus=[{"buttons": buttons, "name": _BETWEEN.join(menus), **_ABOVE}])


def _playing(pace: int) -> dict[str, Any]:
    return {
        "mode": "immediate",
        "fromcurrent": True,
        "frame": {"duration": pace, "redraw": True},
        "transition": {"duration": 0},
    }


def _slider(names: Sequence[str], labels: Sequence[str], symbol: str, unit: str) -> dict[str, Any]:
    return {
        "active": 0,
        "currentvalue": {"prefix": f"{symbol} = ", "suffix": f" {unit}"},
        "pad": {"t": 45},
        "steps": [
            {"method": "animate", "label": label, "args": [[name], _playing(0)]}
            for name, label in zip(names, labels, strict=True)
        ],
    }


def _player(names: Sequence[str]) -> dict[str, Any]:
    buttons = [
        {"label": "Play", "method": "animate", "args": [list(names), _playing(_PACE)]},
        {"label": "Pause", "method": "animate", "args": [[None], _playing(0)]},
    ]
    return {"type": "buttons", "direction": "right", "showactive": False, "buttons": buttons, **_ABOVE}


def _button(
    figure: go.Figure, traces: Sequence[int], name: str | tuple[str, ...], choice: Choice, number: int
) -> dict[str, Any]:
    """A menu entry that shows the first stop of its choice, and its slider."""
    news = [*choice.stops[0], *choice.still]
    # A key goes to all traces at once, and what is not given again would be lost.
    keys = sorted({key for new in news for key in new})
    restyle = {
        key: [_binary(_kept(figure.data[trace], new, key)) for trace, new in zip(traces, news, strict=True)]
        for key in keys
    }
    shown: dict[str, Any] = {f"sliders[{n}].visible": n == number for n in range(len(figure.layout.sliders))}
    shown[f"sliders[{number}].active"] = 0
    parts = (name,) if isinstance(name, str) else name
    names = {"label": ", ".join(parts), "name": _BETWEEN.join(parts)}
    return names | {"method": "update", "args": [restyle, shown, list(traces)]}


def _kept(trace: Any, new: Mapping[str, Any], key: str) -> Any:
    if key in new:
        return new[key]
    return trace[key] if key.split(".")[0] in trace else None


def _binary(value: Any) -> Any:
    """An array as plotly sends those of a trace; in a menu it would write it out, four times as long."""
    if not isinstance(value, np.ndarray):
        return value
    content = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
    shape = {} if value.ndim == 1 else {"shape": ", ".join(map(str, value.shape))}
    return {"dtype": f"{value.dtype.kind}{value.dtype.itemsize}", "bdata": content, **shape}
