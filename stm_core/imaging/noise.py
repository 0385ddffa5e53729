"""What is added to a map by the electronics and the piezo: gain drift, lines, 1/f and white noise.

Noise of the tip's height acts through the vacuum tail: raising the tip by δz multiplies the signal by
exp(−2κδz), 2 % for each picometre at a work function of 4.5 eV.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.random import Generator

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
class ScanLineNoise(Imperfection):
    """Every line is drawn at a slightly different height.

    Parameters
    ----------
    height : float or pair
        Root mean square height in pm.
    work_function : float
        Φ in eV.
    """

    height: Amount
    work_function: float = 4.5
    label: ClassVar[str] = "scan-line noise"
    unit: ClassVar[str] = "pm"

    def __call__(self, scan: ScanMap, rng: Generator) -> ScanMap:
        heights = draw(self.height, rng) * rng.standard_normal((len(scan.values), 1))
        return replace(scan, values=tip_raised(scan.values, heights, self.work_function))


@dataclass(frozen=True)
class FlickerNoise(Imperfection):
    """The tip's height wanders in time with a power spectrum 1/f, pixel after pixel and line after line.

    Parameters
    ----------
    height : float or pair
        Root mean square height in pm.
    work_function : float
        Φ in eV.
    """

    height: Amount
    work_function: float = 4.5
    label: ClassVar[str] = "1/f noise"
    unit: ClassVar[str] = "pm"

    def __call__(self, scan: ScanMap, rng: Generator) -> ScanMap:
        ny, nx = scan.values.shape
        # A line takes as long to come back as to draw; the way back is drawn and thrown away.
        spectrum = np.fft.rfft(rng.standard_normal(2 * ny * nx))
        index = np.arange(len(spectrum))
        spectrum = np.where(index > 0, spectrum / np.sqrt(np.maximum(index, 1)), 0.0)
        height = np.fft.irfft(spectrum, n=2 * ny * nx)
        height *= draw(self.height, rng) / height.std()
        forward = height.reshape(ny, 2, nx)[:, 0]
        return replace(scan, values=tip_raised(scan.values, forward, self.work_function))


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
