"""What moves or smears a map: strain, thermal drift, the tip's shape and its changes, a finite window.

A parameter is a number, or a pair (low, high) from which each call draws uniformly.
"""

from dataclasses import dataclass, fields, replace
from typing import ClassVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from stm_core.imaging.scan import ScanMap, decay_constant
from stm_core.simulation.strain import uniaxial

Amount = float | tuple[float, float]

_PM = 0.01  # Å
_NM = 10.0  # Å
_MINUTE = 60.0  # s
# Cubic splines lose one per cent of graphene's first Bragg peaks at half an ångström per pixel; fifth
# order loses a tenth of that.
_SPLINE = 5


def check_amount(name: str, amount: Amount, signed: bool = False) -> None:
    """Raise ValueError unless `amount` is a number or an ascending pair, neither below zero unless signed."""
    ends = np.atleast_1d(np.asarray(amount, dtype=float))
    if ends.size > 2 or not np.isfinite(ends).all() or (ends[0] < 0 and not signed):
        kind = "finite number" if signed else "finite number that is not negative"
        raise ValueError(f"{name} is {amount!r}; a {kind}, or a pair of them, is needed.")
    if ends[0] > ends[-1]:
        raise ValueError(f"{name} is {amount!r}; the lower end comes first.")


def draw(amount: Amount, rng: Generator) -> float:
    """A number as it is, or one drawn uniformly from a pair."""
    ends = np.atleast_1d(amount)
    return float(rng.uniform(ends[0], ends[-1]))


@dataclass(frozen=True)
class Imperfection:
    """One imperfection: ``imperfection(scan, rng)`` returns a new map.

    The first field of a subclass is its strength, in `unit`. A direction left at None is drawn at each
    call.

    Raises
    ------
    ValueError
        If a parameter is negative, not finite, or a pair in descending order.
    """

    label: ClassVar[str]
    unit: ClassVar[str]

    def __post_init__(self) -> None:
        for entry in fields(self):
            amount, is_angle = getattr(self, entry.name), entry.name == "angle"
            if not (is_angle and amount is None):
                check_amount(f"{entry.name} of the {self.label}", amount, signed=is_angle)

    def __call__(self, scan: ScanMap, rng: Generator) -> ScanMap:
        raise NotImplementedError

    def describe(self) -> str:
        """Name and strength, such as "thermal drift 0.2 nm/min"."""
        strength = np.atleast_1d(getattr(self, fields(self)[0].name))
        return f"{self.label} {'–'.join(f'{end:g}' for end in strength)} {self.unit}"


def _direction(angle: Amount | None, rng: Generator) -> float:
    return draw((0.0, np.pi) if angle is None else angle, rng)


def tip_raised(values: NDArray, picometres: NDArray | float, work_function: float) -> NDArray[np.float64]:
    """The signal after the tip has moved up by `picometres`: it falls as exp(−2κδz)."""
    return values * np.exp(-2 * decay_constant(work_function) * _PM * np.asarray(picometres))


def _resampled(values: NDArray, matrix: NDArray, shift: NDArray) -> NDArray[np.float64]:
    """The map whose pixel r (x, y from the centre) shows what stood at matrix @ r + shift, in pixels."""
    flipped = matrix[::-1, ::-1]  # from (x, y) to (row, column)
    centre = (np.array(values.shape) - 1) / 2
    offset = centre - flipped @ centre + shift[::-1]
    return affine_transform(values, flipped, offset, order=_SPLINE, mode="mirror")


@dataclass(frozen=True)
class UniaxialStrain(Imperfection):
    """Elongation of the whole map along a direction, with graphene's sideways contraction.

    Strain common to both layers, or a wrong calibration of the scanner, does this; the heterostrain of
    a simulated surface is `SurfaceLDOS.heterostrained`.

    Parameters
    ----------
    percent : float or pair
        Elongation in %.
    angle : float, pair or None
        Direction in radians from x.
    """

    percent: Amount
    angle: Amount | None = None
    label: ClassVar[str] = "uniaxial strain"
    unit: ClassVar[str] = "%"

    def __call__(self, scan: ScanMap, rng: Generator) -> ScanMap:
        tensor = uniaxial(draw(self.percent, rng) / 100, _direction(self.angle, rng))
        back = np.linalg.inv(np.eye(2) + tensor)
        return replace(scan, values=_resampled(scan.values, back, np.zeros(2)))


@dataclass(frozen=True)
class ThermalDrift(Imperfection):
    """The sample moves at a constant speed while the lines are drawn, which shears the map.

    Parameters
    ----------
    rate : float or pair
        Speed in nm/min; time runs by the scan's `line_time`.
    angle : float, pair or None
        Direction of the motion in radians from x; drawn from the full circle where None.
    """

    rate: Amount
    angle: Amount | None = None
    label: ClassVar[str] = "thermal drift"
    unit: ClassVar[str] = "nm/min"

    def __call__(self, scan: ScanMap, rng: Generator) -> ScanMap:
        angle = draw((0.0, 2 * np.pi) if self.angle is None else self.angle, rng)
        per_line = draw(self.rate, rng) * _NM / _MINUTE * scan.line_time / scan.pixel
        moved = per_line * np.array([np.cos(angle), np.sin(angle)])
        # A pixel is reached later by one line for each row, and by half a line along its own (the other
        # half is the way back).
        time = np.array([0.5 / scan.values.shape[1], 1.0])
        return replace(scan, values=_resampled(scan.values, np.eye(2) - np.outer(moved, time), np.zeros(2)))


@dataclass(frozen=True)
class TipBlur(Imperfection):
    """A tip that averages over a Gaussian spot, longer in one direction than in the other.

    Parameters
    ----------
    width : float or pair
        Standard deviation along the short axis in nm.
    ratio : float or pair
        Of the long to the short axis; 1 is isotropic.
    angle : float, pair or None
        Direction of the long axis in radians from x.
    """

    width: Amount
    ratio: Amount = 1.0
    angle: Amount | None = None
    label: ClassVar[str] = "tip blur"
    unit: ClassVar[str] = "nm"

    def __call__(self, scan: ScanMap, rng: Generator) -> ScanMap:
        short = draw(self.width, rng) * _NM / scan.pixel
        long = short * draw(self.ratio, rng)
        angle = _direction(self.angle, rng)
        # The product with the Gaussian's transform is exact for any width, also below a pixel.
        margin = int(np.ceil(4 * max(short, long)))
        padded = np.pad(scan.values, margin, mode="symmetric")
        qy, qx = (2 * np.pi * np.fft.fftfreq(n) for n in padded.shape)
        qx = qx[: padded.shape[1] // 2 + 1]
        along = np.add.outer(np.sin(angle) * qy, np.cos(angle) * qx)
        across = np.add.outer(np.cos(angle) * qy, -np.sin(angle) * qx)
        passed = np.exp(-((along * long) ** 2 + (across * short) ** 2) / 2)
        blurred = np.fft.irfft2(np.fft.rfft2(padded) * passed, s=padded.shape)
        ny, nx = scan.values.shape
        return replace(scan, values=blurred[margin : margin + ny, margin : margin + nx])


@dataclass(frozen=True)
class TipChange(Imperfection):
    """At one line the tip picks something up: from there on it is higher and stands elsewhere.

    Parameters
    ----------
    shift : float or pair
        Sideways jump of the place it sees, in nm.
    height : float or pair
        Upward jump in pm.
    at : float or pair
        Share of the lines drawn before the change.
    angle : float, pair or None
        Direction of the jump in radians from x.
    work_function : float
        Φ in eV.
    """

    shift: Amount
    height: Amount = 0.0
    at: Amount = (0.1, 0.9)
    angle: Amount | None = None
    work_function: float = 4.5
    label: ClassVar[str] = "tip change"
    unit: ClassVar[str] = "nm"

    def __call__(self, scan: ScanMap, rng: Generator) -> ScanMap:
        step = draw(self.shift, rng) * _NM / scan.pixel
        angle = draw((0.0, 2 * np.pi) if self.angle is None else self.angle, rng)
        height, at = draw(self.height, rng), draw(self.at, rng)
        jumped = _resampled(scan.values, np.eye(2), step * np.array([np.cos(angle), np.sin(angle)]))
        first = int(np.clip(round(at * len(scan.values)), 0, len(scan.values)))
        after = tip_raised(jumped[first:], height, self.work_function)
        return replace(scan, values=np.vstack([scan.values[:first], after]))


@dataclass(frozen=True)
class FiniteWindow(Imperfection):
    """Only a square in the middle of the map is recorded.

    Parameters
    ----------
    size : float or pair
        Side of the square in nm.
    """

    size: Amount
    label: ClassVar[str] = "finite window"
    unit: ClassVar[str] = "nm"

    def __call__(self, scan: ScanMap, rng: Generator) -> ScanMap:
        size = draw(self.size, rng)
        ny, nx = scan.values.shape
        kept = round(size * _NM / scan.pixel)
        if not 2 <= kept <= min(ny, nx):
            sides = [n * scan.pixel / _NM for n in (2, min(ny, nx))]
            raise ValueError(
                f"a window of {size:g} nm does not fit this map; {sides[0]:g} to {sides[1]:g} nm do."
            )
        row, column = (ny - kept) // 2, (nx - kept) // 2
        values = scan.values[row : row + kept, column : column + kept]
        return replace(scan, values=values, origin=scan.origin + scan.pixel * np.array([column, row]))
