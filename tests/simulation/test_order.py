"""Phases made by hand are named, whatever the phases and bases they are written in."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_core.simulation import TightBinding, TwistedBilayer, honeycomb
from stm_core.simulation.order import FlatBands, identify, valley_operator
from stm_core.simulation.starts import intralayer_bonds, kekule_vectors

SIGMA = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
TAU = np.diag([1.0, 1.0, -1.0, -1.0])
NK = 4  # without K, where the two valleys' Dirac points meet


@dataclass(frozen=True)
class State:
    """Orbitals (S, n_k, M, M) with their occupations, as the solver would return them."""

    crystal: TwistedBilayer
    nk: int
    filling: float
    orbitals: np.ndarray
    occupations: np.ndarray

    @property
    def energies(self):
        return np.zeros(self.occupations.shape)

    def orbitals_at(self, spin, k):
        return self.orbitals[spin, k]


@pytest.fixture(scope="module")
def model():
    return TightBinding(TwistedBilayer(4, 3.35), 5.0)


@pytest.fixture(scope="module")
def flat(model):
    return FlatBands(model, NK)


@pytest.fixture(scope="module")
def opposite():
    m = np.stack(np.meshgrid(*[np.arange(NK)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    return (-m % NK) @ [NK, 1]


def random_unitary(rng, n):
    return np.linalg.qr(rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n)))[0]


def filled(flat, matrices, filling, rng):
    """State of projectors (S, n_k, 4 or 8, ...) in the flat bands; remote bands below are left out.

    Occupied and empty orbitals are mixed at random among themselves.
    """
    n_spin, n_k, size = matrices.shape[:3]
    basis = flat.basis if size == 4 else np.stack([np.kron(np.eye(2), b) for b in flat.basis])
    orbitals = np.empty((n_spin, n_k, basis.shape[1], size), dtype=complex)
    occupations = np.empty((n_spin, n_k, size))
    for spin, k in np.ndindex(n_spin, n_k):
        value, vectors = np.linalg.eigh(matrices[spin, k].astype(complex))
        full = int(np.sum(value > 0.5))
        vectors[:, : size - full] @= random_unitary(rng, size - full)
        vectors[:, size - full :] @= random_unitary(rng, full)
        orbitals[spin, k], occupations[spin, k] = basis[k] @ vectors, np.rint(value)
    return State(flat.crystal, flat.nk, filling, orbitals, occupations)


def coherent(flat, opposite, sign, phase, rng):
    """½(1 + Q) with an intervalley block u(k) that time reversal maps to ``sign`` times itself.

    In the basis (w, w') of the two valleys, where w'(k) is the conjugate of w(-k), that is
    u(k) = ±u(-k)ᵀ.
    """
    matrices = np.empty((len(flat.basis), 4, 4), dtype=complex)
    blocks = [random_unitary(rng, 2) for _ in flat.basis]
    for k, partner in enumerate(opposite):
        if partner == k:
            blocks[k] = np.eye(2) if sign > 0 else 1j * SIGMA[1]
        elif partner < k:
            blocks[k] = sign * blocks[partner].T
        conjugate = flat.basis[k][:, 2:].conj().T @ flat.basis[partner][:, :2].conj()
        u = np.exp(1j * phase) * blocks[k] @ conjugate.conj().T
        matrices[k] = np.block([[np.eye(2), u], [u.conj().T, np.eye(2)]]) / 2
    return matrices


def sublattice_projector(flat, layers=(0, 1)):
    """On the more A-like half of each valley."""
    sign = np.where(np.isin(flat.crystal.layer, layers), 1.0 - 2.0 * flat.crystal.sublattice, 0.0)
    s = flat.basis.conj().transpose(0, 2, 1) @ (sign[:, None] * flat.basis)
    s[:, :2, 2:] = s[:, 2:, :2] = 0
    value, vectors = np.linalg.eigh(s)
    return (vectors * (value[:, None] > 0)) @ vectors.conj().transpose(0, 2, 1)


def constant(matrix):
    return np.broadcast_to(matrix, (NK**2, 4, 4))


def test_valley_operator_of_uncoupled_layers():
    """Exactly 1 at the graphene K points, where the Bloch waves of the layers have their Dirac level."""
    cell = TwistedBilayer(1, 9.9)
    model = TightBinding(cell)
    for name in ("K", "K'"):
        k = cell.high_symmetry[name]
        _, states = np.linalg.eigh(model.hamiltonian(k))
        dirac = states[:, 12:16]
        valley = valley_operator(cell, k)
        found = np.linalg.eigvalsh(dirac.conj().T @ (valley @ dirac))
        np.testing.assert_allclose(np.abs(found), 1, atol=1e-4)
    matrix = valley_operator(cell, k).toarray()
    np.testing.assert_allclose(matrix, matrix.conj().T, atol=1e-14)
    np.testing.assert_allclose(valley_operator(cell, -k).toarray(), -matrix.conj(), atol=1e-14)


def test_flat_bands_are_eigenstates_of_definite_valley(model, flat, opposite):
    assert np.abs(flat.valley).min() > 0.8
    for k, basis in zip(model.crystal.k_grid(NK), flat.basis, strict=True):
        np.testing.assert_allclose(basis.conj().T @ basis, np.eye(4), atol=1e-12)
        h = model.hamiltonian(k)
        np.testing.assert_allclose(h @ basis, basis @ (basis.conj().T @ h @ basis), atol=1e-9)
        inside = basis.conj().T @ h @ basis
        assert np.abs(inside[:2, 2:]).max() < 1e-3  # the bands do not mix the valleys
    np.testing.assert_allclose(np.sort(flat.valley[opposite]), -np.sort(flat.valley)[:, ::-1], atol=1e-9)


@settings(max_examples=6, deadline=None)
@given(
    sign=st.sampled_from([1, -1]),
    phase=st.floats(0, 2 * np.pi),
    turn=st.floats(0, 2 * np.pi),
    seed=st.integers(0, 2**32 - 1),
)
def test_intervalley_coherence_with_and_without_time_reversal(flat, opposite, sign, phase, turn, seed):
    """Restricted, collinear with any phase between the spins, and non-collinear."""
    rng = np.random.default_rng(seed)
    label, strong, weak = ("TIVC", "t_ivc", "k_ivc") if sign > 0 else ("KIVC", "k_ivc", "t_ivc")
    up = coherent(flat, opposite, sign, phase, np.random.default_rng(seed))
    down = coherent(flat, opposite, sign, phase + turn, np.random.default_rng(seed))
    spinor = np.stack([np.kron(random_unitary(np.random.default_rng(seed), 2), np.eye(4))] * len(up))
    both = np.zeros((len(up), 8, 8), dtype=complex)
    both[:, :4, :4], both[:, 4:, 4:] = up, down
    turned = spinor @ both @ spinor.conj().transpose(0, 2, 1)
    for matrices in (up[None], np.stack([up, down]), turned[None]):
        found = flat.order_parameters(filled(flat, matrices, 0.0, rng))
        assert found[strong] == pytest.approx(1, abs=1e-9)
        assert found[weak] == pytest.approx(0, abs=1e-6)
        assert identify(found) == label


def test_polarised_states_are_named(flat):
    rng = np.random.default_rng(3)
    k, k_prime, half = (np.eye(4) + TAU) / 2, (np.eye(4) - TAU) / 2, sublattice_projector(flat)
    other = np.eye(4) - half
    hall = k @ half + k_prime @ other
    nothing, everything = constant(np.zeros((4, 4))), constant(np.eye(4))
    phases = {
        "valley polarised": (constant(k), constant(k)),
        "spin polarised": (everything, nothing),
        "sublattice polarised": (half, half),
        "antiferromagnetic": (half, other),
        "spin-valley locked": (constant(k), constant(k_prime)),
        "quantum anomalous Hall": (hall, hall),
        "quantum spin Hall": (hall, np.eye(4) - hall),
    }
    for label, pair in phases.items():
        found = flat.order_parameters(filled(flat, np.stack(pair), 0.0, rng))
        assert identify(found) == label
        assert max(map(abs, found.values())) == pytest.approx(1, abs=1e-6)
        spinor = np.kron(random_unitary(rng, 2), np.eye(4))
        both = np.zeros((NK**2, 8, 8), dtype=complex)
        both[:, :4, :4], both[:, 4:, 4:] = pair
        turned = (spinor @ both @ spinor.conj().T)[None]
        again = flat.order_parameters(filled(flat, turned, 0.0, rng))
        assert again == pytest.approx(found, abs=1e-9)


def test_signs_follow_valley_and_sublattice(flat):
    rng = np.random.default_rng(4)
    for sign in (1, -1):
        one = constant((np.eye(4) + sign * TAU) / 2)
        assert flat.order_parameters(filled(flat, one[None], 0.0, rng))[
            "valley_polarisation"
        ] == pytest.approx(sign)
    half = sublattice_projector(flat)
    a_like = flat.order_parameters(filled(flat, half[None], 0.0, rng))["sublattice_polarisation"]
    b_like = flat.order_parameters(filled(flat, (np.eye(4) - half)[None], 0.0, rng))[
        "sublattice_polarisation"
    ]
    assert a_like == pytest.approx(1, abs=1e-3)
    assert b_like == pytest.approx(-1, abs=1e-3)


def test_away_from_neutrality_orders_multiply(flat, opposite):
    """Two electrons of eight: both of one spin, coherent or in one valley."""
    rng = np.random.default_rng(5)
    nothing = constant(np.zeros((4, 4)))
    kramers = coherent(flat, opposite, -1, 0.7, rng)
    found = flat.order_parameters(filled(flat, np.stack([kramers, nothing]), -2.0, rng))
    assert identify(found) == "spin polarised, KIVC"
    assert (found["spin_polarisation"], found["k_ivc"]) == pytest.approx((1, 1))
    one = np.stack([constant((np.eye(4) + TAU) / 2), nothing])
    found = flat.order_parameters(filled(flat, one, -2.0, rng))
    assert found["spin_valley_locking"] == pytest.approx(1)
    assert identify(found) == "spin polarised, valley polarised"


@pytest.fixture(scope="module")
def flattened():
    """A small cell pressed until its central bands are flat, so that a weak field orders them."""
    return FlatBands(TightBinding(TwistedBilayer(5, 2.76), 5.0), 2)


def ground_state(flat, field):
    """Neutral, spins equal, of the bare model with ``field(k)`` (N, N) added; all bands kept."""
    n = flat.crystal.n_atoms
    orbitals = [np.linalg.eigh(flat.model.hamiltonian(k) + field(k))[1] for k in flat.crystal.k_grid(flat.nk)]
    occupations = np.broadcast_to(np.arange(n) < n // 2, (1, len(orbitals), n)).astype(float)
    return State(flat.crystal, flat.nk, 0.0, np.stack(orbitals)[None], occupations)


def bond_field(cell, k, amplitudes):
    """Hermitian Bloch matrix of amplitudes on the nearest-neighbour bonds inside the layers."""
    bonds = intralayer_bonds(cell)
    field = np.zeros((cell.n_atoms, cell.n_atoms), dtype=complex)
    np.add.at(field, (bonds.source, bonds.target), amplitudes * np.exp(1j * bonds.cell @ cell.lattice @ k))
    return field + field.conj().T


def kekule_pattern(cell, phase):
    """Real bond pattern of unit strength at the vectors that join the valleys."""
    bonds = intralayer_bonds(cell)
    middle = cell.positions[bonds.source, :2] + bonds.displacement[:, :2] / 2
    waves = [np.cos(middle @ kekule_vectors(cell, layer).T + phase).sum(axis=1) for layer in (0, 1)]
    pattern = np.where(cell.layer[bonds.source] == 0, *waves)
    return pattern / np.abs(pattern).max()


def test_fields_on_the_atoms_give_the_phases_they_should(flattened):
    """Independent of the projection: weak fields in real space, all bands below filled as well."""
    cell = flattened.crystal
    sign = np.diag(1.0 - 2.0 * cell.sublattice)
    fields = {
        "sublattice polarised": lambda k: sign,
        "valley polarised": lambda k: valley_operator(cell, k).toarray(),
        "quantum anomalous Hall": lambda k: sign @ valley_operator(cell, k).toarray(),
        "TIVC": lambda k: bond_field(cell, k, kekule_pattern(cell, 0.9)),
        "KIVC": lambda k: bond_field(cell, k, 1j * kekule_pattern(cell, 0.9)),
    }
    for name, field in fields.items():
        found = flattened.order_parameters(ground_state(flattened, lambda k, field=field: -0.5 * field(k)))
        assert identify(found) == name
        assert found["nematicity"] < 1e-6
        even, odd = found["t_ivc"], found["k_ivc"]
        if name in ("TIVC", "sublattice polarised"):  # fields that keep time reversal
            assert odd < 1e-6
        elif name == "KIVC":
            assert odd > 10 * even


def test_a_bond_direction_makes_a_nematic(flattened):
    cell = flattened.crystal
    along = intralayer_bonds(cell).displacement
    angle = np.arctan2(along[:, 1], along[:, 0])
    for amplitudes, name in ((0.1 * np.cos(2 * angle), "nematic"), (np.zeros(len(angle)), "symmetric")):
        state = ground_state(flattened, lambda k, amplitudes=amplitudes: bond_field(cell, k, amplitudes))
        found = flattened.order_parameters(state)
        assert identify(found) == name
        assert (found["nematicity"] < 1e-6) == (name == "symmetric")


def test_strained_cells_have_no_nematic_order_parameter():
    strained = TwistedBilayer(4, 3.35, heterostrain=0.04)
    flat = FlatBands(TightBinding(strained, 5.0), 1)
    matrices = np.broadcast_to((np.eye(4) + TAU) / 2, (1, 1, 4, 4))
    found = flat.order_parameters(filled(flat, matrices, 0.0, np.random.default_rng(0)))
    assert "nematicity" not in found
    assert identify(found) == "valley polarised"


def test_what_cannot_be_read_is_refused(model, flat):
    with pytest.raises(ValueError, match="twisted bilayer"):
        FlatBands(TightBinding(honeycomb()), 1)
    with pytest.raises(ValueError, match="definite valley"):
        FlatBands(TightBinding(TwistedBilayer(4, 2.0), 5.0), 1)
    other = State(model.crystal, 1, 0.0, np.zeros((1, 1, 244, 244)), np.zeros((1, 1, 244)))
    with pytest.raises(ValueError, match="nk = 1"):
        flat.order_parameters(other)
