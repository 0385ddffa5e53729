"""From a sweep to labelled pictures."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from stm_core.data.images import image_set, ldos_image
from stm_core.imaging import ft_ldos, render
from stm_core.simulation import GRAPHENE_LATTICE, TwistedBilayer

N_K = 81
SINGLE = 5e-6  # single precision, relative to |F(0)|


@pytest.fixture(scope="module")
def sweep():
    cell = TwistedBilayer(i=2)
    rng = np.random.default_rng(11)
    bias = np.linspace(-0.06, 0.06, 5)
    U = np.array([0.0, 1.0, 1.0, 2.5])
    x, y, z = cell.positions.T
    return xr.Dataset(
        {"ldos": (("sample", "bias", "atom"), rng.uniform(0.1, 1, (4, 5, cell.n_atoms)).astype(np.float32))},
        coords={
            "U": ("sample", U),
            "filling": ("sample", [0.0, 0.0, 2.0, -2.0]),
            "seed": ("sample", [0, 1, 0, 3]),
            "bias": ("bias", bias),
            "x": ("atom", x),
            "y": ("atom", y),
            "z": ("atom", z),
            "layer": ("atom", cell.layer),
        },
    )


def by_hand(sweep, sample, bias, size, layer=1):
    mask = sweep["layer"].values == layer
    xy = np.stack([sweep["x"].values[mask], sweep["y"].values[mask]], axis=1) / GRAPHENE_LATTICE
    ldos = sweep["ldos"].values[sample, bias, mask]
    return ft_ldos(xy, ldos, n_k=N_K), ldos.sum(dtype=float)


def test_linear_images_are_the_averaged_transform_over_its_zero(sweep):
    images = image_set(sweep, size=27, n_k=N_K)
    assert images.images.shape == (20, 27, 27) and images.images.dtype == np.float32
    magnitude, total = by_hand(sweep, 2, 3, 27)
    expected = magnitude.reshape(27, 3, 27, 3).mean(axis=(1, 3)) / total
    np.testing.assert_allclose(images.images[2 * 5 + 3], expected, rtol=0, atol=SINGLE)


def test_set_point_of_the_tip_drops_out(sweep):
    brighter = sweep.assign(ldos=sweep["ldos"] * 7.0)
    before = image_set(sweep, bias=0.0, size=27, n_k=N_K).images
    np.testing.assert_allclose(image_set(brighter, bias=0.0, size=27, n_k=N_K).images, before, atol=SINGLE)
    assert before.max() <= 1.0 + SINGLE
    assert np.all(before.reshape(len(before), -1).argmax(axis=1) == 13 * 27 + 13)


def test_paper_images_are_the_grey_of_the_renderer(sweep):
    images = image_set(sweep, bias=[0.06], size=32, style="paper", n_k=N_K)
    magnitude, _ = by_hand(sweep, 3, 4, 32)
    expected = render(magnitude.astype(np.float32), 32, "paper") / 255
    # float32 may put a value on the other side of a colour step
    assert np.mean(np.abs(images.images[3] - expected) > 1e-6) < 0.01
    assert 0 <= images.images.min() and images.images.max() <= 1


def test_gap_is_blank_when_empty_and_a_picture_while_any_weight_is_left(sweep):
    deep = image_set(sweep.assign(ldos=sweep["ldos"].astype(float) * 1e-50), bias=0.0, size=27, n_k=N_K)
    usual = image_set(sweep, bias=0.0, size=27, n_k=N_K)
    np.testing.assert_allclose(deep.images, usual.images, rtol=0, atol=SINGLE)
    empty = sweep.assign(ldos=sweep["ldos"] * 0)
    assert np.all(image_set(empty, bias=0.0, size=27, n_k=N_K).images == 0)
    assert np.ptp(image_set(empty, bias=0.0, size=27, style="paper", n_k=N_K).images) == 0


def test_labels_follow_sample_then_bias(sweep):
    images = image_set(sweep, bias=[0.03, -0.06], size=9, n_k=N_K)
    assert len(images) == 8
    np.testing.assert_allclose(images.bias, np.tile([0.03, -0.06], 4))
    np.testing.assert_array_equal(images.sample, np.repeat(np.arange(4), 2))
    np.testing.assert_array_equal(images.U, np.repeat([0.0, 1.0, 1.0, 2.5], 2))
    np.testing.assert_array_equal(images.filling, np.repeat([0.0, 0.0, 2.0, -2.0], 2))
    np.testing.assert_array_equal(images.seed, np.repeat([0, 1, 0, 3], 2))
    one = image_set(sweep, bias=-0.06, size=9, n_k=N_K)
    np.testing.assert_array_equal(one.images, images.images[1::2])


def test_layer_is_chosen(sweep):
    bottom = image_set(sweep, bias=0.0, size=27, layer="bottom", n_k=N_K)
    magnitude, total = by_hand(sweep, 0, 2, 27, layer=0)
    expected = magnitude.reshape(27, 3, 27, 3).mean(axis=(1, 3)) / total
    np.testing.assert_allclose(bottom.images[0], expected, rtol=0, atol=SINGLE)


def test_single_image_is_the_one_of_the_set(sweep):
    top = sweep["layer"].values == 1
    xy = np.stack([sweep["x"].values[top], sweep["y"].values[top]], axis=1) / GRAPHENE_LATTICE
    image = ldos_image(xy, sweep["ldos"].values[1, 2, top], size=27, n_k=N_K)
    np.testing.assert_array_equal(image, image_set(sweep, bias=0.0, size=27, n_k=N_K).images[1])


@pytest.mark.parametrize("index", [np.array([True, False, True, True]), [0, 2, 3], slice(0, 4, 1)])
def test_subset_keeps_rows_together(sweep, index):
    images = image_set(sweep, bias=0.0, size=9, n_k=N_K)
    chosen = images.subset(index)
    for field in dataclasses.fields(images):
        np.testing.assert_array_equal(getattr(chosen, field.name), getattr(images, field.name)[index])


def test_image_set_is_frozen_and_leaves_the_dataset_alone(sweep):
    before = sweep.copy(deep=True)
    images = image_set(sweep, bias=0.0, size=9, n_k=N_K)
    with pytest.raises(dataclasses.FrozenInstanceError):
        images.U = images.U + 1
    xr.testing.assert_identical(sweep, before)


def test_bad_input_is_named(sweep):
    with pytest.raises(ValueError, match=r"bias 0\.01 eV is not in the dataset; it holds -0\.06"):
        image_set(sweep, bias=0.01, size=9, n_k=N_K)
    with pytest.raises(ValueError, match="'linear' and 'paper'"):
        image_set(sweep, style="sepia", size=9, n_k=N_K)
    with pytest.raises(ValueError, match="'top', 'bottom' and 'both'"):
        image_set(sweep, layer="middle", size=9, n_k=N_K)
    with pytest.raises(ValueError, match="1 to 81 pixels"):
        image_set(sweep, size=82, n_k=N_K)
    with pytest.raises(ValueError, match="no sample"):
        image_set(sweep.isel(sample=slice(0, 0)), size=9, n_k=N_K)
    with pytest.raises(ValueError, match="NaN"):
        image_set(sweep.assign(ldos=sweep["ldos"] * np.nan), size=9, n_k=N_K)
