"""What a sweep's folder keeps: its physics, and which sample started from which."""

from dataclasses import asdict

import numpy as np
import pytest
import yaml

from stm_core.data import Sweep, SweepPlan, load_dataset
from stm_core.simulation import (
    GRAPHENE_LATTICE,
    GateScreenedCoulomb,
    HartreeFock,
    SlaterKoster,
    TightBinding,
    TwistedBilayer,
)

SMALL = {"i": 2, "spacing": 2.6, "nk": 2}


def small_plan(**changes):
    return SweepPlan(**{"U": (0, 1.5, 3), "seed": (0, 1), **SMALL, **changes})


def run_and_gather(plan, folder):
    sweep = Sweep(plan, folder)
    sweep.run(progress=False)
    return sweep.gather()


def written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}


def test_a_folder_keeps_its_physics(tmp_path):
    Sweep(small_plan(U=(0,), seed=(0,)), tmp_path).run(progress=False)
    with pytest.raises(ValueError, match="other spacing"):
        Sweep(small_plan(spacing=2.7), tmp_path)
    with pytest.raises(ValueError, match="other warm; choose"):
        Sweep(small_plan(warm=True), tmp_path)
    Sweep(small_plan(U=(0.5,), filling=(1.0,), max_iterations=20), tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{", "warm chains: 3", "warm chains: [[1]]", "\xff"])
def test_a_damaged_record_is_named(tmp_path, content):
    (tmp_path / "physics.yml").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"physics\.yml is damaged; it says which physics"):
        Sweep(small_plan(), tmp_path)


def test_a_warm_plan_grows_where_its_chains_stay(tmp_path):
    """Further blocks and higher U are computed as if they had been there from the start."""
    draws = {"random": 1, "from": 0, "to": 3, "seed": 4}
    blocks = [{"U": [0.5, 1.5], "seed": [1]}, {"U": draws, "seed": [0]}]
    first, more = (small_plan(U=(0, 1.5), seed=(1,), warm=True, blocks=some) for some in ((), blocks))
    highest, folder = small_plan(U=(0, 1.5, 3), seed=(1,), warm=True, blocks=blocks), tmp_path / "grown"
    Sweep(first, folder).run(progress=False)
    before = written(folder)
    Sweep(more, folder).run(progress=False)
    assert before.items() <= written(folder).items()
    grown = run_and_gather(highest, folder)
    assert grown.read_bytes() == run_and_gather(highest, tmp_path / "at once").read_bytes()
    record = (folder / "physics.yml").read_text()
    Sweep(first, folder).run(progress=False)  # the smaller plan is still good, and forgets nothing
    assert (folder / "physics.yml").read_text().count("U3.00000") == record.count("U3.00000") == 1


def test_a_warm_plan_is_refused_where_a_sample_would_start_elsewhere(tmp_path):
    plan = small_plan(U=(0, 1.5), seed=(1,), warm=True)
    Sweep(plan, tmp_path).run(progress=False)
    moved = r"holds U1\.50000\S+, which started from U0\.00000\S+ and in this plan would start from "
    with pytest.raises(ValueError, match=moved + "U0.50000"):
        Sweep(small_plan(U=(0, 0.5, 1.5), seed=(1,), warm=True), tmp_path)
    with pytest.raises(ValueError, match=moved + "its seed"):
        Sweep(small_plan(U=(1.5, 3), seed=(1,), warm=True), tmp_path)
    with pytest.raises(ValueError, match="other warm; choose"):
        Sweep(small_plan(U=(0, 1.5), seed=(1,)), tmp_path)


def test_a_folder_from_before_strain_was_a_parameter_goes_on(tmp_path):
    plan = small_plan(U=(0,), seed=(0,))
    path = run_and_gather(plan, tmp_path)
    record = yaml.safe_load((tmp_path / "physics.yml").read_text())
    later = ("heterostrain", "strain_angle", "layer_potential")
    assert all(record.pop(name) == 0 for name in later)
    (tmp_path / "physics.yml").write_text(yaml.safe_dump(record))
    expected = path.read_bytes()
    assert run_and_gather(plan, tmp_path).read_bytes() == expected
    with pytest.raises(ValueError, match="other layer_potential"):
        Sweep(small_plan(layer_potential=0.02), tmp_path)


def test_strain_and_layer_potential_reach_the_solver_and_the_dataset(tmp_path):
    physics = {"i": 2, "spacing": 2.6, "heterostrain": 0.05, "strain_angle": 0.26}
    ds = load_dataset(run_and_gather(SweepPlan(U=(2,), layer_potential=0.1, **physics), tmp_path))
    cell = TwistedBilayer(**physics)
    np.testing.assert_array_equal(ds.x, cell.positions[:, 0])
    np.testing.assert_array_equal(ds.attrs["realised_strain"], cell.realised_strain.ravel())
    assert ds.attrs["twist_deg"] == pytest.approx(np.degrees(cell.realised_twist))
    assert {name: ds.attrs[name] for name in (*physics, "layer_potential")} == physics | {
        "layer_potential": 0.1
    }
    state = HartreeFock(TightBinding(cell, layer_potential=0.1), 2.0, GateScreenedCoulomb()).solve(seed=0)
    assert float(ds.energy[0]) == pytest.approx(state.total_energy, abs=1e-9)
    assert {name: ds.attrs[name] for name in asdict(SlaterKoster())} == asdict(SlaterKoster())
    assert ds.attrs["lattice_constant"] == GRAPHENE_LATTICE and ds.attrs["reference"] == state.reference
    assert ds.attrs["warm"] == 0 and ds.attrs["licence"] == "MIT"
    units = ds.attrs["parameter_units"]
    assert all(f" {name}" in f" {units}" for name, value in ds.attrs.items() if not isinstance(value, str))
    assert float(ds.order_layer[0]) < -0.1  # electrons go to the lower layer
