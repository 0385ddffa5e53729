"""Why the regressors work: similarity of images, principal components, crossover, attribution."""

from stm_core.insight.attribution import (
    cam_cell,
    grad_cam,
    group_attribution,
    guided_backprop,
    integrated_gradients,
)
from stm_core.insight.bends import Crossover, crossover
from stm_core.insight.channels import group_means, rank_correlation, variance_share
from stm_core.insight.checks import map_agreement, map_share, peak_mask, untrained
from stm_core.insight.exchange import Followed, PeakExchange, exchange_table, exchanged_share
from stm_core.insight.peaks import (
    family_weights,
    peak_families,
    peak_shells,
    pixel_vectors,
    pixels_of,
    satellite_share,
)
from stm_core.insight.removal import Faithfulness, deletion_insertion, faithfulness
from stm_core.insight.similarity import (
    ComponentBands,
    PCAResult,
    component_bands,
    cosine_similarity,
    pattern_change,
    principal_components,
)
from stm_core.insight.stars import exchanged, star_contributions, star_deletion_insertion, star_reader
from stm_core.insight.states import CONTROL, double_occupancy, state_quantities
from stm_core.insight.symmetry import broken_share, symmetry_channels, turned_share
from stm_core.insight.tables import bend_table, component_table, holm, varies

__all__ = [
    "CONTROL",
    "ComponentBands",
    "Crossover",
    "Faithfulness",
    "Followed",
    "PCAResult",
    "PeakExchange",
    "bend_table",
    "broken_share",
    "cam_cell",
    "component_bands",
    "component_table",
    "cosine_similarity",
    "crossover",
    "deletion_insertion",
    "double_occupancy",
    "exchange_table",
    "exchanged",
    "exchanged_share",
    "faithfulness",
    "family_weights",
    "grad_cam",
    "group_attribution",
    "group_means",
    "guided_backprop",
    "holm",
    "integrated_gradients",
    "map_agreement",
    "map_share",
    "pattern_change",
    "peak_families",
    "peak_mask",
    "peak_shells",
    "pixel_vectors",
    "pixels_of",
    "principal_components",
    "rank_correlation",
    "satellite_share",
    "star_contributions",
    "star_deletion_insertion",
    "star_reader",
    "state_quantities",
    "symmetry_channels",
    "turned_share",
    "untrained",
    "variance_share",
    "varies",
]
