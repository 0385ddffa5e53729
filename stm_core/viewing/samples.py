"""Pictures of a dataset: its samples on a map, its branches against U, its spectra."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from plotly.subplots import make_subplots

from stm_core.viewing.display import COLOURS, GREY, MAP, compact, interactive_layout, signed, static_style

_SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "star", "hexagon", "x")
_MENU = {"direction": "down", "x": 0.0, "xanchor": "left", "y": 1.0, "yanchor": "bottom", "pad": {"b": 28}}
_COLUMNS = 3
_WEAKEST = 1e-4  # of the largest value of a spectrum on a logarithmic scale


def filling_name(filling: float) -> str:
    """A filling as figures and tables write it: ν = 0, ν = +2, ν = −2."""
    return f"ν = {signed(filling)}"


def sample_map(ds: xr.Dataset, category: ArrayLike) -> Figure:
    """Every sample at its U, in one row for each filling and start, coloured by a category.

    Parameters
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns it, with the samples that did not converge: they are crosses. The lowest
        states of every U and filling are ringed.
    category : array of str, shape (n,)
        What the colour tells, such as the phase.

    Returns
    -------
    matplotlib Figure
    """
    U, kinds, converged = ds["U"].values, np.asarray(category).astype(str), ds["converged"].values
    branch = [*zip(ds["filling"].values, ds["start"].values, strict=True)]
    rows = sorted(set(branch), reverse=True)
    height = np.array([rows.index(name) for name in branch])
    with static_style():
        figure = Figure(
            figsize=(9.0, 1.4 + 0.26 * len(rows) + 0.2 * len(set(kinds)) / 3), layout="constrained"
        )
        axes = figure.add_subplot(xlabel="U (eV)", ylim=(-0.6, len(rows) - 0.4))
        for colour, kind in zip(_colours(len(set(kinds))), np.unique(kinds), strict=True):
            shown = (kinds == kind) & converged
            axes.scatter(U[shown], height[shown], s=22, color=colour, linewidths=0, label=kind)
        axes.scatter(U[~converged], height[~converged], s=22, marker="x", c=GREY, label="not converged")
        ring = ds["ground"].values
        axes.scatter(U[ring], height[ring], s=60, facecolors="none", edgecolors="black", label="lowest")
        axes.set_yticks(range(len(rows)), [f"{filling_name(filling)}, {start}" for filling, start in rows])
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _colours(number: int) -> list[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(number)]


def branch_figure(
    ds: xr.Dataset, quantities: Mapping[str, ArrayLike], notes: ArrayLike | None = None
) -> go.Figure:
    """Quantities of every sample against U: a panel for each filling, a colour for each start.

    Parameters
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns.
    quantities : mapping of str to array, shape (n,)
        By the title of their axis; of several, a menu chooses. NaN is left out.
    notes : array of str, shape (n,), optional
        Shown where the pointer rests on a sample, such as its phase.

    Returns
    -------
    plotly Figure

    Raises
    ------
    ValueError
        If there is no quantity.
    """
    if not quantities:
        raise ValueError("a figure of branches needs at least one quantity.")
    filling, start = ds["filling"].values, ds["start"].values
    fillings, starts = np.unique(filling), np.unique(start)
    columns = min(len(fillings), _COLUMNS)
    names = [filling_name(value) for value in fillings]
    figure = make_subplots(-(-len(fillings) // columns), columns, subplot_titles=names, shared_yaxes="all")
    members = []
    for panel, (nu, kind) in ((p, (f, s)) for p, f in enumerate(fillings) for s in starts):
        chosen = np.flatnonzero((filling == nu) & (start == kind))
        if chosen.size == 0:
            continue
        members.append(chosen[np.argsort(ds["U"].values[chosen])])
        first = not any(trace.name == str(kind) for trace in figure.data)
        place = {"row": panel // columns + 1, "col": panel % columns + 1}
        figure.add_trace(_branch(ds, members[-1], str(kind), list(starts).index(kind), notes, first), **place)
    drawn = {name: _columns(values, members) for name, values in quantities.items()}
    title, first_values = next(iter(drawn.items()))
    for trace, values in zip(figure.data, first_values, strict=True):
        trace.y = values
    interactive_layout(figure, 300 * -(-len(fillings) // columns) + 120)
    if len(drawn) > 1:
        buttons = [
            {"label": name, "method": "update", "args": [{"y": values}, {"yaxis.title.text": name}]}
            for name, values in drawn.items()
        ]
        figure.update_layout(updatemenus=[{**_MENU, "buttons": buttons}], margin={"t": 90})
    figure.update_xaxes(title="U (eV)")
    return figure.update_layout(yaxis={"title": title})


def _columns(values: ArrayLike, members: Sequence[NDArray]) -> list[NDArray[np.float32]]:
    return [compact(np.asarray(values, dtype=float)[chosen]) for chosen in members]


def _branch(
    ds: xr.Dataset, chosen: NDArray, kind: str, number: int, notes: ArrayLike | None, first: bool
) -> go.Scatter:
    """The samples of one filling and start, still without a quantity."""
    text = {} if notes is None else {"text": np.asarray(notes).astype(str)[chosen].tolist()}
    # Later starts are drawn smaller, so that equal states show as rings.
    size = max(9 - number, 4)
    marker = {"color": COLOURS[number % len(COLOURS)], "symbol": _SYMBOLS[number % 8], "size": size}
    return go.Scatter(
        x=compact(ds["U"].values[chosen]),
        mode="markers",
        name=kind,
        legendgroup=kind,
        showlegend=first,
        marker=marker,
        **text,
    )


def spectrum_map(ds: xr.Dataset, layer: int = 1) -> Figure:
    """Mean LDOS of the lowest states of every U, against U and bias, in a panel for each filling.

    Parameters
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns.
    layer : int
        1 the top one, 0 the bottom one.

    Returns
    -------
    matplotlib Figure
        On one logarithmic scale of four decades.
    """
    ground = ds.isel(sample=np.flatnonzero(ds["ground"].values)).sortby("U")
    mean = ground["ldos"].values[..., ds["layer"].values == layer].mean(axis=-1)
    fillings = np.unique(ground["filling"].values)
    top = float(mean.max())
    norm = LogNorm(max(top * _WEAKEST, float(mean.min())), top, clip=True)
    with static_style():
        width = 2.2 + 3.0 * min(len(fillings), _COLUMNS)
        rows = -(-len(fillings) // _COLUMNS)
        figure = Figure(figsize=(width, 0.6 + 2.9 * rows), layout="constrained")
        panels = figure.subplots(rows, min(len(fillings), _COLUMNS), sharex=True, sharey=True, squeeze=False)
        for axes, filling in zip(panels.flat, fillings, strict=False):
            chosen = ground["filling"].values == filling
            U, bias = ground["U"].values[chosen], 1000 * ds["bias"].values
            drawn = axes.pcolormesh(_edges(U), _edges(bias), mean[chosen].T, cmap=MAP, norm=norm)
            axes.set(title=filling_name(filling), xlabel="U (eV)")
        for axes in panels.flat[len(fillings) :]:
            axes.remove()
        for axes in panels[:, 0]:
            axes.set(ylabel="bias (meV)")
        used = list(panels.flat[: len(fillings)])
        for axes in used[-panels.shape[1] :]:  # where nothing is below
            axes.tick_params(labelbottom=True)
        figure.colorbar(drawn, ax=used, label="mean LDOS (1/eV per atom)")
    return figure


def _edges(centres: NDArray) -> NDArray[np.float64]:
    """Borders of the cells around ascending places, (n + 1,)."""
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([centres[:1], middle, centres[-1:]])
