"""Debian's Chromium, driven by Playwright; tests that need it are skipped where it is not installed."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: make chromium")
LOOKS = [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")]
SERIOUS = ("serious", "critical")


@dataclass
class Seen:
    """What a page did beside showing itself: messages of the console, errors, and what it asked for."""

    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def outside(self, allowed: str) -> list[str]:
        """Return the requests to anywhere but below `allowed`."""
        return [url for url in self.requests if not url.startswith((allowed, "data:"))]


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Yield a running Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Root, as in a container, has no sandbox to start.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Any, url: str, *, width: int = 1440, scheme: str = "light") -> tuple[Any, Seen]:
    """Return the page at `url` in a fresh window of `width` pixels, with all its pictures loaded, and what it did."""
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    seen = Seen()
    page.on("console", lambda message: seen.complaints.append(message.text))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("requestfailed", lambda request: seen.complaints.append(f"failed: {request.url}"))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(url)
    # The policy of a page allows no text as code, so waiting is a promise of its own.
    page.evaluate("() => Promise.all([...document.images].map((i) => { i.loading = 'eager'; return i.decode(); }))")
    return page, seen


def serious_faults(page: Any) -> list[str]:
    """Return the faults of accessibility that axe-core calls serious or critical, with where they are."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]}" for each in found if each["impact"] in SERIOUS for node in each["nodes"]
    ]


def overflow_pixels(page: Any) -> int:
    """Return by how many pixels the page is wider than its window."""
    wider: int = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return wider
