"""What all figures share: colours, units of the axes, and how a figure reaches a page."""

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
import plotly.graph_objects as go
from IPython.display import display
from matplotlib.figure import Figure

from stm_core.imaging import k_axes
from stm_core.simulation import GRAPHENE_LATTICE

# Okabe and Ito's palette, told apart by colour-blind readers, and two perceptually even maps.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MAP = "viridis"
SALIENCY_MAP = "cividis"
GREY = "#999999"
RESOLUTION = 110  # dots per inch of static figures

_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": RESOLUTION,
    "savefig.dpi": RESOLUTION,
}


@contextmanager
def static_style() -> Iterator[None]:
    """Matplotlib settings of the study's static figures, for the duration of a ``with`` block."""
    with matplotlib.rc_context(_STYLE):
        yield


def k_extent(extent: float = 1.1) -> tuple[float, float, float, float]:
    """Window of an FT-LDOS picture as (left, right, bottom, top) in 1/Å."""
    kx, ky = (axis[-1] / GRAPHENE_LATTICE for axis in k_axes(2, extent))
    return (-kx, kx, -ky, ky)


def interactive_layout(figure: go.Figure, height: int, **layout: object) -> go.Figure:
    """Give a plotly figure the study's look; returns the same figure."""
    figure.update_layout(
        template="plotly_white",
        colorway=COLOURS,
        height=height,
        margin={"l": 60, "r": 20, "t": 50, "b": 50},
        font={"size": 13},
        **layout,
    )
    return figure


def signed(value: float) -> str:
    """A number with its sign as a page shows it; zero has none."""
    return f"{value:+.3g}".replace("-", "−") if value else "0"


def compact(values: object) -> np.ndarray:
    """Numbers as float32, which plotly sends in binary at a quarter of the size of text."""
    return np.asarray(values, dtype=np.float32)


def figure_html(figure: go.Figure) -> str:
    """A plotly figure as an HTML fragment for a page that loads plotly.js, deferred or not.

    The identifier of its element is a hash of the content, so that equal figures give equal pages. Its script
    is a module, which a browser runs once the page has been read: the text is there before the figures.
    """
    identity = hashlib.sha256(figure.to_json().encode()).hexdigest()[:16]
    height = figure.layout.height or 450
    html: str = figure.to_html(
        include_plotlyjs=False,
        include_mathjax=False,
        full_html=False,
        auto_play=False,
        default_height=f"{height}px",
        div_id=f"figure-{identity}",
    )
    return html.replace("<script>", '<script type="module">')


def _mimebundle(figure: go.Figure | Figure) -> dict[str, object]:
    if isinstance(figure, go.Figure):
        # Sphinx renders the HTML; JupyterLab takes plotly's own type, because its pages have no plotly.js.
        return {
            "text/html": figure_html(figure),
            "application/vnd.plotly.v1+json": json.loads(figure.to_json()),
        }
    if isinstance(figure, Figure):
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=RESOLUTION, metadata={"Software": None})
        return {"image/png": base64.b64encode(stream.getvalue()).decode()}
    raise ValueError(f"a {type(figure).__name__} cannot be shown; plotly and matplotlib figures can.")


def show(figure: go.Figure | Figure) -> None:
    """Display a plotly or matplotlib figure in JupyterLab and in the published page alike.

    Parameters
    ----------
    figure : plotly or matplotlib Figure

    Raises
    ------
    ValueError
        If `figure` is neither.
    """
    kind = "plotly" if isinstance(figure, go.Figure) else "static"
    display({**_mimebundle(figure), "text/plain": f"<{kind} figure>"}, raw=True)
