"""The explorer for a page without Python: every setting is computed beforehand, a slider turns them."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from stm_core.viewing.display import COLOURS, GREY, MAP, SALIENCY_MAP, compact, interactive_layout, k_extent
from stm_core.viewing.scene import FLOOR, Scene, View

_HEIGHT = 760  # pixels
_BAR = {"len": 0.4, "thickness": 10}


def picture_values(image: NDArray, style: str = "linear") -> NDArray[np.float32]:
    """What a heat map of a picture draws: log₁₀ of a linear one, down to FLOOR, or its grey levels."""
    return compact(np.log10(np.maximum(image, FLOOR)) if style == "linear" else image)


def _changes(view: View, style: str) -> list[Any]:
    """What changes with U: the colours of the atoms, two heat maps and the marked prediction."""
    percent = np.round(100 * np.asarray(view.saliency)).astype(np.uint8)
    return [
        go.Scatter(marker={"color": compact(view.ldos)}),
        go.Heatmap(z=picture_values(view.image, style)),
        go.Scatter(x=[view.U], y=[view.prediction]),
        go.Heatmap(z=percent),
    ]


def pixel_axes(size: int) -> dict[str, float]:
    """Centre of the first pixel and spacing of a plotly heat map of an FT-LDOS picture, in 1/Å."""
    left, right, bottom, top = k_extent()
    dx, dy = (right - left) / size, (top - bottom) / size
    return {"x0": left + dx / 2, "dx": dx, "y0": bottom + dy / 2, "dy": dy}


def _panels(scene: Scene, view: View, limits: tuple[float, float]) -> list[Any]:
    """The four traces of the first setting, complete."""
    atoms, picture, point, saliency = _changes(view, scene.style)
    x, y = compact(scene.positions).T
    marker = {"colorscale": MAP, "cmin": limits[0], "cmax": limits[1], "size": 5}
    atoms.update(x=x, y=y, mode="markers", marker={**marker, "colorbar": {**_BAR, "x": 0.385, "y": 0.8}})
    low, high = (float(np.log10(FLOOR)), 0.0) if scene.style == "linear" else (0.0, 1.0)
    picture.update(colorscale=MAP, zmin=low, zmax=high, colorbar={**_BAR, "x": 1.0, "y": 0.8})
    saliency.update(colorscale=SALIENCY_MAP, zmin=0, zmax=100, colorbar={**_BAR, "x": 1.0, "y": 0.2})
    for trace in (picture, saliency):
        trace.update(**pixel_axes(scene.size))
    point.update(mode="markers", marker={"size": 13, "color": COLOURS[1]})
    return [atoms, picture, point, saliency]


def _frames(views: list[View], style: str) -> list[go.Frame]:
    # Panels 1 to 4 are traces 2 to 5: the two fixed traces of the reading lie beneath the moving point.
    return [go.Frame(name=f"{view.U:g}", data=_changes(view, style), traces=[2, 3, 4, 5]) for view in views]


def frame_slider(names: list[str], symbol: str, unit: str) -> dict[str, Any]:
    """A slider with one stop for each frame of that name."""
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    return {
        "active": 0,
        "currentvalue": {"prefix": f"{symbol} = ", "suffix": f" {unit}"},
        "pad": {"t": 45},
        "steps": [{"method": "animate", "label": name, "args": [[name], still]} for name in names],
    }


def _label_axes(figure: go.Figure) -> None:
    figure.update_xaxes(title="x (Å)", row=1, col=1)
    figure.update_yaxes(title="y (Å)", scaleanchor="x", row=1, col=1)
    for row in (1, 2):
        figure.update_xaxes(title="k<sub>x</sub> (1/Å)", row=row, col=2)
        figure.update_yaxes(title="k<sub>y</sub> (1/Å)", row=row, col=2)
    figure.update_xaxes(title="true U (eV)", row=2, col=1)
    figure.update_yaxes(title="predicted U (eV)", row=2, col=1)


def explorer_figure(
    dataset: xr.Dataset,
    regressor: Any,
    bias: float = 0.0,
    filling: float = 0.0,
    size: int = 64,
    style: str = "linear",
    layer: str = "top",
    n_k: int = 1003,
    max_frames: int = 31,
) -> go.Figure:
    """The four panels of the explorer with a U slider that works in a static page.

    Each stop of the slider is a computed state: the one of lowest energy at that U. Nothing is
    interpolated.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `load_dataset` returns.
    regressor : Regressor, FitResult or path
        A trained convolutional network.
    bias : float
        In eV; the dataset's nearest is taken and stands in the title.
    filling : float
        Electrons per moiré cell from neutrality, one of the dataset's.
    size, style, layer, n_k
        As in `image_set`, and as for the images the network was trained on.
    max_frames : int
        Most stops of the slider; of more U than this, evenly spaced ones are kept, the ends included.

    Returns
    -------
    plotly Figure
        About 45 kB per stop for pictures of 64 × 64 at i = 9.

    Raises
    ------
    ValueError
        If the dataset does not have this filling or layer, there is no network, it does not take such
        images, or `max_frames` is below 2.
    """
    if regressor is None:
        raise ValueError("explorer_figure needs a trained network; fit one or give the path of a checkpoint.")
    if max_frames < 2:
        raise ValueError(f"max_frames is {max_frames}; a slider needs at least 2 stops.")
    scene = Scene.build(dataset, regressor, filling, size, style, layer, n_k)
    position = scene.nearest_bias(bias)
    stops = np.unique(np.linspace(0, scene.U.size - 1, min(scene.U.size, max_frames)).round().astype(int))
    views = [scene.view(float(scene.U[stop]), position) for stop in stops]
    shown = scene.ldos[stops, position]
    transform = "log<sub>10</sub> |F(k)|/|F(0)|" if style == "linear" else "FT-LDOS, grey"
    titles = ["LDOS (1/eV per atom)", transform, "the network's reading", "Grad-CAM (% of its maximum)"]
    figure = make_subplots(2, 2, subplot_titles=titles, horizontal_spacing=0.26, vertical_spacing=0.14)
    truth = compact([view.U for view in views])
    read = compact([view.prediction for view in views])
    figure.add_scatter(x=truth, y=truth, mode="lines", line={"color": "black", "dash": "dash"}, row=2, col=1)
    figure.add_scatter(x=truth, y=read, mode="markers", marker={"color": GREY, "size": 6}, row=2, col=1)
    panels = _panels(scene, views[0], (float(shown.min()), float(shown.max())))
    for trace, (row, column) in zip(panels, ((1, 1), (1, 2), (2, 1), (2, 2)), strict=True):
        figure.add_trace(trace, row=row, col=column)
    figure.frames = _frames(views, style)
    _label_axes(figure)
    title = f"filling {filling:g}, bias {1000 * scene.bias[position]:.3g} meV"
    slider = frame_slider([f"{view.U:g}" for view in views], "U", "eV")
    interactive_layout(figure, _HEIGHT, title=title, showlegend=False, sliders=[slider])
    return figure.update_layout(margin={"t": 90})
