"""From the staged pages to a folder of HTML, and from that to one PDF."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from stm_core.files import replacing
from stm_core.study.cache import digest_of

logger = logging.getLogger(__name__)

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Formulas and figures are drawn by scripts, which the browser is given this much of its own time for, in a
# window whose column of text is as wide as a sheet's.
_PRINTING = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--no-pdf-header-footer --virtual-time-budget=120000 --window-size=700,1000"
).split()
_PLOTLY = "application/vnd.plotly.v1+json"
_UNFOLDED = re.compile(r"<details(?![^>]*(?:stm-docstring|hide))")  # both would be most of the sheets


class BookFailed(RuntimeError):
    """Sphinx refused the book: the message holds its first warnings and where to find the rest."""


def build_book(source: Path, build: Path) -> Path:
    """Build the staged ``source`` with warnings as errors; the last good book stays until this one is.

    A book of the same source is left as it is.
    """
    index, made_from = build / "html" / "index.html", build / "book.digest"
    pages = sorted(path for path in source.rglob("*") if path.is_file())
    digest = digest_of(pages, source, sys.version)
    if index.is_file() and made_from.is_file() and made_from.read_text() == digest:
        logger.info("the book is the last one: nothing it is made from has changed")
        return index
    fresh = build / "next"
    _sphinx(source, fresh, build / "book.log", "html")
    _lighten(fresh / "_build" / "html")
    shutil.rmtree(build / "html", ignore_errors=True)
    os.replace(fresh / "_build" / "html", build / "html")
    shutil.rmtree(fresh, ignore_errors=True)
    with replacing(made_from) as beside:
        beside.write_text(digest)
    return index


def _sphinx(source: Path, target: Path, log: Path, builder: str) -> None:
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(source)]
    command += ["--config", str(source / "_config.yml"), "--toc", str(source / "book" / "_toc.yml")]
    command += ["--path-output", str(target), "--builder", builder, "-W", "--keep-going", "--all"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        said = [line for line in log.read_text().splitlines() if "WARNING" in line or "rror" in line]
        raise BookFailed(f"the book did not build: {'; '.join(said[:3])} (all of it in {log})")


def _lighten(html: Path) -> None:
    """Leave out what no reader needs: the theme's source maps, and figures twice in a download."""
    for path in html.rglob("*.map"):
        path.unlink()
    for path in html.glob("_sources/**/*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            for output in cell.get("outputs", ()):
                shown = output.get("data", {})
                if _PLOTLY in shown:  # which JupyterLab draws; the HTML was the page's
                    shown.pop("text/html", None)
        path.write_text(json.dumps(notebook, ensure_ascii=False), encoding="utf-8")


def print_book(source: Path, build: Path) -> Path:
    """One PDF of all pages, printed from a page that holds them all by a browser of this machine."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise BookFailed(f"a single file is printed by a browser: install one of {', '.join(_BROWSERS)}")
    single = build / "single"
    _sphinx(source, single, build / "single.log", "singlehtml")
    page = _all_in_one(single / "_build" / "singlehtml")
    with replacing(build / "book.pdf") as beside:
        command = [browser, *_PRINTING, f"--print-to-pdf={beside}", page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not beside.is_file():
            raise BookFailed(f"the browser did not print the book: {done.stderr.strip()[-300:]}")
    shutil.rmtree(single, ignore_errors=True)
    return build / "book.pdf"


def _all_in_one(folder: Path) -> Path:
    """The page of all pages, where its links start from, with solutions and provenance unfolded, code not."""
    written = (folder / "book" / "intro.html").read_text(encoding="utf-8")
    page = folder / "all.html"  # Sphinx writes it into a folder, but with links from the one above
    page.write_text(_UNFOLDED.sub("<details open", written), encoding="utf-8")
    return page
