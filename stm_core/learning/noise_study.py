"""How wrong models are in noise and in imperfect scans, beside what noise allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.random import Generator
from numpy.typing import NDArray

from stm_core.imaging import Imperfections, ScanMap
from stm_core.learning.catalogue import study_model
from stm_core.learning.evaluation import Trained, evaluate, predict
from stm_core.learning.inputs import Samples
from stm_core.learning.loop import TrainingConfig
from stm_core.learning.noise import Exposure, information, noisy_samples, scanned_samples
from stm_core.learning.registry import Model, build_model
from stm_core.learning.study_models import StudySettings, study_network
from stm_core.learning.training import fit

_DRAWS, _LESSONS = 8, 16  # noisy maps of each state that is read, and of each that teaches curves
_PIXELWISE = TrainingConfig(normalisation="pixel")
_PICTURES = TrainingConfig(epochs=12, batch_size=16)
_SHORT = TrainingConfig(epochs=40, batch_size=32, learning_rate=2e-3, normalisation="pixel")

Imperfect = Callable[[ScanMap, Generator], ScanMap]


@dataclass(frozen=True)
class NoiseStudy:
    """States to learn from and states to read, of any U (protocol "continuous").

    Attributes
    ----------
    ds : xarray.Dataset
        As `load_dataset` returns.
    exposure : Exposure
        How maps are taken; its noise is replaced.
    seed : int
        Of the split and of all noise.
    n_states : int
        Most states to read.
    highest : float
        Largest U read, in eV.
    """

    ds: xr.Dataset
    exposure: Exposure = field(default_factory=Exposure)
    seed: int = 0
    n_states: int = 24
    highest: float = 5.0

    @property
    def settings(self) -> StudySettings:
        """Which U train and which test."""
        return StudySettings(protocol="continuous", seed=self.seed)

    @property
    def learned(self) -> xr.Dataset:
        """States that train."""
        split = self.settings.split(self.ds["U"].values)
        return self.ds.isel(sample=np.flatnonzero(split.known))

    @property
    def asked(self) -> NDArray[np.int64]:
        """Positions of the states that are read, evenly over the sweep up to the largest U."""
        return self._evenly(self.ds["U"].values <= self.highest)

    @property
    def beyond(self) -> NDArray[np.int64]:
        """Positions of test states above the largest U, which only the pooled errors in noise include."""
        return self._evenly(self.ds["U"].values > self.highest)

    def _evenly(self, wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
        test = np.flatnonzero(self.settings.split(self.ds["U"].values).test & wanted)
        return test[np.linspace(0, len(test) - 1, min(len(test), self.n_states)).astype(int)]

    def bounds(self, states: NDArray[np.int64] | None = None) -> pd.DataFrame:
        """Cramér–Rao bound of each state (rows; the asked by default) at unit noise of a pixel.

        Columns are the biases and "all".
        """
        chosen = self.asked if states is None else states
        known = information(self.ds, replace(self.exposure, noise=1.0), chosen)
        of_one = pd.DataFrame(1 / np.sqrt(known), columns=self.ds["bias"].values)
        return of_one.assign(all=1 / np.sqrt(known.sum(axis=1)))

    def curves(self, bias: float | None = None) -> Model:
        """Curves of one bias in eV, or of all together, not yet fitted."""
        together = study_network(self.ds, "bragg", self.settings)
        if bias is None:
            return together
        config = together.config
        return build_model("bragg", bias=(bias,), n_stars=config.n_stars, i=config.i, spacing=config.spacing)

    def in_white_noise(self, levels: Sequence[float]) -> pd.DataFrame:
        """Root mean square error of U, and its ratio to the bound: medians over states, and pooled.

        A median hides the few readings that land on a wrong branch; the root mean square over all states,
        over that of their bounds, does not.

        Parameters
        ----------
        levels : sequence of float
            White noise of a pixel over the mean of its map.

        Returns
        -------
        pandas DataFrame
            One row for each model and level, with columns ``model``, ``level``, ``rms`` (eV), ``bound`` (eV)
            and ``ratio``, medians over the asked states; ``pooled``, the ratio over these together, and
            ``pooled_all``, over those beyond the largest U as well; ``scatter_all``, the same of the
            scatter of readings about the mean of their state, which noise makes and no gap between trained U.
        """
        rng, states, rows = np.random.default_rng(self.seed), self._read, []
        for name, model, limit, trained in self._readers(levels, rng):
            for level in levels:
                seen = noisy_samples(model.config, self.ds.isel(sample=states), self._at(level), rng, _DRAWS)
                error = predict(trained(level), seen.inputs).U - seen.U
                rows.append({"model": name, "level": level, **self._beside_bound(error, level, limit)})
        return pd.DataFrame(rows)

    def pictures_in_white_noise(
        self, levels: Sequence[float], names: Sequence[str] = ("repaired", "cnn"), progress: bool = True
    ) -> pd.DataFrame:
        """As `in_white_noise`, of networks that see the transform of one noisy scan, at the informative bias.

        Each network is trained on scans at all levels together, and its bound is that of one bias.

        Parameters
        ----------
        levels : sequence of float
        names : sequence of str
            Networks of pictures, as for `study_model`.
        progress : bool
            Show progress bars.

        Raises
        ------
        ValueError
            If the pixels are too coarse for the window of the pictures.
        """
        rng, still, rows = np.random.default_rng(self.seed), Imperfections(()), []
        one_bias = replace(self.settings, bias_low=self.informative, bias_high=self.informative)
        for name in names:
            network = study_network(self.ds, name, one_bias)

            def scanned(ds: xr.Dataset, level: float, draws: int, config: Any = network.config) -> Samples:
                return scanned_samples(config, ds, still, rng, self._at(level), progress, draws)

            trained = _fitted(
                network, [scanned(self.learned, level, 1) for level in levels], _PICTURES, progress
            )
            for level in levels:
                seen = scanned(self.ds.isel(sample=self._read), level, _DRAWS)
                error = predict(trained, seen.inputs).U - seen.U
                title = study_model(name).title
                rows.append({"model": title, "level": level, **self._beside_bound(error, level, "one")})
        return pd.DataFrame(rows)

    @property
    def informative(self) -> float:
        """The bias in eV with the smallest bound in the median of the asked states."""
        return float(self._bounds[: len(self.asked)].drop(columns="all").median().idxmin())

    @property
    def _read(self) -> NDArray[np.int64]:
        return np.concatenate([self.asked, self.beyond])

    @cached_property
    def _bounds(self) -> pd.DataFrame:
        return self.bounds(self._read)

    def _beside_bound(self, error: NDArray, level: float, limit: str) -> dict[str, float]:
        """Errors (n_states * draws,) of the states of `_read` at a level, and the bound of "all" or "one"."""
        bounds, n_asked = self._bounds, len(self.asked)
        of_state = error.reshape(len(bounds), -1)
        rms, scatter = np.sqrt((of_state**2).mean(axis=1)), of_state.std(axis=1, ddof=1)
        bound = level * bounds["all" if limit == "all" else self.informative].to_numpy()
        found = {
            "rms": np.median(rms[:n_asked]),
            "bound": np.nanmedian(bound[:n_asked]),
            "ratio": np.nanmedian((rms / bound)[:n_asked]),
            "pooled": _pooled(rms[:n_asked], bound[:n_asked]),
            "pooled_all": _pooled(rms, bound),
            "scatter_all": _pooled(scatter, bound),
        }
        return {key: float(value) for key, value in found.items()}

    @property
    def _asked_of(self) -> xr.Dataset:
        return self.ds.isel(sample=self.asked)

    def _at(self, level: float) -> Exposure:
        return replace(self.exposure, noise=level)

    def _readers(
        self, levels: Sequence[float], rng: Generator
    ) -> list[tuple[str, Model, str, Callable[[float], Trained]]]:
        """Name, model, bound ("all" or "one" bias) and who reads at a level of noise."""
        learned = self.learned
        process, tokens = (
            study_network(self.ds, name, self.settings) for name in ("bragg_process", "bragg_tokens")
        )
        curves, one = self.curves(), self.curves(self.informative)

        def taught(
            model: Model, at: Sequence[float], draws: int, config: TrainingConfig | None = None
        ) -> Trained:
            seen = [noisy_samples(model.config, learned, self._at(level), rng, draws) for level in at]
            return _fitted(model, seen, config)

        clean, mixed = taught(curves, (0.0,), 1), taught(tokens, tuple(levels), 1, _SHORT)
        return [
            ("curves", curves, "all", lambda level: taught(curves, (level,), _LESSONS)),
            ("curves, trained on clean maps", curves, "all", lambda level: clean),
            ("curves, one bias", one, "one", lambda level: taught(one, (level,), _LESSONS)),
            ("Gaussian process", process, "all", lambda level: taught(process, (level,), 1, _PIXELWISE)),
            ("stars as tokens", tokens, "all", lambda level: mixed),
        ]

    def in_scans(self, bias: float, days: Mapping[str, Imperfect], every: int = 2) -> pd.DataFrame:
        """MAE in eV on real-space scans of one bias, of curves taught by clean scans and by bad days.

        Parameters
        ----------
        bias : float
            Of the map, in eV.
        days : mapping of str to callable
            What is done to the scans that are read, a row each.
        every : int
            Every how many of the learned states teach.
        """
        rng, model = np.random.default_rng(self.seed), self.curves(bias)
        readers = {
            "taught by clean scans": self._scan_reader(model, Imperfections(()), rng, every, 1),
            "taught by bad days": self._scan_reader(model, Imperfections.preset("noisy"), rng, every, 2),
        }
        found = {}
        for name, day in days.items():
            seen = scanned_samples(model.config, self._asked_of, day, rng, self.exposure)
            found[name] = {key: evaluate(seen.U, predict(r, seen.inputs).U).mae for key, r in readers.items()}
        return pd.DataFrame(found).T

    def on_a_bad_day(
        self, bias: float | None, draws: int = 2, readings: int = 4, every: int = 2
    ) -> NDArray[np.float64]:
        """Errors of U on bad days with this exposure, of curves taught by bad days.

        Parameters
        ----------
        bias : float or None
            Of the one map that is read, in eV; None for a map at every bias, one after the other, each with
            imperfections of its own.
        draws : int
            Bad days on which the curves see each learned state.
        readings : int
            Bad days on which each asked state is read.
        every : int
            Every how many of the learned states teach.

        Returns
        -------
        numpy float array, shape (readings, n_asked)
            In eV.
        """
        rng, model = np.random.default_rng(self.seed), self.curves(bias)
        bad_day = Imperfections.preset("noisy")
        reader = self._scan_reader(model, bad_day, rng, every, draws)
        seen = scanned_samples(model.config, self._asked_of, bad_day, rng, self.exposure, draws=readings)
        return (predict(reader, seen.inputs).U - seen.U).reshape(-1, readings).T

    def _scan_reader(
        self, model: Model, imperfect: Imperfect, rng: Generator, every: int, draws: int
    ) -> Trained:
        part = self.learned.isel(sample=slice(None, None, every))
        seen = scanned_samples(model.config, part, imperfect, rng, self.exposure, draws=draws)
        return _fitted(model, [seen])


def _pooled(rms: NDArray, bound: NDArray) -> float:
    """Root mean square of the errors over that of the bounds, of states (n,) whose bound is known."""
    known = np.isfinite(bound)
    return float(np.sqrt((rms[known] ** 2).mean() / (bound[known] ** 2).mean()))


def _fitted(
    model: Model, seen: Sequence[Samples], config: TrainingConfig | None = None, progress: bool = False
) -> Trained:
    columns: dict[str, Any] = {
        key: np.concatenate([getattr(each, key) for each in seen]) for key in ("inputs", "U", "branch")
    }
    return fit(model, **columns, config=config, progress=progress)
