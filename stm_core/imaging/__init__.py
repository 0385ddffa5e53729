"""From an LDOS map to the picture a network sees: Fourier transform, Bragg peaks, scans, rendering."""

from stm_core.imaging.bragg import bragg_amplitudes, graphene_vectors, layer_mask
from stm_core.imaging.distortions import (
    FiniteWindow,
    Imperfection,
    ThermalDrift,
    TipBlur,
    TipChange,
    UniaxialStrain,
)
from stm_core.imaging.fourier import FourierGrid, ft_ldos, ft_ldos_direct, k_axes
from stm_core.imaging.imperfections import Imperfections
from stm_core.imaging.lock_in import LockIn
from stm_core.imaging.noise import FlickerNoise, GainDrift, ScanLineNoise, WhiteNoise
from stm_core.imaging.pixel_presets import PixelImperfections
from stm_core.imaging.render import area_weights, render
from stm_core.imaging.scan import ScanMap, SurfaceLDOS, decay_constant, form_factor
from stm_core.imaging.scan_transform import scan_amplitudes, scan_transform
from stm_core.imaging.symmetry import (
    domain_average,
    domain_average_image,
    group_orbit,
    same_sample,
    sample_labels,
)

__all__ = [
    "FiniteWindow",
    "FlickerNoise",
    "FourierGrid",
    "GainDrift",
    "Imperfection",
    "Imperfections",
    "LockIn",
    "PixelImperfections",
    "ScanLineNoise",
    "ScanMap",
    "SurfaceLDOS",
    "ThermalDrift",
    "TipBlur",
    "TipChange",
    "UniaxialStrain",
    "WhiteNoise",
    "area_weights",
    "bragg_amplitudes",
    "decay_constant",
    "domain_average",
    "domain_average_image",
    "form_factor",
    "ft_ldos",
    "ft_ldos_direct",
    "graphene_vectors",
    "group_orbit",
    "k_axes",
    "layer_mask",
    "render",
    "same_sample",
    "sample_labels",
    "scan_amplitudes",
    "scan_transform",
]
