"""What a reader meets who opens the book from a folder, without a network."""

import pytest
from playwright.sync_api import Locator, Page

from tests.tiny_study import PAGES

# Titles, colour bars and the slider itself are hidden while the picture is taken: only what is drawn counts.
ONLY_THE_PICTURE = ".infolayer, .menulayer, .modebar-container { visibility: hidden !important; }"
EXTREMES = (0.02, 0.98)
PATIENCE = 50  # looks at the picture, 100 ms apart


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


def drag(page: Page, slider: Locator, fraction: float) -> None:
    """Press the slider's rail at ``fraction`` of its length and let go."""
    rail = slider.locator(".slider-rail-touch-rect")
    rail.scroll_into_view_if_needed()
    box = rail.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + fraction * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.up()


def test_the_index_leads_to_the_cover(html, reader):
    reader.page.goto((html / "index.html").as_uri())
    reader.page.wait_for_url("**/book/intro.html")


@pytest.mark.parametrize("name", ["search", *PAGES])
def test_a_page_is_whole_and_asks_no_one(html, reader, name):
    page = reader.open(html / f"{name}.html")
    page.wait_for_timeout(300)
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
def test_figures_are_drawn(html, reader, name):
    page = reader.open(html / f"{name}.html")
    figures = page.locator(".plotly-graph-div")
    assert figures.count() == page.locator(".plotly-graph-div .main-svg:first-child").count()
    for picture in page.locator("article img").all():
        assert picture.evaluate("image => image.naturalWidth") > 0


def test_every_slider_changes_its_picture(html, reader):
    moved: dict[str, list[bool]] = {}
    for name in PAGES:
        page = reader.open(html / f"{name}.html")
        for figure in page.locator(".plotly-graph-div:has(.slider-container)").all():
            for slider in figure.locator(".slider-container .slider-group").all():
                seen = []
                for end in EXTREMES:
                    drag(page, slider, end)
                    seen.append(settled_picture(page, figure))
                moved.setdefault(name, []).append(seen[0] != seen[1])
    assert reader.complaints == []
    assert all(all(changed) for changed in moved.values()), moved
    assert "notebooks/09_explorer" in moved
