"""The training loop: one run's state, advanced an epoch at a time.

The default recipe is the original study's. The images stay in memory as tensors. Each epoch draws its shuffle
and its dropout from (seed, epoch) alone: a run stopped after any epoch goes on to the very same weights.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from stm_core.learning.checkpoints import Normalisation, Regressor, pack
from stm_core.learning.inputs import check_number, check_whole
from stm_core.learning.registry import Model

EVALUATION_BATCH = 256
TRAIN_HISTORY = ("learning_rate", "train_loss")
VALIDATION_HISTORY = ("validation_loss", "validation_mae")


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes
    ----------
    epochs : int
        Passes over the training images; also the length of the cosine schedule.
    batch_size : int
        Most images per step; an epoch is cut into batches of nearly equal size.
    learning_rate, minimum_learning_rate : float
        Start and end of the cosine schedule.
    weight_decay : float
        Adam's L2 penalty.
    patience : int
        Epochs without a lower validation loss before training stops; without validation images it never does.
    clip_norm : float
        Largest norm of the gradient.
    seed : int
        Seed of shuffling and dropout. Starting weights have their own, in `build_model`.
    normalisation : {"global", "pixel"}
        Zero mean and unit spread over the training images as a whole (as in the original) or pixel by pixel.
    precision : {"single", "mixed"}
        In which the layers work while training: throughout single, or bfloat16 with single-precision weights
        (Micikevicius et al., arXiv:1710.03740). The second is meant for machines that compute in bfloat16,
        such as processors with AVX512-BF16. Validation is in single precision.
    """

    epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 1e-3
    minimum_learning_rate: float = 1e-6
    weight_decay: float = 1e-4
    patience: int = 10
    clip_norm: float = 1.0
    seed: int = 0
    normalisation: Literal["global", "pixel"] = "global"
    precision: Literal["single", "mixed"] = "single"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            check_whole(name, getattr(self, name))
        check_whole("seed", self.seed, least=0)
        for name in ("learning_rate", "clip_norm"):
            check_number(name, getattr(self, name), above=0)
        for name in ("weight_decay", "minimum_learning_rate"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least 0")
        if self.normalisation not in ("global", "pixel"):
            raise ValueError(f"normalisation is {self.normalisation!r}, but must be 'global' or 'pixel'")
        if self.precision not in ("single", "mixed"):
            raise ValueError(f"precision is {self.precision!r}, but must be 'single' or 'mixed'")


@contextmanager
def _repeatable(device: torch.device, *seed: int) -> Iterator[None]:
    """Random state drawn from `seed` and deterministic kernels, both put back afterwards."""
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        yield


def _cpu_copy(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}


class Training:
    """The moving parts of one run."""

    def __init__(
        self,
        model: Model,
        train: tuple[np.ndarray, np.ndarray],
        validation: tuple[np.ndarray, np.ndarray] | None,
        config: TrainingConfig,
        device: torch.device,
    ) -> None:
        self.config, self.device = config, device
        self.normalisation = Normalisation.of(train[0], config.normalisation)
        self.regressor = Regressor(copy.deepcopy(model), self.normalisation).to(device)
        # Convolutions on a CPU are a quarter faster with the channels innermost.
        self.regressor.to(memory_format=torch.channels_last)
        self.model: Model = self.regressor.model  # type: ignore[assignment]
        self.train, self.validation = self._tensors(train), self._tensors(validation)
        self.optimiser = torch.optim.Adam(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        names = TRAIN_HISTORY if validation is None else TRAIN_HISTORY + VALIDATION_HISTORY
        self.history: dict[str, list[float]] = {name: [] for name in names}
        self.best_epoch, self.best_weights = -1, _cpu_copy(self.model.state_dict())

    def _tensors(
        self, data: tuple[np.ndarray, np.ndarray] | None
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        if data is None:
            return None
        inputs = self.regressor.tensor(data[0]).to(self.device)
        return self.regressor.normalise(inputs), torch.as_tensor(data[1], device=self.device)

    @property
    def epoch(self) -> int:
        return len(self.history["train_loss"])

    @property
    def finished(self) -> bool:
        out_of_patience = (
            self.validation is not None and self.epoch - 1 - self.best_epoch >= self.config.patience
        )
        return self.epoch >= self.config.epochs or (self.epoch > 0 and out_of_patience)

    def run_epoch(self) -> None:
        """One pass over the training images, then the validation images."""
        rate = self._learning_rate()
        with _repeatable(self.device, self.config.seed, self.epoch):
            loss = self._descend(rate)
            self._settle_batch_normalisation()
        self.history["learning_rate"].append(rate)
        self.history["train_loss"].append(loss)
        improved = self._validate() if self.validation else True
        if not all(math.isfinite(values[-1]) for values in self.history.values()):
            raise RuntimeError(
                f"training diverged in epoch {self.epoch - 1} at learning_rate {rate:.3g}; "
                "lower learning_rate or clip_norm"
            )
        if improved:
            self.best_epoch, self.best_weights = self.epoch - 1, _cpu_copy(self.model.state_dict())

    def _learning_rate(self) -> float:
        low, high = self.config.minimum_learning_rate, self.config.learning_rate
        return low + 0.5 * (high - low) * (1 + math.cos(math.pi * self.epoch / self.config.epochs))

    def _descend(self, rate: float) -> float:
        images, U = self.train  # type: ignore[misc]
        self.model.train()
        self.optimiser.param_groups[0]["lr"] = rate
        # Drawn on the CPU, so that the order does not depend on the device.
        order = torch.randperm(len(U)).to(self.device)
        total = 0.0
        # A short last batch would give batch normalisation a poor mean, and fail on a single image.
        for batch in order.tensor_split(-(-len(U) // self.config.batch_size)):
            self.optimiser.zero_grad(set_to_none=True)
            with self._precision():
                found = self.model(images[batch])
            loss = functional.mse_loss(found.float(), U[batch])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
            self.optimiser.step()
            total += loss.item() * len(batch)
        return total / len(U)

    def _settle_batch_normalisation(self) -> None:
        """Take the statistics of batch normalisation anew from all training images.

        Running means lag tens of steps behind the weights, which on a few hundred images is many epochs: the
        validation loss then rises while the network learns, and training stops too early. See Wu and Johnson,
        arXiv:2105.07576, section 3.
        """
        images, _ = self.train  # type: ignore[misc]
        with self._precision():
            update_bn(images.split(EVALUATION_BATCH), self.model)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "mixed")

    def _validate(self) -> bool:
        images, U = self.validation  # type: ignore[misc]
        self.model.eval()
        with torch.inference_mode():
            error = torch.cat([self.model(part) for part in images.split(EVALUATION_BATCH)]) - U
        loss = error.square().mean().item()
        best = min(self.history["validation_loss"], default=math.inf)
        self.history["validation_loss"].append(loss)
        self.history["validation_mae"].append(error.abs().mean().item())
        return loss < best

    def content(self, identity: dict[str, Any]) -> dict[str, Any]:
        """The checkpoint at this point; a finished run leaves out what only training needs."""
        content = {
            **pack(self.model, self.best_weights, self.normalisation),
            **identity,
            "history": self.history,
            "best_epoch": self.best_epoch,
            "epochs_done": self.epoch,
            "finished": self.finished,
        }
        if not self.finished:
            content["running"] = {
                "weights": self.model.state_dict(),
                "optimiser": self.optimiser.state_dict(),
            }
        return content

    def restore(self, content: dict[str, Any]) -> None:
        """Go on where the unfinished checkpoint `content` stopped."""
        self.model.load_state_dict(content["running"]["weights"])
        self.optimiser.load_state_dict(content["running"]["optimiser"])
        self.history, self.best_epoch = content["history"], content["best_epoch"]
        self.best_weights = content["weights"]

    def best(self) -> Regressor:
        """The regressor with the best weights, in evaluation mode."""
        self.model.load_state_dict(self.best_weights)
        self.model.zero_grad(set_to_none=True)
        # As a checkpoint brings it back: another layout would round otherwise.
        return self.regressor.to(memory_format=torch.contiguous_format).eval()
