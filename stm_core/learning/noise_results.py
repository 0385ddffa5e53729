"""The file of results of networks of pictures in noise."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import xarray as xr

from stm_core.files import replacing
from stm_core.learning.leaderboard import dataset_fingerprint
from stm_core.learning.noise_study import NoiseStudy
from stm_core.learning.results import SHIPPED_RESULTS

SHIPPED_NOISE = SHIPPED_RESULTS.with_name("noise.json")
"""Networks of pictures in noise, of the sweep that comes with the study."""


def write_noise_results(
    table: pd.DataFrame, study: NoiseStudy, path: str | os.PathLike[str] = SHIPPED_NOISE
) -> Path:
    """Keep what `NoiseStudy` measured, with the dataset and the scans it is of.

    Parameters
    ----------
    table : pandas DataFrame
        Of `NoiseStudy.pictures_in_white_noise`.
    study : NoiseStudy
        That measured it.
    path : path-like
        Written beside, then renamed.
    """
    scans = {"exposure": asdict(study.exposure), "seed": study.seed, "bias": study.informative}
    content = {"data": dataset_fingerprint(study.ds), **scans, "rows": table.to_dict("records")}
    with replacing(Path(path)) as beside:
        beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return Path(path)


def read_noise_results(ds: xr.Dataset, path: str | os.PathLike[str] = SHIPPED_NOISE) -> pd.DataFrame:
    """What `write_noise_results` kept of this dataset; empty if there is nothing of it."""
    content = json.loads(Path(path).read_text(encoding="utf-8")) if Path(path).is_file() else {}
    return pd.DataFrame(content["rows"] if content.get("data") == dataset_fingerprint(ds) else [])
