"""The extension that gives a figure the words of the caption below it."""

import importlib.util

import pytest
from docutils import nodes
from docutils.utils import new_document
from sphinx.util import logging

from stm_core.study import CHECKOUT

PLOT = '<div id="figure-1" class="plotly-graph-div"></div><script type="module">draw()</script>'


@pytest.fixture(scope="module")
def panels():
    spec = importlib.util.spec_from_file_location(
        "page_panels", CHECKOUT / "book" / "_ext" / "page_panels.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def caption(text: str) -> nodes.paragraph:
    return nodes.paragraph("", "", nodes.emphasis(text="What to see:"), nodes.Text(f" {text}"))


def page(*children: nodes.Node) -> nodes.document:
    document = new_document("page")
    document += children
    return document


def test_a_figure_takes_the_caption_and_not_the_paragraph_before_it(panels):
    picture, plot = nodes.image(uri="a.png"), nodes.raw(PLOT, PLOT, format="html")
    between = nodes.paragraph(text="It took 3 s.")
    panels.describe_figures(None, page(picture, between, caption("a curve."), plot, caption("a “map”.")), "a")
    assert picture["alt"] == "a curve."
    assert 'role="img" aria-label="a “map”." class="plotly-graph-div"' in plot.astext()
    assert 'type="text/x-figure"' in plot.astext()


@pytest.mark.parametrize("last", [(), (caption("both."),)], ids=["none", "one for two"])
def test_a_figure_without_a_caption_of_its_own_is_a_warning(panels, monkeypatch, last):
    said = []
    monkeypatch.setattr(panels.logger, "warning", lambda *words, **place: said.append(place["location"]))
    first, second = nodes.image(uri="a.png"), nodes.image(uri="b.png")
    panels.describe_figures(None, page(first, second, *last), "a-page")
    assert said == ["a-page"] * (2 - len(last))
    assert "alt" not in first


def test_a_picture_with_words_keeps_them(panels):
    picture = nodes.image(uri="a.png", alt="my own")
    panels.describe_figures(None, page(picture, caption("others.")), "a")
    assert picture["alt"] == "my own"


def test_long_captions_end_with_a_sentence(panels):
    words = panels._shortened("One two. " * 20 + "and " * 100)
    assert words == ("One two. " * 20).strip()
    assert panels._shortened("and " * 100).endswith("and …")
    assert isinstance(panels.logger, logging.SphinxLoggerAdapter)


def test_formulas_are_said_in_words(panels):
    assert (
        panels._spoken(r"\mathbf k = 0 at \Delta E_b, \mu and\, \varepsilon_{ij}")
        == " k = 0 at Δ E_b, μ and ε_ij"
    )
