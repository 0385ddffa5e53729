"""Sphinx extension: a book that is complete from ``file://``, without a content network.

Plotly's script comes from the installed ``plotly`` and MathJax 3 from ``sphinx-mathjax-offline``, so that
both are pinned like everything else and neither is kept in the repository. Only pages that hold a figure ask
for plotly, and only once they are open (``figures.js``).
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from plotly.offline import get_plotlyjs
from sphinx.application import Sphinx
from sphinx.config import Config

MATHJAX = "mathjax/tex-chtml-full.js"
PLOTLY = "plotly.min.js"


def drop_thebe(app: Sphinx, config: Config) -> None:
    """Unhook sphinx-thebe, which jupyter-book always loads: its live cells need a server."""
    for listeners in list(app.events.listeners.values()):
        for listener in list(listeners):
            if listener.handler.__module__ == "sphinx_thebe":
                app.disconnect(listener.id)
    styles = app.registry.css_files
    styles[:] = [style for style in styles if style[0] != "sphinx-thebe.css"]


def vendor(app: Sphinx, config: Config) -> None:
    """Lay the scripts out in a static folder of their own and point Sphinx at it."""
    folder = Path(app.doctreedir) / "vendored"
    _copy_mathjax(folder / "mathjax")
    (folder / PLOTLY).write_text(get_plotlyjs(), encoding="utf-8")
    config.html_static_path.append(str(folder))
    config.mathjax_path = MATHJAX


def _copy_mathjax(target: Path) -> None:
    """The one combined script with all TeX extensions, and its fonts: 2 MB of the package's 24."""
    spec = find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the book needs the package sphinx-mathjax-offline")
    source = Path(spec.origin).parent / "static" / "mathjax"
    fonts = Path("output/chtml/fonts/woff-v2")
    shutil.copytree(source / fonts, target / fonts, dirs_exist_ok=True)
    shutil.copy(source / Path(MATHJAX).name, target)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handlers."""
    app.connect("config-inited", drop_thebe)
    app.connect("config-inited", vendor)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
