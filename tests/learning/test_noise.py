"""The bound against pixels summed one by one, and noise against its own statistics."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from stm_core.data import cell_of, load_dataset
from stm_core.imaging import Imperfections, SurfaceLDOS, form_factor
from stm_core.learning import (
    Exposure,
    NoiseStudy,
    build_model,
    information,
    noisy_samples,
    read_noise_results,
    scanned_samples,
    star_vectors,
    write_noise_results,
)
from stm_core.learning.noise_study import _pooled

N_STARS = 3


@pytest.fixture(scope="module")
def ds(small_dataset_path):
    return load_dataset(small_dataset_path)


@pytest.fixture(scope="module")
def config(ds):
    bias = tuple(ds["bias"].values[:2].tolist())
    return build_model("bragg", bias=bias, n_stars=N_STARS, i=2, spacing=2.6).config


def test_the_information_is_that_of_pixels_summed_one_by_one(ds):
    """A map that moves evenly with U: two maps differ by what its slope says, on a fine grid of one cell."""
    first, last = (ds.isel(sample=k)["ldos"].values.astype(float) for k in (0, 8))
    first, last = (
        each / each[:, ds["layer"].values == 1].sum(axis=1, keepdims=True) for each in (first, last)
    )
    U = ds["U"].values
    moving = first + (U[:, None, None] / 5) * (last - first)
    known = information(
        ds.assign(ldos=(("sample", "bias", "atom"), moving)), Exposure(0.1, 50), np.array([4])
    )
    cell, n = cell_of(ds), 48
    xy = (
        np.stack(np.meshgrid(np.arange(n), np.arange(n)), axis=-1).reshape(-1, 2)
        / n
        @ np.asarray(cell.lattice)
    )

    def pixels(ldos):
        surface = SurfaceLDOS.above(cell, ldos)
        return (np.exp(1j * xy @ surface.vectors.T) @ surface.amplitudes).real

    for bias in (0, 6):
        w = pixels(moving[4, bias])
        slope = pixels((last - first)[bias]) / 5 / w.mean()
        w = w / w.mean()
        expected = (np.mean(slope**2) - np.mean(slope * w) ** 2 / np.mean(w**2)) * 50**2 / 0.1**2
        assert known[0, bias] == pytest.approx(expected, rel=2e-3)


def test_information_is_what_noise_and_pixels_leave(ds):
    one, other = (information(ds, each, np.arange(3)) for each in (Exposure(0.1, 64), Exposure(0.2, 192)))
    np.testing.assert_allclose(other, one * 9 / 4)
    few = ds.isel(sample=np.flatnonzero(ds["U"].values < 1.5))
    assert np.isnan(information(few, Exposure(0.1))).all()


def test_noise_has_the_spread_that_pixels_average_to(ds, config):
    one, exposure = ds.isel(sample=[3]), Exposure(noise=0.2, pixels=40)
    clean = noisy_samples(config, one, replace(exposure, noise=0.0), np.random.default_rng(0)).inputs
    noisy = noisy_samples(config, one, exposure, np.random.default_rng(0), 4000)
    assert noisy.inputs.shape == (4000, 2, N_STARS) and set(noisy.sample) == {0}
    np.testing.assert_allclose(noisy.inputs.mean(axis=0), clean[0], atol=4 * 0.2 / 40 / np.sqrt(6 * 4000))
    np.testing.assert_allclose(noisy.inputs.std(axis=0), 0.2 / 40 / np.sqrt(6), rtol=0.05)


def test_a_wide_still_scan_shows_what_whole_cells_show(ds, config):
    some, still = ds.isel(sample=[0, 7]), Imperfections(())
    wide = Exposure(pixels=256, pixel=0.6)
    scanned = scanned_samples(config, some, still, np.random.default_rng(0), wide)
    whole = noisy_samples(config, some, wide, np.random.default_rng(0))
    np.testing.assert_allclose(scanned.inputs, whole.inputs, atol=2e-3 * np.abs(whole.inputs).max())
    np.testing.assert_array_equal(scanned.U, some["U"].values)


def test_the_tip_passes_less_of_shorter_waves(ds, config):
    some = ds.isel(sample=[0])
    near, far = (
        noisy_samples(config, some, Exposure(height=height), np.random.default_rng(0)).inputs[0, 0]
        for height in (2.0, 4.0)
    )
    stars = np.linalg.norm(star_vectors(cell_of(ds), N_STARS)[1::6], axis=1)
    np.testing.assert_allclose(far / near, form_factor(stars, 4.0) / form_factor(stars, 2.0), rtol=1e-4)


def test_curves_taught_by_noise_come_near_the_bound_and_clean_ones_do_not(ds):
    study = NoiseStudy(ds, Exposure(pixels=32, pixel=0.5), n_states=4)
    found = study.in_white_noise([0.3]).set_index("model")
    assert (found[["pooled", "pooled_all"]] > 0).all(axis=None)
    # Eight readings of each state: their variance is at most 8/7 of the mean square.
    assert found["scatter_all"].between(0, np.sqrt(8 / 7) * found["pooled_all"]).all()
    assert 0.5 < found.loc["curves", "ratio"] < found.loc["curves, trained on clean maps", "ratio"]
    assert found.loc["curves", "bound"] <= found.loc["curves, one bias", "bound"]


def test_pictures_of_still_scans_are_windowed_transforms_over_their_centre(ds):
    config = build_model("cnn", image_size=16, bias=tuple(ds["bias"].values[[2, 6]].tolist())).config
    fine = Exposure(pixels=160, pixel=0.8)
    seen = scanned_samples(config, ds.isel(sample=[0, 7]), Imperfections(()), np.random.default_rng(0), fine)
    assert seen.inputs.shape == (4, 16, 16) and list(seen.sample) == [0, 0, 1, 1]
    # One of a real map shows the same at k and -k, brightest in the middle.
    np.testing.assert_allclose(seen.inputs, seen.inputs[:, ::-1, ::-1], rtol=1e-3, atol=1e-6)
    assert (seen.inputs.reshape(4, -1).max(axis=1) == seen.inputs[:, 7:9, 7:9].max(axis=(1, 2))).all()
    coarse = replace(fine, pixel=1.2)
    with pytest.raises(ValueError, match=r"pixels of at most 0\.968"):
        scanned_samples(config, ds.isel(sample=[0]), Imperfections(()), np.random.default_rng(0), coarse)


def test_networks_of_pictures_are_held_against_the_bound_of_their_bias(ds, tmp_path):
    study = NoiseStudy(ds, Exposure(pixels=32, pixel=0.8), n_states=2)
    found = study.pictures_in_white_noise([0.1, 0.3], ["repaired"], progress=False)
    assert list(found["level"]) == [0.1, 0.3] and (found["ratio"] > 0).all()
    np.testing.assert_allclose(found["bound"] / found["level"], study.bounds()[study.informative].median())
    path = write_noise_results(found, study, tmp_path / "noise.json")
    pd.testing.assert_frame_equal(read_noise_results(ds, path), found)
    assert read_noise_results(ds.assign(ldos=2 * ds.ldos), path).empty
    assert read_noise_results(ds, tmp_path / "none.json").empty


def test_settings_that_are_no_scan_are_refused():
    with pytest.raises(ValueError, match="noise must be at least 0"):
        Exposure(noise=-0.1)


def test_bad_days_are_read_at_one_bias_and_at_all(ds):
    study = NoiseStudy(ds, Exposure(pixels=24, pixel=0.5), n_states=3)
    for bias in (0.0, None):
        errors = study.on_a_bad_day(bias, draws=1, readings=2, every=1)
        assert errors.shape == (2, len(study.asked)) and np.isfinite(errors).all()
        assert not np.array_equal(*errors)  # every day is another one
        assert np.array_equal(errors, study.on_a_bad_day(bias, draws=1, readings=2, every=1))


def test_pooled_errors_are_root_mean_squares_over_those_of_the_bounds():
    # One reading of four is on a wrong branch, which a median would not see; one has no bound.
    rms, bound = np.array([1.0, 1.0, 1.0, 13.0, 50.0]), np.array([1.0, 1.0, 1.0, 1.0, np.nan])
    assert _pooled(rms, bound) == pytest.approx(np.sqrt(43.0))
