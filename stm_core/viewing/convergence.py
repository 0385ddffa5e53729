"""A Hartree–Fock iteration as a moving picture."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray
from plotly.subplots import make_subplots

from stm_core.imaging import layer_mask
from stm_core.simulation import TwistedBilayer
from stm_core.viewing.display import COLOURS, GREY, MAP, compact, interactive_layout
from stm_core.viewing.frames import Changes, Choice, updated, with_stops
from stm_core.viewing.scene import centred

_HEIGHT = 800  # pixels
_TITLES = ("moment n↑ − n↓", "what the iteration changed, |Δn|", "residual", "energy")
_SPACING = {"horizontal_spacing": 0.26, "vertical_spacing": 0.16}
_PLACES = ((1, 1), (1, 2), (2, 1), (2, 2))
_MAPS: dict[str, Any] = {"mode": "markers", "hoverinfo": "skip", "showlegend": False}
_HERE: dict[str, Any] = {"mode": "markers", "marker": {"size": 13, "color": COLOURS[1]}}


def convergence_figure(
    crystal: TwistedBilayer,
    steps: ArrayLike,
    history: ArrayLike,
    tolerance: float | None = None,
    layer: str = "top",
) -> go.Figure:
    """The moment of every atom and its change, iteration by iteration, with residual and energy.

    Parameters
    ----------
    crystal : TwistedBilayer
        Its N atoms.
    steps : array, shape (n_iterations, 2, 2, N)
        Electrons per atom and spin before and after each iteration: ``before`` and ``density`` of what the
        callback of `HartreeFock.solve` is told.
    history : array, shape (n_iterations, 2)
        Residual max|Δρ| and total energy in eV, as `HartreeFockState.history` holds.
    tolerance : float, optional
        Residual at which the run stops, drawn as a line.
    layer : str
        Whose atoms are shown, as in `image_set`.

    Returns
    -------
    plotly Figure
        A stop for the start and one for each iteration, and a button that plays them.

    Raises
    ------
    ValueError
        If `history` and `steps` are not of one number of iterations, or the atoms are not the crystal's.
    """
    densities, told = np.asarray(steps, dtype=float), np.asarray(history, dtype=float)
    wanted = (len(told), 2, 2, crystal.n_atoms)
    if told.ndim != 2 or told.shape[1] != 2 or densities.shape != wanted:
        raise ValueError(
            f"history has shape {told.shape} and steps {densities.shape}; (n_iterations, 2) and "
            f"(n_iterations, 2, 2, {crystal.n_atoms}) are needed."
        )
    mask = layer_mask(crystal.layer, layer)
    density = np.concatenate([densities[:1, 0], densities[:, 1]])[..., mask]
    moment = density[:, 0] - density[:, 1]
    change = np.abs(densities[:, 1] - densities[:, 0]).max(axis=1)[:, mask]
    stops = _stops(moment, change, told)
    figure = _panels(centred(crystal.positions, crystal.lattice)[mask], moment, change, told, tolerance)
    moving = [len(figure.data) - 4 + n for n in range(4)]
    for trace, first in zip(moving, stops[0], strict=True):
        updated(figure.data[trace], first)
    labels = ["0, the start,", *(f"{number}" for number in range(1, len(told) + 1))]
    choices = {"": Choice(labels, stops)}
    return with_stops(figure, choices, "iteration", f"of {len(told)}", moving)


def _decades(change: NDArray) -> tuple[int, int]:
    """Powers of ten from below the last iteration's largest change to above the largest of all."""
    largest = np.maximum(change.max(axis=1), np.finfo(float).tiny)
    return int(np.floor(np.log10(largest[-1]))) - 1, int(np.ceil(np.log10(largest.max())))


def _above(told: NDArray) -> NDArray[np.float64]:
    """How far the energy is from the last one, in eV; NaN where a logarithm has no place for it."""
    distance = np.abs(told[:, 1] - told[-1, 1])
    return np.where(distance > 0, distance, np.nan)


def _stops(moment: NDArray, change: NDArray, told: NDArray) -> list[Changes]:
    """What the two maps and the two marks become, at the start and after each iteration."""
    floor = 10.0 ** _decades(change)[0]
    power = np.log10(np.maximum(np.concatenate([np.zeros_like(change[:1]), change]), floor))
    marks: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = [({"x": [], "y": []}, {"x": [], "y": []})]
    for number, (residual, above) in enumerate(zip(told[:, 0], _above(told), strict=True), start=1):
        energy = {"x": [], "y": []} if np.isnan(above) else {"x": [number], "y": [float(above)]}
        marks.append(({"x": [number], "y": [float(residual)]}, energy))
    return [
        [{"marker.color": compact(one)}, {"marker.color": compact(other)}, *mark]
        for one, other, mark in zip(moment, power, marks, strict=True)
    ]


def _panels(
    positions: NDArray, moment: NDArray, change: NDArray, told: NDArray, tolerance: float | None
) -> go.Figure:
    """The curves, and after them the four moving traces without what moves."""
    figure = make_subplots(2, 2, subplot_titles=_TITLES, row_heights=[0.62, 0.38], **_SPACING)
    number, curves = np.arange(1, len(told) + 1), (told[:, 0], _above(told))
    for (row, col), curve in zip(_PLACES[2:], curves, strict=True):
        line = {"color": COLOURS[0]}
        figure.add_scatter(x=number, y=compact(curve), mode="lines+markers", line=line, row=row, col=col)
    if tolerance is not None:
        figure.add_hline(y=tolerance, line={"dash": "dash", "color": GREY}, row=2, col=1)
    x, y = compact(positions).T
    limit, (low, high) = float(np.abs(moment).max()) or 1.0, _decades(change)
    powers = list(range(low, high + 1))
    ticks = {"tickvals": powers, "ticktext": [f"10<sup>{power}</sup>".replace("-", "−") for power in powers]}
    maps: Any = ((-limit, limit, {}, 0.385), (low, high, ticks, 1.0))
    for (row, col), (lowest, highest, named, right) in zip(_PLACES[:2], maps, strict=True):
        bar = {"len": 0.52, "thickness": 10, "x": right, "y": 0.74, **named}
        marker = {"colorscale": MAP, "cmin": lowest, "cmax": highest, "size": 5, "colorbar": bar}
        figure.add_scatter(x=x, y=y, marker=marker, **_MAPS, row=row, col=col)
        figure.update_xaxes(title="x (Å)", row=row, col=col)
        figure.update_yaxes(title="y (Å)", scaleanchor=f"x{col}", row=row, col=col)
    for row, col in _PLACES[2:]:
        figure.add_scatter(x=[], y=[], **_HERE, row=row, col=col)
        figure.update_xaxes(title="iteration", row=row, col=col)
        figure.update_yaxes(type="log", exponentformat="power", row=row, col=col)
    figure.update_yaxes(title="residual max|Δρ|", row=2, col=1)
    figure.update_yaxes(title="|E − E<sub>final</sub>| (eV)", row=2, col=2)
    return interactive_layout(figure, _HEIGHT, showlegend=False)
