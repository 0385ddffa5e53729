from urllib.error import URLError

import pytest
import torch
import torchvision

from stm_core.learning import build_model

NAMES = ("fc", "cnn", "resnet18")


def images(n=4, size=32, seed=0):
    return torch.randn(n, 1, size, size, generator=torch.Generator().manual_seed(seed))


def hooked(module, run):
    """What `module` puts out, and takes in, while `run` is called."""
    seen = {}
    handle = module.register_forward_hook(
        lambda _, inputs, output: seen.update(input=inputs[0], output=output)
    )
    with torch.no_grad():
        run()
    handle.remove()
    return seen


@pytest.mark.parametrize("name", NAMES)
def test_one_U_for_each_image(name):
    model = build_model(name, image_size=32).eval()
    with torch.no_grad():
        together = model(images())
        alone = torch.cat([model(image[None]) for image in images()])
    assert together.shape == (4,)
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_alone_decides_the_starting_weights(name):
    before = torch.random.get_rng_state()
    first, again, other = (build_model(name, image_size=32, seed=s).state_dict() for s in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert all(not torch.equal(first[key], other[key]) for key in first if first[key].ndim >= 2)


@pytest.mark.parametrize("name", NAMES)
def test_the_clamp_cuts_at_zero_and_nothing_else(name):
    free, clamped = (build_model(name, image_size=32, clamp=clamp).eval() for clamp in (False, True))
    with torch.no_grad():
        # The median as zero: half of the outputs lie below it.
        free.head[-1].bias.sub_(free(images(16)).median())
        clamped.load_state_dict(free.state_dict())
        expected, U = free(images(16)), clamped(images(16))
    assert (expected < 0).any()
    assert torch.equal(U, torch.where(expected > 0, expected, 0))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("unit_length", (True, False))
def test_unit_length_features(name, unit_length):
    model = build_model(name, image_size=32, l2_normalise=unit_length).eval()
    features = hooked(model.head, lambda: model(images()))["input"]
    lengths = features.norm(dim=1)
    assert torch.allclose(lengths, torch.ones(4), atol=1e-5) == unit_length


def test_the_convolutional_network_has_the_published_layers():
    model = build_model("cnn")
    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size) for c in convolutions] == [
        (1, 32, (3, 3)),
        (32, 32, (3, 3)),
        (32, 64, (3, 3)),
        (64, 64, (3, 3)),
        (64, 128, (3, 3)),
        (128, 128, (3, 3)),
    ]
    assert [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)] == [0.2]
    assert [(m.in_features, m.out_features) for m in model.head if isinstance(m, torch.nn.Linear)] == [
        (128, 256),
        (256, 1),
    ]


@pytest.mark.parametrize("name, size", [("cnn", 64), ("cnn", 256), ("resnet18", 64), ("resnet18", 256)])
def test_attribution_cells_are_at_most_eight_pixels_wide(name, size):
    model = build_model(name, image_size=size).eval()
    output = hooked(model.attribution_layer, lambda: model(images(1, size)))["output"]
    assert size / output.shape[-1] <= 8
    assert size / output.shape[-2] <= 8


def test_a_deep_convolutional_network_still_attributes_within_eight_pixels():
    model = build_model("cnn", image_size=64, channels=(4,) * 6).eval()
    output = hooked(model.attribution_layer, lambda: model(images(1, 64)))["output"]
    assert output.shape[-1] == 8


def test_imagenet_weights_see_a_grey_image_as_three_equal_colours(monkeypatch):
    torch.manual_seed(0)
    colour = torchvision.models.resnet18(weights=None).eval()
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda *_, **__: colour.state_dict()
    )
    model = build_model("resnet18", image_size=32, weights="imagenet").eval()
    colour.fc = torch.nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(model.features(images()), colour(images().expand(-1, 3, -1, -1)))


def test_imagenet_weights_that_cannot_be_fetched_are_named(monkeypatch):
    def refuse(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    with pytest.raises(RuntimeError, match=r"ImageNet weights.*weights=None"):
        build_model("resnet18", weights="imagenet")


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("vgg", {}, "known models are bragg, .*cnn, fc, resnet18"),
        ("cnn", {"depth": 3}, "no option depth; its options are .*channels"),
        ("cnn", {"image_size": 4}, "image_size is 4, but 3 blocks need 8"),
        ("resnet18", {"image_size": 16}, "image_size is 16, but must be a whole number of at least 32"),
        ("resnet18", {"weights": "places365"}, "None or 'imagenet'"),
        ("fc", {"dropout": 1.0}, "at least 0 and below 1"),
        ("fc", {"image_size": 64.5}, "image_size is 64.5, but must be a whole number"),
        ("fc", {"style": "x"}, "style is 'x', but must be 'linear' or 'paper'"),
        ("fc", {"hidden": -3}, "hidden is -3, but must be a tuple"),
        ("fc", {"hidden": (8, -3)}, "one of hidden is -3"),
        ("fc", {"initial_output": float("nan")}, "initial_output is nan"),
        ("cnn", {"channels": ()}, "channels is"),
        ("cnn", {"hidden": -3}, "hidden is -3"),
    ],
)
def test_what_cannot_be_built_is_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_model(name, **options)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(2, 1, 64, 64), (2, 3, 32, 32), (2, 32, 32)])
def test_images_of_another_shape_are_refused(name, shape):
    with pytest.raises(ValueError, match=r"takes images of shape \(n, 1, 32, 32\)"):
        build_model(name, image_size=32)(torch.zeros(shape))
