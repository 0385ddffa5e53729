"""Interactive figures: bands, levels, curves and errors. They return plotly figures."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from stm_core.viewing.display import COLOURS, GREY, compact, interactive_layout


def band_figure(
    distance: ArrayLike,
    bands: ArrayLike | Mapping[str, ArrayLike],
    ticks: Sequence[tuple[str, float]],
    window: tuple[float, float] | None = None,
    title: str = "",
) -> go.Figure:
    """Bands along a path.

    Parameters
    ----------
    distance : array, shape (n_k,)
        Length along the path in 1/Å.
    bands : array, shape (n_k, n_bands), or mapping of name to such arrays
        Energies in eV, from the chemical potential or the Dirac point as the title says.
    ticks : sequence of (str, float)
        Names of the corners and their places along the path.
    window : pair of floats, optional
        Energies shown, in eV; bands that never enter are left out.
    title : str

    Returns
    -------
    plotly Figure
    """
    sets = bands if isinstance(bands, Mapping) else {"bands": bands}
    figure = go.Figure()
    for colour, (name, energies) in zip(COLOURS, sets.items(), strict=False):
        lines = np.asarray(energies, dtype=float)
        if window is not None:
            lines = lines[:, (lines.max(axis=0) >= window[0]) & (lines.min(axis=0) <= window[1])]
        # One trace with gaps draws hundreds of bands as fast as one.
        gaps = np.vstack([lines, np.full(lines.shape[1], np.nan)])
        path = np.append(np.asarray(distance, dtype=float), np.nan)
        figure.add_scatter(
            x=compact(np.tile(path, lines.shape[1])),
            y=compact(gaps.T.ravel()),
            mode="lines",
            line={"color": colour, "width": 1.5},
            name=name,
        )
    names, places = zip(*ticks, strict=True)
    interactive_layout(figure, 430, title=title, showlegend=len(sets) > 1)
    figure.update_xaxes(tickvals=places, ticktext=names, range=[min(places), max(places)], showgrid=True)
    return figure.update_yaxes(title="E (eV)", range=window)


def curve_figure(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    x_title: str,
    y_title: str,
    title: str = "",
    mode: str = "lines+markers",
) -> go.Figure:
    """Named curves in one frame.

    Parameters
    ----------
    curves : mapping of str to (x, y)
        Each a pair of arrays of shape (n,).
    x_title, y_title : str
        Names of the axes with their units.
    title : str
    mode : str
        As in plotly: "lines", "markers" or "lines+markers".

    Returns
    -------
    plotly Figure
    """
    figure = go.Figure()
    for name, (x, y) in curves.items():
        figure.add_scatter(x=compact(np.asarray(x)), y=compact(np.asarray(y)), mode=mode, name=name)
    interactive_layout(figure, 400, title=title, showlegend=len(curves) > 1)
    return figure.update_xaxes(title=x_title).update_yaxes(title=y_title)


def level_figure(levels: Mapping[str, ArrayLike], title: str = "", unit: str = "E − μ (eV)") -> go.Figure:
    """Energy levels as short bars in one column per name.

    Parameters
    ----------
    levels : mapping of str to array, shape (n,)
        Energies in eV.
    title, unit : str
        Title and label of the energy axis.

    Returns
    -------
    plotly Figure
    """
    figure = go.Figure()
    for column, (name, energies) in enumerate(levels.items()):
        values = np.asarray(energies, dtype=float).ravel()
        bars = np.tile([column - 0.35, column + 0.35, np.nan], values.size)
        figure.add_scatter(
            x=compact(bars),
            y=compact(np.repeat(values, 3)),
            mode="lines",
            line={"color": COLOURS[column % len(COLOURS)], "width": 2},
            name=name,
        )
    interactive_layout(figure, 420, title=title, showlegend=False)
    figure.update_xaxes(tickvals=list(range(len(levels))), ticktext=list(levels))
    return figure.update_yaxes(title=unit)


def predicted_vs_true(
    U_true: ArrayLike,
    predictions: ArrayLike | Mapping[str, ArrayLike],
    levels: Sequence[float] = (),
    title: str = "",
) -> go.Figure:
    """Predicted against true U, with the line of perfect prediction.

    Parameters
    ----------
    U_true : array, shape (n,)
        True U in eV.
    predictions : array, shape (n,), or mapping of model name to such arrays
        Predicted U in eV.
    levels : sequence of floats
        U that was trained on, drawn as faint lines: predictions that snap to them show.
    title : str

    Returns
    -------
    plotly Figure

    Raises
    ------
    ValueError
        If a prediction does not have the length of `U_true`.
    """
    truth = np.asarray(U_true, dtype=float)
    models = predictions if isinstance(predictions, Mapping) else {"model": predictions}
    figure = go.Figure()
    for level in levels:
        figure.add_hline(y=level, line={"color": GREY, "width": 0.5})
    for name, predicted in models.items():
        values = np.asarray(predicted, dtype=float)
        if values.shape != truth.shape:
            raise ValueError(
                f"{name} has {values.size} predictions for {truth.size} true U; one for each is needed."
            )
        figure.add_scatter(
            x=compact(truth), y=compact(values), mode="markers", name=name, marker={"opacity": 0.7}
        )
    ends = [float(truth.min()), float(truth.max())]
    figure.add_scatter(x=ends, y=ends, mode="lines", line={"color": "black", "dash": "dash"}, name="perfect")
    interactive_layout(figure, 480, title=title)
    figure.update_xaxes(title="true U (eV)")
    return figure.update_yaxes(title="predicted U (eV)")


def pca_scores(
    scores: ArrayLike,
    U: ArrayLike,
    explained: ArrayLike | None = None,
    crossover: tuple[float, float] | None = None,
    title: str = "",
) -> go.Figure:
    """Principal-component scores against U.

    Parameters
    ----------
    scores : array, shape (n, n_components)
        One row per picture or per U.
    U : array, shape (n,)
        U in eV.
    explained : array, shape (n_components,), optional
        Share of the variance, for the names.
    crossover : pair of floats, optional
        Interval of U to shade, in eV.
    title : str

    Returns
    -------
    plotly Figure

    Raises
    ------
    ValueError
        If `scores` and `U` differ in length.
    """
    columns, values = np.asarray(scores, dtype=float), np.asarray(U, dtype=float)
    if columns.ndim != 2 or len(columns) != values.size:
        raise ValueError(
            f"scores has shape {columns.shape}; one row for each of the {values.size} U is needed."
        )
    figure = go.Figure()
    for number, column in enumerate(columns.T):
        share = "" if explained is None else f" ({100 * np.asarray(explained)[number]:.1f} %)"
        figure.add_scatter(
            x=compact(values), y=compact(column), mode="markers", name=f"PC {number + 1}{share}"
        )
    if crossover is not None:
        figure.add_vrect(*crossover, fillcolor=GREY, opacity=0.25, line_width=0, annotation_text="crossover")
    interactive_layout(figure, 420, title=title)
    figure.update_xaxes(title="U (eV)")
    return figure.update_yaxes(title="score")
