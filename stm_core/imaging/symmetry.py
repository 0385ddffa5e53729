"""The point group of the moiré lattice, acting on samples, on Bragg amplitudes and on pictures.

The twisted bilayer has the group D6: rotations by 60° about the axis keep each layer, and rotations by
180° about axes in the plane exchange the two. A state that breaks this symmetry has up to twelve
images of the same energy; a tip on the top layer tells six of them apart by rotation alone.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from stm_core.imaging.bragg import layer_mask
from stm_core.imaging.fourier import checked_ldos, k_axes
from stm_core.simulation.lattice import rotation

_SAME_VECTOR = 1e-6  # 1/Å


def group_orbit(cell: Any, ldos: ArrayLike, layer: str = "both") -> NDArray[np.float64]:
    """The images of a sample under the point group, as permutations of its atoms.

    Parameters
    ----------
    cell : TwistedBilayer
        Anything with `point_group`, name -> permutation (N,), and `layer` (N,).
    ldos : array, shape (..., N) or (..., N_layer)
        Any quantity on all atoms, or on those of `layer`.
    layer : str
        "both": all operations of the cell, twelve without strain. "top" or "bottom": the rotations,
        which keep the layer, six without strain.

    Returns
    -------
    numpy float array, shape (n_operations, ...)
        The first is `ldos` itself. The value of an atom moves with the atom.

    Raises
    ------
    ValueError
        If the layer is unknown, or `ldos` does not match it or is not finite.
    """
    mask = layer_mask(cell.layer, layer)
    values = checked_ldos(ldos, int(mask.sum()))
    place = np.cumsum(mask) - 1  # of an atom within the layer
    images = []
    for operation, permutation in cell.point_group.items():
        if layer == "both" or "C2x" not in operation:
            image = np.empty_like(values)
            image[..., place[permutation[mask]]] = values
            images.append(image)
    return np.stack(images)


def same_sample(cell: Any, first: ArrayLike, second: ArrayLike, tolerance: float = 3e-3) -> bool:
    """Whether two samples are the same state, seen from another side.

    Parameters
    ----------
    cell : TwistedBilayer
    first, second : array, shape (..., N)
        LDOS on the atoms of both layers, at the same biases.
    tolerance : float
        Largest root mean square difference from an image, relative to that of `first` from zero.

    Raises
    ------
    ValueError
        If the shapes differ, do not match the cell, or a value is not finite.
    """
    images = group_orbit(cell, first)
    other = checked_ldos(second, len(cell.layer))
    if images.shape[1:] != other.shape:
        raise ValueError(f"the samples have shapes {images.shape[1:]} and {other.shape}; they must agree.")
    distance = np.sqrt(((images - other) ** 2).reshape(len(images), -1).sum(axis=1).min())
    return bool(distance <= tolerance * np.linalg.norm(images[0]))


def sample_labels(cell: Any, ldos: ArrayLike, tolerance: float = 3e-3) -> NDArray[np.int64]:
    """Number the samples so that images of one state share a number, for splits without copies.

    Parameters
    ----------
    cell : TwistedBilayer
    ldos : array, shape (n, ..., N)
        One LDOS per sample, on the atoms of both layers.
    tolerance : float
        As in `same_sample`.

    Returns
    -------
    numpy int array, shape (n,)
        The position of the first sample of each kind.

    Raises
    ------
    ValueError
        If the last axis does not match the cell, or a value is not finite.
    """
    values = checked_ldos(ldos, len(cell.layer))
    flat = values.reshape(len(values), -1)
    # No image differs in its total, so that most pairs need no closer look.
    totals, norms = flat.sum(axis=1), np.linalg.norm(flat, axis=1)
    spread = tolerance * norms * np.sqrt(flat.shape[1])
    labels = np.arange(len(values))
    for sample in range(len(values)):
        for other in np.unique(labels[:sample]):
            close = abs(totals[sample] - totals[other]) <= spread[other]
            if close and same_sample(cell, values[other], values[sample], tolerance):
                labels[sample] = other
                break
    return labels


def domain_average(
    amplitudes: ArrayLike, vectors: ArrayLike, mirrors: bool = False
) -> tuple[NDArray, NDArray[np.float64]]:
    """Average Bragg amplitudes over the domains that a symmetry-broken state forms.

    Each vector's value becomes the mean over its star under rotations by 60°. Stars that are not whole
    in the list, because the window is a rectangle, are left out: part of a star is no average.

    Parameters
    ----------
    amplitudes : array, shape (..., n_G)
        Complex amplitudes about the rotation axis give those of the averaged LDOS; magnitudes or
        intensities give what a scan over many domains shows.
    vectors : array, shape (n_G, 2)
        In any unit near 1/Å, as `bragg_amplitudes` returns them.
    mirrors : bool
        Average over the mirrors at 0°, 30°, … as well, which relate the two layers.

    Returns
    -------
    averaged : numpy array, shape (..., n_kept)
    kept : numpy float array, shape (n_kept, 2)
        The vectors of whole stars, in their order.

    Raises
    ------
    ValueError
        If the shapes do not match.
    """
    wave, values = np.asarray(vectors, dtype=float), np.asarray(amplitudes)
    if wave.ndim != 2 or wave.shape[1] != 2 or values.ndim == 0 or values.shape[-1] != len(wave):
        raise ValueError(f"{values.shape} amplitudes do not belong to vectors of shape {wave.shape}.")
    turns = [rotation(n * np.pi / 3)[:2, :2] for n in range(6)]
    operations = turns + [turn @ np.diag([1.0, -1.0]) for turn in turns] if mirrors else turns
    tree = cKDTree(wave)
    found = [tree.query(wave @ operation, distance_upper_bound=_SAME_VECTOR) for operation in operations]
    star = np.stack([index for _, index in found])  # (n_operations, n_G), n_G where there is none
    whole = (star < len(wave)).all(axis=0)
    return values[..., star[:, whole]].mean(axis=-2), wave[whole]


def domain_average_image(image: ArrayLike, extent: float = 1.1) -> NDArray[np.float64]:
    """Average a picture of the transform over rotations by 60° in true k-geometry.

    A pixel is wider than high in units of 1/Å, or the reverse, so that turning the matrix would not turn
    the picture. What turns in from outside the window is not counted. Peaks are interpolated between
    pixels; where the Bragg amplitudes are known, `domain_average` is exact.

    Parameters
    ----------
    image : array, shape (n, n)
        Rows ascend in k_y, columns in k_x.
    extent : float
        Half width of the window, as in `ft_ldos`.

    Returns
    -------
    numpy float array, shape (n, n)

    Raises
    ------
    ValueError
        If the image is not square or not finite, or the window is not valid.
    """
    pixels = np.asarray(image, dtype=float)
    if pixels.ndim != 2 or pixels.shape[0] != pixels.shape[1] or not np.isfinite(pixels).all():
        raise ValueError(f"image has shape {pixels.shape}; a finite square (n, n) is needed.")
    n = len(pixels)
    kx, ky = k_axes(n, extent)
    points = np.stack(np.meshgrid(kx, ky), axis=-1)
    step, first = np.array([kx[1] - kx[0], ky[1] - ky[0]]), np.array([kx[0], ky[0]])
    total, count = np.zeros((n, n)), np.zeros((n, n))
    for turns in range(6):
        places = ((points @ rotation(turns * np.pi / 3)[:2, :2] - first) / step)[..., ::-1]
        places = np.where(np.abs(places - np.round(places)) < 1e-9, np.round(places), places)
        inside = ((places >= 0) & (places <= n - 1)).all(axis=-1)
        total[inside] += map_coordinates(pixels, places[inside].T, order=1)
        count += inside
    return total / count
