"""A plan of a sweep: what it names, in which order, and what it refuses."""

import itertools

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stm_core.data import SweepPlan, read_plan
from stm_core.data.plan import Block


def test_a_plan_reads_back(tmp_path):
    path = tmp_path / "plan.yml"
    path.write_text("U: [3, 0, 3]\nseed: [1]\ni: 2\nspacing: 2.6\n")
    plan = read_plan(path)
    assert plan.U == (0.0, 3.0)
    assert plan.tasks == [(0.0, 0.0, 1), (3.0, 0.0, 1)]
    assert len(plan.bias) == 13


def test_blocks_come_in_order_of_value_and_inherit(tmp_path):
    path = tmp_path / "plan.yml"
    path.write_text("""
        filling: [0, 2]
        seed: [0, 1]
        blocks:
          - U: {from: 0, to: 2, step: 1}
          - {U: [1, 1.5], seed: [1, 7]}
          - U: {random: 4, from: 0, to: 6, seed: 3}
            filling: {from: -3, to: 3, step: 3}
            seed: [0]
        """)
    tasks = read_plan(path).tasks
    assert len(set(tasks)) == len(tasks)
    whole, given, drawn = tasks[:12], tasks[12:18], tasks[18:]
    assert set(whole) == set(itertools.product((0, 1, 2), (0, 2), (0, 1)))
    # U = 1 with seed 1 has been named before.
    assert set(given) == set(itertools.product((1, 1.5), (0, 2), (1, 7))) - set(whole)
    assert {(nu, seed) for _, nu, seed in drawn} == set(itertools.product((-3, 0, 3), (0,)))
    assert len({U for U, _, _ in drawn}) == 4


def test_draws_depend_on_their_seed_alone():
    def drawn(seed):
        return SweepPlan(U={"random": 50, "from": 1, "to": 3, "seed": seed}).U

    assert drawn(4) == drawn(4) != drawn(5)
    assert len(drawn(4)) == 50 and 1 <= min(drawn(4)) <= max(drawn(4)) <= 3
    assert all(value == round(value, 5) for value in drawn(4))


@given(
    low=st.integers(0, 20),
    steps=st.integers(0, 40),
    step=st.sampled_from([0.01, 0.1, 0.125, 1 / 3, 1.0]),
)
def test_a_range_holds_both_its_ends(low, steps, step):
    values = Block(U={"from": low, "to": low + steps * step, "step": step}).U
    np.testing.assert_allclose(values, low + step * np.arange(steps + 1), atol=1e-5)


@given(
    blocks=st.lists(
        st.fixed_dictionaries(
            {"U": st.lists(st.floats(0, 10), min_size=1, max_size=5)},
            optional={
                "filling": st.lists(st.floats(-4, 4), min_size=1, max_size=3),
                "seed": st.lists(st.integers(0, 9), min_size=1, max_size=3),
            },
        ),
        min_size=1,
        max_size=3,
    ),
    warm=st.booleans(),
)
def test_every_sample_has_its_own_file_and_its_place_in_one_chain(blocks, warm):
    plan = SweepPlan(blocks=blocks, warm=warm)
    assert len({task.name for task in plan.tasks}) == len(plan.tasks) == len(set(plan.tasks))
    assert set(plan.tasks) == {task for block in blocks for chain in Block(**block).chains for task in chain}
    for chain in plan.chains:
        assert warm or len(chain) == 1
        assert len({(task.filling, task.seed) for task in chain}) == 1
        assert [task.U for task in chain] == sorted(task.U for task in chain)


def test_the_shipped_plan_can_be_read(shipped_plan):
    assert shipped_plan.i == 9
    assert {0, 1, 2, 3, 4, 5, 6} <= set(task.U for task in shipped_plan.tasks)


@pytest.fixture
def shipped_plan():
    from stm_core.data.store import SHIPPED

    return read_plan(SHIPPED.with_name("plan.yml"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("U: [0, 1]\ntwist: 9\n", "unknown keys twist; accepted keys are U, filling"),
        ("filling: [0]\n", "has no U"),
        ("filling: [0]\nblocks: []\n", "has no U"),
        ("- 1\n- 2\n", "not a YAML file of sweep parameters"),
        ("U: {a: [\n", "not a YAML file of sweep parameters"),
        ("U: [0, -1]\n", "U must be zero or positive"),
        ("U: []\n", "U as a list of at least one number"),
        ("U: [zero]\n", "needs numbers in U"),
        ("U: [true]\n", "needs numbers in U"),
        ("U: [.nan]\n", "needs numbers in U"),
        ("U: 3\n", "U as a list of at least one number"),
        ("U: {from: 0, to: 6}\n", "U must be a list, a range"),
        ("U: {from: 0, to: six, step: 1}\n", "U must be a list, a range"),
        ("U: {from: 6, to: 0, step: 1}\n", "U must go upwards"),
        ("U: {from: 0, to: 6, step: 0}\n", "U must go upwards"),
        ("U: {from: 0, to: 6, step: 1.0e-9}\n", "in at most 100000 values"),
        ("U: {random: 0, from: 0, to: 6, seed: 1}\n", "U must go upwards"),
        ("U: {random: 2.5, from: 0, to: 6, seed: 1}\n", "U must go upwards"),
        ("U: {random: 2, from: 0, to: 6, seed: -1}\n", "non-negative integer"),
        ("U: [1]\nblocks: 3\n", "blocks as a list"),
        ("blocks: [{filling: [0]}]\n", "each block of a sweep plan needs U"),
        ("blocks: [{U: [1], nk: 2}]\n", "each block of a sweep plan needs U"),
        ("blocks: [{U: [-1]}]\n", "U must be zero or positive"),
        ("U: [1]\nwarm: 3\n", "true or false for warm"),
        ("U: [1]\nfilling: [5]\n", "between -4 and 4"),
        ("U: [1]\nseed: [-1]\n", "non-negative integer"),
        ("U: [1]\nseed: [0.5]\n", "non-negative integer"),
        ("U: [1]\ni: nine\n", "number for i, not 'nine'"),
        ("U: [1]\ntolerance: 1e-7\n", r"number for tolerance, not '1e-7'; YAML takes 1\.0e-6"),
        ("U: [1]\nnk: 1.5\n", "whole number for nk"),
        ("U: [1]\ni: 0\n", "twist index i must be a whole number of at least 1"),
        ("U: [1]\nnk: 0\n", "positive nk"),
        ("U: [1]\nnk: .nan\n", "needs a finite nk, not nan"),
        ("U: [1]\nnk: 100000\n", "whole number for nk, at most 100, not 100000"),
        ("U: [1]\ni: .inf\n", "needs a finite i, not inf"),
        ("U: [1]\ni: 100000\n", "whole number for i, at most 100, not 100000"),
        ("U: [1]\ngate_distance: .inf\n", "needs a finite gate_distance, not inf"),
        ("U: [1]\ntemperature: .inf\n", "needs a finite temperature, not inf"),
        ("U: [1]\nseed: [99999999999999999999]\n", "needs numbers in seed"),
        ("U: [1]\nseed: [4294967296]\n", r"non-negative integer below 2³², not 4\.29497e\+09"),
        ("U: {random: 2, from: 0, to: 6, seed: 99999999999999999999}\n", "U must be a list, a range"),
        (f"U: [1]\ntemperature: 1{400 * '0'}\n", "needs a finite temperature"),
        ("U: [1]\nepsilon: -1\n", "epsilon must be positive"),
        ("U: [1]\ni: 9.5\n", "whole number for i"),
        ("U: [1]\nheterostrain: 0.5\n", "heterostrain must lie within half the twist angle"),
        ("U: [1]\nheterostrain: 0.001\n", "strains come in steps"),
        ("U: [1]\nlayer_potential: .inf\n", "finite layer_potential"),
    ],
)
def test_bad_plans_are_refused(tmp_path, content, message):
    path = tmp_path / "plan.yml"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_plan(path)


def test_no_such_plan(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no plan"):
        read_plan(tmp_path / "none.yml")


def test_what_python_says_yaml_says_too(tmp_path):
    content = {"U": [0, 1.5], "blocks": [{"U": [2], "seed": [4]}], "warm": True, "nk": 2}
    path = tmp_path / "plan.yml"
    path.write_text(yaml.safe_dump(content))
    assert read_plan(path) == SweepPlan(U=(1.5, 0), blocks=(Block((2,), seed=(4,)),), warm=True, nk=2)
