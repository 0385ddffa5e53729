"""The original study's imperfections, which act on the pixels of a picture of the transform.

They are kept to compare with. They are not what a microscope does: noise added to a magnitude is not
the transform of noise, and lines of the transform are not lines of the scan. The ranges and chances are
those of the code published with arXiv:2602.18890 (presets `mild`, `symb` and `noisy`), except that the
gain always changes last; in the original `mild` it comes before the noise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import affine_transform, convolve

Interval = tuple[float, float]

_KERNEL = 7  # pixels on each side of the blur's centre
_SHEAR_PER_STRAIN = np.deg2rad(10.0)  # the original shears by ten degrees times the strain


@dataclass(frozen=True)
class PixelImperfections:
    """Random changes to the pixels of a picture; each happens with its own chance.

    Parameters
    ----------
    strain, white, lines, blur, gain : pair of floats
        Ranges drawn from uniformly: relative strain; noise per pixel and per row, in the picture's
        unit, where 1 is white; width of the blur in pixels; relative change of the scale.
    ratio : pair of floats
        Longer over shorter width of the blur.
    shift : float
        Largest offset that comes with a change of scale.
    chances : tuple of five floats
        Chances of the strain, the white noise, the lines, the blur and the gain.
    """

    chances: tuple[float, float, float, float, float]
    strain: Interval = (0.0, 0.0)
    white: Interval = (0.0, 0.0)
    lines: Interval = (0.0, 0.0)
    blur: Interval = (0.5, 0.9)
    ratio: Interval = (1.0, 1.15)
    gain: Interval = (1.0, 1.0)
    shift: float = 0.01

    @classmethod
    def preset(cls, name: str) -> "PixelImperfections":
        """Ranges of the original: "mild", "symb" (symmetry-breaking strain) or "noisy"; ValueError else."""
        if name not in _PRESETS:
            raise ValueError(f"the preset is {name!r}; accepted are 'mild', 'symb' and 'noisy'.")
        return _PRESETS[name]

    def __call__(self, image: ArrayLike, rng: Generator) -> NDArray[np.float64]:
        """Change one picture.

        Parameters
        ----------
        image : array, shape (n, n)
            Grey levels in [0, 1], as `render` gives in the style "paper" over 255.
        rng : numpy Generator

        Returns
        -------
        numpy float array, shape (n, n)
            Not clipped.

        Raises
        ------
        ValueError
            If `image` is not a finite matrix.
        """
        pixels = np.array(image, dtype=float)
        if pixels.ndim != 2 or not np.isfinite(pixels).all():
            raise ValueError(f"image has shape {pixels.shape}; one finite picture (n, n) is needed.")
        happens = rng.random(5) < self.chances
        if happens[0]:
            pixels = _strained(pixels, rng.uniform(*self.strain))
        if happens[1]:
            pixels = pixels + rng.uniform(*self.white) * rng.standard_normal(pixels.shape)
        if happens[2]:
            pixels = pixels + rng.uniform(*self.lines) * rng.standard_normal((len(pixels), 1))
        if happens[3]:
            width, ratio = rng.uniform(*self.blur), rng.uniform(*self.ratio)
            pixels = _blurred(pixels, width, ratio, angle=rng.uniform(0, np.pi))
        if happens[4]:
            pixels = rng.uniform(*self.gain) * pixels + rng.uniform(-self.shift, self.shift)
        return pixels


_PRESETS = {
    "mild": PixelImperfections(
        chances=(0.0, 0.3, 0.2, 0.0, 0.3), white=(0.001, 0.005), lines=(0.005, 0.01), gain=(0.98, 1.02)
    ),
    "symb": PixelImperfections(chances=(0.8, 0.3, 0.0, 0.0, 0.0), strain=(0.01, 0.03), white=(0.001, 0.005)),
    "noisy": PixelImperfections(
        chances=(0.0, 0.3, 0.3, 0.25, 0.3), white=(0.004, 0.012), lines=(0.006, 0.015), gain=(0.95, 1.05)
    ),
}


def _strained(pixels: NDArray, strain: float) -> NDArray[np.float64]:
    """Enlarged by 1 + strain and sheared along the rows, about the centre; what comes in is black."""
    forward = (1 + strain) * np.array([[1.0, 0.0], [np.tan(_SHEAR_PER_STRAIN * strain), 1.0]])
    back = np.linalg.inv(forward)
    centre = (np.array(pixels.shape) - 1) / 2
    return affine_transform(pixels, back, centre - back @ centre, order=1)


def _blurred(pixels: NDArray, width: float, ratio: float, angle: float) -> NDArray[np.float64]:
    axis = np.arange(-_KERNEL, _KERNEL + 1)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    along = np.cos(angle) * x + np.sin(angle) * y
    across = np.cos(angle) * y - np.sin(angle) * x
    kernel = np.exp(-((across / width) ** 2 + (along / (ratio * width)) ** 2) / 2)
    return convolve(pixels, kernel / kernel.sum(), mode="constant")
