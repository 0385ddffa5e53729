"""Sphinx extension: the scripts of the book's own panels, and words for those who cannot see a figure."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

PANEL = 'data-stm="'
PLOTLY = 'class="plotly-graph-div"'
PANEL_SCRIPTS = ("arrays", "fourier", "network", "reading", "curves", "files", "draw", "panels", "try")
LONGEST = 300  # characters of an alternative text


def ask_for_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Load what a page's panels and sliders need, and nothing on pages that have none."""
    body = context.get("body", "")
    for name in PANEL_SCRIPTS if PANEL in body else ():
        app.add_js_file(f"stm/{name}.js", priority=800)
    if PLOTLY in body:
        app.add_js_file("stm/figures.js", priority=790)
        app.add_js_file("stm/sliders.js", priority=800)
    if PLOTLY in body or "<img" in body:
        app.add_js_file("stm/narrow.js", priority=810)  # after the sliders, which stay outside its frames


def describe_figures(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Give each figure without words of its own those of the paragraph that follows it.

    The study's pages say below each figure what to see in it. The cells of a table are no such words.
    """
    for figure, words in _figures_and_words(doctree):
        if isinstance(figure, nodes.image):
            if not figure.get("alt"):
                figure["alt"] = words
        else:
            label = f'role="img" aria-label="{html.escape(words)}" {PLOTLY}'
            # Its script is not the browser's to run but that of figures.js, once the page is open.
            drawn = figure.astext().replace('<script type="module">', '<script type="text/x-figure">')
            figure[:] = [nodes.Text(drawn.replace(PLOTLY, label))]


def _figures_and_words(doctree: nodes.document) -> Iterator[tuple[nodes.Element, str]]:
    waiting: list[nodes.Element] = []
    words = doctree.next_node(nodes.title)
    for node in doctree.findall(_figure_or_paragraph):
        if isinstance(node, nodes.paragraph):
            words = node
            yield from ((figure, _shortened(node.astext())) for figure in waiting)
            waiting = []
        else:
            waiting.append(node)
    yield from ((figure, _shortened(words.astext() if words else "figure")) for figure in waiting)


def _figure_or_paragraph(node: nodes.Node) -> bool:
    if isinstance(node, nodes.raw):
        return PLOTLY in node.astext()
    if isinstance(node, nodes.paragraph):
        return not isinstance(node.parent, nodes.entry)
    return isinstance(node, nodes.image)


def _shortened(text: str) -> str:
    whole = " ".join(text.split())
    return whole if len(whole) <= LONGEST else whole[:LONGEST].rsplit(" ", 1)[0] + " …"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handlers."""
    app.connect("html-page-context", ask_for_scripts)
    app.connect("doctree-resolved", describe_figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
