import numpy as np
import pytest

from stm_core.data import load_dataset
from stm_core.insight import double_occupancy, state_quantities


def test_double_occupancy_is_the_product_of_the_spin_densities():
    up, down = np.random.default_rng(0).random((2, 3, 5))
    np.testing.assert_allclose(double_occupancy(up + down, up - down), np.mean(up * down, axis=-1))
    assert double_occupancy(np.ones(4), np.zeros(4)) == 0.25
    assert double_occupancy(np.ones(4), np.ones(4)) == 0


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="must agree"):
        double_occupancy(np.ones(4), np.ones(3))


def test_a_row_holds_what_its_sample_says(small_dataset_path):
    ds = load_dataset(small_dataset_path)
    frame = state_quantities(ds)
    assert len(frame) == ds.sizes["sample"]
    for row, sample in ((0, ds.isel(sample=0)), (len(frame) - 1, ds.isel(sample=-1))):
        assert frame["U"][row] == sample["U"].item()
        assert frame["branch"][row] == str(sample["start"].item())
        assert frame["gap"][row] == pytest.approx(1e3 * sample["gap"].item())
        assert frame["maximum moment"][row] == sample["order_maximum_moment"].item()
    above = frame["energy above the ground state"]
    assert (above >= 0).all()
    assert (above[frame["ground"]] == 0).all()
    pair = frame[frame["U"] == 2]
    energies = ds["energy"].values[pair.index]
    assert above[pair.index].max() == pytest.approx(1e3 * np.ptp(energies))
