"""What ``python -m stm_core predict`` makes of one file: which model reads it, its inputs, and the doubts."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SAME_BIAS, _NEAR_BIAS = 1e-4, 5.01e-3  # V: within what a file rounds; half a step between a model's biases


def files_of(given: Path) -> list[Path]:
    """What a folder stands for: the texts in it. Without any it is refused like a file."""
    from stm_core.data.stm_files import SUFFIXES

    texts = sorted(f for f in given.iterdir() if f.suffix.lower() in SUFFIXES) if given.is_dir() else []
    return texts or [given]


def reading_of(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """U of one file with its interval and verdict, as a row of what ``predict`` prints."""
    from stm_core.learning import load_checkpoint, predict

    checkpoint = options.checkpoint or _shipped_model(path, options)
    logging.getLogger(__package__).info("%s: model %s", path.name, checkpoint)
    regressor = load_checkpoint(checkpoint)
    inputs, doubts = _input(path, regressor.model.config, options)
    found = predict(regressor, inputs)
    values = {name: float(getattr(found, name)[0]) for name in ("U", "low", "high", "novelty")}
    known = {name: value if np.isfinite(value) else None for name, value in values.items()}
    if values["novelty"] > 1:
        doubts.append(f"{values['novelty']:.3g} times as far from the simulated states as it may be")
    verdict = None if np.isnan(values["novelty"]) else not doubts
    return {"file": str(path), **known, "in_range": verdict, "doubts": doubts}


def _is_picture(path: Path, options: argparse.Namespace) -> bool:
    from stm_core.data import PICTURES

    return path.suffix.lower() in PICTURES and options.width is None


def _shipped_model(path: Path, options: argparse.Namespace) -> Path:
    from stm_core.learning import SHIPPED_MODELS

    shipped = SHIPPED_MODELS / ("repaired.pt" if _is_picture(path, options) else "bragg.pt")
    if not shipped.is_file():
        raise FileNotFoundError(f"there is no shipped model {shipped}; name a trained one by --checkpoint")
    return shipped


def _input(path: Path, config: Any, options: argparse.Namespace) -> tuple[NDArray, list[str]]:
    """What a model of this configuration sees of a table, a scan or a picture, and the doubts about it."""
    from stm_core.data import is_scan_file, read_ldos_files, read_scan_ldos
    from stm_core.learning import BraggConfig
    from stm_core.simulation import TwistedBilayer

    reads_bragg = isinstance(config, BraggConfig)
    if _is_picture(path, options):
        if reads_bragg:
            raise ValueError(
                f"{path.name} is a picture, but the model reads Bragg amplitudes of LDOS tables and scans"
            )
        return _picture(path, config.image_size)[None], []
    if is_scan_file(path):
        cell = TwistedBilayer(config.i, config.spacing) if reads_bragg else TwistedBilayer()
        scan = read_scan_ldos(path, cell, options.channel, options.bias, options.width)
        doubts = list(scan.doubts)
        if np.isnan(scan.bias):
            doubts.append("its bias is not known and taken as zero; --bias states it")
        return _at_bias(path, config, scan, 0.0 if np.isnan(scan.bias) else scan.bias, doubts)
    table = read_ldos_files([path], labelled=False)[0]
    if (table.ldos < 0).any() or not table.ldos.any():
        raise ValueError(f"{path.name} holds negative values or zeros alone; an LDOS is positive")
    return _at_bias(path, config, table, options.bias or 0.0, [])


def _at_bias(path: Path, config: Any, read: Any, bias: float, doubts: list[str]) -> tuple[NDArray, list[str]]:
    """Inputs at a bias of the model that is no farther than what the simulated LDOS is broadened by."""
    nearest = min(config.bias, key=lambda known: abs(known - bias))
    if _SAME_BIAS < abs(nearest - bias) < _NEAR_BIAS:
        doubts.append(f"recorded at {1e3 * bias:.4g} mV, read as at {1e3 * nearest:.4g} mV")
        bias = nearest
    try:
        return config.of_ldos(read.xy, read.ldos, [bias]), doubts
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def _picture(path: Path, size: int) -> NDArray[np.floating]:
    """A transform that was made elsewhere, averaged down to ``size`` pixels a side."""
    from stm_core.imaging import render

    image = _array(path) if path.suffix.lower() == ".npy" else _grey(path)
    if image.ndim != 2 or image.shape[0] != image.shape[1] or len(image) < size:
        raise ValueError(
            f"{path.name} has shape {image.shape}; a square picture of at least {size} pixels is needed"
        )
    if not np.isfinite(image).all():
        raise ValueError(f"{path.name} holds NaN or infinity; a picture needs finite values")
    return image if len(image) == size else render(image, size)


def _array(path: Path) -> NDArray[np.floating]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if np.iscomplexobj(loaded):
            raise TypeError("complex numbers are no brightness")
        return np.asarray(loaded, dtype=np.float64)
    except (ValueError, EOFError, TypeError) as error:
        raise ValueError(f"{path.name} is no .npy array of real numbers") from error


def _grey(path: Path) -> NDArray[np.floating]:
    """Grey levels from 0 to 1; like every picture here its rows ascend in k_y."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("L"), dtype=np.float64) / 255
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a decoder meets in a damaged file
        raise ValueError(f"{path.name} is no picture that can be read") from error
