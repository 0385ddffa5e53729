"""Bands of a mean field between its k-points, and densities of states against known ones."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ellipk

from stm_core.simulation import (
    Crystal,
    GateScreenedCoulomb,
    HartreeFock,
    TightBinding,
    TwistedBilayer,
    honeycomb,
)
from stm_core.simulation.lattice import fractions, rotation
from stm_core.simulation.observables import chemical_potential, fermi
from stm_core.simulation.spectra import density_of_states, mean_field_bands

COULOMB = GateScreenedCoulomb(epsilon=6.0, gate_distance=15.0)
HOPPING = 2.7  # eV


@dataclass(frozen=True)
class State:
    """Orbitals (S, n_k, M, M) filled to a chemical potential; ``energies`` are the levels it came from."""

    crystal: Crystal
    nk: int
    U: float
    coulomb: GateScreenedCoulomb | None
    temperature: float
    orbitals: np.ndarray
    energies: np.ndarray
    chemical_potential: float
    filling: float = 0.0
    reference: str = "decoupled"

    @property
    def occupations(self):
        return fermi(self.energies - self.chemical_potential, self.temperature)

    def orbitals_at(self, spin, k):
        return self.orbitals[spin, k]


def bare_state(model, nk, field=lambda spin, k: 0.0, n_spin=2, U=3.0, coulomb=COULOMB):
    """Neutral ground state of the bare model with ``field(spin, k)`` (N, N) added."""
    ks = model.crystal.k_grid(nk)
    solved = [[np.linalg.eigh(model.hamiltonian(k) + field(s, k)) for k in ks] for s in range(n_spin)]
    energies = np.array([[pair[0] for pair in row] for row in solved])
    orbitals = np.array([[pair[1] for pair in row] for row in solved])
    mu = chemical_potential(energies, model.crystal.n_atoms * n_spin / 2, 0.02)
    return State(model.crystal, nk, U, coulomb, 0.02, orbitals, energies, mu)


def staggered(crystal):
    """A field that breaks the spin symmetry and makes complex bonds: nothing is left to chance."""
    sign = np.diag(1.0 - 2.0 * crystal.sublattice)
    twist = 1j * (np.eye(crystal.n_atoms, k=3) - np.eye(crystal.n_atoms, k=-3))
    return lambda spin, k: (0.4 - 0.8 * spin) * sign + 0.1 * twist


@pytest.fixture(scope="module")
def model():
    return TightBinding(TwistedBilayer(1, 3.0))


@pytest.mark.parametrize("reference", ["decoupled", "average", "none"])
def test_on_the_grid_the_bands_are_the_fock_matrix_of_the_formula(model, reference):
    """F = t + U(n - ½) + V(n - 1) - Vρ, summed directly over the cells of the grid."""
    nk, crystal = 2, model.crystal
    state = replace(bare_state(model, nk, staggered(crystal)), reference=reference)
    ks = crystal.k_grid(nk)
    rho = np.einsum(
        "skin,skn,skjn->skij", state.orbitals, state.occupations, state.orbitals.conj(), optimize=True
    )
    n = np.einsum("skii->si", rho).real / nk**2
    held = 0.0
    if reference == "average":
        held = np.eye(28) / 2
    elif reference == "decoupled":
        levels, orbitals = np.linalg.eigh(np.stack([model.decoupled(k) for k in ks]))
        mu = chemical_potential(np.stack([levels] * 2), 28, state.temperature)
        held = (orbitals * fermi(levels - mu, state.temperature)[:, None]) @ orbitals.conj().transpose(
            0, 2, 1
        )
    phases = np.exp(1j * ks @ (fractions(nk) @ crystal.lattice).T)
    interaction = COULOMB.exchange(crystal, nk)
    bands = mean_field_bands(state, model, ks)
    for spin in (0, 1):
        potential = 3.0 * (n[1 - spin] - 0.5) + COULOMB.hartree(crystal) @ (n.sum(axis=0) - 1)
        local = np.einsum("kr,kij->rij", phases.conj() / nk**2, rho[spin] - held)
        for index, k in enumerate(ks):
            exchange = np.einsum("r,rij,rij->ij", phases[index], interaction, local)
            fock = model.hamiltonian(k) + np.diag(potential) - exchange
            np.testing.assert_allclose(bands[spin, index], np.linalg.eigvalsh(fock), atol=1e-9)


def test_on_the_grid_the_bands_are_the_levels_of_the_solver(model):
    """Self-consistency: the levels that the solver returns are those of their own mean field."""
    state = HartreeFock(model, 5.0, COULOMB, nk=2).solve(seed=0, tolerance=1e-12, progress=False)
    assert state.converged
    bands = mean_field_bands(state, model, state.crystal.k_grid(2))
    np.testing.assert_allclose(bands, state.energies, atol=1e-9)


@pytest.mark.parametrize("nk", [1, 2, 3])
def test_bands_keep_the_symmetry_of_the_lattice(model, nk):
    """At a general k: sixfold turns, twofold axes in the plane, time reversal, whole periods."""
    state = bare_state(model, nk)
    k = np.array([0.11, 0.05])
    turns = [rotation(n * np.pi / 3)[:2, :2] for n in range(6)]
    images = [turn @ np.diag([1, sign]) @ k for turn in turns for sign in (1, -1)]
    images.append(k + model.crystal.reciprocal.sum(axis=0))
    bands = mean_field_bands(replace(state, reference="average"), model, images)
    np.testing.assert_allclose(bands, np.broadcast_to(bands[:, :1], bands.shape), atol=1e-9)
    np.testing.assert_allclose(bands[0], bands[1], atol=1e-9)
    # The exchange disperses between the grid points: the interpolation has something to get wrong.
    bare = model.bands([k])[0]
    assert np.ptp(bands[0, 0] - bare) > 0.1


def test_a_supercell_at_gamma_gives_the_same_bands_as_the_primitive_grid():
    """The same Born-von Kármán cell, seen as nk = 3 or as one cell of 18 atoms."""
    cell = honeycomb()
    shifts = fractions(3) @ cell.lattice
    positions = np.concatenate([cell.positions + np.array([*shift, 0.0]) for shift in shifts])
    tiled = Crystal(positions, 3 * cell.lattice, np.tile(cell.layer, 9), np.tile(cell.sublattice, 9))
    small, large = TightBinding(cell), TightBinding(tiled)
    sign = np.array([0.3, -0.3])
    one = bare_state(small, 3, lambda spin, k: np.diag(sign * (1 - 2 * spin)))
    other = bare_state(large, 1, lambda spin, k: np.diag(np.tile(sign, 9) * (1 - 2 * spin)))
    k = np.array([0.21, -0.34])
    folded = k + fractions(3) @ tiled.reciprocal
    one, other = (replace(state, reference="average") for state in (one, other))
    unfolded = mean_field_bands(one, small, folded)
    expected = np.sort(unfolded.reshape(2, -1), axis=1)
    np.testing.assert_allclose(mean_field_bands(other, large, [k])[:, 0], expected, atol=1e-9)


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_spin_direction_does_not_matter(model, seed):
    """A collinear state, written with spinors along any axis, has the same bands."""
    rng = np.random.default_rng(seed)
    collinear = bare_state(model, 2, staggered(model.crystal))
    turn = np.linalg.qr(rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2)))[0]
    up, down = collinear.orbitals
    zero = np.zeros_like(up)
    spinors = np.kron(turn, np.eye(28)) @ np.block([[up, zero], [zero, down]])
    levels = np.concatenate(list(collinear.energies), axis=-1)
    spinor = replace(collinear, orbitals=spinors[None], energies=levels[None])
    k = [[0.11, 0.05], [0.0, 0.3]]
    expected = np.sort(np.concatenate(list(mean_field_bands(collinear, model, k)), axis=-1))
    np.testing.assert_allclose(mean_field_bands(spinor, model, k)[0], expected, atol=1e-9)


def test_spin_restricted_states_have_the_bands_of_equal_spins(model):
    both = bare_state(model, 2)
    one = replace(both, orbitals=both.orbitals[:1], energies=both.energies[:1])
    k = [[0.11, 0.05]]
    np.testing.assert_allclose(
        mean_field_bands(one, model, k)[0], mean_field_bands(both, model, k)[1], atol=1e-12
    )


def test_bands_without_interaction_are_the_bare_ones(model):
    state = bare_state(model, 1, U=0.0, coulomb=None)
    k = [[0.1, 0.2]]
    np.testing.assert_allclose(mean_field_bands(state, model, k)[0], model.bands(k), atol=1e-12)


def test_bands_refuse_another_model(model):
    state = bare_state(model, 1)
    with pytest.raises(ValueError, match="28 atoms, the model 2"):
        mean_field_bands(state, TightBinding(honeycomb()), [[0.0, 0.0]])


def graphene_levels(nk):
    """±t|f(k)| of nearest neighbours, (1, nk², 2) in eV."""
    angle = 2 * np.pi * fractions(nk) / nk
    f = np.abs(1 + np.exp(1j * angle[:, 0]) + np.exp(1j * angle[:, 1]))
    return HOPPING * np.stack([-f, f], axis=-1)[None]


def graphene_density(energy):
    """Closed form, both spins (Castro Neto et al., Rev. Mod. Phys. 81, 109 (2009), eq. 14)."""
    e = np.abs(energy) / HOPPING
    hill = (1 + e) ** 2 - (e**2 - 1) ** 2 / 4
    small, large = np.minimum(hill, 4 * e), np.maximum(hill, 4 * e)
    return 4 / np.pi**2 * e / np.sqrt(large) * ellipk(small / large) / HOPPING


def test_linear_density_of_states_of_graphene():
    energy = np.linspace(-9, 9, 361)
    found = density_of_states(honeycomb(), graphene_levels(240), energy)
    smooth = (np.abs(np.abs(energy) - HOPPING) > 0.2) & (np.abs(energy) > 0.2) & (np.abs(energy) < 8.0)
    np.testing.assert_allclose(found[smooth], graphene_density(energy[smooth]), rtol=5e-3)
    assert abs(energy[np.argmax(found)]) == pytest.approx(HOPPING, abs=0.05)  # van Hove
    assert np.all(found[np.abs(energy) > 3 * HOPPING + 0.05] == 0)


def test_density_of_states_is_linear_at_the_dirac_point():
    """2A|E|/(π v²) per cell with v = √3 a t/2, four flavours."""
    crystal = honeycomb()
    velocity = np.sqrt(3) / 2 * 2.46 * HOPPING
    energy = np.linspace(-0.3, 0.3, 13)
    found = density_of_states(crystal, graphene_levels(600), energy)
    away = np.abs(energy) > 0.08
    slope = found[away] / np.abs(energy[away])
    np.testing.assert_allclose(slope, 2 * crystal.area / (np.pi * velocity**2), rtol=0.02)


@settings(max_examples=25, deadline=None)
@given(
    n_spin=st.integers(1, 2),
    nk=st.integers(1, 4),
    spinor=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    flat=st.booleans(),
)
def test_no_state_is_lost(n_spin, nk, spinor, seed, flat):
    """Restricted, collinear or spinor levels, equal ones too: 2N states, and half of them below."""
    rng = np.random.default_rng(seed)
    size = 4 if spinor and n_spin == 1 else 2
    levels = np.zeros((n_spin, nk**2, size)) if flat else rng.normal(size=(n_spin, nk**2, size))
    energy = np.unique(rng.uniform(-10, 10, size=50))
    energy = np.concatenate([[-12.0], energy, [12.0]])
    linear = density_of_states(honeycomb(), levels, energy)
    middle = (energy[1:] + energy[:-1]) / 2
    edges = np.concatenate([[2 * energy[0] - middle[0]], middle, [2 * energy[-1] - middle[-1]]])
    assert linear @ np.diff(edges) == pytest.approx(4, rel=1e-9)
    assert linear.min() >= -1e-12
    fine = np.arange(-12, 12, 0.02)
    broad = density_of_states(honeycomb(), levels, fine, "broadened", 0.05)
    assert broad.sum() * 0.02 == pytest.approx(4, rel=1e-6)


@pytest.mark.parametrize("choice", [[[1, 0], [0, 1]], [[1, 0], [-1, 1]]])
def test_triangles_keep_the_symmetry_of_the_crystal(choice):
    """Levels that a sixfold turn of k permutes give the same density of states, in either cell."""
    nk, graphene = 6, honeycomb()
    crystal = Crystal(graphene.positions, choice @ graphene.lattice, graphene.layer, graphene.sublattice)
    levels = np.random.default_rng(1).normal(size=(1, nk**2, 2))
    turned = crystal.k_grid(nk) @ rotation(np.pi / 3)[:2, :2].T
    order = np.rint(turned @ crystal.lattice.T * nk / (2 * np.pi)).astype(int) % nk @ [nk, 1]
    energy = np.linspace(-4, 4, 101)
    expected = density_of_states(crystal, levels, energy)
    np.testing.assert_allclose(density_of_states(crystal, levels[:, order], energy), expected, atol=1e-12)


def test_both_methods_agree_on_smooth_bands():
    energy = np.linspace(1.0, 2.0, 21)
    levels = graphene_levels(240)
    linear = density_of_states(honeycomb(), levels, energy)
    broad = density_of_states(honeycomb(), levels, energy, "broadened", 0.04)
    np.testing.assert_allclose(broad, linear, rtol=0.01)


def test_bad_requests_for_a_density_of_states():
    levels = graphene_levels(2)
    with pytest.raises(ValueError, match="3 k-points"):
        density_of_states(honeycomb(), levels[:, :3], np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="ascending order"):
        density_of_states(honeycomb(), levels, np.array([1.0, 0.0]))
    with pytest.raises(ValueError, match="linear or broadened"):
        density_of_states(honeycomb(), levels, np.array([0.0, 1.0]), "cubic")
    with pytest.raises(ValueError, match="must be positive"):
        density_of_states(honeycomb(), levels, np.array([0.0, 1.0]), "broadened", 0.0)
