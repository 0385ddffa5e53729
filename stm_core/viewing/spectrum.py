"""The LDOS and its transform against the bias, with a slider that works in a static page."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from stm_core.viewing.display import COLOURS, MAP, compact, interactive_layout
from stm_core.viewing.page import frame_slider
from stm_core.viewing.panorama import relative
from stm_core.viewing.scene import Scene, View
from stm_core.viewing.stage import STEPS, grey_steps, picture_bar, pixel_axes

_HEIGHT = 760  # pixels
_NEIGHBOURS = 6  # atoms averaged over: one hexagon of the layer
_BAR = {"len": 0.45, "thickness": 10, "y": 0.79}


def stacking_regions(positions: NDArray, lattice: NDArray) -> dict[str, NDArray[np.int64]]:
    """The six atoms nearest to the AA and to the AB stacking of the cell.

    Parameters
    ----------
    positions : array, shape (N, 2)
        Atoms of one layer in Å, rotated from AA stacking about the origin.
    lattice : array, shape (2, 2)
        Moiré vectors as rows in Å, 60° apart.

    Returns
    -------
    dict
        "AA" and "AB" to positions of atoms, shape (6,).
    """
    regions = {}
    for name, corner in (("AA", 0.0), ("AB", 1 / 3)):
        fraction = positions @ np.linalg.inv(lattice) - corner
        distance = np.linalg.norm((fraction - np.rint(fraction)) @ lattice, axis=1)
        regions[name] = np.argsort(distance, kind="stable")[:_NEIGHBOURS]
    return regions


def _changes(view: View, level: float) -> list[Any]:
    """What changes with the bias: the colours of the atoms, the heat map and the marked place."""
    return [
        go.Scatter(marker={"color": compact(relative(view.ldos))}),
        go.Heatmap(z=grey_steps(view.image, "linear")),
        go.Scatter(x=[1000 * view.bias], y=[level]),
    ]


def _panels(scene: Scene, view: View, level: float, limits: tuple[float, float]) -> list[Any]:
    """The three moving traces of the first setting, complete."""
    atoms, picture, point = _changes(view, level)
    x, y = compact(scene.positions).T
    marker = {"colorscale": MAP, "cmin": limits[0], "cmax": limits[1], "size": 5}
    atoms.update(x=x, y=y, mode="markers", marker={**marker, "colorbar": {**_BAR, "x": 0.385}})
    picture.update(colorscale=MAP, zmin=0, zmax=STEPS, colorbar={**picture_bar("linear"), **_BAR, "x": 1.0})
    picture.update(**pixel_axes(scene.size))
    point.update(mode="markers", marker={"size": 13, "color": COLOURS[-1]}, showlegend=False)
    atoms.update(showlegend=False)
    return [atoms, picture, point]


def bias_figure(
    dataset: xr.Dataset, U: float, filling: float = 0.0, size: int = 96, layer: str = "top", n_k: int = 1003
) -> go.Figure:
    """Contrast of the LDOS, its transform and the spectrum of one state, with a slider over the bias.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `load_dataset` returns.
    U : float
        In eV; the lowest state at the dataset's nearest U is shown, which stands in the title.
    filling : float
        Electrons per moiré cell from neutrality, one of the dataset's.
    size, layer, n_k
        As in `image_set`.

    Returns
    -------
    plotly Figure
        One stop for each bias of the dataset.

    Raises
    ------
    ValueError
        If the dataset does not have this filling or layer.
    """
    scene = Scene.build(dataset, filling=filling, size=size, layer=layer, n_k=n_k)
    row = int(np.argmin(np.abs(scene.U - U)))
    views = [scene.view(float(scene.U[row]), position) for position in range(scene.bias.size)]
    spectra = scene.ldos[row]
    levels, contrast = spectra.mean(axis=1), relative(spectra)
    limits = (float(contrast.min()), float(contrast.max()))
    figure = _frame_of_panels()
    for trace, (line, column) in zip(
        _panels(scene, views[0], levels[0], limits), ((1, 1), (1, 2), (2, 1)), strict=True
    ):
        figure.add_trace(trace, row=line, col=column)
    regions = stacking_regions(scene.positions, np.reshape(dataset.attrs["lattice"], (2, 2)))
    curves = {"mean of the layer": levels}
    curves |= {name: spectra[:, atoms].mean(axis=1) for name, atoms in regions.items()}
    for colour, (name, curve) in zip((COLOURS[-1], *COLOURS), curves.items(), strict=False):
        line_style = {"color": colour}
        figure.add_scatter(x=1000 * scene.bias, y=compact(curve), name=name, line=line_style, row=2, col=1)
    names = [f"{1000 * view.bias:.3g}" for view in views]
    figure.frames = [
        go.Frame(name=name, data=_changes(view, level), traces=[0, 1, 2])
        for name, view, level in zip(names, views, levels, strict=True)
    ]
    title = f"U = {scene.U[row]:.3g} eV, filling {filling:g}"
    interactive_layout(figure, _HEIGHT, title=title, sliders=[frame_slider(names, "bias", "meV")])
    return figure.update_layout(
        margin={"t": 90}, legend={"x": 0.5, "xanchor": "center", "y": 0.28, "yanchor": "top"}
    )


def _frame_of_panels() -> go.Figure:
    """Three empty panels with the names and units of their axes."""
    titles = ["LDOS / mean", "|F(k)|/|F(0)|", "spectrum"]
    specs: list[list[Any]] = [[{}, {}], [{"colspan": 2}, None]]
    figure = make_subplots(
        2, 2, subplot_titles=titles, specs=specs, row_heights=[0.64, 0.36], horizontal_spacing=0.26
    )
    figure.update_xaxes(title="x (Å)", row=1, col=1)
    figure.update_yaxes(title="y (Å)", scaleanchor="x", row=1, col=1)
    figure.update_xaxes(title="k<sub>x</sub> (1/Å)", row=1, col=2)
    figure.update_yaxes(title="k<sub>y</sub> (1/Å)", row=1, col=2)
    figure.update_xaxes(title="bias (meV)", row=2, col=1)
    return figure.update_yaxes(title="LDOS (1/eV per atom)", row=2, col=1)
