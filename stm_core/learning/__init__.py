"""Models that read U from FT-LDOS pictures or Bragg amplitudes: build, fit, store, predict, measure."""

from stm_core.learning.baselines import (
    BASELINES,
    PrincipalComponentRegression,
    constant_guess,
    nearest_integer,
)
from stm_core.learning.bragg_inputs import BraggConfig, star_vectors
from stm_core.learning.catalogue import (
    ABLATION,
    COPIED,
    EVERY_BIAS,
    LONGER,
    STOPPED,
    STUDY_MODELS,
    StudyModel,
    study_model,
)
from stm_core.learning.checkpoints import Normalisation, Regressor, load_checkpoint
from stm_core.learning.controls import ShuffledFit, fit_to_shuffled
from stm_core.learning.evaluation import Metrics, as_regressor, evaluate, predict
from stm_core.learning.grouped import Interval, bootstrap_intervals, snapping
from stm_core.learning.inputs import PictureConfig, Samples
from stm_core.learning.leaderboard import (
    LEADERBOARD_SETTINGS,
    dataset_fingerprint,
    measure,
    recorded,
    run_leaderboard,
)
from stm_core.learning.loop import TrainingConfig
from stm_core.learning.models.bragg_networks import BiasAttention, StarTokens
from stm_core.learning.models.curves import BraggCurves
from stm_core.learning.models.pictures import Convolutional, FullyConnected, ResNet18
from stm_core.learning.models.process import BraggProcess
from stm_core.learning.noise import Exposure, information, noisy_samples, scanned_samples
from stm_core.learning.noise_results import read_noise_results, write_noise_results
from stm_core.learning.noise_study import NoiseStudy
from stm_core.learning.parts import PAPER_U, Parts, parts
from stm_core.learning.registry import ImageNetwork, Model, build_model
from stm_core.learning.results import SHIPPED_RESULTS, add_result, figures, read_results, result_table
from stm_core.learning.shipping import (
    SHIPPED_NAMES,
    SHIPPED_SETTINGS,
    export_onnx,
    read_card,
    ship_model,
    stale_models,
)
from stm_core.learning.study_models import (
    SHIPPED_MODELS,
    StudySettings,
    samples_of,
    study_checkpoint,
    study_images,
    study_network,
    study_parts,
    study_samples,
    trained_regressor,
)
from stm_core.learning.training import FitResult, fit
from stm_core.learning.uncertainty import Calibration, Familiarity, Prediction, coverage, novelty_auroc

__all__ = [
    "ABLATION",
    "BASELINES",
    "COPIED",
    "EVERY_BIAS",
    "LEADERBOARD_SETTINGS",
    "LONGER",
    "PAPER_U",
    "SHIPPED_MODELS",
    "SHIPPED_NAMES",
    "SHIPPED_RESULTS",
    "SHIPPED_SETTINGS",
    "STOPPED",
    "STUDY_MODELS",
    "BiasAttention",
    "BraggConfig",
    "BraggCurves",
    "BraggProcess",
    "Calibration",
    "Convolutional",
    "Exposure",
    "Familiarity",
    "FitResult",
    "FullyConnected",
    "ImageNetwork",
    "Interval",
    "Metrics",
    "Model",
    "NoiseStudy",
    "Normalisation",
    "Parts",
    "PictureConfig",
    "Prediction",
    "PrincipalComponentRegression",
    "Regressor",
    "ResNet18",
    "Samples",
    "ShuffledFit",
    "StarTokens",
    "StudyModel",
    "StudySettings",
    "TrainingConfig",
    "add_result",
    "as_regressor",
    "bootstrap_intervals",
    "build_model",
    "constant_guess",
    "coverage",
    "dataset_fingerprint",
    "evaluate",
    "export_onnx",
    "figures",
    "fit",
    "fit_to_shuffled",
    "information",
    "load_checkpoint",
    "measure",
    "nearest_integer",
    "noisy_samples",
    "novelty_auroc",
    "parts",
    "predict",
    "read_card",
    "read_noise_results",
    "read_results",
    "recorded",
    "result_table",
    "run_leaderboard",
    "samples_of",
    "scanned_samples",
    "ship_model",
    "snapping",
    "stale_models",
    "star_vectors",
    "study_checkpoint",
    "study_images",
    "study_model",
    "study_network",
    "study_parts",
    "study_samples",
    "trained_regressor",
    "write_noise_results",
]
