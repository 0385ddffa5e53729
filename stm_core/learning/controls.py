"""Models of the study that should not work: the same recipe, taught labels that mean nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from stm_core.learning.catalogue import STUDY_MODELS
from stm_core.learning.evaluation import predict
from stm_core.learning.inputs import Samples
from stm_core.learning.study_models import (
    StudySettings,
    study_checkpoint,
    study_network,
    study_parts,
)
from stm_core.learning.training import FitResult, fit


@dataclass(frozen=True)
class ShuffledFit:
    """A model taught U shuffled among states, and whether it learned them.

    Attributes
    ----------
    result : FitResult
    mae : float
        Of the shuffled U of its own training, in eV.
    constant : float
        The error that their mean would make of them, in eV.
    """

    result: FitResult
    mae: float
    constant: float


def fit_to_shuffled(
    ds: xr.Dataset,
    name: str,
    settings: StudySettings,
    samples: Samples,
    checkpoints: str | os.PathLike[str],
    epochs: int,
) -> ShuffledFit:
    """Teach the study's model `name` its own training samples with U shuffled among the states.

    Samples of one state, at other biases, keep one U, so that there is something to learn by heart. Nothing
    stops the training but its `epochs`.

    Parameters
    ----------
    ds, name, settings, checkpoints
        As in `trained_regressor`.
    samples : Samples
        What the model sees of the dataset, or of all of it that the training needs.
    epochs : int
        Passes over the samples.

    Raises
    ------
    ValueError
        As `trained_regressor` does.
    """
    known = samples.subset(study_parts(ds, samples, settings).known)
    states, state = np.unique(known.sample, return_inverse=True)
    U = np.random.default_rng(settings.seed).permutation(ds["U"].values[states])[state.ravel()]
    config = replace(settings.training, **{**STUDY_MODELS[name].training, "epochs": epochs})
    path = study_checkpoint(ds, name, replace(settings, epochs=epochs), checkpoints)
    path = path.with_name(f"shuffled-{path.name}")
    network = study_network(ds, name, settings)
    result = fit(network, known.inputs, U, None, config, path, branch=known.branch, progress=False)
    mae = np.abs(predict(result, known.inputs).U - U).mean()
    return ShuffledFit(result, float(mae), float(np.abs(U - U.mean()).mean()))
