"""Which order a mean-field state has: its density matrix read in the flat bands, valley by valley."""

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_array
from tqdm.auto import tqdm

from .hopping import TightBinding
from .lattice import TwistedBilayer, fractions, rotation
from .observables import MeanFieldState
from .starts import valley_currents

_TOUCHING = 1e-6  # eV: flat bands closer than this to their neighbours are not a space of their own
_DEFINITE = 0.5  # least valley expectation value of a flat band

_VALLEY, _SUBLATTICE, _SPIN = 1, 2, 4
_POLARISATIONS = {
    "spin_polarisation": (_SPIN, "spin polarised"),
    "valley_polarisation": (_VALLEY, "valley polarised"),
    "sublattice_polarisation": (_SUBLATTICE, "sublattice polarised"),
    "antiferromagnetism": (_SPIN | _SUBLATTICE, "antiferromagnetic"),
    "spin_valley_locking": (_SPIN | _VALLEY, "spin-valley locked"),
    "anomalous_hall": (_VALLEY | _SUBLATTICE, "quantum anomalous Hall"),
    "spin_hall": (_SPIN | _VALLEY | _SUBLATTICE, "quantum spin Hall"),
}
"""Orders that are products of spin, valley and sublattice: what they are made of, and their label."""

_COHERENCES = {"k_ivc": "KIVC", "t_ivc": "TIVC", "nematicity": "nematic"}


@dataclass(frozen=True, eq=False)
class FlatBands:
    """The four central bands of the bare model, sorted by valley: two at K, then two at K'.

    The valley of a state is the sign of the current it carries between next-nearest neighbours, a
    Haldane hopping of opposite sign on the two sublattices (Colomés and Franz, Phys. Rev. Lett. 120,
    086603 (2018); Ramires and Lado, ibid. 121, 146801 (2018), eq. 4). It is diagonalised within the
    four bands.

    Parameters
    ----------
    model : TightBinding
        Bare model of a twisted bilayer, N atoms.
    nk : int
        k-points per direction; the states to be read must have the same.
    progress : bool
        Show a progress bar.

    Attributes
    ----------
    crystal : TwistedBilayer
        That of the model.
    basis : (n_k, N, 4) complex array
        Bloch states of the four bands as columns, an orthonormal basis of definite valley.
    valley : (n_k, 4) float array
        Expectation value of the valley operator: near 1 for the first two, near -1 for the others.

    Raises
    ------
    ValueError
        If the crystal is not a twisted bilayer, or the four bands touch others on the grid or have no
        definite valley.
    """

    model: TightBinding
    nk: int
    crystal: TwistedBilayer = field(init=False, repr=False)
    basis: NDArray[np.complex128] = field(init=False, repr=False)
    valley: NDArray[np.float64] = field(init=False, repr=False)
    progress: InitVar[bool] = True

    def __post_init__(self, progress: bool) -> None:
        crystal = self.model.crystal
        if not isinstance(crystal, TwistedBilayer):
            raise ValueError("the flat bands and their valleys need a twisted bilayer")
        object.__setattr__(self, "crystal", crystal)
        ks, opposite = crystal.k_grid(self.nk), self._grid_image(-np.eye(2))
        basis = np.empty((len(ks), crystal.n_atoms, 4), dtype=complex)
        valley = np.empty((len(ks), 4))
        steps = tqdm(enumerate(ks), total=len(ks), desc="flat bands", leave=False, disable=not progress)
        for index, k in steps:
            if opposite[index] < index:  # time reversal gives this one
                basis[index] = np.roll(basis[opposite[index]].conj(), 2, axis=1)
                valley[index] = np.roll(-valley[opposite[index]], 2)
            else:
                flat = _central_states(self.model.hamiltonian(k))
                value, vectors = np.linalg.eigh(flat.conj().T @ (valley_operator(crystal, k) @ flat))
                basis[index], valley[index] = flat @ vectors[:, ::-1], value[::-1]
        if np.abs(valley).min() < _DEFINITE:
            raise ValueError("the four central bands have no definite valley, so that none can be told apart")
        object.__setattr__(self, "basis", basis)
        object.__setattr__(self, "valley", valley)

    def project(self, state: MeanFieldState) -> NDArray[np.complex128]:
        """Density matrix of a state in the flat bands, by spin component.

        Returns
        -------
        (4, n_k, 4, 4) complex array
            Hermitian r_0, r_x, r_y, r_z with ρ = Σ r_μ σ_μ, in ``basis``.

        Raises
        ------
        ValueError
            If the state has another number of atoms or k-points.
        """
        n_atoms = self.crystal.n_atoms
        if state.nk != self.nk or state.crystal.n_atoms != n_atoms:
            raise ValueError(
                f"the state has {state.crystal.n_atoms} atoms and nk = {state.nk}, "
                f"these flat bands {n_atoms} atoms and nk = {self.nk}"
            )
        result = np.zeros((4, *self.basis.shape[:1], 4, 4), dtype=complex)
        for index, basis in enumerate(self.basis):
            blocks = []
            for spin in range(len(state.occupations)):
                orbitals = state.orbitals_at(spin, index).reshape(-1, n_atoms, state.energies.shape[2])
                inside = (basis.conj().T @ orbitals).reshape(-1, orbitals.shape[2])
                blocks.append((inside * state.occupations[spin, index]) @ inside.conj().T)
            result[:, index] = _spin_components(blocks)
        return result

    def order_parameters(self, state: MeanFieldState) -> dict[str, float]:
        """Order parameters of a state, each 1 (or -1) where the order is as strong as it can be.

        Saturated means: all of the 4 - |ν| electrons or holes in the flat bands (at least one) take
        part. No number depends on the relative phase of the valleys or the direction of the spin.

        Parameters
        ----------
        state : MeanFieldState
            On the same crystal and k-grid.

        Returns
        -------
        dict
            ``valley_polarisation``, ``sublattice_polarisation``, ``anomalous_hall`` (opposite
            sublattices in the two valleys): signed. ``spin_polarisation``, ``spin_valley_locking``,
            ``antiferromagnetism``, ``spin_hall``: lengths of the corresponding spin vectors. ``t_ivc``
            and ``k_ivc``: norm of the intervalley density matrix that is even (odd) under the spinless
            time reversal ρ(k) → ρ(-k)*; the odd one keeps Kramers' time reversal, which turns the
            valleys' phase too (Bultinck et al., Phys. Rev. X 10, 031034 (2020), section III).
            ``nematicity``: norm of what a threefold turn changes of the valley-diagonal density
            matrix; only where the crystal has that symmetry.
        """
        r = self.project(state)
        room = max(4 - abs(state.filling), 1)
        n_k = len(self.basis)
        tau = np.repeat([1.0, -1.0], 2)
        sublattice = self._sublattice()
        polarity = float(np.abs(np.linalg.eigvalsh(sublattice)).mean())
        operators = {
            ("", "spin_polarisation"): np.broadcast_to(np.eye(4), sublattice.shape),
            ("valley_polarisation", "spin_valley_locking"): np.broadcast_to(np.diag(tau), sublattice.shape),
            ("sublattice_polarisation", "antiferromagnetism"): sublattice / polarity,
            ("anomalous_hall", "spin_hall"): (tau[:, None] + tau) / 2 * sublattice / polarity,
        }
        result = {}
        for (singlet, triplet), operator in operators.items():
            value = 2 * np.einsum("skij,kji->s", r, operator, optimize=True).real / n_k / room
            if singlet:
                result[singlet] = float(value[0])
            result[triplet] = float(np.linalg.norm(value[1:]))

        def norm(part: NDArray[np.complex128]) -> float:
            return float(2 * np.linalg.norm(part) / np.sqrt(n_k * room))

        diagonal = r * (tau[:, None] == tau)
        coherence, reversed_coherence = r - diagonal, self._reversed(r - diagonal)
        result["t_ivc"] = norm((coherence + reversed_coherence) / 2)
        result["k_ivc"] = norm((coherence - reversed_coherence) / 2)
        if "C6^2" in self.crystal.point_group:
            once = self._turned(diagonal)
            result["nematicity"] = norm(diagonal - (diagonal + once + self._turned(once)) / 3)
        return result

    def _grid_image(self, operation: NDArray[np.float64]) -> NDArray[np.int64]:
        """Index of each k-point's image under a (2, 2) operation."""
        images = self.crystal.k_grid(self.nk) @ operation.T @ self.crystal.lattice.T * self.nk / (2 * np.pi)
        return np.rint(images).astype(int) % self.nk @ np.array([self.nk, 1])

    def _sublattice(self) -> NDArray[np.complex128]:
        """A minus B in the flat bands, (n_k, 4, 4)."""
        sign = 1.0 - 2.0 * self.crystal.sublattice
        return self.basis.conj().transpose(0, 2, 1) @ (sign[:, None] * self.basis)

    def _reversed(self, r: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Time-reversed components ρ(-k)*, spins aside."""
        opposite = self._grid_image(-np.eye(2))
        overlap = self.basis.conj().transpose(0, 2, 1) @ self.basis[opposite].conj()
        return overlap @ r[:, opposite].conj() @ overlap.conj().transpose(0, 2, 1)

    def _turned(self, r: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Components of the state turned by 120°."""
        crystal = self.crystal
        turn = rotation(2 * np.pi / 3)
        target = crystal.point_group["C6^2"]
        cell = (crystal.positions @ turn.T - crystal.positions[target])[:, :2] @ np.linalg.inv(
            crystal.lattice
        )
        image = self._grid_image(turn[:2, :2])
        result = np.empty_like(r)
        for index, m in enumerate(fractions(self.nk)[image] / self.nk):
            moved = np.empty_like(self.basis[index])
            moved[target] = np.exp(-2j * np.pi * np.rint(cell) @ m)[:, None] * self.basis[index]
            overlap = self.basis[image[index]].conj().T @ moved
            result[:, image[index]] = overlap @ r[:, index] @ overlap.conj().T
        return result


def valley_operator(crystal: TwistedBilayer, k: NDArray[np.float64]) -> csr_array:
    """Bloch matrix of the valley: 1 at a layer's K point, -1 at K', sparse (N, N)."""
    pairs, amplitudes = valley_currents(crystal)
    phase = np.exp(1j * pairs.cell @ (crystal.lattice @ k))
    shape = (crystal.n_atoms, crystal.n_atoms)
    one_way = csr_array((amplitudes * phase, (pairs.source, pairs.target)), shape=shape)
    return one_way + one_way.conj().T


def identify(parameters: Mapping[str, float], threshold: float = 0.4) -> str:
    """Name the phase from ``FlatBands.order_parameters``.

    Parameters
    ----------
    parameters : mapping
        Order parameter -> value; missing ones count as zero.
    threshold : float
        Orders weaker than this are not named.

    Returns
    -------
    str
        The orders present, for instance "KIVC" or "spin polarised, KIVC"; "symmetric" if none. An
        order that follows from others named already, as spin-valley locking does from spin and valley
        polarisation, is left out.
    """
    strong = {name for name, value in parameters.items() if abs(value) > threshold}
    labels, implied = [], {0}
    for name, (content, label) in _POLARISATIONS.items():
        if name in strong and content not in implied:
            labels.append(label)
            implied |= {content ^ other for other in implied}
    labels += [label for name, label in _COHERENCES.items() if name in strong]
    return ", ".join(labels) or "symmetric"


def _central_states(hamiltonian: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The four states in the middle of the spectrum as columns, (N, 4)."""
    n = len(hamiltonian)
    energies, states = eigh(hamiltonian, subset_by_index=[n // 2 - 3, n // 2 + 2])
    if min(energies[1] - energies[0], energies[5] - energies[4]) < _TOUCHING:
        raise ValueError("the four central bands touch other bands, so that no flat-band space is defined")
    return np.asarray(states[:, 1:5], dtype=complex)


def _spin_components(blocks: list[NDArray[np.complex128]]) -> NDArray[np.complex128]:
    """r_0, r_x, r_y, r_z of one density matrix: restricted (4, 4), up and down, or one of (8, 8)."""
    mixed = lowered = np.zeros((4, 4), dtype=complex)
    up, down = blocks[0], blocks[-1]
    if len(up) == 8:
        up, mixed, lowered, down = (up.reshape(2, 4, 2, 4)[s, :, t] for s in (0, 1) for t in (0, 1))
    components = np.stack([up + down, mixed + lowered, 1j * (mixed - lowered), up - down])
    return np.asarray(components / 2, dtype=complex)
