"""A trained regressor, and the file that holds it.

A checkpoint is one torch file of plain tensors, numbers and text. It carries all that a prediction needs
(weights, network name and configuration, normalisation) and all that a training run needs to go on or to
prove that it is finished (training configuration, history, fingerprint of data and starting weights).
"""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from stm_core.files import replacing
from stm_core.learning.inputs import PictureConfig
from stm_core.learning.registry import Model, Reading, model_from_config
from stm_core.learning.uncertainty import Calibration, Familiarity

logger = logging.getLogger(__name__)

SCHEMA = "stm_core checkpoint 2"
# Pixels that hardly vary in training are not blown up beyond this share of the typical spread.
SPREAD_FLOOR = 1e-3


@dataclass(frozen=True)
class Normalisation:
    """``(input - mean) / scale``; both have shape (1, 1) for all pixels alike, or that of an input."""

    mean: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(cls, images: np.ndarray, kind: Literal["global", "pixel"]) -> Normalisation:
        """Zero mean and unit spread of `images` (n, ...), over all pixels or pixel by pixel."""
        axes = (0, 1, 2) if kind == "global" else (0,)
        # Double precision: neighbouring U differ in the fourth digit.
        mean = images.mean(axis=axes, dtype=np.float64)
        spread = images.std(axis=axes, dtype=np.float64)
        scale = np.maximum(spread, SPREAD_FLOOR * spread.mean())
        if not np.all(scale > 0):
            raise ValueError("the training images are all the same, so there is nothing to learn U from")
        return cls(*(torch.as_tensor(np.atleast_2d(a), dtype=torch.float32) for a in (mean, scale)))


class Regressor(nn.Module):
    """A model together with the normalisation it was trained with, and what calibrates it.

    Parameters
    ----------
    model : torch.nn.Module
        From normalised inputs to U (n,) in eV; one that is no `Model` takes pictures (n, 1, size, size).
    normalisation : Normalisation
        Applied to every input before the model.
    familiarity : Familiarity, optional
        Of the training inputs' features, for models that do not say themselves how novel an input is.
    calibration : Calibration, optional
        For intervals and verdicts.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self,
        model: nn.Module,
        normalisation: Normalisation,
        familiarity: Familiarity | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.familiarity, self.calibration = familiarity, calibration
        self.register_buffer("mean", normalisation.mean)
        self.register_buffer("scale", normalisation.scale)

    def tensor(self, inputs: ArrayLike) -> torch.Tensor:
        """Inputs as the model takes them; ValueError if they are none of its."""
        config = self.model.config if isinstance(self.model, Model) else PictureConfig()
        return config.tensor(inputs)

    def normalise(self, inputs: torch.Tensor) -> torch.Tensor:
        """Inputs (n, ...) as the model wants them."""
        return (inputs - self.mean) / self.scale

    def read(self, inputs: torch.Tensor) -> Reading:
        """U of inputs (n, ...) with its spread and novelty, as the model says before calibration."""
        normalised = self.normalise(inputs)
        if not isinstance(self.model, Model):
            U = self.model(normalised)
            return Reading(U, torch.ones_like(U))
        reading = self.model.read(normalised)
        if reading.novelty is None and self.familiarity is not None:
            features = self.model.features(normalised).cpu()
            return reading._replace(novelty=self.familiarity.distance(features))
        return reading

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """U (n,) in eV of inputs (n, ...)."""
        return self.model(self.normalise(inputs))


def fingerprint(*arrays: ArrayLike | torch.Tensor) -> str:
    """SHA-256 of the shapes, types and values of `arrays`, as hexadecimal text."""
    digest = hashlib.sha256()
    for array in arrays:
        values = np.ascontiguousarray(array.cpu().numpy() if isinstance(array, torch.Tensor) else array)
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def pack(
    model: Model,
    weights: dict[str, torch.Tensor],
    normalisation: Normalisation,
    familiarity: Familiarity | None = None,
    calibration: Calibration | None = None,
) -> dict[str, Any]:
    """The part of a checkpoint that a prediction needs."""
    content = {
        "schema": SCHEMA,
        "model": {"name": model.name, "config": asdict(model.config)},
        "weights": weights,
        "normalisation": {"mean": normalisation.mean, "scale": normalisation.scale},
        "familiarity": familiarity and {"mean": familiarity.mean, "whiten": familiarity.whiten},
        "calibration": calibration and asdict(calibration),
    }
    return {**content, "checksum": fingerprint(*_tensors(content))}


def _tensors(content: dict[str, Any]) -> list[torch.Tensor]:
    parts = (content["weights"], content["normalisation"], content["familiarity"] or {})
    return [tensor for part in parts for tensor in part.values()]


def unpack(content: dict[str, Any]) -> Regressor:
    """The regressor in a checkpoint's content, in evaluation mode.

    The network's constructor never fetches pretrained weights: those of the checkpoint replace them anyway.
    """
    model = model_from_config(content["model"]["name"], content["model"]["config"])
    model.restore(content["weights"])
    return Regressor(
        model,
        Normalisation(**content["normalisation"]),
        content["familiarity"] and Familiarity(**content["familiarity"]),
        content["calibration"] and Calibration(**content["calibration"]),
    ).eval()


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write beside `path`, then rename: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        torch.save(content, beside)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checked content of a checkpoint, on the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a checkpoint of this library, or is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}; give the path of a file written by fit")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged archive surfaces as almost any exception of zipfile, pickle or torch.
    except Exception as error:
        raise ValueError(
            f"{path} is not a complete checkpoint (a file written by fit): it cannot be read"
        ) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ValueError(
            f"{path} is not a checkpoint of this library; accepted are files of schema {SCHEMA!r}"
        )
    if fingerprint(*_tensors(content)) != content["checksum"]:
        raise ValueError(
            f"{path} is damaged: its weights do not match their checksum; train again or fetch it anew"
        )
    return content


def load_checkpoint(path: str | os.PathLike[str]) -> Regressor:
    """The regressor held in a checkpoint file, on the CPU and in evaluation mode.

    Parameters
    ----------
    path : path-like
        A file written by `fit`. One of an unfinished run gives the best weights so far, with a logged
        warning.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a checkpoint of this library, or is damaged.
    """
    content = read_checkpoint(Path(path))
    if not content["finished"]:
        logger.warning("%s holds an unfinished training run (%d epochs so far)", path, content["epochs_done"])
    return unpack(content)
