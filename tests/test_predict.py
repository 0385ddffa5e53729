"""The command that reads U from a file: tables, pictures, scans, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stm_core.__main__ import main
from stm_core.data import ldos_image, read_scan_image
from stm_core.imaging import SurfaceLDOS
from stm_core.learning import BraggConfig, TrainingConfig, build_model, fit, predict
from stm_core.simulation import TwistedBilayer
from tests.command_line import refusal

SIZE = 16
RNG = np.random.default_rng(0)
XY = RNG.uniform(0, 10, (40, 2))
LDOS = RNG.uniform(0.5, 1.5, 40)
TABLE = "\n".join(f"{x:.6f} {y:.6f} {value:.6f}" for (x, y), value in zip(XY, LDOS, strict=True))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "network.pt"
    images = RNG.uniform(0, 1, (8, SIZE, SIZE)).astype(np.float32)
    fit(
        build_model("fc", image_size=SIZE),
        images,
        np.arange(8.0) / 2,
        config=TrainingConfig(epochs=2),
        checkpoint=path,
        progress=False,
    )
    return path


def test_a_table_is_read_as_the_library_reads_it(capsys, tmp_path, checkpoint):
    table = tmp_path / "unlabelled.txt"
    table.write_text(TABLE)
    image = ldos_image(np.round(XY, 6), np.round(LDOS, 6), SIZE)
    np.save(tmp_path / "image.npy", image)
    assert main(["predict", str(table), str(tmp_path / "image.npy"), "--checkpoint", str(checkpoint)]) == 0
    expected = predict(checkpoint, image[None]).U[0]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[1] for line in lines] == [f"U = {expected:.3f} eV"] * 2


def test_a_model_gets_the_pictures_it_was_trained_on(capsys, tmp_path):
    """A checkpoint carries the renderer of its pictures; this one reads the original's grey levels."""
    (tmp_path / "map-U1.txt").write_text(TABLE)
    images = RNG.uniform(0, 1, (4, SIZE, SIZE))
    model = build_model("fc", image_size=SIZE, style="paper")
    path = tmp_path / "grey.pt"
    fit(model, images, np.arange(4.0), config=TrainingConfig(epochs=1), checkpoint=path, progress=False)
    assert main(["predict", str(tmp_path / "map-U1.txt"), "--checkpoint", str(path)]) == 0
    expected = predict(path, ldos_image(XY, LDOS, SIZE, "paper")[None]).U[0]
    assert f"U = {expected:.3f} eV\t" in capsys.readouterr().out


def test_a_larger_picture_is_averaged_down(capsys, tmp_path, checkpoint):
    grey = np.kron(RNG.integers(0, 256, (SIZE, SIZE)), np.ones((3, 3))).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "scan.png")
    assert main(["predict", str(tmp_path / "scan.png"), "--checkpoint", str(checkpoint)]) == 0
    expected = predict(checkpoint, (grey[::3, ::3] / 255)[None]).U[0]
    assert f"U = {expected:.3f} eV\t" in capsys.readouterr().out


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bragg curves, calibrated, of a bilayer that fades in its AA regions as U grows."""
    cell = TwistedBilayer()
    U = np.arange(0, 5.1, 0.25)
    config = BraggConfig()
    xy = cell.positions[cell.layer == 1, :2] / 2.46
    ldos = fading(cell, U)[:, cell.layer == 1]
    inputs = np.concatenate([config.of_ldos(xy, np.tile(each, (13, 1)), config.bias) for each in ldos])
    train = np.rint(U) == U
    path = tmp_path_factory.mktemp("curves") / "bragg.pt"
    apart = (inputs[~train], U[~train])
    fit(build_model("bragg"), inputs[train], U[train], checkpoint=path, calibration=apart)
    return path


def fading(cell: TwistedBilayer, U: np.ndarray) -> np.ndarray:
    first, second = cell.reciprocal
    waves = sum(np.cos(cell.positions[:, :2] @ k) for k in (first, second, first + second))
    return 1 + np.exp(-np.atleast_1d(U)[:, None] / 6) * waves / 5


def ldos_table(U: float, scale: float = 1.0) -> str:
    cell = TwistedBilayer()
    top = cell.layer == 1
    values = fading(cell, np.array([U]))[0, top]
    lines = zip(scale * cell.positions[top, :2] / 2.46, values, strict=True)
    return "\n".join(f"{x:.8f} {y:.8f} {value:.8f}" for (x, y), value in lines)


def test_a_table_gets_an_interval_and_a_verdict(capsys, tmp_path, curves):
    (tmp_path / "known.txt").write_text(ldos_table(2.6))
    (tmp_path / "strange.txt").write_text(TABLE)
    files = [str(tmp_path / name) for name in ("known.txt", "strange.txt")]
    assert main(["predict", *files, "--checkpoint", str(curves), "--json"]) == 0
    known, strange = json.loads(capsys.readouterr().out)
    assert known["low"] < known["U"] < known["high"]
    assert known["U"] == pytest.approx(2.6, abs=0.02)
    assert known["in_range"] and known["doubts"] == []
    assert not strange["in_range"] and "times as far" in strange["doubts"][0]
    assert main(["predict", *files, "--checkpoint", str(curves)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert (
        first
        == f"{files[0]}\tU = {known['U']:.3f} eV\t{known['low']:.3f} to {known['high']:.3f} eV\tin range"
    )
    assert "\tout of range: " in second


def test_without_calibration_there_is_no_interval(capsys, tmp_path, checkpoint):
    np.save(tmp_path / "image.npy", np.ones((SIZE, SIZE)))
    assert main(["predict", str(tmp_path / "image.npy"), "--checkpoint", str(checkpoint), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["low"] is None and row["high"] is None and row["in_range"] is None


def test_the_shipped_model_for_the_kind_of_file_is_the_default(
    capsys, tmp_path, checkpoint, curves, monkeypatch
):
    monkeypatch.setattr("stm_core.learning.SHIPPED_MODELS", tmp_path)
    (tmp_path / "map.txt").write_text(ldos_table(1.0))
    np.save(tmp_path / "image.npy", np.ones((SIZE, SIZE)))
    assert "no shipped model" in refusal(capsys, "predict", tmp_path / "map.txt")
    (tmp_path / "bragg.pt").write_bytes(curves.read_bytes())
    (tmp_path / "repaired.pt").write_bytes(checkpoint.read_bytes())
    assert main(["predict", str(tmp_path / "map.txt"), str(tmp_path / "image.npy")]) == 0
    table, picture = capsys.readouterr().out.splitlines()
    assert "in range" in table and "not calibrated" in picture


def test_amplitudes_are_not_read_from_pictures_or_at_unknown_bias(capsys, tmp_path, curves):
    np.save(tmp_path / "image.npy", np.ones((SIZE, SIZE)))
    said = refusal(capsys, "predict", tmp_path / "image.npy", "--checkpoint", curves)
    assert "image.npy is a picture" in said
    (tmp_path / "map.txt").write_text(ldos_table(1.0))
    said = refusal(capsys, "predict", tmp_path / "map.txt", "--checkpoint", curves, "--bias", "0.5")
    assert "map.txt: bias 0.5 eV is none of" in said


def reading(capsys, *arguments: object) -> dict:
    """The one reading that the command gives, as JSON."""
    assert main(["predict", *map(str, arguments), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    return row


@pytest.mark.parametrize("bias, nearest", [("0.033", "0.03"), ("-0.057", "-0.06")])
def test_a_bias_between_those_of_the_model_is_read_at_the_nearest(capsys, tmp_path, curves, bias, nearest):
    (tmp_path / "map.txt").write_text(ldos_table(1.0))
    told = ("--checkpoint", curves, "--bias")
    there, beside = (reading(capsys, tmp_path / "map.txt", *told, each) for each in (nearest, bias))
    assert beside["U"] == there["U"]
    assert there["doubts"] == [] and there["in_range"]
    volts = f"recorded at {1e3 * float(bias):g} mV, read as at {1e3 * float(nearest):g} mV"
    assert beside["doubts"] == [volts] and not beside["in_range"]


def test_the_bias_of_a_scan_may_be_stated_and_is_doubted_otherwise(capsys, tmp_path, curves, scan):
    np.save(tmp_path / "scan.npy", scan)
    told = (tmp_path / "scan.npy", "--width", "160", "--checkpoint", curves)
    silent, zero, other = (
        reading(capsys, *told, *bias) for bias in ((), ("--bias", "0"), ("--bias", "0.04"))
    )
    unknown = "its bias is not known and taken as zero; --bias states it"
    assert set(silent["doubts"]) == {*zero["doubts"], unknown}
    assert silent["U"] == zero["U"]
    assert unknown not in [*zero["doubts"], *other["doubts"]]


def test_every_table_of_a_folder_is_read(capsys, tmp_path, curves):
    for U in (1.0, 2.0):
        (tmp_path / f"map-U{U}.txt").write_text(ldos_table(U))
    (tmp_path / "README.md").write_text("no table")
    assert main(["predict", str(tmp_path), "--checkpoint", str(curves)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [str(tmp_path / f"map-U{U}.txt") for U in (1.0, 2.0)]
    (tmp_path / "none").mkdir()
    assert "no LDOS table found" in refusal(capsys, "predict", tmp_path / "none", "--checkpoint", curves)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a-U2.txt", "x y\n1 2\n", "no column 'ldos'"),
        ("a-U2.txt", "1 2 nan\n", "NaN"),
        ("a-U2.txt", "", "is empty"),
        ("a.npy", "not an array", "no .npy array"),
        ("a-U2.txt", "0 0 -1\n1 0 2\n", "negative"),
        ("a-U2.txt", "0 0 0\n1 0 0\n", "zeros alone"),
        ("a.png", "not a picture", "no picture"),
        ("absent.txt", None, "does not exist"),
        ("absent.npy", None, "absent.npy"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(capsys, tmp_path, checkpoint, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    said = refusal(capsys, "predict", tmp_path / name, "--checkpoint", checkpoint)
    assert message in said and name in said


@pytest.mark.parametrize("shape", [(SIZE, SIZE + 1), (SIZE - 1, SIZE - 1), (2, SIZE, SIZE), (SIZE,)])
def test_a_picture_of_the_wrong_shape_is_named(capsys, tmp_path, checkpoint, shape):
    np.save(tmp_path / "image.npy", np.ones(shape))
    assert "a square picture of at least 16 pixels" in refusal(
        capsys, "predict", tmp_path / "image.npy", "--checkpoint", checkpoint
    )


def test_a_picture_with_a_hole_is_named(capsys, tmp_path, checkpoint):
    np.save(tmp_path / "image.npy", np.full((SIZE, SIZE), np.nan))
    assert "NaN" in refusal(capsys, "predict", tmp_path / "image.npy", "--checkpoint", checkpoint)


@pytest.mark.parametrize(
    "values, message",
    [(1e38, "no finite U"), (1e300, "NaN or infinite"), (1 + 1j, "no .npy array of real numbers")],
)
def test_a_picture_of_no_brightness_is_refused(capsys, tmp_path, checkpoint, values, message):
    image = np.full((SIZE, SIZE), values)
    image[0, 0] = -values
    np.save(tmp_path / "image.npy", image)
    assert message in refusal(capsys, "predict", tmp_path / "image.npy", "--checkpoint", checkpoint)


@pytest.mark.parametrize("option, value", [("--bias", "nan"), ("--bias", "inf"), ("--width", "nan")])
def test_a_number_that_measures_nothing_is_refused(capsys, tmp_path, checkpoint, option, value):
    (tmp_path / "map.txt").write_text(TABLE)
    arguments = ["predict", tmp_path / "map.txt", "--checkpoint", checkpoint, f"{option}={value}"]
    assert f"{option} is {value}" in refusal(capsys, *arguments)


def test_a_truncated_network_is_named(capsys, tmp_path, checkpoint):
    cut = tmp_path / "cut.pt"
    cut.write_bytes(checkpoint.read_bytes()[:-200])
    np.save(tmp_path / "image.npy", np.ones((SIZE, SIZE)))
    assert "cut.pt" in refusal(capsys, "predict", tmp_path / "image.npy", "--checkpoint", cut)


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    """LDOS at the tip over 160 × 160 Å of a bilayer that is bright in its AA regions."""
    cell = TwistedBilayer()
    first, second = cell.reciprocal
    waves = sum(np.cos(cell.positions[:, :2] @ k) for k in (first, second, first + second))
    return SurfaceLDOS.above(cell, 1 + 0.25 * waves, height=2.0).scan(250, 160 / 250, angle=0.3).values


def scan_files(folder: Path, scan: np.ndarray) -> dict[Path, list[str]]:
    """The scan as a matrix with and without its size, an array and a picture, each with what to say of it."""
    rows = "\n".join(" ".join(f"{value:.6g}" for value in row) for row in scan[::-1])
    (folder / "sized.txt").write_text(f"# Width: 16 nm\n# Height: 16 nm\n{rows}\n")
    (folder / "plain.dat").write_text(rows)
    np.save(folder / "scan.npy", scan)
    Image.fromarray((scan[::-1] * 65535 / scan.max()).astype(np.uint16)).save(folder / "scan.tif")
    told = {"sized.txt": []} | {name: ["--width", "160"] for name in ("plain.dat", "scan.npy", "scan.tif")}
    return {folder / name: options for name, options in told.items()}


def test_scans_are_levelled_registered_and_read(capsys, caplog, tmp_path, checkpoint, scan):
    caplog.set_level("INFO", logger="stm_core")
    for path, told in scan_files(tmp_path, scan).items():
        caplog.clear()
        assert main(["predict", str(path), "--checkpoint", str(checkpoint), *told]) == 0
        # The levelled scan on the atoms of the cell is what a simulated sample gives.
        found = read_scan_image(path, TwistedBilayer(), SIZE, width=160.0)
        said = capsys.readouterr().out
        U = predict(checkpoint, found[None]).U[0]
        unknown = "its bias is not known and taken as zero; --bias states it"
        assert said == f"{path}\tU = {U:.3f} eV\tno interval\tnot calibrated; {unknown}\n"
        steps = caplog.text
        assert "channel image, 250 x 250 pixels over 160 x 160 Å, levelled by a plane" in steps
        assert "graphene's lattice at" in steps and "twist 3.48°" in steps and "moiré period 40" in steps


@pytest.mark.parametrize(
    "name, told, message",
    [
        ("plain.dat", [], "plain.dat does not say how wide the scan is"),
        ("plain.dat", ["--width", "0"], "plain.dat is 0 x 0 Å"),
        ("sized.txt", ["--channel", "current"], "sized.txt has no channel 'current'; it holds image"),
        ("sized.txt", ["--width", "1000"], "sized.txt shows a twist of 0.56°, too far from the 3.48°"),
    ],
)
def test_a_scan_that_cannot_be_used_is_named(capsys, tmp_path, checkpoint, scan, name, told, message):
    scan_files(tmp_path, scan)
    said = refusal(capsys, "predict", tmp_path / name, "--checkpoint", checkpoint, *told)
    assert message in said


def test_a_scan_of_another_twist_is_warned_of(caplog, tmp_path, checkpoint, scan):
    np.save(tmp_path / "scan.npy", scan)
    told = ["--width", "190", "--checkpoint", str(checkpoint)]
    assert main(["predict", str(tmp_path / "scan.npy"), *told]) == 0
    assert "the atoms are not resolved" in caplog.text
    assert "scan.npy: the model knows a twist of 3.48° only" in caplog.text


@pytest.mark.parametrize("name", ["a.sxm", "a.3ds", "a.gwy", "a--1_1.Z_mtrx", "a.tif", "a.jpg"])
def test_a_damaged_instrument_file_is_named(capsys, tmp_path, checkpoint, name):
    (tmp_path / name).write_bytes(b"GWYP\x00\x01 no such thing" * 9)
    assert name in refusal(capsys, "predict", tmp_path / name, "--checkpoint", checkpoint)
