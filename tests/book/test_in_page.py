"""The page's own transform, network, curves and attribution against numpy, torch and grad-cam."""

import json
from copy import copy

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from stm_core.data import image_set, ldos_image, load_dataset, select
from stm_core.imaging import bragg_amplitudes, render
from stm_core.insight import grad_cam
from stm_core.learning import (
    SHIPPED_MODELS,
    FitResult,
    Normalisation,
    Regressor,
    build_model,
    fit,
    load_checkpoint,
    predict,
)
from stm_core.learning.uncertainty import Calibration, Familiarity
from stm_core.simulation import GRAPHENE_LATTICE, TwistedBilayer
from stm_core.viewing.inpage import in_page
from stm_core.viewing.page_network import export_for_page
from tests.book.in_node import in_node

SIZE = 32
ALL = ("arrays", "fourier", "network", "reading", "curves")
TOLERANCE = 1e-5  # of U in eV, and of pictures and maps whose largest value is 1
READ = """
  const network = stm.unpacked(given.network);
  return given.pictures.map((p) => stm.read(network, { shape: [p.length, p.length], data: p.flat() }));
"""


def trained(name: str, **options: object) -> Regressor:
    """A network with weights, batch statistics, normalisation and calibration that are all its own."""
    torch.manual_seed(3)
    model = build_model(name, image_size=SIZE, seed=1, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    normalisation = Normalisation(torch.full((1, 1), 0.05), torch.full((1, 1), 0.4))
    regressor = Regressor(model, normalisation, calibration=Calibration(factor=0.7, limit=25.0)).eval()
    with torch.inference_mode():
        usual = regressor.normalise(torch.rand(40, 1, SIZE, SIZE) ** 4)
        regressor.familiarity = Familiarity.of(model.eval().features(usual))
    return regressor


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).random((4, SIZE, SIZE), dtype=np.float32) ** 4


@pytest.fixture(scope="module")
def cell() -> TwistedBilayer:
    return TwistedBilayer(i=2)


@pytest.fixture(scope="module")
def shipped() -> tuple[Regressor, xr.Dataset]:
    """The network of the page, and the states that come with the study."""
    return load_checkpoint(SHIPPED_MODELS / "repaired.pt"), select(load_dataset(), filling=0)


def read_in_page(regressor: Regressor, pictures: np.ndarray) -> list[dict]:
    network = json.loads(json.dumps(export_for_page(regressor)))
    return in_node(READ, {"network": network, "pictures": pictures.tolist()}, ALL)


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


@pytest.mark.parametrize("U", [0.0, 1.7, 3.1, 4.5, 6.0])
def test_the_page_reads_with_the_shipped_weights_what_torch_reads(shipped, U):
    network, ds = shipped
    state = int(np.abs(ds["U"].values - U).argmin())
    pictures = image_set(ds.isel(sample=[state]), network.model.config.bias).images
    expected = predict(network, pictures)
    for n, answer in enumerate(read_in_page(network, pictures)):
        found = [answer[key] for key in ("U", "low", "high", "distance")]
        wanted = [getattr(expected, key)[n] for key in ("U", "low", "high", "novelty")]
        np.testing.assert_allclose(found, wanted, atol=TOLERANCE, rtol=0)


def test_the_map_of_the_shipped_network_is_grad_cam(shipped):
    network, ds = shipped
    picture = image_set(ds.isel(sample=[0]), network.model.config.bias[:1]).images
    (answer,) = read_in_page(network, picture)
    found = np.reshape(answer["map"]["data"], answer["map"]["shape"])
    np.testing.assert_allclose(found, grad_cam(network, picture[0]), atol=1e-4)


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
    strange = np.stack([pictures[0], np.ones((SIZE, SIZE), np.float32) * 5])
    inside, outside = read_in_page(regressor, strange)
    assert inside["inRange"] and not outside["inRange"]


@pytest.fixture(scope="module", params=["symmetric", "magnitude"])
def curves(request, cell) -> tuple[FitResult, np.ndarray, np.ndarray]:
    """Curves of one bias, trained on two made-up branches of LDOS maps; atoms and maps to read."""
    rng = np.random.default_rng(7)
    model = build_model("bragg", bias=(0.0,), n_stars=6, i=2, channel=request.param)
    top = cell.layer == 1
    xy = cell.positions[top, :2] / GRAPHENE_LATTICE
    shapes = 1 + rng.random((2, 3, top.sum()))

    def ldos(U: float, branch: int) -> np.ndarray:
        return np.array([1, U / 6, (U / 6) ** 2]) @ shapes[branch]

    def inputs(pairs: list[tuple[float, int]]) -> np.ndarray:
        return np.concatenate([model.config.of_ldos(xy, ldos(*pair)) for pair in pairs])

    known = [(float(U), branch) for branch in (0, 1) for U in range(6)]
    apart = [(U, branch) for branch in (0, 1) for U in (0.5, 1.4, 2.6, 3.3, 4.7)]
    trained = fit(
        model,
        inputs(known),
        [U for U, _ in known],
        branch=[branch for _, branch in known],
        calibration=(inputs(apart), [U for U, _ in apart]),
        progress=False,
    )
    maps = np.stack([ldos(0.26, 0), ldos(2.2, 1), ldos(5.4, 0), rng.random(top.sum())])
    return trained, xy, maps


def read_tables(curves: tuple[FitResult, np.ndarray, np.ndarray]) -> list[dict]:
    trained, xy, maps = curves
    tables = [{"x": xy[:, 0].tolist(), "y": xy[:, 1].tolist(), "ldos": ldos.tolist()} for ldos in maps]
    body = "const model = stm.unpacked(given.model); return given.tables.map((t) => stm.readStars(model, t))"
    return in_node(body, {"model": export_for_page(trained), "tables": tables}, ALL)


def test_the_page_inverts_curves_as_the_library_does(curves):
    trained, xy, maps = curves
    expected = predict(trained, np.concatenate([trained.model.model.config.of_ldos(xy, m) for m in maps]))
    answers = read_tables(curves)
    np.testing.assert_allclose([answer["U"] for answer in answers], expected.U, atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose([answer["low"] for answer in answers], expected.low, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose([answer["high"] for answer in answers], expected.high, rtol=1e-3)
    np.testing.assert_allclose([answer["distance"] for answer in answers], expected.novelty, rtol=1e-3)
    assert not answers[-1]["inRange"]


def test_an_interval_that_too_few_samples_calibrated_is_all_that_the_curves_can_answer(curves):
    trained, xy, maps = curves
    unsure = copy(trained.model)
    unsure.calibration = Calibration(factor=np.inf, limit=trained.model.calibration.limit)
    model = json.loads(json.dumps(export_for_page(unsure), allow_nan=False))
    table = {"x": xy[:, 0].tolist(), "y": xy[:, 1].tolist(), "ldos": maps[0].tolist()}
    body = "return stm.readStars(stm.unpacked(given.model), given.table)"
    found = in_node(body, {"model": model, "table": table}, ALL)
    assert (found["low"], found["high"]) == trained.model.model.limits


def test_a_star_counts_by_what_the_reading_is_without_it(curves):
    trained, xy, maps = curves
    inputs = trained.model.model.config.of_ldos(xy, maps[1])
    without = np.repeat(inputs, inputs.shape[2], axis=0)
    without[np.arange(inputs.shape[2]), 0, np.arange(inputs.shape[2])] = np.nan
    expected = predict(trained, inputs).U - predict(trained, without).U
    np.testing.assert_allclose(read_tables(curves)[1]["parts"], expected, atol=1e-4)


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


def test_a_model_that_no_page_can_run_is_refused():
    with pytest.raises(ValueError, match=r"has \d+ weights; a page takes"):
        export_for_page(trained("resnet18"))
    small = trained("resnet18")
    small.model.backbone.layer4 = nn.Identity()
    with pytest.raises(ValueError, match="a page can run the models 'cnn', 'fc' and 'bragg', not 'resnet18'"):
        export_for_page(small)
    strange = trained("fc", hidden=(4,))
    strange.model.body.append(nn.Tanh())
    with pytest.raises(ValueError, match="cannot run a layer of kind Tanh"):
        export_for_page(strange)
    unsure = trained("fc", hidden=(4,))
    unsure.calibration = None
    with pytest.raises(ValueError, match="never calibrated"):
        export_for_page(unsure)


def test_a_panel_cannot_be_ended_by_its_data():
    shown = in_page("try", {"words": "</script><b>"}, 'a "panel"').data
    assert shown.count("</script>") == 1
    assert "&quot;panel&quot;" in shown
    with pytest.raises(ValueError, match="JSON"):
        in_page("try", {"value": float("nan")}, "a panel")
