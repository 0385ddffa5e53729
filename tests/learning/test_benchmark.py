"""The benchmark of learning runs, on pictures so small that its times mean nothing."""

import json
import math
import sys

import pytest

from tests.benchmarks import learning


def test_the_learning_benchmark_measures_every_figure(small_dataset_path, tmp_path, monkeypatch):
    out = tmp_path / "benchmarks.json"
    out.write_text(json.dumps({"engine": {"atoms": 76}}))
    arguments = ["learning", "--out", str(out), "--dataset", str(small_dataset_path)]
    monkeypatch.setattr(sys, "argv", [*arguments, "--size", "16", "--n-k", "41", "--epochs", "1"])
    learning.main()
    results = json.loads(out.read_text(encoding="utf-8"))
    assert results["engine"] == {"atoms": 76}
    figures = results["learning"]
    assert set(figures["units"]) <= set(figures)
    assert all(figures[name] > 0 for name in ("transform_ratio", "latency_seconds"))
    # A difference of two timings: of pictures this small its sign is chance.
    assert math.isfinite(figures["epoch_ratio"])
    assert figures["transform_difference"] < 1e-4
    assert figures["reach_ratio"] == pytest.approx(figures["cnn_seconds"] / figures["bragg_seconds"])
    assert figures["bragg_mae"] < figures["cnn_mae"]
