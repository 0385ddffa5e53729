"""Parts of a dataset, its cell, and which samples are one state."""

import numpy as np
import pytest
import xarray as xr

from stm_core.data import (
    branches,
    cell_of,
    continuous_protocol,
    image_set,
    joined,
    lowest_states,
    paper_protocol,
    random_image_split,
    select,
    state_labels,
    with_domains,
)
from stm_core.data.store import dataset_from_samples
from stm_core.imaging import group_orbit
from stm_core.simulation import TwistedBilayer

STARTS = ("spin", "sublattice", "kramers")


@pytest.fixture(scope="module")
def cell():
    return TwistedBilayer(i=1, spacing=2.7)


@pytest.fixture(scope="module")
def sweep(cell):
    """Three starts at every U of two fillings; all that a sample needs, with random maps."""
    rng = np.random.default_rng(2)
    points = [(U, filling, seed) for filling in (0, -2) for U in np.arange(0, 6, 0.5) for seed in range(3)]
    samples = [
        {
            "U": U,
            "filling": float(filling),
            "seed": seed,
            "start": STARTS[seed],
            "previous_U": -1.0,
            "ldos": rng.uniform(0.1, 1, (2, cell.n_atoms)).astype(np.float32),
            "energy": rng.normal(),
            "converged": True,
        }
        for U, filling, seed in points
    ]
    attributes = {"i": cell.i, "spacing": cell.spacing}
    return dataset_from_samples(samples, cell, np.array([-0.04, 0.04]), attributes)


@pytest.fixture(scope="module")
def orbits(cell, sweep):
    """Every sample of the sweep from two sides: itself and one of its images."""
    images = group_orbit(cell, sweep.ldos.values)
    turned = images[
        np.random.default_rng(3).integers(1, len(images), sweep.sizes["sample"]),
        np.arange(sweep.sizes["sample"]),
    ]
    return xr.concat([sweep, sweep.assign(ldos=(sweep.ldos.dims, turned))], "sample", data_vars="minimal")


def test_the_cell_comes_back(sweep):
    strained = TwistedBilayer(6, 3.0, heterostrain=0.02, strain_angle=0.3)
    attributes = {name: getattr(strained, name) for name in ("i", "spacing", "heterostrain", "strain_angle")}
    np.testing.assert_array_equal(cell_of(sweep.assign_attrs(attributes)).positions, strained.positions)
    assert cell_of(sweep).n_atoms == sweep.sizes["atom"]


def test_parts_are_those_with_the_values_asked_for(sweep):
    part = select(sweep, filling=-2, start=("spin", "kramers"))
    expected = (sweep.filling.values == -2) & (sweep.seed.values != 1)
    xr.testing.assert_identical(part, sweep.isel(sample=expected))
    assert select(sweep, seed=1).start.values.tolist() == ["sublattice"] * 24
    assert select(sweep, ground=True).sizes["sample"] == 24
    assert select(sweep, ground=True, filling=0).energy.values.tolist() == [
        float(sweep.energy[(sweep.U == U) & (sweep.filling == 0)].min()) for U in np.arange(0, 6, 0.5)
    ]
    xr.testing.assert_identical(select(sweep), sweep)


def test_pictures_and_splits_take_a_part_like_a_whole(sweep):
    part = select(sweep, filling=-2, start="kramers")
    pictures, whole = (image_set(ds, size=4, n_k=9) for ds in (part, sweep))
    rows = (whole.filling == -2) & (whole.seed == 2)
    np.testing.assert_array_equal(pictures.images, whole.images[rows])
    split = paper_protocol(pictures.U, leave_out=1)
    np.testing.assert_array_equal(split.test, paper_protocol(whole.U, leave_out=1).test[rows])


def test_what_is_not_there_is_named(sweep):
    with pytest.raises(ValueError, match="filling 1 is not in the dataset; it holds -2, 0"):
        select(sweep, filling=1)
    with pytest.raises(ValueError, match="start valley is not in the dataset; it holds kramers, spin, sub"):
        select(sweep, start=["spin", "valley"])
    with pytest.raises(ValueError, match="no sample of the dataset has everything"):
        select(sweep, seed=0, start="kramers")


def test_fillings_of_one_cell_become_one_dataset(sweep):
    neutral = select(sweep, filling=0).assign_attrs(max_iterations=7)
    doped = select(sweep, filling=-2).assign_attrs(max_iterations=9)
    both = joined(neutral, doped)
    xr.testing.assert_equal(both, sweep)
    assert both.attrs.keys() == sweep.attrs.keys(), "what differs only in how it was run is left out"
    xr.testing.assert_identical(joined(neutral), neutral)


def test_other_starts_of_one_filling_are_joined_and_the_lowest_marked_anew(sweep):
    others = select(sweep, seed=[0, 2])
    one = joined(select(sweep, seed=1), others)
    assert one.sizes == sweep.sizes
    np.testing.assert_array_equal(np.sort(one.energy[one.ground]), np.sort(sweep.energy[sweep.ground]))


def test_other_cells_and_shared_samples_are_not_joined(sweep):
    neutral, doped = select(sweep, filling=0), select(sweep, filling=-2)
    for other, name in (
        (doped.assign_attrs(spacing=2.9), "differ in spacing"),
        (doped.assign_coords(bias=doped.bias + 0.01), "differ in bias"),
        (doped.isel(atom=slice(4, None)), "differ in atom"),
        (doped.drop_vars("energy"), "differ in energy"),
    ):
        with pytest.raises(ValueError, match=name):
            joined(neutral, other)
    with pytest.raises(ValueError, match="share the sample U = 0 eV, filling 0, seed 0"):
        joined(neutral, sweep)


def test_images_of_a_state_share_its_label(sweep, orbits):
    n = sweep.sizes["sample"]
    np.testing.assert_array_equal(state_labels(sweep), np.arange(n))
    np.testing.assert_array_equal(state_labels(orbits), np.tile(np.arange(n), 2))


def test_domains_are_the_same_states_turned(sweep, cell):
    few = sweep.isel(sample=slice(0, 4))
    three = with_domains(few)
    np.testing.assert_array_equal(three.U, np.tile(few.U, 3))
    np.testing.assert_array_equal(state_labels(three), np.tile(np.arange(4), 3))
    orbit = group_orbit(cell, few.ldos.values)
    turns = [list(cell.point_group).index(name) for name in ("C6^0", "C6^2", "C6^4")]
    np.testing.assert_array_equal(three.ldos.values, np.concatenate(orbit[turns]).astype(np.float32))
    assert three.ldos.values[:4].tolist() != three.ldos.values[4:8].tolist()
    again = with_domains(three.isel(sample=slice(8, 12)))
    np.testing.assert_array_equal(again.ldos.values[4:8], few.ldos.values, "three turns are none")


def test_a_strained_cell_has_no_domains_to_add(sweep):
    with pytest.raises(ValueError, match="no threefold axis"):
        with_domains(sweep.assign_attrs(heterostrain=0.14))


def test_states_of_another_filling_are_others(sweep):
    twice = xr.concat([sweep, sweep.assign_coords(filling=sweep.filling + 1)], "sample", data_vars="minimal")
    np.testing.assert_array_equal(state_labels(twice), np.arange(twice.sizes["sample"]))


def test_no_protocol_parts_the_images_of_one_state(orbits):
    """A split by U keeps them together by itself; a split by image when told the states."""
    pictures = image_set(orbits, size=4, n_k=9)
    states = state_labels(orbits)[pictures.sample]
    assert np.bincount(states)[np.unique(states)].tolist() == [4] * (orbits.sizes["sample"] // 2)
    for split in (
        paper_protocol(pictures.U),
        paper_protocol(pictures.U, leave_out=2),
        continuous_protocol(pictures.U, seed=1),
        random_image_split(pictures.U, seed=1, groups=states),
    ):
        assert split.train.any() and split.test.any()
        assert split.parted(states).size == 0
        assert split.parted(pictures.sample).size == 0
    assert random_image_split(pictures.U, seed=1).parted(states).size > 0


def test_groups_keep_the_shares(orbits):
    U, states = orbits.U.values, state_labels(orbits)
    split = random_image_split(U, seed=5, groups=states)
    whole = (np.rint(U) == U) & (U <= 5)
    np.testing.assert_array_equal(split.train | split.validation | split.test, whole)
    assert not (split.train & split.test).any() and not (split.train & split.validation).any()
    assert split.train.sum() == pytest.approx(0.8 * whole.sum(), abs=2)
    with pytest.raises(ValueError, match=r"groups has shape \(3,\)"):
        random_image_split(U, groups=[0, 1, 2])
    with pytest.raises(ValueError, match="2 groups of images at integer U are too few"):
        random_image_split(np.arange(6), groups=[0, 0, 0, 1, 1, 1])


def straight(sweep, **solved):
    """Part of the sweep at neutrality with straight branches of known energy, each at its own U."""
    part = select(sweep, filling=0)
    U, start = part.U.values, part.start.values
    energy = np.select([start == "spin", start == "sublattice"], [0.0 * U, 2.0 - U], 9.0)
    kept = [place in solved.get(name, U) for place, name in zip(U, start, strict=True)]
    return part.assign(energy=("sample", energy)).isel(sample=np.flatnonzero(kept))


def test_a_state_is_lowest_only_where_every_branch_that_matters_was_solved(sweep):
    whole = straight(sweep, kramers=(0.0, 5.5))  # never lowest, so nobody misses it
    lowest = whole.isel(sample=lowest_states(whole, 0))
    np.testing.assert_array_equal(lowest.U, np.arange(0, 6, 0.5))
    np.testing.assert_array_equal(lowest.start, ["spin"] * 5 + ["sublattice"] * 7)
    gaps = straight(sweep, kramers=(), spin=(0, 1, 2, 2.5, 3), sublattice=(1, 1.5, 2.5, 4, 5))
    lowest = gaps.isel(sample=lowest_states(gaps))
    # At 1.5 eV spin is missing between its ends, at 2 eV sublattice; beyond 3 eV spin is asked for no more.
    np.testing.assert_array_equal(lowest.U, [0, 1, 2.5, 4, 5])
    np.testing.assert_array_equal(lowest.start, ["spin", "spin"] + ["sublattice"] * 3)


def test_every_filling_has_its_own_lowest_states(sweep):
    found = sweep.isel(sample=lowest_states(sweep))
    np.testing.assert_array_equal(found.filling, [-2] * 12 + [0] * 12)
    np.testing.assert_array_equal(lowest_states(sweep, -2), lowest_states(sweep)[:12])
    assert found.ground.values.all()
    with pytest.raises(ValueError, match="filling 1 is not in the dataset"):
        lowest_states(sweep, 1)


def test_a_branch_is_followed_in_U_and_the_longest_comes_first(sweep):
    part = sweep.isel(sample=np.flatnonzero((sweep.start.values != "spin") | (sweep.U.values < 2)))
    found = branches(part, -2)
    assert list(found) == ["kramers start, seed 2", "sublattice start, seed 1", "spin start, seed 0"]
    for name, members in found.items():
        assert (np.diff(part.U.values[members]) > 0).all()
        assert set(part.start.values[members]) == {name.split()[0]}
        assert (part.filling.values[members] == -2).all()
