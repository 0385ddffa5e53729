import numpy as np
import pytest

from stm_core.data import ldos_image
from stm_core.imaging import bragg_amplitudes, layer_mask
from stm_core.insight import PeakExchange, exchange_table, exchanged_share
from stm_core.simulation import GRAPHENE_LATTICE, TwistedBilayer

N_K = 121


@pytest.fixture(scope="module")
def cell():
    return TwistedBilayer(i=2, spacing=2.6)


@pytest.fixture(scope="module")
def exchange(cell):
    return PeakExchange.build(cell, n_k=N_K)


@pytest.fixture(scope="module")
def states(cell):
    return np.random.default_rng(0).uniform(0.5, 1.5, (2, cell.n_atoms))


@pytest.mark.parametrize("family", ["moiré", "graphene", "Kekulé"])
def test_the_chosen_amplitudes_are_the_others_and_no_other_amplitude_moves(cell, exchange, states, family):
    chosen = exchange.families()[family]
    weights = exchange.density(*states, chosen)
    top = np.asarray(cell.positions)[layer_mask(cell.layer, "top"), :2]
    places = np.concatenate([top, exchange.mesh])
    amplitudes, vectors = bragg_amplitudes(cell, states)
    relative = amplitudes / amplitudes[:, :1]
    assert np.abs(relative[1] - relative[0])[chosen].max() > 1e-2
    found = weights @ np.exp(-1j * places @ vectors.T)
    np.testing.assert_allclose(found, np.where(chosen, relative[1], relative[0]), atol=1e-12)


def test_without_an_exchange_the_picture_is_that_of_the_state(cell, exchange, states):
    none = np.zeros(len(exchange.vectors), bool)
    mask = layer_mask(cell.layer, "top")
    xy = np.asarray(cell.positions)[mask, :2] / GRAPHENE_LATTICE
    for style, picture in exchange.pictures(*states, [none], 24).items():
        own = ldos_image(xy, states[0][mask], 24, style, n_k=N_K)
        np.testing.assert_allclose(picture[0], own, atol=1.01 / 255 if style == "paper" else 1e-5)


def test_families_share_out_all_peaks_but_the_origin(exchange):
    families = exchange.families()
    count = sum(mask.astype(int) for mask in families.values())
    np.testing.assert_array_equal(count, exchange.vectors.any(axis=1))


@pytest.mark.parametrize("count", [6, 20, 60])
def test_random_peaks_are_whole_stars_of_about_the_number_asked_for(exchange, states, count):
    drawn = [exchange.random(count, np.random.default_rng(seed)) for seed in range(4)]
    for chosen in drawn:
        assert count <= chosen.sum() < count + 6 and not chosen[0]
        exchange.density(*states, chosen)
    assert not all((drawn[0] == each).all() for each in drawn)


def test_peaks_that_would_make_no_density_are_refused(exchange, states):
    for chosen in (np.arange(len(exchange.vectors)) == 3, np.ones(len(exchange.vectors), bool), [True]):
        with pytest.raises(ValueError, match="with each G also −G"):
            exchange.density(*states, chosen)


def test_the_share_followed_is_of_the_whole_way_and_its_interval_holds_it():
    rng = np.random.default_rng(1)
    way = np.array([3.0, -2.0, 4.0, -3.0, 2.5, -4.0])
    half = exchanged_share(0.5 * way, way, draws=200)
    assert (half.share, half.low, half.high) == pytest.approx((0.5, 0.5, 0.5))
    noisy = exchanged_share(0.5 * way + rng.normal(0, 0.8, way.size), way, draws=500)
    assert noisy.low < noisy.share < noisy.high
    assert noisy.low < 0.5 < noisy.high
    with pytest.raises(ValueError, match="no way to follow"):
        exchanged_share(way, 0 * way)


def test_experiments_with_one_pair_of_states_are_no_news_to_each_other():
    rng = np.random.default_rng(3)
    way = np.array([3.0, -2.0, 4.0, -3.0, 2.5, -4.0])
    moved = 0.5 * way + rng.normal(0, 0.8, way.size)
    one = exchanged_share(moved, way)
    copies = exchanged_share(np.repeat(moved[:, None], 9, axis=1), np.repeat(way[:, None], 9, axis=1))
    assert (copies.share, copies.low, copies.high) == pytest.approx((one.share, one.low, one.high))


def test_the_interval_holds_the_share_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    held = []
    for _ in range(200):
        way = rng.choice([-1, 1], 18) * rng.uniform(2, 4, 18)
        found = exchanged_share(
            0.3 * way + rng.normal(0, 1.0, 18), way, draws=200, seed=int(rng.integers(1e6))
        )
        held.append(found.low <= 0.3 <= found.high)
    assert 0.78 < np.mean(held) < 0.97


def test_the_table_tells_the_part_that_carries_the_reading_from_a_random_one():
    rng = np.random.default_rng(4)
    low, high = rng.uniform(0, 2, (6, 1, 3)), rng.uniform(3, 5, (6, 1, 3))
    own = np.concatenate([low, high], axis=1)
    way = own[:, ::-1] - own
    # Two parts, then their controls: the first carries 0.8 of the way, a random one of its size 0.3.
    shares = [0.0, 0.8, 0.0, 0.3, 0.3]
    readings = np.stack([own + share * way for share in shares], axis=-1)
    table = exchange_table(readings, ["carries", "idle"])
    assert table.loc["carries", ["T", "T of random peaks"]].tolist() == pytest.approx([0.8, 0.3])
    assert table.loc["carries", "more, from"] > 0 > table.loc["idle", "more, to"]
    assert table.loc["idle", "T"] == pytest.approx(0)
