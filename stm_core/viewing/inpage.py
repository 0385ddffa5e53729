"""Panels that a published page runs by itself, without Python: what they are given, and how they get there.

``book/_static/stm`` holds the scripts that draw them.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import numpy as np
import xarray as xr
from IPython.display import HTML
from numpy.typing import ArrayLike, NDArray

from stm_core.data import ldos_image
from stm_core.viewing.display import MAP, k_extent
from stm_core.viewing.scene import FLOOR, Scene


def packed(values: ArrayLike, kind: Literal["float32", "float64"] = "float32") -> dict[str, Any]:
    """Numbers as ``{"shape": …, kind: base64 of little-endian values}``."""
    array = np.asarray(values, dtype=np.dtype(kind).newbyteorder("<"))
    return {"shape": list(array.shape), kind: base64.b64encode(array.tobytes()).decode()}


def packed_levels(values: ArrayLike) -> dict[str, Any]:
    """Numbers from 0 to 1 on 256 levels as ``{"shape": …, "levels": base64 of bytes}``."""
    array = np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
    return {"shape": list(array.shape), "levels": base64.b64encode(array.tobytes()).decode()}


@dataclass(frozen=True, eq=False)
class PageStates:
    """The states of lowest energy that a panel of the page shows.

    Attributes
    ----------
    U : numpy float array, shape (n,)
        Ascending, in eV.
    images : numpy float32 array, shape (n, size, size)
        |F(k)|/|F(0)|, as `image_set` makes them.
    ldos : numpy float array, shape (n, N)
        On the atoms of the top layer, in 1/eV.
    positions : numpy float array, shape (N, 2)
        In Å.
    lattice : numpy float array, shape (2, 2)
        Moiré vectors as rows, in Å.
    bias : float
        In eV.
    """

    U: NDArray[np.float64]
    images: NDArray[np.float32]
    ldos: NDArray[np.float64]
    positions: NDArray[np.float64]
    lattice: NDArray[np.float64]
    bias: float

    @classmethod
    def of(
        cls,
        dataset: xr.Dataset,
        bias: float,
        filling: float = 0.0,
        size: int = 64,
        n_k: int = 1003,
        most: int = 31,
    ) -> PageStates:
        """States of a dataset at its bias nearest to `bias`; of more than `most`, evenly spaced ones.

        Raises
        ------
        ValueError
            If the dataset does not have this filling.
        """
        scene = Scene.build(dataset, filling=filling, size=size, n_k=n_k)
        chosen = np.unique(np.linspace(0, scene.U.size - 1, min(scene.U.size, most)).round().astype(int))
        position = scene.nearest_bias(bias)
        maps = scene.ldos[chosen, position]
        images = np.stack([ldos_image(scene.grid, one, size=size) for one in maps])
        lattice = np.reshape(dataset.attrs["lattice"], (2, 2))
        return cls(scene.U[chosen], images, maps, scene.positions, lattice, float(scene.bias[position]))

    def subset(self, index: ArrayLike) -> PageStates:
        """The chosen states, in the order of `index`."""
        rows = np.asarray(index)
        return PageStates(
            self.U[rows], self.images[rows], self.ldos[rows], self.positions, self.lattice, self.bias
        )

    def data(self, readings: ArrayLike | None = None, pictures: bool = True) -> dict[str, Any]:
        """JSON values for a panel: the states, what a reader makes of each, and how to draw them.

        Parameters
        ----------
        readings : array, shape (n,), optional
            U in eV.
        pictures : bool
            Send the transforms too, on 256 levels of four decades; not for a panel that transforms by itself.
        """
        decades = 1 - np.log10(np.maximum(self.images, FLOOR)) / np.log10(FLOOR)
        content = {
            "U": self.U.round(5).tolist(),
            "x": packed(self.positions[:, 0]),
            "y": packed(self.positions[:, 1]),
            "ldos": packed(self.ldos),
            "lattice": self.lattice.tolist(),
            "window": [k_extent()[1], k_extent()[3]],
            "palette": packed(255 * matplotlib.colormaps[MAP](np.arange(256))[:, :3]),
            "highest": float(np.ceil(self.U.max())),
        }
        if pictures:
            content["pictures"] = packed_levels(decades)
        if readings is not None:
            content["readings"] = np.asarray(readings, dtype=float).round(4).tolist()
        return content


def in_page(kind: str, data: Mapping[str, Any], alternative: str) -> HTML:
    """One of the page's own panels, to be shown by a notebook or glued into another page.

    Parameters
    ----------
    kind : {"road", "guess", "try"}
        Name of the panel in ``book/_static/stm``.
    data : mapping
        JSON values for it.
    alternative : str
        What the panel shows, in words: for those who cannot see it, and for JupyterLab.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    # Inside a script element only "</" could end it early.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    words = html.escape(alternative)
    return HTML(
        f'<div class="stm-panel" data-stm="{kind}" role="group" aria-label="{words}"><p>{words}</p>'
        f'<script type="application/json">{text}</script></div>'
    )
