"""Agreement with MeanFi and pyqula on periodic problems, and the benchmark that sets them side by side."""

import json

import numpy as np
import pytest

from tests.benchmarks import peers
from tests.benchmarks.measure import measure
from tests.benchmarks.problems import bilayer, flake, graphene
from tests.benchmarks.solvers import SOLVERS

AGREEMENT = 1e-6  # eV per cell, and electrons


@pytest.mark.parametrize("peer", ["meanfi", "pyqula"])
@pytest.mark.parametrize("problem", [graphene(6), bilayer(1)], ids=["graphene", "bilayer"])
def test_a_peer_finds_the_same_state(peer, problem):
    pytest.importorskip(peer)
    energy, density = SOLVERS["stm_core"](problem, 1e-9)
    their_energy, their_density = SOLVERS[peer](problem, 1e-7)
    assert np.abs(density[0] - density[1]).max() > 0.4  # an antiferromagnet, not the trivial state
    assert energy == pytest.approx(their_energy, abs=AGREEMENT)
    # Which spin comes first on an atom is a choice of each code.
    np.testing.assert_allclose(np.sort(density, axis=0), np.sort(their_density, axis=0), atol=AGREEMENT)


def test_pyscf_with_factorised_integrals_finds_the_same_state():
    (energy, _), (their_energy, _) = (SOLVERS[name](flake(2), 1e-8) for name in ("stm_core", "pyscf"))
    assert energy == pytest.approx(their_energy, abs=1e-8)


def test_the_benchmark_climbs_its_ladder(tmp_path, monkeypatch):
    """In this process and on tiny flakes, with a budget that the second rung exceeds."""
    slow = {3: 0.1, 4: 99.0}

    def rehearse(solver, problem, size, tolerance):
        return {**measure(solver, problem, size - 2, tolerance), "seconds": slow[size]}

    monkeypatch.setattr(peers, "in_child", lambda budget: rehearse)
    out = tmp_path / "results.json"
    peers.main(["--out", str(out), "--peers", "pyscf", "--budget", "10"])
    result = json.loads(out.read_text())
    row = result["rows"][0]
    assert row["size"] == 3
    assert row["time_ratio"] == 1
    assert abs(row["energy_difference"]) < AGREEMENT
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_missing_peer_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        peers.main(["--out", str(tmp_path / "results.json"), "--peers", "pyqula"])
    assert "not installed: pyqula" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
