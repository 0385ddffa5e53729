from collections.abc import Iterator

import numpy as np
import pytest
import torch

from stm_core.learning import TrainingConfig, build_model, fit
from tests.insight.known_networks import SIZE, two_peaks


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only wait for each other's threads on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def image():
    return np.random.default_rng(0).random((SIZE, SIZE), dtype=np.float32)


@pytest.fixture(scope="session")
def trained():
    U = np.repeat(np.arange(6.0), 8)
    model = build_model("cnn", image_size=SIZE, channels=(8, 16), l2_normalise=False, clamp=False)
    return fit(
        model, two_peaks(U, 1)[0], U, config=TrainingConfig(epochs=25, learning_rate=3e-3), progress=False
    )


@pytest.fixture(scope="session")
def unseen():
    return two_peaks(np.linspace(0.5, 4.5, 6), 2)
