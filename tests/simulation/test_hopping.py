"""Tight binding against the reference level energies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_core.simulation import (
    BOND_LENGTH,
    SlaterKoster,
    TightBinding,
    TwistedBilayer,
    flat_band_spacing,
    flat_band_width,
    honeycomb,
)

LEVEL_TOLERANCE = 2e-6  # eV: agreement between two independent builds of the reference levels
WIDTH_TOLERANCE = 5e-4  # eV

# Central eight levels at i = 9, spacing 3.35 Å, cut-off 8 Å, each twice (NumPy build, sisl and pyqula)
REFERENCE_LEVELS = {
    "K": (0.343869, 0.787514, 0.787514, 1.271342),
    "Γ": (0.480433, 0.497979, 1.131088, 1.146664),
    "M": (0.459654, 0.653148, 0.935262, 1.137117),
}


@pytest.fixture(scope="module")
def plain():
    return TightBinding(TwistedBilayer(9, 3.35))


@pytest.mark.parametrize("point", REFERENCE_LEVELS)
def test_reference_levels(plain, point):
    levels = plain.bands([plain.crystal.high_symmetry[point]])[0, 538:546]
    assert levels == pytest.approx(np.repeat(REFERENCE_LEVELS[point], 2), abs=LEVEL_TOLERANCE)


def test_pressure_flattens_the_central_bands(plain):
    assert flat_band_width(plain) == pytest.approx(0.633, abs=WIDTH_TOLERANCE)
    assert flat_band_width(TightBinding(TwistedBilayer(9, 2.94))) == pytest.approx(
        0.0102, abs=WIDTH_TOLERANCE
    )


def test_flattest_spacing_is_found():
    spacing, width = flat_band_spacing(9, bounds=(2.9, 2.98), tolerance=2e-3)
    assert spacing == pytest.approx(2.94, abs=0.01)
    assert width <= flat_band_width(TightBinding(TwistedBilayer(9, 2.94))) + WIDTH_TOLERANCE
    with pytest.raises(ValueError, match="ascending"):
        flat_band_spacing(9, bounds=(3.0, 2.9))


def test_monolayer_dirac_point_and_velocity():
    model = TightBinding(honeycomb())
    corner = model.crystal.high_symmetry["K"]
    lower, upper = model.bands([corner])[0]
    assert (lower, upper) == pytest.approx((0.787779, 0.787779), abs=LEVEL_TOLERANCE)
    step = 1e-5
    splitting = np.diff(model.bands([corner + np.array([step, 0])])[0])[0] / 2
    hbar = 6.582119569e-16  # eV s
    assert splitting / step / hbar * 1e-10 == pytest.approx(7.943e5, rel=1e-3)


@settings(max_examples=20, deadline=None)
@given(kx=st.floats(-2, 2), ky=st.floats(-2, 2), m1=st.integers(-3, 3), m2=st.integers(-3, 3))
def test_bloch_hamiltonian_symmetries(kx, ky, m1, m2):
    model = TightBinding(TwistedBilayer(1, 3.0))
    k = np.array([kx, ky])
    h = model.hamiltonian(k)
    np.testing.assert_array_equal(h, h.conj().T)
    shifted = model.hamiltonian(k + np.array([m1, m2]) @ model.crystal.reciprocal)
    np.testing.assert_allclose(shifted, h, atol=1e-11)
    np.testing.assert_allclose(model.hamiltonian(-k), h.conj(), atol=1e-12)


def test_real_at_time_reversal_invariant_momenta(plain):
    assert np.abs(plain.hamiltonian(plain.crystal.high_symmetry["M"]).imag).max() < 1e-13


def test_decoupled_layers_are_graphene():
    cell = TwistedBilayer(2, 3.35)
    blocks = TightBinding(cell).decoupled(np.zeros(2))
    top = cell.layer == 1
    assert np.abs(blocks[np.ix_(top, ~top)]).max() == 0
    # Every level of the folded layer is a level of the primitive monolayer at some G of the moiré.
    levels = np.linalg.eigvalsh(blocks[np.ix_(top, top)])
    vectors = (
        np.stack(np.meshgrid(np.arange(-9, 10), np.arange(-9, 10)), axis=-1).reshape(-1, 2) @ cell.reciprocal
    )
    turn = cell.angle / 2
    back = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    graphene = TightBinding(honeycomb()).bands(vectors @ back.T).ravel()
    assert np.abs(levels[:, None] - graphene[None]).min(axis=1).max() < 1e-9


@pytest.mark.parametrize("method", ["hamiltonian", "decoupled"])
def test_layer_potential_lifts_the_top_layer(method):
    cell = TwistedBilayer(2, 3.35)
    k = cell.high_symmetry["K"] / 2
    change = getattr(TightBinding(cell, layer_potential=0.3), method)(k) - getattr(
        TightBinding(cell), method
    )(k)
    np.testing.assert_allclose(change, np.diag(np.where(cell.layer == 1, 0.15, -0.15)), atol=1e-14)


def test_layer_potential_splits_the_dirac_points_of_the_layers():
    """Uncoupled layers: the Dirac level of each moves by half the potential."""
    cell = TwistedBilayer(1, 9.9)
    levels = TightBinding(cell, layer_potential=0.2).bands([cell.high_symmetry["K"]])[0, 12:16]
    dirac = TightBinding(honeycomb()).bands([honeycomb().high_symmetry["K"]])[0, 0]
    assert levels == pytest.approx(dirac + np.array([-0.1, -0.1, 0.1, 0.1]), abs=1e-4)


def test_layer_potential_needs_two_layers():
    with pytest.raises(ValueError, match="two layers"):
        TightBinding(honeycomb(), layer_potential=0.1)
    with pytest.raises(ValueError, match="finite energy"):
        TightBinding(TwistedBilayer(1), layer_potential=np.inf)


def test_hopping_and_cutoff_rules():
    hopping = SlaterKoster()
    assert hopping([BOND_LENGTH, 0, 0]) == pytest.approx(-2.7)
    assert hopping([0, 0, 3.35]) == pytest.approx(0.48)
    with pytest.raises(ValueError, match="positive length"):
        TightBinding(honeycomb(), cutoff=0)
    with pytest.raises(ValueError, match="neighbour shell"):
        TightBinding(honeycomb(), cutoff=4 * BOND_LENGTH)
