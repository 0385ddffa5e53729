import numpy as np
import pytest

from stm_core.imaging import bragg_amplitudes, domain_average, group_orbit, k_axes, layer_mask
from stm_core.insight import broken_share, symmetry_channels, turned_share
from stm_core.simulation import TwistedBilayer


@pytest.fixture(scope="module")
def cell():
    return TwistedBilayer(i=3)


@pytest.fixture(scope="module")
def sample(cell):
    return np.random.default_rng(0).random((2, cell.n_atoms))


def test_channels_are_orthogonal_and_add_up(cell, sample):
    channels = symmetry_channels(cell, sample)
    top = sample[:, layer_mask(cell.layer, "top")]
    np.testing.assert_allclose(sum(channels.values()), top, atol=1e-12)
    parts = list(channels.values())
    products = np.einsum("csn,dsn->scd", parts, parts)
    np.testing.assert_allclose(products * (1 - np.eye(4)), 0, atol=1e-9)
    assert set(channels) == {"A", "B", "E1", "E2"}


def test_channels_answer_to_turns_as_their_characters_say(cell, sample):
    for name, character in {"A": 1.0, "B": -1.0}.items():
        part = symmetry_channels(cell, sample)[name]
        np.testing.assert_allclose(group_orbit(cell, part, "top")[1], character * part, atol=1e-12)
    for name, half_turn in {"E1": -1.0, "E2": 1.0}.items():
        part = symmetry_channels(cell, sample)[name]
        orbit = group_orbit(cell, part, "top")
        np.testing.assert_allclose(orbit[3], half_turn * part, atol=1e-12)
        np.testing.assert_allclose(orbit[::2].sum(axis=0), 0, atol=1e-12)


def test_a_sublattice_imbalance_breaks_the_half_turn_alone(cell):
    imbalance = np.where(cell.sublattice == 0, 1.0, -1.0)
    channels = symmetry_channels(cell, imbalance, "bottom")
    assert np.abs(channels["B"]).min() == pytest.approx(1)
    assert max(np.abs(channels[name]).max() for name in ("A", "E1", "E2")) < 1e-12


def test_stripes_are_nematic(cell):
    stripes = np.cos(cell.positions[:, :2] @ cell.reciprocal[0])
    channels = symmetry_channels(cell, stripes)
    assert np.sum(channels["E2"] ** 2) > np.sum(channels["A"] ** 2) > 0
    assert max(np.abs(channels[name]).max() for name in ("B", "E1")) < 1e-12


def test_a_strained_cell_and_both_layers_are_refused(cell, sample):
    with pytest.raises(ValueError, match="without strain"):
        strained = TwistedBilayer(i=3, heterostrain=0.0271)
        symmetry_channels(strained, np.ones(strained.n_atoms))
    with pytest.raises(ValueError, match="'top' and 'bottom'"):
        symmetry_channels(cell, sample, "both")


def test_the_broken_share_of_magnitudes_is_what_a_turn_changes(cell, sample):
    amplitudes, vectors = bragg_amplitudes(cell, sample)
    magnitudes = np.abs(amplitudes)
    symmetric, kept = domain_average(magnitudes, vectors)
    np.testing.assert_allclose(broken_share(symmetric, kept), 0, atol=1e-12)
    lengths = np.linalg.norm(kept, axis=1)
    shell = np.isclose(lengths, lengths[1])
    nematic = np.where(shell, kept[:, 0] ** 2 - kept[:, 1] ** 2, 0.0)
    assert broken_share(nematic, kept) == pytest.approx(1)
    even = np.where(shell, 1.0, 0.0)
    scale = np.linalg.norm(nematic) / np.linalg.norm(even)
    assert broken_share(nematic + scale * even, kept) == pytest.approx(0.5)


def test_shares_that_do_not_exist_are_named(cell, sample):
    amplitudes, vectors = bragg_amplitudes(cell, sample)
    _, kept = domain_average(amplitudes, vectors)
    with pytest.raises(ValueError, match="whole stars"):
        broken_share(np.abs(amplitudes), vectors)
    with pytest.raises(ValueError, match="zero everywhere"):
        broken_share(np.zeros(len(kept)), kept)


def test_what_turns_change_of_a_picture_is_what_breaks_the_axis():
    kx, ky = np.meshgrid(*k_axes(64))
    ring = np.exp(-((np.hypot(kx, ky) - 1.5) ** 2))
    angle = np.arctan2(ky, kx)
    pictures = [
        ring,
        ring * np.cos(6 * angle),
        ring * np.cos(2 * angle),
        ring * (1 + np.sqrt(2) * np.cos(2 * angle)),
    ]
    changed, blurred = turned_share(np.stack(pictures))
    np.testing.assert_allclose(changed, [0, 0, 1, 0.5], atol=0.02)
    assert (blurred[[0, 1, 3]] < 0.02).all()
    with pytest.raises(ValueError, match="zero everywhere"):
        turned_share(np.zeros((1, 8, 8)))
