"""What no choice of origin, cell, labels or axes may change, and derivatives of the energy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_core.simulation import (
    Crystal,
    GateScreenedCoulomb,
    HartreeFock,
    TightBinding,
    TwistedBilayer,
    honeycomb,
)
from stm_core.simulation.lattice import rotation

ENERGY_TOLERANCE = 1e-8  # eV
SYMMETRY_TOLERANCE = 1e-10  # electrons
COULOMB = GateScreenedCoulomb(gate_distance=10.0, tolerance=1e-11)
CUTOFF = 4.1  # Å


def decaying(displacement):
    """A smooth hopping in eV that needs no lattice."""
    return -2.4 * np.exp(-(np.linalg.norm(displacement, axis=1) - 1.4) / 0.5)


@st.composite
def crystals(draw):
    """Two to six atoms anywhere in a random cell, no two closer than 1.2 Å."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(2, 6))
    angle = rng.uniform(np.pi / 3, 2 * np.pi / 3)
    lattice = rng.uniform(4.0, 5.0, 2)[:, None] * [[1.0, 0.0], [np.cos(angle), np.sin(angle)]]
    images = np.stack(np.meshgrid(*2 * [np.arange(-1, 2)]), axis=-1).reshape(-1, 2) @ lattice
    positions = np.empty((0, 3))
    while len(positions) < n:
        atom = np.append(rng.uniform(size=2) @ lattice, rng.uniform(-1.5, 1.5))
        apart = positions + np.pad(images, ((0, 0), (0, 1)))[:, None] - atom
        if np.all(np.linalg.norm(apart, axis=-1) > 1.2):
            positions = np.vstack([positions, atom])
    return Crystal(positions, lattice, np.zeros(n, dtype=int), np.arange(n) % 2)


def changed(crystal, **parts):
    fields = ("positions", "lattice", "layer", "sublattice")
    return Crystal(**{name: parts.get(name, getattr(crystal, name)) for name in fields})


def solved(crystal, filling=0.5):
    """So warm and weakly coupled that there is one solution."""
    model = TightBinding(crystal, CUTOFF, decaying)
    problem = HartreeFock(model, 1.0, COULOMB, filling=filling, nk=2, temperature=0.3, reference="none")
    state = problem.solve(seed=0, tolerance=1e-10, progress=False)
    assert state.converged
    return state


@settings(max_examples=40, deadline=None)
@given(crystals(), st.lists(st.floats(-3, 3), min_size=2, max_size=2))
def test_bloch_hamiltonians_are_hermitian_and_periodic(crystal, k):
    model = TightBinding(crystal, CUTOFF, decaying)
    h = model.hamiltonian(k)
    np.testing.assert_array_equal(h, h.conj().T)
    np.testing.assert_allclose(model.hamiltonian(-np.array(k)), h.conj(), atol=1e-12)
    np.testing.assert_allclose(model.hamiltonian(k + crystal.reciprocal.sum(axis=0)), h, atol=1e-11)


@settings(max_examples=8, deadline=None)
@given(crystals(), st.floats(-0.9, 0.9))
def test_the_number_of_electrons_is_exact(crystal, filling):
    state = solved(crystal, filling)
    assert state.density.sum() == pytest.approx(crystal.n_atoms + filling, abs=1e-9)
    assert np.all((state.density > 0) & (state.density < 1))


def moved_atoms(crystal, rng):
    """Other atoms of the same crystal stand for the cell: a k-dependent change of gauge."""
    cells = rng.integers(-3, 4, size=(crystal.n_atoms, 2))
    moved = crystal.positions + np.pad(cells @ crystal.lattice, ((0, 0), (0, 1)))
    return changed(crystal, positions=moved), np.arange(crystal.n_atoms)


def moved_origin(crystal, rng):
    return changed(crystal, positions=crystal.positions + rng.normal(size=3)), np.arange(crystal.n_atoms)


def turned(crystal, rng):
    turn = rotation(rng.uniform(0, 2 * np.pi))
    positions, lattice = crystal.positions @ turn.T, crystal.lattice @ turn[:2, :2].T
    return changed(crystal, positions=positions, lattice=lattice), np.arange(crystal.n_atoms)


def permuted(crystal, rng):
    order = rng.permutation(crystal.n_atoms)
    parts = {name: getattr(crystal, name)[order] for name in ("positions", "layer", "sublattice")}
    return changed(crystal, **parts), order


def other_vectors(crystal, rng):
    """Another pair of vectors spans the same lattice."""
    shears = np.array([[[1, 1], [0, 1]], [[2, 1], [1, 1]], [[1, 0], [-3, 1]], [[0, -1], [1, 2]]])
    return changed(crystal, lattice=rng.choice(shears) @ crystal.lattice), np.arange(crystal.n_atoms)


@pytest.mark.parametrize("change", [moved_atoms, moved_origin, turned, permuted, other_vectors])
@settings(max_examples=5, deadline=None)
@given(crystal=crystals(), seed=st.integers(0, 1000))
def test_energies_do_not_depend_on_the_description(change, crystal, seed):
    other, order = change(crystal, np.random.default_rng(seed))
    state, again = solved(crystal), solved(other)
    assert again.total_energy == pytest.approx(state.total_energy, abs=ENERGY_TOLERANCE)
    levels = (np.sort(s.energies, axis=None) for s in (state, again))
    np.testing.assert_allclose(*levels, atol=ENERGY_TOLERANCE)
    np.testing.assert_allclose(again.density, state.density[:, order], atol=ENERGY_TOLERANCE)


def test_a_symmetric_start_stays_symmetric():
    """From the non-interacting state, which has every symmetry of the bilayer and of spin."""
    cell = TwistedBilayer(1, 3.0)
    problem = HartreeFock(TightBinding(cell), 4.0, COULOMB, nk=3, temperature=0.01)
    free = HartreeFock(problem.model, 0.0, nk=3, temperature=0.01).solve(seed=0, progress=False)
    state = problem.solve(start=free, tolerance=1e-9, progress=False)
    assert state.converged
    np.testing.assert_allclose(state.density[0], state.density[1], atol=SYMMETRY_TOLERANCE)
    for name, permutation in cell.point_group.items():
        turned = state.density[:, permutation]
        np.testing.assert_allclose(turned, state.density, atol=SYMMETRY_TOLERANCE, err_msg=name)


def test_starts_related_by_symmetry_end_at_the_same_energy():
    """Exchanging the names of the sublattices reverses the staggered start."""
    cell = honeycomb()
    exchanged = changed(cell, sublattice=1 - cell.sublattice)
    states = [
        HartreeFock(TightBinding(crystal), 9.0, COULOMB, nk=6).solve(seed=0, tolerance=1e-9, progress=False)
        for crystal in (cell, exchanged)
    ]
    moments = [state.density[0] - state.density[1] for state in states]
    assert abs(moments[0][0]) > 0.5
    np.testing.assert_allclose(moments[0], -moments[1], atol=1e-7)
    assert states[0].total_energy == pytest.approx(states[1].total_energy, abs=ENERGY_TOLERANCE)


def slope(function, x, step):
    """Derivative by central differences, with an error of order step⁴."""
    values = [function(x + n * step) for n in (-2, -1, 1, 2)]
    return (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)


DERIVATIVE_TOLERANCE = 1e-6
COUPLINGS = pytest.mark.parametrize(
    ("U", "temperature"), [(9.0, 0.01), (2.0, 0.3)], ids=["antiferromagnet", "warm metal"]
)


def free_energy(U, temperature, epsilon=10.0, filling=0.1):
    """Converged honeycomb state; its free energy is stationary at a fixed number of electrons."""
    problem = HartreeFock(
        TightBinding(honeycomb()),
        U,
        GateScreenedCoulomb(epsilon, gate_distance=10.0, tolerance=1e-11),
        filling=filling,
        nk=4,
        temperature=temperature,
        reference="none",
    )
    state = problem.solve(seed=0, tolerance=1e-10, progress=False)
    assert state.converged
    return problem, state


@COUPLINGS
def test_hellmann_feynman_for_the_on_site_repulsion(U, temperature):
    """∂F/∂U = Σ_i ⟨(n_i↑ - ½)(n_i↓ - ½)⟩."""
    _, state = free_energy(U, temperature)
    expected = ((state.density[0] - 0.5) * (state.density[1] - 0.5)).sum()
    numerical = slope(lambda u: free_energy(u, temperature)[1].free_energy, U, 0.05)
    assert numerical == pytest.approx(expected, abs=DERIVATIVE_TOLERANCE)


@COUPLINGS
def test_hellmann_feynman_for_the_coulomb_repulsion(U, temperature):
    """(1/ε) ∂F/∂(1/ε) is the Coulomb energy: what hopping and U leave of the total."""
    problem, state = free_energy(U, temperature)
    hopping = 0.0
    for index, k in enumerate(problem.model.crystal.k_grid(4)):
        h = problem.model.hamiltonian(k)
        for spin in (0, 1):
            orbitals = state.orbitals_at(spin, index)
            levels = np.einsum("in,ij,jn->n", orbitals.conj(), h, orbitals).real
            hopping += state.occupations[spin, index] @ levels / 16
    on_site = U * ((state.density[0] - 0.5) * (state.density[1] - 0.5)).sum()
    numerical = slope(lambda x: free_energy(U, temperature, epsilon=1 / x)[1].free_energy, 0.1, 0.002) * 0.1
    assert numerical == pytest.approx(state.total_energy - hopping - on_site, abs=DERIVATIVE_TOLERANCE)


@COUPLINGS
def test_the_chemical_potential_is_the_cost_of_an_electron(U, temperature):
    """∂F/∂N = μ, away from half filling."""
    _, state = free_energy(U, temperature)
    numerical = slope(lambda nu: free_energy(U, temperature, filling=nu)[1].free_energy, 0.1, 0.005)
    assert numerical == pytest.approx(state.chemical_potential, abs=10 * DERIVATIVE_TOLERANCE)
