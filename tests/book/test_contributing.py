"""What CONTRIBUTING.md shows works as it stands: a model and an observable of one file each."""

import re

import numpy as np
import pytest
import torch

from stm_core.learning import build_model, registry
from stm_core.simulation import HartreeFock, TightBinding, TwistedBilayer
from stm_core.study import CHECKOUT

BLOCKS = re.findall(r"```python\n(.*?)```", (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.S)


def run(word: str) -> dict:
    (block,) = [block for block in BLOCKS if word in block]
    names: dict = {"__name__": "example"}
    exec(compile(block, "CONTRIBUTING.md", "exec"), names)
    return names


def test_a_model_of_one_file_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    run('@register("linear"')
    model = build_model("linear", image_size=8, l2_normalise=False, clamp=False, initial_output=2.5)
    image = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        dark, first = model(torch.zeros(1, 1, 8, 8)), model(image)
        torch.testing.assert_close(model(2 * image) - dark, 2 * (first - dark))
    assert dark.item() == pytest.approx(2.5)


def test_an_observable_of_one_file_reads_a_state():
    double_occupancy = run("def double_occupancy")["double_occupancy"]
    state = HartreeFock(TightBinding(TwistedBilayer(i=1)), U=0.0, nk=1).solve(seed=0, progress=False)
    pairs = double_occupancy(state)
    assert pairs.shape == (28,)
    # Without interaction the spins are alike, and each atom's pairs are a quarter of its squared charge.
    np.testing.assert_allclose(pairs, state.density.sum(axis=0) ** 2 / 4, atol=1e-6)
