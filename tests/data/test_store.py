"""The dataset file: described by itself, checked when opened, read only when used."""

import tracemalloc

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stm_core.data import load_dataset, write_dataset
from stm_core.data.store import KEPT_BITS, SCHEMA, rounded


@pytest.fixture
def dataset(small_dataset_path):
    return load_dataset(small_dataset_path, converged_only=False)


def test_contents_and_units(dataset):
    assert dataset.sizes["atom"] == 76
    assert dataset.sizes["bias"] == 13
    assert dataset.ldos.dims == ("sample", "bias", "atom")
    assert dataset.ldos.dtype == np.float32
    for name, variable in dataset.variables.items():
        assert variable.attrs["units"], name
        assert variable.attrs["long_name"], name
    assert dataset.attrs["schema"] == SCHEMA
    for parameter in (
        "i",
        "spacing",
        "epsilon",
        "gate_distance",
        "nk",
        "temperature",
        "broadening",
        "code_version",
    ):
        assert parameter in dataset.attrs
    assert bool(dataset.converged.all())


def test_the_ground_state_is_marked_once_for_each_point(dataset):
    for U in np.unique(dataset.U):
        point = dataset.isel(sample=np.flatnonzero(dataset.U == U))
        assert int(point.ground.sum()) == 1
        assert float(point.energy[point.ground.values][0]) == float(point.energy.min())


def test_round_trip_gives_the_same_bytes(dataset, small_dataset_path, tmp_path):
    write_dataset(dataset, tmp_path / "copy.nc")
    xr.testing.assert_identical(load_dataset(tmp_path / "copy.nc", converged_only=False), dataset)
    assert [p.name for p in tmp_path.iterdir()] == ["copy.nc"]
    assert (tmp_path / "copy.nc").read_bytes() == small_dataset_path.read_bytes()


def test_other_readers_can_open_it(small_dataset_path):
    with h5py.File(small_dataset_path) as file:
        assert file["ldos"].shape[1:] == (13, 76)
    with xr.open_dataset(small_dataset_path) as ds:
        assert ds.attrs["schema"] == SCHEMA


def test_numbers_are_read_when_used(small_dataset_path):
    ds = load_dataset(small_dataset_path, converged_only=False)
    assert not ds.ldos.variable._in_memory
    one = ds.ldos[3].values
    assert not ds.ldos.variable._in_memory
    np.testing.assert_array_equal(one, ds.ldos.values[3])


@given(arrays(np.float32, 20, elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_rounding_keeps_its_bits_and_changes_nothing_twice(values):
    once = rounded(values)
    normal = np.abs(values) >= np.finfo(np.float32).tiny
    error = np.abs(once[normal].astype(float) - values[normal])
    assert np.all(error <= 2.0 ** -(KEPT_BITS + 1) * np.abs(values[normal].astype(float)))
    np.testing.assert_array_equal(rounded(once), once)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.95, 0.9999])
def test_a_truncated_file_is_named(small_dataset_path, tmp_path, keep):
    content = small_dataset_path.read_bytes()
    path = tmp_path / "cut.nc"
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=r"cut\.nc does not end in the checksum .* truncated"):
        load_dataset(path)


@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_byte_is_named_wherever_it_is(small_dataset_path, tmp_path_factory, where, bit):
    content = bytearray(small_dataset_path.read_bytes())
    content[int(where * (len(content) - 73))] ^= 1 << bit
    path = tmp_path_factory.mktemp("flipped") / "flipped.nc"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"flipped\.nc is damaged: it does not match its checksum"):
        load_dataset(path)


@pytest.mark.parametrize("place", [-1, -2, -40, -66, -73])
def test_a_flipped_byte_of_the_checksum_is_named(small_dataset_path, tmp_path, place):
    content = bytearray(small_dataset_path.read_bytes())
    content[place] ^= 1
    (tmp_path / "flipped.nc").write_bytes(content)
    with pytest.raises(ValueError, match=r"flipped\.nc (is damaged|does not end in the checksum)"):
        load_dataset(tmp_path / "flipped.nc")


def test_wrong_schema_and_missing_variable_are_named(dataset, tmp_path):
    path = tmp_path / "bad.nc"
    write_dataset(dataset.assign_attrs(schema="other-2"), path)
    with pytest.raises(ValueError, match="schema 'other-2'"):
        load_dataset(path)
    write_dataset(dataset.drop_vars("gap"), path)
    with pytest.raises(ValueError, match="lacks gap"):
        load_dataset(path)


def test_wrong_dimensions_and_types_are_named(dataset, tmp_path):
    path = tmp_path / "bad.nc"
    write_dataset(dataset.assign(energy=dataset.ldos[:, :, 0].drop_vars("bias")), path)
    with pytest.raises(ValueError, match=r"energy as float32 over \('sample', 'bias'\)"):
        load_dataset(path)
    write_dataset(dataset.assign(converged=dataset.energy), path)
    with pytest.raises(ValueError, match=r"converged as float64 .* but truth values"):
        load_dataset(path)


@pytest.mark.parametrize(("name", "value"), [("ldos", np.nan), ("energy", np.inf), ("x", np.nan)])
def test_values_that_are_not_finite_are_named(dataset, tmp_path, name, value):
    spoiled = dataset.load().copy(deep=True)
    spoiled[name].values.flat[-1] = value
    write_dataset(spoiled, tmp_path / "bad.nc")
    with pytest.raises(ValueError, match=f"not finite in {name}$"):
        load_dataset(tmp_path / "bad.nc")


def test_another_kind_of_file_is_named(tmp_path):
    xr.Dataset({"a": ("b", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match=r"other\.nc does not end in the checksum"):
        load_dataset(tmp_path / "other.nc")


def test_no_such_dataset(tmp_path):
    with pytest.raises(FileNotFoundError, match="stm_core sweep"):
        load_dataset(tmp_path / "none.nc")


def test_opening_takes_little_memory(dataset, tmp_path):
    """Fifty megabytes of LDOS are checked, but not held."""
    large = dataset.isel(sample=np.zeros(200, dtype=int), atom=np.zeros(5000, dtype=int)).load()
    write_dataset(large, tmp_path / "large.nc")
    tracemalloc.start()
    try:
        opened = load_dataset(tmp_path / "large.nc")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert opened.ldos.nbytes > 50e6
    assert most < 30e6
