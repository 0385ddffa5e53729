"""The models of the study by name: the paper's, repaired ones, readers of Bragg amplitudes, experiments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal


@dataclass(frozen=True)
class StudyModel:
    """A model of the study and what it sees.

    Attributes
    ----------
    network : str
        Name for `build_model`.
    title : str
        What tables and figures call it.
    options : mapping
        Options for `build_model` where they differ from the original study's.
    training : mapping
        Fields of `TrainingConfig` where they differ from the settings'.
    bias : {"window", "every", "all", "zero"}
        Single pictures in the settings' window of bias, or at every bias of the dataset; all biases, or the
        one nearest to zero, together.
    stops : bool
        Whether validation samples, where the protocol has any, stop its training. Otherwise they train it.
    leave_out : tuple of float
        Trained U in eV that validate instead, and so stop the training; none by default.
    longer : int
        How many times the settings' epochs, and their patience, it trains for.
    copies : int
        Pictures of each state and bias. More than one are changed, each in its own way, by the original's
        mild imperfections of pixels, as if the state had been found and drawn so many times.
    """

    network: str
    title: str
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    bias: Literal["window", "every", "all", "zero"] = "window"
    stops: bool = True
    leave_out: tuple[float, ...] = ()
    longer: int = 1
    copies: int = 1

    @property
    def style(self) -> str:
        """Renderer of its pictures, as in `stm_core.imaging.render`."""
        return self.options.get("style", "linear")

    @property
    def sees(self) -> tuple[str, str, int]:
        """Equal for models that see the same samples."""
        return self.bias, self.style, self.copies

    @property
    def of_pictures(self) -> bool:
        """Whether it reads single pictures, and not Bragg amplitudes of several biases."""
        return self.bias in ("window", "every")


_LONG = {"epochs": 400, "learning_rate": 2e-3, "batch_size": 8, "normalisation": "pixel"}
_FREE = {"l2_normalise": False, "clamp": False, "dropout": 0.0}
_PAPER = {"style": "paper"}

STUDY_MODELS: dict[str, StudyModel] = {
    "fc": StudyModel("fc", "fully connected, as in the paper", _PAPER),
    "cnn": StudyModel("cnn", "CNN, as in the paper", _PAPER),
    "resnet18": StudyModel("resnet18", "ResNet-18, as in the paper", _PAPER),
    "repaired": StudyModel("cnn", "CNN, repaired", _FREE),
    "repaired_resnet18": StudyModel("resnet18", "ResNet-18, repaired", _FREE),
    "bragg": StudyModel("bragg", "Bragg curves, 13 biases", {}, {}, "all", False),
    "bragg_one": StudyModel("bragg", "Bragg curves, one bias", {}, {}, "zero", False),
    "bragg_process": StudyModel(
        "bragg_process", "Gaussian process", {}, {"normalisation": "pixel"}, "all", False
    ),
    "bragg_tokens": StudyModel("bragg_tokens", "stars as tokens", {}, _LONG, "all", False),
    "bragg_biases": StudyModel("bragg_biases", "attention over biases", {}, _LONG, "all", False),
}
"""The paper's three networks on its own pictures, the same repaired, and models of Bragg amplitudes."""

ABLATION: dict[str, StudyModel] = {
    "cnn-zero": StudyModel("cnn", "as in the paper", {**_PAPER, "initial_output": 0.0}),
    "cnn": replace(STUDY_MODELS["cnn"], title="first answer 2.5 eV, not 0"),
    "+renderer": StudyModel("cnn", "linear pictures"),
    "+clamp": StudyModel("cnn", "no cut-off at zero", {"clamp": False}),
    "+unit": StudyModel("cnn", "no unit length", {"clamp": False, "l2_normalise": False}),
    "repaired": replace(STUDY_MODELS["repaired"], title="no dropout"),
    "+pixel": StudyModel("cnn", "normalised pixel by pixel", _FREE, {"normalisation": "pixel"}),
}
"""From the paper's CNN to the repaired one, each with the changes of those before it and one more."""

EVERY_BIAS: dict[str, StudyModel] = {
    f"{name}-every": replace(model, title=f"{model.title}, every bias", bias="every")
    for name, model in STUDY_MODELS.items()
    if model.style == "paper"
}
"""The paper's networks on pictures of every bias."""


def _stopped(*U: float) -> StudyModel:
    title = f"stopped by {' and '.join(f'{value:g}' for value in U)} eV"
    # The whole course of the validation error is wanted, whenever its smallest value comes.
    return replace(STUDY_MODELS["repaired"], title=title, training={"patience": 10**6}, leave_out=U)


STOPPED: dict[str, StudyModel] = {
    **{f"repaired-{U}": _stopped(float(U)) for U in range(6)},
    "repaired-1-4": _stopped(1.0, 4.0),
}
"""The repaired CNN with trained values of U left out to choose the epoch: each in turn, and a pair."""

LONGER: dict[str, StudyModel] = {
    f"{name}-long": replace(model, title=f"{model.title}, longer", longer=5)
    for name, model in (STUDY_MODELS | EVERY_BIAS).items()
    if name in ("fc", "cnn", "resnet18", "repaired", "cnn-every")
}
"""Networks of pictures that train for five times the epochs, with a cosine as long."""

COPIED: dict[str, StudyModel] = {
    f"{name}-copies": replace(
        STUDY_MODELS[name], title=f"{STUDY_MODELS[name].title}, ten pictures of each state", copies=10
    )
    for name in ("cnn", "resnet18")
}
"""The paper's convolutional networks on a collection that holds every state many times."""

# Last once more: a step of the ablation that is one of the models goes by another title there.
_KNOWN = STUDY_MODELS | ABLATION | EVERY_BIAS | STOPPED | LONGER | COPIED | STUDY_MODELS


def study_model(name: str) -> StudyModel:
    """The model `name` of `STUDY_MODELS` or of the experiments below them; ValueError for others."""
    if name not in _KNOWN:
        raise ValueError(f"the study has no model {name!r}; its models are {', '.join(_KNOWN)}")
    return _KNOWN[name]
