"""The live explorer in a real browser, served by voila from a running kernel."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from stm_core.data import image_set, load_dataset
from stm_core.learning import TrainingConfig, build_model, fit

PATIENCE = 300_000  # ms; a kernel has to start on a machine that may be busy
SIZE = 32
# Traces of the panels: atoms, picture, what the reading rests on, the reading, place on the curve, levels.
PANELS = {"LDOS": 1, "FT-LDOS": 2, "attribution": 3, "reading": 4, "place": 6, "levels": 7}
DRAWN = """() => document.querySelector('.js-plotly-plot').data.map(
    trace => JSON.stringify([trace.x, trace.y, trace.z, trace.marker && trace.marker.color])
)"""
SOURCE = """
from stm_core.data import load_dataset
from stm_core.viewing import explorer
explorer(load_dataset({dataset!r}), {{"CNN": {checkpoint!r}}}, n_k=101)
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def served(small_dataset_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a page that holds nothing but the explorer."""
    folder = tmp_path_factory.mktemp("voila")
    images = image_set(load_dataset(small_dataset_path), bias=0.0, size=SIZE, n_k=101)
    network = build_model("cnn", image_size=SIZE, clamp=False, seed=1)
    config = TrainingConfig(epochs=1)
    fit(network, images.images, images.U, config=config, checkpoint=folder / "cnn.pt", progress=False)
    source = SOURCE.format(dataset=str(small_dataset_path), checkpoint=str(folder / "cnn.pt"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "explorer.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "voila", "explorer.ipynb", "--no-browser", f"--port={port}"]
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        url = f"http://127.0.0.1:{port}/"
        deadline = time.monotonic() + PATIENCE / 1000
        try:
            while not listens(port) and server.poll() is None and time.monotonic() < deadline:
                time.sleep(0.2)
            yield url
        finally:
            # Its kernels end with it; a polite end may wait for a busy one.
            server.kill()
            server.wait()


@pytest.fixture
def page(browser: Browser, served: str) -> Iterator[Page]:
    """The explorer, drawn; fails on any error that the browser reports.

    Only voila's own frame asks for things from the network (formulas, fonts), which may be out of reach.
    """
    context = browser.new_context(viewport={"width": 1300, "height": 1000})
    page, complaints = context.new_page(), []
    unreachable = "Failed to load resource: net::"

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(unreachable):
            complaints.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(served, timeout=PATIENCE)
    page.wait_for_selector(".js-plotly-plot .main-svg", timeout=PATIENCE)
    yield page
    assert complaints == []
    context.close()


def settled(page: Page, note: str) -> list[str]:
    """What is drawn once the line below the controls says `note`."""
    page.wait_for_function(
        "note => [...document.querySelectorAll('.widget-html-content, .jupyter-widgets')]"
        ".some(element => element.textContent.includes(note))",
        arg=note,
        timeout=PATIENCE,
    )
    page.wait_for_timeout(500)
    return list(page.evaluate(DRAWN))


def test_moving_U_changes_the_panels(page):
    before = settled(page, "solution at U = 0 eV")
    handle = page.locator(".noUi-handle").first
    handle.focus()
    for _ in range(40):
        handle.press("ArrowRight")
    after = settled(page, "solution at U = 2 eV")
    changed = {name: before[trace] != after[trace] for name, trace in PANELS.items()}
    assert all(changed.values()), changed
    assert json.loads(after[PANELS["reading"]])[0] == [2]


def test_a_click_on_the_curve_goes_to_its_U(page):
    settled(page, "solution at U = 0 eV")
    place = page.evaluate(
        """() => {
            const plot = document.querySelector('.js-plotly-plot');
            const {xaxis5, yaxis5} = plot._fullLayout, trace = plot.data[5];
            const box = plot.getBoundingClientRect(), last = trace.x.length - 1;
            return {
                x: box.left + xaxis5._offset + xaxis5.d2p(trace.x[last]),
                y: box.top + yaxis5._offset + yaxis5.d2p(trace.y[last]),
            };
        }"""
    )
    page.mouse.move(place["x"], place["y"])
    page.wait_for_timeout(300)
    page.mouse.click(place["x"], place["y"])
    settled(page, "solution at U = 5 eV")
