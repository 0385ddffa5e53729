"""Symmetry-breaking fields from which the self-consistent field starts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .hopping import NeighbourPairs, neighbour_pairs
from .lattice import BOND_LENGTH, GRAPHENE_LATTICE, Crystal, TwistedBilayer

STARTS = ("spin", "sublattice", "kramers", "random", "ferromagnet", "kekule", "valley", "nematic")
"""Kinds of start, chosen by the seed modulo eight."""

FIELD_STRENGTH = 0.1
"""Typical size of a starting field, in eV: of the order of the gaps it may open."""

_DISORDER = 0.01  # of the field strength, on the seeds that are not clean


@dataclass(frozen=True, eq=False)
class StartingField:
    """Site potentials and bond amplitudes that break the symmetry of a crystal once, at the start.

    Attributes
    ----------
    kind : str
        One of ``STARTS``.
    sites : (2, N) float array
        Potential of each spin, in eV.
    bonds : NeighbourPairs
        Bonds, each in one direction.
    amplitudes : (n_bonds,) complex array
        Field on them in eV, the same for both spins.
    axis : (3,) float array
        Direction of the spin, for a non-collinear start.
    """

    kind: str
    sites: NDArray[np.float64]
    bonds: NeighbourPairs
    amplitudes: NDArray[np.complex128]
    axis: NDArray[np.float64]

    def matrix(self, spin: int, crystal: Crystal, k: NDArray[np.float64]) -> csr_array:
        """Hermitian field of one spin at one wave vector (1/Å), sparse (N, N) in eV."""
        return self._bonds(crystal, k) + _diagonal(self.sites[spin])

    def spinor_matrix(self, crystal: Crystal, k: NDArray[np.float64]) -> csr_array:
        """The field with its spins turned along ``axis``, sparse (2N, 2N) in eV, spin up first."""
        mean, moment = self.sites.mean(axis=0), (self.sites[0] - self.sites[1]) / 2
        x, y, z = self.axis
        same = self._bonds(crystal, k) + _diagonal(mean)
        up, down = same + _diagonal(z * moment), same - _diagonal(z * moment)
        turned = _diagonal((x - 1j * y) * moment)
        n = crystal.n_atoms
        result = csr_array((2 * n, 2 * n), dtype=complex)
        for block, row, column in ((up, 0, 0), (down, n, n), (turned, 0, n), (turned.conj().T, n, 0)):
            entries = block.tocoo()
            place = (entries.row + row, entries.col + column)
            result = result + csr_array((entries.data, place), shape=(2 * n, 2 * n))
        return result

    def _bonds(self, crystal: Crystal, k: NDArray[np.float64]) -> csr_array:
        phase = np.exp(1j * self.bonds.cell @ (crystal.lattice @ k))
        place = (self.bonds.source, self.bonds.target)
        shape = (crystal.n_atoms, crystal.n_atoms)
        one_way = csr_array((self.amplitudes * phase, place), shape=shape)
        return one_way + one_way.conj().T


def starting_field(crystal: Crystal, seed: int) -> StartingField:
    """A field of a definite kind that breaks the symmetry of a crystal.

    ``seed % 8`` picks the kind: staggered spin, sublattice charge, intervalley-coherent currents
    (odd under time reversal, as in the Kramers state), independent random potentials for each spin
    and atom, uniform spin, intervalley-coherent bonds (even under time reversal), valley
    polarisation, one direction of bonds stronger than the others. Where the crystal has no twist,
    intervalley and valley kinds become random. Seeds below eight are clean and keep what symmetry
    their kind allows; larger ones add weak disorder that lifts it. The seed also draws the sign and
    the strength.

    Parameters
    ----------
    crystal : Crystal
        N atoms.
    seed : int
        Any non-negative integer.

    Returns
    -------
    StartingField

    Raises
    ------
    ValueError
        If the seed is negative or not whole.
    """
    if seed < 0 or seed != int(seed):
        raise ValueError(f"the seed must be a non-negative integer, not {seed}")
    rng = np.random.default_rng(seed)
    kind = STARTS[seed % len(STARTS)]
    if kind in ("kramers", "kekule", "valley") and not isinstance(crystal, TwistedBilayer):
        kind = "random"
    strength = FIELD_STRENGTH * rng.uniform(0.5, 1.5) * rng.choice([-1, 1])
    axis = rng.normal(size=3)
    disorder = rng.normal(size=(2, crystal.n_atoms))
    disorder -= disorder.mean(axis=1, keepdims=True)  # so that no start favours one spin as a whole
    share = 1.0 if kind == "random" else _DISORDER * (seed >= len(STARTS))
    sites = share * FIELD_STRENGTH * disorder
    staggered = strength * (1.0 - 2.0 * crystal.sublattice)
    if kind in ("spin", "ferromagnet"):
        moment = staggered if kind == "spin" else np.full(crystal.n_atoms, strength)
        sites = sites + np.array([[1], [-1]]) * moment
    elif kind == "sublattice":
        sites = sites + staggered
    bonds, amplitudes = _bond_field(crystal, kind)
    return StartingField(kind, sites, bonds, strength * amplitudes, axis / np.linalg.norm(axis))


def intralayer_bonds(crystal: Crystal) -> NeighbourPairs:
    """Nearest-neighbour bonds inside the layers, each once, from A to B."""
    pairs = neighbour_pairs(crystal, 1.2 * BOND_LENGTH)
    keep = (crystal.sublattice[pairs.source] == 0) & (crystal.sublattice[pairs.target] == 1)
    keep &= crystal.layer[pairs.source] == crystal.layer[pairs.target]
    return NeighbourPairs(pairs.source[keep], pairs.target[keep], pairs.cell[keep], pairs.displacement[keep])


def kekule_vectors(crystal: TwistedBilayer, layer: int) -> NDArray[np.float64]:
    """Moiré reciprocal vectors around the six corners of one layer's graphene Brillouin zone.

    A moiré-periodic state can carry intervalley coherence only there: around each corner, the
    three vectors at the distance of the moiré K point.

    Returns
    -------
    (18, 2) float array
        Wave vectors in 1/Å.
    """
    b1, b2 = 2 * np.pi * np.linalg.inv(crystal.layer_lattices[layer]).T
    three = np.array([2 * b1 + b2, b1 + 2 * b2, b1 - b2]) / 3
    corners = np.concatenate([three, -three])
    offsets = np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 3), indexing="ij"), axis=-1).reshape(-1, 2)
    result = []
    for corner in corners:
        centre = np.rint(corner @ np.linalg.inv(crystal.reciprocal)).astype(int)
        candidates = (centre + offsets) @ crystal.reciprocal
        order = np.argsort(np.linalg.norm(candidates - corner, axis=1))
        result.append(candidates[order[:3]])
    return np.concatenate(result)


def _bond_field(crystal: Crystal, kind: str) -> tuple[NeighbourPairs, NDArray]:
    """Bonds that a kind of start acts on, and amplitudes of unit size."""
    if kind == "valley" and isinstance(crystal, TwistedBilayer):
        return valley_currents(crystal)
    bonds = intralayer_bonds(crystal)
    if kind in ("kekule", "kramers") and isinstance(crystal, TwistedBilayer):
        pattern = _kekule_pattern(crystal, bonds)
        return bonds, pattern * (1j if kind == "kramers" else 1.0)
    if kind == "nematic":
        angle = np.arctan2(bonds.displacement[:, 1], bonds.displacement[:, 0])
        return bonds, np.cos(2 * angle).astype(complex)
    return bonds, np.zeros(len(bonds.source), dtype=complex)


def _diagonal(values: NDArray) -> csr_array:
    place = np.arange(len(values))
    return csr_array((values.astype(complex), (place, place)), shape=(len(values), len(values)))


def valley_currents(crystal: TwistedBilayer) -> tuple[NeighbourPairs, NDArray]:
    """Second-neighbour bonds and amplitudes that make the valley operator with their conjugates.

    i/(3√3) along every other of the six directions: 1 at a layer's K point, -1 at K'
    (Colomés and Franz, Phys. Rev. Lett. 120, 086603 (2018); Ramires and Lado, ibid. 121, 146801
    (2018), eq. 4). K lies along the layer's first primitive vector.
    """
    pairs = neighbour_pairs(crystal, 1.3 * GRAPHENE_LATTICE)
    to_integers = np.linalg.inv(crystal.layer_lattices)[crystal.layer[pairs.source]]
    steps = np.rint(np.einsum("pi,pij->pj", pairs.displacement[:, :2], to_integers)).astype(int)
    keep = crystal.layer[pairs.source] == crystal.layer[pairs.target]
    keep &= crystal.sublattice[pairs.source] == crystal.sublattice[pairs.target]
    keep &= (steps[:, 0] - steps[:, 1]) % 3 == 1
    chosen = NeighbourPairs(
        pairs.source[keep], pairs.target[keep], pairs.cell[keep], pairs.displacement[keep]
    )
    return chosen, np.full(int(keep.sum()), 1j / (3 * np.sqrt(3.0)))


def _kekule_pattern(crystal: TwistedBilayer, bonds: NeighbourPairs) -> NDArray[np.float64]:
    """Bond pattern of unit root mean square with Fourier weight at the graphene K points."""
    middle = crystal.positions[bonds.source, :2] + bonds.displacement[:, :2] / 2
    pattern: NDArray[np.float64] = np.zeros(len(middle))
    for layer in (0, 1):
        inside = crystal.layer[bonds.source] == layer
        pattern[inside] = np.cos(middle[inside] @ kekule_vectors(crystal, layer).T).sum(axis=1)
    return np.asarray(pattern / np.sqrt(np.mean(pattern**2)), dtype=float)
