"""Pictures of scans: what each imperfection does to a map and to its transform."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stm_core.imaging import Imperfection, ScanMap, scan_transform
from stm_core.viewing.display import MAP, static_style
from stm_core.viewing.figures import draw_transform

_NM = 10.0  # Å

Change = Callable[[ScanMap, np.random.Generator], ScanMap]


def _draw_map(axes: Axes, scan: ScanMap, shown: float, limits: tuple[float, float]) -> None:
    width, height = np.array(scan.values.shape[::-1]) * scan.pixel / _NM
    half = min(shown, width, height) / 2
    image = axes.imshow(
        scan.values,
        origin="lower",
        extent=(-width / 2, width / 2, -height / 2, height / 2),
        cmap=MAP,
        vmin=limits[0],
        vmax=limits[1],
        interpolation="nearest",
    )
    axes.set(xlabel="x (nm)", ylabel="y (nm)", xlim=(-half, half), ylim=(-half, half))
    axes.figure.colorbar(image, ax=axes, label="LDOS (1/(eV Å²))")


def imperfection_gallery(
    scan: ScanMap,
    imperfections: Sequence[Imperfection] | Mapping[str, Change],
    seed: int = 0,
    shown: float = 8.0,
    n_k: int = 301,
    extent: float = 1.1,
) -> Figure:
    """A clean scan and the same scan after each of some imperfections, with their transforms.

    Parameters
    ----------
    scan : ScanMap
        In 1/(eV Å²), as `SurfaceLDOS.scan` records it.
    imperfections : sequence of Imperfection, or mapping of name to anything called like one
        Each is applied alone to the clean scan, with its own generator made from `seed`.
    seed : int
        Of the random numbers.
    shown : float
        Side in nm of the part of the map that is drawn; the transform is of the whole.
    n_k, extent
        As in `ft_ldos`.

    Returns
    -------
    matplotlib Figure
        One row per scan: the map, and |F(k)|/|F(0)| on a logarithmic scale. All maps share their
        colours.
    """
    named: Mapping[str, Change] = (
        imperfections
        if isinstance(imperfections, Mapping)
        else {step.describe(): step for step in imperfections}
    )
    rows = [
        ("clean", scan),
        *((name, step(scan, np.random.default_rng(seed))) for name, step in named.items()),
    ]
    limits = float(scan.values.min()), float(scan.values.max())
    with static_style():
        figure = Figure(figsize=(7.6, 2.9 * len(rows)), layout="constrained")
        pairs = np.reshape(figure.subplots(len(rows), 2), (len(rows), 2))
        for (title, one), (left, right) in zip(rows, pairs, strict=True):
            _draw_map(left, one, shown, limits)
            transform: NDArray[np.float64] = scan_transform(one, n_k, extent) / abs(one.values.mean())
            drawn = draw_transform(right, transform, extent, log=True)
            figure.colorbar(drawn, ax=right, label="|F(k)|/|F(0)|")
            left.set_title(title)
    return figure
