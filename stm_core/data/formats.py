"""Readers of the file formats that microscopes and their software write, one function each.

Every reader returns a `Recording` whose rows ascend in y and raises whatever its library raises;
`stm_core.data.instruments` turns that into one sentence. Sizes that a header declares are held
against the length of the file before anything of that size is made.
"""

import contextlib
import io
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ANGSTROM = 1e10  # Å in a metre, the unit of every instrument format
_PREFIXES = {"": 1.0, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3, "k": 1e3}
_NUMBER = r"\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*"
_SEPARATOR = re.compile(r"[,\s;]+")
_GREY_MODES = ("L", "F", "I", "I;16", "I;16B", "I;16L")


@dataclass(frozen=True, eq=False)
class Recording:
    """All that one file holds.

    Attributes
    ----------
    images : mapping of str to numpy float array, shape (ny, nx) or (n_bias, ny, nx)
        By channel, in the order of the file; rows ascend in y. A channel swept over the bias has three axes.
    units : mapping of str to str
        Unit of each channel, "" where the file has none.
    size : (float, float) or None
        Width and height of the scan in Å; None where the file does not say.
    angle : float
        Counter-clockwise turn of the scan frame, in radians.
    bias : numpy float array, shape (n_bias,)
        Sample bias in V; empty where the file does not say.
    """

    images: Mapping[str, NDArray]
    units: Mapping[str, str]
    size: tuple[float, float] | None
    angle: float = 0.0
    bias: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


def quantity(text: object, base: str) -> float | None:
    """The number in text such as "20.5 nm" in the unit `base` ("m" or "V"); None if it is no such text."""
    if base == "m" and (found := re.fullmatch(_NUMBER + "[ÅÅ]", str(text).strip())):
        return float(found[1]) / ANGSTROM
    found = re.fullmatch(_NUMBER + f"([{''.join(_PREFIXES)}]?){base}", str(text).strip())
    return float(found[1]) * _PREFIXES[found[2]] if found else None


def read_sxm(path: Path) -> Recording:
    """A Nanonis scan: every channel forward and, where it was recorded, backward."""
    from nanonispy2.read import Scan

    class Frames(Scan):
        def _load_data(self) -> dict[str, Any]:
            # The library expects both directions of every channel; a scan may hold one alone.
            table, (nx, ny) = self.header["data_info"], self.header["scan_pixels"]
            names = [
                f"{name} {direction}"
                for name, kept in zip(table["Name"], table["Direction"], strict=True)
                for direction in ("forward", "backward")
                if kept in ("both", direction)
            ]
            data = np.fromfile(self.fname, ">f4", offset=self.byte_offset)
            if min(nx, ny) < 1 or not names or data.size != len(names) * int(nx) * int(ny):
                raise ValueError(
                    f"its header declares {len(names)} images of {nx} x {ny} pixels, "
                    f"but {data.size} values follow"
                )
            return dict(zip(names, data.reshape(len(names), ny, nx), strict=True))

    with _quiet():
        scan = Frames(str(path))
    header, table = scan.header, scan.header["data_info"]
    # The first line recorded is the lowest of an upward scan; a backward line is recorded from its right end.
    rows = slice(None, None, -1 if header["scan_dir"] == "down" else 1)
    images = {
        name: image[rows, :: -1 if name.endswith("backward") else 1] for name, image in scan.signals.items()
    }
    units = dict(zip(table["Name"], table["Unit"], strict=True))
    width, height = header["scan_range"]
    return Recording(
        images,
        {name: units[name.rsplit(" ", 1)[0]] for name in images},
        (float(width) * ANGSTROM, float(height) * ANGSTROM),
        np.deg2rad(float(header["scan_angle"])),
        np.array([header["bias"]], dtype=float),
    )


def read_3ds(path: Path) -> Recording:
    """A Nanonis grid of spectra: every channel over the bias, and the height of the tip."""
    from nanonispy2.read import Grid

    class Spectra(Grid):
        def _load_data(self) -> dict[str, Any]:
            # The library fills up what a shortened file lacks, whatever size its header declares, by a
            # resize in place that NumPy refuses under a tracer; a grid that was stopped ends anywhere.
            (nx, ny), length = self.header["dim_px"], self.header["num_sweep_signal"]
            parameters, channels = self.header["num_parameters"], self.header["num_channels"]
            if min(nx, ny, length, channels) < 1 or parameters < 0:
                raise ValueError(f"its header declares {nx} x {ny} spectra of {length} points")
            values = np.fromfile(self.fname, self.data_format, offset=self.byte_offset)
            point = parameters + length * channels
            lines = min(len(values) // (nx * point), ny)
            if not lines:
                raise ValueError(
                    f"its header declares {nx} x {ny} spectra of {length} points in {channels} channels, "
                    f"but only {len(values)} values follow"
                )
            width, height = self.header["size_xy"]
            self.header |= {"dim_px": [nx, lines], "size_xy": [width, height * lines / ny]}
            spectra = values[: lines * nx * point].reshape(lines, nx, point)
            head, *curves = np.split(spectra, parameters + length * np.arange(channels), axis=-1)
            return {"params": head, **dict(zip(self.header["channels"], curves, strict=True))}

    with _quiet():
        grid = Spectra(str(path))
    header = grid.header
    if "bias" not in header["sweep_signal"].lower():
        raise ValueError(f"it sweeps {header['sweep_signal']!r}, and only sweeps of the bias are read")
    images: dict[str, NDArray] = {name: np.moveaxis(grid.signals[name], -1, 0) for name in header["channels"]}
    parameters = [*_listed(header["fixed_parameters"]), *_listed(header["experimental_parameters"])]
    if "Z (m)" in parameters:
        images["Z (m)"] = grid.signals["params"][:, :, parameters.index("Z (m)")]
    width, height = header["size_xy"]
    return Recording(
        images,
        {name: found[1] if (found := re.search(r"\((.*)\)", name)) else "" for name in images},
        (width * ANGSTROM, height * ANGSTROM),
        np.deg2rad(header["angle"]),
        np.asarray(grid.signals["sweep_signal"], dtype=float),
    )


def _listed(entry: str | list[str]) -> list[str]:
    return [entry] if isinstance(entry, str) else entry


@contextlib.contextmanager
def _quiet() -> Any:
    """nanonispy2 prints what it stumbles over, before it raises."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_matrix(path: Path) -> Recording:
    """An Omicron Matrix image (``….Z_mtrx``) with the parameter file (``…_0001.mtrx``) beside it."""
    from access2thematrix import MtrxData

    if "(" in path.name:
        raise ValueError("it holds spectroscopy curves; an image channel such as Z_mtrx or I_mtrx is needed")
    data = MtrxData()
    traces, message = data.open(str(path))
    if not traces:
        beside = f"{path.name.rpartition('--')[0]}_0001.mtrx"
        known = path.with_name(beside).is_file()
        raise ValueError(message if known else f"its parameter file {beside} is not beside it")
    frames = {name: data.select_image(name)[0] for name in traces.values()}
    first = next(iter(frames.values()))
    channel, unit = data.channel_name_and_unit
    # A scan that was stopped on its way back holds fewer lines in that direction.
    images = {
        f"{channel} {name}": frame.data
        for name, frame in frames.items()
        if frame.data.shape == first.data.shape
    }
    gap = data.param.get("EEPA::GapVoltageControl.Voltage")
    return Recording(
        images,
        dict.fromkeys(images, {"Meter": "m", "Ampere": "A", "Volt": "V"}.get(unit, unit)),
        (first.width * ANGSTROM, first.height * ANGSTROM),
        np.deg2rad(getattr(first, "angle", 0.0)),
        np.array([gap[0]] if gap else [], dtype=float),
    )


class _Bounded(bytes):
    """Bytes that refuse to be read past their end, where gwyfile would go round for ever."""

    def find(self, *where: Any) -> int:
        return self.index(*where)

    def __getitem__(self, place: Any) -> Any:
        part = super().__getitem__(place)
        if not isinstance(place, slice):
            return part
        if place.stop is not None and place.stop > len(self):
            raise ValueError(f"it ends {place.stop - len(self)} bytes before one of its parts does")
        return _Bounded(part)


def read_gwy(path: Path) -> Recording:
    """A Gwyddion file: every data field, by its title."""
    from gwyfile.objects import GwyDataField, GwyObject

    content = path.read_bytes()
    if content[:4] != b"GWYP":
        raise ValueError("it does not begin with GWYP")
    container = GwyObject.frombuffer(_Bounded(content[4:]))
    images, units, sizes, bias = {}, {}, {}, {}
    for key, entry in container.items():
        number = re.fullmatch(r"/(\d+)/data", key)
        if not number or not isinstance(entry, GwyDataField):
            continue
        title = str(container.get(f"{key}/title", f"channel {number[1]}"))
        name = title if title not in images else f"{title} ({number[1]})"
        images[name] = np.asarray(entry.data, dtype=float)[::-1]
        units[name] = str((entry.si_unit_z or {}).get("unitstr", ""))
        sizes[name] = (float(entry.xreal) * ANGSTROM, float(entry.yreal) * ANGSTROM)
        bias[name] = quantity((container.get(f"/{number[1]}/meta") or {}).get("Bias"), "V")
    if not images:
        raise ValueError("it holds no data field")
    if len(set(sizes.values())) > 1 or len({image.shape for image in images.values()}) > 1:
        raise ValueError("its data fields differ in size; save the one wanted in a file of its own")
    volts = {value for value in bias.values() if value is not None}
    return Recording(
        images, units, next(iter(sizes.values())), 0.0, np.array([volts.pop()] if len(volts) == 1 else [])
    )


def read_text(path: Path) -> Recording:
    """A matrix of numbers, first line on top, as Gwyddion exports it: ``# Width: 20 nm`` may stand above."""
    lines = path.read_text(encoding="utf-8", errors="replace").lstrip("\ufeff").splitlines()
    notes = {
        found[1].strip().lower(): found[2].strip()
        for line in lines
        if (found := re.match(r"\s*#\s*([\w ]+):(.*)", line))
    }
    data = [line.strip(" \t,;") for line in lines]
    rows = [_SEPARATOR.split(line) for line in data if line and line[0] != "#"]
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        raise ValueError("its lines differ in length" if widths else "it is empty")
    name = notes.get("channel", "image")
    width, height = (quantity(notes.get(side), "m") for side in ("width", "height"))
    bias = quantity(notes.get("bias"), "V")
    return Recording(
        {name: np.array(rows, dtype=np.float64)[::-1]},
        {name: notes.get("value units", "")},
        (width * ANGSTROM, height * ANGSTROM) if width is not None and height is not None else None,
        bias=np.array([] if bias is None else [bias]),
    )


def read_picture(path: Path) -> Recording:
    """Grey levels of a picture file, whose first row is on top; colours become their brightness."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path) as picture:
            grey = picture if picture.mode in _GREY_MODES else picture.convert("L")
            values = np.asarray(grey, dtype=np.float64)[::-1]
    return Recording({"image": values}, {"image": ""}, None)


def read_array(path: Path) -> Recording:
    """A NumPy array of shape (ny, nx) whose rows ascend in y."""
    # A memory map is refused where the file is shorter than its header says.
    stored = np.load(path, mmap_mode="r", allow_pickle=False)
    if stored.dtype.kind not in "fiub" or stored.ndim != 2:
        raise ValueError(f"it holds {stored.dtype} of shape {stored.shape}; (ny, nx) real numbers are needed")
    return Recording({"image": np.array(stored, dtype=np.float64)}, {"image": ""}, None)
