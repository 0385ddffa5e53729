"""From the magnitude of a transform to a square picture of the size a network takes."""

from functools import cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from numpy.typing import ArrayLike, NDArray
from PIL import Image

STYLES = ("linear", "paper")


def area_weights(n: int, size: int) -> NDArray[np.float64]:
    """Weights that average `n` pixels into `size` equal intervals, cut pixels counted by their share.

    Parameters
    ----------
    n, size : int
        Pixels before and after, 1 ≤ size ≤ n.

    Returns
    -------
    numpy float array, shape (size, n)
        Each row sums to one.

    Raises
    ------
    ValueError
        If `size` is not a whole number between 1 and `n`.
    """
    if int(size) != size or not 1 <= size <= n:
        raise ValueError(f"size is {size!r}; an image of {n} points can be averaged to 1 to {n} pixels.")
    edges = np.linspace(0.0, n, int(size) + 1)
    pixel = np.arange(n)
    overlap = np.minimum(edges[1:, None], pixel + 1.0) - np.maximum(edges[:-1, None], pixel)
    return np.clip(overlap, 0.0, None) * (size / n)


@cache
def _turbo_grey() -> NDArray[np.uint8]:
    """Grey of each colour of `turbo`, (256,): the same picture as by way of colours, several times sooner."""
    colours = matplotlib.colormaps["turbo"](np.arange(256), bytes=True)[None, :, :3]
    return np.asarray(Image.fromarray(np.ascontiguousarray(colours)).convert("L"))[0]


def _paper_grey(image: NDArray, size: int) -> NDArray[np.uint8]:
    # Normalize() without limits takes the image's own minimum and maximum, as imshow does.
    share = np.ma.getdata(Normalize()(image))
    colour = np.minimum((256 * share).astype(np.int16), 255)
    grey = Image.fromarray(_turbo_grey()[colour])
    return np.asarray(grey.resize((size, size), Image.Resampling.BILINEAR))


def render(image: ArrayLike, size: int = 256, style: str = "linear") -> NDArray[Any]:
    """Reduce an FT-LDOS magnitude to a picture.

    Parameters
    ----------
    image : array, shape (n, n) or (..., n, n)
        Magnitudes; rows and columns keep their order.
    size : int
        Pixels per side of the picture, at most n.
    style : str
        "linear": area average, no scaling, so that intensities can be compared between pictures.
        "paper": each picture on its own minimum and maximum through matplotlib's `turbo` colour map,
        to grey by the ITU-R 601 weights (PIL "L"), resized by PIL's bilinear filter. This is the
        renderer of arXiv:2602.18890 without its passage through a figure file; it loses the absolute
        intensity, and its grey falls where turbo passes from green to red.

    Returns
    -------
    numpy array, shape (size, size) or (..., size, size)
        float32 in the unit of `image` ("linear"), or uint8 grey levels 0…255 ("paper").

    Raises
    ------
    ValueError
        If the style is unknown, the image is not square or not finite, or `size` exceeds n.

    Examples
    --------
    >>> render([[1.0, 3.0], [5.0, 7.0]], size=1)
    array([[4.]], dtype=float32)
    """
    if style not in STYLES:
        raise ValueError(f"style is {style!r}; accepted are 'linear' and 'paper'.")
    pixels = np.asarray(image)
    if pixels.dtype not in (np.float32, np.float64):
        pixels = pixels.astype(float)
    if pixels.ndim < 2 or pixels.shape[-1] != pixels.shape[-2]:
        raise ValueError(f"image has shape {pixels.shape}; a square (n, n) or a stack (..., n, n) is needed.")
    if not np.isfinite(pixels).all():
        raise ValueError("image holds NaN or infinite values; every pixel must be finite.")
    weights = area_weights(pixels.shape[-1], size)
    if style == "linear":
        weights = weights.astype(pixels.dtype)
        return (weights @ pixels @ weights.T).astype(np.float32)
    stack = pixels.reshape(-1, *pixels.shape[-2:])
    return np.stack([_paper_grey(one, int(size)) for one in stack]).reshape(*pixels.shape[:-2], size, size)
