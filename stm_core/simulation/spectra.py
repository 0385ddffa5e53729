"""Spectra of a mean field: its bands between the k-points, and the density of states."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from tqdm.auto import tqdm

from .coulomb import GateScreenedCoulomb
from .hopping import TightBinding
from .lattice import Crystal, fractions
from .observables import MeanFieldState, chemical_potential, fermi, thermal_kernel

_TIE = 1e-6  # Å²: squared distances that differ by less are equal but for rounding


class InteractingState(MeanFieldState, Protocol):
    """A mean-field state that says which interaction made it."""

    @property
    def U(self) -> float:
        """On-site repulsion in eV."""

    @property
    def coulomb(self) -> GateScreenedCoulomb | None:
        """Long-range repulsion."""

    @property
    def temperature(self) -> float:
        """Smearing in eV."""

    @property
    def reference(self) -> str:
        """Density matrix whose exchange the hoppings hold: "decoupled", "average" or "none"."""


def mean_field_bands(state: InteractingState, model: TightBinding, ks: ArrayLike) -> NDArray[np.float64]:
    """Bands of a mean field at any wave vector.

    Its density matrix is known on the k-grid only, which is to say within the Born-von Kármán cell.
    Each pair of atoms keeps its Fock term there at the nearest image and shares it evenly between
    images that are equally near, as in Wigner-Seitz interpolation (Souza, Marzari and Vanderbilt,
    Phys. Rev. B 65, 035109 (2001), section IV): the bands then have the symmetry of the lattice, and on
    the grid they are the levels of the solver, to the accuracy of the self-consistency.

    Parameters
    ----------
    state : HartreeFockState or alike
        Converged state of N atoms.
    model : TightBinding
        Bare model on the same crystal.
    ks : (n, 2) float array
        Wave vectors in 1/Å.

    Returns
    -------
    (S, n, M) float array
        Energies in eV, ascending.

    Raises
    ------
    ValueError
        If state and model differ in their number of atoms.
    """
    n_atoms = model.crystal.n_atoms
    if state.crystal.n_atoms != n_atoms:
        raise ValueError(f"the state has {state.crystal.n_atoms} atoms, the model {n_atoms}")
    ks = np.atleast_2d(np.asarray(ks, dtype=float))
    n_spin, _, size = state.energies.shape
    result = np.empty((n_spin, len(ks), size))
    steps = tqdm(total=n_spin * len(ks), desc="bands in the mean field", leave=False)
    local = _local_field(state)
    with steps:
        for spin in range(n_spin):
            exchange = list(_exchange_terms(state, model, spin))
            for index, k in enumerate(ks):
                fock = local[spin] + np.kron(np.eye(size // n_atoms), model.hamiltonian(k))
                for rows, columns, terms, cells in exchange:
                    phases = np.exp(1j * cells @ (model.crystal.lattice @ k))
                    fock[rows, columns] += (terms @ phases).reshape(n_atoms, n_atoms)
                result[spin, index] = torch.linalg.eigvalsh(torch.from_numpy(fock)).numpy()
                steps.update()
    return result


def density_of_states(
    crystal: Crystal,
    energies: NDArray[np.float64],
    at: NDArray[np.float64],
    method: str = "linear",
    broadening: float = 0.005,
) -> NDArray[np.float64]:
    """Density of states of bands on a k-grid, both spins together.

    Parameters
    ----------
    crystal : Crystal
        N atoms; it scales the result to 2N states.
    energies : (S, nk², M) float array
        Levels in eV on the Γ-centred grid of ``Crystal.k_grid``.
    at : (n,) float array
        Ascending energies in eV.
    method : {"linear", "broadened"}
        ``linear`` cuts the Brillouin zone into triangles and interpolates the bands linearly between
        their corners (the tetrahedron method of Lehmann and Taut, Phys. Status Solidi B 54, 469
        (1972), in two dimensions); the result is the mean over the bin that reaches half-way to the
        neighbours of each energy, so that no state is lost. ``broadened`` replaces each level by
        ``thermal_kernel``.
    broadening : float
        Width of that kernel, in eV.

    Returns
    -------
    (n,) float array
        States per eV and cell.

    Raises
    ------
    ValueError
        For an unknown method, energies that do not ascend, levels that fill no square grid, or a
        broadening that is not positive.
    """
    at = np.asarray(at, dtype=float)
    nk = round(np.sqrt(energies.shape[1]))
    if nk**2 != energies.shape[1]:
        raise ValueError(f"{energies.shape[1]} k-points do not fill a grid of nk by nk")
    if at.ndim != 1 or len(at) < 2 or np.any(np.diff(at) <= 0):
        raise ValueError("the density of states needs at least two energies in ascending order")
    per_level = 2 * crystal.n_atoms / (energies.shape[0] * energies.shape[2])
    if method == "linear":
        corners = _triangles(crystal, energies, nk)
        middle = (at[1:] + at[:-1]) / 2
        edges = np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])
        share = per_level / (2 * nk**2)
        return share * np.diff(_states_below(np.sort(corners, axis=1), edges)) / np.diff(edges)
    if method != "broadened":
        raise ValueError(f"method must be linear or broadened, not {method!r}")
    if not broadening > 0:
        raise ValueError(f"the broadening must be positive (eV), not {broadening}")
    total = [thermal_kernel(energy - energies, broadening).sum() for energy in at]
    return per_level / nk**2 * np.array(total)


def _density_blocks(state: MeanFieldState, spin: int, k: int) -> list[tuple[slice, slice, NDArray]]:
    """ρ(k) of one spin, or of all four spin pairs of spinors: (rows, columns, (N, N) matrix)."""
    orbitals, n = state.orbitals_at(spin, k), state.crystal.n_atoms
    density = (orbitals * state.occupations[spin, k]) @ orbitals.conj().T
    parts = [slice(start, start + n) for start in range(0, len(density), n)]
    return [(rows, columns, density[rows, columns]) for rows in parts for columns in parts]


def _local_field(state: InteractingState) -> NDArray[np.complex128]:
    """Hubbard and Hartree field, (S, M, M) in eV."""
    n_spin, n_k, size = state.energies.shape
    n = state.crystal.n_atoms
    site = np.zeros((2, 2, n), dtype=complex)  # ⟨c†_t c_s⟩ on each atom
    for spin, k in np.ndindex(n_spin, n_k):
        for rows, columns, block in _density_blocks(state, spin, k):
            place = (spin, spin) if size == n else (rows.start // n, columns.start // n)
            site[place] += np.diagonal(block) / n_k
    if n_spin == 1 and size == n:
        site[1, 1] = site[0, 0]
    up, down = site[0, 0].real, site[1, 1].real
    hartree = 0.0 if state.coulomb is None else state.coulomb.hartree(state.crystal) @ (up + down - 1)
    potential = [state.U * (other - 0.5) + hartree for other in (down, up)]
    if size == n:
        return np.stack([np.diag(p.astype(complex)) for p in potential[:n_spin]])
    mixing = np.diag(-state.U * site[0, 1])
    return np.block([[np.diag(potential[0]), mixing], [mixing.conj(), np.diag(potential[1])]])[None]


def _exchange_terms(
    state: InteractingState, model: TightBinding, spin: int
) -> Iterator[tuple[slice, slice, csr_array, NDArray[np.int64]]]:
    """Fock term in real space: rows, columns, (N², n_cells) amplitudes in eV, (n_cells, 2) cells."""
    if state.coulomb is None:
        return
    grid, n = fractions(state.nk), state.crystal.n_atoms
    held = _reference_density(state, model)
    by_k = [_density_blocks(state, spin, k) for k in range(len(grid))]
    interaction = state.coulomb.exchange(state.crystal, state.nk).reshape(len(grid), -1)
    images, cells = _nearest_images(state.crystal, state.nk)
    pair, cell, _ = (np.concatenate(part) for part in zip(*images, strict=True))
    back = np.exp(-2j * np.pi * grid @ grid.T / state.nk) / len(grid)
    for blocks in zip(*by_k, strict=True):
        rows, columns, _ = blocks[0]
        same_spin = rows == columns
        excess = np.stack([b[2] - same_spin * h for b, h in zip(blocks, held, strict=True)])
        local = -interaction * (back @ excess.reshape(len(grid), -1))
        value = np.concatenate([w * one[p] for one, (p, _, w) in zip(local, images, strict=True)])
        terms = csr_array((value, (pair, cell)), shape=(n * n, len(cells)))
        yield rows, columns, terms, cells


def _reference_density(state: InteractingState, model: TightBinding) -> NDArray[np.complex128]:
    """Density matrix per spin whose exchange the hoppings hold, (n_k, N, N)."""
    n, ks = model.crystal.n_atoms, model.crystal.k_grid(state.nk)
    if state.reference != "decoupled":
        half = 0.5 if state.reference == "average" else 0.0
        return np.broadcast_to(half * np.eye(n, dtype=complex), (len(ks), n, n))
    bare = torch.from_numpy(np.stack([model.decoupled(k) for k in ks]))
    levels, orbitals = (part.numpy() for part in torch.linalg.eigh(bare))
    mu = chemical_potential(np.stack([levels, levels]), n, state.temperature)
    occupied = orbitals * fermi(levels - mu, state.temperature)[:, None]
    return np.asarray(occupied @ orbitals.conj().transpose(0, 2, 1), dtype=complex)


def _nearest_images(
    crystal: Crystal, nk: int
) -> tuple[list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]], NDArray[np.int64]]:
    """Where the supercell's nearest image of each pair of atoms lies.

    Returns
    -------
    images : list of (pair, cell, weight)
        For each home cell R of ``fractions(nk)``: iN + j, the row in ``cells`` to which the image of
        atom j belongs, and 1 over the number of equally near images, each (n,).
    cells : (n_cells, 2) int array
        Lattice translations.
    """
    supercell = nk * crystal.lattice
    flat = crystal.positions[:, :2]
    separation = (flat[None] - flat[:, None]).reshape(-1, 2)
    reach = 2 * nk + int(np.ceil(np.abs(separation @ np.linalg.inv(crystal.lattice)).max()))
    width = 2 * reach + 1
    images = []
    for home in fractions(nk):
        planar = separation + home @ crystal.lattice
        whole = -np.rint(planar @ np.linalg.inv(supercell)).astype(np.int32)
        shifts = fractions(3) - 1
        squared = np.stack([((planar + (whole + shift) @ supercell) ** 2).sum(axis=-1) for shift in shifts])
        near = squared < squared.min(axis=0) + _TIE
        chosen, pair = (part.astype(np.int32) for part in np.nonzero(near))
        cell = (home + nk * (shifts[chosen] + whole[pair]) + reach) @ [width, 1]
        images.append((pair, cell.astype(np.int32), 1.0 / near.sum(axis=0)[pair]))
    return images, fractions(width) - reach


def _triangles(crystal: Crystal, energies: NDArray[np.float64], nk: int) -> NDArray[np.float64]:
    """Levels at the corners of the triangles of the k-grid, (n_triangles, 3) in eV.

    Each mesh is cut along its shorter diagonal, which keeps the hexagonal symmetry.
    """
    here = energies.reshape(len(energies), nk, nk, -1)
    first, second = np.roll(here, -1, axis=1), np.roll(here, -1, axis=2)
    both = np.roll(first, -1, axis=2)
    b1, b2 = crystal.reciprocal
    ends = (first, second, here, both) if b1 @ b2 > 0 else (here, both, first, second)
    halves = [np.stack([ends[0], ends[1], corner], axis=-1) for corner in ends[2:]]
    return np.stack(halves).reshape(-1, 3)


@njit(cache=True)
def _states_below(corners, edges):  # pragma: no cover - compiled
    """Number of triangles below each energy, corners ascending, levels linear in between."""
    part = np.zeros(len(edges))
    whole = np.zeros(len(edges) + 1)
    for t in range(len(corners)):
        a, b, c = corners[t]
        above = np.searchsorted(edges, c)
        for e in range(np.searchsorted(edges, a), above):
            if edges[e] < b:
                part[e] += (edges[e] - a) ** 2 / ((b - a) * (c - a))
            else:
                part[e] += 1.0 - (c - edges[e]) ** 2 / ((c - a) * (c - b))
        whole[above] += 1.0
    return part + np.cumsum(whole)[:-1]
