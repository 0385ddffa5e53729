"""The road in one figure: LDOS maps, their transforms and, where given, the U read from each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from stm_core.viewing.display import COLOURS, MAP, k_extent, static_style
from stm_core.viewing.scene import FLOOR, Scene

_FIELD = 0.8  # half side of a drawn map, in moiré lengths
BRIGHTEST = 4.0  # end of the colours of a map, in its mean: few atoms are brighter, and most would look dark


def relative(ldos: ArrayLike) -> NDArray[np.float64]:
    """LDOS maps (..., N) over their own mean, the contrast that a tip at constant current keeps."""
    values = np.asarray(ldos, dtype=float)
    mean = values.mean(axis=-1, keepdims=True)
    return np.divide(values, mean, out=np.zeros_like(values), where=mean > 0)


def road_figure(
    positions: ArrayLike,
    ldos: ArrayLike,
    images: ArrayLike,
    titles: Sequence[str],
    readings: Sequence[str] = (),
    *,
    lattice: ArrayLike,
) -> Figure:
    """LDOS maps in the first row, their transforms in the second, what was read from them in the third.

    Parameters
    ----------
    positions : array, shape (N, 2) or (N, 3)
        Atoms in Å.
    ldos : array, shape (n, N)
        LDOS maps in one unit; each is drawn over its own mean.
    images : array, shape (n, size, size)
        |F(k)|/|F(0)|, rows ascending in k_y.
    titles : sequence of str
        One above each column.
    readings : sequence of str
        One below each column, or none at all.
    lattice : array, shape (2, 2)
        Moiré vectors as rows in Å; the maps show a square of 1.6 moiré lengths about the origin.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        If the columns are not of one number.
    """
    maps, pictures = relative(ldos), np.asarray(images, dtype=float)
    n = len(maps)
    if not n == len(pictures) == len(titles) or (readings and len(readings) != n) or n == 0:
        raise ValueError(
            f"{n} maps, {len(pictures)} images, {len(titles)} titles and {len(readings)} readings; "
            "one of each is needed for a column."
        )
    heights = [1.0, 1.15, 0.16] if readings else [1.0, 1.15]
    with static_style():
        figure = Figure(figsize=(2.3 * n + 1.1, 2.25 * sum(heights)), layout="constrained")
        grid = figure.subplots(len(heights), n, squeeze=False, height_ratios=heights)
        _draw_maps(grid[0], np.asarray(positions, dtype=float)[:, :2], maps, np.asarray(lattice))
        _draw_pictures(grid[1], pictures)
        for axes, title in zip(grid[0], titles, strict=True):
            axes.set_title(title)
        for axes, reading in zip(grid[2] if readings else (), readings, strict=True):
            axes.axis("off")
            axes.text(0.5, 0.5, reading, ha="center", va="center", fontsize=12, color=COLOURS[1])
    return figure


def _draw_maps(row: NDArray[Any], points: NDArray, maps: NDArray, lattice: NDArray) -> None:
    low, high = float(maps.min()), min(float(maps.max()), BRIGHTEST)
    half = _FIELD * float(np.linalg.norm(lattice[0]))
    steps = np.stack([grid.ravel() for grid in np.meshgrid(*[np.arange(-3, 3)] * 2)], axis=1)
    copies = points[None] + (steps @ lattice)[:, None]
    inside = (np.abs(copies) < half).all(axis=2)
    for axes, values in zip(row, maps, strict=True):
        colours = np.broadcast_to(values, inside.shape)[inside]
        size = min(30.0, 1.1e4 / colours.size)
        dots = axes.scatter(*copies[inside].T, c=colours, s=size, cmap=MAP, vmin=low, vmax=high, linewidths=0)
        axes.set(aspect="equal", xlabel="x (Å)", ylabel="y (Å)", xlim=(-half, half), ylim=(-half, half))
    _finish(row, dots, "LDOS / mean", extend="max" if maps.max() > high else "neither")


def _draw_pictures(row: NDArray[Any], pictures: NDArray) -> None:
    norm = LogNorm(FLOOR, 1.0, clip=True)
    for axes, picture in zip(row, pictures, strict=True):
        drawn = axes.imshow(picture, origin="lower", extent=k_extent(), cmap=MAP, norm=norm)
        axes.set(xlabel="$k_x$ (1/Å)", ylabel="$k_y$ (1/Å)")
    _finish(row, drawn, "|F(k)|/|F(0)|")


def _finish(row: NDArray[Any], drawn: Any, label: str, extend: str = "neither") -> None:
    last: Axes = row[-1]
    last.figure.colorbar(drawn, ax=list(row), label=label, pad=0.01, extend=extend)
    for axes in row[1:]:
        axes.set(ylabel="", yticklabels=[])


def cover_figure(
    dataset: xr.Dataset,
    U: Sequence[float] | None = None,
    bias: float = 0.0,
    filling: float = 0.0,
    readings: Sequence[str] = (),
    size: int = 256,
    n_k: int = 1003,
) -> Figure:
    """What a tip sees of the lowest state at several U, and its transform.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `load_dataset` returns.
    U : sequence of floats, optional
        In eV, each one of the dataset's; by default four spread over its range.
    bias : float
        In eV; the dataset's nearest is taken.
    filling : float
        Electrons per moiré cell from neutrality.
    readings : sequence of str
        One below each U, or none at all.
    size, n_k : int
        Of the pictures, as in `image_set`.

    Returns
    -------
    matplotlib Figure
        The top layer; a column for each U.

    Raises
    ------
    ValueError
        If the dataset does not hold this filling or one of the U.
    """
    scene = Scene.build(dataset, filling=filling, size=size, n_k=n_k)
    if U is None:
        U = scene.U[np.unique(np.linspace(0, scene.U.size - 1, 4).round().astype(int))].tolist()
    for value in U:
        if np.abs(scene.U - value).min() > 1e-6:
            listed = ", ".join(f"{known:g}" for known in scene.U)
            raise ValueError(f"U = {value:g} eV is not in the dataset; it holds {listed} eV.")
    views = [scene.view(value, scene.nearest_bias(bias)) for value in U]
    return road_figure(
        scene.positions,
        [view.ldos for view in views],
        [view.image for view in views],
        [f"U = {view.U:.3g} eV" for view in views],
        readings,
        lattice=np.reshape(dataset.attrs["lattice"], (2, 2)),
    )
