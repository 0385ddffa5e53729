"""Trained models that come with the study, each with a card, and their form for other programs (ONNX)."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from torch import nn

import stm_core
from stm_core.files import replacing
from stm_core.learning.checkpoints import Regressor
from stm_core.learning.evaluation import Trained, as_regressor
from stm_core.learning.leaderboard import LEADERBOARD_SETTINGS, dataset_fingerprint, measure
from stm_core.learning.study_models import (
    SHIPPED_MODELS,
    StudySettings,
    study_checkpoint,
    study_samples,
    trained_regressor,
)

logger = logging.getLogger(__name__)

LARGEST = 2_000_000
"""Bytes of a shipped model, at most."""

SHIPPED_NAMES = ("bragg", "bragg_process", "bragg_tokens", "bragg_biases", "repaired")
"""The models that come with the study, as `STUDY_MODELS` names them."""

SHIPPED_SETTINGS = replace(LEADERBOARD_SETTINGS, protocol="continuous")
"""Any U trains them: a model that is used wants no gaps between integers. Pictures near the Fermi level."""


def ship_model(
    ds: xr.Dataset,
    name: str,
    settings: StudySettings | None = None,
    folder: str | os.PathLike[str] = SHIPPED_MODELS,
    checkpoints: str | os.PathLike[str] = "_build/checkpoints",
    progress: bool = True,
) -> Path:
    """Fit a model of the study, and put it into a folder with its card.

    Parameters
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns.
    name : str
        One of `STUDY_MODELS`.
    settings : StudySettings, optional
        `SHIPPED_SETTINGS` by default.
    folder : path-like
        Receives ``name.pt`` and the card ``name.json``: the record of `measure`, the settings, the version of
        the library and the SHA-256 of the checkpoint.
    checkpoints : path-like
        Where the training keeps its progress.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path
        Of the checkpoint.

    Raises
    ------
    ValueError
        If the checkpoint would be larger than `LARGEST`, or as `trained_regressor`.
    """
    settings = settings or SHIPPED_SETTINGS
    samples = study_samples(ds, name, settings)
    trained_regressor(ds, name, settings, checkpoints, samples, progress=progress)
    content = study_checkpoint(ds, name, settings, checkpoints).read_bytes()
    if len(content) > LARGEST:
        raise ValueError(f"the model {name!r} has {len(content)} bytes; at most {LARGEST} are shipped")
    record = measure(ds, name, settings, checkpoints, samples, progress=progress)
    card = {
        **{key: value for key, value in record.items() if not key.startswith(("seconds", "peak"))},
        "settings": asdict(settings),
        "version": stm_core.__version__,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    target = Path(folder) / f"{name}.pt"
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as beside:
        beside.write_bytes(content)
    with replacing(target.with_suffix(".json")) as beside:
        beside.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    logger.info("%s is shipped: MAE %.4f eV", target, record["parts"]["all"]["mae"])
    return target


def stale_models(
    ds: xr.Dataset, names: Iterable[str] = SHIPPED_NAMES, folder: str | os.PathLike[str] = SHIPPED_MODELS
) -> list[str]:
    """What is wrong with shipped models, a sentence each; none where all are of this dataset and complete.

    Parameters
    ----------
    ds : xarray.Dataset
        What they are to be trained on.
    names : iterable of str
        Of the models.
    folder : path-like
        Where they are, with their cards.
    """
    data, found = dataset_fingerprint(ds), []
    for name in names:
        path = Path(folder) / f"{name}.pt"
        if not path.is_file() or not path.with_suffix(".json").is_file():
            found.append(f"{path} or its card is missing")
            continue
        card = read_card(name, folder)
        if hashlib.sha256(path.read_bytes()).hexdigest() != card["sha256"]:
            found.append(f"{path} is not the file that its card describes")
        if card["data"] != data:
            found.append(f"{path} is stale: it was trained on the dataset {card['data']}, not on {data}")
    return [f"{sentence}; python -m stm_core.learning ship makes it anew" for sentence in found]


def read_card(name: str, folder: str | os.PathLike[str] = SHIPPED_MODELS) -> dict[str, Any]:
    """The card of a shipped model; FileNotFoundError if there is none."""
    return json.loads((Path(folder) / f"{name}.json").read_text(encoding="utf-8"))


class _Outputs(nn.Module):
    """U and its spread as plain tensors."""

    def __init__(self, regressor: Regressor) -> None:
        super().__init__()
        self.regressor = regressor

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        reading = self.regressor.read(inputs)
        return reading.U, reading.spread


def export_onnx(trained: Trained, path: str | os.PathLike[str], batch: int = 1) -> Path:
    """Write a model as ONNX, from inputs to U and its spread, both in eV.

    The interval is U ± factor · spread with the factor of the checkpoint's calibration.

    Parameters
    ----------
    trained : Regressor, FitResult or path-like
    path : path-like
        Written beside, then renamed.
    batch : int
        Number of inputs that the model takes at once.

    Returns
    -------
    Path

    Raises
    ------
    ModuleNotFoundError
        If onnxscript is not installed: the extra ``onnx``.
    """
    import onnxscript  # noqa: F401  # torch names it in a long message only

    regressor = as_regressor(trained).eval()
    config: Any = regressor.model.config
    shape = (
        (batch, 1, config.image_size, config.image_size)
        if hasattr(config, "image_size")
        else (batch, len(config.bias), config.n_stars)
    )
    program = torch.onnx.export(
        _Outputs(regressor).eval(),
        (torch.zeros(shape),),
        input_names=["inputs"],
        output_names=["U", "spread"],
        dynamo=True,
        verbose=False,
    )
    with replacing(Path(path)) as beside:
        program.save(str(beside))  # type: ignore[union-attr]
    return Path(path)
