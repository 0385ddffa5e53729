"""Crystals of carbon p_z orbitals: the commensurate twisted bilayer and simple references."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from .strain import strained_cell, stretch_and_turn, uniaxial

GRAPHENE_LATTICE = 2.46
"""Lattice constant of graphene, in Å."""

BOND_LENGTH = GRAPHENE_LATTICE / np.sqrt(3.0)
"""Carbon-carbon distance, in Å."""

_SAME_PLACE = 1e-6  # Å: two atoms closer than this are one atom


def _direction(angle: float) -> NDArray[np.float64]:
    return np.array([np.cos(angle), np.sin(angle)])


_GRAPHENE = GRAPHENE_LATTICE * np.array([_direction(0.0), _direction(np.pi / 3)])


@dataclass(frozen=True, eq=False)
class Crystal:
    """A two-dimensional periodic arrangement of one-orbital atoms.

    Parameters
    ----------
    positions : (N, 3) float array
        Atoms of one cell, in Å.
    lattice : (2, 2) float array
        Lattice vectors as rows, in Å.
    layer : (N,) int array
        Layer of each atom, 0 at the bottom.
    sublattice : (N,) int array
        0 for A, 1 for B.
    """

    positions: NDArray[np.float64]
    lattice: NDArray[np.float64]
    layer: NDArray[np.int64]
    sublattice: NDArray[np.int64]

    def __post_init__(self) -> None:
        n = len(self.positions)
        if np.shape(self.positions) != (n, 3) or np.shape(self.lattice) != (2, 2):
            raise ValueError("a crystal needs positions of shape (N, 3) and a lattice of shape (2, 2)")
        if np.shape(self.layer) != (n,) or np.shape(self.sublattice) != (n,):
            raise ValueError(f"layer and sublattice must have one entry for each of the {n} atoms")

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the cell."""
        return len(self.positions)

    @property
    def reciprocal(self) -> NDArray[np.float64]:
        """Reciprocal lattice vectors as rows, (2, 2) in 1/Å, with a_i · b_j = 2π δ_ij."""
        return np.asarray(2 * np.pi * np.linalg.inv(self.lattice).T, dtype=float)

    @property
    def area(self) -> float:
        """Area of the cell, in Å²."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def high_symmetry(self) -> dict[str, NDArray[np.float64]]:
        """Γ, M, K and K' of the hexagonal Brillouin zone: name -> (2,) wave vector in 1/Å."""
        b1, b2 = self.reciprocal
        if b1 @ b2 < 0:
            b2 = b1 + b2
        return {"Γ": np.zeros(2), "M": b1 / 2, "K": (b1 + b2) / 3, "K'": -(b1 + b2) / 3}

    def k_grid(self, nk: int) -> NDArray[np.float64]:
        """Γ-centred uniform grid, (nk², 2) in 1/Å, the first axis running slowest."""
        if nk < 1:
            raise ValueError(f"nk must be a positive number of k-points per direction, not {nk}")
        return fractions(nk) @ self.reciprocal / nk

    def k_path(
        self, names: Sequence[str] = ("Γ", "K", "M", "Γ"), n: int = 20
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], list[tuple[str, float]]]:
        """Straight lines through high-symmetry points.

        Parameters
        ----------
        names : sequence of str
            Keys of ``high_symmetry``.
        n : int
            Steps on each line.

        Returns
        -------
        ks : (n_k, 2) float array
            Wave vectors in 1/Å.
        distance : (n_k,) float array
            Length along the path in 1/Å.
        ticks : list of (str, float)
            Each name with its place along the path.
        """
        corners = [self.high_symmetry[name] for name in names]
        lines = [a + (b - a) * np.linspace(0, 1, n, endpoint=False)[:, None] for a, b in pairwise(corners)]
        ks = np.concatenate([*lines, corners[-1:]])
        distance = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(ks, axis=0), axis=1))])
        return ks, distance, list(zip(names, distance[::n].tolist(), strict=True))

    @cached_property
    def point_group(self) -> dict[str, NDArray[np.int64]]:
        """The operations of D6 that are symmetries, name -> (N,) permutation of the atoms.

        All twelve for a twisted bilayer without strain; with heterostrain the identity and the half turn.
        """
        operations = {}
        for name, operation in hexagonal_group().items():
            try:
                operations[name] = self.permutation(operation)
            except ValueError:  # not a symmetry
                continue
        return operations

    def permutation(self, operation: ArrayLike) -> NDArray[np.int64]:
        """Where a point operation about the origin takes each atom.

        Parameters
        ----------
        operation : (3, 3) float array
            Orthogonal matrix acting on positions.

        Returns
        -------
        (N,) int array
            ``p`` with ``operation @ positions[j]`` equal to ``positions[p[j]]`` up to the lattice.

        Raises
        ------
        ValueError
            If the operation is not a symmetry of the crystal.
        """
        images = self.positions @ np.asarray(operation, dtype=float).T
        tree = cKDTree(self._torus(self.positions))
        distance, target = tree.query(self._torus(images))
        if distance.max() > 1e-5 or len(np.unique(target)) != self.n_atoms:
            raise ValueError("the operation is not a symmetry of this crystal")
        return target

    def _torus(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Embed positions so that lattice translations coincide: (N, 5), for nearest-point queries."""
        angle = 2 * np.pi * positions[:, :2] @ np.linalg.inv(self.lattice)
        return np.column_stack([np.cos(angle), np.sin(angle), positions[:, 2]])


@dataclass(frozen=True, eq=False)
class TwistedBilayer(Crystal):
    """Commensurate twisted bilayer graphene, rotated from AA stacking about a hexagon centre.

    The layers turn by ∓θ/2, so that the cell keeps the whole point group D6 of the moiré lattice,
    with cos θ = (3i² + 3i + ½)/(3i² + 3i + 1) and 4(3i² + 3i + 1) atoms
    (Lopes dos Santos, Peres and Castro Neto, Phys. Rev. Lett. 99, 256802 (2007), eq. 1).

    Uniaxial heterostrain stretches the top layer by half and compresses the bottom one by as much,
    and shrinks or widens them across by the Poisson ratio of graphene (Bi, Yuan and Fu, Phys. Rev. B
    100, 035448 (2019), eq. 1). Only a discrete set of strains fits one moiré cell, in steps of about
    θ²; the cell takes the nearest one (``strain.strained_cell``), and ``realised_strain`` and
    ``realised_twist`` say what came out. The layers may then differ in their number of atoms.

    Parameters
    ----------
    i : int
        Twist index, at least 1. The study's cell is i = 9, θ = 3.48°, 1084 atoms.
    spacing : float
        Distance between the layers in Å. 2.94 Å makes the central bands of i = 9 flat.
    heterostrain : float
        Wanted elongation of the top layer minus that of the bottom one, at most half the twist angle
        in radians.
    strain_angle : float
        Direction of the elongation from the x axis, in radians.

    Raises
    ------
    ValueError
        For a parameter outside its range, or a strain that no cell comes closer to than half of it.
    """

    i: int = 9
    spacing: float = 2.94
    heterostrain: float = 0.0
    strain_angle: float = 0.0
    positions: NDArray[np.float64] = field(init=False, repr=False)
    lattice: NDArray[np.float64] = field(init=False, repr=False)
    layer: NDArray[np.int64] = field(init=False, repr=False)
    sublattice: NDArray[np.int64] = field(init=False, repr=False)
    layer_lattices: NDArray[np.float64] = field(init=False, repr=False)
    """Primitive vectors of the bottom and the top layer as rows, (2, 2, 2) in Å."""

    def __post_init__(self) -> None:
        if self.i != int(self.i) or self.i < 1:
            raise ValueError(f"the twist index i must be a whole number of at least 1, not {self.i}")
        if not 1.0 <= self.spacing <= 10.0:
            raise ValueError(f"the layer spacing must lie between 1 and 10 Å, not {self.spacing}")
        if not abs(self.heterostrain) <= self.angle / 2 or not np.isfinite(self.strain_angle):
            raise ValueError(
                f"the heterostrain must lie within half the twist angle, ±{self.angle / 2:.4f}, along a "
                f"finite angle, not {self.heterostrain} along {self.strain_angle}"
            )
        lattice, layer_lattices = self._vectors()
        layers = [_layer_atoms(lattice, vectors) for vectors in layer_lattices]
        heights = (-self.spacing / 2, self.spacing / 2)
        positions = [
            np.column_stack([xy, np.full(len(xy), z)]) for (xy, _), z in zip(layers, heights, strict=True)
        ]
        object.__setattr__(self, "lattice", lattice)
        object.__setattr__(self, "layer_lattices", layer_lattices)
        object.__setattr__(self, "positions", np.concatenate(positions))
        object.__setattr__(self, "sublattice", np.concatenate([s for _, s in layers]))
        object.__setattr__(self, "layer", np.repeat([0, 1], [len(xy) for xy, _ in layers]))
        super().__post_init__()
        wanted = uniaxial(self.heterostrain, self.strain_angle)
        if np.linalg.norm(self.realised_strain - wanted) > np.linalg.norm(wanted) / 2 + 1e-9:
            raise ValueError(
                f"no commensurate cell of i = {self.i} comes close to a heterostrain of {self.heterostrain} "
                f"along {self.strain_angle} rad; strains come in steps of about {self.angle**2:.4f}"
            )

    @property
    def angle(self) -> float:
        """Twist angle θ of the twist index, in radians."""
        m = 3 * self.i**2 + 3 * self.i
        return float(np.arccos((m + 0.5) / (m + 1.0)))

    @property
    def realised_strain(self) -> NDArray[np.float64]:
        """Strain of the top layer minus that of the bottom one, symmetric (2, 2)."""
        bottom, top = (stretch_and_turn(_GRAPHENE, layer)[0] for layer in self.layer_lattices)
        return top - bottom

    @property
    def realised_twist(self) -> float:
        """Angle in radians by which the top layer is turned from the bottom one."""
        bottom, top = (stretch_and_turn(_GRAPHENE, layer)[1] for layer in self.layer_lattices)
        return top - bottom

    def _vectors(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Moiré vectors (2, 2) and the layers' primitive vectors (2, 2, 2), in Å."""
        length = GRAPHENE_LATTICE * np.sqrt(3 * self.i**2 + 3 * self.i + 1)
        moire = length * np.array([_direction(np.pi / 6), _direction(np.pi / 2)])
        layers = np.stack([_GRAPHENE @ rotation(side * self.angle / 2)[:2, :2].T for side in (-1, 1)])
        if self.heterostrain == 0:
            return moire, layers
        return strained_cell(moire, layers, uniaxial(self.heterostrain, self.strain_angle))


def honeycomb() -> Crystal:
    """One layer of graphene about a hexagon centre: two atoms in the primitive cell."""
    centre = _GRAPHENE.sum(axis=0) / 3
    positions = np.zeros((2, 3))
    positions[:, :2] = [centre, 2 * centre]
    return Crystal(positions, _GRAPHENE.copy(), np.zeros(2, dtype=int), np.array([0, 1]))


def fractions(nk: int) -> NDArray[np.int64]:
    """Integer pairs (m1, m2) of an nk by nk grid, (nk², 2), the first running slowest."""
    return np.stack(np.meshgrid(np.arange(nk), np.arange(nk), indexing="ij"), axis=-1).reshape(-1, 2)


def hexagonal_group() -> dict[str, NDArray[np.float64]]:
    """The point group D6 about the z axis, name -> (3, 3): six turns, then each after C2x."""
    turns = {f"C6^{n}": rotation(n * np.pi / 3) for n in range(6)}
    return turns | {f"{name} C2x": turn @ np.diag([1.0, -1.0, -1.0]) for name, turn in turns.items()}


def rotation(angle: float) -> NDArray[np.float64]:
    """Rotation about the z axis by an angle in radians, (3, 3)."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _layer_atoms(
    moire: NDArray[np.float64], lattice: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """In-plane positions (n, 2) in Å and sublattices (n,) of one layer inside the moiré cell."""
    reach = int(np.ceil(2 * np.linalg.norm(moire, axis=1).max() / GRAPHENE_LATTICE)) + 2
    cells = np.arange(-reach, reach + 1)
    points = np.stack(np.meshgrid(cells, cells, indexing="ij"), axis=-1).reshape(-1, 2) @ lattice
    centre = lattice.sum(axis=0) / 3
    xy = np.concatenate([points + centre, points + 2 * centre])
    sublattice = np.repeat([0, 1], len(points))
    # The small shift keeps atoms that sit on a cell edge from being counted twice or not at all.
    fraction = xy @ np.linalg.inv(moire) + _SAME_PLACE
    inside = np.all((fraction >= 0) & (fraction < 1), axis=1)
    return xy[inside], sublattice[inside]
