import numpy as np
import pytest
import torch
from torch import nn

from stm_core.insight import faithfulness, grad_cam, guided_backprop
from stm_core.learning import Normalisation, Regressor, TrainingConfig, build_model, fit, predict

# grad-cam's ROAD indexes torch masks through NumPy in a way that NumPy 2 will stop supporting.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")

SIZE = 32
IDENTITY = Normalisation(torch.zeros(1, 1), torch.ones(1, 1))


class ByConstruction(nn.Module):
    """U is the mean of the left half's pixels times `weight`; the right half is seen but not used."""

    def __init__(self, weight):
        super().__init__()
        self.split = nn.Conv2d(1, 2, 1, bias=False)
        nn.init.ones_(self.split.weight)
        self.halves = nn.Identity()
        mask = torch.ones(1, 2, SIZE, SIZE)
        mask[:, 0, :, SIZE // 2 :] = 0
        mask[:, 1, :, : SIZE // 2] = 0
        self.register_buffer("mask", mask)
        self.register_buffer("weight", torch.tensor([weight, 0.0]))
        self.relu = nn.ReLU()

    @property
    def attribution_layer(self):
        return self.halves

    def forward(self, images):
        return (self.relu(self.halves(self.split(images) * self.mask)).mean(dim=(2, 3)) * self.weight).sum(
            dim=1
        )


@pytest.fixture
def image():
    return np.random.default_rng(0).random((SIZE, SIZE), dtype=np.float32)


@pytest.mark.parametrize("weight, direction", [(2.0, "up"), (-2.0, "down")])
def test_grad_cam_is_the_part_of_the_image_that_carries_U(image, weight, direction):
    saliency = grad_cam(Regressor(ByConstruction(weight), IDENTITY), image, direction=direction)
    expected = np.where(np.arange(SIZE) < SIZE // 2, image, 0)
    np.testing.assert_allclose(saliency, expected / expected.max(), atol=1e-5)


@pytest.mark.parametrize("weight, direction", [(2.0, "down"), (-2.0, "up")])
def test_grad_cam_is_zero_where_nothing_moves_U_that_way(image, weight, direction, caplog):
    assert not grad_cam(Regressor(ByConstruction(weight), IDENTITY), image, direction=direction).any()
    assert f"no {direction}ward gradient" in caplog.text


def test_guided_backprop_is_the_gradient_where_all_signals_are_positive(image):
    saliency = guided_backprop(Regressor(ByConstruction(2.0), IDENTITY), image)
    expected = np.where(np.arange(SIZE) < SIZE // 2, 2 / SIZE**2, 0)
    np.testing.assert_allclose(saliency, np.broadcast_to(expected, (SIZE, SIZE)), rtol=1e-5)


def test_guided_backprop_stops_negative_signals_where_the_gradient_does_not(image):
    regressor = Regressor(ByConstruction(-2.0), IDENTITY)
    tensor = torch.from_numpy(image)[None, None].requires_grad_()
    regressor(tensor).sum().backward()
    assert tensor.grad.abs().max() > 0
    assert not guided_backprop(regressor, image).any()


def test_guided_backprop_refers_to_pixels_before_normalisation(image):
    plain, scaled = (
        Regressor(ByConstruction(2.0), Normalisation(torch.zeros(1, 1), torch.full((1, 1), scale)))
        for scale in (1.0, 4.0)
    )
    np.testing.assert_allclose(guided_backprop(scaled, image), guided_backprop(plain, image) / 4, rtol=1e-5)


def two_peaks(U, seed):
    """Images (n, SIZE, SIZE) whose upper left peak falls with U and whose lower right one is a nuisance."""
    y, x = np.mgrid[:SIZE, :SIZE]
    carrier, nuisance = (np.exp(-((y - c) ** 2 + (x - c) ** 2) / 4) for c in (8, 23))
    rng = np.random.default_rng(seed)
    heights = rng.uniform(0.1, 0.5, len(U))
    noise = 1e-3 * rng.standard_normal((len(U), SIZE, SIZE))
    return (
        np.exp(-np.asarray(U) / 6)[:, None, None] * carrier + heights[:, None, None] * nuisance + noise,
        carrier,
        nuisance,
    )


@pytest.fixture(scope="module")
def trained():
    U = np.repeat(np.arange(6.0), 8)
    model = build_model("cnn", image_size=SIZE, channels=(8, 16), l2_normalise=False, clamp=False)
    return fit(
        model, two_peaks(U, 1)[0], U, config=TrainingConfig(epochs=25, learning_rate=3e-3), progress=False
    )


@pytest.fixture(scope="module")
def unseen():
    return two_peaks(np.linspace(0.5, 4.5, 6), 2)


def test_the_network_reads_the_peak_that_carries_U(trained, unseen):
    images, carrier, nuisance = unseen
    U = predict(trained, images)
    assert np.abs(U - np.linspace(0.5, 4.5, 6)).mean() < 0.25
    # Changing the nuisance moves U less than a third of what the same change of the carrier does.
    moved = [np.abs(predict(trained, images + 0.1 * peak) - U).mean() for peak in (nuisance, carrier)]
    assert moved[0] < moved[1] / 3


def test_grad_cam_of_a_trained_network_lies_on_the_peak_that_carries_U(trained, unseen):
    images, carrier, nuisance = unseen
    saliency = np.mean([grad_cam(trained, image, direction="down") for image in images], axis=0)
    on_carrier, on_nuisance = (np.average(saliency, weights=peak) for peak in (carrier, nuisance))
    assert on_carrier > 2 * on_nuisance
    assert on_carrier > 2 * saliency.mean()


def test_removing_the_peak_that_carries_U_is_worse_than_removing_others(trained, unseen):
    images, carrier, nuisance = unseen
    right, wrong = (faithfulness(trained, images[2], peak) for peak in (carrier, nuisance))
    assert right.rank == 1
    assert right.advantage > 0.2
    assert wrong.change.mean() < 0.2 * right.change.mean()
    assert right.change.shape == right.removed.shape
    assert right.random_change.shape == (20, right.removed.size)


def test_faithfulness_of_a_known_network_is_its_change_of_U(image):
    regressor = Regressor(ByConstruction(2.0), IDENTITY)
    flat = np.full((SIZE, SIZE), 0.25, np.float32)
    flat[:4, :8] = 1.0
    relevance = np.where(flat == 1, 1.0, 0.0)
    result = faithfulness(regressor, flat, relevance, removed=(32 / SIZE**2,))
    # The 32 bright pixels are filled in from a flat surrounding.
    assert result.change[0] == pytest.approx(2 * 32 * 0.75 / SIZE**2, rel=1e-3)
    unused = faithfulness(regressor, flat, relevance[:, ::-1], removed=(32 / SIZE**2,))
    assert unused.change[0] == pytest.approx(0, abs=1e-6)


def test_the_seed_decides_the_random_maps(trained, unseen):
    runs = [faithfulness(trained, unseen[0][0], unseen[1], n_random=3, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0].random_change, runs[1].random_change)
    assert not np.array_equal(runs[0].random_change, runs[2].random_change)
    # The peak has no ties among its top pixels: the seed leaves the map's own change alone.
    np.testing.assert_array_equal(runs[0].change[0], runs[2].change[0])


def test_attribution_leaves_the_network_as_it_was(trained, unseen):
    model = trained.model.train()
    layers, before = str(model), {key: value.clone() for key, value in model.state_dict().items()}
    for method in (grad_cam, guided_backprop):
        method(model, unseen[0][0])
    assert str(model) == layers
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    model.eval()


@pytest.mark.parametrize("name, size", [("cnn", 64), ("resnet18", 64)])
def test_maps_have_the_image_s_shape_and_range(name, size):
    image = np.random.default_rng(0).random((size, size))
    regressor = Regressor(
        build_model(name, image_size=size, l2_normalise=False, clamp=False), IDENTITY
    ).eval()
    saliency, gradient = grad_cam(regressor, image), guided_backprop(regressor, image)
    assert saliency.shape == gradient.shape == (size, size)
    assert saliency.min() == pytest.approx(0, abs=1e-6)
    assert saliency.max() == pytest.approx(1, abs=1e-4)
    assert np.abs(gradient).max() > 0


def test_a_layer_is_chosen_by_name(image):
    regressor = Regressor(build_model("cnn", image_size=SIZE, channels=(4, 8)), IDENTITY).eval()
    default, last, first = (grad_cam(regressor, image, layer) for layer in (None, "blocks.1", "blocks.0.0"))
    np.testing.assert_array_equal(default, last)
    assert not np.allclose(default, first)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda r, i: grad_cam(r, i, "blocks.9"), "no layer 'blocks.9'; its convolutions are blocks.0.0"),
        (lambda r, i: grad_cam(r, i, direction="left"), "'up' or 'down'"),
        (lambda r, i: grad_cam(r, i[None]), r"one image of shape \(size, size\)"),
        (lambda r, i: guided_backprop(r, i * np.nan), "finite"),
        (lambda r, i: faithfulness(r, i, i[:16, :16]), "must have the image's"),
        (lambda r, i: faithfulness(r, i, i, removed=(0.0,)), "between 0 and 1"),
        (lambda r, i: faithfulness(r, i, i, n_random=0), "at least 1"),
        (
            lambda r, i: grad_cam(Regressor(build_model("fc", image_size=SIZE), IDENTITY), i),
            "'cnn' and 'resnet18'",
        ),
    ],
)
def test_what_cannot_be_attributed_is_named(image, call, message):
    regressor = Regressor(build_model("cnn", image_size=SIZE, channels=(4, 8)), IDENTITY)
    with pytest.raises(ValueError, match=message):
        call(regressor, image)
