"""Colours, fields of numbers that become surfaces, and what a camera or a scanner does to a picture."""

import colorsys
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Rng = np.random.Generator

HUES = {  # centre and spread, of 1
    "sky": (0.57, 0.05),
    "dusk": (0.05, 0.06),
    "earth": (0.09, 0.04),
    "grass": (0.27, 0.06),
    "brick": (0.03, 0.03),
    "wood": (0.075, 0.02),
}


def pick_colour(rng: Rng, saturation: float = 0.6, value: float = 0.7, of: str = "") -> Colour:
    """A colour near this saturation and value, of any hue or `of` what is named in HUES."""
    s = float(np.clip(saturation + rng.normal(0, 0.12), 0, 1))
    v = float(np.clip(value + rng.normal(0, 0.1), 0, 1))
    hue = float(rng.random())
    if of in HUES:
        hue = float(rng.normal(*HUES[of])) % 1
    r, g, b = colorsys.hsv_to_rgb(hue, s, v)
    return round(r * 255), round(g * 255), round(b * 255)


def mix(a: Colour, b: Colour, share_of_b: float) -> Colour:
    """A colour between `a` (at 0) and `b` (at 1)."""
    r, g, b_ = (round(x + (y - x) * share_of_b) for x, y in zip(a, b, strict=True))
    return r, g, b_


def make_noise(rng: Rng, w: int, h: int, coarse: float = 3, octaves: int = 5) -> np.ndarray:
    """Fractal noise, (h, w) float32 about within -1..1; `coarse` cells across the longer side at first."""
    total = np.zeros((h, w), np.float32)
    for k in range(octaves):
        cells = coarse * 2**k / max(w, h)
        grid = rng.standard_normal((max(2, round(h * cells) + 1), max(2, round(w * cells) + 1)))
        layer = Image.fromarray(grid.astype(np.float32)).resize((w, h), Image.Resampling.BICUBIC)
        total += np.asarray(layer) * 0.5 ** (k + 1)
    return total


def to_image(rgb: np.ndarray) -> Image.Image:
    """An RGB image of (h, w, 3) numbers, clipped to 0..255."""
    return Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))


def blend(a: Colour, b: Colour, share_of_b: np.ndarray) -> np.ndarray:
    """(h, w, 3) float32 from `a` to `b` where `share_of_b` goes from 0 to 1."""
    t = np.clip(share_of_b, 0, 1)[..., None].astype(np.float32)
    blended: np.ndarray = np.asarray(a, np.float32) * (1 - t) + np.asarray(b, np.float32) * t
    return blended


def make_ramp(rng: Rng, w: int, h: int) -> np.ndarray:
    """A gradient from 0 to 1 in a random direction, (h, w)."""
    angle = rng.uniform(0, 2 * math.pi)
    field = np.cos(angle) * np.linspace(-1, 1, w)[None, :] + np.sin(angle) * np.linspace(-1, 1, h)[:, None]
    ramp: np.ndarray = ((field - field.min()) / np.ptp(field)).astype(np.float32)
    return ramp


def through_camera(rng: Rng, image: Image.Image) -> Image.Image:
    """`image` as a camera would have it: a little blur, uneven light, a vignette, and sensor noise."""
    w, h = image.size
    soft = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 0.9))))
    rgb = np.asarray(soft, np.float32)
    x, y = np.linspace(-1, 1, w)[None, :], np.linspace(-1, 1, h)[:, None]
    light = 1 - rng.uniform(0, 0.22) * (x * x + y * y) + rng.uniform(-0.15, 0.15) * x
    grain = rng.standard_normal((h, w, 1), dtype=np.float32) * rng.uniform(1, 4)
    return to_image(rgb * light[..., None].astype(np.float32) * rng.uniform(0.85, 1.1) + grain)


def perhaps_scanned(rng: Rng, page: Image.Image) -> Image.Image:
    """`page` as it is, or (one in three) as a scanner or a phone would have it."""
    if rng.random() > 0.33:
        return page
    fill = page.getpixel((1, 1))
    turned = page.rotate(float(rng.normal(0, 1.2)), Image.Resampling.BICUBIC, fillcolor=fill)
    shade = 1 - 0.25 * rng.random() * make_ramp(rng, *page.size) + 0.02 * make_noise(rng, *page.size, octaves=3)
    grain = rng.standard_normal((page.height, page.width, 1), dtype=np.float32) * rng.uniform(0, 3)
    return to_image(np.asarray(turned, np.float32) * shade[..., None] + grain)


def make_canvas(w: int, h: int, colour: Colour) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A plain image of one colour, and what draws on it."""
    image = Image.new("RGB", (w, h), colour)
    return image, ImageDraw.Draw(image)


def pick_paper(rng: Rng) -> Colour:
    """White, or a warmer tone of it."""
    warm = int(rng.integers(0, 22))
    return 255 - warm // 3, 255 - warm // 2, 255 - warm


def pick_text_px(rng: Rng, w: int, h: int) -> float:
    """A size for running text on a picture of this size."""
    return max(10.0, float(rng.uniform(0.016, 0.026)) * math.sqrt(w * h) + 3)
