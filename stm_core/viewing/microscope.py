"""A microscope over a state: what its imperfections do to the LDOS that is read above each atom."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from stm_core.imaging import Imperfections, SurfaceLDOS, layer_mask

CLEAN = "none"
STRENGTHS = (CLEAN, "mild", "strain", "noisy")
"""Days at the microscope, from none of its imperfections to many."""

_PIXELS, _PIXEL = 192, 0.6  # of the scan, and Å between them: several moiré cells


@dataclass(frozen=True, eq=False)
class Microscope:
    """Scans states of one cell and reads the LDOS above every atom of the top layer.

    Attributes
    ----------
    cell : TwistedBilayer
    places : numpy float array, shape (2, n_cells, N_top)
        Row and column of every atom in the scan, in pixels.
    """

    cell: Any
    places: NDArray[np.float64]

    @classmethod
    def over(cls, cell: Any) -> "Microscope":
        """A scan about the rotation axis of a cell, of every moiré cell that lies wholly in it."""
        xy = cell.positions[layer_mask(cell.layer, "top"), :2]
        half = (_PIXELS - 1) / 2 * _PIXEL
        reach = np.arange(-9, 10)
        corners = np.stack(np.meshgrid(reach, reach), axis=-1).reshape(-1, 2) @ cell.lattice
        atoms = corners[:, None] + xy
        inside = (np.abs(atoms) <= half).all(axis=(1, 2))
        places = (atoms[inside] + half) / _PIXEL
        return cls(cell, np.moveaxis(places[..., ::-1], -1, 0))

    def read(self, ldos: NDArray, strength: str, seed: int = 0) -> NDArray[np.float64]:
        """The LDOS (N_top,) in 1/eV that a scan with imperfections shows.

        The scan is taken with and without them. Above each atom the ratio of the two, averaged over the
        moiré cells, changes its LDOS, so that the blur of the tip's height, which no network has met, drops
        out.

        Parameters
        ----------
        ldos : array, shape (N_top,)
        strength : str
            One of STRENGTHS.
        seed : int
            Of the random numbers: the same seed is the same day.

        Raises
        ------
        ValueError
            If the strength is unknown.
        """
        if strength == CLEAN:
            return ldos
        if strength not in STRENGTHS:
            raise ValueError(f"the imperfections are {strength!r}; accepted are {', '.join(STRENGTHS)}.")
        half = (_PIXELS - 1) / 2 * _PIXEL
        clean = SurfaceLDOS.above(self.cell, ldos).scan(_PIXELS, _PIXEL, origin=(-half, -half))
        noisy = Imperfections.preset(strength)(clean, np.random.default_rng(seed))
        seen, known = (
            map_coordinates(scan.values, self.places, order=1, mode="nearest").mean(axis=0)
            for scan in (noisy, clean)
        )
        return np.asarray(ldos * seen / known, dtype=float)
