"""The networks that the study's pages share: which pictures, which split, which options, which file.

A page that asks for a network by name and settings gets the one that an earlier page trained, or trains it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

import stm_core
from stm_core.data import ImageSet, Split, image_set, paper_protocol, random_image_split
from stm_core.learning.checkpoints import fingerprint, read_checkpoint, unpack
from stm_core.learning.loop import TrainingConfig
from stm_core.learning.registry import build_model
from stm_core.learning.training import FitResult, fit

logger = logging.getLogger(__name__)

# A tenth of a small sweep, as the original tests on, would be a handful of pictures.
IMAGE_FRACTIONS = (0.6, 0.2, 0.2)
_SAME_BIAS = 1e-6  # eV
_ON_WHICH_IT_DEPENDS = ("ldos", "U", "filling", "seed", "bias", "x", "y", "layer")


@dataclass(frozen=True)
class StudyModel:
    """A network of the study and the pictures it sees.

    Attributes
    ----------
    network : str
        Name for `build_model`.
    style : {"paper", "linear"}
        Renderer of its pictures, as in `stm_core.imaging.render`.
    title : str
        What tables and figures call it.
    options : mapping
        Options for `build_model` where they differ from the original study's.
    """

    network: str
    style: str
    title: str
    options: Mapping[str, Any] = field(default_factory=dict)


STUDY_MODELS: dict[str, StudyModel] = {
    "fc": StudyModel("fc", "paper", "fully connected, as in the paper"),
    "cnn": StudyModel("cnn", "paper", "CNN, as in the paper"),
    "resnet18": StudyModel("resnet18", "paper", "ResNet-18, as in the paper"),
    "repaired": StudyModel(
        "cnn", "linear", "CNN, repaired", {"l2_normalise": False, "clamp": False, "dropout": 0.0}
    ),
}
"""The paper's three networks on its own pictures, and its CNN without the habits that lose information."""


@dataclass(frozen=True)
class StudySettings:
    """What decides a network of the study besides its name.

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
        Seed of the starting weights, the shuffling and, for protocol "images", the split.
    protocol : {"paper", "images"}
        Hold out all U that are not integers, or single pictures at random (`random_image_split`).
    leave_out : tuple of float
        Integer U in eV that stop the training early; only for protocol "paper". Two of them, on either side
        of the middle: one alone is also met by a network that answers with a constant.
    bias_low, bias_high : float
        Use the biases between these, in eV. U is one thing and the bias another that changes the pictures: a
        narrow window, as of one measurement, leaves the network less to tell apart.
    """

    image_size: int = 64
    epochs: int = 60
    batch_size: int = 8
    patience: int = 20
    seed: int = 0
    protocol: Literal["paper", "images"] = "paper"
    leave_out: tuple[float, ...] = (1.0, 4.0)
    bias_low: float = 0.0
    bias_high: float = 0.02

    def __post_init__(self) -> None:
        if self.protocol not in ("paper", "images"):
            raise ValueError(f"protocol is {self.protocol!r}, but must be 'paper' or 'images'")

    @property
    def training(self) -> TrainingConfig:
        """The original's recipe with these settings."""
        return TrainingConfig(
            epochs=self.epochs, batch_size=self.batch_size, patience=self.patience, seed=self.seed
        )

    def split(self, U: ArrayLike) -> Split:
        """Training, validation and test masks (n,) over pictures of these U (n,) in eV."""
        if self.protocol == "images":
            return random_image_split(U, self.seed, IMAGE_FRACTIONS)
        return paper_protocol(U, leave_out=self.leave_out)


def _study_model(name: str) -> StudyModel:
    if name not in STUDY_MODELS:
        raise ValueError(f"the study has no network {name!r}; its networks are {', '.join(STUDY_MODELS)}")
    return STUDY_MODELS[name]


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
    settings = settings or StudySettings()
    available = ds["bias"].values
    inside = (available >= settings.bias_low - _SAME_BIAS) & (available <= settings.bias_high + _SAME_BIAS)
    if not inside.any():
        raise ValueError(
            f"no bias of the dataset lies between {settings.bias_low:g} and {settings.bias_high:g} eV; "
            f"it holds {', '.join(f'{value:g}' for value in available)} eV"
        )
    biases = available[inside].tolist()
    return image_set(ds, biases, size=settings.image_size, style=_study_model(name).style)


def study_checkpoint(
    ds: xr.Dataset, name: str, settings: StudySettings | None, folder: str | os.PathLike[str]
) -> Path:
    """Where the network `name` trained on `ds` with `settings` is kept; different runs never share a file."""
    model = _study_model(name)
    described = (model.network, model.style, sorted(model.options.items()), settings or StudySettings())
    text = np.frombuffer(f"{described}{stm_core.__version__}".encode(), np.uint8)
    digest = fingerprint(text, *(ds[key].values for key in _ON_WHICH_IT_DEPENDS))
    return Path(folder) / f"{name}-{digest[:16]}.pt"


def trained_regressor(
    ds: xr.Dataset,
    name: str,
    settings: StudySettings | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    images: ImageSet | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> FitResult:
    """A network of the study: read from its checkpoint where it is finished there, else trained.

    Parameters
    ----------
    ds : xarray.Dataset
        The whole dataset, as `load_dataset` returns it.
    name : str
        One of `STUDY_MODELS`.
    settings : StudySettings, optional
    checkpoints : path-like, optional
        Folder of the checkpoints; without it nothing is read or kept.
    images : ImageSet, optional
        What `study_images` gives for the whole dataset, or for its integer U, if it is at hand; otherwise
        rendered if needed.
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
        If the name is unknown, or as `study_images`, `StudySettings.split` and `fit` do.
    """
    settings = settings or StudySettings()
    model = _study_model(name)
    path = None if checkpoints is None else study_checkpoint(ds, name, settings, checkpoints)
    if path is not None and path.exists():
        content = read_checkpoint(path)
        if content["finished"]:
            logger.info("%s is read from %s", name, path)
            return FitResult(unpack(content).to(device), content["history"], content["best_epoch"], path)
    train, validation = _pictures(ds, name, settings, images)
    return fit(
        build_model(model.network, image_size=settings.image_size, seed=settings.seed, **model.options),
        train.images,
        train.U,
        (validation.images, validation.U),
        settings.training,
        path,
        device=device,
        progress=progress,
    )


def _pictures(
    ds: xr.Dataset, name: str, settings: StudySettings, images: ImageSet | None
) -> tuple[ImageSet, ImageSet]:
    if images is None:
        # No protocol trains on other samples than these, so the others need not be rendered.
        integer = np.flatnonzero(paper_protocol(ds["U"].values).train)
        images = study_images(ds.isel(sample=integer), name, settings)
    split = settings.split(images.U)
    return images.subset(split.train), images.subset(split.validation)
