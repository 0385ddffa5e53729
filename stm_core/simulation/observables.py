"""What a Hartree-Fock state shows: gap, local density of states, order parameters."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from .lattice import Crystal, TwistedBilayer, fractions
from .starts import intralayer_bonds, kekule_vectors

STACKINGS: dict[str, list[tuple[float, float]]] = {
    "AA": [(0, 0)],
    "AB": [(2 / 3, 2 / 3)],
    "BA": [(1 / 3, 1 / 3)],
    "SP": [(1 / 2, 0), (0, 1 / 2), (1 / 2, 1 / 2)],
}
"""Centres of the stacking regions of a twisted bilayer, in lattice vectors.

AB: A atoms of the bottom layer lie under B atoms of the top one; BA the reverse; SP: the saddle points
between AB and BA."""

LAYERS = {"bottom": (0,), "top": (1,), "both": (0, 1)}


class MeanFieldState(Protocol):
    """What the readers of a mean-field state need to know of it.

    S = 2 spins with M = N levels each; S = 1 with M = N where both spins are equal; S = 1 with
    M = 2N where they mix, the first N components being spin up.
    """

    @property
    def crystal(self) -> Crystal:
        """N atoms."""

    @property
    def nk(self) -> int:
        """k-points per direction."""

    @property
    def filling(self) -> float:
        """Electrons per cell from neutrality."""

    @property
    def energies(self) -> NDArray[np.float64]:
        """Levels, (S, n_k, M) in eV."""

    @property
    def occupations(self) -> NDArray[np.float64]:
        """Occupation of every level, (S, n_k, M)."""

    def orbitals_at(self, spin: int, k: int) -> NDArray[np.complex128]:
        """Bloch states of one spin at one k-point as columns, (M, M)."""


def fermi(energy: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Fermi-Dirac occupation of levels measured from the chemical potential (both in eV)."""
    return expit(-energy / temperature)


def chemical_potential(energies: NDArray[np.float64], electrons: float, temperature: float) -> float:
    """Chemical potential in eV that fills ``electrons`` per cell into levels (2, n_k, N) in eV."""
    n_k = energies.shape[1]
    levels = np.sort(energies, axis=None)
    below = int(np.floor(electrons * n_k + 1e-9))
    gap = levels[below] - levels[below - 1]
    if abs(electrons * n_k - below) < 1e-9 and gap > 60 * temperature:
        # So deep in a gap that the electron number no longer fixes μ in double precision.
        return float((levels[below] + levels[below - 1]) / 2)

    def excess(mu: float) -> float:
        return float(fermi(levels - mu, temperature).sum() / n_k - electrons)

    return float(
        brentq(excess, levels[0] - 50 * temperature, levels[-1] + 50 * temperature, xtol=1e-14, rtol=1e-14)
    )


def thermal_kernel(energy: NDArray[np.float64], broadening: float) -> NDArray[np.float64]:
    """Tunnelling resolution g(E) = sech²(E/2w)/(4w), in 1/eV.

    The derivative of the Fermi function of a tip at an effective temperature w that also absorbs
    the lock-in modulation; its full width at half maximum is 3.53 w.
    """
    occupied = fermi(energy, broadening)
    return occupied * (1 - occupied) / broadening


def indirect_gap(energies: NDArray[np.float64], electrons: float) -> float:
    """Gap between the highest filled and lowest empty level over all k, in eV.

    Parameters
    ----------
    energies : (2, n_k, N) float array
        Levels of both spins in eV.
    electrons : float
        Electrons per cell.

    Returns
    -------
    float
        0 for a metal, also whenever the filling leaves a level partly filled.
    """
    levels = np.sort(energies, axis=None)
    filled = electrons * energies.shape[1]
    if abs(filled - round(filled)) > 1e-9 or not 0 < round(filled) < levels.size:
        return 0.0
    n = round(filled)
    return float(levels[n] - levels[n - 1])


def order_parameters(
    crystal: Crystal, density: NDArray[np.float64], bond_order: NDArray[np.complex128] | None = None
) -> dict[str, float]:
    """Numbers that tell broken-symmetry states apart.

    Parameters
    ----------
    crystal : Crystal
        N atoms.
    density : (2, N) float array
        Electrons per atom and spin.
    bond_order : (n_bonds,) complex array, optional
        ⟨c†_B c_A⟩ summed over spins on ``intralayer_bonds(crystal)``; needed for the Kekulé entries.

    Returns
    -------
    dict
        ``staggered_spin`` and ``sublattice`` (A minus B, per atom), ``total_spin`` (electrons per
        cell), ``maximum_moment`` and ``charge_modulation`` (electrons); for a twisted bilayer also
        ``layer`` (top minus bottom, electrons per cell), ``c3_breaking`` (relative norm of the
        part of the charge that a threefold turn changes; not where strain breaks that turn) and
        ``kekule``, ``kekule_current``: norm of the bond order and bond current per bond at the moiré
        vectors around the graphene K points, where intervalley coherence shows.
    """
    charge, spin = density.sum(axis=0), density[0] - density[1]
    sign = 1.0 - 2.0 * crystal.sublattice
    result = {
        "staggered_spin": float(np.mean(sign * spin)),
        "total_spin": float(spin.sum()),
        "sublattice": float(np.mean(sign * charge)),
        "maximum_moment": float(np.abs(spin).max()),
        "charge_modulation": float(np.ptp(charge)),
    }
    if isinstance(crystal, TwistedBilayer):
        result["layer"] = float(charge[crystal.layer == 1].sum() - charge[crystal.layer == 0].sum())
        if "C6^2" in crystal.point_group:
            turned = charge[crystal.point_group["C6^2"]]
            fluctuation = float(np.linalg.norm(charge - charge.mean()))
            result["c3_breaking"] = float(np.linalg.norm(turned - charge) / max(fluctuation, 1e-12))
        if bond_order is not None:
            result["kekule"] = _kekule_norm(crystal, bond_order.real)
            result["kekule_current"] = _kekule_norm(crystal, bond_order.imag)
    return result


@dataclass(frozen=True, eq=False)
class MoireMagnetisation:
    """Spin density resolved by stacking; components are along x, y, z, in electrons (n↑ - n↓).

    Attributes
    ----------
    spin : (N, 3) float array
        Of each atom.
    region : (N,) str array
        Stacking region of each atom, a key of ``STACKINGS``.
    total : dict of str to (3,) float array
        Sum over a region.
    staggered : dict of str to (3,) float array
        Sum over a region, A minus B.
    """

    spin: NDArray[np.float64]
    region: NDArray[np.str_]
    total: dict[str, NDArray[np.float64]]
    staggered: dict[str, NDArray[np.float64]]


def moire_magnetisation(state: MeanFieldState) -> MoireMagnetisation:
    """Spin density of a mean field, summed over the stacking regions of the moiré cell.

    Raises
    ------
    ValueError
        If the crystal is not a twisted bilayer.
    """
    crystal = state.crystal
    if not isinstance(crystal, TwistedBilayer):
        raise ValueError("stacking regions need a twisted bilayer")
    spin, region = spin_density(state), stacking_regions(crystal)
    staggered = (1.0 - 2.0 * crystal.sublattice)[:, None] * spin
    return MoireMagnetisation(
        spin,
        region,
        {name: spin[region == name].sum(axis=0) for name in STACKINGS},
        {name: staggered[region == name].sum(axis=0) for name in STACKINGS},
    )


def stacking_regions(crystal: TwistedBilayer) -> NDArray[np.str_]:
    """Stacking whose centre is nearest to each atom in the plane, (N,) keys of ``STACKINGS``."""
    names = np.array([name for name, centres in STACKINGS.items() for _ in centres])
    centres = np.concatenate(list(STACKINGS.values()))
    fraction = crystal.positions[:, :2] @ np.linalg.inv(crystal.lattice)
    apart = fraction[:, None] - centres
    apart -= np.rint(apart)
    images = apart[:, :, None] + fractions(3) - 1
    distance = np.linalg.norm(images @ crystal.lattice, axis=-1).min(axis=-1)
    # A hair's breadth decides ties the same way on every machine.
    return names[np.argmin(np.round(distance, 6), axis=1)]


def spin_density(state: MeanFieldState) -> NDArray[np.float64]:
    """Spin of each atom along x, y, z, (N, 3)."""
    n_spin, n_k, size = state.energies.shape
    n = state.crystal.n_atoms
    spin = np.zeros((n, 3))
    if n_spin == 1 and size == n:
        return spin
    for s, k in np.ndindex(n_spin, n_k):
        orbitals, occupation = state.orbitals_at(s, k), state.occupations[s, k]
        weights = np.abs(orbitals) ** 2 @ occupation / n_k
        if size == n:
            spin[:, 2] += (1 - 2 * s) * weights
        else:
            up_down = np.einsum("in,n,in->i", orbitals[:n], occupation, orbitals[n:].conj()) / n_k
            spin += np.stack([2 * up_down.real, -2 * up_down.imag, weights[:n] - weights[n:]], axis=1)
    return spin


def _kekule_norm(crystal: TwistedBilayer, bonds: NDArray[np.float64]) -> float:
    """√(Σ_G |Σ_b p_b e^{-iG·r_b}|²) per bond, G over the Kekulé vectors of both layers."""
    pairs = intralayer_bonds(crystal)
    middle = crystal.positions[pairs.source, :2] + pairs.displacement[:, :2] / 2
    weight = 0.0
    for layer in (0, 1):
        inside = crystal.layer[pairs.source] == layer
        phases = np.exp(-1j * middle[inside] @ kekule_vectors(crystal, layer).T)
        weight += float(np.sum(np.abs(bonds[inside] @ phases) ** 2))
    return float(np.sqrt(weight) / len(bonds))
