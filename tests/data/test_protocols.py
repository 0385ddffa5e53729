"""Splits by U never share a value of U; the split by image does, and says so."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_core.data import continuous_protocol, paper_protocol, random_image_split

interactions = st.lists(st.integers(0, 60).map(lambda n: n / 10), min_size=8, max_size=80).map(np.array)


@given(interactions)
def test_paper_protocol_separates_integers_from_fractions(extra):
    U = np.concatenate([[0.0, 3.0], extra])
    split = paper_protocol(U)
    integer = U == np.rint(U)
    np.testing.assert_array_equal(split.train, integer & (U <= 5))
    np.testing.assert_array_equal(split.test, ~integer)
    assert not split.validation.any()


def test_leave_one_integer_out():
    U = np.array([0, 0, 1, 2, 2, 2.5, 6])
    split = paper_protocol(U, leave_out=2)
    np.testing.assert_array_equal(split.validation, U == 2)
    np.testing.assert_array_equal(split.train, (U < 2))
    np.testing.assert_array_equal(split.test, U == 2.5)
    with pytest.raises(ValueError, match="leave_out must be among the training values 0, 1, 2"):
        paper_protocol(U, leave_out=4)
    with pytest.raises(ValueError, match="training values 0, 1, 2 eV, not 4"):
        paper_protocol(U, leave_out=(1, 4))
    with pytest.raises(ValueError, match="needs samples at integer U"):
        paper_protocol([0.5, 1.5])


def test_leave_two_integers_out():
    U = np.array([0, 1, 2, 2.5, 3, 4])
    split = paper_protocol(U, leave_out=(1, 3))
    np.testing.assert_array_equal(split.validation, (U == 1) | (U == 3))
    np.testing.assert_array_equal(split.train, (U == 0) | (U == 2) | (U == 4))
    with pytest.raises(ValueError, match="to train on"):
        paper_protocol([1.0, 2.0], leave_out=(1, 2))


@given(interactions, st.integers(0, 100))
def test_continuous_protocol_is_disjoint_in_u(extra, seed):
    U = np.concatenate([np.linspace(0, 6, 13), extra])
    split = continuous_protocol(U, seed)
    masks = [split.train, split.validation, split.test]
    assert np.all(np.sum(masks, axis=0) == 1)
    values = [set(U[m]) for m in masks]
    assert not (values[0] & values[1] or values[0] & values[2] or values[1] & values[2])
    np.testing.assert_array_equal(split.train, continuous_protocol(U, seed).train)


def test_continuous_protocol_refusals():
    with pytest.raises(ValueError, match="add up to one"):
        continuous_protocol(np.arange(20), fractions=(0.5, 0.2, 0.2))
    with pytest.raises(ValueError, match="too few"):
        continuous_protocol([1.0, 2.0])


@given(interactions, st.integers(0, 100))
def test_the_image_split_shuffles_integers_alone_and_whatever_else_there_is(extra, seed):
    integers = np.repeat(np.arange(6.0), 5)
    U = np.concatenate([integers, extra + 0.05])
    split, alone = random_image_split(U, seed), random_image_split(integers, seed)
    for name, size in {"train": 24, "validation": 3, "test": 3}.items():
        mask = getattr(split, name)
        assert mask.sum() == size
        np.testing.assert_array_equal(mask[:30], getattr(alone, name))
        assert not mask[30:].any()
    assert np.all(split.train[:30] + split.validation[:30] + split.test[:30] == 1)


def test_the_image_split_leaves_siblings_of_its_test_in_training():
    U = np.repeat(np.arange(7.0), 20)
    split = random_image_split(U, seed=3)
    assert set(U[split.test]) <= set(U[split.train])
    assert U[split.train | split.validation | split.test].max() == 5
    assert not np.array_equal(split.test, random_image_split(U, seed=4).test)
    with pytest.raises(ValueError, match="4 images at integer U are too few"):
        random_image_split([0, 1, 2, 3, 3.5])
    with pytest.raises(ValueError, match="add up to one"):
        random_image_split(U, fractions=(0.5, 0.5, 0.5))
