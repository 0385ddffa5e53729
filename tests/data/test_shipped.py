"""The sweep that comes with the study: complete, small, smooth in U, and what the code computes."""

import numpy as np
import pytest

from stm_core.data import load_dataset, read_plan
from stm_core.data.store import SHIPPED
from stm_core.simulation import GateScreenedCoulomb, HartreeFock, TightBinding, TwistedBilayer

LARGEST_FILE = 40e6  # bytes
DENSITY_TOLERANCE = 5e-5  # electrons: the sweep started with weak disorder, of which soft modes keep a trace
ENERGY_TOLERANCE = 1e-6  # eV


@pytest.fixture(scope="module")
def shipped():
    return load_dataset(converged_only=False)


def test_it_holds_its_plan(shipped):
    plan = read_plan(SHIPPED.with_name("plan.yml"))
    points = list(zip(shipped.U.values, shipped.filling.values, shipped.seed.values, strict=True))
    assert sorted(points) == sorted(plan.tasks)
    assert {name: shipped.attrs[name] for name in ("i", "spacing", "nk")} == {
        "i": 9,
        "spacing": 2.94,
        "nk": plan.nk,
    }
    assert SHIPPED.stat().st_size < LARGEST_FILE


def test_it_serves_the_paper_protocol(shipped):
    U = shipped.U.values[shipped.converged.values]
    for integer in range(7):
        assert np.sum(integer == U) >= 2
    assert len(np.unique(U[U != np.rint(U)])) >= 10


def test_residuals_and_electron_numbers(shipped):
    converged = shipped.converged.values
    assert np.all(shipped.residual.values[converged] < shipped.attrs["tolerance"])
    np.testing.assert_allclose(shipped.charge.sum("atom"), 1084 + shipped.filling, atol=1e-2)
    np.testing.assert_allclose(shipped.magnetisation.sum("atom"), 0, atol=1e-2)


@pytest.mark.parametrize("seed", [0, 1])
def test_repulsion_flattens_the_charge(shipped, seed):
    """On one branch the charge modulation falls with U, without a jump."""
    branch = shipped.isel(sample=np.flatnonzero(shipped.seed.values == seed)).sortby("U")
    charge = branch.order_charge_modulation.values
    assert np.all(np.diff(charge) < 0)
    assert 2 < charge[0] / charge[-1] < 4


def test_c3_is_kept_and_the_states_are_gapped(shipped):
    assert float(shipped.order_c3_breaking.max()) < 0.02
    assert float(shipped.gap.min()) > 0.05


def test_a_sample_is_what_the_solver_gives(shipped):
    """One solution recomputed from its seed, on the whole cell."""
    index = int(np.flatnonzero((shipped.U.values == 2.0) & (shipped.seed.values == 1))[0])
    sample = shipped.isel(sample=index)
    attrs = shipped.attrs
    model = TightBinding(TwistedBilayer(int(attrs["i"]), float(attrs["spacing"])), float(attrs["cutoff"]))
    coulomb = GateScreenedCoulomb(float(attrs["epsilon"]), float(attrs["gate_distance"]))
    problem = HartreeFock(model, 2.0, coulomb, nk=int(attrs["nk"]), temperature=float(attrs["temperature"]))
    state = problem.solve(seed=1, tolerance=float(attrs["tolerance"]), progress=False)
    assert state.total_energy == pytest.approx(float(sample.energy), abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(state.density.sum(axis=0), sample.charge, atol=DENSITY_TOLERANCE)
    ldos = state.ldos(shipped.bias.values, float(attrs["broadening"]), layer="both")
    np.testing.assert_allclose(ldos, sample.ldos, atol=2e-3 * float(sample.ldos.max()))
