"""The explorer: move U and see the state, its picture, the network's reading, and where all of it lies."""

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
import xarray as xr

from stm_core.learning import Prediction
from stm_core.viewing.microscope import STRENGTHS
from stm_core.viewing.stage import CURVE, changes, stage
from stm_core.viewing.survey import Look, Setting, Survey

_U_STEP = 0.05  # eV, of the live slider
_WIDE = {"description_width": "initial"}


class Explorer(widgets.VBox):
    """Live view of a sweep: five controls and six panels. Made by `explorer`.

    A click on a point of the curve of principal components goes to its U.

    Attributes
    ----------
    U, filling, bias, model, strength : ipywidgets
        U in eV; the position of the bias; names of the model and of the imperfections.
    figure : plotly FigureWidget
        The panels.
    note : ipywidgets.HTML
        Says whether the state was computed or interpolated, and what is read.
    look : Look
        What is shown.
    """

    def __init__(self, survey: Survey) -> None:
        self._survey, start = survey, survey.start
        self._add_controls(start)
        self.note = widgets.HTML()
        self.look: Look = survey.look(start)
        figure, self._moving = stage(survey, self.look)
        self.figure = go.FigureWidget(figure)
        self._drawn = changes(survey, self.look)
        self.figure.data[self._moving[CURVE]].on_click(self._jump)
        self._tell()
        for control in (self.U, self.bias, self.model, self.strength):
            control.observe(self._refresh, names="value")
        self.filling.observe(self._enter, names="value")
        controls = [self.U, self.filling, self.bias, self.model, self.strength]
        box = widgets.HBox(controls, layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__([box, self.note, self.figure])

    def _add_controls(self, start: Setting) -> None:
        scene = self._survey.scenes[start.filling]
        low, high = float(scene.U[0]), float(scene.U[-1])
        self.U = widgets.FloatSlider(value=low, min=low, max=high, step=_U_STEP, description="U (eV)")
        fillings = [(self._survey.name_of(filling), filling) for filling in sorted(self._survey.scenes)]
        self.filling = widgets.Dropdown(options=fillings, value=start.filling, description="filling")
        biases = [(f"{1e3 * value:+.0f}", position) for position, value in enumerate(scene.bias)]
        self.bias = widgets.SelectionSlider(
            options=biases, value=start.bias, description="bias (meV)", style=_WIDE
        )
        names: list[tuple[str, str | None]] = [(name, name) for name in self._survey.models]
        self.model = widgets.Dropdown(options=names or [("none", None)], description="model", style=_WIDE)
        self.strength = widgets.SelectionSlider(options=STRENGTHS, description="imperfections", style=_WIDE)

    def _nearest(self, U: float) -> float:
        # The slider moves in steps; a U of the dataset within half a step is meant exactly.
        known = self._survey.scenes[self.filling.value].U
        closest = float(known[np.argmin(np.abs(known - U))])
        return closest if abs(closest - U) < _U_STEP / 2 else U

    def _enter(self, _change: Any) -> None:
        """Another filling: its path may cover another range of U."""
        path = self._survey.scenes[self.filling.value].U
        # The wider range first, so that no bound crosses the other.
        self.U.min, self.U.max = min(self.U.min, float(path[0])), max(self.U.max, float(path[-1]))
        self.U.min, self.U.max = float(path[0]), float(path[-1])
        self._refresh()

    def _jump(self, _trace: Any, points: Any, _state: Any) -> None:
        if points.point_inds:
            self.U.value = float(self._survey.scenes[self.filling.value].U[points.point_inds[0]])

    def _refresh(self, _change: Any = None) -> None:
        setting = Setting(
            self._nearest(self.U.value),
            self.filling.value,
            self.bias.value,
            self.model.value,
            self.strength.value,
        )
        self.look = self._survey.look(setting)
        before, self._drawn = self._drawn, changes(self._survey, self.look)
        with self.figure.batch_update():
            for number, old, new in zip(self._moving, before, self._drawn, strict=True):
                self.figure.data[number].update(_differing(old, new))
        self._tell()

    def _tell(self) -> None:
        view, read = self.look.view, self.look.prediction
        if view.between is None:
            state = f"Hartree–Fock solution at U = {view.U:g} eV"
        else:
            low, high = view.between
            state = f"<b>interpolated</b> between the solutions at U = {low:g} and {high:g} eV"
        foreign = self.look.setting.filling not in self._survey.trained
        words = (
            "" if read is None else f"; {_in_words(read)}" + foreign * ", and was not trained at this filling"
        )
        self.note.value = state + words


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """What of a trace has changed: a browser draws all that it is sent, the same or not."""
    same = {key for key in new.keys() & old.keys() if np.array_equal(new[key], old[key])}
    return {key.replace(".", "_"): value for key, value in new.items() if key not in same}


def _in_words(read: Prediction) -> str:
    text = f"the model reads U = {read.U[0]:.2f} eV"
    if not np.isfinite(read.low[0]):
        return text + ", without an interval"
    verdict = "in range" if read.in_range[0] else "<b>out of range</b>: unlike what it was calibrated on"
    return f"{text}, 90 % interval {read.low[0]:.2f} to {read.high[0]:.2f} eV, {verdict}"


def explorer(
    dataset: xr.Dataset,
    models: Mapping[str, Any] | None = None,
    fillings: Sequence[float] | None = None,
    n_k: int = 1003,
    trained: Sequence[float] | None = None,
) -> Explorer:
    """Explore a sweep live in JupyterLab or voila.

    Follows the state of lowest energy at each U. Between two U of the dataset the LDOS and the levels are
    interpolated, and the view says so.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `load_dataset` returns.
    models : mapping of str to Regressor, FitResult or path, optional
        Trained models by name, of pictures or of Bragg amplitudes; without one the reading stays empty.
    fillings : sequence of float, optional
        Electrons per moiré cell from neutrality, of the dataset's; by default all of them.
    n_k : int
        Points per direction of the transform, as in `image_set`.
    trained : sequence of float, optional
        Fillings that the models have seen, by default all that are shown; the others are marked.

    Returns
    -------
    Explorer
        An ipywidgets box.

    Raises
    ------
    ValueError
        If the dataset does not have a filling, a filling has fewer than three U, or a model cannot read the
        dataset's biases.
    """
    return Explorer(Survey.build(dataset, models or {}, fillings, n_k, trained))
