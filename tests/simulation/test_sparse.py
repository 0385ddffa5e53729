"""Sparse Bloch Hamiltonians and the levels that shift-invert Lanczos finds in them."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_core.simulation import TightBinding, TwistedBilayer
from stm_core.simulation.sparse import RealBloch, levels_around


@pytest.fixture(scope="module")
def model():
    return TightBinding(TwistedBilayer(3, 3.0))


@pytest.fixture(scope="module")
def bloch(model):
    return RealBloch(model, model.crystal.point_group["C6^3"])


@settings(max_examples=15, deadline=None)
@given(
    kx=st.floats(-2, 2),
    ky=st.floats(-2, 2),
    seed=st.integers(0, 2**32 - 1),
    centre=st.floats(-3, 4),
    half_width=st.floats(0.05, 1.0),
)
def test_window_holds_exactly_the_dense_levels(model, bloch, kx, ky, seed, centre, half_width):
    k = np.array([kx, ky])
    noise = np.random.default_rng(seed).normal(scale=0.3, size=model.crystal.n_atoms)
    potential = noise + noise[bloch.partner]
    h = bloch(k, potential)
    assert h.dtype == float and abs(h - h.T).max() < 1e-12
    dense, vectors = np.linalg.eigh(model.hamiltonian(k) + np.diag(potential))
    energies, states, below = levels_around(h, centre, half_width, guess=4)
    np.testing.assert_allclose(energies, dense[below : below + len(energies)], atol=1e-9)
    assert np.count_nonzero(np.abs(dense - centre) <= half_width) <= len(energies)
    # Both gauges carry the same weight on an atom and its partner together.
    weight = np.empty(model.crystal.n_atoms)
    weight[bloch.order] = (states**2).sum(axis=1)
    expected = (np.abs(vectors[:, below : below + len(energies)]) ** 2).sum(axis=1)
    np.testing.assert_allclose(weight + weight[bloch.partner], expected + expected[bloch.partner], atol=1e-6)


def test_a_window_over_every_level_is_refused():
    with pytest.raises(ValueError, match="some of the 8 levels outside"):
        levels_around(sp.csc_array(np.diag(np.arange(8.0))), 3.2, 100.0, guess=2)


def test_hopping_without_the_half_turn_is_refused():
    crystal = TwistedBilayer(1, 3.0)
    aside = np.array([0.1, 0.0, 0.0])
    lopsided = TightBinding(crystal, hopping=lambda d: -np.exp(-np.linalg.norm(d + aside, axis=-1)))
    with pytest.raises(ValueError, match="half a turn"):
        RealBloch(lopsided, crystal.point_group["C6^3"])
