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
from stm_core.learning.registry import ImageNetwork, network_from_config

logger = logging.getLogger(__name__)

SCHEMA = "stm_core checkpoint 1"
# Pixels that hardly vary in training are not blown up beyond this share of the typical spread.
SPREAD_FLOOR = 1e-3


@dataclass(frozen=True)
class Normalisation:
    """``(image - mean) / scale``; both tensors have shape (1, 1) for all pixels alike, or (size, size)."""

    mean: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(cls, images: np.ndarray, kind: Literal["global", "pixel"]) -> Normalisation:
        """Zero mean and unit spread of `images` (n, size, size), over all pixels or pixel by pixel."""
        axes = (0, 1, 2) if kind == "global" else (0,)
        # Double precision: neighbouring U differ in the fourth digit.
        mean = images.mean(axis=axes, dtype=np.float64)
        spread = images.std(axis=axes, dtype=np.float64)
        scale = np.maximum(spread, SPREAD_FLOOR * spread.mean())
        if not np.all(scale > 0):
            raise ValueError("the training images are all the same, so there is nothing to learn U from")
        return cls(*(torch.as_tensor(np.atleast_2d(a), dtype=torch.float32) for a in (mean, scale)))


class Regressor(nn.Module):
    """A network together with the normalisation it was trained with.

    Parameters
    ----------
    model : torch.nn.Module
        Network from normalised images (n, 1, size, size) to U (n,) in eV.
    normalisation : Normalisation
        Applied to every image before the network.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, model: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", normalisation.mean)
        self.register_buffer("scale", normalisation.scale)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Images (n, 1, size, size) as the network wants them."""
        return (images - self.mean) / self.scale

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """U (n,) in eV of images (n, 1, size, size)."""
        return self.model(self.normalise(images))


def as_images(images: ArrayLike) -> np.ndarray:
    """Images as a finite float32 array (n, size, size).

    Raises
    ------
    ValueError
        If the shape differs, there is no image, or a value is not finite.
    """
    # torch takes neither reversed nor read-only arrays.
    array = np.require(images, np.float32, ["C", "W"])
    if array.ndim != 3 or array.shape[1] != array.shape[2] or len(array) == 0:
        raise ValueError(f"images must have shape (n, size, size) with n of at least 1, not {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("images contain NaN or infinite values; every pixel must be finite")
    return array


def as_labelled_images(
    images: ArrayLike, U: ArrayLike, least: int, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, size, size) and their U (n,) in eV as finite float32 arrays.

    Raises
    ------
    ValueError
        If either is not as `as_images` and one U per image require, or there are fewer than `least` images;
        `what` names them in the sentence.
    """
    pixels, values = as_images(images), np.asarray(U, dtype=np.float32)
    if values.shape != (len(pixels),) or not np.isfinite(values).all():
        raise ValueError(
            f"U of the {what} images must be {len(pixels)} finite values in eV, one per image, "
            f"not {np.isfinite(values).sum()} finite values in shape {values.shape}"
        )
    if len(pixels) < least:
        raise ValueError(f"{len(pixels)} {what} image(s) are too few; at least {least} are needed")
    return pixels, values


def fingerprint(*arrays: ArrayLike | torch.Tensor) -> str:
    """SHA-256 of the shapes, types and values of `arrays`, as hexadecimal text."""
    digest = hashlib.sha256()
    for array in arrays:
        values = np.ascontiguousarray(array.cpu().numpy() if isinstance(array, torch.Tensor) else array)
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def pack(
    model: ImageNetwork, weights: dict[str, torch.Tensor], normalisation: Normalisation
) -> dict[str, Any]:
    """The part of a checkpoint that a prediction needs."""
    return {
        "schema": SCHEMA,
        "model": {"name": model.name, "config": asdict(model.config)},
        "weights": weights,
        "normalisation": {"mean": normalisation.mean, "scale": normalisation.scale},
        "checksum": fingerprint(*weights.values(), normalisation.mean, normalisation.scale),
    }


def unpack(content: dict[str, Any]) -> Regressor:
    """The regressor in a checkpoint's content, in evaluation mode.

    The network's constructor never fetches pretrained weights: those of the checkpoint replace them anyway.
    """
    model = network_from_config(content["model"]["name"], content["model"]["config"])
    model.load_state_dict(content["weights"])
    return Regressor(model, Normalisation(**content["normalisation"])).eval()


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
    tensors = (*content["weights"].values(), *content["normalisation"].values())
    if fingerprint(*tensors) != content["checksum"]:
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
