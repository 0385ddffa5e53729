"""Writers of small valid files, byte by byte as the instruments lay them out."""

import struct
from pathlib import Path

import numpy as np
from gwyfile.objects import GwyContainer, GwyDataField, GwyObject
from PIL import Image

NY, NX = 10, 12
SIZE = (24.0, 30.0)  # Å, width and height
BIAS = 0.02  # V
ANGLE = 15.0  # degrees
Z = 1e-10 * np.random.default_rng(0).uniform(1, 2, (NY, NX)).astype(np.float32).astype(float)
DIDV = 3e-12 * np.random.default_rng(1).uniform(1, 2, (NY, NX)).astype(np.float32).astype(float)
SWEEP = np.array([-0.06, -0.02, 0.02, 0.06])
SPECTRA = np.stack([DIDV * (1 + volt) for volt in SWEEP]).astype(np.float32).astype(float)


def write_sxm(path: Path, upward: bool = True, both: bool = True, unfinished: int = 0) -> Path:
    """Nanonis scan with the channels Z and LI_Demod_1_X; rows of Z and DIDV ascend in y."""
    direction = "both" if both else "forward"
    header = f""":NANONIS_VERSION:
2
:SCANIT_TYPE:
              FLOAT            MSBFIRST
:REC_DATE:
 01.02.2024
:ACQ_TIME:
       12.0
:SCAN_PIXELS:
       {NX}       {NY}
:SCAN_FILE:
scan.sxm
:SCAN_TIME:
             1.000E+0             1.000E+0
:SCAN_RANGE:
           {SIZE[0] * 1e-10:.6E}           {SIZE[1] * 1e-10:.6E}
:SCAN_OFFSET:
             0.000000E+0         0.000000E+0
:SCAN_ANGLE:
            {ANGLE:.3E}
:SCAN_DIR:
{"up" if upward else "down"}
:BIAS:
            {BIAS:.3E}
:COMMENT:
written by a test
:DATA_INFO:
\tChannel\tName\tUnit\tDirection\tCalibration\tOffset
\t14\tZ\tm\t{direction}\t1.000E+0\t0.000E+0
\t20\tLI_Demod_1_X\tA\t{direction}\t1.000E+0\t0.000E+0

:SCANIT_END:


"""
    frames = []
    for channel in (Z, DIDV):
        recorded = channel.copy() if upward else channel[::-1].copy()
        recorded[NY - unfinished :] = np.nan
        frames += [recorded, recorded[:, ::-1]][: 2 if both else 1]
    path.write_bytes(header.encode() + b"\x1a\x04" + np.array(frames).astype(">f4").tobytes())
    return path


def write_3ds(path: Path, sweep: str = "Bias (V)") -> Path:
    """Nanonis grid of dI/dV over SWEEP, with the tip's height among the parameters of each point."""
    header = [
        f'Grid dim="{NX} x {NY}"',
        f"Grid settings=0.0E+0;0.0E+0;{SIZE[0] * 1e-10:.6E};{SIZE[1] * 1e-10:.6E};{ANGLE:.3E}",
        "Filetype=Linear",
        f'Sweep Signal="{sweep}"',
        'Fixed parameters="Sweep Start;Sweep End"',
        'Experiment parameters="X (m);Y (m);Z (m);Z offset (m)"',
        "# Parameters (4 byte)=6",
        f"Experiment size (bytes)={4 * len(SWEEP) * 2}",
        f"Points={len(SWEEP)}",
        'Channels="Current (A);LI Demod 1 X (A)"',
        "Delay before measuring (s)=0.0E+0",
        'Experiment="Grid Spectroscopy"',
        'Start time="01.02.2024 10:00:00"',
        'End time="01.02.2024 11:00:00"',
        'User="nobody"',
        'Comment=""',
        ":HEADER_END:",
    ]
    parameters = np.zeros((NY, NX, 6))
    parameters[..., :2] = SWEEP[0], SWEEP[-1]
    parameters[..., 4] = Z
    spectra = np.moveaxis(SPECTRA, 0, -1)
    points = np.concatenate([parameters, 0.01 * spectra, spectra], axis=-1)
    path.write_bytes("\r\n".join([*header, ""]).encode() + points.astype(">f4").tobytes())
    return path


def write_gwy(path: Path) -> Path:
    """Gwyddion file with the fields Topography and dI/dV; Gwyddion's first row is on top."""
    container = GwyContainer()
    for number, (title, values, unit) in enumerate([("Topography", Z, "m"), ("dI/dV", DIDV, "A")]):
        container[f"/{number}/data/title"] = title
        container[f"/{number}/data"] = GwyDataField(
            values[::-1], xreal=SIZE[0] * 1e-10, yreal=SIZE[1] * 1e-10, si_unit_xy="m", si_unit_z=unit
        )
        container[f"/{number}/meta"] = GwyObject("GwyContainer", {"Bias": f"{BIAS * 1e3:g} mV"})
    container.tofile(str(path))
    return path


def write_text(path: Path, notes: bool = True) -> Path:
    head = (
        f"# Channel: dI/dV\n# Width: {SIZE[0] / 10:g} nm\n# Height: {SIZE[1] / 10:g} nm\n# Value units: A\n"
    )
    rows = "\n".join("\t".join(f"{value:.9e}" for value in row) for row in DIDV[::-1])
    path.write_text((head if notes else "") + rows + "\n")
    return path


def grey_levels() -> np.ndarray:
    """What a picture file can keep of DIDV."""
    return np.round(255 * (DIDV - DIDV.min()) / np.ptp(DIDV))


def write_picture(path: Path) -> Path:
    Image.fromarray(grey_levels()[::-1].astype(np.uint8)).save(path, quality=100)
    return path


def write_array(path: Path) -> Path:
    np.save(path, DIDV)
    return path


def _text(content: str) -> bytes:
    return struct.pack("<I", len(content)) + content.encode("utf-16-le")


def _value(value: bool | int | float | str) -> bytes:
    """A typed value; the type's letters are stored backwards, as all names of blocks are."""
    if isinstance(value, bool):
        return b"LOOB" + struct.pack("<I", value)
    if isinstance(value, int):
        return b"GNOL" + struct.pack("<i", value)
    if isinstance(value, float):
        return b"BUOD" + struct.pack("<d", value)
    return b"GRTS" + _text(value)


def _block(name: str, content: bytes, timed: bool = True) -> bytes:
    return name[::-1].encode() + struct.pack("<I", len(content)) + (bytes(8) if timed else b"") + content


_SETTINGS: dict[str, dict[str, tuple[bool | int | float | str, str]]] = {
    "XYScanner": {
        "X_Retrace": (True, ""),
        "Y_Retrace": (False, ""),
        "Points": (NX, ""),
        "Lines": (NY, ""),
        "Width": (SIZE[0] * 1e-10, "Meter"),
        "Height": (SIZE[1] * 1e-10, "Meter"),
        "X_Offset": (0.0, "Meter"),
        "Y_Offset": (0.0, "Meter"),
        "Angle": (int(ANGLE), "Degree"),
    },
    "GapVoltageControl": {"Voltage": (BIAS, "Volt")},
}
_STEP = 1e-15  # m per count of the converter


def write_matrix(path: Path) -> Path:
    """Omicron Matrix image, forward and backward, and the parameter file beside it; `path` ends in Z_mtrx."""
    settings = bytes(4) + struct.pack("<I", len(_SETTINGS))
    for element, properties in _SETTINGS.items():
        settings += _text(element) + struct.pack("<I", len(properties))
        for name, (value, unit) in properties.items():
            settings += _text(name) + _text(unit) + bytes(4) + _value(value)
    channel = bytes(4) + struct.pack("<I", 7)
    names = bytes(8) + struct.pack("<II", 0, 1) + channel + bytes(8) + _text("Z") + _text("Meter")
    names += struct.pack("<I", 1) + bytes(8) + channel + _text("")
    transfer = channel + _text("TFF_Linear1D") + _text("Meter") + struct.pack("<I", 2)
    transfer += _text("Factor") + _value(1 / _STEP) + _text("Offset") + _value(0.0)
    registers = _block("DICT", names, timed=False) + _block("XFER", transfer, timed=False)
    parameters = [
        _block("EEPA", settings),
        _block("CCSY", bytes(4) + registers),
        _block("BREF", bytes(4) + _text(path.name)),
    ]
    chain = path.name.rpartition("--")[0]
    path.with_name(f"{chain}_0001.mtrx").write_bytes(b"ONTMATRX0101" + b"".join(parameters))
    counts = np.round(np.stack([Z, Z[:, ::-1]], axis=1) / _STEP).astype("<i4")
    description = bytes(20) + struct.pack("<ii", counts.size, counts.size) + bytes(12)
    bricklet = bytes(4) + _block("DESC", description, timed=False)
    bricklet += _block("DATA", counts.tobytes(), timed=False)
    path.write_bytes(b"ONTMATRX0101" + _block("BKLT", bricklet))
    return path


WRITERS = {
    "scan.sxm": write_sxm,
    "grid.3ds": write_3ds,
    "field.gwy": write_gwy,
    "run--1_1.Z_mtrx": write_matrix,
    "matrix.txt": write_text,
    "picture.png": write_picture,
    "picture.tif": write_picture,
    "picture.jpg": write_picture,
    "array.npy": write_array,
}
"""A file name of each kind and the function that writes it."""
