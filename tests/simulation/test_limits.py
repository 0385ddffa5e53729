"""Known limits that the mean-field engine must reproduce: the honeycomb and graphene."""

from dataclasses import dataclass

import numpy as np
import pytest

from stm_core.simulation import COULOMB_CONSTANT, HartreeFock, TightBinding, honeycomb
from stm_core.simulation.lattice import fractions

T = 2.7  # eV, nearest-neighbour hopping
MOMENT_TOLERANCE = 2e-6  # electrons
COUPLING_TOLERANCE = 2e-3  # relative: the k-grid's, for integrals with a cusp at K
VELOCITY_TOLERANCE = 3e-4  # relative


@dataclass(frozen=True)
class CutCoulomb:
    """Bare Coulomb repulsion cut at a distance, or one value up to it; a stand-in for the gates."""

    reach: float
    value: float | None = None
    epsilon: float = 10.0

    def hartree(self, crystal):
        return np.zeros((crystal.n_atoms, crystal.n_atoms))  # neutral and uniform: no Hartree field

    def exchange(self, crystal, nk):
        supercell = nk * crystal.lattice
        shifts = (fractions(3) - 1) @ supercell
        cells = fractions(nk) @ crystal.lattice
        apart = (crystal.positions[None] - crystal.positions[:, None])[None, ..., :2] + cells[:, None, None]
        distance = np.min([np.linalg.norm(apart + shift, axis=-1) for shift in shifts], axis=0)
        inside = (distance > 1e-6) & (distance < self.reach)
        bare = COULOMB_CONSTANT / self.epsilon / np.where(inside, distance, 1.0)
        return np.where(inside, bare if self.value is None else self.value, 0.0)


@pytest.fixture(scope="module")
def nearest():
    return TightBinding(honeycomb(), cutoff=1.6, hopping=lambda d: np.full(len(d), -T))


def moment(model, U, nk, temperature=0.003):
    state = HartreeFock(model, U, nk=nk, temperature=temperature).solve(
        seed=0, tolerance=1e-10, progress=False
    )
    assert state.converged
    spin = state.density[0] - state.density[1]
    assert spin.sum() == pytest.approx(0, abs=1e-8)
    return abs(spin[0])


# Staggered moment of the honeycomb Hubbard mean field (gap equation, infinite lattice)
@pytest.mark.parametrize(("ratio", "expected"), [(3, 0.4441050), (4, 0.6716905), (5, 0.7819718)])
def test_honeycomb_moment_of_the_infinite_lattice(nearest, ratio, expected):
    assert moment(nearest, ratio * T, nk=32) == pytest.approx(expected, abs=MOMENT_TOLERANCE)


@pytest.mark.parametrize(("U", "expected"), [(8.1, 0.4441215), (10.8, 0.6716904)])
def test_honeycomb_moment_on_a_grid(nearest, U, expected):
    assert moment(nearest, U, nk=12) == pytest.approx(expected, abs=2e-7)


def test_spurious_moment_on_a_grid_that_holds_the_dirac_point(nearest):
    """A trap worth a test: nk = 12 contains K and polarises below U_c; nk = 13 does not."""
    assert moment(nearest, 4.0, nk=12, temperature=1e-4) == pytest.approx(0.0331, abs=1e-4)
    assert moment(nearest, 4.0, nk=13) < 1e-6


def inverse_gap(model, nk):
    """⟨1/|f|⟩ over an nk by nk grid, f the coupling between A and B."""
    to_b = (model.crystal.sublattice[model.pairs.source] == 0) & (
        model.crystal.sublattice[model.pairs.target] == 1
    )
    turns = fractions(nk) @ model.pairs.cell[to_b].T / nk
    return np.mean(1 / np.abs(np.exp(2j * np.pi * turns) @ model.values[to_b]))


@pytest.mark.parametrize(
    ("hoppings", "expected"), [("nearest", 2.23105 * T), ("all", 5.6405)], ids=["nearest", "Slater-Koster"]
)
def test_critical_coupling(nearest, hoppings, expected):
    """U_c = 2/⟨1/|f|⟩ (Sorella and Tosatti 1992), and the solver's own threshold on a finite grid."""
    model = nearest if hoppings == "nearest" else TightBinding(honeycomb())
    # The cusp at K leaves an error of order 1/nk, the same in sign for nk = 1 modulo 3.
    coarse, fine = inverse_gap(model, 400), inverse_gap(model, 799)
    limit = fine + (fine - coarse) * 400 / 399
    assert 2 / limit == pytest.approx(expected, rel=COUPLING_TOLERANCE / 10)
    threshold = 2 / inverse_gap(model, 10)
    assert moment(model, 0.95 * threshold, nk=10) < 1e-5
    assert moment(model, 1.10 * threshold, nk=10) > 0.05


def dirac_velocity(model, coulomb, nk):
    """Slope of |F_AB| at K after self-consistency, in eV Å: F(R) is interpolated to any k."""
    problem = HartreeFock(model, 0.0, coulomb, nk=nk, temperature=1e-4, reference="none")
    # Seed 1 starts from a sublattice charge, which decays.
    state = problem.solve(seed=1, tolerance=1e-9, progress=False)
    fock, _ = problem.mean_field(state.density_matrix())
    fock = np.array([fock.unfold(0, k)[0, 1].item() for k in range(nk * nk)])
    cells = fractions(nk)
    local = np.exp(-2j * np.pi * cells @ cells.T / nk) @ fock / nk**2
    wrapped = (cells + nk // 2) % nk - nk // 2
    places = wrapped @ model.crystal.lattice
    corner = model.crystal.high_symmetry["K"]
    gradient = 1j * places.T @ (local * np.exp(1j * places @ corner))
    return np.sqrt((np.abs(gradient) ** 2).sum() / 2)


def test_nearest_neighbour_fock_velocity(nearest):
    bare = 1.5 * T * 2.46 / np.sqrt(3)
    ratio = dirac_velocity(nearest, CutCoulomb(1.6, value=1.014060), nk=40) / bare
    assert ratio == pytest.approx(1.09856, rel=VELOCITY_TOLERANCE)
    bond_order = (ratio - 1) * T / 1.014060
    assert bond_order == pytest.approx(0.2624329, rel=2e-3)


def test_fock_velocity_grows_like_a_logarithm(nearest):
    """Ratios for the bare interaction cut at 6, 10 and 20 Å, from an independent code."""
    bare = 1.5 * T * 2.46 / np.sqrt(3)
    reaches = (6.0, 10.0, 20.0)
    ratios = [dirac_velocity(nearest, CutCoulomb(reach), nk=40) / bare for reach in reaches]
    assert ratios == pytest.approx([1.1622, 1.1967, 1.2367], abs=5e-3)
    slopes = np.diff(ratios) / np.diff(np.log(reaches))
    assert slopes[0] == pytest.approx(slopes[1], rel=0.25)
