import numpy as np
import pytest

from stm_core.insight import deletion_insertion, faithfulness
from stm_core.learning import Regressor
from tests.insight.known_networks import IDENTITY, SIZE, ByConstruction

# grad-cam's ROAD indexes torch masks through NumPy in a way that NumPy 2 will stop supporting.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")


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


def test_deletion_and_insertion_of_a_known_network_are_exact():
    regressor = Regressor(ByConstruction(2.0), IDENTITY)
    image, reference = np.full((SIZE, SIZE), 1.0, np.float32), np.full((SIZE, SIZE), 0.25, np.float32)
    saliency = np.where(np.arange(SIZE) < SIZE // 2, 1.0, 0.0) + np.zeros((SIZE, 1))
    share = 0.25
    deletion, insertion = deletion_insertion(regressor, image, saliency, reference, shares=(share,))
    # All exchanged pixels lie in the half that is used: a quarter of the image, 0.75 each, weight 2.
    for each in (deletion, insertion):
        assert each.change[0] == pytest.approx(2 * share * 0.75, rel=0.01)
        assert each.random_change.shape == (20, 1)
    missed, _ = deletion_insertion(regressor, image, saliency[:, ::-1], reference, shares=(share,))
    assert missed.change[0] == pytest.approx(0, abs=1e-6)


def test_exchanging_the_peak_that_carries_U_moves_it_to_the_other(trained, unseen):
    images, carrier, nuisance = unseen
    deletion, insertion = deletion_insertion(trained, images[0], carrier, images[5], shares=(0.05, 0.1))
    assert deletion.rank > 0.9 and insertion.rank > 0.9
    wrong, _ = deletion_insertion(trained, images[0], nuisance, images[5], shares=(0.05, 0.1))
    assert wrong.advantage < deletion.advantage


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda r, i: faithfulness(r, i, i[:16, :16]), "must have the image's"),
        (lambda r, i: faithfulness(r, i, i, removed=(0.0,)), "between 0 and 1"),
        (lambda r, i: faithfulness(r, i, i, n_random=0), "at least 1"),
        (lambda r, i: deletion_insertion(r, i, i, i[:16, :16]), "the reference has shape"),
        (lambda r, i: deletion_insertion(r, i, i, i, shares=()), "between 0 and 1"),
    ],
)
def test_what_cannot_be_removed_is_named(image, call, message):
    with pytest.raises(ValueError, match=message):
        call(Regressor(ByConstruction(2.0), IDENTITY), image)
