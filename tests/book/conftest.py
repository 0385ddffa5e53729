"""The built book and a window to read it in."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from stm_core.study import CHECKOUT
from tests.tiny_study import html_of

ON_THIS_MACHINE = ("file:", "data:", "blob:", "about:")


@pytest.fixture(scope="session")
def html(study_dataset_path: Path) -> Path:
    """Folder of the book's pages."""
    return html_of(study_dataset_path)


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Folder for pictures of the pages, to be looked at by people."""
    folder = CHECKOUT / "_build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass
class Reader:
    """A browser window and everything it complained about or asked the network for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, path: Path) -> Page:
        """The page at ``path``, loaded, with its formulas typeset and its figures drawn."""
        self.page.goto(path.as_uri(), wait_until="load")
        self.page.evaluate("() => window.MathJax?.startup?.promise")
        self.page.wait_for_selector('script[type="text/x-figure"]', state="detached")
        return self.page


@pytest.fixture
def reader(browser: Browser) -> Iterator[Reader]:
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    reader = Reader(context.new_page())
    page = reader.page
    page.on("console", lambda m: reader.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: reader.complaints.append(str(error)))
    page.on("requestfailed", lambda request: reader.complaints.append(f"not found: {request.url}"))
    page.on(
        "request",
        lambda r: None if r.url.startswith(ON_THIS_MACHINE) else reader.requests.append(r.url),
    )
    yield reader
    context.close()
