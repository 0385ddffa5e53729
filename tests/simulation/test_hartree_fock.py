"""The solver: variational properties, spin treatments, routes to convergence, interruptions, bad input."""

from dataclasses import replace
from itertools import pairwise

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
    scf,
)
from stm_core.simulation.bloch import BlochMatrices
from stm_core.simulation.mixing import FockMixer
from stm_core.simulation.observables import chemical_potential
from stm_core.simulation.routes import STAGES, Stage
from stm_core.simulation.symmetry import SymmetryReduction, candidate_operations

ENERGY_TOLERANCE = 1e-8  # eV


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
    setup, state = bilayer
    problem = setup.problem(state.orbitals.reduction)
    fock, _ = problem.mean_field(state.density_matrix())
    scaled = fock.map(lambda f, bare: bare + scale * (f - bare), problem.mean_field.constant)
    trial, _ = problem.density_matrix(problem.diagonalise(scaled))
    assert problem.mean_field(trial)[1] > state.total_energy


def random_change(matrices, seed, size):
    """A random Hermitian matrix for each kept one."""
    generator = torch.Generator().manual_seed(seed)

    def draw(stack):
        noise = size * torch.randn(stack.shape, dtype=stack.dtype, generator=generator)
        return noise + noise.mH

    return matrices.map(draw)


def test_energy_never_rises_when_a_perturbed_density_relaxes(bilayer):
    setup, state = bilayer
    problem = setup.problem(state.orbitals.reduction)
    fock, _ = problem.mean_field(state.density_matrix())
    noisy = fock.map(torch.add, random_change(fock, 0, 0.05))
    levels = problem.diagonalise(noisy)
    start = replace(
        state,
        orbitals=levels.orbitals,
        levels=levels.energies,
        chemical_potential=levels.chemical_potential,
    )
    relaxed = setup.solve(start=start, tolerance=1e-8, progress=False)
    assert setup.mean_field(start.density_matrix())[1] > state.total_energy
    assert relaxed.total_energy <= state.total_energy + ENERGY_TOLERANCE


@pytest.mark.parametrize("spin", ["collinear", "restricted", "noncollinear"])
def test_the_fock_matrix_is_the_derivative_of_the_energy(spin):
    """In every direction, also those that couple the spins; without any symmetry."""
    model = TightBinding(TwistedBilayer(1, 3.0))
    setup = HartreeFock(model, 5.0, GateScreenedCoulomb(gate_distance=20.0), nk=3, spin=spin, symmetry=False)
    state = setup.solve(seed=3, tolerance=1e-2, progress=False)
    density = state.density_matrix()
    fock, _ = setup.mean_field(density)
    change, step = random_change(density, 1, 1.0), 1e-4
    energies = [
        setup.mean_field(density.map(lambda d, c, s=sign: d + s * step * c, change))[1] for sign in (1, -1)
    ]
    analytical = state.degeneracy * fock.trace_product(change)
    assert (energies[0] - energies[1]) / (2 * step) == pytest.approx(analytical, rel=1e-7)


def test_free_energy_counts_the_entropy_of_a_metal():
    """F = -T Σ log(1 + e^{(μ-ε)/T}) + μN for electrons that do not interact."""
    setup = HartreeFock(TightBinding(TwistedBilayer(1, 3.0)), 0.0, nk=3, temperature=0.2, filling=1.0)
    state = setup.solve(progress=False)
    levels, mu = state.energies, state.chemical_potential
    expected = mu * 29 - 0.2 * np.logaddexp(0, (mu - levels) / 0.2).sum() / 9
    assert state.free_energy == pytest.approx(expected, abs=1e-9)
    assert state.free_energy < state.total_energy


def test_seeds_reproduce_and_differ():
    problem = HartreeFock(TightBinding(TwistedBilayer(1, 3.0)), 6.0, nk=2)
    assert problem.solve(seed=11, progress=False).start == "random"
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


def test_callback_is_told_the_densities_that_each_iteration_goes_from_and_to(bilayer):
    problem, _ = bilayer
    seen = []
    state = problem.solve(seed=0, callback=seen.append, progress=False)
    for earlier, later in pairwise(seen):
        np.testing.assert_array_equal(earlier.density, later.before)
    assert all(np.abs(it.density - it.before).max() <= it.residual for it in seen)
    np.testing.assert_allclose(seen[-1].density, state.density, atol=1e-9)
    electrons = problem.model.crystal.n_atoms + problem.filling
    np.testing.assert_allclose([it.density.sum() for it in (seen[0], seen[-1])], electrons, rtol=1e-6)
    assert np.abs(seen[0].before - state.density).max() > 1e-3


def test_an_unconverged_state_says_so(bilayer, caplog):
    problem, _ = bilayer
    state = problem.solve(seed=0, max_iterations=2, progress=False)
    assert not state.converged
    assert "not converged" in caplog.text


@settings(max_examples=30, deadline=None)
@given(st.floats(-3.9, 3.9), st.integers(0, 10**6))
def test_chemical_potential_fills_exactly(filling, seed):
    energies = np.sort(np.random.default_rng(seed).normal(size=(2, 3, 12)), axis=-1)
    mu = chemical_potential(energies, 12 + filling, temperature=0.01)
    filled = (1 / (1 + np.exp((energies - mu) / 0.01))).sum() / 3
    assert filled == pytest.approx(12 + filling, abs=1e-10)


def matrices(values):
    """One real (M, M) Bloch matrix of a single spin at Γ."""
    crystal = honeycomb()
    reduction = SymmetryReduction(crystal, 1, 1, candidate_operations(crystal, 1)[:2])
    stack = torch.as_tensor(values, dtype=torch.float64)[None]
    return BlochMatrices(reduction, (stack, stack[:0].to(torch.complex128)))


def packed(x):
    return matrices([[x[0], x[1]], [x[1], x[2]]])


def unpacked(fock):
    return fock[0].numpy()[[0, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize("far", [False, True], ids=["DIIS", "downhill"])
def test_mixing_solves_a_linear_problem_exactly(far):
    """ρ = -F and F[ρ] = A + Kρ in three unknowns: four Fock matrices determine the fixed point."""
    rng = np.random.default_rng(2)
    interaction, constant = np.array([-0.5, 0.3, 0.7]), rng.normal(size=3)
    mixer, fock = FockMixer(), packed(np.zeros(3))
    for _ in range(4):
        density = -unpacked(fock)
        fock = mixer(packed(constant + interaction * density), fock, packed(density), far)
    # The history is in single precision.
    np.testing.assert_allclose(unpacked(fock), constant / (1 + interaction), rtol=1e-4)
    with pytest.raises(ValueError, match="at least two Fock matrices"):
        FockMixer(1)


def test_mixing_far_from_the_solution_leaves_a_saddle_point():
    """∂F/∂ρ = (K + 1)ρ + ρ³: zero is a saddle for a K below -1, and ρ² = -(K + 1) are the minima."""
    interaction = np.array([-1.5, 0.5, 0.2])
    mixer, fock = FockMixer(), packed([0.05, -0.3, 0.2])
    for _ in range(40):
        density = -unpacked(fock)
        fock = mixer(packed(interaction * density + density**3), fock, packed(density), True)
    np.testing.assert_allclose(np.abs(unpacked(fock)), [np.sqrt(0.5), 0, 0], atol=1e-5)


def test_a_mixed_step_uphill_is_taken_back():
    mixer = FockMixer()
    first, second = packed([1.0, 0.5, 0.0]), packed([0.4, 0.2, 0.1])
    mixer(first, packed([0.5, 0.0, 0.0]), packed([-0.5, 0.0, 0.0]), True)
    mixer(second, packed([0.6, 0.3, 0.0]), packed([-0.6, -0.3, 0.0]), True)
    # Along the last move ρ grew by one in an element where F[ρ] - F is positive: energy rises.
    again = mixer(packed([2.0, 0.2, 0.1]), packed([-0.4, 0.2, 0.1]), packed([0.4, -0.3, 0.0]), True)
    np.testing.assert_array_equal(unpacked(again), unpacked(second))


@pytest.mark.parametrize(
    ("residuals", "downhill"),
    [
        ([8e-6, 5e-6, 8e-7, 1.3e-6, 1.4e-6, 5e-7, 1.2e-6], True),  # hovers near a saddle point
        ([8e-6, 5e-6, 9e-7, 2e-7, 6e-8, 2e-8, 5e-9], False),
        ([8e-6, 5e-6, 9e-7, 2e-7, 6e-8], False),
        ([8e-6, 5e-6, 9e-7, 2e-7, 6e-8, 2e-5], True),
    ],
)
def test_diis_that_polishes_in_vain_gives_way_to_the_way_downhill(bilayer, residuals, downhill):
    solver, state = bilayer
    density = state.density_matrix()
    problem, fock = solver.problem(density.reduction), solver.mean_field(density)[0]
    chosen = []
    progress = scf.Progress(density, 0.0, False, fock, history=[(r, 0.0) for r in residuals])
    progress.mixer = lambda fock, previous, density, far: chosen.append(far) or fock
    scf._mix(problem, progress, STAGES[0], fock)
    assert chosen == [downhill]


def test_a_path_in_u_is_extrapolated():
    setup = HartreeFock(TightBinding(TwistedBilayer(1, 3.0)), 4.0, GateScreenedCoulomb(), nk=2)
    states = [setup.at(U=u).solve(progress=False) for u in (3.8, 3.9)]
    cold = setup.solve(progress=False)
    warm = setup.solve(start=states[-1], progress=False)
    extrapolated = setup.solve(start=states, progress=False)
    assert extrapolated.total_energy == pytest.approx(cold.total_energy, abs=ENERGY_TOLERANCE)
    assert extrapolated.history[0, 0] < warm.history[0, 0] / 3
    assert extrapolated.iterations <= warm.iterations < cold.iterations
    with pytest.raises(ValueError, match="different U"):
        setup.solve(start=[states[0], states[0]])


@pytest.mark.parametrize("mixed", [True, False], ids=["mixed precision", "double"])
def test_an_interrupted_solution_resumes_identically(tmp_path, monkeypatch, mixed):
    monkeypatch.setattr(scf, "_SINGLE_WORTH", 2)
    path = tmp_path / "checkpoint"
    setup = HartreeFock(
        TightBinding(TwistedBilayer(1, 3.0)), 5.0, GateScreenedCoulomb(), nk=3, mixed_precision=mixed
    )
    whole = setup.solve(seed=8, progress=False)

    class Interrupted(Exception):
        pass

    for stop in (1, 4, whole.iterations - 1):

        def interrupt(iteration, stop=stop):
            iteration.save(path)
            if iteration.number == stop:
                raise Interrupted

        with pytest.raises(Interrupted):
            setup.solve(seed=8, callback=interrupt, progress=False)
        resumed = setup.resume(path, progress=False)
        np.testing.assert_array_equal(resumed.history, whole.history)
        np.testing.assert_array_equal(resumed.density, whole.density)
        assert (resumed.total_energy, resumed.start) == (whole.total_energy, "spin")
    with pytest.raises(ValueError, match=f"has used {whole.iterations - 1} iterations already"):
        setup.resume(path, max_iterations=3)
    setup.solve(seed=8, callback=lambda iteration: iteration.save(path), progress=False)
    finished = setup.resume(path, progress=False)
    assert finished.converged
    np.testing.assert_array_equal(finished.history, whole.history)
    np.testing.assert_array_equal(finished.density, whole.density)
    with pytest.raises(ValueError, match="another problem: U differ"):
        setup.at(U=1.0).resume(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="not a complete checkpoint"):
        setup.resume(path)


def test_single_precision_leads_to_the_same_state(monkeypatch):
    monkeypatch.setattr(scf, "_SINGLE_WORTH", 2)
    setup = HartreeFock(TightBinding(TwistedBilayer(2, 3.0)), 5.0, GateScreenedCoulomb(), nk=3)
    mixed = setup.solve(tolerance=1e-8, progress=False)
    setup.mixed_precision = False
    double = setup.solve(tolerance=1e-8, progress=False)
    assert mixed.single_iterations > 4
    assert double.single_iterations == 0
    assert mixed.orbitals.precision == torch.float64
    np.testing.assert_allclose(mixed.density, double.density, atol=1e-7)
    assert mixed.total_energy == pytest.approx(double.total_energy, abs=ENERGY_TOLERANCE)


def test_restricted_and_collinear_agree_where_spins_are_equal():
    arguments = (TightBinding(TwistedBilayer(1, 3.0)), 2.0, GateScreenedCoulomb())
    collinear = HartreeFock(*arguments, nk=2).solve(seed=1, tolerance=1e-9, progress=False)
    restricted = HartreeFock(*arguments, nk=2, spin="restricted").solve(
        seed=1, tolerance=1e-9, progress=False
    )
    np.testing.assert_allclose(restricted.density, collinear.density, atol=1e-8)
    assert restricted.total_energy == pytest.approx(collinear.total_energy, abs=ENERGY_TOLERANCE)
    assert restricted.gap == pytest.approx(collinear.gap, abs=1e-7)
    np.testing.assert_allclose(restricted.ldos([0.1]), collinear.ldos([0.1]), atol=1e-6)
    assert restricted.energies.shape == (1, 4, 28)


def test_spinors_turn_the_collinear_antiferromagnet():
    """The energy does not depend on the direction of the spins, and the moments keep their size."""
    model = TightBinding(honeycomb(), cutoff=1.6, hopping=lambda d: np.full(len(d), -2.7))
    collinear = HartreeFock(model, 10.8, nk=4).solve(seed=0, tolerance=1e-9, progress=False)
    spinor = HartreeFock(model, 10.8, nk=4, spin="noncollinear").solve(seed=0, tolerance=1e-9, progress=False)
    assert spinor.total_energy == pytest.approx(collinear.total_energy, abs=ENERGY_TOLERANCE)
    moment = np.linalg.norm(spinor.spin_density, axis=1)
    np.testing.assert_allclose(moment, np.abs(collinear.spin_density[:, 2]), atol=1e-7)
    assert np.abs(spinor.spin_density[:, :2]).max() > 0.1
    np.testing.assert_allclose(spinor.spin_density.sum(axis=0), 0, atol=1e-7)
    assert spinor.gap == pytest.approx(collinear.gap, abs=1e-7)
    np.testing.assert_allclose(spinor.bond_order().real, collinear.bond_order().real, atol=1e-7)


def test_a_stalled_solution_takes_the_next_route(monkeypatch, caplog):
    """Without DIIS and with strong repulsion the plain iteration does not settle."""
    monkeypatch.setattr(scf, "_PATIENCE", 4)
    monkeypatch.setattr(scf.FockMixer, "__call__", lambda self, fock, *_: fock)
    setup = HartreeFock(TightBinding(TwistedBilayer(1, 3.0)), 1.0, GateScreenedCoulomb(epsilon=1.0), nk=2)
    state = setup.solve(seed=8, max_iterations=60, progress=False)
    assert state.route[:2] == ("DIIS", "smearing × 16")
    assert "now smearing × 16" in caplog.text


@pytest.mark.parametrize("single", [False, True], ids=["double", "single first"])
@pytest.mark.parametrize("stage", [s.name for s in STAGES if not s.plain])
def test_every_route_leads_to_the_same_state(monkeypatch, stage, single):
    monkeypatch.setattr(scf, "_SINGLE_WORTH", 2 if single else 200)
    setup = HartreeFock(TightBinding(TwistedBilayer(1, 3.0)), 5.0, GateScreenedCoulomb(), nk=2)
    expected = setup.solve(seed=0, tolerance=1e-8, progress=False)
    chosen = [s for s in STAGES if s.name == stage]
    monkeypatch.setattr(scf, "STAGES", (*chosen, Stage("DIIS after all")))
    state = setup.solve(seed=0, tolerance=1e-8, progress=False)
    assert state.converged
    assert state.route[-1] == "DIIS after all"
    assert state.total_energy == pytest.approx(expected.total_energy, abs=ENERGY_TOLERANCE)


def test_values_that_are_not_finite_end_the_iteration(monkeypatch):
    setup = HartreeFock(TightBinding(TwistedBilayer(1, 3.0)), 5.0, GateScreenedCoulomb(), nk=2)
    setup._hartree[0, 1] = torch.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        setup.solve(progress=False)


def test_too_large_a_problem_says_how_large(monkeypatch):
    setup = HartreeFock(TightBinding(TwistedBilayer(1, 3.0)), 5.0, nk=2)

    def exhausted(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(torch.linalg, "eigh", exhausted)
    with pytest.raises(MemoryError, match=r"8 Bloch matrices of 28 orbitals.*GB"):
        setup.solve(progress=False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("spin", ["collinear", "restricted", "noncollinear"])
def test_cuda_gives_the_same_state(spin):
    arguments = (TightBinding(TwistedBilayer(2, 3.0)), 5.0, GateScreenedCoulomb())
    states = [
        HartreeFock(*arguments, nk=3, spin=spin, device=device).solve(seed=1, tolerance=1e-8, progress=False)
        for device in ("cpu", "cuda")
    ]
    np.testing.assert_allclose(states[0].density, states[1].density, atol=1e-7)
    assert states[0].total_energy == pytest.approx(states[1].total_energy, abs=ENERGY_TOLERANCE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"U": -1.0}, "U must be zero or positive"),
        ({"U": float("nan")}, "U must be zero or positive"),
        ({"filling": 5}, "between -4 and 4 electrons"),
        ({"nk": 0}, "positive number of k-points"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"reference": "vacuum"}, "decoupled, average, none"),
        ({"spin": "up"}, "collinear, restricted, noncollinear"),
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
    with pytest.raises(ValueError, match=r"nk = 3 and collinear spins; this problem has 28 atoms, nk = 2"):
        other.solve(start=state)
