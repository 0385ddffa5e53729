"""The models that the study's pages share: what they see, which split, which options, which file.

A page that asks for a model by name and settings gets the one that an earlier page fitted, or fits it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from stm_core.data import ImageSet, image_set, state_labels
from stm_core.imaging import PixelImperfections
from stm_core.learning.catalogue import StudyModel, study_model
from stm_core.learning.checkpoints import fingerprint, read_checkpoint, unpack
from stm_core.learning.inputs import Samples
from stm_core.learning.loop import TrainingConfig
from stm_core.learning.parts import PROTOCOLS, Parts, parts
from stm_core.learning.registry import Model, build_model
from stm_core.learning.training import FitResult, fit

logger = logging.getLogger(__name__)

_SAME_BIAS = 1e-6  # eV
_LEAVABLE = 5  # values of U
_OF_PICTURES = ("images", "states")  # protocols that split these and not the values of U
_ON_WHICH_IT_DEPENDS = ("ldos", "U", "filling", "seed", "bias", "x", "y", "layer")

_ROOM = Path(__file__).parent
_FITTED_BY = [_ROOM / f"{name}.py" for name in "registry inputs bragg_inputs loop training parts".split()]
_FITTED_BY += sorted((_ROOM / "models").glob("*.py"))
_CODE = fingerprint(*(np.fromfile(path, np.uint8) for path in _FITTED_BY))

SHIPPED_MODELS = Path(__file__).parents[2] / "notebooks" / "models"
"""Folder of the trained models that come with the study."""


@dataclass(frozen=True)
class StudySettings:
    """What decides a model of the study besides its name.

    Attributes
    ----------
    image_size : int
        Pixels per side.
    epochs : int
        Passes over the training pictures.
    batch_size : int
        Most pictures per step. The original's 32 would leave a sweep of this size a few steps per epoch.
    patience : int
        Epochs without a smaller validation error before training stops; epochs here are short.
    seed : int
        Seed of the starting weights, the shuffling and the split.
    protocol : {"paper", "continuous", "images", "states"}
        As in `parts`.
    bias_low, bias_high : float
        Pictures at the biases between these, in eV. U is one thing and the bias another that changes the
        pictures: a narrow window, as of one measurement, leaves the network less to tell apart.
    """

    image_size: int = 64
    epochs: int = 60
    batch_size: int = 8
    patience: int = 20
    seed: int = 0
    protocol: Literal["paper", "continuous", "images", "states"] = "paper"
    bias_low: float = 0.0
    bias_high: float = 0.02

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol is {self.protocol!r}, but must be {', '.join(map(repr, PROTOCOLS))}")

    @property
    def training(self) -> TrainingConfig:
        """The original's recipe with these settings."""
        return TrainingConfig(
            epochs=self.epochs, batch_size=self.batch_size, patience=self.patience, seed=self.seed
        )

    def split(self, U: ArrayLike, states: ArrayLike | None = None) -> Parts:
        """Masks (n,) over samples of these U (n,) in eV; `states` as in `parts`."""
        return parts(U, self.protocol, self.seed, states)


def _biases(ds: xr.Dataset, model: StudyModel, settings: StudySettings) -> tuple[float, ...]:
    available = ds["bias"].values
    if model.bias in ("all", "every"):
        return tuple(available.tolist())
    if model.bias == "zero":
        return (float(available[np.abs(available).argmin()]),)
    inside = (available >= settings.bias_low - _SAME_BIAS) & (available <= settings.bias_high + _SAME_BIAS)
    if not inside.any():
        raise ValueError(
            f"no bias of the dataset lies between {settings.bias_low:g} and {settings.bias_high:g} eV; "
            f"it holds {', '.join(f'{value:g}' for value in available)} eV"
        )
    return tuple(available[inside].tolist())


def study_network(ds: xr.Dataset, name: str, settings: StudySettings | None = None) -> Model:
    """The model `name` of the study before it has learned anything, for samples of a dataset.

    Raises
    ------
    ValueError
        If the name is unknown or no bias of the dataset lies in the settings' window.
    """
    settings, model = settings or StudySettings(), study_model(name)
    options = {**model.options, "bias": _biases(ds, model, settings)}
    if model.of_pictures:
        options["image_size"] = settings.image_size
    else:
        options |= {"i": int(ds.attrs["i"]), "spacing": float(ds.attrs["spacing"])}
    return build_model(model.network, seed=settings.seed, **options)


def study_samples(ds: xr.Dataset, name: str, settings: StudySettings | None = None) -> Samples:
    """The samples of a dataset as the study's model `name` sees them; ValueError as `study_network`."""
    seen, model = study_network(ds, name, settings).config.samples(ds), study_model(name)
    return seen if model.copies == 1 else _copied(seen, model.copies)


def _copied(samples: Samples, copies: int) -> Samples:
    """Pictures with others of the same states behind each, all changed a little by the original's preset."""
    many, rng = samples.subset(np.repeat(np.arange(len(samples)), copies)), np.random.default_rng(0)
    change = PixelImperfections.preset("mild")
    return replace(many, inputs=np.stack([change(each, rng) for each in many.inputs]).astype(np.float32))


def samples_of(
    ds: xr.Dataset, names: Iterable[str], settings: StudySettings, test: bool = True
) -> dict[str, Samples]:
    """The samples of a dataset as each of several models sees them; what two see alike is made once.

    Parameters
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns.
    names : iterable of str
        Of the models, as for `study_model`.
    settings : StudySettings
    test : bool
        False leaves out the states that the protocol tests on: what fitting needs, and no more.

    Raises
    ------
    ValueError
        As `study_network` does.
    """
    unneeded = settings.split(ds["U"].values).test & (not test) & (settings.protocol not in _OF_PICTURES)
    needed = np.flatnonzero(~unneeded)
    made: dict[tuple[str, str, int], Samples] = {}
    found = {}
    for name in names:
        if (sees := study_model(name).sees) not in made:
            samples = study_samples(ds.isel(sample=needed), name, settings)
            made[sees] = replace(samples, sample=needed[samples.sample])
        found[name] = made[sees]
    return found


def study_images(ds: xr.Dataset, name: str, settings: StudySettings | None = None) -> ImageSet:
    """The pictures of a dataset as the study's network `name` wants them.

    Parameters
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns; may be a selection of samples.
    name : str
        One of `STUDY_MODELS`.
    settings : StudySettings, optional

    Raises
    ------
    ValueError
        If the name is unknown, no bias lies in the window, or as `image_set` does.
    """
    settings, model = settings or StudySettings(), study_model(name)
    return image_set(ds, list(_biases(ds, model, settings)), size=settings.image_size, style=model.style)


def study_checkpoint(
    ds: xr.Dataset, name: str, settings: StudySettings | None, folder: str | os.PathLike[str]
) -> Path:
    """Where the model `name` fitted on `ds` with `settings` is kept; different runs never share a file.

    Nor do different versions of the code that fits.
    """
    model = study_model(name)
    described = (asdict(model), settings or StudySettings())
    text = np.frombuffer(f"{described}{_CODE}".encode(), np.uint8)
    digest = fingerprint(text, *(ds[key].values for key in _ON_WHICH_IT_DEPENDS))
    return Path(folder) / f"{name}-{digest[:16]}.pt"


def trained_regressor(
    ds: xr.Dataset,
    name: str,
    settings: StudySettings | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    samples: Samples | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> FitResult:
    """A model of the study: read from its checkpoint where it is finished there, else fitted.

    Parameters
    ----------
    ds : xarray.Dataset
        The whole dataset, as `load_dataset` returns it.
    name : str
        As for `study_model`.
    settings : StudySettings, optional
    checkpoints : path-like, optional
        Folder of the checkpoints; without it nothing is read or kept.
    samples : Samples, optional
        What `study_samples` gives for the whole dataset, if it is at hand; otherwise made if needed.
    device : str
        Torch device to train on.
    progress : bool
        Show a progress bar.

    Returns
    -------
    FitResult

    Raises
    ------
    ValueError
        If the name is unknown, or as `study_network`, `StudySettings.split` and `fit` do.
    """
    settings, model = settings or StudySettings(), study_model(name)
    path = None if checkpoints is None else study_checkpoint(ds, name, settings, checkpoints)
    if path is not None and path.exists():
        content = read_checkpoint(path)
        if content["finished"]:
            logger.info("%s is read from %s", name, path)
            return FitResult(unpack(content).to(device), content["history"], content["best_epoch"], path)
    network = study_network(ds, name, settings)
    if samples is None:
        samples = samples_of(ds, [name], settings, test=False)[name]
    what = _labelled(ds, samples, model, settings)
    return fit(network, **what, checkpoint=path, device=device, progress=progress)


def study_parts(ds: xr.Dataset, samples: Samples, settings: StudySettings) -> Parts:
    """Masks over samples of a dataset, which may lack some of it; all pictures of a sample share theirs."""
    if settings.protocol in _OF_PICTURES:
        states = state_labels(ds)[samples.sample] if settings.protocol == "states" else None
        return settings.split(samples.U, states)
    return settings.split(ds["U"].values).of(samples.sample)


def _labelled(ds: xr.Dataset, samples: Samples, model: StudyModel, settings: StudySettings) -> dict[str, Any]:
    split = study_parts(ds, samples, settings)
    stop = split.validation | (split.train & np.isin(samples.U, model.leave_out))
    stop &= model.stops
    train, validation = samples.subset(split.known & ~stop), samples.subset(stop)
    apart = samples.subset(split.calibration)
    # With fewer values no curve is left when one is left out. A random split has none that could be.
    leavable = settings.protocol == "paper" and (stop.any() or np.unique(train.U).size >= _LEAVABLE)
    in_turn = "leave-one-out" if leavable else None
    recipe = settings.training
    recipe = replace(recipe, epochs=recipe.epochs * model.longer, patience=recipe.patience * model.longer)
    return {
        "inputs": train.inputs,
        "U": train.U,
        "branch": train.branch,
        "validation": (validation.inputs, validation.U) if stop.any() else None,
        "calibration": (apart.inputs, apart.U) if len(apart) else in_turn,
        "config": replace(recipe, **model.training),
    }
