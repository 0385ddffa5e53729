"""What a reader meets who opens the book from a folder, without a network."""

import json

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.tiny_study import PAGES

# Titles, colour bars and the slider itself are hidden while the picture is taken: only what is drawn counts.
ONLY_THE_PICTURE = ".infolayer, .menulayer, .modebar-container { visibility: hidden !important; }"
PATIENCE = 50  # looks at the picture, 100 ms apart
PLOTLY = "application/vnd.plotly.v1+json"
LARGEST = 60e6  # bytes of the whole book
PHONE = {"width": 390, "height": 844}


def settled_picture(page: Page, figure: Locator) -> bytes:
    """The drawn part of a figure once two looks in a row agree."""
    before = b""
    for _ in range(PATIENCE):
        picture = figure.screenshot(style=ONLY_THE_PICTURE, animations="disabled")
        if picture == before:
            return picture
        before = picture
        page.wait_for_timeout(100)
    raise AssertionError("the figure never came to rest")


def test_the_index_leads_to_the_cover(html, reader):
    reader.page.goto((html / "index.html").as_uri())
    reader.page.wait_for_url("**/book/intro.html")


@pytest.mark.parametrize("name", ["search", *PAGES])
def test_a_page_is_whole_and_asks_no_one(html, reader, screenshots, name):
    page = reader.open(html / f"{name}.html")
    page.wait_for_timeout(300)
    page.screenshot(path=screenshots / f"{name.replace('/', '-')}.png", full_page=True)
    assert reader.requests == []
    assert reader.complaints == []
    footer = page.locator("footer.bd-footer-content")
    assert "stm_core" in footer.inner_text()
    assert "Last updated" not in footer.inner_text()


@pytest.mark.parametrize("name", PAGES)
def test_formulas_are_typeset(html, reader, name):
    page = reader.open(html / f"{name}.html")
    assert page.locator(".math:not(:has(mjx-container))").count() == 0
    assert page.locator("mjx-merror").count() == 0


@pytest.mark.parametrize("name", PAGES)
def test_figures_are_drawn_and_have_words(html, reader, name):
    page = reader.open(html / f"{name}.html")
    figures = page.locator(".plotly-graph-div")
    assert figures.count() == page.locator(".plotly-graph-div .main-svg:first-child").count()
    words = [figure.get_attribute("aria-label") or "" for figure in figures.all()]
    for picture in page.locator("article img").all():
        assert picture.evaluate("image => image.naturalWidth") > 0
        words.append(picture.get_attribute("alt") or "")
    for panel in page.locator(".stm-panel").all():  # two panels may show the same state
        title = panel.get_attribute("aria-label") or ""
        canvases = panel.locator("canvas").all()
        words += [f"{title} {canvas.get_attribute('aria-label')}" for canvas in canvases]
    assert all(len(text) > 30 and ".png" not in text for text in words), words
    assert len(set(words)) == len(words), "two figures share their words"


def test_a_page_opens_before_plotly_is_asked_for(html, reader):
    reader.page.add_init_script("addEventListener('load', () => (window.early = 'Plotly' in window))")
    page = reader.open(html / "notebooks/01_moire_lattice.html")
    assert page.evaluate("[window.early, 'Plotly' in window]") == [False, True]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone(html, reader, screenshots, name):
    reader.page.set_viewport_size(PHONE)
    page = reader.open(html / f"{name}.html")
    page.wait_for_timeout(300)
    page.screenshot(path=screenshots / f"{name.replace('/', '-')}-phone.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("name", PAGES)
def test_code_is_shown_on_demand_and_scrolls_on_a_phone(html, reader, name):
    reader.page.set_viewport_size(PHONE)
    page = reader.open(html / f"{name}.html")
    for block in page.locator("details.hide").all():
        if block.get_attribute("open") is None:
            block.locator("> summary").click()
    expect(page.locator("details.hide:not([open])")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for code in page.locator("article pre:visible").all():
        cut = code.evaluate(
            "c => c.scrollWidth > c.clientWidth && !/auto|scroll/.test(getComputedStyle(c).overflowX)"
        )
        assert not cut, code.inner_text()[:80]


@pytest.mark.parametrize("name", ["search", *PAGES])
def test_a_page_is_light_whatever_its_reader_prefers(html, reader, name):
    reader.page.emulate_media(color_scheme="dark")
    reader.page.add_init_script("for (const key of ['mode', 'theme']) localStorage.setItem(key, 'dark')")
    page = reader.open(html / f"{name}.html")
    assert page.locator(".theme-switch-button").count() == 0
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("name", PAGES)
def test_text_stands_out_from_its_ground(html, reader, name):
    """WCAG 2.1, success criterion 1.4.3: a contrast of 4.5, or of 3 for large type."""
    page = reader.open(html / f"{name}.html")
    assert page.evaluate(FAINT_TEXT) == []


FAINT_TEXT = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const channel = (c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const [r, g, b, a = 1] = numbers(getComputedStyle(e).backgroundColor);
      if (a > 0.99) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const faint = [];
  const inside =
    "p, li, td, th, h1, h2, h3, h4, a, code span, label, button, figcaption, summary, output, dt";
  for (const element of document.querySelectorAll(`article :is(${inside})`)) {
    const style = getComputedStyle(element);
    const words = [...element.childNodes].filter((n) => n.nodeType === 3 && n.data.trim());
    const seen = element.checkVisibility({ opacityProperty: true });
    if (!words.length || !seen || element.closest(".plotly-graph-div")) continue;
    const [one, other] = [light(numbers(style.color)), light(ground(element))].sort((a, b) => b - a);
    const large = parseFloat(style.fontSize) >= 24;
    const ratio = (one + 0.05) / (other + 0.05);
    const text = words[0].data.trim().slice(0, 40);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${element.tagName} ${text}: ${ratio.toFixed(2)}`);
  }
  return faint;
}"""


def test_every_slider_of_a_figure_moves_it_by_keyboard(html, reader):
    moved: dict[str, list[bool]] = {}
    for name in PAGES:
        page = reader.open(html / f"{name}.html")
        for slider in page.locator(".stm-slider input[type=range]:visible").all():
            figure = page.locator(f"#{slider.get_attribute('id').rsplit('-slider-', 1)[0]}")
            slider.click(trial=True)  # fails where something lies over it or cuts it off
            slider.focus()
            seen = []
            for key in ("Home", "End"):
                page.keyboard.press(key)
                seen.append(settled_picture(page, figure))
            moved.setdefault(name, []).append(seen[0] != seen[1])
    assert reader.complaints == []
    assert all(all(changed) for changed in moved.values()), moved
    assert "notebooks/09_explorer" in moved


def test_a_menu_changes_its_figure_and_the_sliders_below_it(html, reader):
    changed: dict[str, bool] = {}
    for name in PAGES:
        page = reader.open(html / f"{name}.html")
        for menu in page.locator(".stm-slider select").all():
            if menu.locator("option").count() < 2:  # nothing else to choose on this small sweep
                continue
            figure = page.locator(f"#{menu.get_attribute('id').rsplit('-menu-', 1)[0]}")
            before = settled_picture(page, figure)
            menu.click(trial=True)
            menu.focus()
            page.keyboard.press("End")
            changed[name] = changed.get(name, True) and settled_picture(page, figure) != before
            expect(page.locator(".slider-container")).to_have_count(0)
    assert reader.complaints == []
    assert all(changed.values()), changed


def test_no_slider_is_left_to_the_mouse(html, reader):
    for name in PAGES:
        page = reader.open(html / f"{name}.html")
        expect(page.locator(".slider-container, .updatemenu-container")).to_have_count(0)


def test_a_notebook_to_download_holds_every_figure_once(html):
    kinds = [
        set(output["data"])
        for path in html.glob("_sources/notebooks/*.ipynb")
        for cell in json.loads(path.read_text())["cells"]
        for output in cell.get("outputs", ())
        if "data" in output
    ]
    figures = [kind for kind in kinds if PLOTLY in kind]
    assert figures and not any("text/html" in kind for kind in figures)
    assert any("image/png" in kind for kind in kinds)


def test_the_book_is_small(html):
    assert sum(path.stat().st_size for path in html.rglob("*") if path.is_file()) <= LARGEST
