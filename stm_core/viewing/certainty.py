"""Figures of how certain something is: bands of scores, eigen-images with their spread, intervals in rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from plotly.colors import hex_to_rgb

from stm_core.viewing.display import COLOURS, GREY, compact, interactive_layout, k_extent, static_style

_ROW = 24  # pixels of a quantity in a chart of intervals


def score_bands(
    U: ArrayLike, scores: ArrayLike, low: ArrayLike, high: ArrayLike, shares: ArrayLike, title: str = ""
) -> go.Figure:
    """Scores of principal components against U, each with its band.

    Parameters
    ----------
    U : array, shape (n,)
        In eV.
    scores, low, high : array, shape (n, n_components)
    shares : array, shape (n_components,)
        Of the variance, for the names.
    title : str

    Returns
    -------
    plotly Figure

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    values, columns = np.asarray(U, dtype=float), np.asarray(scores, dtype=float)
    ends = [np.asarray(end, dtype=float) for end in (low, high)]
    if any(each.shape != columns.shape for each in ends) or columns.shape[:1] != values.shape:
        raise ValueError(f"scores {columns.shape} and their bands need a row for each of {values.shape} U.")
    order = np.argsort(values, kind="stable")
    figure = go.Figure()
    for number, share in enumerate(np.asarray(shares)):
        colour, name = COLOURS[number % len(COLOURS)], f"PC {number + 1} ({100 * share:.1f} %)"
        x = np.concatenate([values[order], values[order][::-1]])
        y = np.concatenate([ends[0][order, number], ends[1][order, number][::-1]])
        fill = f"rgba{(*hex_to_rgb(colour), 0.2)}"
        figure.add_scatter(
            x=compact(x),
            y=compact(y),
            fill="toself",
            fillcolor=fill,
            line_width=0,
            legendgroup=name,
            showlegend=False,
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=compact(values[order]),
            y=compact(columns[order, number]),
            mode="lines+markers",
            name=name,
            legendgroup=name,
            line={"color": colour},
        )
    interactive_layout(figure, 420, title=title)
    return figure.update_xaxes(title="U (eV)").update_yaxes(title="score")


def eigen_images(components: ArrayLike, spread: ArrayLike, shares: ArrayLike) -> Figure:
    """Eigen-images above the standard deviation of their pixels, in shares of the largest pixel.

    Parameters
    ----------
    components, spread : array, shape (n, size, size)
        Rows ascend in k_y.
    shares : array, shape (n,)
        Of the variance, for the titles.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    pictures, deviations = np.asarray(components, dtype=float), np.asarray(spread, dtype=float)
    if pictures.ndim != 3 or deviations.shape != pictures.shape or len(np.asarray(shares)) != len(pictures):
        raise ValueError(f"components {pictures.shape} need a spread and a share each.")
    window: Any = {"origin": "lower", "extent": k_extent()}
    with static_style():
        figure = Figure(figsize=(2.7 * len(pictures) + 0.8, 5.2), layout="constrained")
        grid = figure.subplots(2, len(pictures), squeeze=False, sharex=True, sharey=True)
        for column, share in enumerate(np.asarray(shares)):
            scale = np.abs(pictures[column]).max()
            signed = grid[0, column].imshow(
                pictures[column] / scale, cmap="RdBu_r", vmin=-1, vmax=1, **window
            )
            wide = grid[1, column].imshow(
                deviations[column] / scale, cmap="cividis", vmin=0, vmax=1, **window
            )
            grid[0, column].set_title(f"PC {column + 1} ({100 * share:.1f} %)")
        for axes in grid.ravel():
            axes.set(xlabel="$k_x$ (1/Å)", ylabel="$k_y$ (1/Å)")
            axes.label_outer()
        figure.colorbar(signed, ax=grid[0], label="eigen-image")
        figure.colorbar(wide, ax=grid[1], label="its uncertainty")
    return figure


def interval_chart(
    tables: Mapping[str, pd.DataFrame], known: tuple[float, float] | None = None, title: str = ""
) -> go.Figure:
    """Places and intervals of bends, a row per quantity and a colour per table.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        As `bend_table` returns them. Open symbols: chance explains the bend as well, by column ``bends``.
    known : pair of floats, optional
        An interval of U in eV to shade, such as that of a known onset.
    title : str

    Returns
    -------
    plotly Figure

    Raises
    ------
    ValueError
        If no table has a row.
    """
    rows = sum(len(table) for table in tables.values())
    if rows == 0:
        raise ValueError("no quantity has a bend to show.")
    figure = go.Figure()
    for number, (name, table) in enumerate(tables.items()):
        colour = COLOURS[number % len(COLOURS)]
        symbols = np.where(table["bends"].astype(bool), "circle", "circle-open")
        figure.add_scatter(
            x=table["U_c"],
            y=[f"{quantity} · {name}" for quantity in table.index],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": table["high"] - table["U_c"],
                "arrayminus": table["U_c"] - table["low"],
            },
            mode="markers",
            marker={"color": colour, "symbol": symbols, "size": 9},
            name=name,
        )
    if known is not None:
        figure.add_vrect(*known, fillcolor=GREY, opacity=0.35, line_width=0)
    interactive_layout(figure, _ROW * rows + 150, title=title)
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure.update_xaxes(title="U (eV)")
