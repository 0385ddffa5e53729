"""Reading scans from the files of several instruments, whole and damaged."""

import builtins
import contextlib
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from stm_core.data.instruments import STMMap, read_stm
from tests.data.instrument_files import (
    ANGLE,
    BIAS,
    DIDV,
    NX,
    NY,
    SIZE,
    SPECTRA,
    SWEEP,
    WRITERS,
    Z,
    grey_levels,
    write_3ds,
    write_gwy,
    write_matrix,
    write_picture,
    write_sxm,
    write_text,
)

FLOAT32 = 1e-6  # relative
MUTATIONS = 300  # of each kind of file


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_image_upright_and_to_scale(tmp_path, name):
    scan = read_stm(WRITERS[name](tmp_path / name), width=SIZE[0])
    assert scan.values.shape == (NY, NX) and scan.source.name == name
    expected = {"m": Z, "A": SPECTRA[1] if name.endswith("3ds") else DIDV, "": grey_levels()}[scan.unit]
    if name.endswith("npy"):
        expected = DIDV
    slack = 2 if name.endswith("jpg") else 0  # grey levels that its compression may move
    np.testing.assert_allclose(scan.values, expected, rtol=5e-6, atol=slack)
    keeps_height = name.endswith(("sxm", "3ds", "gwy", "mtrx", "txt"))
    assert scan.size == pytest.approx(SIZE if keeps_height else (SIZE[0], SIZE[0] * NY / NX))
    assert scan.pixel[0] == pytest.approx(SIZE[0] / NX)


@pytest.mark.parametrize(
    ("name", "angle", "bias"),
    [
        ("scan.sxm", ANGLE, BIAS),
        ("grid.3ds", ANGLE, SWEEP[1]),
        ("field.gwy", 0.0, BIAS),
        ("run--1_1.Z_mtrx", ANGLE, BIAS),
    ],
)
def test_angle_and_bias_are_read(tmp_path, name, angle, bias):
    scan = read_stm(WRITERS[name](tmp_path / name))
    assert np.rad2deg(scan.angle) == pytest.approx(angle)
    assert scan.bias == pytest.approx(bias)


@pytest.mark.parametrize("upward", [True, False])
@pytest.mark.parametrize("both", [True, False])
def test_nanonis_directions_show_the_same_surface(tmp_path, upward, both):
    path = write_sxm(tmp_path / "scan.sxm", upward=upward, both=both)
    directions = ("forward", "backward") if both else ("forward",)
    scans = [read_stm(path, channel=f"Z {direction}") for direction in directions]
    for scan in scans:
        np.testing.assert_allclose(scan.values, Z, rtol=FLOAT32)
    assert len(scans[0].channels) == 2 * len(directions)


@pytest.mark.parametrize("upward", [True, False])
def test_unfinished_lines_are_left_out(tmp_path, upward):
    scan = read_stm(write_sxm(tmp_path / "scan.sxm", upward=upward, unfinished=2))
    np.testing.assert_allclose(scan.values, DIDV[:-2] if upward else DIDV[2:], rtol=FLOAT32)
    assert scan.size == pytest.approx((SIZE[0], SIZE[1] * (NY - 2) / NY))
    with pytest.raises(ValueError, match=r"scan\.sxm has 7 complete lines"):
        read_stm(write_sxm(tmp_path / "scan.sxm", upward=upward, unfinished=3))


def test_a_channel_is_chosen_by_a_part_of_its_name(tmp_path):
    gwy, sxm = write_gwy(tmp_path / "field.gwy"), write_sxm(tmp_path / "scan.sxm")
    assert read_stm(gwy).channel == "dI/dV"
    np.testing.assert_allclose(read_stm(gwy, channel="topo").values, Z)
    with pytest.raises(ValueError, match=r"field\.gwy has no channel 'Phase'; it holds Topography, dI/dV"):
        read_stm(gwy, channel="Phase")
    with pytest.raises(ValueError, match=r"scan\.sxm has more than one channel 'Z'"):
        read_stm(sxm, channel="Z")


@pytest.mark.parametrize("position", range(len(SWEEP)))
def test_a_bias_is_chosen_from_a_grid(tmp_path, position):
    scan = read_stm(write_3ds(tmp_path / "grid.3ds"), channel="LI Demod", bias=SWEEP[position] + 0.004)
    np.testing.assert_allclose(scan.values, SPECTRA[position], rtol=FLOAT32)
    assert scan.bias == pytest.approx(SWEEP[position])


@pytest.mark.parametrize(
    ("name", "bias", "message"),
    [
        ("grid.3ds", 0.2, "bias 0.2 V is not in grid.3ds; it was recorded at -0.06 to 0.06 V"),
        ("scan.sxm", -0.02, "bias -0.02 V is not in scan.sxm; it was recorded at 0.02 V"),
        ("matrix.txt", float("inf"), "bias inf V is no bias of matrix.txt"),
        ("grid.3ds", float("nan"), "bias nan V is no bias of grid.3ds"),
    ],
)
def test_a_bias_that_was_not_recorded_is_refused(tmp_path, name, bias, message):
    with pytest.raises(ValueError, match=message):
        read_stm(WRITERS[name](tmp_path / name), bias=bias)


def test_a_file_that_does_not_say_its_bias_may_be_told(tmp_path):
    path = write_text(tmp_path / "matrix.txt")
    assert np.isnan(read_stm(path).bias)
    assert read_stm(path, bias=0.04).bias == 0.04


@contextlib.contextmanager
def references_to_locals():
    """Every frame's local variables are held once more, as under a debugger."""

    def trace(frame, event, argument):
        _ = frame.f_locals
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.mark.parametrize(("missing", "lines"), [(1, NY - 1), (14 * NX, NY - 1), (14 * NX + 1, NY - 2)])
def test_a_grid_that_was_stopped_shows_its_whole_lines(tmp_path, missing, lines):
    """A point has 14 values here; a tracer's references to local arrays do not hinder the reading."""
    path = write_3ds(tmp_path / "grid.3ds")
    path.write_bytes(path.read_bytes()[: -4 * missing])
    with references_to_locals():
        scan = read_stm(path, bias=SWEEP[2])
    np.testing.assert_allclose(scan.values, SPECTRA[2][:lines], rtol=FLOAT32)
    assert scan.size == pytest.approx((SIZE[0], SIZE[1] * lines / NY))


def test_the_topography_of_a_grid_has_no_bias_axis(tmp_path):
    scan = read_stm(write_3ds(tmp_path / "grid.3ds"), channel="Z (m)", bias=SWEEP[3])
    np.testing.assert_allclose(scan.values, Z, rtol=FLOAT32)


def test_deep_and_coloured_pictures_keep_their_brightness(tmp_path):
    deep = np.arange(NY * NX, dtype=np.uint16).reshape(NY, NX) * 500
    Image.fromarray(deep[::-1].copy()).save(tmp_path / "deep.tif")
    np.testing.assert_array_equal(read_stm(tmp_path / "deep.tif", width=10).values, deep)
    grey = Image.open(write_picture(tmp_path / "grey.png"))
    grey.convert("RGB").save(tmp_path / "colour.png")
    np.testing.assert_array_equal(read_stm(tmp_path / "colour.png", width=10).values, grey_levels())


def _refused(path, match, **wishes):
    with pytest.raises(ValueError, match=match) as caught:
        read_stm(path, **wishes)
    sentence = str(caught.value)
    assert path.name in sentence and "\n" not in sentence and sentence.endswith(".")


def test_a_width_is_asked_for_where_the_file_has_none(tmp_path):
    path = write_text(tmp_path / "matrix.txt", notes=False)
    _refused(path, "does not say how wide")
    assert read_stm(path, width=50.0).size == pytest.approx((50.0, 50.0 * NY / NX))
    for width in (0.0, -5.0, float("nan"), float("inf")):
        _refused(path, "scans from 1 to 1e[+]07 Å are read", width=width)


def test_each_kind_of_damage_is_named(tmp_path):
    (tmp_path / "scan.stp").write_text("")
    _refused(tmp_path / "scan.stp", "unknown ending; files ending in .sxm, .3ds, .gwy")
    _refused(tmp_path / "absent.sxm", "does not exist")
    (tmp_path / "empty.sxm").write_bytes(b"")
    _refused(tmp_path / "empty.sxm", "cannot be read as a Nanonis scan")
    short = write_sxm(tmp_path / "short.sxm")
    short.write_bytes(short.read_bytes()[:-8])
    _refused(short, "declares 4 images of 12 x 10 pixels, but 478 values follow")
    short = write_3ds(tmp_path / "short.3ds")
    short.write_bytes(short.read_bytes()[: -4 * 14 * NX * (NY - 1) - 8])
    _refused(short, "declares 12 x 10 spectra of 4 points in 2 channels, but only 166 values follow")
    _refused(write_3ds(tmp_path / "height.3ds", sweep="Z (m)"), "only sweeps of the bias")
    alone = write_matrix(tmp_path / "run--1_1.Z_mtrx")
    (tmp_path / "run_0001.mtrx").unlink()
    _refused(alone, "parameter file run_0001.mtrx is not beside it")
    _refused(write_matrix(tmp_path / "run--1_1.I(V)_mtrx"), "holds spectroscopy curves")
    (tmp_path / "ragged.txt").write_text("1 2 3\n1 2\n")
    _refused(tmp_path / "ragged.txt", "lines differ in length")
    (tmp_path / "tiny.txt").write_text("1 2 3\n1 2 3\n")
    _refused(tmp_path / "tiny.txt", "8 x 8 pixels or more", width=1.0)
    np.save(tmp_path / "stack.npy", np.ones((2, 9, 9)))
    _refused(tmp_path / "stack.npy", "real numbers are needed")


def test_a_size_in_a_header_is_held_against_the_file_before_memory_is_taken(tmp_path):
    """Each of these declares at least a terabyte."""
    grid = write_3ds(tmp_path / "grid.3ds")
    grid.write_bytes(grid.read_bytes().replace(b"12 x 10", b"1000000 x 1000000"))
    _refused(grid, "1000000 x 1000000 spectra of 4 points")
    scan = write_sxm(tmp_path / "scan.sxm")
    scan.write_bytes(scan.read_bytes().replace(b"       12       10", b" 1000000  1000000"))
    _refused(scan, "images of 1000000 x 1000000")
    np.save(tmp_path / "array.npy", DIDV)
    array = tmp_path / "array.npy"
    array.write_bytes(array.read_bytes().replace(b"(10, 12), }" + b" " * 12, b"(1000000, 1000000), }  "))
    _refused(array, "cannot be read as a NumPy array")


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    genuine = builtins.__import__

    def without(name, *rest):
        if name.startswith("gwyfile"):
            raise ModuleNotFoundError("No module named 'gwyfile'", name="gwyfile")
        return genuine(name, *rest)

    path = write_gwy(tmp_path / "field.gwy")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"field\.gwy needs gwyfile .* '\.\[stm\]'"):
        read_stm(path)


def _mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """One to three bit flips, cuts, repeats, or other digits in what looks like a header."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(len(data))) if data else 0
        match rng.integers(6):
            case 0:
                data[place : place + 1] = bytes([int(rng.integers(256))])
            case 1:
                for bit in rng.integers(0, 8 * max(len(data), 1), 8):
                    data[bit // 8 : bit // 8 + 1] = bytes([(data[bit // 8] if data else 0) ^ (1 << bit % 8)])
            case 2:
                del data[place:]
            case 3:
                del data[place : place + int(rng.integers(1, 9))]
            case 4:
                data[place:place] = data[place : place + int(rng.integers(1, 200))]
            case 5:
                digits = [at for at, byte in enumerate(data[:3000]) if 48 <= byte < 58]
                if digits:
                    at = digits[int(rng.integers(len(digits)))]
                    edits = (b"-1", b"0", b"99999999999", b"nan", b"", b"1e308")
                    data[at : at + 1] = edits[int(rng.integers(6))]
    return bytes(data)


@pytest.mark.parametrize("name", [*WRITERS, "run_0001.mtrx"])
def test_a_damaged_file_gives_a_scan_or_one_sentence(tmp_path, name, capsys):
    """A few thousand mutations in all; nothing else may be raised, printed or warned of."""
    path = WRITERS.get(name, write_matrix)(tmp_path / (name if name in WRITERS else "run--1_1.Z_mtrx"))
    content, rng = (tmp_path / name).read_bytes(), np.random.default_rng(sum(name.encode()))
    outcomes = {"scan": 0, "sentence": 0}
    for _ in range(MUTATIONS):
        (tmp_path / name).write_bytes(_mutated(content, rng))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                scan = read_stm(path, width=SIZE[0] if rng.integers(2) else None)
            except ValueError as error:
                outcomes["sentence"] += 1
                assert path.name in str(error) and "\n" not in str(error)
            else:
                outcomes["scan"] += 1
                assert isinstance(scan, STMMap) and np.isfinite(scan.values).all()
                assert all(1 <= side <= 1e7 for side in scan.size) and np.isfinite(scan.angle)
    assert min(outcomes.values()) > MUTATIONS // 50, outcomes
    assert capsys.readouterr() == ("", "")
