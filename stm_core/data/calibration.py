"""Scale of a scan, found in the scan: plane levelling, and lattices from their Bragg peaks.

Positions are counted from the middle of the scan, in Å. A deformation F takes the undistorted lattice,
whose first lattice vector lies along x, to the one in the scan: a Bragg peak k₀ goes to k with
k·(F r) = k₀·r. Rotation and strain are its polar decomposition F = S R.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import polar
from scipy.ndimage import maximum_filter
from scipy.optimize import minimize

from stm_core.data.instruments import STMMap
from stm_core.simulation import GRAPHENE_LATTICE

LEVELLINGS = ("plane", "lines", "none")
HEXAGON = np.array([[1, 0], [0, 1], [-1, 1]])
"""Three Bragg peaks, 60° apart, as sums of the first two."""

# Reciprocal vectors of a lattice of which a given one is the second or the third shell of peaks.
_COARSER = (np.array([[1, 1], [-1, 2]]) / 3, np.eye(2) / 2)
_CANDIDATES = 30  # strongest maxima among which a hexagon is looked for
_SIGNIFICANT = 4.0  # times the median: the least of three peaks; noise alone reaches about 2.5
_FAINT = 0.05  # of the peaks of a finer lattice: twice the highest side lobe of a Hann window
_LEAST_PERIODS = 2.5  # in the scan's shorter side, below which a peak merges with the one at zero
_MOIRE_LIMIT = 8.0  # Å, far above graphene's period and its satellites


def level(scan: STMMap, kind: str = "plane") -> STMMap:
    """Take a tilt or the jumps between lines out of a scan; its mean stays.

    Parameters
    ----------
    scan : STMMap
    kind : str
        "plane": the least-squares plane. "lines": the median of every line. "none": as it is.

    Returns
    -------
    STMMap

    Raises
    ------
    ValueError
        If `kind` is another word.
    """
    if kind not in LEVELLINGS:
        raise ValueError(f"levelling is {kind!r}; accepted are {', '.join(LEVELLINGS)}.")
    values = scan.values
    if kind == "lines":
        medians = np.median(values, axis=1, keepdims=True)
        values = values - medians + medians.mean()
    elif kind == "plane":
        # About the middle x, y and a constant are orthogonal, so each slope is a quotient of sums.
        x, y = scan.axes
        values = values - (values @ x).sum() / (len(y) * (x @ x)) * x
        values = values - ((y @ values).sum() / (len(x) * (y @ y)) * y)[:, None]
    return replace(scan, values=values)


@dataclass(frozen=True, eq=False)
class BraggLattice:
    """A hexagonal lattice as a scan shows it.

    Attributes
    ----------
    reciprocal : numpy float array, shape (2, 2)
        Bragg peaks b₁ and b₂ as rows, in 1/Å, b₂ some 60° counter-clockwise of b₁.
    amplitudes : numpy complex array, shape (3,)
        Fourier components at b₁, b₂ and b₂ − b₁, in the scan's unit, with their phase in its middle.
    significance : float
        The least of the three over the median of the spectrum around it.
    constant : float
        Lattice constant in Å without strain.
    """

    reciprocal: NDArray[np.float64]
    amplitudes: NDArray[np.complex128]
    significance: float
    constant: float

    @property
    def lattice(self) -> NDArray[np.float64]:
        """Lattice vectors as rows, (2, 2) in Å, with a_i · b_j = 2π δ_ij."""
        return np.asarray(2 * np.pi * np.linalg.inv(self.reciprocal).T, dtype=float)

    @cached_property
    def deformation(self) -> NDArray[np.float64]:
        """F, (2, 2): takes the undistorted lattice to this one by the smallest turn."""
        length = 4 * np.pi / (np.sqrt(3) * self.constant)
        angles = np.deg2rad([30.0, 90.0])
        ideal = length * np.column_stack([np.cos(angles), np.sin(angles)])
        turns = np.deg2rad(60.0 * np.arange(6))
        found = [
            np.linalg.inv(self.reciprocal)
            @ ideal
            @ np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
            for t in turns
        ]
        return max(found, key=lambda F: float(np.trace(polar(F)[0])))

    @property
    def angle(self) -> float:
        """Direction of a lattice vector from the scan lines, in radians between −π/6 and π/6."""
        turn = polar(self.deformation)[0]
        return float(np.arctan2(turn[1, 0], turn[0, 0]))

    @property
    def strain(self) -> tuple[float, float]:
        """Largest and smallest principal strain, relative elongations."""
        stretch = np.linalg.svd(self.deformation, compute_uv=False)
        return float(stretch[0] - 1), float(stretch[1] - 1)

    @property
    def strain_angle(self) -> float:
        """Direction of the largest elongation from the scan lines, in radians within ±π/2."""
        x, y = np.linalg.eigh(polar(self.deformation, side="left")[1])[1][:, -1]
        return float(np.arctan2(y, x) if x > 0 else np.arctan2(-y, -x))

    @property
    def scale(self) -> float:
        """Lengths in the scan over those of the undistorted lattice, averaged over directions."""
        return float(np.sqrt(np.linalg.det(self.deformation)))


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """A scan less its mean under a Hann window that sums to one, ready for its transform at any k."""

    windowed: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]

    @classmethod
    def of(cls, scan: STMMap) -> "_Spectrum":
        rows, columns = (np.hanning(n + 2)[1:-1] for n in scan.values.shape)
        window = np.outer(rows / rows.sum(), columns / columns.sum())
        return cls(window * (scan.values - (window * scan.values).sum()), *scan.axes)

    def at(self, k: NDArray) -> complex:
        """Σ w v exp(−ik·r) at one k, (2,) in 1/Å."""
        return complex(np.exp(-1j * k[1] * self.y) @ self.windowed @ np.exp(-1j * k[0] * self.x))

    @property
    def bins(self) -> NDArray[np.float64]:
        """Distance of Fourier components along x and y, (2,) in 1/Å."""
        return 2 * np.pi / np.array([np.ptp(axis) * len(axis) / (len(axis) - 1) for axis in (self.x, self.y)])

    def refined(self, k: NDArray) -> NDArray[np.float64]:
        """Maximum of the modulus next to k, (2,) in 1/Å."""
        steps = np.diag(self.bins / 2)
        found = minimize(
            lambda q: -abs(self.at(q)),
            k,
            method="Nelder-Mead",
            options={
                "initial_simplex": k + np.array([[0, 0], *steps]),
                "xatol": 1e-4 * self.bins.min(),
                "fatol": 0,
                "maxfev": 120,
            },
        )
        return np.asarray(found.x, dtype=float)


def _hexagon(spectrum: _Spectrum, shortest: float, longest: float) -> tuple[NDArray, float]:
    """The three brightest peaks 60° apart, (3, 2), with lengths in a ring; and the noise there."""
    kx, ky = (
        np.fft.fftshift(np.fft.fftfreq(len(axis), (axis[1] - axis[0]) / (2 * np.pi)))
        for axis in (spectrum.x, spectrum.y)
    )
    modulus = np.fft.fftshift(np.abs(np.fft.fft2(spectrum.windowed)))
    length = np.hypot(kx, ky[:, None])
    ring = (length >= shortest) & (length <= longest)
    noise = float(np.median(modulus[ring])) if ring.any() else 0.0
    around = maximum_filter(modulus, size=3, mode="wrap")
    rows, columns = np.nonzero(ring & (modulus == around) & (modulus > noise))
    strongest = np.argsort(modulus[rows, columns])[::-1][: 2 * _CANDIDATES]  # each peak with its mirror image
    rows, columns = rows[strongest], columns[strongest]
    k, height = np.column_stack([kx[columns], ky[rows]]), modulus[rows, columns]
    first, second = np.nonzero(_sixty_degrees(k))
    third = k[second] - k[first]
    column = np.clip(np.round((third[:, 0] - kx[0]) / spectrum.bins[0]).astype(int), 0, len(kx) - 1)
    row = np.clip(np.round((third[:, 1] - ky[0]) / spectrum.bins[1]).astype(int), 0, len(ky) - 1)
    brightness = height[first] * height[second] * around[row, column]
    if brightness.size == 0:
        return np.empty((0, 2)), noise
    best = int(np.argmax(brightness))
    return np.array([k[first[best]], k[second[best]], third[best]]), noise


def _sixty_degrees(k: NDArray) -> NDArray[np.bool_]:
    """Which pairs (i, j) are of like length with j some 60° counter-clockwise of i."""
    z = k[:, 0] + 1j * k[:, 1]
    ratio = z[None, :] / z[:, None]
    return np.abs(ratio - np.exp(1j * np.pi / 3)) < 0.2


def _fitted(scan: STMMap, what: str, spectrum: _Spectrum, ring: tuple[float, float]) -> tuple[NDArray, float]:
    """Reciprocal vectors (2, 2) of the brightest hexagon whose lengths lie in a ring, and the noise there."""
    start, noise = _hexagon(spectrum, *ring)
    peaks = np.array([spectrum.refined(k) for k in start])
    heights = np.array([abs(spectrum.at(k)) for k in peaks])
    if not len(peaks) or noise <= 0 or heights.min() < _SIGNIFICANT * noise:
        raise ValueError(f"{scan.source.name or 'the scan'} shows no Bragg peaks of {what}.")
    reciprocal = np.linalg.lstsq(heights[:, None] * HEXAGON, heights[:, None] * peaks, rcond=None)[0]
    if (np.abs(HEXAGON @ reciprocal - peaks) > spectrum.bins).any() or np.linalg.det(reciprocal) <= 0:
        raise ValueError(f"{scan.source.name or 'the scan'} has Bragg peaks that are no lattice of {what}.")
    return reciprocal, noise


def _primitive(
    spectrum: _Spectrum, reciprocal: NDArray, noise: float, shortest: float
) -> NDArray[np.float64]:
    """The coarsest reciprocal lattice that stands out of the noise and holds the given one."""

    def faintest(vectors: NDArray) -> float:
        return min(abs(spectrum.at(k)) for k in HEXAGON @ vectors)

    # Without noise it is the side lobes of the window that must not be taken for peaks.
    least = max(_SIGNIFICANT * noise, _FAINT * faintest(reciprocal))
    for step in _COARSER:
        vectors = step @ reciprocal
        if faintest(vectors) > least and np.linalg.norm(vectors, axis=1).min() > shortest:
            return _primitive(spectrum, vectors, noise, shortest)
    return reciprocal


def _described(
    spectrum: _Spectrum, reciprocal: NDArray, noise: float, constant: float | None = None
) -> BraggLattice:
    amplitudes = np.array([spectrum.at(k) for k in HEXAGON @ reciprocal])
    own = np.sqrt(8 * np.pi**2 / (np.sqrt(3) * np.linalg.det(reciprocal)))
    return BraggLattice(reciprocal, amplitudes, float(abs(amplitudes).min() / noise), constant or float(own))


def find_graphene(scan: STMMap, tolerance: float = 0.15) -> BraggLattice:
    """The atomic lattice of the layer under the tip, from its six Bragg peaks.

    Each peak is the maximum of the continuous Fourier transform under a Hann window; a 2×2 map is fitted
    to all of them. Against graphene's lattice constant it holds rotation, strain and scale, be they the
    layer's or errors of the scanner's calibration and drift: one scan cannot tell them apart.

    Parameters
    ----------
    scan : STMMap
        Levelled.
    tolerance : float
        How far the lattice's scale may be from graphene's, relative.

    Returns
    -------
    BraggLattice

    Raises
    ------
    ValueError
        If the pixels are too coarse for the atoms, no peaks stand out of the noise, or their scale is off.
    """
    length = 4 * np.pi / (np.sqrt(3) * GRAPHENE_LATTICE)
    if length * (1 + tolerance) > np.pi / max(scan.pixel):
        raise ValueError(
            f"{scan.source.name or 'the scan'} has pixels of {max(scan.pixel):.3g} Å; "
            f"{np.pi / length / (1 + tolerance):.2f} Å or less resolve graphene's lattice."
        )
    spectrum = _Spectrum.of(scan)
    # A wider ring than wanted: of peaks that lie outside, satellites would be taken for them.
    ring = (length * (1 - 2 * tolerance), length * (1 + 2 * tolerance))
    found = _described(spectrum, *_fitted(scan, "graphene", spectrum, ring), GRAPHENE_LATTICE)
    if abs(found.scale - 1) > tolerance:
        raise ValueError(
            f"{scan.source.name or 'the scan'} shows a lattice {found.scale:.2f} times as wide as graphene's."
        )
    return found


def find_moire(scan: STMMap) -> BraggLattice:
    """The moiré lattice, from its brightest satellites about zero; `constant` is its own mean period.

    They need not be the first six: with a node of the LDOS in the cell a farther shell can be brighter.

    Parameters
    ----------
    scan : STMMap
        Levelled, and a few moiré periods wide.

    Returns
    -------
    BraggLattice

    Raises
    ------
    ValueError
        If no six peaks stand out of the noise between a few periods per scan and 8 Å.
    """
    shortest = _LEAST_PERIODS * 2 * np.pi / min(scan.size)
    longest = min(4 * np.pi / (np.sqrt(3) * _MOIRE_LIMIT), np.pi / max(scan.pixel))
    spectrum = _Spectrum.of(scan)
    reciprocal, noise = _fitted(scan, "a moiré lattice", spectrum, (shortest, longest))
    return _described(spectrum, _primitive(spectrum, reciprocal, noise, shortest), noise)
