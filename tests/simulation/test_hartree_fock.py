"""The solver: agreement with PySCF, variational and symmetry properties, bad input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyscf import gto, scf

from stm_core.simulation import (
    Crystal,
    GateScreenedCoulomb,
    HartreeFock,
    HartreeFockState,
    TightBinding,
    TwistedBilayer,
)
from stm_core.simulation.mixing import CommutatorDIIS
from stm_core.simulation.observables import chemical_potential

ENERGY_TOLERANCE = 1e-8  # eV
BOND = 1.42


def nanographene(rings):
    """A row of fused hexagons far from its periodic images: benzene, naphthalene, ..."""
    corners = BOND * np.exp(1j * (np.pi / 6 + np.arange(6) * np.pi / 3))
    points = np.concatenate([corners + n * BOND * np.sqrt(3) for n in range(rings)])
    keep = [n for n, p in enumerate(points) if np.all(np.abs(points[:n] - p) > 1e-3)]
    atoms = points[keep]
    bonded = np.abs(np.abs(atoms[:, None] - atoms[None]) - BOND) < 1e-3
    sublattice = np.full(len(atoms), -1)
    sublattice[0] = 0
    while np.any(sublattice < 0):
        for n in np.flatnonzero(sublattice >= 0):
            sublattice[bonded[n]] = 1 - sublattice[n]
    positions = np.column_stack([atoms.real, atoms.imag, np.zeros(len(atoms))])
    crystal = Crystal(positions, 1e5 * np.eye(2), np.zeros(len(atoms), int), sublattice)
    return TightBinding(crystal, cutoff=1.6, hopping=lambda d: np.full(len(d), -2.4))


def pyscf_energy(model, U, coulomb, filling, density):
    """Energy of the same Hamiltonian from PySCF's UHF, started from our density matrix."""
    n = model.crystal.n_atoms
    v = np.zeros((n, n)) if coulomb is None else coulomb.hartree(model.crystal)
    core = model.hamiltonian(np.zeros(2)).real - np.diag(U / 2 + v.sum(axis=1))
    repulsion = np.zeros((n, n, n, n))
    sites = np.arange(n)
    repulsion[sites[:, None], sites[:, None], sites[None], sites[None]] = v + U * np.eye(n)
    molecule = gto.M(verbose=0)
    molecule.incore_anyway = True
    up = round(float(np.trace(density[0])))
    molecule.nelec = (up, n + round(filling) - up)
    molecule.nao = n
    field = scf.UHF(molecule)
    field.get_hcore = lambda *_: core
    field.get_ovlp = lambda *_: np.eye(n)
    field._eri = repulsion
    field.energy_nuc = lambda *_: n * U / 4 + v.sum() / 2
    field.conv_tol, field.conv_tol_grad, field.max_cycle = 1e-12, 1e-7, 200
    energy = field.kernel(np.asarray(density))
    assert field.converged
    return energy


def density_matrix(problem, state):
    levels, orbitals = torch.from_numpy(state.energies), torch.from_numpy(state.orbitals)
    return problem.density_matrix(levels, orbitals, state.chemical_potential)


@pytest.mark.parametrize(
    ("rings", "U", "coulomb", "filling"),
    [
        (1, 8.0, None, 0),
        (1, 0.0, GateScreenedCoulomb(epsilon=1.5), 0),
        (1, 8.0, GateScreenedCoulomb(epsilon=1.5), 0),
        (2, 6.0, GateScreenedCoulomb(epsilon=2.0), 2),
        (3, 9.0, GateScreenedCoulomb(epsilon=2.0, gate_distance=20.0), 0),
    ],
    ids=["U only", "V only", "both", "charged", "antiferromagnetic"],
)
def test_cluster_energy_equals_pyscf(rings, U, coulomb, filling):
    model = nanographene(rings)
    problem = HartreeFock(model, U, coulomb, filling=filling, reference="none")
    state = problem.solve(seed=0, tolerance=1e-10, progress=False)
    assert state.converged
    density = density_matrix(problem, state)[:, 0].numpy()
    assert state.total_energy == pytest.approx(
        pyscf_energy(model, U, coulomb, filling, density), abs=ENERGY_TOLERANCE
    )


@pytest.fixture(scope="module")
def bilayer():
    """A converged state of the 28-atom twisted bilayer."""
    model = TightBinding(TwistedBilayer(1, 3.0))
    problem = HartreeFock(model, 5.0, GateScreenedCoulomb(gate_distance=20.0), nk=3)
    return problem, problem.solve(seed=0, tolerance=1e-8, progress=False)


def test_a_converged_start_converges_at_once(bilayer):
    problem, state = bilayer
    again = problem.solve(start=state, tolerance=1e-7, progress=False)
    assert again.converged
    assert again.iterations == 1
    assert again.total_energy == pytest.approx(state.total_energy, abs=ENERGY_TOLERANCE)


def test_the_density_holds_the_right_electrons(bilayer):
    problem, state = bilayer
    assert state.density.sum() == pytest.approx(28, abs=1e-9)
    doped = problem.at(filling=-1.5).solve(seed=0, progress=False)
    assert doped.density.sum() == pytest.approx(26.5, abs=1e-9)
    assert problem.filling == 0


@pytest.mark.parametrize("scale", [0.9, 1.1])
def test_rescaling_the_mean_field_raises_the_energy(bilayer, scale):
    problem, state = bilayer
    fock, _ = problem.mean_field(density_matrix(problem, state))
    bare = torch.from_numpy(np.stack([problem.model.hamiltonian(k) for k in problem.model.crystal.k_grid(3)]))
    trial = problem.density_matrix(*problem.diagonalise(bare + scale * (fock - bare)))
    assert problem.mean_field(trial)[1] > state.total_energy


def test_energy_never_rises_when_a_perturbed_density_relaxes(bilayer):
    problem, state = bilayer
    fock, _ = problem.mean_field(density_matrix(problem, state))
    generator = torch.Generator().manual_seed(0)
    noise = 0.05 * torch.randn(fock.shape, dtype=fock.dtype, generator=generator)
    energies, orbitals, mu = problem.diagonalise(fock + noise + noise.mH)
    start = HartreeFockState(
        **{
            **vars_of(state),
            "orbitals": orbitals.numpy(),
            "energies": energies.numpy(),
            "chemical_potential": mu,
        }
    )
    relaxed = problem.solve(start=start, tolerance=1e-8, progress=False)
    assert problem.mean_field(density_matrix(problem, start))[1] > state.total_energy
    assert relaxed.total_energy <= state.total_energy + ENERGY_TOLERANCE


def vars_of(state):
    return {name: getattr(state, name) for name in state.__dataclass_fields__}


def test_the_fock_matrix_is_the_derivative_of_the_energy(bilayer):
    problem, state = bilayer
    density = density_matrix(problem, state)
    fock, _ = problem.mean_field(density)
    generator = torch.Generator().manual_seed(1)
    change = torch.randn(density.shape, dtype=density.dtype, generator=generator)
    change = change + change.mH
    step = 1e-4
    numerical = (
        problem.mean_field(density + step * change)[1] - problem.mean_field(density - step * change)[1]
    ) / (2 * step)
    analytical = float((fock * change.conj()).real.sum()) / fock.shape[1]
    assert numerical == pytest.approx(analytical, rel=1e-7)


def test_real_and_complex_arithmetic_agree():
    """At nk = 2 all momenta are time-reversal invariant, and a real start keeps everything real."""
    model = TightBinding(TwistedBilayer(1, 3.0))
    problem = HartreeFock(model, 5.0, GateScreenedCoulomb(gate_distance=20.0), nk=2)
    real = problem.solve(seed=0, tolerance=1e-8, progress=False)
    assert np.isrealobj(real.orbitals)
    complex_start = HartreeFockState(**{**vars_of(real), "orbitals": real.orbitals.astype(complex)})
    again = problem.solve(start=complex_start, tolerance=1e-7, progress=False)
    assert np.iscomplexobj(again.orbitals)
    assert again.iterations == 1
    assert again.total_energy == pytest.approx(real.total_energy, abs=ENERGY_TOLERANCE)


def test_seeds_reproduce_and_differ():
    problem = HartreeFock(TightBinding(TwistedBilayer(1, 3.0)), 6.0, nk=2)
    first, again = (problem.solve(seed=3, progress=False) for _ in range(2))
    np.testing.assert_array_equal(first.density, again.density)
    assert first.start == "random"
    assert problem.solve(seed=0, progress=False).start == "spin"


def test_callback_sees_every_iteration(bilayer):
    problem, _ = bilayer
    seen = []
    state = problem.solve(seed=1, callback=seen.append, progress=False)
    assert [it.number for it in seen] == list(range(1, state.iterations + 1))
    np.testing.assert_array_equal([it.residual for it in seen], state.history[:, 0])


def test_an_unconverged_state_says_so(bilayer, caplog):
    problem, _ = bilayer
    state = problem.solve(seed=0, max_iterations=2, progress=False)
    assert not state.converged
    assert "after 2 iterations" in caplog.text


@settings(max_examples=30, deadline=None)
@given(st.floats(-3.9, 3.9), st.integers(0, 10**6))
def test_chemical_potential_fills_exactly(filling, seed):
    energies = np.sort(np.random.default_rng(seed).normal(size=(2, 3, 12)), axis=-1)
    mu = chemical_potential(energies, 12 + filling, temperature=0.01)
    filled = (1 / (1 + np.exp((energies - mu) / 0.01))).sum() / 3
    assert filled == pytest.approx(12 + filling, abs=1e-10)


def test_diis_solves_a_linear_problem_exactly():
    """With as many matrices as unknowns the extrapolated commutator vanishes."""
    generator = torch.Generator().manual_seed(2)
    focks = [torch.randn(2, 1, 2, 2, dtype=torch.float64, generator=generator) for _ in range(2)]
    focks = [f + f.mH for f in focks]
    density = torch.diag(torch.tensor([1.0, 0.0], dtype=torch.float64)).expand(2, 1, 2, 2)
    mixer = CommutatorDIIS()
    mixer(focks[0], density)
    mixed = mixer(focks[1], density)
    errors = [f @ density - density @ f for f in (*focks, mixed)]
    assert errors[2].norm() <= min(errors[0].norm(), errors[1].norm()) * (1 + 1e-6)
    with pytest.raises(ValueError, match="at least one Fock matrix"):
        CommutatorDIIS(0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"U": -1.0}, "U must be zero or positive"),
        ({"U": float("nan")}, "U must be zero or positive"),
        ({"filling": 5}, "between -4 and 4 electrons"),
        ({"nk": 0}, "positive number of k-points"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"reference": "vacuum"}, "decoupled, average, none"),
    ],
)
def test_bad_problems_are_refused(arguments, message):
    model = TightBinding(TwistedBilayer(1, 3.0))
    with pytest.raises(ValueError, match=message):
        HartreeFock(model, **{"U": 1.0, **arguments})


def test_bad_solve_arguments_are_refused(bilayer):
    problem, state = bilayer
    with pytest.raises(ValueError, match="tolerance must be positive"):
        problem.solve(tolerance=0)
    with pytest.raises(ValueError, match="non-negative integer"):
        problem.solve(seed=-1)
    other = HartreeFock(problem.model, 1.0, nk=2)
    with pytest.raises(ValueError, match="28 atoms and nk = 3"):
        other.solve(start=state)
