"""Scans as a microscope saved them: any supported file becomes one `STMMap`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_core.data import formats
from stm_core.data.formats import Recording
from stm_core.data.stm_files import holds_matrix

TEXTS = (".txt", ".dat", ".csv", ".asc")
PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".npy")
_READERS: dict[str, tuple[str, Callable[[Path], Recording]]] = {
    ".sxm": ("Nanonis scan", formats.read_sxm),
    ".3ds": ("Nanonis grid", formats.read_3ds),
    ".gwy": ("Gwyddion file", formats.read_gwy),
    **dict.fromkeys(TEXTS, ("matrix of numbers", formats.read_text)),
    **dict.fromkeys(PICTURES[:-1], ("picture", formats.read_picture)),
    ".npy": ("NumPy array", formats.read_array),
}
_MATRIX = ("Omicron Matrix image", formats.read_matrix)
SCAN_SUFFIXES = (*_READERS, ".*_mtrx")

# What a lock-in measured is the local density of states; failing that, the topography holds its integral.
_SPECTROSCOPY = re.compile(r"d[iz]\s*/?\s*dv|ldos|demod|lock.?in|\bli ?[xr]\b", re.I)
_TOPOGRAPHY = re.compile(r"^(z\b|topo)", re.I)
_LEAST = 8  # pixels per side below which there is nothing to find
_LARGEST = 1e30  # beyond any reading in SI units: such a value was never measured
_SIZES = (1.0, 1e7)  # Å: one atom to a millimetre
_SAME_BIAS = 1e-3  # V: a lock-in modulation


@dataclass(frozen=True, eq=False)
class STMMap:
    """One image of one channel, with its scale.

    Attributes
    ----------
    values : numpy float array, shape (ny, nx)
        All finite, in `unit`; rows ascend in y and columns in x.
    size : (float, float)
        Width and height in Å, counted from pixel edge to pixel edge.
    angle : float
        Counter-clockwise turn of the scan frame in the laboratory, in radians.
    bias : float
        Sample bias in V; NaN if the file does not say.
    channel, unit : str
        What was measured.
    channels : tuple of str
        Every channel of the file.
    source : Path
        The file.
    """

    values: NDArray[np.float64]
    size: tuple[float, float]
    angle: float = 0.0
    bias: float = float("nan")
    channel: str = "image"
    unit: str = ""
    channels: tuple[str, ...] = ("image",)
    source: Path = Path()

    @property
    def topography(self) -> str | None:
        """Name of the first channel of the file that holds the tip's height; None if none does."""
        return next((name for name in self.channels if _TOPOGRAPHY.search(name)), None)

    @property
    def pixel(self) -> tuple[float, float]:
        """Width and height of a pixel in Å."""
        ny, nx = self.values.shape
        return self.size[0] / nx, self.size[1] / ny

    @property
    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Places of the columns, (nx,), and rows, (ny,), in Å from the middle of the scan."""
        (ny, nx), (dx, dy) = self.values.shape, self.pixel
        return (np.arange(nx) - (nx - 1) / 2) * dx, (np.arange(ny) - (ny - 1) / 2) * dy


def _recording(path: Path) -> Recording:
    kind, reader = _READERS.get(path.suffix.lower(), ("", None))
    if path.suffix.lower().endswith("_mtrx"):
        kind, reader = _MATRIX
    if reader is None:
        raise ValueError(
            f"{path.name} has an unknown ending; files ending in {', '.join(SCAN_SUFFIXES)} are read."
        )
    if not path.is_file():
        raise ValueError(f"{path} does not exist; a scan file is needed.")
    try:
        return reader(path)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{path.name} needs {error.name} to be read: pip install -c constraints.txt '.[stm]'"
        ) from error
    except Exception as error:  # whatever a library meets in a damaged file
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise ValueError(f"{path.name} cannot be read as a {kind}: {reason}.") from error


def _choose_channel(path: Path, available: tuple[str, ...], channel: str | None) -> str:
    if channel is None:
        matches = [
            name for pattern in (_SPECTROSCOPY, _TOPOGRAPHY) for name in available if pattern.search(name)
        ]
        return (matches or list(available))[0]
    same = [name for name in available if name.lower() == channel.lower()]
    found = same or [name for name in available if channel.lower() in name.lower()]
    if not found or (len(found) > 1 and not same):
        raise ValueError(
            f"{path.name} has {'no' if not found else 'more than one'} channel {channel!r}; "
            f"it holds {', '.join(available)}."
        )
    return found[0]


def _choose_bias(path: Path, available: NDArray[np.float64], bias: float | None) -> int:
    """Position of the wanted bias, of the one closest to zero without a wish; -1 where none is stated."""
    if bias is not None and not np.isfinite(bias):
        raise ValueError(f"bias {bias:g} V is no bias of {path.name}; a finite one is needed.")
    if not available.size:
        return -1
    if not np.isfinite(available).all():
        raise ValueError(f"{path.name} states a bias that is not a number.")
    position = int(np.argmin(np.abs(available - (bias or 0.0))))
    reach = max(np.ptp(available) / max(len(available) - 1, 1) / 2, _SAME_BIAS) * (1 + 1e-6)
    if bias is not None and not abs(available[position] - bias) <= reach:
        low, high = available.min(), available.max()
        held = f"{low:g} V" if low == high else f"{low:g} to {high:g} V"
        raise ValueError(f"bias {bias:g} V is not in {path.name}; it was recorded at {held}.")
    return position


def _complete_lines(path: Path, values: NDArray) -> tuple[NDArray[np.float64], float]:
    """The longest run of lines that were recorded to their end, and its share of all lines."""
    if values.ndim != 2 or min(values.shape) < _LEAST:
        raise ValueError(
            f"{path.name} has shape {values.shape}; {_LEAST} x {_LEAST} pixels or more are needed."
        )
    measured = np.abs(values) < _LARGEST  # false for NaN as well
    edges = np.flatnonzero(np.diff(np.concatenate([[0], measured.all(axis=1), [0]])))
    lengths = edges[1::2] - edges[::2]
    if lengths.size == 0 or lengths.max() < _LEAST:
        raise ValueError(
            f"{path.name} has {lengths.max(initial=0)} complete lines in a row; at least {_LEAST} are needed."
        )
    start = edges[2 * int(np.argmax(lengths))]
    kept = values[start : start + lengths.max()].astype(np.float64)
    return kept, len(kept) / len(values)


def _checked_size(
    path: Path, recorded: tuple[float, float] | None, width: float | None, shape: tuple[int, int]
) -> tuple[float, float]:
    if width is not None:
        # The same pixels in both directions, unless the file knows the ratio of its sides.
        ratio = recorded[1] / recorded[0] if recorded and recorded[0] else shape[0] / shape[1]
        recorded = (width, width * ratio)
    if recorded is None:
        raise ValueError(f"{path.name} does not say how wide the scan is; give its width.")
    low, high = _SIZES
    if not all(low <= side <= high for side in recorded):
        raise ValueError(
            f"{path.name} is {recorded[0]:g} x {recorded[1]:g} Å; scans from {low:g} to {high:g} Å are read."
        )
    return recorded


def is_scan_file(path: Path) -> bool:
    """Whether `read_stm` knows the kind of a file; text counts if it holds a matrix, not an LDOS table."""
    suffix = path.suffix.lower()
    if suffix in TEXTS:
        return holds_matrix(path)
    return suffix in _READERS or suffix.endswith("_mtrx")


def read_stm(
    path: str | Path, channel: str | None = None, bias: float | None = None, width: float | None = None
) -> STMMap:
    """Read one image from a scanning tunnelling microscope's file.

    Nanonis scans (.sxm) and grids (.3ds), Omicron Matrix images (.Z_mtrx and the like, with the parameter
    file beside them), Gwyddion files (.gwy), matrices of numbers in text, pictures and NumPy arrays are
    read. The first three kinds need the extra ``stm``. Lines that were not finished are left out.

    Parameters
    ----------
    path : path
        The file.
    channel : str or None
        Name of the channel or a part of it that no other channel shares. None takes the first that looks
        like a lock-in's dI/dV, then the topography, then the first of all.
    bias : float or None
        In V, at or near a bias of the file, or that of a file that does not say it. None takes the bias of a
        scan, or the smallest of a grid.
    width : float or None
        Width of the scan in Å, for files that do not say it; it overrides one that they say.

    Returns
    -------
    STMMap

    Raises
    ------
    ValueError
        In one sentence with the file's name: a file that is missing, damaged or of no known kind, a channel
        or bias that it does not hold, no known or no sensible size, or too few pixels.
    ImportError
        If the library for this format is not installed; the sentence names the extra.
    """
    path = Path(path)
    recording = _recording(path)
    channels = tuple(recording.images)
    name = _choose_channel(path, channels, channel)
    position = _choose_bias(path, recording.bias, bias)
    image = recording.images[name]
    image = image[position] if image.ndim == 3 else image
    values, share = _complete_lines(path, image)
    across, along = _checked_size(path, recording.size, width, image.shape)
    if not np.isfinite(recording.angle):
        raise ValueError(f"{path.name} states a scan angle that is not a number.")
    return STMMap(
        values=values,
        size=(across, along * share),
        angle=float(recording.angle),
        bias=float(recording.bias[position]) if position >= 0 else float("nan" if bias is None else bias),
        channel=name,
        unit=recording.units[name],
        channels=channels,
        source=path,
    )
