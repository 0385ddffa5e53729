"""A path of ground states in U: the LDOS at any U and bias, and its picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stm_core.data import ldos_image, lowest_states
from stm_core.imaging import FourierGrid, layer_mask
from stm_core.simulation import GRAPHENE_LATTICE

FLOOR = 1e-4  # of |F(0)|: the dimmest level drawn of a linear picture
_SAME = 1e-9  # eV, or electrons per cell


def centred(positions: NDArray, lattice: NDArray) -> NDArray[np.float64]:
    """Atoms (N, 2) in Å of the cell, given by its vectors as rows, that has the origin in its middle."""
    fraction = positions[:, :2] @ np.linalg.inv(lattice)
    return np.asarray((fraction - np.rint(fraction)) @ lattice, dtype=float)


@dataclass(frozen=True, eq=False)
class View:
    """One place on the path.

    Attributes
    ----------
    U, bias : float
        In eV.
    between : pair of floats or None
        The two U of the dataset that the LDOS was interpolated from, or None where it is computed.
    ldos : numpy float array, shape (N,)
        In 1/eV per atom.
    image : numpy float32 array, shape (size, size)
        Its picture, as `ldos_image` makes it.
    """

    U: float
    bias: float
    between: tuple[float, float] | None
    ldos: NDArray[np.float64]
    image: NDArray[np.float32]


def fillings_of(dataset: xr.Dataset, wanted: Sequence[float] | None = None) -> list[float]:
    """The wanted fillings, by default all of a dataset, the one nearest to neutrality first."""
    found = np.unique(dataset["filling"].values) if wanted is None else wanted
    return sorted(map(float, found), key=lambda filling: (abs(filling), filling))


@dataclass(frozen=True, eq=False)
class Scene:
    """A path of ground states in U, with everything needed to look at it quickly.

    Attributes
    ----------
    U : numpy float array, shape (n_U,)
        Ascending, in eV.
    bias : numpy float array, shape (n_bias,)
        In eV.
    positions : numpy float array, shape (N, 2)
        Atoms of the layer in Å.
    ldos : numpy float array, shape (n_U, n_bias, N)
        In 1/eV per atom.
    grid : FourierGrid
        The transform, prepared.
    size, style : int, str
        Of the pictures.
    levels : numpy float array, shape (n_U, 2, n_levels)
        Of both spins, at all k-points, in eV from the chemical potential.
    """

    U: NDArray[np.float64]
    bias: NDArray[np.float64]
    positions: NDArray[np.float64]
    ldos: NDArray[np.float64]
    grid: FourierGrid
    size: int
    style: str
    levels: NDArray[np.float64]

    @classmethod
    def build(
        cls,
        dataset: xr.Dataset,
        filling: float = 0.0,
        size: int = 64,
        style: str = "linear",
        layer: str = "top",
        n_k: int = 1003,
    ) -> "Scene":
        """Collect the ground states of a sweep; ValueError names a filling or layer it does not have."""
        chosen = lowest_states(dataset, filling)
        mask = layer_mask(dataset["layer"].values, layer)
        positions = np.stack([dataset["x"].values[mask], dataset["y"].values[mask]], axis=1)
        return cls(
            U=dataset["U"].values[chosen].astype(float),
            bias=dataset["bias"].values.astype(float),
            positions=positions,
            ldos=dataset["ldos"].values[chosen][..., mask].astype(float),
            grid=FourierGrid.build(positions / GRAPHENE_LATTICE, n_k=n_k, dtype=np.float32),
            size=size,
            style=style,
            levels=_levels(dataset, chosen),
        )

    def nearest_bias(self, bias: float) -> int:
        """Position of the bias closest to `bias`, in eV."""
        return int(np.argmin(np.abs(self.bias - bias)))

    def spread(self, most: int) -> NDArray[np.int64]:
        """Rows of at most `most` values of U, evenly spread between the first and the last."""
        wanted = np.linspace(self.U[0], self.U[-1], min(self.U.size, most))
        return np.unique(np.abs(self.U[:, None] - wanted).argmin(axis=0))

    def place(self, U: float) -> tuple[int, int, float]:
        """Rows below and above `U` in eV, and the share of the upper one: 0 where the state is computed."""
        U = float(np.clip(U, self.U[0], self.U[-1]))
        upper = int(np.searchsorted(self.U, U - _SAME))
        if abs(self.U[upper] - U) <= _SAME:
            return upper, upper, 0.0
        low, high = self.U[upper - 1], self.U[upper]
        return upper - 1, upper, float((U - low) / (high - low))

    def view(self, U: float, bias: int) -> View:
        """Compute one place: `U` in eV, within the range of the dataset, and the position of a bias.

        Between two U of the dataset the LDOS is interpolated linearly and `View.between` says so.
        """
        low, high, share = self.place(U)
        ldos = (1 - share) * self.ldos[low, bias] + share * self.ldos[high, bias]
        between = None if share == 0 else (float(self.U[low]), float(self.U[high]))
        image = ldos_image(self.grid, ldos, size=self.size, style=self.style)
        return View(float(U), float(self.bias[bias]), between, ldos, image)


def _levels(dataset: xr.Dataset, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    levels = dataset["levels"].values[chosen].astype(float)
    return levels.reshape(*levels.shape[:2], -1)
