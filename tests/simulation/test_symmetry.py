"""Symmetry reduction: found and not assumed, exact, and the same physics as without."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_core.simulation import (
    GateScreenedCoulomb,
    HartreeFock,
    TightBinding,
    TwistedBilayer,
    honeycomb,
)
from stm_core.simulation.bloch import BlochMatrices, site_sum
from stm_core.simulation.fock import Exchange
from stm_core.simulation.starts import STARTS
from stm_core.simulation.symmetry import SymmetryReduction, candidate_operations, detect

EXACT = 1e-10


@pytest.fixture(scope="module")
def model():
    return TightBinding(TwistedBilayer(1, 3.0))


def hopping_reduction(model, nk, n_spin=1):
    hoppings = [model.hamiltonian(k) for k in model.crystal.k_grid(nk)]
    return hoppings, detect(model.crystal, nk, n_spin, lambda spin, k, v: hoppings[k] @ v)


@pytest.mark.parametrize("nk", [1, 2, 3, 4, 5, 6])
def test_every_bloch_matrix_follows_from_the_kept_ones(model, nk):
    hoppings, reduction = hopping_reduction(model, nk)
    assert len(reduction.operations) == 24
    # Irreducible points of a hexagonal grid under D6
    assert len(reduction.kept) == {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 7}[nk]
    assert reduction.weights.sum() == pytest.approx(1)
    kept = BlochMatrices.build(reduction, lambda spin, k: hoppings[k], torch.device("cpu"))
    assert all(
        not np.any(2 * nk_point % nk) for nk_point in reduction._grid[reduction.kept[: reduction.n_real, 1]]
    )
    for k, expected in enumerate(hoppings):
        np.testing.assert_allclose(kept.unfold(0, k).numpy(), expected, atol=EXACT)


def test_orbitals_unfold_to_eigenstates(model):
    nk = 3
    hoppings, reduction = hopping_reduction(model, nk)
    solved = [np.linalg.eigh(hoppings[k]) for _, k in reduction.kept]
    by_k = {int(k): pair[1] for (_, k), pair in zip(reduction.kept, solved, strict=True)}
    orbitals = BlochMatrices.build(reduction, lambda spin, k: by_k[k], torch.device("cpu"))
    for k, hopping in enumerate(hoppings):
        psi = orbitals.unfold(0, k, columns=False).numpy()
        energies = solved[reduction.source[0, k]][0]
        np.testing.assert_allclose(hopping @ psi, psi * energies, atol=EXACT)


def test_a_field_keeps_only_its_own_symmetries(model):
    """A potential on one atom breaks all but time reversal; a complex bond breaks that too."""
    hoppings, _ = hopping_reduction(model, 2, n_spin=2)
    images = np.array(list(model.crystal.point_group.values()))
    a, b = [j for j in range(28) if len(set(images[:, j])) == 12][:2]  # on no axis
    potential = np.zeros(28)
    potential[a] = 0.1
    one = detect(model.crystal, 2, 2, lambda s, k, v: hoppings[k] @ v + potential * v)
    assert one.names == ("C6^0", "C6^0 conjugate", "C6^0 flip", "C6^0 flip conjugate")
    up_only = detect(model.crystal, 2, 2, lambda s, k, v: hoppings[k] @ v + (s == 0) * potential * v)
    assert up_only.names == ("C6^0", "C6^0 conjugate")
    current = np.zeros((28, 28), dtype=complex)
    current[a, b], current[b, a] = 0.1j, -0.1j
    two = detect(model.crystal, 2, 2, lambda s, k, v: hoppings[k] @ v + (s == 0) * (current @ v))
    assert two.names == ("C6^0",)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([2, 3, 4]), st.sampled_from([0, 1, 5, 8]))
def test_exchange_and_site_sums_need_only_the_kept_matrices(seed, nk, n_operations):
    """Against the direct sum over all k and R, for random matrices of every group tried."""
    crystal = honeycomb()
    rng = np.random.default_rng(seed)
    operations = candidate_operations(crystal, 2)
    names = [
        ("C6^0",),
        ("C6^0", "C6^0 conjugate"),
        ("C6^0", "C6^3 flip"),
        ("C6^0", "C6^2", "C6^4"),
        ("C6^0", "C6^2", "C6^4", "C6^0 flip conjugate", "C6^2 flip conjugate", "C6^4 flip conjugate"),
    ][n_operations % 5]
    chosen = [next(o for o in operations if o.name == name) for name in names]
    reduction = SymmetryReduction(crystal, nk, 2, chosen)
    ks = range(nk * nk)
    noise = rng.normal(size=(2, nk * nk, 2, 2)) + 1j * rng.normal(size=(2, nk * nk, 2, 2))
    noise = noise + noise.conj().transpose(0, 1, 3, 2)
    # Averaging over the group makes matrices that have its symmetry.
    whole = np.zeros_like(noise)
    for operation in chosen:
        single = SymmetryReduction(crystal, nk, 2, [operation])
        for spin, k in np.ndindex(2, nk * nk):
            target = single._image_of_grid(operation)[k]
            phase = np.exp(-2j * np.pi * operation.shift @ single._grid[target] / nk)
            source = noise[spin, k].conj() if operation.conjugates else noise[spin, k]
            moved = np.empty((2, 2), dtype=complex)
            p = operation.permutation
            moved[np.ix_(p, p)] = phase[:, None] * source * phase.conj()
            whole[spin ^ operation.flips_spin, target] += moved / len(chosen)
    kept = BlochMatrices.build(reduction, lambda s, k: whole[s, k], torch.device("cpu"))
    strength = rng.uniform(size=(nk * nk, 2, 2))
    grid = reduction._grid
    # V(R) must have the symmetry too; the distance provides it.
    strength = GateScreenedCoulomb(epsilon=3.0, gate_distance=20.0).exchange(crystal, nk)
    turns = np.exp(2j * np.pi * grid @ grid.T / nk)
    local = np.einsum("kr,skij->srij", turns.conj() / nk**2, whole)
    expected = -np.einsum("kr,srij->skij", turns, strength * local)
    field = Exchange(torch.from_numpy(strength), reduction)(kept).mirrored()
    sums = site_sum(reduction, kept.diagonals().numpy())
    for spin in range(2):
        np.testing.assert_allclose(
            sums[spin], whole[spin].diagonal(axis1=1, axis2=2).real.mean(axis=0), atol=EXACT
        )
        for k in ks:
            np.testing.assert_allclose(kept.unfold(spin, k).numpy(), whole[spin, k], atol=EXACT)
            np.testing.assert_allclose(field.unfold(spin, k).numpy(), expected[spin, k], atol=EXACT)


@pytest.mark.parametrize("seed", range(len(STARTS)))
@pytest.mark.parametrize("nk", [2, 3])
def test_symmetric_and_plain_solutions_agree(model, seed, nk):
    """The same start leads to the same state; without reduction it stays symmetric by itself."""
    setup = HartreeFock(model, 4.0, GateScreenedCoulomb(gate_distance=20.0), nk=nk)
    reduced = setup.solve(seed=seed, tolerance=1e-9, progress=False)
    setup.symmetry = False
    plain = setup.solve(seed=seed, tolerance=1e-9, progress=False)
    assert plain.symmetry == ("C6^0",)
    assert reduced.total_energy == pytest.approx(plain.total_energy, abs=1e-8)
    np.testing.assert_allclose(reduced.density, plain.density, atol=1e-7)
    np.testing.assert_allclose(reduced.ldos([0.1, -0.3]), plain.ldos([0.1, -0.3]), atol=1e-5)
    np.testing.assert_allclose(
        np.sort(np.abs(reduced.bond_order())), np.sort(np.abs(plain.bond_order())), atol=1e-7
    )
    np.testing.assert_allclose(reduced.energies, plain.energies, atol=1e-7)


def test_a_symmetric_start_stays_symmetric(model):
    """Without any reduction the threefold turn survives the iteration to rounding."""
    setup = HartreeFock(model, 4.0, GateScreenedCoulomb(gate_distance=20.0), nk=3, symmetry=False)
    state = setup.solve(seed=0, tolerance=1e-9, progress=False)
    turned = model.crystal.point_group["C6^2"]
    np.testing.assert_allclose(state.density[:, turned], state.density, atol=EXACT)
    np.testing.assert_allclose(
        state.density[::-1, model.crystal.point_group["C6^3"]], state.density, atol=EXACT
    )


def test_states_of_different_symmetry_join(model):
    """Extrapolation keeps what both have in common."""
    setup = HartreeFock(model, 4.0, GateScreenedCoulomb(gate_distance=20.0), nk=3)
    clean, dressed = (
        setup.at(U=3.8).solve(seed=0, progress=False),
        setup.at(U=3.9).solve(seed=8, progress=False),
    )
    joined = setup.solve(start=[clean, dressed], progress=False)
    assert joined.converged
    assert joined.symmetry == dressed.symmetry
    assert set(dressed.symmetry) < set(clean.symmetry)
