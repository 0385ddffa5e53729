"""Total energies of open clusters against PySCF's unrestricted Hartree-Fock with the same integrals."""

import numpy as np
import pytest
from pyscf import gto, scf

from stm_core.simulation import (
    BOND_LENGTH,
    Crystal,
    GateScreenedCoulomb,
    HartreeFock,
    TightBinding,
    TwistedBilayer,
)

ENERGY_TOLERANCE = 1e-8  # eV
TEMPERATURE = 1e-3  # eV
FAR = 1e5  # Å: a period so long that the images of a cluster are screened out
INTERACTIONS = {
    "U only": (9.0, None),
    "V only": (0.0, GateScreenedCoulomb(epsilon=2.0, tolerance=1e-10)),
    "both": (9.0, GateScreenedCoulomb(epsilon=2.0, gate_distance=40.0, tolerance=1e-10)),
}


def isolated(positions, layer, sublattice):
    return Crystal(positions, FAR * np.eye(2), layer, sublattice)


def flake(rings):
    """Hexagonal zigzag flake of 6 rings² atoms: benzene, coronene, ..."""
    cells = np.stack(np.meshgrid(*2 * [np.arange(-rings, rings + 1)]), axis=-1).reshape(-1, 2)
    lattice = np.sqrt(3) * BOND_LENGTH * np.array([[1.0, 0.0], [0.5, np.sqrt(0.75)]])
    centres = cells @ lattice
    distance = np.abs(cells).max(axis=1) + np.where(cells.prod(axis=1) > 0, np.abs(cells).min(axis=1), 0)
    angles = np.pi / 6 + np.arange(6) * np.pi / 3
    corners = BOND_LENGTH * np.column_stack([np.cos(angles), np.sin(angles)])
    points = (centres[distance < rings, None] + corners).reshape(-1, 2)
    _, first, index = np.unique((points / 1e-3).round(), axis=0, return_index=True, return_inverse=True)
    sublattice = np.tile([0, 1], len(points) // 2)[first]
    assert np.all(sublattice[index] == np.tile([0, 1], len(points) // 2))
    positions = np.column_stack([points[first], np.zeros(len(first))])
    crystal = isolated(positions, np.zeros(len(first), int), sublattice)
    return TightBinding(crystal, cutoff=1.6, hopping=lambda d: np.full(len(d), -2.4))


def bilayer_flake(radius):
    """The atoms of a twisted bilayer closer than ``radius`` (Å) to its axis, all hoppings kept."""
    cell = TwistedBilayer(2, 3.0)
    inside = np.linalg.norm(cell.positions[:, :2], axis=1) < radius
    shifts = np.stack(np.meshgrid([-1, 0], [-1, 0]), axis=-1).reshape(-1, 2)
    parts = []
    for shift in shifts @ cell.lattice:
        moved = cell.positions + np.append(shift, 0.0)
        inside = np.linalg.norm(moved[:, :2], axis=1) < radius
        parts.append((moved[inside], cell.layer[inside], cell.sublattice[inside]))
    return TightBinding(isolated(*(np.concatenate(part) for part in zip(*parts, strict=True))))


# Electrons added to the charged clusters: four close the degenerate shells of the flakes.
CLUSTERS = {"benzene": (flake(1), 4), "coronene": (flake(2), 4), "bilayer": (bilayer_flake(3.0), 2)}


def density_matrix(state):
    """Density matrix of each spin, (2, N, N)."""
    orbitals = np.stack([state.orbitals_at(spin, 0) for spin in (0, 1)])
    return (orbitals * state.occupations[:, 0, None]) @ orbitals.conj().swapaxes(1, 2)


def pyscf_energy(model, U, coulomb, density):
    """Energy of the same Hamiltonian from PySCF's UHF, started from our density matrix."""
    n = model.crystal.n_atoms
    v = np.zeros((n, n)) if coulomb is None else coulomb.hartree(model.crystal)
    core = model.hamiltonian(np.zeros(2)).real - np.diag(U / 2 + v.sum(axis=1))
    repulsion = np.zeros((n, n, n, n))
    sites = np.arange(n)
    repulsion[sites[:, None], sites[:, None], sites, sites] = v + U * np.eye(n)
    molecule = gto.M(verbose=0)
    molecule.incore_anyway = True
    molecule.nelec = tuple(np.trace(density, axis1=1, axis2=2).round().astype(int))
    molecule.nao = n
    field = scf.UHF(molecule)
    field.get_hcore = lambda *_: core
    field.get_ovlp = lambda *_: np.eye(n)
    field._eri = repulsion
    field.energy_nuc = lambda *_: n * U / 4 + v.sum() / 2
    field.conv_tol, field.conv_tol_grad, field.max_cycle = 1e-12, 1e-7, 300
    energy = field.kernel(density)
    assert field.converged
    return energy


@pytest.mark.parametrize("charged", [False, True], ids=["neutral", "charged"])
@pytest.mark.parametrize("interaction", INTERACTIONS)
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_energy_equals_pyscf(cluster, interaction, charged):
    (model, charge), (U, coulomb) = CLUSTERS[cluster], INTERACTIONS[interaction]
    filling = charge if charged else 0
    problem = HartreeFock(model, U, coulomb, filling=filling, temperature=TEMPERATURE, reference="none")
    state = problem.solve(seed=0, tolerance=1e-10, progress=False)
    assert state.converged
    assert state.gap > 100 * TEMPERATURE  # so that the occupations are those of zero temperature
    expected = pyscf_energy(model, U, coulomb, density_matrix(state).real)
    assert state.total_energy == pytest.approx(expected, abs=ENERGY_TOLERANCE)
