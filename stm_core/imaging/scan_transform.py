"""Windowed Fourier transform of a scan, on the FT-LDOS grid or at given wave vectors."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import get_window, zoom_fft

from stm_core.imaging.fourier import k_axes
from stm_core.imaging.scan import ScanMap
from stm_core.simulation import GRAPHENE_LATTICE


def _weighted(scan: ScanMap, window: str) -> NDArray[np.float64]:
    """The map times its window, which sums to one."""
    try:
        # A symmetric window keeps the transform of a symmetric scan real.
        sides = [get_window(window, n, fftbins=False) for n in scan.values.shape]
    except ValueError:
        raise ValueError(
            f"window is {window!r}; a window of scipy.signal such as 'hann', 'blackmanharris' or "
            "'boxcar' is needed."
        ) from None
    return scan.values * np.outer(sides[0] / sides[0].sum(), sides[1] / sides[1].sum())


def _check_sampling(scan: ScanMap, reach: float) -> None:
    if reach * scan.pixel > np.pi * (1 + 1e-9):
        raise ValueError(
            f"pixels of {scan.pixel:g} Å resolve wave vectors up to {np.pi / scan.pixel:.3g} 1/Å, but the "
            f"transform reaches {reach:.3g} 1/Å; pixels of at most {np.pi / reach:.3g} Å are needed."
        )


def scan_transform(
    scan: ScanMap, n_k: int = 1003, extent: float = 1.1, window: str = "hann"
) -> NDArray[np.float64]:
    """Magnitude of the transform of a scan, on the grid of `ft_ldos`.

    Parameters
    ----------
    scan : ScanMap
        With lines along the x of the model's frame.
    n_k, extent
        As in `ft_ldos`.
    window : str
        A window of `scipy.signal.get_window`, applied along both sides.

    Returns
    -------
    numpy float64 array, shape (n_k, n_k)
        |Σ w v exp(−ik·r)| / Σ w in the unit of the map: a wave of amplitude c shows as c at its
        peak. Rows ascend in k_y, columns in k_x (`k_axes`, divided by a).

    Raises
    ------
    ValueError
        If the pixels are too coarse for the grid, or the grid or the window is not valid.
    """
    kx, ky = (axis / GRAPHENE_LATTICE for axis in k_axes(n_k, extent))
    _check_sampling(scan, max(kx[-1], ky[-1]))
    transform = _weighted(scan, window)
    rate = 2 * np.pi / scan.pixel
    for axis, k in ((1, kx), (0, ky)):
        transform = zoom_fft(transform, [k[0], k[-1]], m=len(k), fs=rate, endpoint=True, axis=axis)
    return np.abs(transform)


def scan_amplitudes(scan: ScanMap, vectors: ArrayLike, window: str = "hann") -> NDArray[np.complex128]:
    """Complex transform of a scan at given wave vectors, with the phases of the scan's coordinates.

    Parameters
    ----------
    scan : ScanMap
    vectors : array, shape (n_G, 2)
        In 1/Å, in the frame of the scan.
    window : str
        As in `scan_transform`.

    Returns
    -------
    numpy complex array, shape (n_G,)
        Σ w v exp(−iG·r) / Σ w in the unit of the map. Times the area of the moiré cell and over the
        `form_factor`, this is what `bragg_amplitudes` gives, but for leakage between peaks.

    Raises
    ------
    ValueError
        If `vectors` is not a list of pairs, the pixels are too coarse, or the window is unknown.
    """
    wave = np.asarray(vectors, dtype=float)
    if wave.ndim != 2 or wave.shape[1] != 2 or not np.isfinite(wave).all():
        raise ValueError(f"vectors have shape {wave.shape}; finite wave vectors of shape (n, 2) are needed.")
    _check_sampling(scan, float(np.abs(wave).max(initial=0.0)))
    rows = np.exp(-1j * np.outer(wave[:, 1], scan.y))
    columns = np.exp(-1j * np.outer(wave[:, 0], scan.x))
    weighted = _weighted(scan, window)
    along = rows.real @ weighted + 1j * (rows.imag @ weighted)
    return np.einsum("gx,gx->g", along, columns)
