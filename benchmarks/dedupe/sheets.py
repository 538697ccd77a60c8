"""Sheets of pairs of pictures, to look at."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFont

SIDE_PIXELS, CAPTION_PIXELS, MARGIN_PIXELS, FONT_PIXELS = 420, 18, 8, 12
PAIRS_A_SHEET = 8
DETAIL_PIXELS = 160  # of the page's own pixels around what differs most


def draw_pairs(pairs: Iterable[tuple[str, bytes, bytes]], path: Path) -> int:
    """Draw pairs into the file at `path`, and into further numbered ones beside it; return how many pairs.

    In each row are both pictures, and what differs most in either, enlarged, if their sizes agree in proportion.
    """
    count, rows, sheet = 0, [], 1
    path.parent.mkdir(parents=True, exist_ok=True)
    for count, (caption, first, second) in enumerate(pairs, start=1):  # noqa: B007 - the number of the last
        rows.append(_row(caption, *(Image.open(io.BytesIO(data)).convert("RGB") for data in (first, second))))
        if len(rows) == PAIRS_A_SHEET:
            _stack(rows).save(path.with_stem(f"{path.stem}-{sheet}"))
            rows, sheet = [], sheet + 1
    if rows:
        _stack(rows).save(path.with_stem(f"{path.stem}-{sheet}"))
    return count


def _stack(rows: list[Image.Image]) -> Image.Image:
    out = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), "white")
    y = 0
    for row in rows:
        out.paste(row, (0, y))
        y += row.height
    return out


def _row(caption: str, first: Image.Image, second: Image.Image) -> Image.Image:
    pictures = [_fit(first), _fit(second), *(_fit(each, enlarge=True) for each in _details(first, second))]
    out = Image.new("RGB", (4 * (SIDE_PIXELS + MARGIN_PIXELS), SIDE_PIXELS + CAPTION_PIXELS + MARGIN_PIXELS), "white")
    sizes = f"{first.width} × {first.height}, {second.width} × {second.height}"
    font = ImageFont.load_default(FONT_PIXELS)
    ImageDraw.Draw(out).text((2, 2), f"{caption}   {sizes}", "black", font)
    for place, picture in enumerate(pictures):
        out.paste(picture, (place * (SIDE_PIXELS + MARGIN_PIXELS), CAPTION_PIXELS))
    return out


def _fit(picture: Image.Image, *, enlarge: bool = False) -> Image.Image:
    scale = SIDE_PIXELS / max(picture.size)
    if scale > 1 and not enlarge:
        return picture
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST)


def _details(first: Image.Image, second: Image.Image) -> list[Image.Image]:
    """Return the place of either picture where they differ most, after their tones are made alike."""
    size = min(first.size, second.size)
    grey = [each.convert("L").resize(size, Image.Resampling.BOX) for each in (first, second)]
    coarse = np.asarray(ImageChops.difference(*grey).reduce(16), np.float32)
    coarse -= np.median(coarse)
    row, column = np.unravel_index(int(coarse.argmax()), coarse.shape)
    found = []
    for each in (first, second):
        x, y = (column + 0.5) / coarse.shape[1] * each.width, (row + 0.5) / coarse.shape[0] * each.height
        reach = DETAIL_PIXELS / 2 * each.width / max(first.width, second.width)
        found.append(each.crop((round(x - reach), round(y - reach), round(x + reach), round(y + reach))))
    return found
