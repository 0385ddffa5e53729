"""The page's own transform, network and attribution against numpy, torch and grad-cam."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from stm_core.data import ldos_image
from stm_core.imaging import bragg_amplitudes, render
from stm_core.insight import grad_cam
from stm_core.learning import Normalisation, Regressor, build_model, predict
from stm_core.simulation import GRAPHENE_LATTICE, TwistedBilayer
from stm_core.viewing.inpage import in_page
from stm_core.viewing.page_network import conformal_half_width, distance_in_page, export_for_page
from tests.book.in_node import in_node

SIZE = 32
ALL = ("arrays", "fourier", "network", "reading")
TOLERANCE = 1e-5  # of U in eV, and of pictures and maps whose largest value is 1
READ = """
  const network = stm.unpacked(given.network);
  return given.pictures.map((p) => stm.read(network, { shape: [p.length, p.length], data: p.flat() }));
"""


def trained(name: str, **options: object) -> Regressor:
    """A network with weights, batch statistics and a normalisation that are all its own."""
    torch.manual_seed(3)
    model = build_model(name, image_size=SIZE, seed=1, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    normalisation = Normalisation(torch.full((1, 1), 0.05), torch.full((1, 1), 0.4))
    return Regressor(model, normalisation).eval()


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).random((4, SIZE, SIZE), dtype=np.float32) ** 4


@pytest.fixture(scope="module")
def cell() -> TwistedBilayer:
    return TwistedBilayer(i=2)


def read_in_page(regressor: Regressor, pictures: np.ndarray, known: np.ndarray | None = None) -> list[dict]:
    calibration = (pictures, np.linspace(0, 3, len(pictures)))
    network = export_for_page(regressor, calibration, pictures if known is None else known)
    return in_node(READ, {"network": json.loads(json.dumps(network)), "pictures": pictures.tolist()}, ALL)


@pytest.mark.parametrize(
    "name, options",
    [
        ("cnn", {"l2_normalise": False, "clamp": False, "channels": (4, 8), "hidden": 6}),
        ("cnn", {"channels": (3, 5, 7), "hidden": 4}),
        ("cnn", {"channels": (4, 8), "hidden": 6, "initial_output": -5.0}),
        ("fc", {"hidden": (24, 8)}),
        ("fc", {"hidden": (12,), "l2_normalise": True, "clamp": True}),
    ],
    ids=["repaired", "as published", "clamped to zero", "fully connected", "fully connected, unit length"],
)
def test_the_page_reads_what_torch_reads(name, options, pictures):
    regressor = trained(name, **options)
    read = [answer["U"] for answer in read_in_page(regressor, pictures)]
    np.testing.assert_allclose(read, predict(regressor, pictures).U, atol=TOLERANCE, rtol=0)


def test_exact_gelu():
    values = torch.linspace(-8, 8, 321, dtype=torch.float64)
    body = (
        "const network = { layers: [{ kind: 'gelu' }] };"
        "return stm.outputs(network, { shape: [given.x.length], data: Float64Array.from(given.x) })[0].data"
    )
    found = in_node(body, {"x": values.tolist()}, ("arrays", "network"))
    np.testing.assert_allclose(found, nn.functional.gelu(values).numpy(), atol=1e-12)


@pytest.mark.parametrize("unit_length", [False, True])
def test_the_map_is_grad_cam(pictures, unit_length):
    regressor = trained("cnn", l2_normalise=unit_length, clamp=False, channels=(4, 8), hidden=6)
    for picture, answer in zip(pictures, read_in_page(regressor, pictures), strict=True):
        found = np.reshape(answer["map"]["data"], answer["map"]["shape"])
        expected = grad_cam(regressor, picture)
        assert expected.max() > 0.5
        np.testing.assert_allclose(found, expected, atol=1e-4)  # grad-cam's slopes are single precision


def test_covering_a_block_shows_where_a_reading_comes_from(pictures):
    """A network that sums the pixels of one corner block must be explained by that block alone."""
    regressor = trained("fc", hidden=(1,))
    with torch.no_grad():
        first, last = regressor.model.body[1], regressor.model.head[1]
        first.weight.zero_()
        first.weight.view(SIZE, SIZE)[8:16, 16:24] = 1.0
        first.bias.fill_(100.0)
        last.weight.fill_(1.0)
    answer = read_in_page(regressor, pictures)[0]
    expected = np.zeros((SIZE, SIZE))
    expected[8:16, 16:24] = 1
    np.testing.assert_allclose(np.reshape(answer["map"]["data"], (SIZE, SIZE)), expected, atol=1e-9)


def test_pictures_of_another_kind_are_out_of_range(pictures):
    regressor = trained("cnn", l2_normalise=False, clamp=False, channels=(4, 8), hidden=6)
    near = pictures + np.float32(1e-3)
    network = export_for_page(regressor, (near, np.ones(len(near))), pictures)
    strange = np.stack([pictures[0], np.ones((SIZE, SIZE), np.float32) * 5])
    inside, outside = in_node(READ, {"network": network, "pictures": strange.tolist()}, ALL)
    assert inside["inRange"] and inside["distance"] == pytest.approx(0, abs=1e-3)
    assert not outside["inRange"]
    found = [inside["distance"], outside["distance"]]
    np.testing.assert_allclose(distance_in_page(regressor, network, strange), found, rtol=1e-4, atol=1e-4)


def test_the_interval_is_the_conformal_one(pictures):
    rng = np.random.default_rng(2)
    errors = rng.normal(size=19)
    half = conformal_half_width(np.zeros(19), errors, 0.9)
    assert half == np.sort(np.abs(errors))[17]  # the 18th of 19: 18/20 = 0.9
    assert conformal_half_width([0.0, 0.0], [1.0, -2.0], 0.9) == 2.0
    regressor = trained("fc", hidden=(12,))
    answer = read_in_page(regressor, pictures)[0]
    width = conformal_half_width(np.linspace(0, 3, 4), predict(regressor, pictures).U, 0.9)
    assert answer["high"] - answer["U"] == pytest.approx(width, abs=1e-6)


def test_conformal_intervals_cover():
    rng = np.random.default_rng(5)
    covered = []
    for _ in range(400):
        errors = rng.standard_cauchy(60)
        covered.append(np.abs(errors[-1]) <= conformal_half_width(np.zeros(59), errors[:59], 0.9))
    assert 0.86 <= np.mean(covered) <= 0.94


@pytest.mark.parametrize("size, n_k", [(16, 61), (20, 64), (61, 61)])
def test_the_transform_of_a_table(cell, size, n_k):
    top = cell.layer == 1
    xy = cell.positions[top, :2] / GRAPHENE_LATTICE
    ldos = np.random.default_rng(1).random(top.sum())
    given = {"x": xy[:, 0].tolist(), "y": xy[:, 1].tolist(), "ldos": ldos.tolist(), "size": size, "n": n_k}
    found = in_node("return stm.finish(stm.picture(given, given.size, given.n))", given, ALL)
    expected = ldos_image(xy, ldos, size=size, n_k=n_k)
    np.testing.assert_allclose(np.reshape(found["data"], (size, size)), expected, atol=TOLERANCE)


def test_bragg_amplitudes(cell):
    top = cell.layer == 1
    ldos = np.random.default_rng(1).random(top.sum())
    expected, vectors = bragg_amplitudes(cell, ldos)
    xy = cell.positions[top, :2]
    given = {"x": xy[:, 0].tolist(), "y": xy[:, 1].tolist(), "ldos": ldos.tolist(), "G": vectors.tolist()}
    found = np.array(in_node("return stm.bragg(given, given.G)", given, ALL))
    np.testing.assert_allclose(found @ [1, 1j], expected, atol=1e-9 * ldos.sum())


def test_a_picture_made_smaller():
    image = np.random.default_rng(4).random((50, 50))
    body = "return stm.reduced({ shape: [50, 50], data: Float64Array.from(given.image) }, 16)"
    found = in_node(body, {"image": image.ravel().tolist()}, ALL)
    np.testing.assert_allclose(np.reshape(found["data"], (16, 16)), render(image, 16), atol=1e-6)


def test_a_network_too_large_or_unknown_is_refused(pictures):
    calibration = (pictures, np.ones(len(pictures)))
    with pytest.raises(ValueError, match="a page can run the networks 'cnn' and 'fc', not 'resnet18'"):
        regressor = trained("resnet18")
        regressor.model.backbone.layer4 = nn.Identity()
        export_for_page(regressor, calibration, pictures)
    with pytest.raises(ValueError, match=r"has \d+ weights; a page takes"):
        export_for_page(trained("resnet18"), calibration, pictures)
    with pytest.raises(ValueError, match="cannot run a layer of kind Tanh"):
        regressor = trained("fc", hidden=(4,))
        regressor.model.body.append(nn.Tanh())
        export_for_page(regressor, calibration, pictures)
    with pytest.raises(ValueError, match="coverage is 1"):
        export_for_page(trained("fc", hidden=(4,)), calibration, pictures, coverage=1)


def test_a_panel_cannot_be_ended_by_its_data():
    shown = in_page("try", {"words": "</script><b>"}, 'a "panel"').data
    assert shown.count("</script>") == 1
    assert "&quot;panel&quot;" in shown
    with pytest.raises(ValueError, match="JSON"):
        in_page("try", {"value": float("nan")}, "a panel")
