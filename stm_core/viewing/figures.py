"""Static figures: maps of the LDOS and of its transform, and matrices. They return matplotlib figures."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike, NDArray

from stm_core.viewing.display import MAP, k_extent, static_style

_DECADES = 4  # shown below the maximum of a transform


def _tiled(
    positions: NDArray, values: NDArray, lattice: ArrayLike | None, repeat: int
) -> tuple[NDArray, NDArray]:
    if lattice is None or repeat == 1:
        return positions, values
    steps = np.stack([grid.ravel() for grid in np.meshgrid(*[np.arange(repeat)] * 2)], axis=1)
    shifts = steps @ np.asarray(lattice, dtype=float)
    return (positions[None] + shifts[:, None]).reshape(-1, 2), np.tile(values, len(shifts))


def ldos_map(
    positions: ArrayLike,
    ldos: ArrayLike,
    lattice: ArrayLike | None = None,
    repeat: int = 2,
    title: str = "",
    limits: tuple[float, float] | None = None,
    label: str = "LDOS (1/eV per atom)",
) -> Figure:
    """A quantity of every atom in real space, one dot per atom.

    Parameters
    ----------
    positions : array, shape (N, 2) or (N, 3)
        Atoms in Å.
    ldos : array, shape (N,)
        Values, by default an LDOS in 1/eV per atom.
    lattice : array, shape (2, 2), optional
        Moiré vectors as rows in Å; the map is repeated `repeat` times along each.
    repeat : int
        Cells per direction.
    title, label : str
        Title and label of the colour bar.
    limits : pair of floats, optional
        Ends of the colour scale.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        If `positions` and `ldos` do not have the same number of atoms.
    """
    points, values = np.asarray(positions, dtype=float)[:, :2], np.asarray(ldos, dtype=float)
    if values.shape != (len(points),):
        raise ValueError(
            f"ldos has shape {values.shape}; one value for each of the {len(points)} atoms is needed."
        )
    xy, tiled = _tiled(points, values, lattice, repeat)
    low, high = limits or (None, None)
    with static_style():
        figure = Figure(figsize=(5.6, 4.4), layout="constrained")
        axes = figure.add_subplot(aspect="equal", title=title, xlabel="x (Å)", ylabel="y (Å)")
        size = min(40.0, 3e4 / len(tiled))
        dots = axes.scatter(xy[:, 0], xy[:, 1], c=tiled, s=size, cmap=MAP, vmin=low, vmax=high, linewidths=0)
        figure.colorbar(dots, ax=axes, label=label)
    return figure


def draw_transform(axes: Axes, image: NDArray, extent: float, log: bool) -> AxesImage:
    """Draw a magnitude (n, n) over its window into given axes, with its units."""
    top = float(image.max())
    norm = LogNorm(top * 10.0**-_DECADES, top, clip=True) if log and top > 0 else None
    axes.set(xlabel="$k_x$ (1/Å)", ylabel="$k_y$ (1/Å)")
    return axes.imshow(image, origin="lower", extent=k_extent(extent), cmap=MAP, norm=norm)


def ft_ldos_map(
    image: ArrayLike,
    extent: float = 1.1,
    log: bool = True,
    title: str = "",
    label: str = "|F(k)|",
    marks: ArrayLike | None = None,
) -> Figure:
    """The magnitude of an LDOS transform over its window.

    Parameters
    ----------
    image : array, shape (n, n)
        Magnitudes, rows ascending in k_y.
    extent : float
        Half width of the window, as in `ft_ldos`.
    log : bool
        Four decades below the maximum on a logarithmic scale, or a linear one.
    title, label : str
        Title and label of the colour bar.
    marks : array, shape (n, 2), optional
        Wave vectors to ring, in 1/Å.

    Returns
    -------
    matplotlib Figure
    """
    with static_style():
        figure = Figure(figsize=(5.6, 4.8), layout="constrained")
        axes = figure.add_subplot(title=title)
        drawn = draw_transform(axes, np.asarray(image), extent, log)
        figure.colorbar(drawn, ax=axes, label=label)
        if marks is not None:
            kx, ky = np.asarray(marks, dtype=float).T
            axes.scatter(kx, ky, s=90, facecolors="none", edgecolors="white", linewidths=1.0)
    return figure


def similarity_matrix(
    U: ArrayLike, matrix: ArrayLike, title: str = "", label: str = "1 − cosine similarity"
) -> Figure:
    """How much the mean pictures of every two U differ.

    Similarities here lie within 10⁻³ of one, so the colour shows one minus the similarity.

    Parameters
    ----------
    U : array, shape (n,)
        Values of U in eV.
    matrix : array, shape (n, n)
        Similarities.
    title, label : str
        Title and label of the colour bar.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        If the matrix is not n by n.
    """
    values, similarities = np.asarray(U, dtype=float), np.asarray(matrix, dtype=float)
    if similarities.shape != (values.size, values.size):
        raise ValueError(
            f"matrix has shape {similarities.shape}; {values.size} values of U need a square of that size."
        )
    with static_style():
        figure = Figure(figsize=(5.4, 4.6), layout="constrained")
        axes = figure.add_subplot(title=title, xlabel="U (eV)", ylabel="U (eV)")
        drawn = axes.imshow(1.0 - similarities, origin="lower", cmap=MAP)
        shown = np.unique(np.linspace(0, values.size - 1, min(values.size, 9)).round().astype(int))
        ticks = [f"{values[index]:.3g}" for index in shown]
        axes.set_xticks(shown, ticks)
        axes.set_yticks(shown, ticks)
        figure.colorbar(drawn, ax=axes, label=label)
    return figure
