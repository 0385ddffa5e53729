"""What comes with the study: ``python -m stm_core.learning ship | leaderboard | noise``.

The first two go on where they were stopped, and train again what was made from another dataset.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import xarray as xr
from tqdm.auto import tqdm

from stm_core.data import load_dataset, select
from stm_core.learning.baselines import BASELINES
from stm_core.learning.catalogue import ABLATION, COPIED, EVERY_BIAS, LONGER, STOPPED, STUDY_MODELS
from stm_core.learning.leaderboard import run_leaderboard
from stm_core.learning.noise import Exposure
from stm_core.learning.noise_results import SHIPPED_NOISE, write_noise_results
from stm_core.learning.noise_study import NoiseStudy
from stm_core.learning.results import SHIPPED_RESULTS
from stm_core.learning.shipping import SHIPPED_NAMES, ship_model, stale_models
from stm_core.learning.study_models import SHIPPED_MODELS

_CHECKPOINTS = "_build/checkpoints"
_WHAT = "Train and measure what comes with the study; ship and leaderboard go on where they were stopped."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("stm_core").setLevel(logging.INFO)
    options = _parser().parse_args(arguments)
    try:
        ds = select(load_dataset(options.dataset), filling=options.filling)
        {"ship": _ship, "leaderboard": _leaderboard, "noise": _noise}[options.command](ds, options)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"stm_core.learning: {error}\n")
        return 2
    return 0


def _ship(ds: xr.Dataset, options: argparse.Namespace) -> None:
    for name in tqdm(options.models, desc="models", unit="model"):
        if stale_models(ds, (name,), options.out):
            ship_model(ds, name, None, options.out, options.checkpoints)


def _leaderboard(ds: xr.Dataset, options: argparse.Namespace) -> None:
    measured = {"results": options.out, "checkpoints": options.checkpoints, "seeds": range(options.seeds)}
    run_leaderboard(ds, options.models, options.protocols, **measured)
    if options.ablation:
        run_leaderboard(ds, ABLATION | EVERY_BIAS | LONGER, ("paper", "images"), **measured)
        run_leaderboard(ds, COPIED, ("paper", "images", "states"), **measured)
        run_leaderboard(ds, STOPPED, ("paper",), **measured)


def _noise(ds: xr.Dataset, options: argparse.Namespace) -> None:
    study = NoiseStudy(ds, Exposure(pixels=options.pixels, pixel=options.pixel))
    write_noise_results(study.pictures_in_white_noise(options.levels, options.models), study, options.out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stm_core.learning", description=_WHAT)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    ship = commands.add_parser("ship", help="train the models that come with the study, where they are stale")
    ship.add_argument("--models", nargs="+", choices=STUDY_MODELS, default=SHIPPED_NAMES, metavar="NAME")
    ship.add_argument("--out", type=Path, default=SHIPPED_MODELS, metavar="DIR", help="folder for them")
    board = commands.add_parser("leaderboard", help="measure every model on every protocol with every seed")
    known = (*BASELINES, *STUDY_MODELS)
    board.add_argument("--models", nargs="+", choices=known, default=known, metavar="NAME")
    board.add_argument("--protocols", nargs="+", default=["paper", "continuous"], metavar="NAME")
    board.add_argument("--seeds", type=int, default=5, metavar="N", help="number of seeds (default: 5)")
    board.add_argument("--ablation", action="store_true", help="then the experiments of page 05")
    board.add_argument("--out", type=Path, default=SHIPPED_RESULTS, metavar="FILE", help="file of results")
    noise = commands.add_parser("noise", help="hold networks of pictures against what noise allows")
    noise.add_argument(
        "--models", nargs="+", choices=STUDY_MODELS, default=["repaired", "cnn"], metavar="NAME"
    )
    noise.add_argument("--levels", nargs="+", type=float, default=[0.01, 0.03, 0.1, 0.3], metavar="SHARE")
    noise.add_argument("--pixels", type=int, default=192, metavar="N", help="per side (default: 192)")
    noise.add_argument("--pixel", type=float, default=0.8, metavar="Å", help="between pixels (default: 0.8)")
    noise.add_argument("--out", type=Path, default=SHIPPED_NOISE, metavar="FILE", help="file of results")
    for command in (ship, board, noise):
        command.add_argument("--dataset", default="", metavar="FILE", help="sweep (default: the shipped one)")
        command.add_argument(
            "--filling", type=float, default=0.0, metavar="NU", help="of states (default: 0)"
        )
        command.add_argument("--checkpoints", default=_CHECKPOINTS, metavar="DIR", help="folder of progress")
    return parser


if __name__ == "__main__":
    sys.exit(main())
