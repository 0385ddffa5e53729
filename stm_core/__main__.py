"""The command line: ``python -m stm_core study | sweep | predict``.

Bad input ends in one sentence on standard error and exit code 2, a failure on the way in exit code 1.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from stm_core import __version__

if TYPE_CHECKING:
    from distributed import Client

_SAME_BIAS, _NEAR_BIAS = 1e-4, 5.01e-3  # V: within what a file rounds; half a step between a model's biases


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("stm_core").setLevel(logging.INFO)
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, yaml.YAMLError) as error:
        return _refuse(error, 2)
    except RuntimeError as error:
        return _refuse(error, 1)
    except ModuleNotFoundError as error:
        return _refuse(f"{options.command} needs {error.name}: pip install -c constraints.txt '.[book]'", 1)
    except ImportError as error:
        return _refuse(error, 1)
    except KeyboardInterrupt:
        return _refuse("stopped; what is finished is kept, and the same command goes on from there", 130)
    return 0


def _refuse(reason: object, code: int) -> int:
    sys.stderr.write(f"stm_core: {' '.join(str(reason).split())}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stm_core", description=(__doc__ or "").split("\n")[2])
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_study(commands.add_parser("study", help="run the notebooks with a profile, then build the book"))
    _add_sweep(
        commands.add_parser("sweep", help="run a plan of Hartree-Fock samples, resuming where it stopped")
    )
    _add_predict(commands.add_parser("predict", help="read U from LDOS tables, scans or images"))
    return parser


def _add_study(command: argparse.ArgumentParser) -> None:
    command.add_argument("--profile", default="quick", help="quick, paper, or a YAML file (default: quick)")
    command.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help="run just these notebooks again, as 05_training or 05",
    )
    command.add_argument(
        "--from", dest="start", metavar="NAME", help="run this notebook and all that follow again"
    )
    command.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("KEY", "VALUE"),
        help="lay a parameter over the profile's",
    )
    command.add_argument("--no-book", action="store_true", help="execute the notebooks, build no book")
    command.add_argument("--single-file", action="store_true", help="print the book into one PDF, too")
    command.add_argument(
        "--strict", action="store_true", help="fail if the pages do not bear out a claim of book/claims.yml"
    )
    command.add_argument(
        "--output", type=Path, metavar="DIR", help="folder that receives _build (default: here)"
    )
    command.set_defaults(run=_study)


def _study(options: argparse.Namespace) -> None:
    from stm_core.study import run_study

    overrides = {key: yaml.safe_load(value) for key, value in options.p}
    if len(overrides) < len(options.p):
        raise ValueError(f"-p gives one parameter two values: {' '.join(key for key, _ in options.p)}")
    made = run_study(
        output=options.output,
        profile=options.profile,
        only=options.only,
        start=options.start,
        overrides=overrides,
        book=not options.no_book,
        single_file=options.single_file,
        strict=options.strict,
    )
    sys.stdout.write(f"{made}\n")


def _add_sweep(command: argparse.ArgumentParser) -> None:
    command.add_argument("plan", type=Path, help="YAML file that names the samples")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the samples")
    command.add_argument(
        "--status", action="store_true", help="say how far the sweep is, and compute nothing"
    )
    command.add_argument(
        "--retry-failed", action="store_true", help="compute again what failed or did not converge"
    )
    command.add_argument("--device", default="cpu", help="where matrices are diagonalised: cpu or cuda")
    where = command.add_mutually_exclusive_group()
    where.add_argument("--scheduler", metavar="ADDRESS", help="Dask scheduler of a cluster to work on")
    where.add_argument(
        "--workers", type=int, metavar="N", help="processes here (default: what cores and memory allow)"
    )
    command.set_defaults(run=_sweep)


def _sweep(options: argparse.Namespace) -> None:
    from stm_core.data import Sweep, read_plan

    sweep = Sweep(read_plan(options.plan), options.out)
    if options.status:
        status = sweep.status()
        problems = [f"{task.name}: {reason}" for task, reason in status.problems.items()]
        sys.stdout.write("\n".join([str(status), *problems]) + "\n")
        return
    import distributed  # it sets the level of its log when it is imported

    logging.getLogger(distributed.__name__).setLevel(logging.ERROR)
    with _cluster(options.scheduler) as client:
        sweep.run(client, options.retry_failed, options.device, options.workers)
    sys.stdout.write(f"{sweep.gather()}\n")


def _cluster(scheduler: str | None) -> AbstractContextManager[Client | None]:
    if scheduler is None:
        return nullcontext()
    from distributed import Client

    return Client(scheduler, timeout="10s")


def _add_predict(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="LDOS table (x y ldos, one moiré cell of the top layer about its rotation axis, in units of a) "
        "or a folder of them; "
        "scan (.sxm .3ds .Z_mtrx .gwy, a matrix in text); picture of a transform (.npy .png .tif .jpg), "
        "or of a scan if --width is given",
    )
    command.add_argument(
        "--checkpoint",
        type=Path,
        metavar="PATH",
        help="trained model (default: the shipped one for this kind of file)",
    )
    command.add_argument("--channel", metavar="NAME", help="channel of a scan (default: dI/dV, else height)")
    command.add_argument(
        "--bias",
        type=float,
        metavar="V",
        help="bias to read of a grid, or of a file that does not say it (default: zero)",
    )
    command.add_argument(
        "--width", type=float, metavar="Å", help="width of a scan, where the file does not say it"
    )
    command.add_argument("--json", action="store_true", help="print a JSON list")
    command.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> None:
    """Read every file before a line is printed, so that a refusal leaves no half of a table."""
    for name in ("bias", "width"):
        value = getattr(options, name)
        if value is not None and not np.isfinite(value):
            raise ValueError(f"--{name} is {value:g}, but must be a finite number")
    rows = [_reading(path, options) for given in options.files for path in _files(given)]
    if options.json:
        sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(_line(**row) for row in rows)


def _files(given: Path) -> list[Path]:
    """What a folder stands for: the texts in it. Without any it is refused like a file."""
    from stm_core.data.stm_files import SUFFIXES

    texts = sorted(f for f in given.iterdir() if f.suffix.lower() in SUFFIXES) if given.is_dir() else []
    return texts or [given]


def _reading(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    from stm_core.learning import load_checkpoint, predict

    checkpoint = options.checkpoint or _shipped_model(path, options)
    logging.getLogger(__package__).info("%s: model %s", path.name, checkpoint)
    regressor = load_checkpoint(checkpoint)
    inputs, doubts = _input(path, regressor.model.config, options)
    found = predict(regressor, inputs)
    values = {name: float(getattr(found, name)[0]) for name in ("U", "low", "high", "novelty")}
    known = {name: value if np.isfinite(value) else None for name, value in values.items()}
    if values["novelty"] > 1:
        doubts.append(f"{values['novelty']:.3g} times as far from the simulated states as it may be")
    verdict = None if np.isnan(values["novelty"]) else not doubts
    return {"file": str(path), **known, "in_range": verdict, "doubts": doubts}


def _line(
    file: str,
    U: float,
    low: float | None,
    high: float | None,
    novelty: float | None,
    in_range: bool | None,
    doubts: list[str],
) -> str:
    interval = "no interval" if low is None or high is None else f"{low:.3f} to {high:.3f} eV"
    if in_range is None:
        verdict = "; ".join(["not calibrated", *doubts])
    else:
        verdict = "in range" if in_range else f"out of range: {'; '.join(doubts)}"
    return "\t".join([file, f"U = {U:.3f} eV", interval, verdict]) + "\n"


def _is_picture(path: Path, options: argparse.Namespace) -> bool:
    from stm_core.data import PICTURES

    return path.suffix.lower() in PICTURES and options.width is None


def _shipped_model(path: Path, options: argparse.Namespace) -> Path:
    from stm_core.learning import SHIPPED_MODELS

    shipped = SHIPPED_MODELS / ("repaired.pt" if _is_picture(path, options) else "bragg.pt")
    if not shipped.is_file():
        raise FileNotFoundError(f"there is no shipped model {shipped}; name a trained one by --checkpoint")
    return shipped


def _input(path: Path, config: Any, options: argparse.Namespace) -> tuple[NDArray, list[str]]:
    """What a model of this configuration sees of a table, a scan or a picture, and the doubts about it."""
    from stm_core.data import is_scan_file, read_ldos_files, read_scan_ldos
    from stm_core.learning import BraggConfig
    from stm_core.simulation import TwistedBilayer

    reads_bragg = isinstance(config, BraggConfig)
    if _is_picture(path, options):
        if reads_bragg:
            raise ValueError(
                f"{path.name} is a picture, but the model reads Bragg amplitudes of LDOS tables and scans"
            )
        return _picture(path, config.image_size)[None], []
    if is_scan_file(path):
        cell = TwistedBilayer(config.i, config.spacing) if reads_bragg else TwistedBilayer()
        scan = read_scan_ldos(path, cell, options.channel, options.bias, options.width)
        doubts = list(scan.doubts)
        if np.isnan(scan.bias):
            doubts.append("its bias is not known and taken as zero; --bias states it")
        return _at_bias(path, config, scan, 0.0 if np.isnan(scan.bias) else scan.bias, doubts)
    table = read_ldos_files([path], labelled=False)[0]
    if (table.ldos < 0).any() or not table.ldos.any():
        raise ValueError(f"{path.name} holds negative values or zeros alone; an LDOS is positive")
    return _at_bias(path, config, table, options.bias or 0.0, [])


def _at_bias(path: Path, config: Any, read: Any, bias: float, doubts: list[str]) -> tuple[NDArray, list[str]]:
    """Inputs at a bias of the model that is no farther than what the simulated LDOS is broadened by."""
    nearest = min(config.bias, key=lambda known: abs(known - bias))
    if _SAME_BIAS < abs(nearest - bias) < _NEAR_BIAS:
        doubts.append(f"recorded at {1e3 * bias:.4g} mV, read as at {1e3 * nearest:.4g} mV")
        bias = nearest
    try:
        return config.of_ldos(read.xy, read.ldos, [bias]), doubts
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def _picture(path: Path, size: int) -> NDArray[np.floating]:
    """A transform that was made elsewhere, averaged down to ``size`` pixels a side."""
    from stm_core.imaging import render

    image = _array(path) if path.suffix.lower() == ".npy" else _grey(path)
    if image.ndim != 2 or image.shape[0] != image.shape[1] or len(image) < size:
        raise ValueError(
            f"{path.name} has shape {image.shape}; a square picture of at least {size} pixels is needed"
        )
    if not np.isfinite(image).all():
        raise ValueError(f"{path.name} holds NaN or infinity; a picture needs finite values")
    return image if len(image) == size else render(image, size)


def _array(path: Path) -> NDArray[np.floating]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if np.iscomplexobj(loaded):
            raise TypeError("complex numbers are no brightness")
        return np.asarray(loaded, dtype=np.float64)
    except (ValueError, EOFError, TypeError) as error:
        raise ValueError(f"{path.name} is no .npy array of real numbers") from error


def _grey(path: Path) -> NDArray[np.floating]:
    """Grey levels from 0 to 1; like every picture here its rows ascend in k_y."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("L"), dtype=np.float64) / 255
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a decoder meets in a damaged file
        raise ValueError(f"{path.name} is no picture that can be read") from error


if __name__ == "__main__":
    sys.exit(main())
