"""What is added to a map by the electronics and the piezo: gain drift, lines, 1/f and white noise.

Noise of the tip's height acts through the vacuum tail: raising the tip by δz multiplies the signal by
exp(−2κδz), 2 % for each picometre at a work function of 4.5 eV.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from stm_core.imaging.distortions import Amount, Imperfection, draw, tip_raised
from stm_core.imaging.scan import ScanMap


@dataclass(frozen=True)
class GainDrift(Imperfection):
    """The gain walks at random from line to line.

    Parameters
    ----------
    percent : float or pair
        Root mean square change of the gain over the whole scan, in %.
    """

    percent: Amount
    label: ClassVar[str] = "gain drift"
    unit: ClassVar[str] = "%"

    def __call__(self, scan: ScanMap, rng: Generator) -> ScanMap:
        lines = len(scan.values)
        steps = rng.standard_normal(lines - 1) * draw(self.percent, rng) / 100 / np.sqrt(lines - 1)
        gain = 1 + np.concatenate([[0.0], np.cumsum(steps)])
        return replace(scan, values=scan.values * gain[:, None])


@dataclass(frozen=True)
class HeightNoise(Imperfection):
    """The tip moves up and down while it scans.

    Parameters
    ----------
    height : float or pair
        Root mean square height in pm.
    work_function : float
        Φ in eV.
    """

    height: Amount
    work_function: float = 4.5
    unit: ClassVar[str] = "pm"

    def __call__(self, scan: ScanMap, rng: Generator) -> ScanMap:
        picometres = draw(self.height, rng) * self.motion(scan.values.shape, rng)
        return replace(scan, values=tip_raised(scan.values, picometres, self.work_function))

    def motion(self, shape: tuple[int, ...], rng: Generator) -> NDArray[np.float64]:
        """Heights of unit variance, of a shape that goes with (ny, nx)."""
        raise NotImplementedError


class ScanLineNoise(HeightNoise):
    """Every line is drawn at a slightly different height. Parameters as in `HeightNoise`."""

    label: ClassVar[str] = "scan-line noise"

    def motion(self, shape: tuple[int, ...], rng: Generator) -> NDArray[np.float64]:
        """One height for each line, (ny, 1)."""
        return rng.standard_normal((shape[0], 1))


class FlickerNoise(HeightNoise):
    """The tip's height wanders in time with a power spectrum 1/f, pixel after pixel and line after line.

    Parameters as in `HeightNoise`.
    """

    label: ClassVar[str] = "1/f noise"

    def motion(self, shape: tuple[int, ...], rng: Generator) -> NDArray[np.float64]:
        """One height for each pixel, (ny, nx)."""
        ny, nx = shape
        # A line takes as long to come back as to draw; the way back is drawn and thrown away.
        spectrum = np.fft.rfft(rng.standard_normal(2 * ny * nx))
        index = np.arange(len(spectrum))
        spectrum = np.where(index > 0, spectrum / np.sqrt(np.maximum(index, 1)), 0.0)
        height = np.fft.irfft(spectrum, n=2 * ny * nx)
        return np.asarray(height / height.std()).reshape(ny, 2, nx)[:, 0]


@dataclass(frozen=True)
class WhiteNoise(Imperfection):
    """Independent Gaussian noise on every pixel.

    Parameters
    ----------
    percent : float or pair
        Root mean square in % of the map's mean magnitude.
    """

    percent: Amount
    label: ClassVar[str] = "white noise"
    unit: ClassVar[str] = "%"

    def __call__(self, scan: ScanMap, rng: Generator) -> ScanMap:
        level = draw(self.percent, rng) / 100 * np.abs(scan.values).mean()
        return replace(scan, values=scan.values + level * rng.standard_normal(scan.values.shape))
