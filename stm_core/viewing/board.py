"""The leaderboard as one picture: ``python -m stm_core.viewing board.png`` draws the shipped one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from stm_core.learning import BASELINES, STUDY_MODELS
from stm_core.viewing.display import COLOURS, GREY, static_style

_ORACLE = "rounding"  # the baseline that is told the true U and may answer with trained values only


def board_figure(records: Iterable[Mapping[str, Any]]) -> Figure:
    """Mean absolute error of each model on held-out U within the trained range, a dot for each seed.

    Parameters
    ----------
    records : iterable of mappings
        As `read_results` returns them. Those of the protocol ``paper`` are drawn, of the study's models and
        baselines; steps between two models are left out.

    Returns
    -------
    matplotlib Figure
        Models from the least mean error downwards on a logarithmic axis in eV; the dashed line is the error
        of rounding the true U to the nearest trained value.

    Raises
    ------
    ValueError
        If there is no such record.
    """
    titles = {name: model.title for name, model in (STUDY_MODELS | BASELINES).items()}
    errors: dict[str, list[float]] = defaultdict(list)
    oracle = None
    for record in records:
        name = record["model"]
        if record["protocol"] != "paper" or name not in titles:
            continue
        if name == _ORACLE:
            oracle = record["parts"]["inside"]["mae"]
        else:
            errors[titles[name]].append(record["parts"]["inside"]["mae"])
    if not errors:
        raise ValueError("no record is of a model of the study on the protocol 'paper', so nothing is drawn")
    ordered = sorted(errors, key=lambda title: float(np.mean(errors[title])))
    with static_style():
        figure = Figure(figsize=(7.6, 0.28 * len(ordered) + 0.8), layout="constrained")
        axes = figure.subplots()
        for row, title in enumerate(ordered):
            axes.plot(errors[title], [row] * len(errors[title]), "o", color=COLOURS[0], alpha=0.7)
        if oracle is not None:
            axes.axvline(oracle, color=GREY, linestyle="--", label="rounding to a trained value")
            axes.legend(frameon=False, loc="lower left")
        axes.set_yticks(range(len(ordered)), ordered)
        axes.set(xscale="log", xlabel="mean error on U never seen, up to 5 eV (eV)")
        axes.invert_yaxis()
        axes.grid(axis="x", which="both", alpha=0.3)
    return figure
