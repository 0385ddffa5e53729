"""Simulation: the twisted bilayer, its tight-binding model and its Hartree-Fock state."""

from .coulomb import COULOMB_CONSTANT, GateScreenedCoulomb
from .hartree_fock import HartreeFock, Iteration
from .hopping import SlaterKoster, TightBinding, flat_band_spacing, flat_band_width
from .lattice import BOND_LENGTH, GRAPHENE_LATTICE, Crystal, TwistedBilayer, honeycomb
from .state import HartreeFockState

__all__ = [
    "BOND_LENGTH",
    "COULOMB_CONSTANT",
    "GRAPHENE_LATTICE",
    "Crystal",
    "GateScreenedCoulomb",
    "HartreeFock",
    "HartreeFockState",
    "Iteration",
    "SlaterKoster",
    "TightBinding",
    "TwistedBilayer",
    "flat_band_spacing",
    "flat_band_width",
    "honeycomb",
]
