"""Networks and baselines that read U from FT-LDOS images: build, train, store, predict, measure."""

from stm_core.learning.baselines import PrincipalComponentRegression, constant_guess, nearest_integer
from stm_core.learning.checkpoints import Normalisation, Regressor, load_checkpoint
from stm_core.learning.evaluation import Metrics, as_regressor, evaluate, predict
from stm_core.learning.grouped import Interval, bootstrap_intervals, snapping
from stm_core.learning.loop import TrainingConfig
from stm_core.learning.models import Convolutional, FullyConnected, ResNet18
from stm_core.learning.registry import ImageNetwork, build_model
from stm_core.learning.study_models import (
    STUDY_MODELS,
    StudyModel,
    StudySettings,
    study_checkpoint,
    study_images,
    trained_regressor,
)
from stm_core.learning.training import FitResult, fit

__all__ = [
    "STUDY_MODELS",
    "Convolutional",
    "FitResult",
    "FullyConnected",
    "ImageNetwork",
    "Interval",
    "Metrics",
    "Normalisation",
    "PrincipalComponentRegression",
    "Regressor",
    "ResNet18",
    "StudyModel",
    "StudySettings",
    "TrainingConfig",
    "as_regressor",
    "bootstrap_intervals",
    "build_model",
    "constant_guess",
    "evaluate",
    "fit",
    "load_checkpoint",
    "nearest_integer",
    "predict",
    "snapping",
    "study_checkpoint",
    "study_images",
    "trained_regressor",
]
