"""Symmetry-breaking fields from which the self-consistent field starts."""

import numpy as np
from numpy.typing import NDArray

from .hopping import NeighbourPairs, neighbour_pairs
from .lattice import BOND_LENGTH, GRAPHENE_LATTICE, Crystal, TwistedBilayer

STARTS = ("spin", "sublattice", "valley", "random")
"""Kinds of start, chosen by the seed modulo four."""

FIELD_STRENGTH = 0.1
"""Typical size of a starting field, in eV: of the order of the gaps it may open."""


def starting_field(crystal: Crystal, seed: int) -> tuple[str, NDArray[np.complex128]]:
    """A random field of a definite kind that breaks the symmetry of a crystal.

    ``seed % 4`` picks the kind: staggered spin, sublattice charge, valley coherence (a complex √3×√3
    pattern of bonds; on crystals without a twist the random kind), or independent random
    potentials for each spin and atom. The seed also draws signs, strengths, phases and a weak disorder that
    lifts what symmetry remains.

    Parameters
    ----------
    crystal : Crystal
        N atoms.
    seed : int
        Any non-negative integer.

    Returns
    -------
    kind : str
        One of ``STARTS``.
    field : (2, N, N) complex array
        Hermitian field for each spin, in eV, real where the kind keeps time reversal.
    """
    if seed < 0:
        raise ValueError(f"the seed must be a non-negative integer, not {seed}")
    rng = np.random.default_rng(seed)
    kind = STARTS[seed % len(STARTS)]
    if kind == "valley" and not isinstance(crystal, TwistedBilayer):
        kind = "random"
    n = crystal.n_atoms
    strength = FIELD_STRENGTH * rng.uniform(0.5, 1.5) * rng.choice([-1, 1])
    staggered = strength * (1.0 - 2.0 * crystal.sublattice)
    disorder = FIELD_STRENGTH * rng.normal(size=(2, n)) * (1.0 if kind == "random" else 0.01)
    disorder -= disorder.mean(axis=1, keepdims=True)  # so that no start favours one spin as a whole
    field = np.zeros((2, n, n), dtype=complex)
    field[:, np.arange(n), np.arange(n)] = disorder
    if kind == "spin":
        field += np.array([1, -1])[:, None, None] * np.diag(staggered)
    elif kind == "sublattice":
        field += np.diag(staggered)
    elif kind == "valley" and isinstance(crystal, TwistedBilayer):
        field += strength * _kekule_bonds(crystal, rng.uniform(0, 2 * np.pi))
    return kind, field


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
    turn = (-1 if layer == 0 else 1) * crystal.angle / 2
    angles = turn + np.arange(6) * np.pi / 3
    corners = 4 * np.pi / (3 * GRAPHENE_LATTICE) * np.column_stack([np.cos(angles), np.sin(angles)])
    offsets = np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 3), indexing="ij"), axis=-1).reshape(-1, 2)
    result = []
    for corner in corners:
        centre = np.rint(corner @ np.linalg.inv(crystal.reciprocal)).astype(int)
        candidates = (centre + offsets) @ crystal.reciprocal
        order = np.argsort(np.linalg.norm(candidates - corner, axis=1))
        result.append(candidates[order[:3]])
    return np.concatenate(result)


def _kekule_bonds(crystal: TwistedBilayer, phase: float) -> NDArray[np.complex128]:
    """Hermitian bond pattern of unit root mean square with Fourier weight at the graphene K points."""
    bonds = intralayer_bonds(crystal)
    middle = crystal.positions[bonds.source, :2] + bonds.displacement[:, :2] / 2
    pattern = np.zeros(len(middle))
    for layer in (0, 1):
        inside = crystal.layer[bonds.source] == layer
        vectors = kekule_vectors(crystal, layer)
        pattern[inside] = np.cos(middle[inside] @ vectors.T + phase).sum(axis=1)
    pattern /= np.sqrt(np.mean(pattern**2))
    n = crystal.n_atoms
    field = np.zeros((n, n), dtype=complex)
    np.add.at(field, (bonds.source, bonds.target), pattern * np.exp(1j * phase))
    return field + field.conj().T
