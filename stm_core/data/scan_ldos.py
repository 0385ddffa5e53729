"""What a model reads of a microscope's file: every step to the LDOS on atoms, told in the log."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_core.data.calibration import level
from stm_core.data.images import ldos_image
from stm_core.data.instruments import STMMap, read_stm
from stm_core.data.registration import Registration, register
from stm_core.data.sampling import as_ldos, cell_ldos, tip_height
from stm_core.imaging import layer_mask
from stm_core.simulation import GRAPHENE_LATTICE, TwistedBilayer

logger = logging.getLogger(__name__)

_CLEAR = 0.25  # half of what a sixfold pattern has
_SAME_TWIST, _LIKE_TWIST = 0.03, 0.2  # relative: within a scanner's error; beyond what a model can read


@dataclass(frozen=True, eq=False)
class ScanLDOS:
    """LDOS that was read from a microscope's file.

    Attributes
    ----------
    xy : numpy float array, shape (N_top, 2)
        Atoms of the cell's top layer, in units of a.
    ldos : numpy float array, shape (N_top,)
        Proportional to 1/eV.
    bias : float
        In V; NaN if the file does not say.
    doubts : tuple of str
        What speaks against the cell that was found, a sentence each.
    """

    xy: NDArray[np.float64]
    ldos: NDArray[np.float64]
    bias: float
    doubts: tuple[str, ...]


def read_scan_ldos(
    path: str | Path,
    cell: TwistedBilayer,
    channel: str | None = None,
    bias: float | None = None,
    width: float | None = None,
) -> ScanLDOS:
    """LDOS on a cell's atoms from a microscope's file, with every step and what it found logged.

    The scan is levelled by a plane, a topography turned into LDOS, and the cell found in it, with the help of
    the file's topography where another channel is read.

    Parameters
    ----------
    path, channel, bias, width
        As in `read_stm`.
    cell : TwistedBilayer

    Returns
    -------
    ScanLDOS

    Raises
    ------
    ValueError
        As `read_stm`, `as_ldos`, `register` and `cell_ldos`, and if the twist differs from the cell's by
        more than a fifth.
    ImportError
        As `read_stm`.
    """
    scan = read_stm(path, channel, bias, width)
    logger.info(
        "%s: channel %s%s, %d x %d pixels over %.0f x %.0f Å, levelled by a plane",
        scan.source.name,
        scan.channel,
        "" if np.isnan(scan.bias) else f" at {scan.bias:g} V",
        *scan.values.shape[::-1],
        *scan.size,
    )
    ldos = as_ldos(level(scan))
    found = register(ldos, cell, _topography(scan, width))
    doubts = _doubts(found, cell)
    _tell(ldos, found, doubts)
    if abs(found.twist / cell.angle - 1) > _LIKE_TWIST:
        raise ValueError(
            f"{scan.source.name} shows a twist of {np.rad2deg(found.twist):.2f}°, "
            f"too far from the {np.rad2deg(cell.angle):.2f}° that the model knows."
        )
    xy = cell.positions[layer_mask(cell.layer, "top"), :2] / GRAPHENE_LATTICE
    return ScanLDOS(xy, cell_ldos(ldos, found, cell), scan.bias, doubts)


def read_scan_image(
    path: str | Path,
    cell: TwistedBilayer,
    size: int = 64,
    style: str = "linear",
    channel: str | None = None,
    bias: float | None = None,
    width: float | None = None,
) -> NDArray[np.float32]:
    """Picture of a microscope's file, made as `image_set` makes those of simulated samples.

    Parameters
    ----------
    path, cell, channel, bias, width
        As in `read_scan_ldos`.
    size, style
        As in `scan_image`.

    Returns
    -------
    numpy float32 array, shape (size, size)

    Raises
    ------
    ValueError, ImportError
        As `read_scan_ldos` and `stm_core.imaging.render`.
    """
    scan = read_scan_ldos(path, cell, channel, bias, width)
    return ldos_image(scan.xy, scan.ldos, size, style)


def _topography(scan: STMMap, width: float | None) -> STMMap | None:
    """The topography recorded with a scan of another channel, if it covers the same lines."""
    if scan.unit == "m" or scan.topography is None:
        return None
    topography = read_stm(scan.source, channel=scan.topography, width=width)
    return level(topography) if topography.values.shape == scan.values.shape else None


def _doubts(found: Registration, cell: TwistedBilayer) -> tuple[str, ...]:
    doubts = []
    if found.graphene is None:
        doubts.append("the atoms are not resolved; they are placed by the moiré lattice alone")
    if abs(found.twist / cell.angle - 1) > _SAME_TWIST:
        doubts.append(f"the model knows a twist of {np.rad2deg(cell.angle):.2f}° only")
    if found.sixfold < _CLEAR:
        doubts.append("the pattern has no sixfold centre, so its AA regions may be mistaken")
    return tuple(doubts)


def _tell(scan: STMMap, found: Registration, doubts: tuple[str, ...]) -> None:
    name, graphene = scan.source.name, found.graphene
    if graphene:
        logger.info(
            "%s: graphene's lattice at %.2f°, scale %.4f, strain %+.2f %% and %+.2f %%, tip %.1f Å above",
            name,
            np.rad2deg(graphene.angle),
            graphene.scale,
            *(100 * (1 + strain) / graphene.scale - 100 for strain in graphene.strain),
            tip_height(scan, graphene),
        )
    logger.info(
        "%s: moiré period %.1f Å, twist %.2f°%s",
        name,
        found.moire.constant,
        np.rad2deg(found.twist),
        ", the other way round than the model's" if found.mirrored else "",
    )
    for doubt in doubts:
        logger.warning("%s: %s", name, doubt)
