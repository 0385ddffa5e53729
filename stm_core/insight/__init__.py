"""Why the regressors work: similarity of images, principal components, crossover, attribution."""

from stm_core.insight.attribution import Faithfulness, faithfulness, grad_cam, guided_backprop
from stm_core.insight.channels import group_means, rank_correlation, variance_share
from stm_core.insight.checks import map_share, peak_mask, randomisation, untrained
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
    "group_means",
    "guided_backprop",
    "map_share",
    "peak_mask",
    "principal_components",
    "randomisation",
    "rank_correlation",
    "untrained",
    "variance_share",
]
