"""A figure with stops moves in a page: by its slider, its button and its menu."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from playwright.sync_api import Browser, Page
from plotly.offline import get_plotlyjs

from stm_core.study import CHECKOUT
from stm_core.viewing import figure_html
from stm_core.viewing.display import compact
from stm_core.viewing.frames import Choice, with_stops

CONTROLS = CHECKOUT / "book" / "_static" / "stm" / "sliders.js"
DRAWN = "() => document.querySelector('.plotly-graph-div')._fullData.map(trace => [...trace.y].map(Number))"
LABEL = ".stm-slider:not([hidden]) label"
PATIENCE = 60_000  # ms; the machine may be busy


def choice(base: float, n: int) -> Choice:
    """Stops n that each lift a line of two points, and a curve that stands still."""
    stops = [[{"y": compact([base + stop, base])}] for stop in range(n)]
    return Choice([str(stop) for stop in range(n)], stops, [{"y": compact([base, base])}])


def figure(choices: dict, menus: tuple[str, ...] = ()) -> go.Figure:
    made = go.Figure([go.Scatter(x=[0, 1], y=[0.0, 0.0]), go.Scatter(x=[0, 1], y=[0.0, 0.0])])
    return with_stops(made, choices, "U", "eV", moving=[0], still=[1], menus=menus)


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator:
    """A function that opens a page which holds a figure and the book's controls."""
    context, complaints = browser.new_context(viewport={"width": 800, "height": 700}), []

    def page_of(drawn: go.Figure) -> Page:
        event = "new Event('stm-drawn', {bubbles: true})"
        begin = f"document.querySelector('.plotly-graph-div').dispatchEvent({event})"
        scripts = [get_plotlyjs(), CONTROLS.read_text(encoding="utf-8")]
        head = "".join(f"<script>{text}</script>" for text in scripts)
        # In the page of the test, as in the book, the controls come once the figure is drawn.
        body = f"{figure_html(drawn)}<script type='module'>{begin}</script>"
        path = tmp_path / "page.html"
        path.write_text(f"<!doctype html><meta charset='utf-8'>{head}<body>{body}</body>", encoding="utf-8")
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_selector(".stm-slider", timeout=PATIENCE)
        return page

    yield page_of
    context.close()
    assert complaints == []


def test_the_slider_shows_its_stops(opened):
    page = opened(figure({"": choice(1.0, 4)}))
    assert page.locator(LABEL).inner_text() == "U = 0 eV"
    page.locator(".stm-slider input").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"() => ({DRAWN})()[0][0] === 2", timeout=PATIENCE)
    assert page.locator(LABEL).inner_text() == "U = 1 eV"


def test_the_button_plays_to_the_end_and_another_stops_it(opened):
    page = opened(figure({"": choice(0.0, 3)}))
    page.get_by_role("button", name="Play").press("Enter")
    page.wait_for_function(f"() => ({DRAWN})()[0][0] === 2", timeout=PATIENCE)
    page.wait_for_function(f"() => document.querySelector('{LABEL}').textContent === 'U = 2 eV'")
    page = opened(figure({"": choice(0.0, 200)}))
    page.get_by_role("button", name="Play").press("Enter")
    page.wait_for_function(f"() => ({DRAWN})()[0][0] >= 1", timeout=PATIENCE)
    page.get_by_role("button", name="Pause").press("Enter")
    page.wait_for_timeout(1500)
    stopped = page.evaluate(DRAWN)
    page.wait_for_timeout(1500)
    assert page.evaluate(DRAWN) == stopped and stopped[0][0] < 199


def test_the_menu_brings_its_first_stop_its_still_traces_and_its_slider(opened):
    page = opened(figure({"low": choice(0.0, 3), "high": choice(10.0, 5)}))
    assert page.get_by_role("button", name="Play").count() == 0
    page.locator(".stm-slider select").select_option(label="high")
    page.wait_for_function(f"() => ({DRAWN})()[1][1] === 10", timeout=PATIENCE)
    np.testing.assert_allclose(page.evaluate(DRAWN), [[10, 10], [10, 10]])
    slider = page.locator(".stm-slider input:visible")
    assert slider.get_attribute("max") == "4"
    slider.focus()
    page.keyboard.press("End")
    page.wait_for_function(f"() => ({DRAWN})()[0][0] === 14", timeout=PATIENCE)


def test_a_name_of_several_parts_has_a_menu_for_each_and_leads_to_what_there_is(opened):
    """Of "left" there is no "small": who asks for it is taken to the other side, and keeps the stop."""
    choices = {
        ("left", "large"): choice(0.0, 5),
        ("right", "large"): choice(10.0, 5),
        ("right", "small"): choice(20.0, 3),
    }
    page = opened(figure(choices, menus=("side", "size")))
    side, size = (page.get_by_label(name) for name in ("side", "size"))
    slider = page.locator(".stm-slider input:visible")
    slider.focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    side.select_option("right")
    page.wait_for_function(f"() => ({DRAWN})()[0][0] === 12", timeout=PATIENCE)
    assert size.input_value() == "large" and page.locator(LABEL).inner_text() == "U = 2 eV"
    size.select_option("small")
    page.wait_for_function(f"() => ({DRAWN})()[0][0] === 22", timeout=PATIENCE)
    side.select_option("left")
    page.wait_for_function(f"() => ({DRAWN})()[0][0] === 2", timeout=PATIENCE)
    assert size.input_value() == "large" and page.locator(LABEL).inner_text() == "U = 2 eV"
    size.select_option("small")
    page.wait_for_function(f"() => ({DRAWN})()[0][0] === 22", timeout=PATIENCE)
    assert side.input_value() == "right"
