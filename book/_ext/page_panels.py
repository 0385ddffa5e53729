"""Sphinx extension: the scripts of the book's own panels, and words for those who cannot see a figure."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

SEE = "What to see:"
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
    """Give each figure without words of its own those of the caption below it, what there is to see.

    A caption belongs to one figure, the nearest above it. A figure without one is a warning.
    """
    for figure, caption in _figures_and_captions(doctree):
        if caption is None:
            logger.warning("a figure has no caption '%s' of its own below it", SEE, location=page)
            continue
        words = _shortened(_spoken(caption.astext().removeprefix(SEE)))
        if isinstance(figure, nodes.image):
            figure["alt"] = words
        else:
            label = f'role="img" aria-label="{html.escape(words)}" {PLOTLY}'
            # Its script is not the browser's to run but that of figures.js, once the page is open.
            drawn = figure.astext().replace('<script type="module">', '<script type="text/x-figure">')
            figure[:] = [nodes.Text(drawn.replace(PLOTLY, label))]


def _figures_and_captions(
    doctree: nodes.document,
) -> Iterator[tuple[nodes.Element, nodes.Element | None]]:
    waiting: nodes.Element | None = None
    for node in doctree.findall(lambda node: _is_caption(node) or _is_figure(node)):
        if waiting is not None:
            yield waiting, node if _is_caption(node) else None
        waiting = None if _is_caption(node) else node
    if waiting is not None:
        yield waiting, None


def _is_figure(node: nodes.Node) -> bool:
    if isinstance(node, nodes.raw):
        return PLOTLY in node.astext()
    return isinstance(node, nodes.image) and not node.get("alt")


def _is_caption(node: nodes.Node) -> bool:
    return isinstance(node, nodes.paragraph) and node.astext().startswith(SEE)


def _spoken(text: str) -> str:
    """Formulas as a screen reader can say them: Greek letters, and no other commands of TeX."""

    def letter(command: re.Match[str]) -> str:
        name = command[1].removeprefix("var")
        case = "SMALL" if name.islower() else "CAPITAL"
        try:
            return unicodedata.lookup(f"GREEK {case} LETTER {name.upper()}")
        except KeyError:
            return ""

    return re.sub(r"[{}]", "", re.sub(r"\\([A-Za-z]+|.)", letter, text))


def _shortened(text: str) -> str:
    """The sentences of a text that fit, or as many words of its first."""
    whole = " ".join(text.split())
    if len(whole) <= LONGEST:
        return whole
    sentences, _, _ = whole[:LONGEST].rpartition(". ")
    return f"{sentences}." if sentences else whole[:LONGEST].rsplit(" ", 1)[0] + " …"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handlers."""
    app.connect("html-page-context", ask_for_scripts)
    app.connect("doctree-resolved", describe_figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
