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
from typing import TYPE_CHECKING

import numpy as np
import yaml

from stm_core import __version__
from stm_core.reading import files_of, reading_of

if TYPE_CHECKING:
    from distributed import Client


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
    rows = [reading_of(path, options) for given in options.files for path in files_of(given)]
    if options.json:
        sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(_line(**row) for row in rows)


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


if __name__ == "__main__":
    sys.exit(main())
