"""Fourier transform of the local density of states, F(k) = Σ_i LDOS_i exp(−i k·r_i).

The window is that of Tanksale and Stauber, arXiv:2602.18890: k_x in ±1.1·2π/a and k_y in
±1.1·4π/(√3 a), which just holds the first shell of graphene's reciprocal vectors.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike, NDArray


def k_axes(n_k: int = 1003, extent: float = 1.1) -> tuple[NDArray, NDArray]:
    """Wave numbers of the FT-LDOS grid.

    Parameters
    ----------
    n_k : int
        Points per direction, at least 2.
    extent : float
        Half width of the window in units of 2π/a along x and 4π/(√3 a) along y.

    Returns
    -------
    kx, ky : numpy float arrays, shape (n_k,)
        Ascending and symmetric about zero, in 1/a with a graphene's lattice constant.

    Raises
    ------
    ValueError
        If `n_k` is below 2 or `extent` is not positive and finite.
    """
    if int(n_k) != n_k or n_k < 2:
        raise ValueError(f"n_k is {n_k!r}; the Fourier grid needs a whole number of points, 2 or more.")
    if not (np.isfinite(extent) and extent > 0):
        raise ValueError(f"extent is {extent!r}; the Fourier window needs a positive, finite half width.")
    unit = np.linspace(-extent, extent, int(n_k))
    return unit * 2 * np.pi, unit * 4 * np.pi / np.sqrt(3)


def _checked_points(xy: ArrayLike) -> NDArray[np.float64]:
    points = np.asarray(xy, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise ValueError(f"xy has shape {points.shape}; positions must have shape (N, 2) with N at least 1.")
    if not np.isfinite(points).all():
        raise ValueError("xy holds NaN or infinite values; every position must be finite.")
    return points


def checked_ldos(ldos: ArrayLike, n_atoms: int) -> NDArray[np.float64]:
    """`ldos` as a finite float array whose last axis has `n_atoms` values; ValueError otherwise."""
    values = np.asarray(ldos, dtype=float)
    if values.ndim == 0 or values.shape[-1] != n_atoms:
        raise ValueError(f"ldos has shape {values.shape}; its last axis must match the {n_atoms} positions.")
    if not np.isfinite(values).all():
        raise ValueError("ldos holds NaN or infinite values; every value must be finite.")
    return values


@njit(cache=True)
def _fold_magnitude(product: NDArray, out: NDArray) -> None:
    """Fill `out` with |F| on the whole grid from the cosine and sine sums of one quadrant."""
    n_k = out.shape[0]
    half = product.shape[0] // 2
    start = n_k // 2
    for j in range(half):
        row = out[start + j]
        for i in range(half):
            cc, cs = product[j, i], product[j, half + i]
            sc, ss = product[half + j, i], product[half + j, half + i]
            row[half - 1 - i] = np.sqrt((cc + ss) ** 2 + (sc - cs) ** 2)
            row[start + i] = np.sqrt((cc - ss) ** 2 + (sc + cs) ** 2)
        out[n_k - 1 - start - j] = row[::-1]


@dataclass(frozen=True, eq=False)
class FourierGrid:
    """The FT-LDOS transform for one set of positions, ready for many LDOS maps.

    exp(−ik·r) separates into a factor of x and a factor of y. Their cosines and sines on the
    quadrant k_x, k_y ≥ 0 are stacked, so that one real matrix product gives the four sums from
    which the whole grid follows; for a real LDOS F(−k) is the conjugate of F(k). This is exact
    and takes a quarter of the operations of the complex product.

    Attributes
    ----------
    kx, ky : numpy float arrays, shape (n_k,)
        Axes in 1/a.
    rows : numpy float array, shape (2h, N)
        cos(k_y y) above sin(k_y y), h = ⌈n_k/2⌉.
    columns : numpy float array, shape (N, 2h)
        cos(k_x x) beside sin(k_x x).
    """

    kx: NDArray
    ky: NDArray
    rows: NDArray
    columns: NDArray

    @classmethod
    def build(
        cls, xy: ArrayLike, n_k: int = 1003, extent: float = 1.1, dtype: Any = np.float64
    ) -> "FourierGrid":
        """Prepare the two factors.

        Parameters
        ----------
        xy : array, shape (N, 2)
            Positions in units of a.
        n_k, extent
            As in `k_axes`.
        dtype : float64 or float32
            Precision of the product; float32 is twice as fast and good to 10⁻⁶ of F(0).

        Raises
        ------
        ValueError
            If `xy` has the wrong shape or is not finite, or the window is not valid.
        """
        points = _checked_points(xy)
        kx, ky = k_axes(n_k, extent)
        start = len(kx) // 2
        phase_x = np.outer(points[:, 0], kx[start:])
        phase_y = np.outer(ky[start:], points[:, 1])
        columns = np.hstack([np.cos(phase_x), np.sin(phase_x)]).astype(dtype)
        rows = np.vstack([np.cos(phase_y), np.sin(phase_y)]).astype(dtype)
        return cls(kx=kx, ky=ky, rows=rows, columns=columns)

    def _products(self, ldos: ArrayLike) -> tuple[NDArray, tuple[int, ...]]:
        values = checked_ldos(ldos, self.rows.shape[1])
        return values.reshape(-1, values.shape[-1]).astype(self.rows.dtype), values.shape[:-1]

    def magnitude(self, ldos: ArrayLike) -> NDArray:
        """|F(k)| for one or many LDOS maps.

        Parameters
        ----------
        ldos : array, shape (..., N)

        Returns
        -------
        numpy array of the grid's precision, shape (..., n_k, n_k)
            Rows ascend in k_y, columns in k_x.

        Raises
        ------
        ValueError
            If the last axis does not match the positions, or a value is not finite.
        """
        flat, leading = self._products(ldos)
        n_k = len(self.kx)
        out = np.empty((len(flat), n_k, n_k), self.rows.dtype)
        for values, target in zip(flat, out, strict=True):
            _fold_magnitude((self.rows * values) @ self.columns, target)
        return out.reshape(*leading, n_k, n_k)

    def transform(self, ldos: ArrayLike) -> NDArray:
        """Complex F(k) for one or many LDOS maps; parameters and errors as in `magnitude`."""
        flat, leading = self._products(ldos)
        n_k, half = len(self.kx), self.rows.shape[0] // 2
        out = np.empty((len(flat), n_k, n_k), np.result_type(self.rows.dtype, np.complex64))
        for values, target in zip(flat, out, strict=True):
            product = (self.rows * values) @ self.columns
            cc, cs = product[:half, :half], product[:half, half:]
            sc, ss = product[half:, :half], product[half:, half:]
            upper = target[n_k // 2 :]
            upper[:, n_k // 2 :] = (cc - ss) - 1j * (sc + cs)
            upper[:, half - 1 :: -1] = (cc + ss) - 1j * (sc - cs)
            target[half - 1 :: -1] = upper[:, ::-1].conj()
        return out.reshape(*leading, n_k, n_k)


def ft_ldos(xy: ArrayLike, ldos: ArrayLike, n_k: int = 1003, extent: float = 1.1) -> NDArray[np.float64]:
    """FT-LDOS magnitude |Σ_i LDOS_i exp(−ik·r_i)| on the window of arXiv:2602.18890.

    Parameters
    ----------
    xy : array, shape (N, 2)
        Positions in units of graphene's lattice constant a.
    ldos : array, shape (N,) or (..., N)
        LDOS on each position, in 1/eV.
    n_k : int
        Points per direction.
    extent : float
        Half width of the window, in 2π/a along x and 4π/(√3 a) along y.

    Returns
    -------
    numpy float64 array, shape (n_k, n_k) or (..., n_k, n_k)
        Unit of `ldos`; rows ascend in k_y, columns in k_x (`k_axes`).

    Raises
    ------
    ValueError
        If the shapes do not match, a value is not finite, or the window is not valid.

    Examples
    --------
    >>> image = ft_ldos([[0.0, 0.0], [0.5, 0.0]], [1.0, 1.0], n_k=3, extent=1.0)
    >>> image[1].round(12).tolist()
    [0.0, 2.0, 0.0]
    """
    return FourierGrid.build(xy, n_k=n_k, extent=extent).magnitude(ldos)


@njit(parallel=True, cache=True)
def _direct_sum(x: NDArray, y: NDArray, ldos: NDArray, kx: NDArray, ky: NDArray) -> NDArray:
    out = np.empty((ky.size, kx.size))
    for row in prange(ky.size):
        for column in range(kx.size):
            real = 0.0
            imaginary = 0.0
            for atom in range(ldos.size):
                phase = kx[column] * x[atom] + ky[row] * y[atom]
                real += ldos[atom] * np.cos(phase)
                imaginary -= ldos[atom] * np.sin(phase)
            out[row, column] = np.sqrt(real * real + imaginary * imaginary)
    return out


def ft_ldos_direct(
    xy: ArrayLike, ldos: ArrayLike, n_k: int = 1003, extent: float = 1.1
) -> NDArray[np.float64]:
    """The same grid as `ft_ldos` for one LDOS map, summed atom by atom: the reference for its test.

    Parameters, result and errors are those of `ft_ldos`, for `ldos` of shape (N,).
    """
    points = _checked_points(xy)
    values = checked_ldos(ldos, len(points))
    if values.ndim != 1:
        raise ValueError(f"ldos has shape {values.shape}; the direct sum takes one map of shape (N,).")
    kx, ky = k_axes(n_k, extent)
    return _direct_sum(points[:, 0].copy(), points[:, 1].copy(), values, kx, ky)
