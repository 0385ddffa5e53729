"""The benchmark of the engine runs, on a cell so small that its times mean nothing."""

import json
import sys

from stm_core.simulation import GateScreenedCoulomb, HartreeFock, TightBinding, TwistedBilayer, scf
from tests.benchmarks import engine


def test_the_engine_benchmark_measures_every_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(scf, "_SINGLE_WORTH", 2)
    monkeypatch.setattr(scf, "_SINGLE_ENOUGH", 1e-9)  # no tiny cell stays in single precision otherwise
    out = tmp_path / "engine.json"
    arguments = ["engine", "--out", str(out), "--i", "1", "--spacing", "3.0", "--cutoff", "5", "--nk", "2"]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(engine, "precision", lambda problem: {"mixed_speedup": 1.0, "cold_iterations": 9})
    engine.main()
    results = json.loads(out.read_text(encoding="utf-8"))
    (row,) = results["rows"]
    assert results["atoms"] == 28
    assert row["iteration_ratio_double"] > 1
    assert row["warm_iterations_from_3"] <= row["warm_iterations_from_1"]
    assert row["peak_mib"] > 100


def test_single_precision_is_compared_with_double():
    problem = HartreeFock(TightBinding(TwistedBilayer(4, 2.8), 5.0), 3.0, GateScreenedCoulomb(), nk=1)
    figures = engine.precision(problem)
    assert figures["density_difference"] < 1e-5
    assert 0 < figures["single_iterations"] < figures["cold_iterations"]
