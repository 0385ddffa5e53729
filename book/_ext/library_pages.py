"""Sphinx extension: the library's public calls on a page, so that the text can link to them.

``{library} stm_core.imaging`` lists what the room offers, each entry with its docstring as it is written.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Library(SphinxDirective):
    """Entries for all that a room of the library offers."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        room = import_module(name)
        offered = {word: getattr(room, word) for word in sorted(room.__all__)}
        called = {word: value for word, value in offered.items() if callable(value)}
        text = "\n".join(_entry(f"{name}.{word}", value) for word, value in called.items())
        container = nodes.container()
        self.state.nested_parse(StringList(text.splitlines(), source=name), self.content_offset, container)
        return container.children


def _entry(name: str, value: Any) -> str:
    """MyST for one entry: its signature without types, the first sentence, and the docstring on request."""
    kind = "py:class" if inspect.isclass(value) else "py:function"
    docstring = inspect.getdoc(value) or ""
    first = " ".join(docstring.split("\n\n")[0].split())
    return (
        f"``````{{{kind}}} {name}({', '.join(_arguments(value))})\n{_escaped(first)}\n\n"
        "`````{dropdown} Parameters, result and errors\n:class-container: stm-docstring\n"
        f"````text\n{docstring}\n````\n`````\n``````\n"
    )


def _arguments(value: Any) -> list[str]:
    try:
        return [argument for argument in inspect.signature(value).parameters if argument != "self"]
    except ValueError:  # of classes written in C, and others that say nothing
        return []


def _escaped(sentence: str) -> str:
    return "".join(f"\\{letter}" if letter in "$*_[]<{|" else letter for letter in sentence)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("library", Library)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
