"""Where the atoms of the simulated cell lie in a scan, from the Bragg peaks of the scan."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from stm_core.data.calibration import HEXAGON, BraggLattice, find_graphene, find_moire
from stm_core.data.instruments import STMMap
from stm_core.imaging import graphene_vectors
from stm_core.simulation import GRAPHENE_LATTICE, TwistedBilayer

_GRID = 48  # points per direction among which an extremum is first looked for


@dataclass(frozen=True, eq=False)
class Registration:
    """Where a simulated cell lies in a scan.

    Attributes
    ----------
    graphene : BraggLattice or None
        None where the atoms are not resolved.
    moire : BraggLattice
    affine : numpy float array, shape (2, 2)
        Takes positions in the cell to the scan.
    mirrored : bool
        Whether the twist is the other way round than in the cell. Without resolved atoms it is not known and
        taken as the cell's.
    corners : numpy float array, shape (n, 2)
        Where the corners of the moiré cells lie, in Å from the middle of the scan; AA regions.
    sixfold : float
        How much more the moiré deviates from its mean at the corners than at the centres of the AB and BA
        regions: ½ for a sixfold pattern, and near 0 for one that does not tell which are the AA regions.
    """

    graphene: BraggLattice | None
    moire: BraggLattice
    affine: NDArray[np.float64]
    mirrored: bool
    corners: NDArray[np.float64]
    sixfold: float

    @property
    def twist(self) -> float:
        """Twist angle in radians from the ratio of the two periods, 2 sin(θ/2) = a/L."""
        shrinking = self.graphene.scale if self.graphene else 1.0
        return float(2 * np.arcsin(min(GRAPHENE_LATTICE * shrinking / (2 * self.moire.constant), 1.0)))


def register(scan: STMMap, cell: TwistedBilayer, topography: STMMap | None = None) -> Registration:
    """Find a simulated cell in a scan.

    Graphene's Bragg peaks give the map from the cell to the scan, and the places of its hexagons; the moiré
    satellites give the corners of the moiré cells, each then moved onto the nearest hexagon, which is
    what they are in the simulation. Without resolved atoms the satellites alone give map and corners.

    AA regions are where the moiré deviates most from its mean. A state that breaks the sixfold symmetry
    can be brightest elsewhere (`Registration.sixfold`); a topography, where AA regions stand out, then helps,
    unless it was recorded at constant height and shows no moiré itself.

    Parameters
    ----------
    scan : STMMap
        Levelled.
    cell : TwistedBilayer
    topography : STMMap or None
        Levelled, of the same place and size.

    Returns
    -------
    Registration

    Raises
    ------
    ValueError
        If no moiré lattice stands out of the noise.
    """
    guide = topography and _resolved(topography, find_moire)
    moire = guide or find_moire(scan)
    graphene = _resolved(scan, find_graphene)
    corner = _extremum(moire, np.positive if guide else np.abs)
    corners = _sites(moire, scan, corner)
    others = corner + np.array([[1.0], [2.0]]) * (np.array([1, 2]) @ moire.lattice) / 3
    sixfold = 1 - np.abs(_wave(moire, others)).max() / abs(_wave(moire, corner))
    if graphene is None:
        affine = np.linalg.inv(moire.reciprocal) @ _counter_clockwise(_shell(cell))[:2]
        return Registration(None, moire, affine, False, corners, float(sixfold))
    fits = {mirrored: _affine(graphene, cell, mirrored) for mirrored in (False, True)}
    mirrored = min(fits, key=lambda guess: _moire_mismatch(fits[guess], moire, cell))
    hexagon = _extremum(graphene, np.negative)  # no atom there, so the darkest place
    steps = np.round((corners - hexagon) @ np.linalg.inv(graphene.lattice))
    corners = hexagon + steps @ graphene.lattice
    return Registration(graphene, moire, fits[mirrored], mirrored, corners, float(sixfold))


def _resolved(scan: STMMap, find: Callable[[STMMap], BraggLattice]) -> BraggLattice | None:
    try:
        return find(scan)
    except ValueError:
        return None


def _counter_clockwise(vectors: NDArray) -> NDArray[np.float64]:
    return np.asarray(vectors[np.argsort(np.arctan2(vectors[:, 1], vectors[:, 0]))], dtype=float)


def _shell(cell: TwistedBilayer) -> NDArray[np.float64]:
    """The six shortest moiré reciprocal vectors of a cell, (6, 2) in 1/Å."""
    first, second = cell.reciprocal
    third = second - first if first @ second > 0 else first + second
    return np.array([first, second, third, -first, -second, -third])


def _affine(graphene: BraggLattice, cell: TwistedBilayer, mirrored: bool) -> NDArray[np.float64]:
    """Map from the cell, or its mirror image, to the scan under which their Bragg peaks coincide."""
    mirror = np.diag([1.0, -1.0 if mirrored else 1.0])
    peaks = _counter_clockwise(graphene_vectors(cell, "top")["Bragg"] @ mirror)
    return np.asarray(np.linalg.inv(graphene.reciprocal) @ peaks[:2] @ mirror, dtype=float)


def _moire_mismatch(affine: NDArray, moire: BraggLattice, cell: TwistedBilayer) -> float:
    """Angle in radians between the satellites that a map predicts and those of the scan."""
    (predicted, *_), found = _shell(cell) @ np.linalg.inv(affine), HEXAGON @ moire.reciprocal
    turns = [np.angle((complex(*k) / complex(*predicted)) ** 6) / 6 for k in found]
    return float(np.mean(np.abs(turns)))


def _wave(lattice: BraggLattice, places: NDArray) -> NDArray[np.float64]:
    """Deviation from the mean at places (…, 2), as far as the first shell of a lattice makes it."""
    phases = places @ (HEXAGON @ lattice.reciprocal).T
    return np.asarray(2 * (np.exp(1j * phases) @ lattice.amplitudes).real, dtype=float)


def _extremum(lattice: BraggLattice, wanted: np.ufunc) -> NDArray[np.float64]:
    """Where the first shell of a lattice is largest, in what `wanted` makes of its deviation; (2,) in Å."""
    shares = np.arange(_GRID) / _GRID
    places = np.stack(np.meshgrid(shares, shares), axis=-1).reshape(-1, 2) @ lattice.lattice
    start = places[np.argmax(wanted(_wave(lattice, places)))]
    size = wanted(_wave(lattice, start))
    return np.asarray(minimize(lambda place: -wanted(_wave(lattice, place)) / size, start).x, dtype=float)


def _sites(lattice: BraggLattice, scan: STMMap, origin: NDArray) -> NDArray[np.float64]:
    """All lattice points, (n, 2), whose cell may reach into the scan."""
    vectors = lattice.lattice
    half = np.array(scan.size) / 2 + 2 * np.linalg.norm(vectors, axis=1).max()
    reach = np.ceil((np.abs(lattice.reciprocal) @ half) / (2 * np.pi)).astype(int) + 1
    steps = np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij")
    sites = origin + np.stack(steps, axis=-1).reshape(-1, 2) @ vectors
    return sites[(np.abs(sites) < half).all(axis=1)]
