"""From a scan to what a model reads: the LDOS on the atoms of the simulated cell, and its picture.

A simulated picture is the transform of one moiré cell of atoms. So the scan is not transformed itself: its
Bragg peaks say where in the scan each atom of that cell lies, and the LDOS is read there, averaged over
all moiré cells of the scan. Rotation, strain, scale and drift drop out,
and the picture is made as in training.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.optimize import minimize

from stm_core.data.calibration import HEXAGON, BraggLattice, axes, find_graphene, find_moire
from stm_core.data.images import ldos_image
from stm_core.data.instruments import STMMap
from stm_core.imaging import decay_constant, graphene_vectors, layer_mask
from stm_core.simulation import GRAPHENE_LATTICE, TwistedBilayer

_TALLEST = 20.0  # Å of topography: terraces and dirt, no layer of carbon
_LEAST_DOUBT = 1e-6  # of the squared response to a uniform layer: no scan is better than this
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
    """

    graphene: BraggLattice | None
    moire: BraggLattice
    affine: NDArray[np.float64]
    mirrored: bool
    corners: NDArray[np.float64]

    @property
    def twist(self) -> float:
        """Twist angle in radians from the ratio of the two periods, 2 sin(θ/2) = a/L."""
        shrinking = self.graphene.scale if self.graphene else 1.0
        return float(2 * np.arcsin(min(GRAPHENE_LATTICE * shrinking / (2 * self.moire.constant), 1.0)))


def as_ldos(scan: STMMap, work_function: float = 4.5) -> STMMap:
    """A constant-current topography turned into the LDOS at constant height, others as they are.

    The tip follows a surface of constant current, so that LDOS ∝ exp(2κz), κ = √(2mΦ)/ħ (Tersoff and
    Hamann, Phys. Rev. B 31, 805 (1985), eq. 8), integrated from the Fermi level to the bias.

    Parameters
    ----------
    scan : STMMap
        Levelled. One whose unit is m is a topography.
    work_function : float
        Φ in eV.

    Returns
    -------
    STMMap

    Raises
    ------
    ValueError
        If the topography varies by more than 20 Å, which is no clean bilayer.
    """
    if scan.unit != "m":
        return scan
    height = 1e10 * (scan.values - scan.values.mean())
    if np.ptp(height) > _TALLEST:
        raise ValueError(
            f"{scan.source.name or 'the scan'} varies by {np.ptp(height):.3g} Å; "
            f"a topography within {_TALLEST:g} Å is needed."
        )
    return replace(scan, values=np.exp(2 * decay_constant(work_function) * height), unit="")


def register(scan: STMMap, cell: TwistedBilayer) -> Registration:
    """Find a simulated cell in a scan.

    Graphene's Bragg peaks give the map from the cell to the scan, and the places of its hexagons; the moiré
    satellites give the corners of the moiré cells, each then moved onto the nearest hexagon, which is
    what they are in the simulation. Without resolved atoms the satellites alone give map and corners.

    Parameters
    ----------
    scan : STMMap
        Levelled.
    cell : TwistedBilayer

    Returns
    -------
    Registration

    Raises
    ------
    ValueError
        If no moiré lattice stands out of the noise.
    """
    moire = find_moire(scan)
    try:
        graphene = find_graphene(scan)
    except ValueError:
        graphene = None
    corners = _sites(moire, scan, _extremum(moire, darkest=False))
    if graphene is None:
        affine = np.linalg.inv(moire.reciprocal) @ _counter_clockwise(_shell(cell))[:2]
        return Registration(None, moire, affine, False, corners)
    fits = {mirrored: _affine(graphene, cell, mirrored) for mirrored in (False, True)}
    mirrored = min(fits, key=lambda guess: _moire_mismatch(fits[guess], moire, cell))
    hexagon = _extremum(graphene, darkest=True)
    steps = np.round((corners - hexagon) @ np.linalg.inv(graphene.lattice))
    return Registration(graphene, moire, fits[mirrored], mirrored, hexagon + steps @ graphene.lattice)


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


def _extremum(lattice: BraggLattice, darkest: bool) -> NDArray[np.float64]:
    """Where the first shell of a lattice is darkest, or where it deviates most, (2,) in Å.

    Graphene is darkest in the middle of its hexagons. The AA regions are the points of the moiré lattice
    with a sixfold axis, the brightest or the darkest according to the bias.
    """
    k = HEXAGON @ lattice.reciprocal

    def brightness(place: NDArray) -> NDArray[np.float64]:
        wave = (np.exp(1j * place @ k.T) @ lattice.amplitudes).real
        return -wave if darkest else np.abs(wave)

    shares = np.arange(_GRID) / _GRID
    places = np.stack(np.meshgrid(shares, shares), axis=-1).reshape(-1, 2) @ lattice.lattice
    start = places[np.argmax(brightness(places))]
    size = brightness(start)
    return np.asarray(minimize(lambda place: -brightness(place) / size, start).x, dtype=float)


def _sites(lattice: BraggLattice, scan: STMMap, origin: NDArray) -> NDArray[np.float64]:
    """All lattice points, (n, 2), whose cell may reach into the scan."""
    vectors = lattice.lattice
    half = np.array(scan.size) / 2 + 2 * np.linalg.norm(vectors, axis=1).max()
    reach = np.ceil((np.abs(lattice.reciprocal) @ half) / (2 * np.pi)).astype(int) + 1
    steps = np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij")
    sites = origin + np.stack(steps, axis=-1).reshape(-1, 2) @ vectors
    return sites[(np.abs(sites) < half).all(axis=1)]


def tip_height(scan: STMMap, graphene: BraggLattice, work_function: float = 4.5) -> float:
    """Height of the tip above the atoms that explains how faintly they show.

    Of a layer whose atoms are alike, the first Bragg peaks of the LDOS are half its mean; what the scan
    has less is the `stm_core.imaging.form_factor` of the tip's height. Other blur counts as height.

    Parameters
    ----------
    scan : STMMap
        Levelled, proportional to the LDOS.
    graphene : BraggLattice
        Of this scan.
    work_function : float
        Φ in eV.

    Returns
    -------
    float
        In Å; 0 where the peaks are no fainter than at the atoms.
    """
    slowest = 2 * decay_constant(work_function)
    length = 4 * np.pi / (np.sqrt(3) * GRAPHENE_LATTICE)
    left = 2 * np.abs(graphene.amplitudes).mean() / abs(scan.values.mean())
    return float(max(-np.log(left), 0.0) / (np.hypot(slowest, length) - slowest))


def _spread(separation: NDArray, height: float, work_function: float = 4.5) -> NDArray[np.float64]:
    """Density in 1/Å² at the tip of an atom (…) Å away in the plane: the transform of `form_factor`."""
    slowest, distance = 2 * decay_constant(work_function), np.hypot(separation, height)
    decay = np.exp(-slowest * (distance - height))
    return np.asarray(height * (1 + slowest * distance) * decay / (2 * np.pi * distance**3), dtype=float)


def _sharpened(ldos: NDArray, variance: float, height: float, cell: TwistedBilayer) -> NDArray[np.float64]:
    """LDOS of atoms from the LDOS at the tip above them, the likeliest if it varies by about its mean."""
    xy = cell.positions[layer_mask(cell.layer, "top"), :2]
    separation = (xy[:, None] - xy) @ np.linalg.inv(cell.lattice)
    separation = (separation - np.round(separation)) @ cell.lattice
    blur = _spread(np.linalg.norm(separation, axis=-1), height)
    mean = ldos.mean() / blur.sum(axis=1).mean()
    doubt = max(variance / mean**2, _LEAST_DOUBT * float(blur.sum(axis=1).mean()) ** 2)
    deviation = ldos - mean * blur.sum(axis=1)
    gain = np.linalg.solve(blur @ blur + doubt * np.eye(len(xy)), deviation)
    return np.asarray(mean + blur @ gain, dtype=float)


def cell_ldos(scan: STMMap, registration: Registration, cell: TwistedBilayer) -> NDArray[np.float64]:
    """LDOS on the top layer's atoms of a cell, read from a scan.

    The LDOS above each atom is averaged over all moiré cells. Where the atoms are resolved, the tails of
    their neighbours are then taken out, for the `tip_height` that the scan shows, with as much caution
    as the differences between cells call for.

    Parameters
    ----------
    scan : STMMap
        Levelled, proportional to the LDOS.
    registration : Registration
        Of this scan and cell.
    cell : TwistedBilayer

    Returns
    -------
    numpy float array, shape (N_top,)
        Proportional to 1/eV.

    Raises
    ------
    ValueError
        If an atom of the cell lies in no moiré cell of the scan, or the scan's mean is zero.
    """
    (x, y), (dx, dy) = axes(scan), scan.pixel
    if not scan.values.mean():
        raise ValueError(f"{scan.source.name or 'the scan'} has a mean of zero, so it is no LDOS.")
    xy = cell.positions[layer_mask(cell.layer, "top"), :2] @ registration.affine.T
    places = registration.corners[:, None] + xy
    rows, columns = (places[..., 1] - y[0]) / dy, (places[..., 0] - x[0]) / dx
    inside = (rows >= 0) & (rows <= len(y) - 1) & (columns >= 0) & (columns <= len(x) - 1)
    count = inside.sum(axis=0)
    if not count.all():
        raise ValueError(
            f"{scan.source.name or 'the scan'} is {scan.size[0]:.0f} x {scan.size[1]:.0f} Å, too small for "
            f"the moiré cell of {np.linalg.norm(cell.lattice[0]):.0f} Å that the model knows."
        )
    values = np.zeros(inside.shape)
    values[inside] = map_coordinates(scan.values, [rows[inside], columns[inside]], order=3, mode="nearest")
    ldos = values.sum(axis=0) / count
    height = tip_height(scan, registration.graphene) if registration.graphene else 0.0
    if not height:
        return np.asarray(ldos, dtype=float)
    variance = (inside * (values - ldos) ** 2).sum() / max((count - 1).sum(), 1) / count.mean()
    return _sharpened(ldos, float(variance), height, cell)


def scan_image(
    scan: STMMap, registration: Registration, cell: TwistedBilayer, size: int = 64, style: str = "linear"
) -> NDArray[np.float32]:
    """Picture of a scan, made as `image_set` makes those of simulated samples.

    Parameters
    ----------
    scan, registration, cell
        As in `cell_ldos`.
    size, style
        As in `stm_core.imaging.render`.

    Returns
    -------
    numpy float32 array, shape (size, size)

    Raises
    ------
    ValueError
        As `cell_ldos` and `stm_core.imaging.render`.
    """
    xy = cell.positions[layer_mask(cell.layer, "top"), :2] / GRAPHENE_LATTICE
    return ldos_image(xy, cell_ldos(scan, registration, cell), size, style)
