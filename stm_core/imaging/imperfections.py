"""Imperfections of a microscope in the order in which a scan meets them, and their presets."""

from dataclasses import dataclass

from numpy.random import Generator

from stm_core.imaging.distortions import Imperfection, ThermalDrift, TipBlur, TipChange, UniaxialStrain
from stm_core.imaging.noise import FlickerNoise, GainDrift, ScanLineNoise, WhiteNoise
from stm_core.imaging.scan import ScanMap

# Every strength is drawn anew for each scan. "mild" is a good day at low temperature, "noisy" a bad one;
# "strain" adds the strain of a real device to a good day.
_MILD: tuple[Imperfection, ...] = (
    TipBlur(width=(0.0, 0.03)),
    ThermalDrift(rate=(0.0, 0.03)),
    GainDrift(percent=(0.0, 2.0)),
    FlickerNoise(height=(0.0, 0.3)),
    ScanLineNoise(height=(0.0, 0.3)),
    WhiteNoise(percent=(0.0, 1.0)),
)
_NOISY: tuple[Imperfection, ...] = (
    TipBlur(width=(0.02, 0.05), ratio=(1.0, 1.5)),
    ThermalDrift(rate=(0.03, 0.1)),
    TipChange(shift=(0.0, 0.2), height=(0.0, 3.0)),
    GainDrift(percent=(2.0, 6.0)),
    FlickerNoise(height=(0.5, 2.0)),
    ScanLineNoise(height=(0.5, 2.0)),
    WhiteNoise(percent=(2.0, 8.0)),
)
_PRESETS: dict[str, tuple[Imperfection, ...]] = {
    "mild": _MILD,
    "strain": (UniaxialStrain(percent=(0.3, 2.0)), *_MILD),
    "noisy": _NOISY,
}


@dataclass(frozen=True)
class Imperfections:
    """Several imperfections, one after the other.

    Parameters
    ----------
    steps : tuple of Imperfection
        In the order of their action: on the sample, on the tip, on its way, on the signal.

    Examples
    --------
    >>> import numpy as np
    >>> scan = ScanMap(np.ones((4, 4)), pixel=0.5)
    >>> noisy = Imperfections((WhiteNoise(percent=5.0),))(scan, np.random.default_rng(0))
    >>> noisy.values.shape
    (4, 4)
    """

    steps: tuple[Imperfection, ...]

    @classmethod
    def preset(cls, name: str) -> "Imperfections":
        """Imperfections by the name of a day at the microscope: "mild", "strain" or "noisy".

        Raises
        ------
        ValueError
            If the name is another one.
        """
        if name not in _PRESETS:
            raise ValueError(f"the preset is {name!r}; accepted are 'mild', 'strain' and 'noisy'.")
        return cls(_PRESETS[name])

    def __call__(self, scan: ScanMap, rng: Generator) -> ScanMap:
        """Apply every step.

        Parameters
        ----------
        scan : ScanMap
            Left as it is.
        rng : numpy Generator
            The same state gives the same map.

        Returns
        -------
        ScanMap
            Of the same pixels, unless a window was cut.
        """
        for step in self.steps:
            scan = step(scan, rng)
        return scan
