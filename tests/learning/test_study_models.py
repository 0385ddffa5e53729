from dataclasses import replace

import numpy as np
import pytest
import torch

from stm_core.data import load_dataset, state_labels
from stm_core.learning import (
    COPIED,
    EVERY_BIAS,
    LONGER,
    STOPPED,
    STUDY_MODELS,
    StudySettings,
    load_checkpoint,
    predict,
    samples_of,
    study_checkpoint,
    study_images,
    study_models,
    study_parts,
    study_samples,
    trained_regressor,
    training,
)
from stm_core.learning.checkpoints import write_checkpoint

SETTINGS = StudySettings(image_size=16, epochs=2)


@pytest.fixture(scope="module")
def ds(small_dataset_path):
    return load_dataset(small_dataset_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def first(ds, folder):
    return trained_regressor(ds, "repaired", SETTINGS, folder, progress=False)


def same_weights(one, other):
    return all(
        torch.equal(a, b)
        for a, b in zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    )


def test_the_same_call_gives_the_same_network_without_training_or_rendering(ds, folder, first, monkeypatch):
    for name in ("fit", "image_set"):
        monkeypatch.setattr(study_models, name, lambda *_, **__: pytest.fail("trained or rendered again"))
    again = trained_regressor(ds, "repaired", SETTINGS, folder, progress=False)
    assert same_weights(first, again)
    assert (again.history, again.best_epoch) == (first.history, first.best_epoch)
    assert again.checkpoint == first.checkpoint == study_checkpoint(ds, "repaired", SETTINGS, folder)
    assert same_weights(first.model, load_checkpoint(first.checkpoint))


def test_an_interrupted_training_goes_on_to_the_same_network(ds, tmp_path, first, monkeypatch):
    def write_and_stop(content, path):
        write_checkpoint(content, path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "write_checkpoint", write_and_stop)
        with pytest.raises(KeyboardInterrupt):
            trained_regressor(ds, "repaired", SETTINGS, tmp_path, progress=False)
    again = trained_regressor(ds, "repaired", SETTINGS, tmp_path, progress=False)
    assert again.history == first.history
    assert same_weights(first, again)


def test_different_runs_never_share_a_file(ds):
    changed = {"image_size": 32, "epochs": 3, "batch_size": 4, "patience": 2, "seed": 1, "bias_low": 0.01}
    changed |= {"protocol": "images", "bias_high": 0.03}
    runs = [(name, ds, SETTINGS) for name in STUDY_MODELS | EVERY_BIAS | LONGER | COPIED | STOPPED]
    runs += [("cnn", ds, replace(SETTINGS, **{key: value})) for key, value in changed.items()]
    runs += [
        ("cnn", ds.isel(sample=slice(1, None)), SETTINGS),
        ("cnn", ds.assign(ldos=2 * ds.ldos), SETTINGS),
    ]
    assert len({study_checkpoint(data, name, settings, "") for name, data, settings in runs}) == len(runs)


def test_no_test_picture_trains_or_stops_a_network(ds):
    U = np.repeat(ds["U"].values, 3)
    by_U, by_image = SETTINGS.split(U), replace(SETTINGS, protocol="images").split(U)
    assert set(U[by_U.train]) == {0, 1, 2, 3, 4, 5} and not by_U.validation.any()
    assert not set(U[by_U.test]) & {0, 1, 2, 3, 4, 5}
    assert not np.any(by_image.test & by_image.known)


def test_the_pictures_of_a_state_stay_together_only_where_whole_states_are_split(ds):
    seen, state = study_samples(ds, "cnn-copies", SETTINGS), state_labels(ds)
    for protocol, together in (("images", False), ("states", True)):
        split = study_parts(ds, seen, replace(SETTINGS, protocol=protocol))
        known, asked = (set(state[seen.sample[mask]]) for mask in (split.known, split.test))
        assert known and asked and known.isdisjoint(asked) == together
        assert set(seen.U[split.known | split.test]) == {0, 1, 2, 3, 4, 5}


def test_copies_are_pictures_of_their_state_changed_a_little(ds):
    one = ds.isel(sample=[3])
    (copies, plain) = (study_samples(one, name, SETTINGS) for name in ("cnn-copies", "cnn"))
    assert len(copies) == 10 * len(plain) and set(copies.U) == set(plain.U)
    difference = np.abs(copies.inputs - np.repeat(plain.inputs, 10, axis=0)).max(axis=(1, 2))
    assert 0 < difference.max() < 0.1
    assert len(np.unique(copies.inputs, axis=0)) > len(plain)


def test_left_out_values_choose_the_epoch_and_nothing_else(ds, monkeypatch):
    given = {}
    monkeypatch.setattr(study_models, "fit", lambda *_, **what: given.update(what))
    for name, left_out in (("repaired", set()), ("repaired-2", {2}), ("repaired-1-4", {1, 4})):
        trained_regressor(ds, name, SETTINGS, progress=False)
        assert set(given["U"]) == {0, 1, 2, 3, 4, 5} - left_out
        assert (set(given["validation"][1]) if left_out else given["validation"]) == (left_out or None)
        assert not set(given["calibration"][1]) & {0, 1, 2, 3, 4, 5}


def test_longer_training_has_longer_patience_and_changes_nothing_else(ds, monkeypatch):
    given = []
    monkeypatch.setattr(study_models, "fit", lambda *_, **what: given.append(what["config"]))
    for name in ("repaired", "repaired-long"):
        trained_regressor(ds, name, SETTINGS, progress=False)
    short, long = given
    assert long == replace(short, epochs=5 * short.epochs, patience=5 * short.patience)


def test_what_two_models_see_alike_is_made_once(ds):
    three = ds.isel(sample=slice(0, 3))
    seen = samples_of(three, ["cnn", "fc", "repaired", "bragg", "bragg_process", "cnn-every"], SETTINGS)
    assert seen["cnn"] is seen["fc"] and seen["bragg"] is seen["bragg_process"]
    assert seen["cnn"] is not seen["repaired"]
    assert len(seen["cnn"]) == 9 and len(seen["cnn-every"]) == 3 * ds.sizes["bias"]


def test_each_network_sees_its_pictures(ds):
    one = ds.isel(sample=slice(0, 1))
    paper, linear = (study_images(one, name, SETTINGS) for name in ("cnn", "repaired"))
    assert paper.images.shape == linear.images.shape == (3, 16, 16)
    np.testing.assert_allclose(np.unique(paper.bias), [0, 0.01, 0.02], atol=1e-9)
    np.testing.assert_allclose(paper.images * 255, np.rint(paper.images * 255), atol=1e-4)
    assert linear.images.max() < 1.1


def test_the_repaired_network_may_answer_below_zero(ds, first):
    config = first.model.model.config
    assert not config.clamp and not config.l2_normalise and config.dropout == 0
    images = study_images(ds.isel(sample=slice(0, 2)), "repaired", SETTINGS).images
    assert np.isfinite(predict(first, images).U).all()


def test_settings_that_cannot_be_are_refused(ds):
    with pytest.raises(ValueError, match="must be 'paper', 'continuous', 'images'"):
        StudySettings(protocol="integers")
    with pytest.raises(ValueError, match="no bias of the dataset lies between"):
        study_images(ds, "cnn", StudySettings(bias_low=0.07, bias_high=0.08))


def test_an_unknown_network_is_refused_with_the_known_ones(ds):
    with pytest.raises(ValueError, match="no model 'vgg'; its models are fc, cnn, resnet18, repaired"):
        trained_regressor(ds, "vgg")
