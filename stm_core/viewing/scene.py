"""What the explorer shows at one U and bias: the LDOS, its picture, the network's reading and its reason."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stm_core.data import ldos_image
from stm_core.imaging import FourierGrid, layer_mask
from stm_core.insight import grad_cam
from stm_core.learning import as_regressor, predict
from stm_core.simulation import GRAPHENE_LATTICE

FLOOR = 1e-4  # of |F(0)|: the dimmest level drawn of a linear picture


@dataclass(frozen=True, eq=False)
class View:
    """One setting of the sliders.

    Attributes
    ----------
    U, bias : float
        In eV.
    between : pair of floats or None
        The two U of the dataset that the LDOS was interpolated from, or None where it is computed.
    ldos : numpy float array, shape (N,)
        In 1/eV per atom.
    image : numpy float32 array, shape (size, size)
        The picture given to the network.
    prediction : float or None
        Predicted U in eV; None without a network.
    saliency : numpy float array, shape (size, size), or None
        Grad-CAM map in [0, 1].
    """

    U: float
    bias: float
    between: tuple[float, float] | None
    ldos: NDArray[np.float64]
    image: NDArray[np.float32]
    prediction: float | None
    saliency: NDArray[np.float64] | None


def _ground_states(dataset: xr.Dataset, filling: float) -> NDArray[np.int64]:
    """Sample of lowest energy for each U at this filling, in the order of U."""
    values = dataset["filling"].values
    at_filling = np.flatnonzero(np.abs(values - filling) < 1e-9)
    if at_filling.size == 0:
        listed = ", ".join(f"{value:g}" for value in np.unique(values))
        raise ValueError(f"filling {filling:g} is not in the dataset; it holds {listed}.")
    U, energy = dataset["U"].values[at_filling], dataset["energy"].values[at_filling]
    order = np.lexsort((energy, U))
    _, first = np.unique(U[order], return_index=True)
    return at_filling[order[first]]


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
        Of the pictures the network was trained on.
    regressor : Regressor or None
        The trained network.
    """

    U: NDArray[np.float64]
    bias: NDArray[np.float64]
    positions: NDArray[np.float64]
    ldos: NDArray[np.float64]
    grid: FourierGrid
    size: int
    style: str
    regressor: Any

    @classmethod
    def build(
        cls,
        dataset: xr.Dataset,
        regressor: Any = None,
        filling: float = 0.0,
        size: int = 64,
        style: str = "linear",
        layer: str = "top",
        n_k: int = 1003,
    ) -> "Scene":
        """Collect the ground states of a sweep; ValueError names a filling or layer it does not have."""
        chosen = _ground_states(dataset, filling)
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
            regressor=None if regressor is None else as_regressor(regressor),
        )

    def nearest_bias(self, bias: float) -> int:
        """Position of the bias closest to `bias`, in eV."""
        return int(np.argmin(np.abs(self.bias - bias)))

    def _ldos_at(self, U: float, bias: int) -> tuple[NDArray[np.float64], tuple[float, float] | None]:
        U = float(np.clip(U, self.U[0], self.U[-1]))
        upper = int(np.searchsorted(self.U, U))
        if np.isclose(self.U[upper], U, atol=1e-9):
            return self.ldos[upper, bias], None
        low, high = self.U[upper - 1], self.U[upper]
        if np.isclose(low, U, atol=1e-9):
            return self.ldos[upper - 1, bias], None
        share = (U - low) / (high - low)
        mixed = (1 - share) * self.ldos[upper - 1, bias] + share * self.ldos[upper, bias]
        return mixed, (float(low), float(high))

    def view(self, U: float, bias: int) -> View:
        """Compute one setting: `U` in eV, within the range of the dataset, and the position of a bias.

        Between two U of the dataset the LDOS is interpolated linearly and `View.between` says so.
        """
        ldos, between = self._ldos_at(U, bias)
        image = ldos_image(self.grid, ldos, size=self.size, style=self.style)
        prediction, saliency = None, None
        if self.regressor is not None:
            prediction = float(predict(self.regressor, image[None])[0])
            saliency = np.asarray(grad_cam(self.regressor, image), dtype=float)
        return View(float(U), float(self.bias[bias]), between, ldos, image, prediction, saliency)
