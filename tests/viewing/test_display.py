"""How figures reach a page: as HTML that needs nothing from the network, or as PNG."""

import base64
import io
import re

import numpy as np
import plotly.graph_objects as go
import pytest
from matplotlib.figure import Figure
from PIL import Image

from stm_core.imaging import k_axes
from stm_core.viewing import display as shown
from stm_core.viewing import figure_html, show


@pytest.fixture
def emitted(monkeypatch):
    bundles = []
    monkeypatch.setattr(shown, "display", lambda bundle, raw: bundles.append((bundle, raw)))
    return bundles


def sine(shift=0.0):
    x = np.linspace(0, 6, 50)
    return go.Figure(go.Scatter(x=x, y=np.sin(x + shift)), {"height": 321})


def test_html_needs_no_other_file_and_does_not_play_by_itself():
    html = figure_html(sine())
    assert "Plotly.newPlot" in html and "Plotly.animate" not in html
    assert re.search(r"<script[^>]*src=", html) is None and "http" not in html.replace("plot.ly", "")
    assert len(html) < 20_000
    assert "height:321px" in html


def test_its_script_waits_for_the_page():
    """Only a module waits, for the end of the page and for the deferred plotly ahead of it."""
    kinds = re.findall(r"<script([^>]*)>", figure_html(sine()))
    assert kinds and all('type="module"' in kind for kind in kinds)


def test_equal_figures_give_equal_pages_and_others_do_not():
    assert figure_html(sine()) == figure_html(sine())
    assert figure_html(sine()) != figure_html(sine(0.1))


def test_show_emits_html_for_sphinx_and_plotly_for_jupyterlab(emitted):
    show(sine())
    ((bundle, raw),) = emitted
    assert raw
    assert bundle["text/html"] == figure_html(sine())
    assert bundle["application/vnd.plotly.v1+json"]["data"][0]["type"] == "scatter"


def test_show_emits_static_figures_as_png(emitted):
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, 1])
    show(figure)
    ((bundle, _),) = emitted
    picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert picture.size == (2 * shown.RESOLUTION, shown.RESOLUTION)


def test_show_refuses_what_is_no_figure():
    with pytest.raises(ValueError, match="a list cannot be shown"):
        show([1, 2])


def test_window_is_in_inverse_angstrom():
    left, right, bottom, top = shown.k_extent()
    kx, ky = k_axes()
    assert (right, top) == pytest.approx((kx[-1] / 2.46, ky[-1] / 2.46))
    assert (left, bottom) == (-right, -top)
