"""The numbers of the data card, on samples whose answers are known."""

import numpy as np
import pytest
import xarray as xr

from stm_core.data import coverage, energy_above_lowest, flat_levels_in_reach, ground_runs

# U, filling, start, U of the sample before, converged, energy
SAMPLES = [
    (0.0, 0.0, "spin", -1.0, True, -10.0),
    (0.0, 0.0, "kekule", -1.0, True, -10.5),
    (1.0, 0.0, "spin", 0.0, True, -9.0),
    (1.0, 0.0, "kekule", 0.0, True, -9.0 + 1e-9),
    (2.0, 0.0, "spin", 1.0, True, -8.5),
    (2.0, 0.0, "kekule", 1.0, False, -8.9),
    (2.0, 2.0, "spin", -1.0, True, -7.0),
    (3.0, 2.0, "spin", 2.0, False, -6.0),
]


@pytest.fixture(scope="module")
def ds():
    names = ("U", "filling", "start", "previous_U", "converged", "energy")
    columns = {name: ("sample", np.array([sample[n] for sample in SAMPLES])) for n, name in enumerate(names)}
    levels = np.zeros((len(SAMPLES), 2, 1, 8))
    levels[..., :2], levels[..., 6:] = -1.0, 1.0  # remote bands
    levels[0, :, :, 3] = 0.2
    return xr.Dataset(
        {**columns, "levels": (("sample", "spin", "kpoint", "level"), levels)},
        {"bias": ("bias", [-0.06, 0.06])},
    )


def test_every_filling_is_counted(ds):
    neutral, doped = coverage(ds)
    assert neutral == (0.0, 6, 5, 3, 2, ("kekule", "spin"))
    assert doped == (2.0, 2, 1, 2, 1, ("spin",))


def test_energies_count_from_the_lowest_converged_state_of_equal_u_and_filling(ds):
    expected = [0.5, 0.0, 0.0, 1e-9, np.nan, np.nan, np.nan, np.nan]
    np.testing.assert_allclose(energy_above_lowest(ds), expected, atol=1e-14)


def test_the_lowest_state_changes_where_another_one_crosses_it(ds):
    runs = ground_runs(ds, ds.start.values)
    # At U = 1 both are equally low, and the one from U = 0 goes on.
    assert runs == [(0.0, 0.0, 1.0, 2, "kekule"), (0.0, 2.0, 2.0, 1, "spin"), (2.0, 2.0, 2.0, 1, "spin")]
    assert ground_runs(ds, np.full(len(SAMPLES), "one"))[0] == (0.0, 0.0, 2.0, 3, "one")


def test_levels_in_reach_are_those_of_the_flat_bands_within_the_biases(ds):
    np.testing.assert_allclose(flat_levels_in_reach(ds), [0.75] + [1.0] * 7)
