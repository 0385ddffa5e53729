"""Training a network to read U: one call, resumable from its checkpoint."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from tqdm.auto import tqdm

from stm_core.learning.checkpoints import (
    Regressor,
    as_labelled_images,
    fingerprint,
    read_checkpoint,
    unpack,
    write_checkpoint,
)
from stm_core.learning.loop import Training, TrainingConfig
from stm_core.learning.registry import ImageNetwork

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitResult:
    """What `fit` returns.

    Attributes
    ----------
    model : Regressor
        The best network with its normalisation, in evaluation mode; takes images as they were given to `fit`.
    history : dict of str to list of float
        One value per epoch: ``learning_rate``, ``train_loss`` (eV^2, while training), and with validation
        images ``validation_loss`` (eV^2) and ``validation_mae`` (eV).
    best_epoch : int
        Index into the history of the epoch whose weights were kept: lowest validation loss, else the last.
    checkpoint : Path or None
        The file it is kept in.
    """

    model: Regressor
    history: dict[str, list[float]]
    best_epoch: int
    checkpoint: Path | None


def _usable_device(name: str) -> torch.device:
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device {name!r} cannot be used on this machine; 'cpu' always can, 'cuda' with a supported GPU"
        ) from error


def _matching_checkpoint(path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """The checkpoint at `path`, refused unless it is of the run that `identity` describes."""
    content = read_checkpoint(path)
    kept = {key: content[key] for key in identity}
    differing = [key for key in ("data", "start") if kept[key] != identity[key]]
    differing += [
        f"{name}={kept['training'].get(name)} (now {value})"
        for name, value in identity["training"].items()
        if kept["training"].get(name) != value
    ]
    if differing:
        raise ValueError(
            f"{path} belongs to another run, which differs in {', '.join(differing)} "
            "(data: images or U; start: network, options or seed); "
            "give another path, or resume=False to train again"
        )
    return content


def fit(
    model: ImageNetwork,
    images: ArrayLike,
    U: ArrayLike,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    config: TrainingConfig | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = True,
    device: str = "cpu",
    progress: bool = True,
) -> FitResult:
    """Train a copy of `model` to give the U of images.

    Parameters
    ----------
    model : ImageNetwork
        Network from `build_model`; left as it is.
    images : array_like, shape (n, size, size)
        Training images; the normalisation is taken from these alone.
    U : array_like, shape (n,)
        Their U in eV.
    validation : tuple of (images, U), optional
        For early stopping and the choice of the best epoch; must not hold test U. Without it, all epochs are
        run and the last weights are kept.
    config : TrainingConfig, optional
        How to train; by default the original study's recipe.
    checkpoint : path-like, optional
        File to write after every epoch. If it is there already, a finished run of the same data, model and
        configuration is returned at once and an unfinished one goes on, to the very same weights.
    resume : bool
        False trains from the start and replaces an existing checkpoint.
    device : str
        Torch device, for example ``"cpu"`` or ``"cuda"``.
    progress : bool
        Show a progress bar.

    Returns
    -------
    FitResult

    Raises
    ------
    ValueError
        If shapes, values, a setting or the device are not accepted, or the checkpoint is damaged or belongs
        to another run.
    RuntimeError
        If the loss stops being finite.
    """
    config = config or TrainingConfig()
    train = as_labelled_images(images, U, 2, "training")
    held_out = as_labelled_images(*validation, 1, "validation") if validation is not None else None
    path = Path(checkpoint) if checkpoint is not None else None
    identity = {
        "training": asdict(config),
        "data": fingerprint(*train, *(held_out or ())),
        "start": _start_fingerprint(model),
    }
    run = Training(model, train, held_out, config, _usable_device(device))
    if path is not None and resume and path.exists():
        content = _matching_checkpoint(path, identity)
        if content["finished"]:
            return FitResult(unpack(content).to(device), content["history"], content["best_epoch"], path)
        run.restore(content)
        logger.info("training goes on from epoch %d of %s", run.epoch, path)
    with tqdm(
        total=config.epochs, initial=run.epoch, desc=model.name, unit="epoch", disable=not progress
    ) as bar:
        while not run.finished:
            run.run_epoch()
            if path is not None:
                write_checkpoint(run.content(identity), path)
            bar.set_postfix({name: f"{values[-1]:.3g}" for name, values in run.history.items()})
            bar.update()
    return FitResult(run.best(), run.history, run.best_epoch, path)


def _start_fingerprint(model: ImageNetwork) -> str:
    weights = model.state_dict()
    return fingerprint(np.frombuffer(f"{model.name}{model.config}".encode(), np.uint8), *weights.values())
