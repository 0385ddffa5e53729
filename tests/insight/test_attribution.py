import numpy as np
import pytest
import torch

from stm_core.insight import cam_cell, grad_cam, group_attribution, guided_backprop, integrated_gradients
from stm_core.learning import Normalisation, Regressor, build_model, predict
from tests.insight.known_networks import IDENTITY, SIZE, ByConstruction


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


def test_the_network_reads_the_peak_that_carries_U(trained, unseen):
    images, carrier, nuisance = unseen
    U = predict(trained, images).U
    assert np.abs(U - np.linspace(0.5, 4.5, 6)).mean() < 0.25
    # Changing the nuisance moves U less than a third of what the same change of the carrier does.
    moved = [np.abs(predict(trained, images + 0.1 * peak).U - U).mean() for peak in (nuisance, carrier)]
    assert moved[0] < moved[1] / 3


def test_grad_cam_of_a_trained_network_lies_on_the_peak_that_carries_U(trained, unseen):
    images, carrier, nuisance = unseen
    saliency = np.mean([grad_cam(trained, image, direction="down") for image in images], axis=0)
    on_carrier, on_nuisance = (np.average(saliency, weights=peak) for peak in (carrier, nuisance))
    assert on_carrier > 2 * on_nuisance
    assert on_carrier > 2 * saliency.mean()


def test_integrated_gradients_of_a_linear_network_are_its_weights_times_the_difference(image):
    baseline = np.full((SIZE, SIZE), 0.5, np.float32)
    saliency = integrated_gradients(Regressor(ByConstruction(2.0), IDENTITY), image + 1, baseline)
    expected = np.where(np.arange(SIZE) < SIZE // 2, 2 / SIZE**2 * (image + 0.5), 0)
    np.testing.assert_allclose(saliency, expected, atol=1e-7)


def test_integrated_gradients_start_from_the_mean_of_the_training(image):
    mean = torch.full((1, 1), 0.25)
    regressor = Regressor(ByConstruction(2.0), Normalisation(mean, torch.ones(1, 1)))
    explicit = integrated_gradients(regressor, image, np.full((SIZE, SIZE), 0.25))
    np.testing.assert_array_equal(integrated_gradients(regressor, image), explicit)


def test_integrated_gradients_of_a_trained_network_add_up_and_find_the_carrier(trained, unseen):
    images, carrier, nuisance = unseen
    saliency = integrated_gradients(trained, images[1], images[4], steps=64)
    U = predict(trained, images[[1, 4]]).U
    assert saliency.sum() == pytest.approx(U[0] - U[1], abs=0.05 * abs(U[0] - U[1]))
    on_carrier, on_nuisance = (np.abs(saliency)[peak > 0.1].mean() for peak in (carrier, nuisance))
    assert on_carrier > 2 * on_nuisance
    # A higher carrier means a lower U.
    assert saliency[carrier > 0.5].sum() < 0


def test_group_attribution_of_a_known_reader_is_exact_and_adds_up():
    def read(features):
        return features[:, 0] ** 3 - 2 * features[:, 1] * features[:, 2] + 0 * features[:, 3]

    features, baseline = np.array([1.5, 0.4, -1.0, 3.0]), np.array([0.5, 0.0, 1.0, -1.0])
    found = group_attribution(read, features, baseline, [0, 1, 1, 2])
    np.testing.assert_allclose(found, [1.5**3 - 0.5**3, -2 * 0.4 * -1.0, 0], atol=1e-5)
    assert found.sum() == pytest.approx(np.ptp(read(np.stack([features, baseline]))), abs=1e-5)


@pytest.mark.parametrize("groups, steps, message", [([0, 1], 4, "one shape"), ([0, 1, 1], 0, "steps is 0")])
def test_groups_that_do_not_fit_are_named(groups, steps, message):
    with pytest.raises(ValueError, match=message):
        group_attribution(lambda f: f.sum(axis=1), np.ones(3), np.zeros(3), groups, steps=steps)


def test_attribution_leaves_the_network_as_it_was(trained, unseen):
    model = trained.model.train()
    layers, before = str(model), {key: value.clone() for key, value in model.state_dict().items()}
    for method in (grad_cam, guided_backprop, integrated_gradients):
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
        (lambda r, i: integrated_gradients(r, i, i[:16, :16]), "must have the image's"),
        (lambda r, i: integrated_gradients(r, i, steps=0), "steps is 0"),
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


def test_a_cell_of_the_map_is_as_wide_as_the_layer_is_coarse(image):
    assert cam_cell(Regressor(ByConstruction(1.0), IDENTITY), image) == 1
    pooled = Regressor(build_model("cnn", image_size=SIZE, channels=(4, 8)), IDENTITY)
    saliency = grad_cam(pooled, image)
    assert cam_cell(pooled, image) == 2 and saliency.shape == (SIZE, SIZE)
