"""Symmetry-adapted diagonalisation and the k-points that D6 leaves."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_core.simulation import TightBinding, TwistedBilayer
from stm_core.simulation.orbits import Orbits


@pytest.fixture(scope="module")
def cell():
    return TwistedBilayer(2, 3.0)


@pytest.fixture(scope="module")
def orbits(cell):
    return Orbits(cell)


def symmetric_potential(orbits, seed, width=0.3):
    noise = np.random.default_rng(seed).normal(scale=width, size=len(orbits.first))
    return noise[orbits.of_atom]


def test_orbits_are_closed_and_complete(cell, orbits):
    np.testing.assert_array_equal(orbits.of_atom[orbits.permutations], np.tile(orbits.of_atom, (12, 1)))
    assert orbits.size.sum() == cell.n_atoms
    # Only the atoms at the centres of the AB and BA regions sit on an axis, a threefold one.
    assert sorted(set(orbits.size)) == [4, 12]


def test_bases_are_orthonormal_and_complete(cell, orbits):
    columns = [basis.toarray() for _, basis, _ in orbits.blocks]
    together = np.concatenate(columns, axis=1)
    np.testing.assert_allclose(together.T @ together, np.eye(together.shape[1]), atol=1e-13)
    dimensions = [dimension * basis.shape[1] for dimension, basis, _ in orbits.blocks]
    assert sum(dimensions) == cell.n_atoms


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_eigenstates_agree_with_the_whole_matrix(cell, orbits, seed):
    h = TightBinding(cell).hamiltonian(np.zeros(2)).real + np.diag(symmetric_potential(orbits, seed))
    energies, vectors = np.linalg.eigh(h)
    levels = orbits.eigenstates(sp.csr_array(h))
    np.testing.assert_allclose(np.repeat(levels.energies, levels.degeneracy), energies, atol=1e-12)
    # A smooth function of the energy does not ask how a degenerate pair was chosen.
    expected = orbits.sum(vectors**2) @ np.tanh(energies)
    np.testing.assert_allclose(
        levels.weights @ (levels.degeneracy * np.tanh(levels.energies)), expected, atol=1e-11
    )


@pytest.mark.parametrize("nk", [1, 2, 3, 4, 6])
def test_irreducible_points_stand_for_the_grid(cell, orbits, nk):
    model = TightBinding(cell)
    ks, multiplicity = orbits.irreducible_k(nk)
    np.testing.assert_array_equal(ks[0], 0)
    assert (multiplicity.sum() == nk**2 and len(ks) < nk**2) or nk == 1
    reduced = np.repeat(model.bands(ks), multiplicity, axis=0)
    full = model.bands(cell.k_grid(nk))
    np.testing.assert_allclose(np.sort(reduced.ravel()), np.sort(full.ravel()), atol=1e-11)


def test_a_strained_cell_is_refused():
    with pytest.raises(ValueError, match="D6"):
        Orbits(TwistedBilayer(2, 3.0, heterostrain=0.05))
