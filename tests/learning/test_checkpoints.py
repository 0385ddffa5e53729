import logging

import numpy as np
import pytest
import torch

from stm_core.learning import Regressor, TrainingConfig, build_model, fit, load_checkpoint, predict
from stm_core.learning.loop import Training

SIZE = 16
CONFIG = {kind: TrainingConfig(epochs=2, batch_size=8, normalisation=kind) for kind in ("global", "pixel")}


@pytest.fixture(scope="module")
def data(bragg_like):
    U = np.repeat(np.arange(4.0), 4)
    return bragg_like(SIZE).images(U), U


@pytest.fixture(scope="module", params=["global", "pixel"])
def trained(request, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "cnn.pt"
    model = build_model("cnn", image_size=SIZE, channels=(4, 8))
    return fit(model, *data, config=CONFIG[request.param], checkpoint=path, progress=False), request.param


def test_a_checkpoint_predicts_as_the_network_it_was_made_from(trained, data):
    result, _ = trained
    # Other images than the training's: their own mean and spread must not enter.
    images = 3 * data[0][:5] + 0.1
    expected = predict(result, images).U
    np.testing.assert_array_equal(predict(result.checkpoint, images).U, expected)
    np.testing.assert_array_equal(predict(load_checkpoint(result.checkpoint), images).U, expected)
    assert np.ptp(expected) > 0


def test_normalised_training_images_have_zero_mean_and_unit_spread(trained, data):
    result, kind = trained
    axes = (0, 1, 2) if kind == "global" else (0,)
    normalised = (
        load_checkpoint(result.checkpoint).normalise(torch.from_numpy(data[0])[:, None])[:, 0].numpy()
    )
    np.testing.assert_allclose(normalised.mean(axis=axes), 0, atol=1e-4)
    np.testing.assert_allclose(normalised.std(axis=axes), 1, atol=1e-3)


def test_a_pixel_that_never_varies_is_not_blown_up(data):
    images = data[0].copy()
    images[:, 0, 0] = 1
    images[0, 0, 0] = np.nextafter(np.float32(1), np.float32(2))
    result = fit(build_model("fc", image_size=SIZE), images, data[1], config=CONFIG["pixel"], progress=False)
    assert np.abs(result.model.normalise(torch.from_numpy(images)[:, None]).numpy()[:, 0, 0, 0]).max() < 0.1


@pytest.mark.parametrize("name, options", [("fc", {"hidden": (7, 5)}), ("resnet18", {"l2_normalise": False})])
def test_every_network_comes_back_from_its_checkpoint(name, options, bragg_like, tmp_path):
    images = bragg_like(32).images(np.arange(4.0))
    result = fit(
        build_model(name, image_size=32, **options),
        images,
        np.arange(4.0),
        checkpoint=tmp_path / "a.pt",
        config=TrainingConfig(epochs=1),
        progress=False,
    )
    loaded = load_checkpoint(tmp_path / "a.pt")
    assert loaded.model.config == result.model.model.config
    np.testing.assert_array_equal(predict(loaded, images).U, predict(result, images).U)


def test_loading_never_fetches_pretrained_weights(tmp_path, bragg_like, monkeypatch):
    source = build_model("resnet18", image_size=32).backbone
    colour = {
        key: value.repeat(1, 3, 1, 1) if key == "conv1.weight" else value
        for key, value in source.state_dict().items()
    }
    with monkeypatch.context() as online:
        online.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: colour)
        model = build_model("resnet18", image_size=32, weights="imagenet")
    images = bragg_like(32).images(np.arange(2.0))
    result = fit(
        model,
        images,
        np.arange(2.0),
        checkpoint=tmp_path / "a.pt",
        config=TrainingConfig(epochs=1),
        progress=False,
    )
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda *_, **__: pytest.fail("fetched")
    )
    np.testing.assert_array_equal(predict(tmp_path / "a.pt", images).U, predict(result, images).U)


def test_an_unfinished_run_gives_its_best_so_far_and_says_so(data, tmp_path, monkeypatch, caplog):
    run_epoch = Training.run_epoch
    monkeypatch.setattr(
        Training, "run_epoch", lambda self: (self.epoch and pytest.fail("stop")) or run_epoch(self)
    )
    with pytest.raises(pytest.fail.Exception):
        fit(build_model("fc", image_size=SIZE), *data, checkpoint=tmp_path / "a.pt", progress=False)
    with caplog.at_level(logging.WARNING):
        regressor = load_checkpoint(tmp_path / "a.pt")
    assert "unfinished training run (1 epochs so far)" in caplog.text
    assert isinstance(regressor, Regressor)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_checkpoint_is_named(trained, tmp_path, share):
    content = trained[0].checkpoint.read_bytes()
    cut = tmp_path / "cut.pt"
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"cut.pt is not a complete checkpoint"):
        load_checkpoint(cut)


def test_a_flipped_byte_never_changes_a_prediction_silently(trained, data, tmp_path):
    content = bytearray(trained[0].checkpoint.read_bytes())
    expected = predict(trained[0], data[0]).U
    broken, refused = tmp_path / "broken.pt", 0
    for position in np.random.default_rng(0).integers(0, len(content), 60):
        content[position] ^= 0xFF
        broken.write_bytes(content)
        content[position] ^= 0xFF
        try:
            np.testing.assert_array_equal(predict(broken, data[0]).U, expected)
        except ValueError as error:
            assert "broken.pt" in str(error)
            refused += 1
    assert refused > 0


@pytest.mark.parametrize("content", [{"weights": {}}, torch.zeros(3), [1, 2]])
def test_another_torch_file_is_named(content, tmp_path):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="not a checkpoint of this library"):
        load_checkpoint(tmp_path / "other.pt")


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    torch.save(Trap(), tmp_path / "trap.pt")
    with pytest.raises(ValueError, match="not a complete checkpoint"):
        load_checkpoint(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "none.pt")


def test_a_write_that_fails_leaves_the_old_checkpoint(trained, data, tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    path.write_bytes(trained[0].checkpoint.read_bytes())

    def full_disk(content, partial):
        partial.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        fit(build_model("fc", image_size=SIZE), *data, checkpoint=path, resume=False, progress=False)
    np.testing.assert_array_equal(predict(path, data[0]).U, predict(trained[0], data[0]).U)
    assert [each.name for each in tmp_path.iterdir()] == ["run.pt"]
