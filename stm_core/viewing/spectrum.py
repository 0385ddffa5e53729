"""The LDOS and its transform against the bias and against U, with sliders that work in a static page."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from stm_core.viewing.display import COLOURS, MAP, compact, interactive_layout
from stm_core.viewing.frames import Changes, Choice, updated, with_stops
from stm_core.viewing.panorama import BRIGHTEST, relative
from stm_core.viewing.samples import filling_name
from stm_core.viewing.scene import Scene, View, centred, fillings_of
from stm_core.viewing.stage import STEPS, grey_steps, picture_bar, pixel_axes

_HEIGHT = 760  # pixels
_NEIGHBOURS = 6  # atoms averaged over: one hexagon of the layer
_MOVING, _STILL = (0, 1, 2), (3, 4, 5)  # the maps and the mark; the curves
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


def _stop(view: View, x: float, level: float) -> Changes:
    """What changes from stop to stop: the colours of the atoms, the heat map and the marked place."""
    return [
        {"marker.color": compact(relative(view.ldos))},
        {"z": grey_steps(view.image, "linear")},
        {"x": [x], "y": [level]},
    ]


def _maps(scene: Scene, lattice: NDArray, limits: tuple[float, float]) -> list[Any]:
    """The three moving traces without what moves."""
    x, y = compact(centred(scene.positions, lattice)).T
    marker = {"colorscale": MAP, "cmin": limits[0], "cmax": limits[1], "size": 5}
    marker["colorbar"] = {**_BAR, "x": 0.385}
    bar = {**picture_bar("linear"), **_BAR, "x": 1.0}
    place = {"size": 13, "color": COLOURS[-1]}
    return [
        go.Scatter(x=x, y=y, mode="markers", marker=marker, showlegend=False),
        go.Heatmap(colorscale=MAP, zmin=0, zmax=STEPS, colorbar=bar, **pixel_axes(scene.size)),
        go.Scatter(mode="markers", marker=place, showlegend=False),
    ]


def _levels(ldos: NDArray, regions: Mapping[str, NDArray]) -> dict[str, NDArray[np.float64]]:
    """Mean over the layer and over each region of maps (n, N), by name, (n,)."""
    means = {name: ldos[:, atoms].mean(axis=1) for name, atoms in regions.items()}
    return {"mean of the layer": ldos.mean(axis=1), **means}


def _figure(
    scene: Scene, lattice: NDArray, limits: tuple[float, float], choice: Choice, names: Sequence[str]
) -> go.Figure:
    """The panels at the first stop of a choice, whose curves have these names."""
    figure = _frame_of_panels()
    for trace, change, (row, col) in zip(
        _maps(scene, lattice, limits), choice.stops[0], ((1, 1), (1, 2), (2, 1)), strict=True
    ):
        figure.add_trace(updated(trace, change), row=row, col=col)
    for colour, name, curve in zip((COLOURS[-1], *COLOURS), names, choice.still, strict=False):
        figure.add_trace(updated(go.Scatter(name=name, line={"color": colour}), curve), row=2, col=1)
    interactive_layout(figure, _HEIGHT)
    above = {"orientation": "h", "x": 0.5, "xanchor": "center", "y": 0.3, "yanchor": "bottom"}
    return figure.update_layout(legend=above)


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
    row, bias = int(np.argmin(np.abs(scene.U - U))), 1000 * scene.bias
    views = [scene.view(float(scene.U[row]), position) for position in range(bias.size)]
    lattice = np.reshape(dataset.attrs["lattice"], (2, 2))
    levels = _levels(scene.ldos[row], stacking_regions(scene.positions, lattice))
    contrast = relative(scene.ldos[row])
    mean = levels["mean of the layer"]
    stops = [_stop(*one) for one in zip(views, bias, mean, strict=True)]
    curves = [{"x": bias, "y": compact(curve)} for curve in levels.values()]
    choice = Choice([f"{value:.3g}" for value in bias], stops, curves)
    figure = _figure(scene, lattice, (float(contrast.min()), float(contrast.max())), choice, list(levels))
    figure.update_layout(title=f"U = {scene.U[row]:.3g} eV, {filling_name(filling)}")
    figure.update_xaxes(title="bias (meV)", row=2, col=1)
    return with_stops(figure, {"": choice}, "bias", "meV", _MOVING)


def U_figure(
    dataset: xr.Dataset,
    biases: Sequence[float] = (0.0,),
    fillings: Sequence[float] | None = None,
    size: int = 64,
    layer: str = "top",
    n_k: int = 1003,
    max_frames: int = 13,
) -> go.Figure:
    """Contrast of the LDOS, its transform and the mean LDOS of the lowest states, with a slider over U.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `load_dataset` returns.
    biases : sequence of float
        In eV; the dataset's nearest are taken. A menu chooses among them and the fillings.
    fillings : sequence of float, optional
        Electrons per moiré cell from neutrality, of the dataset's; by default all of them.
    size, layer, n_k
        As in `image_set`.
    max_frames : int
        Most stops of a slider; of more U than this, evenly spread ones are kept, the ends included.

    Returns
    -------
    plotly Figure
        Each stop is a computed state. About 9 kB per stop, filling and bias for pictures of 64 × 64 at i = 9.

    Raises
    ------
    ValueError
        If there is no bias, `max_frames` is below 2 or the dataset does not have a filling or the layer.
    """
    if not len(biases) or max_frames < 2:
        raise ValueError(f"U_figure needs a bias and 2 stops at least, not {len(biases)} and {max_frames}.")
    wanted = fillings_of(dataset, fillings)
    scenes = [Scene.build(dataset, nu, size, layer=layer, n_k=n_k) for nu in wanted]
    lattice = np.reshape(dataset.attrs["lattice"], (2, 2))
    regions = stacking_regions(scenes[0].positions, lattice)
    positions = sorted({scenes[0].nearest_bias(bias) for bias in biases})
    choices = {
        f"{filling_name(nu)}, {1000 * scene.bias[bias]:.3g} meV": _path(scene, bias, regions, max_frames)
        for (nu, scene), bias in product(zip(wanted, scenes, strict=True), positions)
    }
    contrast = [stop[0]["marker.color"] for choice in choices.values() for stop in choice.stops]
    limits = (float(np.min(contrast)), min(float(np.max(contrast)), BRIGHTEST))
    first = next(iter(choices.values()))
    figure = _figure(scenes[0], lattice, limits, first, ["mean of the layer", *regions])
    figure.update_xaxes(title="U (eV)", row=2, col=1)
    return with_stops(figure, choices, "U", "eV", _MOVING, _STILL)


def _path(scene: Scene, bias: int, regions: Mapping[str, NDArray], most: int) -> Choice:
    """The computed states of one filling at one bias."""
    levels = _levels(scene.ldos[:, bias], regions)
    rows = scene.spread(most)
    stops = [
        _stop(scene.view(U, bias), U, float(level))
        for U, level in zip(scene.U[rows].tolist(), levels["mean of the layer"][rows], strict=True)
    ]
    curves = [{"x": compact(scene.U), "y": compact(curve)} for curve in levels.values()]
    return Choice([f"{U:g}" for U in scene.U[rows]], stops, curves)


def _frame_of_panels() -> go.Figure:
    """Three empty panels with the names and units of their axes."""
    titles = ["LDOS / mean", "|F(k)|/|F(0)|", ""]
    specs: list[list[Any]] = [[{}, {}], [{"colspan": 2}, None]]
    figure = make_subplots(
        2, 2, subplot_titles=titles, specs=specs, row_heights=[0.64, 0.36], horizontal_spacing=0.26
    )
    figure.update_xaxes(title="x (Å)", row=1, col=1)
    figure.update_yaxes(title="y (Å)", scaleanchor="x", row=1, col=1)
    figure.update_xaxes(title="k<sub>x</sub> (1/Å)", row=1, col=2)
    figure.update_yaxes(title="k<sub>y</sub> (1/Å)", row=1, col=2)
    return figure.update_yaxes(title="LDOS (1/eV per atom)", row=2, col=1)
