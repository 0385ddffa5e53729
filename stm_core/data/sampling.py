"""From a registered scan to what a model reads: the LDOS on the simulated atoms, and its picture.

A simulated picture is the transform of one moiré cell of atoms. So the scan is not transformed itself: the
LDOS is read where the atoms of that cell lie in it, averaged over all moiré cells. Rotation, strain, scale
and drift drop out, and the picture is made as in training.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from stm_core.data.calibration import BraggLattice
from stm_core.data.images import ldos_image
from stm_core.data.instruments import STMMap
from stm_core.data.registration import Registration
from stm_core.imaging import decay_constant, layer_mask
from stm_core.simulation import GRAPHENE_LATTICE, TwistedBilayer

_TALLEST = 20.0  # Å of topography: terraces and dirt, no layer of carbon
_LEAST_DOUBT = 1e-6  # of the squared response to a uniform layer: no scan is better than this


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
    (x, y), (dx, dy) = scan.axes, scan.pixel
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
