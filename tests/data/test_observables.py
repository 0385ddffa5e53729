"""Functions of a state whose values a sweep keeps."""

import logging

import numpy as np
import pytest

from stm_core.data import SweepPlan, registry
from stm_core.data.sample import sample_of
from stm_core.data.store import dataset_from_samples
from stm_core.simulation import HartreeFock, HartreeFockState


@pytest.fixture(scope="module")
def plan() -> SweepPlan:
    return SweepPlan(U=(1.0,), seed=(0,), i=1, nk=1, epsilon=0.0)


@pytest.fixture(scope="module")
def state(plan) -> HartreeFockState:
    return HartreeFock(plan.model, U=1.0, nk=1).solve(seed=0, progress=False)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The observables of the library, to which a test may add its own."""
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry.observables()))


def dataset(plan: SweepPlan, *samples):
    return dataset_from_samples(samples, plan.crystal, np.array(plan.bias), {})


def test_a_further_one_is_in_the_sample_and_described_in_the_dataset(plan, state, known):
    @registry.observable("eV", "twice the gap")
    def double_gap(state: HartreeFockState) -> float:
        return 2 * state.gap

    ds = dataset(plan, sample_of(state, 0, plan))
    assert ds["double_gap"].dims == ("sample",)
    assert ds["double_gap"].attrs == {"units": "eV", "long_name": "twice the gap"}
    assert ds["double_gap"].values == pytest.approx(2 * ds["gap"].values)


def test_values_over_other_dimensions_than_registered_are_refused_when_measured(plan, state, known):
    @registry.observable("1", "spins", over=("atom",))
    def spins(state: HartreeFockState) -> np.ndarray:
        return state.density

    with pytest.raises(ValueError, match=r"spins gives values of shape \(2, 28\), .* over \(atom\)"):
        sample_of(state, 0, plan)


def test_what_older_samples_lack_is_left_out_with_a_word(plan, state, known, caplog):
    old = sample_of(state, 0, plan)

    @registry.observable("1", "answer")
    def answer(state: HartreeFockState) -> float:
        return 42.0

    new = sample_of(state, 1, plan)
    with caplog.at_level(logging.WARNING):
        ds = dataset(plan, old, new)
    assert "answer" not in ds and ds.sizes["sample"] == 2
    assert "answer is left out" in caplog.text
