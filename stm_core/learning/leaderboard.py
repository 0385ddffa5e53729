"""Every model on every protocol: fit, measure, and keep what came out in the file of results."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from time import perf_counter
from types import TracebackType
from typing import Any

import numpy as np
import psutil
import xarray as xr
from tqdm.auto import tqdm

from stm_core.learning.baselines import BASELINES
from stm_core.learning.catalogue import STUDY_MODELS, study_model
from stm_core.learning.checkpoints import fingerprint
from stm_core.learning.evaluation import evaluate, predict
from stm_core.learning.inputs import Samples
from stm_core.learning.parts import Parts
from stm_core.learning.results import SHIPPED_RESULTS, add_result, figures, read_results
from stm_core.learning.study_models import (
    StudySettings,
    study_parts,
    study_samples,
    trained_regressor,
)
from stm_core.learning.uncertainty import Prediction, novelty_auroc

logger = logging.getLogger(__name__)

_SAMPLING = 0.02  # s between two looks at the memory
_BASELINE_INPUT = "repaired"  # baselines see its pictures

LEADERBOARD_SETTINGS = StudySettings(epochs=40, bias_high=0.01)
"""Of the results that come with the study: small pictures, so that two cores measure all in hours."""


class Cost:
    """Seconds, and the most memory that the process took beyond its first, within a ``with`` block."""

    def __enter__(self) -> Cost:
        self._process, self._done = psutil.Process(), threading.Event()
        self._first = self._most = self._process.memory_info().rss
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        self._started = perf_counter()
        return self

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLING):
            self._most = max(self._most, self._process.memory_info().rss)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = perf_counter() - self._started
        self._done.set()
        self._watcher.join()
        self.megabytes = (max(self._most, self._process.memory_info().rss) - self._first) / 2**20


def dataset_fingerprint(ds: xr.Dataset) -> str:
    """What tells one dataset from another, as hexadecimal text."""
    return fingerprint(*(ds[name].values for name in ("ldos", "U", "filling", "seed", "bias")))[:16]


def parts_of_test(U: np.ndarray, split: Parts) -> dict[str, np.ndarray]:
    """The parts of a test that are reported apart: U within the trained range, beyond it, and all."""
    highest = U[split.known].max()
    masks = {"inside": split.test & (U <= highest), "beyond": split.test & (U > highest), "all": split.test}
    return {name: mask for name, mask in masks.items() if mask.any()}


def measure(
    ds: xr.Dataset,
    name: str,
    settings: StudySettings | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    samples: Samples | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> dict[str, Any]:
    """Fit one model of the study, or a baseline, and measure it on its protocol's test.

    Parameters
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns.
    name : str
        One of `BASELINES`, or as for `study_model`.
    settings, checkpoints, samples, device, progress
        As in `trained_regressor`.

    Returns
    -------
    dict
        A record for `add_result`: ``parts`` by `parts_of_test`; ``train_mae``, the error in eV on what the
        protocol lets it learn from; ``auroc_beyond``, how well the novelty tells the U beyond the training
        from those within (None without calibration); ``validation_mae``, after each epoch in eV (none where
        nothing validates), and ``best_epoch``, the one kept.

    Raises
    ------
    ValueError
        If the name is unknown, or as `trained_regressor`.
    """
    settings = settings or StudySettings()
    known = BASELINES.get(name)
    if samples is None:
        samples = study_samples(ds, _BASELINE_INPUT if known else name, settings)
    split = study_parts(ds, samples, settings)
    course: dict[str, Any] = {"validation_mae": [], "best_epoch": None}
    with Cost() as fitting:
        if known:
            train = split.known
            U = known.read(samples.inputs[train], samples.U[train], samples.inputs, samples.U)
            nothing = np.full(len(U), np.nan)
            found = Prediction(U, nothing - np.inf, nothing + np.inf, nothing)
        else:
            result = trained_regressor(ds, name, settings, checkpoints, samples, device, progress)
            course |= {"best_epoch": result.best_epoch if result.history else None}
            course |= {"validation_mae": result.history.get("validation_mae", [])}
    with Cost() as reading:
        if not known:
            found = predict(result, samples.inputs)
    masks = parts_of_test(samples.U, split)
    tellable = "beyond" in masks and "inside" in masks and np.isfinite(found.novelty).all()
    return {
        "model": name,
        "title": known.title if known else study_model(name).title,
        "protocol": settings.protocol,
        "seed": settings.seed,
        "data": dataset_fingerprint(ds),
        "settings": _plain(settings),
        "n_train": int(split.known.sum()),
        "n_calibration": int(split.calibration.sum()),
        "train_mae": evaluate(samples.U[split.known], found.U[split.known]).mae,
        "parts": {key: figures(samples.U[m], found.subset(m), settings.seed) for key, m in masks.items()},
        "auroc_beyond": novelty_auroc(found.subset(masks["inside"]), found.subset(masks["beyond"]))
        if tellable
        else None,
        **course,
        "seconds_fit": fitting.seconds,
        "seconds_predict": reading.seconds / len(samples),
        "peak_megabytes": max(fitting.megabytes, reading.megabytes),
    }


def run_leaderboard(
    ds: xr.Dataset,
    names: Iterable[str] = (*BASELINES, *STUDY_MODELS),
    protocols: Iterable[str] = ("paper", "continuous"),
    seeds: Iterable[int] = range(5),
    settings: StudySettings | None = None,
    results: str | os.PathLike[str] = SHIPPED_RESULTS,
    checkpoints: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    progress: bool = True,
    known: Mapping[str, dict[str, Any]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Measure every model on every protocol with every seed, going on where an earlier call stopped.

    Parameters
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns.
    names, protocols, seeds
        What to measure; all their combinations, one seed after the other.
    settings : StudySettings, optional
        What else decides a model; its protocol and seed are replaced. `LEADERBOARD_SETTINGS` by default.
    results : path-like
        File of results. Records of the same dataset and settings are kept and not measured again.
    checkpoints, device, progress
        As in `trained_regressor`.
    known : mapping, optional
        Further records, as `read_results` gives them; those of the same dataset and settings are not
        measured again either.

    Returns
    -------
    dict
        The records that were asked for, by key.
    """
    settings = settings or LEADERBOARD_SETTINGS
    at_hand, found = {}, {}
    given = recorded(ds, settings, known or {}) | recorded(ds, settings, read_results(results))
    runs = [(n, p, s) for s in seeds for p in protocols for n in names]
    for name, protocol, seed in tqdm(runs, desc="leaderboard", unit="run", disable=not progress):
        chosen, key = replace(settings, protocol=protocol, seed=seed), f"{name}|{protocol}|{seed}"
        if key in given:
            found[key] = given[key]
            continue
        seen = _BASELINE_INPUT if name in BASELINES else name
        if (sees := study_model(seen).sees) not in at_hand:
            # What a model sees depends on neither protocol nor seed.
            at_hand[sees] = study_samples(ds, seen, chosen)
        found[key] = measure(ds, name, chosen, checkpoints, at_hand[sees], device, progress)
        add_result(found[key], results)
        logger.info("%s, %s, seed %d: MAE %.4f eV", name, protocol, seed, found[key]["parts"]["all"]["mae"])
    return found


def recorded(
    ds: xr.Dataset, settings: StudySettings, records: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The records, as `read_results` gives them, of this dataset and settings, of any protocol and seed."""
    data = dataset_fingerprint(ds)
    return {
        key: record
        for key, record in records.items()
        if record["data"] == data
        and record["settings"] == _plain(replace(settings, protocol=record["protocol"], seed=record["seed"]))
    }


def _plain(settings: StudySettings) -> dict[str, Any]:
    """Settings as a file of results holds them."""
    return json.loads(json.dumps(asdict(settings)))
