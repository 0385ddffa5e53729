"""Splits never share a value of U."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_core.data import continuous_protocol, paper_protocol

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
    with pytest.raises(ValueError, match="leave_out must be one of the training values 0, 1, 2"):
        paper_protocol(U, leave_out=4)
    with pytest.raises(ValueError, match="needs samples at integer U"):
        paper_protocol([0.5, 1.5])


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
