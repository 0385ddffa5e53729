"""Teaching a model to read U: one call, resumable from its checkpoint."""

from __future__ import annotations

import copy
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from tqdm.auto import tqdm

from stm_core.learning.checkpoints import (
    Normalisation,
    Regressor,
    fingerprint,
    pack,
    read_checkpoint,
    unpack,
    write_checkpoint,
)
from stm_core.learning.inputs import as_labels
from stm_core.learning.loop import EVALUATION_BATCH, Training, TrainingConfig
from stm_core.learning.registry import Model, Reading, Solved
from stm_core.learning.uncertainty import Calibration, Familiarity

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


Labelled = tuple[np.ndarray, np.ndarray]


def fit(
    model: Model,
    inputs: ArrayLike,
    U: ArrayLike,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    config: TrainingConfig | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = True,
    device: str = "cpu",
    progress: bool = True,
    branch: ArrayLike | None = None,
    calibration: tuple[ArrayLike, ArrayLike] | Literal["leave-one-out"] | None = None,
) -> FitResult:
    """Teach a copy of `model` to give the U of its inputs.

    Parameters
    ----------
    model : Model
        From `build_model`; left as it is.
    inputs : array_like, shape (n, ...)
        Training inputs, as `model.config.samples` makes them; the normalisation is taken from these alone.
    U : array_like, shape (n,)
        Their U in eV.
    validation : tuple of (inputs, U), optional
        For early stopping and the choice of the best epoch; must not hold test U. Without it, all epochs are
        run and the last weights are kept. Models that are found in one step do not use it.
    config : TrainingConfig, optional
        How to train; by default the original study's recipe. Of a model found in one step, the normalisation.
    checkpoint : path-like, optional
        File to write after every epoch. If it is there already, a finished run of the same data, model and
        configuration is returned at once and an unfinished one goes on, to the very same weights.
    resume : bool
        False trains from the start and replaces an existing checkpoint.
    device : str
        Torch device, for example ``"cpu"`` or ``"cuda"``.
    progress : bool
        Show a progress bar.
    branch : array_like of int, shape (n,), optional
        Number of the branch that each training sample is of (`Samples.branch`), for models with a curve for
        each; all one branch by default.
    calibration : tuple of (inputs, U) or "leave-one-out", optional
        For intervals and verdicts: samples of U that neither training nor validation holds. With
        "leave-one-out", each training U in turn is read by a model fitted to the others (Barber et al., Ann.
        Stat. 49, 486 (2021)); a network that stops on validation U, which it never descends on, uses these.

    Returns
    -------
    FitResult

    Raises
    ------
    ValueError
        If shapes, values, a setting or the device are not accepted, a U of the calibration is also one of
        training or validation, or the checkpoint is damaged or belongs to another run.
    RuntimeError
        If the loss stops being finite.
    """
    config = config or TrainingConfig()
    train = _labelled(model, inputs, U, 2, "training")
    held_out = validation and _labelled(model, *validation, 1, "validation")
    apart = held_out if calibration == "leave-one-out" else _apart(model, calibration, train, held_out)
    in_turn = calibration == "leave-one-out" and held_out is None
    labels = np.zeros(len(train[1]), int) if branch is None else np.asarray(branch)
    path = Path(checkpoint) if checkpoint is not None else None
    usable = _usable_device(device)
    identity = {
        "training": asdict(config),
        "data": fingerprint(*train, labels, *(held_out or ()), *(apart or ()), f"{in_turn}"),
        "start": _start_fingerprint(model),
    }
    found = _matching_checkpoint(path, identity) if path is not None and resume and path.exists() else None
    if found is not None and found["finished"]:
        return FitResult(unpack(found).to(usable), found["history"], found["best_epoch"], path)
    if isinstance(model, Solved):
        result = FitResult(_solved(model, train, labels, config), {}, 0, path)
    else:
        run = Training(model, train, held_out, config, usable)
        if found is not None:
            run.restore(found)
            logger.info("training goes on from epoch %d of %s", run.epoch, path)
        _run(run, identity, path, progress)
        result = FitResult(run.best(), run.history, run.best_epoch, path)
    _familiarise(result.model, train)
    if in_turn:
        result.model.calibration = _left_out(model, train, labels, config, device)
    elif apart is not None:
        result.model.calibration = _calibration(_misread(result.model, *apart))
    if path is not None:
        write_checkpoint(_finished(result, identity), path)
    return result


def _labelled(model: Model, inputs: ArrayLike, U: ArrayLike, least: int, what: str) -> Labelled:
    checked = model.config.check(inputs)
    return checked, as_labels(len(checked), U, least, what)


def _apart(model: Model, calibration: Any, *learned: Labelled | None) -> Labelled | None:
    """Checked calibration samples, none of a U that was learned from."""
    if calibration is None:
        return None
    if not isinstance(calibration, tuple) or len(calibration) != 2:
        raise ValueError(
            f"calibration is {calibration!r}, but must be a pair (inputs, U), 'leave-one-out' or None"
        )
    apart = _labelled(model, *calibration, 1, "calibration")
    shared = np.intersect1d(apart[1], np.concatenate([part[1] for part in learned if part is not None]))
    if len(shared):
        raise ValueError(
            f"U = {shared[0]:g} eV calibrates and trains; calibration needs values of U of its own"
        )
    return apart


def _solved(model: Solved, train: Labelled, branch: np.ndarray, config: TrainingConfig) -> Regressor:
    if branch.shape != train[1].shape:
        raise ValueError(f"branch must hold one number for each of {len(train[1])} samples")
    regressor = Regressor(copy.deepcopy(model), Normalisation.of(train[0], config.normalisation))
    cast(Solved, regressor.model).solve(regressor.normalise(regressor.tensor(train[0])), train[1], branch)
    return regressor.eval()


def _run(run: Training, identity: dict[str, Any], path: Path | None, progress: bool) -> None:
    name, epochs = run.model.name, run.config.epochs
    with tqdm(total=epochs, initial=run.epoch, desc=name, unit="epoch", disable=not progress) as bar:
        while not run.finished:
            run.run_epoch()
            if path is not None and not run.finished:
                write_checkpoint(run.content(identity), path)
            bar.set_postfix({name: f"{values[-1]:.3g}" for name, values in run.history.items()})
            bar.update()


def read_in_batches(regressor: Regressor, inputs: ArrayLike) -> Reading:
    """Reading of inputs (n, ...), on the CPU; ValueError if they are none of the model's."""
    device = regressor.mean.device
    with torch.inference_mode():
        batches = regressor.tensor(inputs).split(EVALUATION_BATCH)
        parts = [regressor.read(batch.to(device)) for batch in batches]
    U, spread, *novelty = (torch.cat(part).cpu() for part in zip(*parts, strict=True) if part[0] is not None)
    return Reading(U, spread, *novelty)


def _familiarise(regressor: Regressor, train: Labelled) -> None:
    """Keep what the training looked like, for a model that does not say itself how novel an input is."""
    model = cast(Model, regressor.model)
    if read_in_batches(regressor, train[0][:1]).novelty is None:
        with torch.inference_mode():
            batches = regressor.tensor(train[0]).to(regressor.mean.device).split(EVALUATION_BATCH)
            features = [model.features(regressor.normalise(batch)).cpu() for batch in batches]
        regressor.familiarity = Familiarity.of(torch.cat(features))


def _misread(regressor: Regressor, inputs: np.ndarray, U: np.ndarray) -> np.ndarray:
    """Error, spread and novelty of samples that the model never saw, (n_sets, 3, n).

    The first set is that of all biases; each bias by itself follows, for a model that reads one alone.
    """
    missed = []
    for seen in [inputs, *cast(Model, regressor.model).config.singles(inputs)]:
        found = read_in_batches(regressor, seen)
        novelty = cast(torch.Tensor, found.novelty)
        missed.append(torch.stack([found.U.double() - torch.as_tensor(U), found.spread, novelty]).numpy())
    return np.stack(missed)


def _calibration(missed: np.ndarray) -> Calibration:
    """From what `_misread` gives."""
    (error, spread, novelty), *alone = missed
    return Calibration.of(error, spread, novelty, alone)


def _left_out(
    model: Model, train: Labelled, branch: np.ndarray, config: TrainingConfig, device: str
) -> Calibration:
    """Calibration by models that each miss one training U."""
    scores = []
    for value in np.unique(train[1]):
        rest = train[1] != value
        others = fit(
            model, train[0][rest], train[1][rest], None, config, None, False, device, False, branch[rest]
        )
        scores.append(_misread(others.model, train[0][~rest], train[1][~rest]))
    return _calibration(np.concatenate(scores, axis=2))


def _finished(result: FitResult, identity: dict[str, Any]) -> dict[str, Any]:
    regressor = result.model
    model = cast(Model, regressor.model)
    weights = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    normalisation = Normalisation(regressor.mean.cpu(), regressor.scale.cpu())
    return {
        **pack(model, weights, normalisation, regressor.familiarity, regressor.calibration),
        **identity,
        "history": result.history,
        "best_epoch": result.best_epoch,
        "epochs_done": len(result.history.get("train_loss", ())),
        "finished": True,
    }


def _start_fingerprint(model: Model) -> str:
    weights = model.state_dict()
    return fingerprint(np.frombuffer(f"{model.name}{model.config}".encode(), np.uint8), *weights.values())
