"""Reading U by the curve that the Bragg amplitudes follow: fit A(U), then invert by χ².

Every amplitude of every branch is a smooth function of U, and a picture is a point near one of these curves.
The nearest one says U, how sharply it turns away says how sure, and how far it is says whether the picture
is one of these states at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from stm_core.learning.bragg_inputs import BraggConfig
from stm_core.learning.inputs import check_number
from stm_core.learning.registry import Reading, Solved, register

LENGTHS = (0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)  # eV, over which an amplitude changes
NUGGETS = (1e-9, 1e-6, 1e-3, 1e-1, 1.0)  # variance of the noise over that of the curve
SHARES = (0.0, 0.9)  # of the variance, common to all branches
TAIL = 8.0  # degrees of freedom of the errors: a normal distribution has infinitely many
_LEAST_KNOWN = 3  # values of U that make a curve
_NEAR = 0.5  # eV along a curve, over which its error is averaged
_FLOOR = 1e-2  # of the root mean square error: no amplitude is trusted further
_STEP = 0.1  # eV between the points of a curve that is kept
_FINER = 10  # times as many are compared
_FARTHEST = 1e20  # standard deviations squared that still count: a product over biases must stay finite


@dataclass(frozen=True)
class CurveConfig(BraggConfig):
    """Curves over the range of U that is thought possible.

    Attributes
    ----------
    low, high : float
        In eV. The study's interaction lies between 0 and 6.
    """

    partial: ClassVar[bool] = True

    low: float = 0.0
    high: float = 6.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("low", self.low)
        check_number("high", self.high)
        if not self.low < self.high:
            raise ValueError(f"U from {self.low:g} to {self.high:g} eV is no range")


@register("bragg", CurveConfig)
class BraggCurves(Solved):
    """One curve for each branch and amplitude, by Gaussian-process regression over U.

    Branches may share a part of their curves, so that one with few U leans on the others (Bonilla, Chai and
    Williams, "Multi-task Gaussian process prediction", 2008, eq. 2). The shared part, the kernel's length
    and its noise are chosen for each branch and amplitude by the leave-one-U-out error (Rasmussen and
    Williams, "Gaussian processes for machine learning", 2006, eq. 5.12). That error, averaged over near U of
    the branch, is what χ² divides by, together with the scatter of samples of one U. With the process's own
    variance, which vanishes at the trained values, readings would snap to these. Beyond the trained values
    the error grows as leaving out the last of them shows, at each end of each branch.

    Errors have the tails of Student's t, so that a few amplitudes that are badly interpolated, as near a
    transition, are outvoted by the others (Lange, Little and Taylor, J. Am. Stat. Assoc. 84, 881 (1989)).
    """

    config: CurveConfig
    grid: torch.Tensor
    curves: torch.Tensor
    error: torch.Tensor
    growth: torch.Tensor
    beyond: torch.Tensor
    fine: torch.Tensor
    templates: torch.Tensor
    within: torch.Tensor
    variance: torch.Tensor
    log_variance: torch.Tensor

    def solve(self, inputs: torch.Tensor, U: np.ndarray, branch: np.ndarray) -> None:
        values = inputs.reshape(len(inputs), -1).double().numpy()
        drawn = [k for k in np.unique(branch) if len(np.unique(U[branch == k])) >= _LEAST_KNOWN]
        if not drawn:
            raise ValueError(f"no branch has {_LEAST_KNOWN} values of U, which a curve needs")
        mine = np.isin(branch, drawn)
        known = _Known.of(U[mine].astype(float), branch[mine], values[mine])
        n = round((self.config.high - self.config.low) / _STEP)
        grid = self.config.low + _STEP * np.arange(n + 1)
        curves, missed, left_out = _smooth(known, grid)
        self.keep(
            grid=grid,
            curves=curves.astype(np.float32),
            error=known.error(missed, grid).astype(np.float32),
            growth=known.growth(missed, left_out).astype(np.float32),
            beyond=known.beyond(grid).astype(np.float32),
        )

    def restore(self, weights: dict[str, torch.Tensor]) -> None:
        super().restore(weights)
        fine, smooth, linear = map(torch.as_tensor, refinement(self.grid.numpy()))
        error, far = linear @ self.error.double(), self.beyond.double() @ linear.T
        variance = error + torch.einsum("bsu,bsf->buf", far**2, self.growth.double())
        made = {"fine": fine, "templates": (smooth @ self.curves.double()).flatten(0, 1)}
        made |= {"within": error.flatten(0, 1), "variance": variance.flatten(0, 1)}
        made["log_variance"] = made["variance"].log()
        for name, tensor in made.items():  # from what is kept, so not kept themselves
            self.register_buffer(name, tensor, persistent=False)

    @property
    def limits(self) -> tuple[float, float]:
        return float(self.grid[0]), float(self.grid[-1])

    def features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Amplitudes (n, n_bias * n_stars) as they are."""
        return inputs.flatten(1)

    def read(self, inputs: torch.Tensor) -> Reading:
        flat = inputs.flatten(1).double()
        known = ~flat.isnan()
        values, number = torch.where(known, flat, 0.0), known.sum(dim=1)
        cost = torch.stack([self._cost(*row) for row in zip(values, known, strict=True)]) / number[:, None]
        best = cost.argmin(dim=1)
        U, spread = self._parabola(cost, best)
        square = (values - self.templates[best]) ** 2 / self.within[best]
        distance = torch.where(known, square, 0.0).sum(dim=1) / number
        # Where χ² says that the errors are larger than thought, so is that of U (the scale factor of the
        # Particle Data Group, Phys. Rev. D 110, 030001 (2024), section 5.2).
        return Reading(U, spread * distance.clamp(min=1).sqrt(), distance)

    def _cost(self, values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Minus twice the log-likelihood of one sample's amplitudes at every point of every curve."""
        square = torch.where(known, (values - self.templates) ** 2 / self.variance, 0.0)
        factors = 1 + square.clamp(max=_FARTHEST) / TAIL
        # One logarithm for the product over biases, which is what takes the time.
        tails = factors.unflatten(1, (len(self.config.bias), -1)).prod(dim=1).log().sum(dim=1)
        return (TAIL + 1) * tails + self.log_variance @ known.double()

    def _parabola(self, cost: torch.Tensor, best: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Lowest point of the parabola through three neighbours, and where its χ² is one higher."""
        point = best % len(self.fine)
        middle = point.clamp(1, len(self.fine) - 2)
        left, centre, right = (cost.gather(1, (best + middle - point + k)[:, None])[:, 0] for k in (-1, 0, 1))
        bend = (left - 2 * centre + right).clamp(min=1e-12)
        step = _STEP / _FINER
        shift = torch.where(middle == point, (left - right) / (2 * bend), 0.0).clamp(-1, 1)
        return self.fine[point] + step * shift, step * (2 / bend).sqrt().clamp(max=100)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """U (n,) in eV of normalised amplitudes (n, n_bias, n_stars); NaN where there is none."""
        return self.read(inputs).U.to(inputs.dtype)


@dataclass(frozen=True)
class _Known:
    """Mean amplitudes (n, n_features) at each U (n,) of each branch (n,), and how far samples scatter."""

    U: NDArray[np.float64]
    branch: NDArray[np.int64]
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @classmethod
    def of(cls, U: NDArray, branch: NDArray, values: NDArray) -> _Known:
        nodes, place = np.unique(np.stack([branch, U]), axis=1, return_inverse=True)
        place = place.reshape(-1)
        count = np.bincount(place)
        mean = np.stack([values[place == k].mean(axis=0) for k in range(len(count))])
        variance = ((values - mean[place]) ** 2).sum(axis=0) / max(len(values) - len(count), 1)
        labels = np.unique(nodes[0], return_inverse=True)[1]
        return cls(nodes[1], labels, mean, variance * (1 - 1 / count.mean()))

    @property
    def ends(self) -> NDArray[np.int64]:
        """Positions of the first and the last node of each branch, (n_branches, 2)."""
        return np.array([np.flatnonzero(self.branch == k)[[0, -1]] for k in range(self.branch.max() + 1)])

    def error(self, missed: NDArray, grid: NDArray) -> NDArray[np.float64]:
        """Mean square error near each place of each branch, (n_branches, n_grid, n_features).

        The mean over all nodes counts as one more node, so that there is an error where no node is near.
        """
        near, square = _kernel(grid, self.U, _NEAR), missed**2
        found = []
        for number in range(self.branch.max() + 1):
            weight = near * (self.branch == number)
            found.append((weight @ square + square.mean(axis=0)) / (1 + weight.sum(axis=1, keepdims=True)))
        return _floored(np.stack(found) + self.scatter)

    def growth(self, missed: NDArray, left_out: NDArray) -> NDArray[np.float64]:
        """Square of what an end is missed by when it is left out, (n_branches, 2, n_features).

        One node says little about one amplitude, so half of it is the mean over amplitudes, each in units of
        its error.
        """
        typical, square = _floored((missed**2).mean(axis=0) + self.scatter), left_out[self.ends] ** 2
        return (square + (square / typical).mean(axis=-1, keepdims=True) * typical) / 2

    def beyond(self, grid: NDArray) -> NDArray[np.float64]:
        """How far outside each end of its branch a place is, in gaps of the last two nodes there.

        Of shape (n_branches, 2, n_grid).
        """
        first, last = self.U[self.ends].T[..., None]
        gaps = np.abs(self.U[self.ends + np.array([1, -1])] - self.U[self.ends])[..., None]
        return np.clip(np.stack([first - grid, grid - last], axis=1) / gaps, 0, None)


def refinement(grid: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Finer places (n_fine,) on a grid, and matrices (n_fine, n_grid) to them: smooth, and linear."""
    fine = np.linspace(grid[0], grid[-1], _FINER * (len(grid) - 1) + 1)
    smooth, linear = (make_interp_spline(grid, np.eye(len(grid)), k=degree)(fine) for degree in (3, 1))
    return fine, smooth, linear


def _floored(error: NDArray) -> NDArray[np.float64]:
    return error + _FLOOR**2 * error.mean() + np.finfo(np.float32).tiny


def _smooth(known: _Known, grid: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Curves (n_branches, n_grid, n_features) by what they miss least, what they miss, and left out would.

    A value inside is missed by the curves through all other U. The first and the last of a branch would be
    extrapolated when left out: they are missed by the curve itself.
    """
    U, mean = known.U, known.mean.mean(axis=0)
    centred, ends = known.mean - mean, np.isin(np.arange(len(U)), known.ends)
    same = known.branch[:, None] == known.branch
    own = np.arange(known.branch.max() + 1)[:, None] == known.branch
    groups = [np.flatnonzero(U == value) for value in np.unique(U)]
    lowest = np.full((len(own), centred.shape[1]), np.inf)
    curve = np.zeros((len(own), len(grid), centred.shape[1]))
    missed, left_out = np.zeros_like(centred), np.zeros_like(centred)
    for length, nugget, share in product(LENGTHS, NUGGETS, SHARES):
        matrix = _kernel(U, U, length) * (share + (1 - share) * same)
        inverse = np.linalg.inv(matrix + nugget * np.eye(len(U)))
        weights = inverse @ centred
        residual = np.empty_like(weights)
        for group in groups:
            residual[group] = np.linalg.solve(inverse[np.ix_(group, group)], weights[group])
        inside = np.where(ends[:, None], nugget * weights, residual)
        wrong = own @ inside**2 / own.sum(axis=1, keepdims=True)
        better = wrong < lowest
        lowest = np.where(better, wrong, lowest)
        chosen = better[known.branch]
        missed, left_out = np.where(chosen, inside, missed), np.where(chosen, residual, left_out)
        cross = _kernel(grid, U, length) * (share + (1 - share) * own)[:, None]
        curve = np.where(better[:, None], mean + cross @ weights, curve)
    return curve, missed, left_out


def _kernel(x: NDArray, y: NDArray, length: float) -> NDArray[np.float64]:
    return np.exp(-(((x[:, None] - y) / length) ** 2) / 2)
