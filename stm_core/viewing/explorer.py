"""The explorer: move U and see the LDOS, its transform, the network's reading and where it looked."""

import io
from typing import Any

import ipywidgets as widgets
import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from stm_core.viewing.display import COLOURS, MAP, SALIENCY_MAP, k_extent, static_style
from stm_core.viewing.scene import FLOOR, Scene, View

_U_STEP = 0.05  # eV, of the live slider


class _Panels:
    """Four matplotlib panels whose artists are kept and updated, which is what makes the view quick."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        with static_style():
            self.figure = Figure(figsize=(12.5, 3.4), dpi=80, layout="constrained")
            self.canvas = FigureCanvasAgg(self.figure)
            ldos, transform, reading, saliency = self.figure.subplots(
                1, 4, width_ratios=[1.15, 1.15, 0.9, 1.15]
            )
        self._add_maps(ldos, transform, saliency)
        self._add_reading(reading)
        self.canvas.draw()
        # The layout is solved once; solving it at each change would take longer than drawing.
        self.figure.set_layout_engine("none")

    def _add_maps(self, ldos: Any, transform: Any, saliency: Any) -> None:
        size, window = self.scene.size, k_extent()
        x, y = self.scene.positions.T
        self.dots = ldos.scatter(x, y, c=np.zeros(x.size), s=4e3 / x.size, cmap=MAP, linewidths=0)
        ldos.set(title="LDOS (1/eV per atom)", xlabel="x (Å)", ylabel="y (Å)", aspect="equal")
        self.figure.colorbar(self.dots, ax=ldos)
        norm = LogNorm(FLOOR, 1.0, clip=True) if self.scene.style == "linear" else None
        limits = {} if norm else {"vmin": 0.0, "vmax": 1.0}
        empty = np.zeros((size, size))
        self.transform = transform.imshow(empty, origin="lower", extent=window, cmap=MAP, norm=norm, **limits)
        transform.set(title="FT-LDOS |F(k)|/|F(0)|" if norm else "FT-LDOS (grey)")
        self.saliency = saliency.imshow(
            empty, origin="lower", extent=window, cmap=SALIENCY_MAP, vmin=0, vmax=1
        )
        saliency.set(title="Grad-CAM (share of maximum)")
        for axes, drawn in ((transform, self.transform), (saliency, self.saliency)):
            axes.set(xlabel="$k_x$ (1/Å)", ylabel="$k_y$ (1/Å)")
            self.figure.colorbar(drawn, ax=axes)

    def _add_reading(self, axes: Any) -> None:
        low, high = self.scene.U[0] - 1.0, self.scene.U[-1] + 1.0
        axes.plot([low, high], [low, high], color="black", lw=1, ls="--")
        (self.point,) = axes.plot([], [], "o", color=COLOURS[1], ms=9)
        axes.set(
            xlim=(low, high),
            ylim=(low, high),
            aspect="equal",
            xlabel="true U (eV)",
            ylabel="predicted U (eV)",
        )
        axes.set_xticks(self.scene.U, [""] * self.scene.U.size, minor=True)
        self.reading = axes

    def draw(self, view: View, limits: tuple[float, float]) -> bytes:
        """Show one view and return it as PNG; `limits` are the ends of the LDOS scale."""
        self.dots.set_array(view.ldos)
        self.dots.set_clim(*limits)
        self.transform.set_data(view.image)
        if view.prediction is None or view.saliency is None:
            self.reading.set_title("no network given")
        else:
            self.saliency.set_data(view.saliency)
            self.point.set_data([view.U], [view.prediction])
            outside = not self.reading.get_ylim()[0] <= view.prediction <= self.reading.get_ylim()[1]
            note = ", off the scale" if outside else ""
            self.reading.set_title(f"predicted {view.prediction:.2f} eV{note}")
        stream = io.BytesIO()
        self.canvas.print_png(stream)
        return stream.getvalue()


class Explorer(widgets.VBox):
    """Live view of a sweep: two sliders and four panels. Made by `explorer`.

    Attributes
    ----------
    U, bias : ipywidgets sliders
        In eV.
    picture : ipywidgets.Image
        The panels.
    note : ipywidgets.Label
        Says whether the LDOS was computed or interpolated.
    view : View
        What is shown.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene, self._panels = scene, _Panels(scene)
        low, high = float(scene.U[0]), float(scene.U[-1])
        self.U = widgets.FloatSlider(value=low, min=low, max=high, step=_U_STEP, description="U (eV)")
        options = [(f"{value:+.3f}", position) for position, value in enumerate(scene.bias)]
        self.bias = widgets.SelectionSlider(
            options=options, value=scene.nearest_bias(0.0), description="bias (eV)"
        )
        self.note = widgets.Label()
        self.picture = widgets.Image(format="png")
        self.view = self._refresh()
        for slider in (self.U, self.bias):
            slider.observe(self._refresh, names="value")
        super().__init__([widgets.HBox([self.U, self.bias, self.note]), self.picture])

    def _nearest(self, U: float) -> float:
        # The slider moves in steps; a U of the dataset within half a step is meant exactly.
        closest = float(self._scene.U[np.argmin(np.abs(self._scene.U - U))])
        return closest if abs(closest - U) < _U_STEP / 2 else U

    def _refresh(self, _change: Any = None) -> View:
        self.view = view = self._scene.view(self._nearest(self.U.value), self.bias.value)
        shown = self._scene.ldos[:, self.bias.value]
        self.picture.value = self._panels.draw(view, (float(shown.min()), float(shown.max())))
        if view.between is None:
            self.note.value = f"Hartree–Fock solution at U = {view.U:g} eV"
        else:
            low, high = view.between
            self.note.value = f"interpolated between the solutions at U = {low:g} and {high:g} eV"
        return view


def explorer(
    dataset: xr.Dataset,
    regressor: Any = None,
    filling: float = 0.0,
    size: int = 64,
    style: str = "linear",
    layer: str = "top",
    n_k: int = 1003,
) -> Explorer:
    """Explore a sweep live in JupyterLab.

    Follows the state of lowest energy at each U. Between two U of the dataset the LDOS is
    interpolated, and the view says so.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `load_dataset` returns.
    regressor : Regressor, FitResult or path, optional
        A trained convolutional network; without one the last two panels stay empty.
    filling : float
        Electrons per moiré cell from neutrality, one of the dataset's.
    size, style, layer, n_k
        As in `image_set`, and as for the images the network was trained on.

    Returns
    -------
    Explorer
        An ipywidgets box.

    Raises
    ------
    ValueError
        If the dataset does not have this filling or layer, or the network does not take such images.
    """
    return Explorer(Scene.build(dataset, regressor, filling, size, style, layer, n_k))
