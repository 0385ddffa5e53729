import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from stm_core.learning import (
    TrainingConfig,
    build_model,
    evaluate,
    fit,
    load_checkpoint,
    nearest_integer,
    predict,
)
from stm_core.learning.loop import Training

SIZE = 32
CHANNELS = (8, 16, 32)
LEVELS = np.arange(6.0)
CONFIG = TrainingConfig(epochs=5, batch_size=16, seed=3)


@pytest.fixture(scope="module")
def data(bragg_like):
    U = np.repeat(LEVELS, 5)
    return bragg_like(SIZE).images(U, seed=1), U


@pytest.fixture(scope="module")
def held_out(bragg_like):
    return bragg_like(SIZE).images(LEVELS, seed=2), LEVELS


def small(**options):
    return build_model("cnn", image_size=SIZE, channels=CHANNELS, **options)


def train(data, held_out=None, config=CONFIG, model=None, **options):
    return fit(model or small(), *data, validation=held_out, config=config, progress=False, **options)


def same(one, other):
    weights = one.model.state_dict(), other.model.state_dict()
    return (
        one.history == other.history
        and one.best_epoch == other.best_epoch
        and all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    )


@pytest.fixture(scope="module")
def undisturbed(data, held_out):
    return train(data, held_out)


@pytest.mark.parametrize("precision", ["single", "mixed"])
def test_a_network_trained_on_integers_interpolates_better_than_rounding(
    data, held_out, bragg_like, precision
):
    U = np.random.default_rng(4).uniform(0, 5, 40)
    images = bragg_like(SIZE).images(U, seed=5)
    repaired = small(l2_normalise=False, clamp=False)
    config = TrainingConfig(epochs=40, learning_rate=3e-3, batch_size=16, precision=precision)
    result = train(data, held_out, config, repaired)
    error = evaluate(U, predict(result, images).U).mae
    assert error < 0.7 * evaluate(U, nearest_integer(U)).mae


def test_the_seed_decides_the_result(data, held_out, undisturbed):
    before = torch.random.get_rng_state()
    assert same(train(data, held_out), undisturbed)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not same(train(data, held_out, TrainingConfig(epochs=5, batch_size=16, seed=4)), undisturbed)


def test_mixed_precision_trains_other_weights_of_the_same_precision(data, held_out, undisturbed):
    mixed = train(data, held_out, replace(CONFIG, precision="mixed"))
    first, other = undisturbed.history["train_loss"][0], mixed.history["train_loss"][0]
    assert first != other and first == pytest.approx(other, rel=0.05)
    assert {weight.dtype for weight in mixed.model.parameters()} == {torch.float32}


def test_model_and_data_are_left_as_they_were(data, held_out):
    model = small()
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    arrays = [array.copy() for array in (*data, *held_out)]
    train(data, held_out, model=model)
    assert all(torch.equal(weights[key], value) for key, value in model.state_dict().items())
    assert all(np.array_equal(*pair) for pair in zip(arrays, (*data, *held_out), strict=True))


def test_validation_images_choose_the_epoch_and_do_nothing_else(data, held_out):
    patient = TrainingConfig(epochs=5, batch_size=16, patience=99)
    one, other = (
        train(data, held_out, patient),
        train(data, (7 * held_out[0] + 1, held_out[1][::-1]), patient),
    )
    assert one.history["train_loss"] == other.history["train_loss"]
    assert torch.equal(one.model.mean, other.model.mean)
    assert torch.equal(one.model.scale, other.model.scale)
    assert one.history["validation_loss"] != other.history["validation_loss"]


def test_training_stops_after_patience_and_keeps_the_best_epoch(data, held_out):
    images, U = held_out
    # Labels that training moves away from: the starting output is 2.5 eV.
    wrong = images, np.where(U > 2.5, 0.0, 5.0)
    result = train(data, wrong, TrainingConfig(epochs=60, batch_size=16, learning_rate=3e-3, patience=4))
    loss = result.history["validation_loss"]
    assert len(loss) < 60
    assert result.best_epoch == np.argmin(loss) == len(loss) - 5
    kept = evaluate(wrong[1], predict(result, images).U)
    assert kept.rmse**2 == pytest.approx(min(loss), rel=1e-4)
    assert kept.mae == pytest.approx(result.history["validation_mae"][result.best_epoch], rel=1e-4)


def test_without_validation_every_epoch_runs_and_the_last_is_kept(data):
    result = train(data)
    assert result.best_epoch == 4
    assert set(result.history) == {"learning_rate", "train_loss"}
    assert result.history["learning_rate"][0] == CONFIG.learning_rate


def test_the_learning_rate_follows_torch_s_cosine_schedule(undisturbed):
    optimiser = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=CONFIG.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimiser, CONFIG.epochs, CONFIG.minimum_learning_rate
    )
    expected = []
    for _ in range(CONFIG.epochs):
        expected.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    assert undisturbed.history["learning_rate"] == pytest.approx(expected)


@pytest.mark.parametrize("stop_after", range(1, CONFIG.epochs))
def test_an_interrupted_run_goes_on_to_the_same_weights(
    data, held_out, undisturbed, tmp_path, monkeypatch, stop_after
):
    run_epoch = Training.run_epoch

    def interrupted(self):
        if self.epoch == stop_after:
            raise KeyboardInterrupt
        run_epoch(self)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Training, "run_epoch", interrupted)
        train(data, held_out, checkpoint=tmp_path / "run.pt")
    resumed = train(data, held_out, checkpoint=tmp_path / "run.pt")
    assert same(resumed, undisturbed)
    np.testing.assert_array_equal(predict(tmp_path / "run.pt", data[0]).U, predict(undisturbed, data[0]).U)
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


SCRIPT = """
import sys
import numpy as np
import torch
from stm_core.learning import TrainingConfig, build_model, fit
torch.set_num_threads(1)
data = np.load(sys.argv[1])
fit(build_model("cnn", image_size=32, channels=(8, 16, 32)), data["images"], data["U"],
    validation=(data["held_out"], data["held_out_U"]), config=TrainingConfig(epochs=40, patience=99),
    checkpoint=sys.argv[2], progress=False)
"""


def test_a_killed_run_goes_on_to_the_same_weights(data, held_out, tmp_path):
    np.savez(tmp_path / "data.npz", images=data[0], U=data[1], held_out=held_out[0], held_out_U=held_out[1])
    killed, whole = tmp_path / "killed.pt", tmp_path / "whole.pt"

    def start(path):
        return subprocess.Popen([sys.executable, "-c", SCRIPT, tmp_path / "data.npz", path])

    process = start(killed)
    deadline = time.monotonic() + 120
    while not killed.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    epochs_done = torch.load(killed, weights_only=True)["epochs_done"]
    assert 0 < epochs_done < 40
    processes = [start(path) for path in (killed, whole)]
    assert [process.wait() for process in processes] == [0, 0]
    contents = [torch.load(path, weights_only=True) for path in (killed, whole)]
    assert contents[0]["history"] == contents[1]["history"]
    assert contents[0]["checksum"] == contents[1]["checksum"]
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]


def test_a_finished_checkpoint_is_returned_without_training(
    data, held_out, undisturbed, tmp_path, monkeypatch
):
    train(data, held_out, checkpoint=tmp_path / "run.pt")
    monkeypatch.setattr(Training, "run_epoch", lambda self: pytest.fail("trained again"))
    assert same(train(data, held_out, checkpoint=tmp_path / "run.pt"), undisturbed)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"data": lambda images, U: (images, U[::-1])}, "differs in data "),
        ({"data": lambda images, U: (images * 1.001, U)}, "differs in data "),
        ({"config": TrainingConfig(epochs=6, batch_size=16, seed=3)}, r"epochs=5 \(now 6\)"),
        ({"model": {"seed": 1}}, "differs in start "),
        ({"model": {"clamp": False}}, "differs in start "),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(data, held_out, tmp_path, change, message):
    path = tmp_path / "run.pt"
    train(data, held_out, checkpoint=path)
    other = change.get("data", lambda *d: d)(*data)
    options = {
        "config": change.get("config", CONFIG),
        "model": small(**change.get("model", {})),
        "checkpoint": path,
    }
    with pytest.raises(ValueError, match=message):
        train(other, held_out, **options)
    again = train(other, held_out, resume=False, **options)
    np.testing.assert_array_equal(predict(load_checkpoint(path), other[0]).U, predict(again, other[0]).U)


def test_an_odd_image_out_does_not_upset_batch_normalisation(data):
    images, U = data
    result = fit(
        build_model("resnet18", image_size=SIZE),
        images[:17],
        U[:17],
        progress=False,
        config=TrainingConfig(epochs=1, batch_size=16),
    )
    assert np.isfinite(predict(result, images).U).all()


def test_divergence_is_named(data):
    with pytest.raises(RuntimeError, match="lower learning_rate"):
        train(
            data,
            config=TrainingConfig(epochs=20, learning_rate=1e30, clip_norm=1e30),
            model=small(clamp=False),
        )


def test_without_a_usable_device_the_accepted_ones_are_named(data):
    with pytest.raises(ValueError, match="'cpu' always can"):
        train(data, device="abacus")


@pytest.mark.parametrize(
    "images, U, message",
    [
        (np.zeros((3, 8, 9)), np.zeros(3), "shape"),
        (np.zeros((0, 8, 8)), np.zeros(0), "at least 1"),
        (np.full((3, 8, 8), np.nan), np.zeros(3), "finite"),
        (np.ones((3, 8, 8)), np.zeros(2), "one per image"),
        (np.ones((3, 8, 8)), [0, 1, np.nan], "2 finite values"),
        (np.ones((1, 8, 8)), [0], "too few"),
        (np.ones((3, 8, 8)), [0, 1, 2], "all the same"),
    ],
)
def test_unusable_training_data_is_named(images, U, message):
    with pytest.raises(ValueError, match=message):
        fit(build_model("fc", image_size=8), images, U, progress=False)


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"learning_rate": float("inf")},
        {"batch_size": 0},
        {"learning_rate": -1.0},
        {"seed": -1},
        {"patience": 0},
        {"clip_norm": float("nan")},
        {"normalisation": "local"},
        {"precision": "half"},
    ],
)
def test_unusable_settings_are_named(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        TrainingConfig(**setting)
