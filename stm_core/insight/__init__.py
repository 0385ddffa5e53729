"""Why the regressors work: similarity of images, principal components, crossover, attribution."""

from stm_core.insight.attribution import Faithfulness, faithfulness, grad_cam, guided_backprop
from stm_core.insight.similarity import (
    Crossover,
    PCAResult,
    cosine_similarity,
    crossover,
    principal_components,
)

__all__ = [
    "Crossover",
    "Faithfulness",
    "PCAResult",
    "cosine_similarity",
    "crossover",
    "faithfulness",
    "grad_cam",
    "guided_backprop",
    "principal_components",
]
