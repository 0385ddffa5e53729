import numpy as np
import pytest
import torch

from stm_core.imaging import ft_ldos, render
from stm_core.insight import map_agreement, map_share, peak_mask, untrained
from stm_core.learning import Normalisation, Regressor, build_model
from stm_core.simulation import GRAPHENE_LATTICE

SIZE = 16
NORMALISATION = Normalisation(torch.tensor([[0.2]]), torch.tensor([[0.5]]))


@pytest.fixture
def regressor():
    return Regressor(build_model("cnn", image_size=SIZE, channels=(4, 8), seed=7, clamp=False), NORMALISATION)


@pytest.fixture
def images():
    return np.random.default_rng(0).random((3, SIZE, SIZE), dtype=np.float32)


def test_an_untrained_network_shares_all_but_its_weights(regressor):
    other = untrained(regressor, seed=1)
    assert other.model.config == regressor.model.config
    assert torch.equal(other.mean, regressor.mean) and torch.equal(other.scale, regressor.scale)
    assert not torch.equal(other.model.blocks[0][0].weight, regressor.model.blocks[0][0].weight)
    assert not other.training


def test_a_map_of_the_image_alone_survives_randomisation_and_one_of_the_weights_does_not(regressor, images):
    def weights(network, image):
        seed = int(1e6 * network.model.head[0].weight[0, 0].abs().item())
        return np.random.default_rng(seed).random(image.shape)

    others = [untrained(regressor, seed) for seed in (0, 1)]
    image_only = map_agreement(lambda network, image: -image, regressor, others, images)
    weights_only = map_agreement(weights, regressor, others, images)
    np.testing.assert_allclose(image_only, np.ones((3, 2)))
    assert weights_only.shape == (3, 2)
    assert np.abs(weights_only).max() < 0.3


def test_a_blank_map_resembles_nothing(regressor, images):
    assert not map_agreement(lambda network, image: 0 * image, regressor, [regressor], images).any()


def test_no_other_network_is_refused(regressor, images):
    with pytest.raises(ValueError, match="no other network"):
        map_agreement(lambda network, image: image, regressor, [], images)


def test_the_mask_lies_on_the_peaks_of_a_lattice_transform():
    cells = np.stack([grid.ravel() for grid in np.meshgrid(np.arange(12), np.arange(12))], axis=1)
    xy = cells @ np.array([[1, 0], [0.5, np.sqrt(3) / 2]])
    picture = render(ft_ldos(xy, np.ones(len(xy)), n_k=256), 64)
    reciprocal = 2 * np.pi * np.array([[1, -1 / np.sqrt(3)], [0, 2 / np.sqrt(3)]]) / GRAPHENE_LATTICE
    steps = np.stack([grid.ravel() for grid in np.meshgrid([-1, 0, 1], [-1, 0, 1])], axis=1)
    mask = peak_mask(steps @ reciprocal, 64, radius=0.15)
    assert 0 < mask.mean() < 0.05
    # Side lobes of so small a crystal lie between the peaks.
    assert map_share(picture**2, mask) > 0.6
    assert picture[mask].mean() > 10 * picture[~mask].mean()


def test_the_share_of_a_flat_map_is_the_share_of_the_area():
    mask = peak_mask([[0.0, 0.0]], 32, radius=1.0)
    assert map_share(-np.ones((32, 32)), mask) == pytest.approx(mask.mean())
    # The window is 2 * 1.1 * 2 pi / a wide and 2 / sqrt(3) as high.
    area = np.pi * GRAPHENE_LATTICE**2 / ((2.2 * 2 * np.pi) ** 2 * 2 / np.sqrt(3))
    assert mask.mean() == pytest.approx(area, rel=0.1)


@pytest.mark.parametrize(
    "vectors, size, radius",
    [([0.0, 1.0], 8, 0.1), (np.zeros((2, 3)), 8, 0.1), ([[0, 0]], 0, 0.1), ([[0, 0]], 8, 0)],
)
def test_peaks_that_cannot_be_placed_are_refused(vectors, size, radius):
    with pytest.raises(ValueError, match="vectors of shape"):
        peak_mask(vectors, size, radius)


def test_a_map_without_weight_has_no_share():
    with pytest.raises(ValueError, match="blank"):
        map_share(np.zeros((4, 4)), np.ones((4, 4), bool))
    with pytest.raises(ValueError, match="must have the map's"):
        map_share(np.ones((4, 4)), np.ones((3, 3), bool))
