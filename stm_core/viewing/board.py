"""The leaderboard as one picture: ``python -m stm_core.viewing board.png`` draws the shipped one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from stm_core.learning import BASELINES, STUDY_MODELS
from stm_core.viewing.display import COLOURS, GREY, static_style

_ORACLE = BASELINES["rounding"].title  # is told the true U and may answer with trained values only


def board_errors(records: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Mean absolute errors on held-out U within the trained range, one for each seed, by title of the model.

    Parameters
    ----------
    records : iterable of mappings
        As `read_results` returns them. Those of the protocol ``paper`` count, of the study's models and
        baselines; steps between two models are left out.

    Returns
    -------
    dict
        Errors in eV to four decimals, from the least mean upwards.

    Raises
    ------
    ValueError
        If there is no such record.
    """
    titles = {name: model.title for name, model in (STUDY_MODELS | BASELINES).items()}
    errors: dict[str, list[float]] = defaultdict(list)
    for record in records:
        if record["protocol"] == "paper" and record["model"] in titles:
            errors[titles[record["model"]]].append(round(record["parts"]["inside"]["mae"], 4))
    if not errors:
        raise ValueError("no record is of a model of the study on the protocol 'paper', so nothing is drawn")
    return dict(sorted(errors.items(), key=lambda entry: float(np.mean(entry[1]))))


def board_figure(errors: Mapping[str, list[float]]) -> Figure:
    """A row of dots for each model, on a logarithmic axis.

    Parameters
    ----------
    errors : mapping
        As `board_errors` returns them, in eV. That of rounding the true U to the nearest trained value is a
        dashed line.

    Returns
    -------
    matplotlib Figure
    """
    rows = {title: seeds for title, seeds in errors.items() if title != _ORACLE}
    with static_style():
        figure = Figure(figsize=(7.6, 0.28 * len(rows) + 0.8), layout="constrained")
        axes = figure.subplots()
        for row, seeds in enumerate(rows.values()):
            axes.plot(seeds, [row] * len(seeds), "o", color=COLOURS[0], alpha=0.7)
        if _ORACLE in errors:
            axes.axvline(errors[_ORACLE][0], color=GREY, linestyle="--", label=_ORACLE)
            axes.legend(frameon=False, loc="lower left")
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set(xscale="log", xlabel="mean error on U never seen, up to 5 eV (eV)")
        axes.invert_yaxis()
        axes.grid(axis="x", which="both", alpha=0.3)
    return figure
