"""Two-centre Slater-Koster hopping and the Bloch Hamiltonian it makes."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.spatial import cKDTree
from tqdm.auto import tqdm

from .lattice import BOND_LENGTH, GRAPHENE_LATTICE, Crystal, TwistedBilayer

Hopping = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class SlaterKoster:
    """Hopping between two p_z orbitals, in eV.

    t(r) = V_ppπ e^{-(r-a0)/δ} (1 - (z/r)²) + V_ppσ e^{-(r-d0)/δ} (z/r)²
    (Slater and Koster, Phys. Rev. 94, 1498 (1954); parametrised as in Trambly de Laissardière,
    Mayou and Magaud, Nano Lett. 10, 804 (2010), eqs. 1-4).

    Parameters
    ----------
    v_pi, v_sigma : float
        V_ppπ and V_ppσ in eV.
    in_plane_distance, interlayer_distance, decay : float
        a0, d0 and δ in Å. d0 stays at its zero-pressure value when the layers are pressed together.
    """

    v_pi: float = -2.7
    v_sigma: float = 0.48
    in_plane_distance: float = BOND_LENGTH
    interlayer_distance: float = 3.35
    decay: float = 0.184 * GRAPHENE_LATTICE

    def __call__(self, displacement: ArrayLike) -> NDArray[np.float64]:
        """Hopping in eV for displacements of shape (..., 3) in Å."""
        d = np.asarray(displacement, dtype=float)
        r = np.linalg.norm(d, axis=-1)
        out_of_plane = (d[..., 2] / r) ** 2
        pi = self.v_pi * np.exp(-(r - self.in_plane_distance) / self.decay)
        sigma = self.v_sigma * np.exp(-(r - self.interlayer_distance) / self.decay)
        return pi * (1 - out_of_plane) + sigma * out_of_plane


@dataclass(frozen=True)
class NeighbourPairs:
    """All ordered pairs of atoms within a cut-off.

    Attributes
    ----------
    source, target : (n,) int arrays
        Atom in the home cell and atom in cell ``cell``.
    cell : (n, 2) int array
        Lattice translation of the target, in lattice vectors.
    displacement : (n, 3) float array
        From source to target, in Å.
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    cell: NDArray[np.int64]
    displacement: NDArray[np.float64]


def neighbour_pairs(crystal: Crystal, cutoff: float) -> NeighbourPairs:
    """Pairs of different atoms closer than ``cutoff`` (Å), each in both directions.

    Raises
    ------
    ValueError
        If the cut-off is not positive, or lies on a neighbour shell, where rounding would decide
        which pairs are kept and break the Hermiticity of the Hamiltonian.
    """
    if not cutoff > 0:
        raise ValueError(f"the cut-off must be a positive length in Å, not {cutoff}")
    heights = np.linalg.norm(crystal.reciprocal, axis=1) / (2 * np.pi)
    spread = np.ptp(crystal.positions[:, :2] @ np.linalg.inv(crystal.lattice), axis=0)  # in cells
    reach = np.ceil((cutoff + 1e-3) * heights + spread).astype(int)
    cells = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1).reshape(
        -1, 2
    )
    shifts = np.column_stack([cells @ crystal.lattice, np.zeros(len(cells))])
    images = (shifts[:, None] + crystal.positions).reshape(-1, 3)
    home, other = cKDTree(crystal.positions), cKDTree(images)
    found = home.sparse_distance_matrix(other, cutoff + 1e-3, output_type="coo_matrix")
    source, image = found.row.astype(np.int64), found.col.astype(np.int64)
    displacement = images[image] - crystal.positions[source]
    distance = np.linalg.norm(displacement, axis=1)
    if np.any(np.abs(distance - cutoff) < 1e-6):
        raise ValueError(f"the cut-off {cutoff} Å lies on a neighbour shell; move it by a hundredth of an Å")
    keep = (distance < cutoff) & (distance > 1e-6)
    cell, target = np.divmod(image[keep], crystal.n_atoms)
    return NeighbourPairs(source[keep], target, cells[cell], displacement[keep])


@njit(cache=True)
def _bloch_sum(n, source, target, value, phase):  # pragma: no cover - compiled
    h = np.zeros((n, n), dtype=np.complex128)
    for p in range(len(source)):
        h[source[p], target[p]] += value[p] * phase[p]
    return h


@dataclass(frozen=True, eq=False)
class TightBinding:
    """Tight-binding model of a crystal: H_ij(k) = Σ_R t(r_j + R - r_i) e^{ik·R}.

    The phase counts whole cells, not atoms, so that H(k) is periodic in k and real at the
    time-reversal invariant momenta.

    Parameters
    ----------
    crystal : Crystal
        Atoms and lattice.
    cutoff : float
        Longest hopping, in Å; 8 Å or more for the numbers quoted in this study.
    hopping : callable
        Maps displacements (n, 3) in Å to hoppings (n,) in eV.
    layer_potential : float
        Potential energy of an electron in the top layer minus that in the bottom one, in eV: +½ of it
        on the top atoms, -½ on the bottom ones, as a field between the gates makes it.

    Raises
    ------
    ValueError
        If a layer potential is not finite or meets a crystal that does not have two layers.
    """

    crystal: Crystal
    cutoff: float = 8.0
    hopping: Hopping = field(default_factory=SlaterKoster)
    layer_potential: float = 0.0
    pairs: NeighbourPairs = field(init=False, repr=False)
    values: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not np.isfinite(self.layer_potential):
            raise ValueError(f"the layer potential must be a finite energy in eV, not {self.layer_potential}")
        if self.layer_potential and set(self.crystal.layer) != {0, 1}:
            raise ValueError("a layer potential needs a crystal of two layers, numbered 0 and 1")
        pairs = neighbour_pairs(self.crystal, self.cutoff)
        object.__setattr__(self, "pairs", pairs)
        object.__setattr__(self, "values", np.asarray(self.hopping(pairs.displacement), dtype=float))

    def hamiltonian(self, k: ArrayLike) -> NDArray[np.complex128]:
        """Bloch Hamiltonian at one wave vector.

        Parameters
        ----------
        k : (2,) float array
            Wave vector in 1/Å.

        Returns
        -------
        (N, N) complex array
            H(k) in eV.
        """
        return self._bloch(k, self.values)

    def decoupled(self, k: ArrayLike) -> NDArray[np.complex128]:
        """H(k) of the same layers without any hopping between them, (N, N) in eV."""
        layer = self.crystal.layer
        within = layer[self.pairs.source] == layer[self.pairs.target]
        return self._bloch(k, np.where(within, self.values, 0.0))

    def bands(self, ks: ArrayLike) -> NDArray[np.float64]:
        """Band energies, ascending: (n_k, N) in eV for wave vectors (n_k, 2) in 1/Å."""
        energies = [torch.linalg.eigvalsh(torch.from_numpy(self.hamiltonian(k))) for k in np.atleast_2d(ks)]
        return torch.stack(energies).numpy()

    def _bloch(self, k: ArrayLike, values: NDArray[np.float64]) -> NDArray[np.complex128]:
        turns = self.pairs.cell @ (self.crystal.lattice @ np.asarray(k, dtype=float)) / (2 * np.pi)
        h = _bloch_sum(
            self.crystal.n_atoms, self.pairs.source, self.pairs.target, values, np.exp(2j * np.pi * turns)
        )
        h = (h + h.conj().T) / 2
        if self.layer_potential:
            h[np.diag_indices_from(h)] += self.layer_potential * (self.crystal.layer - 0.5)
        return h


def flat_band_width(model: TightBinding) -> float:
    """Width in eV of the four central bands over Γ, K and M."""
    points = model.crystal.high_symmetry
    n = model.crystal.n_atoms
    central = model.bands([points[name] for name in ("Γ", "K", "M")])[:, n // 2 - 2 : n // 2 + 2]
    return float(central.max() - central.min())


def flat_band_spacing(
    i: int = 9, bounds: tuple[float, float] = (2.8, 3.1), tolerance: float = 1e-3, cutoff: float = 8.0
) -> tuple[float, float]:
    """Layer spacing at which the four central bands are flattest: the pressure knob.

    Pressing the layers together strengthens the interlayer hopping, so that a twist well above the
    magic angle reaches the flat-band regime (Carr et al., Phys. Rev. B 98, 085144 (2018)).

    Parameters
    ----------
    i : int
        Twist index.
    bounds : (float, float)
        Interval searched, in Å.
    tolerance : float
        Precision of the spacing, in Å.
    cutoff : float
        Longest hopping, in Å.

    Returns
    -------
    spacing, width : float
        The spacing in Å and the width of the four bands over Γ, K, M in eV.

    Raises
    ------
    ValueError
        If the bounds are not ascending.
    """
    if not bounds[0] < bounds[1]:
        raise ValueError(f"the spacing bounds must be ascending, not {bounds}")
    with tqdm(desc=f"flattest spacing, i = {i}", unit="spacing", leave=False) as progress:

        def width(spacing: float) -> float:
            progress.update()
            return flat_band_width(TightBinding(TwistedBilayer(i, spacing), cutoff))

        found = minimize_scalar(width, bounds=bounds, method="bounded", options={"xatol": tolerance})
    return float(found.x), float(found.fun)
