"""One file of results: what every model reached, by protocol and seed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stm_core.files import replacing
from stm_core.learning.evaluation import evaluate
from stm_core.learning.grouped import bootstrap_intervals, snapping
from stm_core.learning.uncertainty import Prediction, coverage

SHIPPED_RESULTS = Path(__file__).parents[2] / "notebooks" / "data" / "results.json"
"""The results that come with the study."""

SCHEMA = "stm_core results 1"


def figures(U: ArrayLike, prediction: Prediction, seed: int = 0) -> dict[str, Any]:
    """Every figure that a model reports of its readings of samples with true U (n,) in eV.

    Parameters
    ----------
    U : array_like, shape (n,)
        True values in eV.
    prediction : Prediction
        Of the same samples.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        ``mae``, ``rmse``, ``median``, ``p95``, ``bias`` (eV), ``r2`` and ``n``; ``mae_low`` and ``mae_high``,
        the 90 % bootstrap interval over values of U; ``snapping``, the share within 0.1 eV of an integer, and
        ``snapping_true``, that of the true U; ``coverage``, mean ``width`` and ``width_median`` (eV) of the
        90 % interval and ``in_range``, the share with that verdict, all None without calibration;
        ``per_interval``, the number, MAE and these in each unit interval of U.
    """
    true = np.asarray(U, dtype=float)
    found: dict[str, Any] = evaluate(true, prediction.U).as_dict()
    if len(np.unique(true)) > 1:
        interval = bootstrap_intervals(true, prediction.U, metrics=("mae",), seed=seed)["mae"]
        found |= {"mae_low": interval.low, "mae_high": interval.high}
    integers = np.arange(np.floor(true.max()) + 2)
    found |= {"snapping": snapping(prediction.U, integers), "snapping_true": snapping(true, integers)}
    found |= _sureness(true, prediction)
    unit = np.floor(true).astype(int)
    found["per_interval"] = {
        f"{low}": {
            "n": int((unit == low).sum()),
            "mae": float(np.abs(prediction.U - true)[unit == low].mean()),
            **_sureness(true[unit == low], prediction.subset(unit == low)),
        }
        for low in np.unique(unit)
    }
    return found


def _sureness(true: np.ndarray, prediction: Prediction) -> dict[str, float | None]:
    if not np.isfinite(prediction.novelty).all():
        return {"coverage": None, "width": None, "width_median": None, "in_range": None}
    return {
        "coverage": coverage(prediction, true),
        "width": float(np.mean(prediction.high - prediction.low)),
        "width_median": float(np.median(prediction.high - prediction.low)),
        "in_range": float(prediction.in_range.mean()),
    }


def read_results(path: str | os.PathLike[str] = SHIPPED_RESULTS) -> dict[str, dict[str, Any]]:
    """Records by key, ``model|protocol|seed``; none if there is no such file.

    Raises
    ------
    ValueError
        If the file is not a file of results.
    """
    if not Path(path).is_file():
        return {}
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ValueError(f"{path} is not a file of results of schema {SCHEMA!r}")
    return content["records"]


def add_result(record: Mapping[str, Any], path: str | os.PathLike[str] = SHIPPED_RESULTS) -> None:
    """Put a record into the file, in place of an older one of the same key.

    Parameters
    ----------
    record : mapping
        ``model``, ``protocol`` and ``seed`` make the key. ``data`` is the fingerprint of the dataset;
        ``parts`` has `figures` by part of the test ("inside", "beyond", "all"); ``seconds_fit``,
        ``seconds_predict`` and ``peak_megabytes`` say what it cost. Further entries are kept as they are.
    path : path-like
        Written beside, then renamed.
    """
    records = read_results(path)
    records[f"{record['model']}|{record['protocol']}|{record['seed']}"] = dict(record)
    with replacing(Path(path)) as beside:
        text = json.dumps({"schema": SCHEMA, "records": dict(sorted(records.items()))}, indent=1)
        beside.write_text(text + "\n", encoding="utf-8")


def result_table(records: Mapping[str, Mapping[str, Any]], part: str = "all") -> pd.DataFrame:
    """Figures of one part of the test, averaged over seeds, one row for each model and protocol.

    Columns are the figures of `figures` that are numbers, with the smallest and largest MAE of the seeds as
    ``mae_best`` and ``mae_worst``, and what the run cost.
    """
    rows = []
    for record in records.values():
        if part in record["parts"]:
            numbers = {k: v for k, v in record["parts"][part].items() if isinstance(v, int | float)}
            cost = {k: record[k] for k in ("seconds_fit", "seconds_predict", "peak_megabytes") if k in record}
            rows.append({"model": record["model"], "protocol": record["protocol"], **numbers, **cost})
    if not rows:
        raise ValueError(f"no record has the part {part!r}")
    groups = pd.DataFrame(rows).groupby(["protocol", "model"])
    spread = groups["mae"].agg(seeds="count", mae_best="min", mae_worst="max")
    return groups.mean().join(spread)
