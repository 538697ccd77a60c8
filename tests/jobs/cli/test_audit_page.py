"""The page of an audit, in a browser: labels by keyboard and by mouse, undo, and progress that is kept."""

from pathlib import Path

import pytest

from tests.conftest import Reference, curate
from tests.support.browser import LOOKS, chromium, needs_chromium, opened, overflow_pixels, serious_faults

pytestmark = needs_chromium
PICTURES = 30


@pytest.fixture(scope="module")
def audit(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of an audit of the reference run."""
    folder = tmp_path_factory.mktemp("audit")
    curate("audit", reference.output / "chosen", "-o", folder, "--n", PICTURES)
    return folder / "index.html"


@pytest.fixture(scope="module")
def browser():
    """A running Chromium."""
    with chromium() as running:
        yield running


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_it_loads_and_fits_and_everyone_can_use_it(width, scheme, audit, browser):
    page, seen = opened(browser, audit.as_uri(), width=width, scheme=scheme)
    assert seen.complaints == [] and seen.outside(audit.as_uri()) == []
    assert overflow_pixels(page) <= 0
    assert serious_faults(page) == []
    page.context.close()


def test_labels_by_key_are_kept_and_undone_and_downloaded(audit, browser, tmp_path):
    page, _ = opened(browser, audit.as_uri())
    assert page.get_by_role("button", name="Undo").is_disabled()
    for key in "21u0":
        page.keyboard.press(key)
    assert _count(page) == 4
    page.keyboard.press("z")
    page.get_by_role("button", name="Undo").click()
    assert _count(page) == 2 and page.inner_text("#place") == f"3 / {PICTURES}"
    page.locator("article:visible").get_by_text("light", exact=True).click()
    assert _count(page) == 3
    page.reload()
    assert _count(page) == 3 and page.inner_text("#place") == f"4 / {PICTURES}"
    with page.expect_download() as download:
        page.get_by_role("button", name="Download filled.csv").click()
    download.value.save_as(tmp_path / "filled.csv")
    lines = (tmp_path / "filled.csv").read_text().splitlines()
    assert [line.rpartition(",")[2] for line in lines[:5]] == ["label", "heavy", "light", "light", ""]
    page.context.close()


def test_a_label_that_was_changed_comes_back(audit, browser):
    page, _ = opened(browser, audit.as_uri())
    page.keyboard.press("2")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("0")
    page.keyboard.press("ArrowLeft")
    assert page.locator("article:visible input:checked").get_attribute("value") == "none"
    page.keyboard.press("Control+z")
    assert page.locator("article:visible input:checked").get_attribute("value") == "heavy"
    page.context.close()


def _count(page) -> int:
    return int(page.inner_text("#count").split(" ")[0])
