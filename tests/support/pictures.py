"""Pictures that tests of text look at: pages as they come, and what only resembles them."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from examples.corpus.fonts import pick_style
from filters.protocol import Rgb

LINES = [f"Line {row} of the report: {row * 37} items sold at {row}.95 each" for row in range(1, 19)]


def render(
    lines: Sequence[str], *, size_pixels: int = 16, ink: int = 0, paper: int = 255, script: str = "", least: int = 0
) -> Rgb:
    """Return lines of text on paper, in Pillow's own font or in one that has `script`."""
    style = pick_style(np.random.default_rng(3), size_pixels, (0, 0, 0), script) if script else None
    font = style.font if style else ImageFont.load_default(size_pixels)
    step = round(size_pixels * 1.6)
    width, height = 40 + round(max(font.getlength(line) for line in lines)), 40 + step * len(lines)
    page = Image.new("RGB", (max(least, width), max(least, height)), (paper,) * 3)
    pen = ImageDraw.Draw(page)
    for row, line in enumerate(lines):
        pen.text((20, 20 + row * step), line, font=font, fill=(ink,) * 3)
    return np.asarray(page)


def noise(height: int = 300, width: int = 400) -> Rgb:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def landscape() -> Rgb:
    """Return smooth hills under a sky, with grain: no text, no sharp edges."""
    rows, columns = np.mgrid[0:300, 0:450]
    hills = 150 + 60 * np.sin(columns / 70) * np.cos(rows / 45) - rows / 4
    grain = np.random.default_rng(1).normal(0, 6, (300, 450))
    grey = np.clip(hills + grain, 0, 255)
    return np.stack([grey, grey * 0.9, grey * 0.7], axis=-1).astype(np.uint8)


def on_landscape(word: Rgb, *, left: int = 60, top: int = 100) -> Rgb:
    """Return hills with `word`, a rendered page, standing in them as a sign."""
    rgb = landscape()
    rgb[top : top + word.shape[0], left : left + word.shape[1]] = word[: 300 - top, : 450 - left] // 2 + 60
    return rgb


def turned(rgb: Rgb, degrees: float, paper: int = 255) -> Rgb:
    """Return `rgb` turned, on a ground of `paper`."""
    image = Image.fromarray(rgb).rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=(paper,) * 3)
    return np.asarray(image)


def as_jpeg(rgb: Rgb, quality: int = 60) -> Rgb:
    """Return `rgb` as it comes back from JPEG."""
    return cv2.imdecode(cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)[:, :, ::-1]
