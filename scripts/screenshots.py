"""Pictures of a report's pages, for the documentation, taken by Debian's Chromium.

    python -m scripts.screenshots demo/report docs/images

The report is that of `make demo`, whose images are generated. The pictures have few colours, so that they are small.
"""

import shutil
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT, COLOURS = 1200, 900, 192
SHOTS = {
    "report-overview": ("index.html", None),
    "report-text": ("text.html", 0.5),
    "report-duplicates": ("duplicates.html", None),
}


def main(report: Path, folder: Path) -> None:
    """Write a PNG of each of SHOTS to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (path, share) in SHOTS.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            page.goto((report.resolve() / path).as_uri())
            if share is not None:
                _move_slider(page, share)
            page.evaluate(
                "() => Promise.all([...document.images].map((i) => { i.loading = 'eager'; return i.decode(); }))"
            )
            picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
            picture.quantize(COLOURS, dither=Image.Dither.NONE).save(folder / f"{name}.png", optimize=True)
            page.close()
        browser.close()


def _move_slider(page: Any, share: float) -> None:
    box = page.get_by_role("slider").bounding_box()
    page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] / 2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
