"""The engine's recorded study: made, resumed, read back, and what the shipped record must hold."""

import json

import numpy as np
import pytest

from stm_core.data import engine_study, load_dataset, load_engine_study
from stm_core.data.engine_study import PARTS, RECORDED
from stm_core.insight import pattern_change
from stm_core.simulation import GateScreenedCoulomb, HartreeFock, TightBinding, TwistedBilayer

SMALL = {"i": 1, "spacing": 3.0, "cutoff": 5.0}


def test_the_grid_of_the_shipped_sweep_is_followed_to_finer_ones():
    """What the data card says of it: fine inside the gap, not at the band edges."""
    grids = {record["nk"]: record for record in load_engine_study()["k_points"]}
    grid, finest = int(load_dataset().attrs["nk"]), max(grids)
    assert grid < finest
    change = pattern_change(grids[grid]["amplitudes"], grids[finest]["amplitudes"])
    assert change.min() < 0.01 and change.max() > 0.1


def test_an_interrupted_study_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "engine.json"
    parts = ("k_points", "references", "reliability")
    arguments = {**SMALL, "parts": parts, "k_points": (1, 2), "n_random": 3}
    solve, solved = HartreeFock.solve, []

    def interrupted(self, *args, **kwargs):
        if len(solved) == 4:
            raise KeyboardInterrupt
        solved.append(self.nk)
        return solve(self, *args, **kwargs)

    monkeypatch.setattr(HartreeFock, "solve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine_study(path, **arguments)
    assert sum(map(len, load_engine_study(path).values())) == 4
    monkeypatch.setattr(HartreeFock, "solve", solve)
    records = engine_study(path, **arguments)
    assert records == load_engine_study(path)
    assert [len(records[part]) for part in PARTS] == [2, 3, 0, 3]
    assert [r["nk"] for r in records["k_points"]] == [1, 2]
    whole = engine_study(tmp_path / "whole.json", **arguments)
    assert whole == records
    assert all(r["converged"] for part in parts for r in records[part])


def test_branches_are_named(tmp_path):
    records = engine_study(
        tmp_path / "engine.json",
        parts=["branches"],
        i=5,
        spacing=2.76,
        cutoff=5.0,
        U=(3.0,),
        fillings=(),
        seeds=(0, 4),
        nk=1,
    )
    labels = {r["start"]: r["label"] for r in records["branches"]}
    assert labels["ferromagnet"] == "spin polarised"
    assert "antiferromagnetic" in labels["spin"]


def test_bad_studies_are_refused(tmp_path):
    with pytest.raises(ValueError, match="the parts are k_points, references, branches, reliability"):
        engine_study(tmp_path / "x.json", parts=["speed"])
    damaged = tmp_path / "engine.json"
    damaged.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="not a record"):
        load_engine_study(damaged)
    damaged.write_text(json.dumps({"speed": []}), encoding="utf-8")
    with pytest.raises(ValueError, match="not a record"):
        load_engine_study(damaged)


def test_the_shipped_record_is_of_this_engine():
    """The Γ-only state of the full cell, solved again."""
    (record,) = [r for r in load_engine_study()["k_points"] if r["nk"] == 1]
    problem = HartreeFock(TightBinding(TwistedBilayer(9, 2.94)), 3.0, GateScreenedCoulomb(), nk=1)
    state = problem.solve(seed=0, progress=False)
    assert record["free_energy"] == pytest.approx(state.free_energy, abs=1e-6)
    assert record["gap"] == pytest.approx(state.gap, abs=1e-6)


def test_the_shipped_record_is_complete_and_small():
    records = load_engine_study()
    assert {r["nk"] for r in records["k_points"]} >= {1, 2, 3, 4}
    assert {r["reference"] for r in records["references"]} == {"decoupled", "average", "none"}
    assert len({(r["U"], r["filling"]) for r in records["branches"]}) >= 5
    assert RECORDED.stat().st_size < 2_000_000
    energies = [r["free_energy"] for part in PARTS for r in records[part]]
    assert np.isfinite(energies).all()
