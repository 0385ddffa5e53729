"""Every link of the built book leads somewhere."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.tiny_study import PAGES


class Anchors(HTMLParser):
    """Links and the places they can lead to, of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if "id" in found:
            self.places.add(str(found["id"]))
        for name in ("href", "src"):
            if found.get(name):
                self.links.append(str(found[name]))


@pytest.fixture(scope="module")
def pages(html: Path) -> dict[Path, Anchors]:
    found = {}
    for path in html.rglob("*.html"):
        if "_static" in path.parts:  # templates of the theme, not pages
            continue
        found[path.resolve()] = Anchors()
        found[path.resolve()].feed(path.read_text(encoding="utf-8"))
    return found


def test_every_page_of_the_contents_is_there(html, pages):
    assert {(html / f"{name}.html").resolve() for name in PAGES} <= set(pages)


def test_internal_links_lead_to_a_file_and_a_place_in_it(pages):
    broken = []
    for page, anchors in pages.items():
        for link in anchors.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            there = target.is_file() or (target.is_dir() and (target / "index.html").is_file())
            named = (
                not parts.fragment or target not in pages or unquote(parts.fragment) in pages[target].places
            )
            if not (there and named) and parts.fragment not in ("", "top"):
                broken.append(f"{page.name}: {link}")
            elif not there:
                broken.append(f"{page.name}: {link}")
    assert broken == []


def test_references_name_where_they_are_found(html):
    listed = (html / "book" / "references.html").read_text(encoding="utf-8")
    entries = listed.split('<div class="citation"')[1:]
    assert len(entries) >= 20
    lost = [entry[:200] for entry in entries if "doi.org/10." not in entry and "arxiv.org/abs/" not in entry]
    assert lost == []
