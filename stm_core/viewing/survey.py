"""What the explorer shows at one setting: state, picture, reading, reason, place on the curve, levels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stm_core.data import cell_of, ldos_image
from stm_core.imaging import bragg_amplitudes
from stm_core.insight import (
    PCAResult,
    grad_cam,
    group_attribution,
    integrated_gradients,
    peak_mask,
    principal_components,
)
from stm_core.learning import PictureConfig, Prediction, as_regressor, predict, star_vectors
from stm_core.simulation import GRAPHENE_LATTICE
from stm_core.viewing.display import k_extent, signed
from stm_core.viewing.microscope import CLEAN, Microscope
from stm_core.viewing.scene import Scene, View, fillings_of

SIZE = 64
"""Pixels per side of a picture that no model asks for."""


@dataclass(frozen=True)
class Setting:
    """Where the explorer stands.

    Attributes
    ----------
    U : float
        In eV.
    filling : float
        Electrons per moiré cell from neutrality.
    bias : int
        Position of the bias in the dataset.
    model : str or None
        Name of the model.
    strength : str
        Of the microscope's imperfections, one of `STRENGTHS`.
    """

    U: float
    filling: float = 0.0
    bias: int = 0
    model: str | None = None
    strength: str = CLEAN


@dataclass(frozen=True, eq=False)
class Look:
    """What is seen at a setting.

    Attributes
    ----------
    setting : Setting
    view : View
        With the LDOS and the picture that the microscope shows.
    position : numpy float array, shape (2,)
        Scores of the Bragg magnitudes on the first two principal components of the path.
    levels : numpy float array, shape (2, n_levels)
        Of both spins, at all k-points, in eV from the chemical potential.
    prediction : Prediction or None
        Of one reading; None without a model.
    saliency : numpy float array, shape (size, size), or None
        As a share of the maximum: Grad-CAM, integrated gradients of a network without convolutions, or how
        much each star of peaks moved the reading of Bragg amplitudes since the lowest U.
    """

    setting: Setting
    view: View
    position: NDArray[np.float64]
    levels: NDArray[np.float64]
    prediction: Prediction | None
    saliency: NDArray[np.float64] | None


def _magnitudes(cell: Any, ldos: NDArray) -> NDArray[np.float64]:
    """|F(G)|/|F(0)| (..., n_G) without G = 0; zero where the LDOS is."""
    strength = np.abs(bragg_amplitudes(cell, ldos)[0])
    total = strength[..., :1]
    return np.divide(strength[..., 1:], total, out=np.zeros_like(strength[..., 1:]), where=total > 0)


def _looked_at(regressor: Any, picture: NDArray[np.float32]) -> NDArray[np.float64]:
    """Where a network of pictures looks, as a share of the maximum."""
    try:
        return np.asarray(grad_cam(regressor, picture), dtype=float)
    except ValueError:  # a network without convolutions
        magnitude = np.abs(integrated_gradients(regressor, picture)).astype(float)
        return magnitude / (magnitude.max() or 1.0)


@dataclass(frozen=True, eq=False)
class Survey:
    """A sweep, its models and a microscope, ready to be looked at quickly.

    Attributes
    ----------
    scenes : mapping of float to Scene
        The path of ground states at each filling, the one nearest to neutrality first.
    components : mapping of float to tuple of PCAResult
        For each filling, one for each bias, of the Bragg magnitudes |F(G)|/|F(0)| along the path.
    models : mapping of str to Regressor
        By name.
    microscope : Microscope
    trained : frozenset of float
        Fillings that the models have seen.
    """

    scenes: Mapping[float, Scene]
    components: Mapping[float, tuple[PCAResult, ...]]
    models: Mapping[str, Any]
    microscope: Microscope
    trained: frozenset[float]

    @classmethod
    def build(
        cls,
        dataset: xr.Dataset,
        models: Mapping[str, Any],
        fillings: Sequence[float] | None = None,
        n_k: int = 1003,
        trained: Sequence[float] | None = None,
    ) -> "Survey":
        """Collect the paths of a sweep; parameters and errors as those of `explorer`."""
        cell = cell_of(dataset)
        scenes = {
            filling: Scene.build(dataset, filling, n_k=n_k) for filling in fillings_of(dataset, fillings)
        }
        return cls(
            scenes=scenes,
            components={filling: _components(cell, scene) for filling, scene in scenes.items()},
            models={name: as_regressor(model) for name, model in models.items()},
            microscope=Microscope.over(cell),
            trained=frozenset(map(float, scenes if trained is None else trained)),
        )

    def name_of(self, filling: float) -> str:
        """A filling in words, which say so if no model was trained on it."""
        known = not self.models or filling in self.trained
        return signed(filling) if known else f"{signed(filling)} (not trained on)"

    @property
    def start(self) -> Setting:
        """The lowest U at the filling nearest to neutrality and the bias nearest to zero."""
        filling = min(self.scenes, key=abs)
        scene = self.scenes[filling]
        model = next(iter(self.models), None)
        return Setting(float(scene.U[0]), filling, scene.nearest_bias(0.0), model)

    def pictured(self, model: str | None) -> tuple[int, str]:
        """Size and renderer of the pictures that a model is given; the study's own for other models."""
        config = None if model is None else self.models[model].model.config
        return (config.image_size, config.style) if isinstance(config, PictureConfig) else (SIZE, "linear")

    def curve(self, setting: Setting) -> NDArray[np.float64]:
        """Scores (n_U, 2) of the computed states along the path."""
        return self.components[setting.filling][setting.bias].scores

    def look(self, setting: Setting) -> Look:
        """Compute one setting. Between two U of the dataset LDOS and levels are interpolated linearly.

        Raises
        ------
        ValueError
            If the strength of the imperfections is unknown.
        """
        size, style = self.pictured(setting.model)
        scene = replace(self.scenes[setting.filling], size=size, style=style)
        view = scene.view(setting.U, setting.bias)
        if setting.strength != CLEAN:
            ldos = self.microscope.read(view.ldos, setting.strength)
            view = replace(view, ldos=ldos, image=ldos_image(scene.grid, ldos, size, style))
        low, high, share = scene.place(setting.U)
        features = _magnitudes(self.microscope.cell, view.ldos)
        prediction, saliency = (None, None) if setting.model is None else self._read(setting, view)
        return Look(
            setting,
            view,
            self.components[setting.filling][setting.bias].transform(features[None])[0],
            (1 - share) * scene.levels[low] + share * scene.levels[high],
            prediction,
            saliency,
        )

    def _read(self, setting: Setting, view: View) -> tuple[Prediction, NDArray[np.float64]]:
        """What the chosen model reads, and what its reading rests on."""
        assert setting.model is not None
        regressor = self.models[setting.model]
        if isinstance(regressor.model.config, PictureConfig):
            return predict(regressor, view.image[None]), _looked_at(regressor, view.image)
        inputs = self._bragg_inputs(regressor.model.config, setting, view)
        return predict(regressor, inputs), self._stars_looked_at(regressor, inputs[0], setting)

    def _bragg_inputs(self, config: Any, setting: Setting, view: View) -> NDArray[np.float32]:
        """Bragg amplitudes of the chosen bias, or of all the model's where it cannot do with one."""
        scene = self.scenes[setting.filling]
        xy = scene.positions / GRAPHENE_LATTICE
        if config.partial:
            return config.of_ldos(xy, view.ldos, (view.bias,))
        positions = [scene.nearest_bias(bias) for bias in config.bias]
        maps = [
            self.microscope.read(scene.view(setting.U, position).ldos, setting.strength)
            for position in positions
        ]
        return config.of_ldos(xy, np.stack(maps), scene.bias[positions])

    def _stars_looked_at(self, regressor: Any, inputs: NDArray, setting: Setting) -> NDArray[np.float64]:
        """How much U changes, from the lowest state of the path to this one, through each star of peaks."""
        scene, config = self.scenes[setting.filling], regressor.model.config
        first = scene.view(float(scene.U[0]), setting.bias)
        baseline = self._bragg_inputs(config, replace(setting, U=float(scene.U[0])), first)[0]
        stars = np.broadcast_to(np.arange(config.n_stars), inputs.shape)
        known = np.isfinite(inputs)

        def read(values: NDArray) -> NDArray[np.float64]:
            full = np.full((len(values), *inputs.shape), np.nan, dtype=np.float32)
            full[:, known] = values
            return predict(regressor, full).U

        change = group_attribution(read, inputs[known], baseline[known], stars[known], steps=4)
        vectors = star_vectors(self.microscope.cell, config.n_stars)[1:].reshape(config.n_stars, 6, 2)
        picture = np.zeros((SIZE, SIZE))
        for star, moved in zip(vectors, np.abs(change), strict=True):
            picture[peak_mask(star, SIZE, _dot())] = moved
        return picture / (picture.max() or 1.0)


def _dot() -> float:
    """Half a pixel's diagonal in 1/Å."""
    left, right, bottom, top = k_extent()
    return float(np.hypot(right - left, top - bottom) / (2 * SIZE))


def _components(cell: Any, scene: Scene) -> tuple[PCAResult, ...]:
    if scene.U.size < 3:
        raise ValueError(f"a path of {scene.U.size} values of U is no curve; at least 3 are needed.")
    magnitudes = _magnitudes(cell, scene.ldos)
    return tuple(principal_components(magnitudes[:, bias], 2) for bias in range(scene.bias.size))
