"""Figures of the study, static and interactive, and the explorer."""

from stm_core.viewing.certainty import eigen_images, interval_chart, score_bands
from stm_core.viewing.convergence import convergence_figure
from stm_core.viewing.curves import (
    band_figure,
    curve_figure,
    level_figure,
    pca_scores,
    predicted_vs_true,
)
from stm_core.viewing.display import figure_html, show
from stm_core.viewing.explorer import Explorer, explorer
from stm_core.viewing.figures import ft_ldos_map, ldos_map, similarity_matrix
from stm_core.viewing.inpage import PageStates, in_page
from stm_core.viewing.page import explorer_figure
from stm_core.viewing.page_network import export_for_page
from stm_core.viewing.panels import attribution_panels, panels_against_U, training_curves
from stm_core.viewing.panorama import cover_figure, road_figure
from stm_core.viewing.samples import (
    branch_figure,
    filling_name,
    sample_map,
    spectrum_map,
)
from stm_core.viewing.scans import imperfection_gallery
from stm_core.viewing.spectrum import U_figure, bias_figure
from stm_core.viewing.tables import Target, markdown_table, target_table

__all__ = [
    "Explorer",
    "PageStates",
    "Target",
    "U_figure",
    "attribution_panels",
    "band_figure",
    "bias_figure",
    "branch_figure",
    "convergence_figure",
    "cover_figure",
    "curve_figure",
    "eigen_images",
    "explorer",
    "explorer_figure",
    "export_for_page",
    "figure_html",
    "filling_name",
    "ft_ldos_map",
    "imperfection_gallery",
    "in_page",
    "interval_chart",
    "ldos_map",
    "level_figure",
    "markdown_table",
    "panels_against_U",
    "pca_scores",
    "predicted_vs_true",
    "road_figure",
    "sample_map",
    "score_bands",
    "show",
    "similarity_matrix",
    "spectrum_map",
    "target_table",
    "training_curves",
]
