"""The dataset file: described by itself, checked when opened."""

import numpy as np
import pytest
import xarray as xr

from stm_core.data import load_dataset, write_dataset
from stm_core.data.store import SCHEMA


@pytest.fixture
def dataset(small_dataset_path):
    return load_dataset(small_dataset_path, converged_only=False)


def test_contents_and_units(dataset):
    assert dataset.sizes["atom"] == 76
    assert dataset.sizes["bias"] == 13
    assert dataset.ldos.dims == ("sample", "bias", "atom")
    assert dataset.ldos.dtype == np.float32
    for name in ("ldos", "energy", "gap", "U", "bias", "x"):
        assert dataset[name].attrs["units"]
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


def test_the_lowest_branch_is_marked_once_for_each_point(dataset):
    for U in np.unique(dataset.U):
        point = dataset.isel(sample=np.flatnonzero(dataset.U == U))
        assert int(point.lowest.sum()) == 1
        assert float(point.energy[point.lowest.values][0]) == float(point.energy.min())


def test_round_trip(dataset, tmp_path):
    write_dataset(dataset, tmp_path / "copy.nc")
    xr.testing.assert_identical(load_dataset(tmp_path / "copy.nc", converged_only=False), dataset)
    assert [p.name for p in tmp_path.iterdir()] == ["copy.nc"]


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.95])
def test_a_truncated_file_is_named(small_dataset_path, tmp_path, keep):
    content = small_dataset_path.read_bytes()
    path = tmp_path / "cut.nc"
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=r"cut\.nc is damaged or not a NetCDF file"):
        load_dataset(path)


def test_wrong_schema_missing_variable_and_nan_are_named(dataset, tmp_path):
    path = tmp_path / "bad.nc"
    write_dataset(dataset.assign_attrs(schema="other-2"), path)
    with pytest.raises(ValueError, match="schema 'other-2'"):
        load_dataset(path)
    dataset.drop_vars("gap").to_netcdf(path, engine="h5netcdf")
    with pytest.raises(ValueError, match="lacks gap"):
        load_dataset(path)
    spoiled = dataset.copy(deep=True)
    spoiled.ldos[0, 0, 0] = np.nan
    write_dataset(spoiled, path)
    with pytest.raises(ValueError, match="not finite in ldos"):
        load_dataset(path)


def test_no_such_dataset(tmp_path):
    with pytest.raises(FileNotFoundError, match="stm_core sweep"):
        load_dataset(tmp_path / "none.nc")
