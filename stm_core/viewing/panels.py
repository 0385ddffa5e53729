"""Figures of several panels: networks in training, quantities against U, and attribution maps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from stm_core.viewing.display import (
    COLOURS,
    GREY,
    MAP,
    SALIENCY_MAP,
    compact,
    interactive_layout,
    k_extent,
    static_style,
)

_DECADES = 4  # shown below the maximum of a transform
_COLUMNS = 3


def _grid(
    titles: Sequence[str], columns: int, one_axis: bool = True
) -> tuple[go.Figure, list[dict[str, int]]]:
    rows = -(-len(titles) // columns)
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=titles,
        shared_xaxes="all" if one_axis else False,
        vertical_spacing=0.16 / rows,
        horizontal_spacing=0.3 / columns,
    )
    figure.update_annotations(font_size=12)
    return figure, [{"row": n // columns + 1, "col": n % columns + 1} for n in range(len(titles))]


def training_curves(
    histories: Mapping[str, Mapping[str, Sequence[float]]], best_epochs: Mapping[str, int], title: str = ""
) -> go.Figure:
    """Training and validation loss of several networks, a panel each.

    Parameters
    ----------
    histories : mapping of name to history
        As `FitResult.history`: ``train_loss`` and, where there was validation, ``validation_loss`` in eV².
    best_epochs : mapping of name to int
        Epochs whose weights were kept, counted from 0.
    title : str

    Returns
    -------
    plotly Figure

    Raises
    ------
    ValueError
        If there is no history, or one holds no training loss.
    """
    if not histories or not all(history.get("train_loss") for history in histories.values()):
        raise ValueError("every history must hold 'train_loss'; histories of FitResults are needed.")
    # Some networks are trained for ten times the epochs of others.
    figure, places = _grid(list(histories), 2, one_axis=False)
    for place, (name, history) in zip(places, histories.items(), strict=True):
        for colour, (key, label) in zip(
            COLOURS, (("train_loss", "training"), ("validation_loss", "validation")), strict=False
        ):
            if history.get(key):
                figure.add_scatter(
                    x=np.arange(1, len(history[key]) + 1),
                    y=compact(history[key]),
                    name=label,
                    legendgroup=label,
                    showlegend=place == places[0],
                    line={"color": colour},
                    **place,
                )
        figure.add_vline(x=best_epochs[name] + 1, line={"dash": "dash", "color": GREY}, **place)
    interactive_layout(figure, 280 * places[-1]["row"] + 60, title=title)
    figure.update_xaxes(title="epoch", row=places[-1]["row"])
    figure.update_yaxes(title="error² (eV²)", col=1)
    return figure.update_yaxes(type="log", exponentformat="power")


def panels_against_U(
    panels: Mapping[str, ArrayLike],
    U: ArrayLike,
    groups: ArrayLike,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    title: str = "",
) -> go.Figure:
    """Several quantities against U, a panel each, one colour per group.

    Parameters
    ----------
    panels : mapping of str to array, shape (n,)
        Values by name; the name should say the unit.
    U : array, shape (n,)
        In eV.
    groups : array, shape (n,)
        Labels, for example the branch of the Hartree-Fock solution.
    intervals : mapping of str to pair of floats, optional
        Intervals of U to shade, in eV, for some of the panels.
    title : str

    Returns
    -------
    plotly Figure

    Raises
    ------
    ValueError
        If there is no panel, or a length differs.
    """
    values, labels = np.asarray(U, dtype=float), np.asarray(groups)
    columns = {name: np.asarray(panel, dtype=float) for name, panel in panels.items()}
    if not columns or any(each.shape != values.shape for each in (labels, *columns.values())):
        raise ValueError(f"groups and at least one panel are needed, each with {values.size} values.")
    figure, places = _grid(list(columns), min(_COLUMNS, len(columns)))
    order = np.argsort(values, kind="stable")
    for place, (name, column) in zip(places, columns.items(), strict=True):
        for number, group in enumerate(np.unique(labels)):
            mine = order[labels[order] == group]
            figure.add_scatter(
                x=compact(values[mine]),
                y=compact(column[mine]),
                mode="lines+markers",
                name=str(group),
                legendgroup=str(group),
                showlegend=place == places[0],
                line={"color": COLOURS[number % len(COLOURS)], "width": 1},
                **place,
            )
        if intervals and name in intervals:
            figure.add_vrect(*intervals[name], fillcolor=GREY, opacity=0.25, line_width=0, **place)
    # Below the panels the legend leaves their numbers room.
    height = 260 * places[-1]["row"] + 120
    below = {"orientation": "h", "x": 0, "y": -80 / (height - 100), "yanchor": "top"}
    interactive_layout(figure, height, title=title, legend=below)
    return figure.update_xaxes(title="U (eV)", row=places[-1]["row"])


def attribution_panels(
    images: Sequence[ArrayLike],
    maps: Mapping[str, Sequence[ArrayLike]],
    titles: Sequence[str],
    marks: ArrayLike | None = None,
    extent: float = 1.1,
) -> Figure:
    """Pictures in the first column and one column for each kind of map, a row per picture.

    Parameters
    ----------
    images : sequence of arrays, shape (size, size)
        FT-LDOS pictures, rows ascending in k_y; on a logarithmic scale.
    maps : mapping of str to sequence of arrays, shape (size, size)
        Maps by name, one per picture. Their magnitude is drawn as a share of its maximum.
    titles : sequence of str
        One per picture.
    marks : array, shape (n, 2), optional
        Wave vectors to ring, in 1/Å.
    extent : float
        Half width of the window, as in `ft_ldos`.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        If there is no picture, or the sequences differ in length.
    """
    if not len(images) or any(len(each) != len(images) for each in (titles, *maps.values())):
        raise ValueError(f"{len(images)} images need one title each, and one map of each kind.")
    window: Any = {"origin": "lower", "extent": k_extent(extent)}
    with static_style():
        figure = Figure(figsize=(2.6 * (len(maps) + 1) + 0.9, 2.5 * len(images) + 0.5), layout="constrained")
        grid = figure.subplots(len(images), len(maps) + 1, squeeze=False, sharex=True, sharey=True)
        for row, (image, title) in enumerate(zip(images, titles, strict=True)):
            picture = np.asarray(image, dtype=float)
            norm = LogNorm(picture.max() * 10.0**-_DECADES, picture.max(), clip=True)
            grid[row, 0].imshow(picture, cmap=MAP, norm=norm if picture.max() > 0 else None, **window)
            for column, (name, kind) in enumerate(maps.items(), start=1):
                magnitude = np.abs(np.asarray(kind[row], dtype=float))
                share = magnitude / (magnitude.max() or 1.0)
                drawn = grid[row, column].imshow(share, cmap=SALIENCY_MAP, vmin=0.0, vmax=1.0, **window)
                grid[0, column].set_title(name)
            grid[row, 0].set_title(title)
        for axes in grid.ravel():
            axes.set(xlabel="$k_x$ (1/Å)", ylabel="$k_y$ (1/Å)")
            axes.label_outer()
            if marks is not None:
                kx, ky = np.asarray(marks, dtype=float).T
                axes.scatter(kx, ky, s=24, facecolors="none", edgecolors="white", linewidths=0.6)
        figure.colorbar(drawn, ax=grid, label="share of the map's maximum", shrink=0.6)
    return figure
