"""Speed of pictures, training and reading as ratios in one run, on the sweep of the study.

``python -m tests.benchmarks.learning --out notebooks/data/benchmarks.json`` puts its figures under
"learning" and leaves what else the file holds.

The transform on the full grid against the direct sum; an epoch of the original's CNN against a loop that
opens its pictures one by one, as the original does; the time to the published CNN's held-out error against
that of the Bragg curves; and a table of the LDOS to U with its interval.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
import xarray as xr
from matplotlib.colors import Normalize
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from stm_core.data import load_dataset, select
from stm_core.files import replacing
from stm_core.imaging import FourierGrid, ft_ldos_direct, layer_mask
from stm_core.learning import (
    LEADERBOARD_SETTINGS,
    FitResult,
    StudySettings,
    TrainingConfig,
    build_model,
    evaluate,
    fit,
    predict,
    study_model,
    study_network,
    study_parts,
    study_samples,
    trained_regressor,
)
from stm_core.simulation import GRAPHENE_LATTICE

from .timing import seconds

UNITS = {
    "transform_ratio": "time of the direct sum over that of the separable transform, 1003 x 1003 points",
    "transform_difference": "largest difference of the two over F(0)",
    "epoch_ratio": "time of an epoch that opens its pictures one by one over that of fit, the same CNN",
    "epoch_ratio_mixed": "the same, fit in mixed precision",
    "reach_ratio": "time from the LDOS to the published CNN's held-out error, CNN over Bragg curves",
    "cnn_mae": "eV, held-out U of the published CNN",
    "mixed_mae": "eV, the same trained in mixed precision",
    "bragg_mae": "eV, held-out U of the Bragg curves",
    "epoch_seconds": "s, an epoch that opens its pictures one by one",
    "cnn_seconds": "s, pictures and training of the published CNN",
    "bragg_seconds": "s, amplitudes and fit of the Bragg curves",
    "latency_seconds": "s, table of the LDOS to U with interval",
}


def warm_seconds(action: Callable[[], Any], repeat: int = 3) -> float:
    """Median time of an action, after one that loads and compiles."""
    action()
    return seconds(action, repeat)


def transform(ds: xr.Dataset, n_k: int) -> dict[str, float]:
    """One picture's transform, separable in single precision as pictures are made, and summed directly."""
    top = layer_mask(ds["layer"].values, "top")
    xy = np.stack([ds["x"].values[top], ds["y"].values[top]], axis=1) / GRAPHENE_LATTICE
    ldos = ds["ldos"].values[0, 0][top].astype(float)
    ldos /= ldos.sum()
    grid = FourierGrid.build(xy, n_k=n_k, dtype=np.float32)
    ft_ldos_direct(xy, ldos, 11)  # compiles
    start = time.perf_counter()
    reference = ft_ldos_direct(xy, ldos, n_k)
    direct, separable = time.perf_counter() - start, warm_seconds(lambda: grid.magnitude(ldos), 5)
    difference = np.abs(reference - grid.magnitude(ldos)).max()
    return {"transform_ratio": direct / separable, "transform_difference": float(difference)}


class Pictures(Dataset):
    """Pictures in a folder, opened and scaled each time they are asked for."""

    def __init__(self, folder: Path, U: np.ndarray, size: int) -> None:
        self.paths, self.U, self.size = sorted(folder.glob("*.png")), U, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, float]:
        grey = Image.open(self.paths[number]).convert("L").resize((self.size, self.size))
        pixels = torch.from_numpy(np.asarray(grey, dtype=np.float32) / 255)
        return (pixels[None] - 0.5) / 0.5, float(self.U[number])


def original_epoch(model: nn.Module, loader: DataLoader, optimiser: torch.optim.Optimizer) -> None:
    """An epoch as the original's recipe has it: Adam, clipped gradients, validation on the same pictures."""
    model.train()
    for images, U in loader:
        optimiser.zero_grad()
        loss = nn.functional.mse_loss(model(images), U.float())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        loss.item()
    model.eval()
    with torch.no_grad():
        for images, U in loader:
            nn.functional.mse_loss(model(images), U.float()).item()


def epoch(size: int, n: int = 32, drawn: int = 369) -> dict[str, float]:
    """One epoch with validation of both loops; the original's pictures are coloured, `drawn` pixels wide."""
    rng = np.random.default_rng(0)
    U, maps = rng.uniform(0, 5, n), rng.random((n, drawn, drawn))
    with tempfile.TemporaryDirectory() as folder:
        for number, values in enumerate(maps):
            coloured = matplotlib.colormaps["turbo"](Normalize()(values), bytes=True)
            Image.fromarray(coloured).save(Path(folder) / f"{number:03d}.png")
        model = build_model("cnn", image_size=size)
        loader = DataLoader(Pictures(Path(folder), U, size), batch_size=32, shuffle=True)
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)
        theirs = warm_seconds(lambda: original_epoch(model, loader, optimiser))
    images = rng.random((n, size, size)).astype(np.float32)

    def ours(epochs: int, precision: Any) -> float:
        start = time.perf_counter()
        config = TrainingConfig(epochs=epochs, precision=precision)
        fit(build_model("cnn", image_size=size), images, U, (images, U), config, progress=False)
        return time.perf_counter() - start

    found = {"epoch_seconds": theirs}
    for name, precision in (("epoch_ratio", "single"), ("epoch_ratio_mixed", "mixed")):
        ours(1, precision)
        # The difference leaves out what is done once.
        found[name] = 2 * theirs / (ours(3, precision) - ours(1, precision))
    return found


def reach(ds: xr.Dataset, settings: StudySettings) -> dict[str, float]:
    """From the LDOS of the trained U to a fitted model: the published CNN, and curves that err less."""
    found, split = {}, settings.split(ds["U"].values)
    seen, asked = (ds.isel(sample=np.flatnonzero(part)) for part in (split.known, split.test))

    def error(name: str, result: FitResult) -> float:
        samples = study_samples(asked, name, settings)
        return evaluate(samples.U, predict(result, samples.inputs).U).mae

    for name in ("cnn", "bragg"):
        start = time.perf_counter()
        result = taught(seen, name, settings)
        found[f"{name}_seconds"] = time.perf_counter() - start
        found[f"{name}_mae"] = error(name, result)
    if found["bragg_mae"] > found["cnn_mae"]:
        raise RuntimeError("the Bragg curves do not reach the CNN's error, so there is no time to compare")
    found["mixed_mae"] = error("cnn", taught(seen, "cnn", settings, precision="mixed"))
    return {**found, "reach_ratio": found["cnn_seconds"] / found["bragg_seconds"]}


def taught(seen: xr.Dataset, name: str, settings: StudySettings, **changed: Any) -> FitResult:
    """A model of the study fitted to all of a dataset, and no others fitted to calibrate its intervals."""
    samples = study_samples(seen, name, settings)
    config = replace(settings.training, **study_model(name).training, **changed)
    network, given = study_network(seen, name, settings), (samples.inputs, samples.U)
    return fit(network, *given, config=config, branch=samples.branch, progress=False)


def latency(ds: xr.Dataset) -> dict[str, float]:
    """A table of one state at all biases, read by curves that are loaded."""
    settings = StudySettings()
    samples = study_samples(ds, "bragg", settings)
    model = trained_regressor(ds, "bragg", settings, None, samples, progress=False).model
    top = layer_mask(ds["layer"].values, "top")
    xy = np.stack([ds["x"].values[top], ds["y"].values[top]], axis=1) / GRAPHENE_LATTICE
    number = int(np.flatnonzero(study_parts(ds, samples, settings).test)[0])
    table, bias = ds["ldos"].values[number][:, top], ds["bias"].values
    config: Any = model.model.config  # type: ignore[union-attr]
    return {"latency_seconds": warm_seconds(lambda: predict(model, config.of_ldos(xy, table, bias)), 20)}


def measure(ds: xr.Dataset, size: int, n_k: int, epochs: int) -> dict[str, Any]:
    """All figures."""
    settings = replace(LEADERBOARD_SETTINGS, image_size=size, epochs=epochs)
    return {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "image_size": size,
        "epochs": epochs,
        "units": UNITS,
        **transform(ds, n_k),
        **epoch(size),
        **reach(ds, settings),
        **latency(ds),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file that receives the figures")
    parser.add_argument("--dataset", default="", help="sweep (default: the shipped one)")
    parser.add_argument("--size", type=int, default=128, help="pixels per side of the pictures")
    parser.add_argument("--n-k", type=int, default=1003, help="points per direction of the transform")
    parser.add_argument("--epochs", type=int, default=40, help="of the published CNN")
    options = parser.parse_args()
    figures = measure(
        select(load_dataset(options.dataset), filling=0), options.size, options.n_k, options.epochs
    )
    known = json.loads(options.out.read_text(encoding="utf-8")) if options.out.is_file() else {}
    with replacing(options.out) as beside:
        beside.write_text(json.dumps(known | {"learning": figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
