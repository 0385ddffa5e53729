"""Reading the Hubbard interaction of twisted bilayer graphene from simulated STM images.

The rooms follow the data: ``simulation`` (tight binding, Hartree-Fock), ``imaging`` (FT-LDOS and its
pictures), ``data`` (sweeps and the shipped dataset), ``learning`` (regressors of U), ``insight``
(why they work) and ``viewing`` (figures and the explorer). ``study`` runs the notebooks and builds the book.
A room imports only from the rooms before it.
"""

__version__ = "0.1.0"
