"""The six panels of the explorer as plotly traces: the same live and in a page."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from stm_core.learning import Prediction
from stm_core.viewing.display import COLOURS, GREY, MAP, SALIENCY_MAP, compact, interactive_layout, k_extent
from stm_core.viewing.frames import updated
from stm_core.viewing.scene import FLOOR
from stm_core.viewing.survey import Look, Survey

STEPS = 200  # grey steps of a picture: enough for the eye, and a byte each
_TITLES = (
    "LDOS (10<sup>−3</sup>/eV per atom)",
    "FT-LDOS |F(k)|/|F(0)|",
    "what the reading rests on",
    "the reading",
    "place on the curve of U",
    "energy levels",
)
_ROW_HEIGHT = 350  # pixels
_MILLI = 1e3
_DECADES = -int(np.log10(FLOOR))
CURVE = 4  # among the moving traces: the curve of principal components


def pixel_axes(size: int) -> dict[str, float]:
    """Centre of the first pixel and spacing of a plotly heat map of an FT-LDOS picture, in 1/Å."""
    left, right, bottom, top = k_extent()
    dx, dy = (right - left) / size, (top - bottom) / size
    return {"x0": left + dx / 2, "dx": dx, "y0": bottom + dy / 2, "dy": dy}


def grey_steps(image: NDArray, style: str) -> NDArray[np.uint8]:
    """A picture in whole steps from 0 to STEPS: of log₁₀ from FLOOR to 1 if linear, or of its grey levels."""
    share = 1 + np.log10(np.maximum(image, FLOOR)) / _DECADES if style == "linear" else image
    return np.round(STEPS * np.clip(share, 0, 1)).astype(np.uint8)


def picture_bar(style: str) -> dict[str, Any]:
    """Colour bar of a picture in grey steps, with the values they stand for."""
    ticks = np.linspace(0, STEPS, _DECADES + 1)
    powers = [f"10<sup>−{_DECADES - n}</sup>" for n in range(_DECADES)] + ["1"]
    names = powers if style == "linear" else [f"{value:g}" for value in ticks / STEPS]
    return {"tickvals": ticks.tolist(), "ticktext": names}


def _ticks(style: str) -> dict[str, Any]:
    return {f"colorbar.{key}": value for key, value in picture_bar(style).items()}


def reading_symbol(read: Prediction) -> str:
    """A dot, or a cross for a reading that its model calls out of range."""
    return "x" if read.verdict == "out of range" else "circle"


def _reading(look: Look) -> dict[str, Any]:
    """The place of the prediction, with its interval where the model was calibrated."""
    read = look.prediction
    if read is None:
        return {"x": [], "y": [], "error_y.visible": False}
    sure = bool(np.isfinite(read.low[0]))
    up, down = (float(abs(end[0] - read.U[0])) if sure else 0.0 for end in (read.high, read.low))
    return {
        "x": [look.view.U],
        "y": [float(read.U[0])],
        "marker.symbol": reading_symbol(read),
        "error_y.array": [up],
        "error_y.arrayminus": [down],
        "error_y.visible": sure,
    }


def _verdict(look: Look) -> str:
    """The reading in a few words: it may be far outside its panel."""
    read = look.prediction
    return "" if read is None else f"{read.U[0]:.2f} eV, {read.verdict}".replace("-", "−")


def changes(survey: Survey, look: Look) -> list[dict[str, Any]]:
    """What each moving trace becomes, in the order of `stage`."""
    setting, view = look.setting, look.view
    (size, style), curve = survey.pictured(setting.model), survey.curve(setting)
    saliency = np.zeros((size, size)) if look.saliency is None else look.saliency
    up, down = (compact(_MILLI * levels) for levels in look.levels)
    return [
        {"marker.color": compact(_MILLI * view.ldos)},
        {"z": grey_steps(view.image, style), **pixel_axes(size), **_ticks(style)},
        {"z": np.round(100 * saliency).astype(np.uint8), **pixel_axes(len(saliency))},
        _reading(look),
        {
            "x": compact(curve[:, 0]),
            "y": compact(curve[:, 1]),
            "marker.color": compact(survey.scenes[setting.filling].U),
        },
        {"x": [look.position[0]], "y": [look.position[1]]},
        {"y": up},
        {"y": down},
        {"text": [_verdict(look)]},
    ]


def _ends(survey: Survey) -> tuple[float, float]:
    """Lowest and highest U of all paths, in eV."""
    U = np.concatenate([scene.U for scene in survey.scenes.values()])
    return float(U.min()), float(U.max())


def _moving(survey: Survey) -> list[tuple[int, str, Any]]:
    """The moving traces, still empty: panel, name of the colour bar, trace."""
    scene = next(iter(survey.scenes.values()))
    n_levels, (low, high) = scene.levels[0, 0].size, _ends(survey)
    x, y = compact(scene.positions).T
    big = {"size": 13, "color": COLOURS[1], "line": {"color": "white", "width": 1}}
    heat = {"zmin": 0, "hoverinfo": "skip"}
    percent = {"ticksuffix": " %"}
    dots = {"size": 7, "colorscale": MAP, "colorbar": {"title": "U (eV)"}}
    thread = {"mode": "lines+markers", "line": {"color": GREY, "width": 1}, "marker": dots}
    colours = {"colorscale": MAP, "size": 4}
    up, down = (
        {"symbol": "line-ew", "size": 70, "line": {"color": colour, "width": 2}}
        for colour in (COLOURS[0], COLOURS[2])
    )
    bars = {"mode": "markers", "hoverinfo": "y"}
    return [
        (0, "marker_colorbar", go.Scatter(x=x, y=y, mode="markers", marker=colours, hoverinfo="skip")),
        (1, "colorbar", go.Heatmap(colorscale=MAP, zmax=STEPS, **heat)),
        (2, "colorbar", go.Heatmap(colorscale=SALIENCY_MAP, zmax=100, colorbar=percent, **heat)),
        (3, "", go.Scatter(mode="markers", marker=big, error_y={"type": "data"})),
        (
            4,
            "marker_colorbar",
            go.Scatter(**thread),
        ),
        (4, "", go.Scatter(mode="markers", marker=big, hoverinfo="skip")),
        (5, "", go.Scatter(x=np.zeros(n_levels, np.int8), marker=up, **bars)),
        (5, "", go.Scatter(x=np.ones(n_levels, np.int8), marker=down, **bars)),
        (
            3,
            "",
            go.Scatter(x=[low], y=[high + 0.7], mode="text", textposition="middle right", hoverinfo="skip"),
        ),
    ]


def _bar_beside(figure: go.Figure, row: int, col: int) -> dict[str, Any]:
    """Place of a colour bar at the right edge of a panel."""
    panel = figure.get_subplot(row, col)
    (_, right), (bottom, top) = panel.xaxis.domain, panel.yaxis.domain
    return {"x": right + 0.005, "y": (bottom + top) / 2, "len": top - bottom, "thickness": 8}


def stage(survey: Survey, look: Look, columns: int = 3) -> tuple[go.Figure, list[int]]:
    """The panels at a setting in so many columns, and the numbers of the traces that move with it."""
    rows = len(_TITLES) // columns
    cells = [divmod(panel, columns) for panel in range(len(_TITLES))]
    places = [{"row": row + 1, "col": column + 1} for row, column in cells]
    figure = make_subplots(
        rows, columns, subplot_titles=_TITLES, horizontal_spacing=0.42 / columns, vertical_spacing=0.32 / rows
    )
    ends = _ends(survey)
    line = {"color": "black", "dash": "dash", "width": 1}
    figure.add_scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip", **places[3])
    for (panel, bar, trace), change in zip(_moving(survey), changes(survey, look), strict=True):
        updated(trace, change)
        if bar:
            trace.update({bar: _bar_beside(figure, **places[panel])})
        figure.add_trace(trace, **places[panel])
    _label_axes(figure, places)
    # Fixed, so that one reading far off does not press the others together.
    figure.update_yaxes(range=[ends[0] - 1, ends[1] + 1], **places[3])
    interactive_layout(figure, rows * _ROW_HEIGHT + 60, showlegend=False)
    return figure, list(range(1, len(figure.data)))


def _label_axes(figure: go.Figure, places: list[dict[str, int]]) -> None:
    figure.update_xaxes(title="x (Å)", **places[0])
    figure.update_yaxes(title="y (Å)", scaleanchor="x", **places[0])
    for place in places[1:3]:
        figure.update_xaxes(title="k<sub>x</sub> (1/Å)", **place)
        figure.update_yaxes(title="k<sub>y</sub> (1/Å)", **place)
    figure.update_xaxes(title="true U (eV)", **places[3])
    figure.update_yaxes(title="predicted U (eV)", **places[3])
    figure.update_xaxes(title="PC 1", **places[4])
    figure.update_yaxes(title="PC 2", **places[4])
    figure.update_xaxes(tickvals=[0, 1], ticktext=["spin up", "spin down"], range=[-0.6, 1.6], **places[5])
    figure.update_yaxes(title="E − μ (meV)", **places[5])
    figure.update_yaxes(title_standoff=4)
