"""Simulation: the twisted bilayer, its tight-binding model and its Hartree-Fock state."""

from .branches import Branch, competing_branches
from .coulomb import COULOMB_CONSTANT, GateScreenedCoulomb
from .hartree_fock import HartreeFock, Iteration
from .hopping import SlaterKoster, TightBinding, flat_band_spacing, flat_band_width
from .large_cell import LargeCell, LargeCellState
from .lattice import BOND_LENGTH, GRAPHENE_LATTICE, Crystal, TwistedBilayer, honeycomb
from .observables import moire_magnetisation
from .order import FlatBands, identify
from .spectra import density_of_states, mean_field_bands
from .state import HartreeFockState

__all__ = [
    "BOND_LENGTH",
    "COULOMB_CONSTANT",
    "GRAPHENE_LATTICE",
    "Branch",
    "Crystal",
    "FlatBands",
    "GateScreenedCoulomb",
    "HartreeFock",
    "HartreeFockState",
    "Iteration",
    "LargeCell",
    "LargeCellState",
    "SlaterKoster",
    "TightBinding",
    "TwistedBilayer",
    "competing_branches",
    "density_of_states",
    "flat_band_spacing",
    "flat_band_width",
    "honeycomb",
    "identify",
    "mean_field_bands",
    "moire_magnetisation",
]
