"""A scanning tunnelling microscope over the top layer: from the LDOS on atoms to a map of pixels.

The LDOS at height z above the atoms is a Fourier series whose component q falls as
exp(−z√(4κ² + q²)), κ = √(2mΦ)/ħ. That is the decay of the product of two vacuum tails with in-plane
wave vectors ±q/2 in the s-wave tip of Tersoff and Hamann, Phys. Rev. B 31, 805 (1985). In real space
it gives every atom the density n(ρ) = z(1 + 2κd)e^{−2κ(d−z)}/(2πd³), d² = ρ² + z². Only the LDOS on
the atoms enters, so the interference between them is left out. It is what keeps the atomic contrast
of states at the corners of graphene's zone at any height (Tersoff, Phys. Rev. Lett. 57, 440 (1986));
without it the contrast falls with height, and the default height is below a real one for that reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stm_core.imaging.bragg import graphene_vectors, layer_mask
from stm_core.imaging.fourier import checked_ldos
from stm_core.simulation.lattice import rotation
from stm_core.simulation.strain import uniaxial

ELECTRON_HBAR2_2M = 3.809982
"""ħ²/2m of the electron, in eV Å² (CODATA 2018)."""

_FAINTEST = 1e-7  # weight of a component, relative to the uniform one, below which it is left out
_AT_ONCE = 2048  # components summed in one product, to bound the memory


@dataclass(frozen=True, eq=False)
class ScanMap:
    """A map of the LDOS as a microscope records it, line after line.

    Attributes
    ----------
    values : numpy float array, shape (ny, nx)
        Rows ascend in y, the slow direction; columns in x. LDOS per area in 1/(eV Å²) where simulated.
    pixel : float
        Distance between neighbouring pixels in Å, the same in both directions.
    origin : numpy float array, shape (2,)
        Place of the first pixel in Å.
    bias : float
        In eV.
    line_time : float
        Seconds from one line to the next.
    meta : mapping
        What else is known of the scan.

    Raises
    ------
    ValueError
        If the map is not a finite matrix of at least 2 by 2 pixels, or a length or time is not positive.
    """

    values: NDArray[np.float64]
    pixel: float
    origin: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    bias: float = 0.0
    line_time: float = 0.5
    meta: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values, dtype=float))
        object.__setattr__(self, "origin", np.asarray(self.origin, dtype=float))
        if self.values.ndim != 2 or min(self.values.shape) < 2:
            raise ValueError(f"the map has shape {self.values.shape}; at least (2, 2) pixels are needed.")
        if not np.isfinite(self.values).all():
            raise ValueError("the map holds NaN or infinite values; every pixel must be finite.")
        for name, unit in (("pixel", "Å"), ("line_time", "s")):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value!r}; a positive, finite number in {unit} is needed.")
        if self.origin.shape != (2,) or not np.isfinite(self.origin).all():
            raise ValueError(f"origin is {self.origin!r}; two finite coordinates in Å are needed.")

    @property
    def x(self) -> NDArray[np.float64]:
        """Columns' places in Å, (nx,)."""
        return np.asarray(self.origin[0] + self.pixel * np.arange(self.values.shape[1]))

    @property
    def y(self) -> NDArray[np.float64]:
        """Rows' places in Å, (ny,)."""
        return np.asarray(self.origin[1] + self.pixel * np.arange(self.values.shape[0]))


def decay_constant(work_function: float = 4.5) -> float:
    """κ = √(2mΦ)/ħ in 1/Å of a vacuum tail, for a work function Φ in eV; ValueError unless positive."""
    if not (np.isfinite(work_function) and work_function > 0):
        raise ValueError(f"the work function is {work_function!r}; a positive number in eV is needed.")
    return float(np.sqrt(work_function / ELECTRON_HBAR2_2M))


def form_factor(q: ArrayLike, height: float = 3.0, work_function: float = 4.5) -> NDArray[np.float64]:
    """What is left at the tip of a Fourier component, relative to the uniform one.

    Parameters
    ----------
    q : array
        Lengths of wave vectors in 1/Å.
    height : float
        Of the tip above the atoms in Å.
    work_function : float
        Φ in eV.

    Returns
    -------
    numpy float array, shape of `q`
        exp[−z(√(4κ² + q²) − 2κ)], see the head of this module.

    Raises
    ------
    ValueError
        If the height or the work function is not positive.
    """
    if not (np.isfinite(height) and height > 0):
        raise ValueError(f"the tip height is {height!r}; a positive number in Å is needed.")
    slowest = 2 * decay_constant(work_function)
    return np.exp(-height * (np.hypot(slowest, np.asarray(q, dtype=float)) - slowest))


@dataclass(frozen=True, eq=False)
class SurfaceLDOS:
    """The LDOS in the plane of the tip, v(r) = Re Σ_G c_G exp(iG·r).

    Attributes
    ----------
    vectors : numpy float array, shape (n_G, 2)
        In 1/Å; G = 0 and one of each pair ±G.
    amplitudes : numpy complex array, shape (n_G,)
        In 1/(eV Å²), doubled where −G is left out.
    """

    vectors: NDArray[np.float64]
    amplitudes: NDArray[np.complex128]

    @classmethod
    def above(
        cls, cell: Any, ldos: ArrayLike, height: float = 3.0, work_function: float = 4.5
    ) -> "SurfaceLDOS":
        """The LDOS above the top layer of a cell.

        The factor exp(−2κz) common to all components is left out: the set point of a tip hides it.

        Parameters
        ----------
        cell : TwistedBilayer
            Anything with `positions` (N, 3) in Å, `reciprocal` (2, 2) rows, `area` in Å² and `layer` (N,).
        ldos : array, shape (N,)
            In 1/eV on every atom, or on the atoms of the top layer only.
        height, work_function
            As in `form_factor`.

        Raises
        ------
        ValueError
            If `ldos` does not match the cell or is not finite, or a parameter is not positive.
        """
        mask = layer_mask(cell.layer, "top")
        values = np.asarray(ldos, dtype=float)
        if values.ndim != 1:
            raise ValueError(f"ldos has shape {values.shape}; a scan is made of one map of shape (N,).")
        values = checked_ldos(values[mask] if values.shape == mask.shape else values, int(mask.sum()))
        reciprocal = np.asarray(cell.reciprocal)
        whole, weight = _half_lattice(reciprocal, height, work_function)
        # exp(−iG·r) of G = m b₁ + n b₂ is a factor of m times a factor of n: one product for all sums.
        phases = np.exp(-1j * np.asarray(cell.positions)[mask, :2] @ reciprocal.T)
        reach = np.abs(whole).max()
        first = phases[:, 0] ** np.arange(reach + 1)[:, None]
        second = phases[:, 1] ** np.arange(-reach, reach + 1)[:, None]
        sums = (first * values) @ second.T
        return cls(whole @ reciprocal, weight / cell.area * sums[whole[:, 0], whole[:, 1] + reach])

    def heterostrained(self, cell: Any, strain: float, angle: float = 0.0) -> "SurfaceLDOS":
        """The surface with the layers stretched oppositely, which moves the moiré peaks about 1/θ times more.

        Every G is split into the nearest sum of the top layer's zone corners, which stretches with that
        layer, and a moiré remainder, the difference of a vector of the top and one of the bottom layer
        (Huder et al., Phys. Rev. Lett. 120, 156405 (2018)). The amplitudes stay: how the states answer
        to the strain takes a new solution on a `TwistedBilayer` with `heterostrain`.

        Parameters
        ----------
        cell : TwistedBilayer
            The cell given to `above`, with its `layer_lattices`; a strain it has already is added to.
        strain : float
            Elongation of the top layer minus that of the bottom one, half in each.
        angle : float
            Direction of the elongation in radians from x.
        """
        tensor = uniaxial(strain, angle)
        stretch_bottom, stretch_top = (np.linalg.inv(np.eye(2) + half * tensor) for half in (-0.5, 0.5))
        bottom, top = (np.linalg.inv(lattice).T for lattice in cell.layer_lattices)
        moire = np.linalg.inv(top - bottom) @ (top @ stretch_top - bottom @ stretch_bottom)
        whole = _nearest(self.vectors, graphene_vectors(cell, "top")["K"][:2])
        return replace(self, vectors=whole @ stretch_top + (self.vectors - whole) @ moire)

    def scan(
        self,
        pixels: int | tuple[int, int] = 512,
        pixel: float = 0.6,
        angle: float = 0.0,
        origin: ArrayLike = (0.0, 0.0),
        bias: float = 0.0,
        line_time: float = 0.5,
    ) -> ScanMap:
        """Record a map.

        Parameters
        ----------
        pixels : int or pair of int
            Pixels per side, or (ny, nx).
        pixel : float
            Distance between pixels in Å.
        angle : float
            Direction of the scan lines in radians from x.
        origin : pair of floats
            Place of the first pixel in the frame of the scan, in Å.
        bias : float
            Of `ldos`, in eV; kept with the map.
        line_time : float
            Seconds per line.

        Returns
        -------
        ScanMap

        Raises
        ------
        ValueError
            If the map has less than 2 by 2 pixels, or a length or time is not positive.
        """
        ny, nx = (pixels, pixels) if isinstance(pixels, int) else pixels
        blank = ScanMap(np.zeros((ny, nx)), pixel, np.asarray(origin), bias, line_time, {"angle": angle})
        gx, gy = (self.vectors @ rotation(angle)[:2, :2]).T
        values = np.zeros((ny, nx))
        for part in range(0, len(gx), _AT_ONCE):
            some = slice(part, part + _AT_ONCE)
            rows = _waves(gy[some], blank.y[0], pixel, ny) * self.amplitudes[some, None]
            columns = _waves(gx[some], blank.x[0], pixel, nx)
            # Two real products give the real part of the complex one in half the operations.
            values += rows.real.T @ columns.real - rows.imag.T @ columns.imag
        return replace(blank, values=values)


def _waves(wave: NDArray, first: float, step: float, n: int) -> NDArray[np.complex128]:
    """exp(ikx) at n places from `first`, (n_k, n), by a coarse and a fine table: few exponentials."""
    fine = int(np.ceil(np.sqrt(n)))
    coarse = np.exp(1j * np.outer(wave, first + step * fine * np.arange(-(-n // fine))))
    within = np.exp(1j * np.outer(wave, step * np.arange(fine)))
    return (coarse[:, :, None] * within[:, None]).reshape(len(wave), -1)[:, :n]


def _half_lattice(
    reciprocal: NDArray, height: float, work_function: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Zero and one of each pair ±G that reaches the tip, in whole reciprocal vectors, with its weight."""
    slowest = 2 * decay_constant(work_function)
    form_factor(0.0, height, work_function)  # refuses a height that is not positive
    longest = np.sqrt((slowest - np.log(_FAINTEST) / height) ** 2 - slowest**2)
    reach = int(np.ceil(longest * np.linalg.norm(np.linalg.inv(reciprocal), axis=0).max()))
    m, n = np.meshgrid(np.arange(reach + 1), np.arange(-reach, reach + 1), indexing="ij")
    whole = np.column_stack([m.ravel(), n.ravel()])[(m > 0).ravel() | (n >= 0).ravel()]
    lengths = np.linalg.norm(whole @ reciprocal, axis=1)
    near = lengths <= longest
    weight = np.where(lengths > 0, 2.0, 1.0) * form_factor(lengths, height, work_function)
    return whole[near], weight[near]


def _nearest(points: NDArray, basis: NDArray) -> NDArray[np.float64]:
    """Nearest lattice point to each point, (n, 2), for a hexagonal lattice of rows `basis`."""
    base = np.floor(points @ np.linalg.inv(basis))
    corners = (base[:, None] + np.array([[0, 0], [1, 0], [0, 1], [1, 1]])) @ basis
    distance = np.linalg.norm(corners - points[:, None], axis=-1)
    return corners[np.arange(len(points)), distance.argmin(axis=1)]
