"""From an LDOS map to the picture a network sees: Fourier transform, Bragg peaks, rendering."""

from stm_core.imaging.bragg import bragg_amplitudes, graphene_vectors, layer_mask
from stm_core.imaging.fourier import FourierGrid, ft_ldos, ft_ldos_direct, k_axes
from stm_core.imaging.render import area_weights, render

__all__ = [
    "FourierGrid",
    "area_weights",
    "bragg_amplitudes",
    "ft_ldos",
    "ft_ldos_direct",
    "graphene_vectors",
    "k_axes",
    "layer_mask",
    "render",
]
