"""What designs stand on: plain, graded, patterned and photographed grounds."""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from examples.corpus.photographs import bokeh, bricks, city, fabric, foliage, landscape, person, still_life, wood
from examples.corpus.textures import (
    Colour,
    Rng,
    blend,
    make_canvas,
    make_noise,
    make_ramp,
    mix,
    pick_colour,
    pick_paper,
    to_image,
)

Ground = Callable[[Rng, int, int], Image.Image]
VIEWS: tuple[Ground, ...] = (landscape, landscape, city, person, still_life, foliage, bokeh, bricks, wood, fabric)


def pick_tone(rng: Rng) -> Colour:
    """A colour for a ground: near black, near white, strong or pale."""
    how = rng.random()
    if how < 0.22:
        return pick_colour(rng, 0.4, 0.1)
    if how < 0.44:
        return pick_paper(rng)
    if how < 0.8:
        return pick_colour(rng, 0.75, 0.7)
    return pick_colour(rng, 0.2, 0.9)


def view(rng: Rng, w: int, h: int) -> Image.Image:
    """Some photograph without words; a small one is drawn larger, so that it has the usual detail."""
    scale = max(1.0, 240 / max(w, h, 1))
    size = (max(40, round(w * scale)), max(40, round(h * scale)))
    drawn = VIEWS[rng.integers(0, len(VIEWS))](rng, *size)
    return drawn if drawn.size == (w, h) else drawn.resize((w, h))


def plain(rng: Rng, w: int, h: int) -> Image.Image:
    """One colour."""
    return Image.new("RGB", (w, h), pick_tone(rng))


def graded(rng: Rng, w: int, h: int) -> Image.Image:
    """From one colour to another, straight or from the middle."""
    a, b = pick_tone(rng), pick_tone(rng)
    if rng.random() < 0.5:
        b = mix(a, (0, 0, 0) if rng.random() < 0.5 else (255, 255, 255), float(rng.uniform(0.3, 0.8)))
    field = make_ramp(rng, w, h)
    if rng.random() < 0.4:
        x, y = np.linspace(-1, 1, w)[None, :], np.linspace(-1, 1, h)[:, None]
        field = np.sqrt((x - rng.uniform(-0.5, 0.5)) ** 2 + (y - rng.uniform(-0.5, 0.5)) ** 2) / 1.4
    return to_image(blend(a, b, field))


def toned_view(rng: Rng, w: int, h: int) -> Image.Image:
    """A photograph made calm: blurred, darkened, paled, or in two tones."""
    image = view(rng, w, h)
    how = rng.random()
    if how < 0.25:
        return image
    if how < 0.5:
        return ImageEnhance.Brightness(image).enhance(float(rng.uniform(0.25, 0.6)))
    if how < 0.65:
        return image.filter(ImageFilter.GaussianBlur(max(2, w / 60)))
    if how < 0.78:
        return Image.blend(image, Image.new("RGB", image.size, (255, 255, 255)), float(rng.uniform(0.3, 0.65)))
    dark, light = pick_colour(rng, 0.8, 0.2), pick_colour(rng, 0.5, 0.9)
    return ImageOps.colorize(image.convert("L"), dark, light)


def rays(rng: Rng, w: int, h: int) -> Image.Image:
    """Rays of two colours from one point."""
    a = pick_colour(rng, 0.75, 0.8)
    b = mix(a, (255, 255, 255) if rng.random() < 0.5 else (0, 0, 0), float(rng.uniform(0.1, 0.5)))
    x, y = np.arange(w)[None, :] - w * rng.uniform(0.2, 0.8), np.arange(h)[:, None] - h * rng.uniform(0.2, 1.0)
    count = int(rng.integers(8, 30))
    swirl = rng.choice([0, 0, 0.01]) * np.hypot(x, y)
    return to_image(blend(a, b, (np.sin(np.arctan2(y, x) * count + swirl) > 0) * 1.0))


def stripes(rng: Rng, w: int, h: int) -> Image.Image:
    """Stripes, checks or dots."""
    a = pick_tone(rng)
    b = mix(a, pick_tone(rng), float(rng.uniform(0.2, 1)))
    x, y = np.arange(w)[None, :], np.arange(h)[:, None]
    angle, pitch = rng.choice([0, 0.785, 1.571, 0.4]), max(6, w / rng.uniform(6, 40))
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kind = rng.choice(["stripe", "check", "dot", "halftone"])
    if kind == "stripe":
        field = np.sin(u * 2 * math.pi / pitch) > rng.uniform(-0.4, 0.6)
    elif kind == "check":
        field = (np.sin(u * 2 * math.pi / pitch) * np.sin(v * 2 * math.pi / pitch)) > 0
    else:
        size = rng.uniform(0.6, 1.4) if kind == "dot" else 2.2 * y / h
        field = np.cos(u * 2 * math.pi / pitch) + np.cos(v * 2 * math.pi / pitch) > 2 - size
    return to_image(blend(a, b, field * 1.0))


def blobs(rng: Rng, w: int, h: int) -> Image.Image:
    """Large flat discs, rings, bands and triangles on a plain ground."""
    tone = pick_tone(rng)
    image, draw = make_canvas(w, h, tone)
    palette = [mix(tone, pick_colour(rng, 0.7, 0.75), float(rng.uniform(0.15, 1))) for _ in range(3)]
    for _ in range(int(rng.integers(2, 14))):
        x, y, r = rng.uniform(0, w), rng.uniform(0, h), min(w, h) * rng.uniform(0.04, 0.45)
        fill, kind = palette[rng.integers(0, 3)], rng.integers(0, 4)
        if kind == 0:
            draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)
        elif kind == 1:
            draw.ellipse((x - r, y - r, x + r, y + r), outline=fill, width=max(2, int(r / 5)))
        elif kind == 2:
            draw.rounded_rectangle((x - r * 2, y - r / 4, x + r * 2, y + r / 4), int(r / 4), fill=fill)
        else:
            points = [(x + r * math.cos(a), y + r * math.sin(a)) for a in rng.uniform(0, 6.3, 3)]
            draw.polygon(points, fill=fill)
    return image


def waves(rng: Rng, w: int, h: int) -> Image.Image:
    """Curved layers of one colour in steps."""
    a, b = pick_tone(rng), pick_tone(rng)
    image, draw = make_canvas(w, h, a)
    count = int(rng.integers(2, 7))
    for k in range(count):
        base, tall = h * (0.3 + 0.65 * (k + 1) / (count + 1)), h * rng.uniform(0.02, 0.15)
        phase, turns = rng.uniform(0, 6.3), rng.uniform(0.5, 2.5)
        line = [(x, base + tall * math.sin(phase + turns * 6.3 * x / w)) for x in range(0, w + 8, 8)]
        draw.polygon([(0.0, float(h)), *line, (float(w), float(h))], fill=mix(a, b, (k + 1) / count))
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if rng.random() < 0.3 else image


def split(rng: Rng, w: int, h: int) -> Image.Image:
    """Two or three areas, parted by slanting or straight edges; one may be a photograph."""
    image = plain(rng, w, h)
    for _ in range(int(rng.integers(1, 3))):
        mask = Image.new("L", (w, h), 0)
        at, lean = w * rng.uniform(0.3, 0.75), w * rng.choice([0, 0, 0.1, -0.1, 0.25, -0.25])
        right = w if rng.random() < 0.6 else 0
        ImageDraw.Draw(mask).polygon([(at + lean, 0), (right, 0), (right, h), (at - lean, h)], fill=255)
        image.paste(view(rng, w, h) if rng.random() < 0.35 else plain(rng, w, h), (0, 0), mask)
    return image


def paper(rng: Rng, w: int, h: int) -> Image.Image:
    """Old paper, cloth or concrete: one tone with soft stains and grain."""
    tone = np.asarray(pick_tone(rng), np.float32)
    field = 1 + rng.uniform(0.04, 0.3) * make_noise(rng, w, h, float(rng.uniform(2, 12)), 5)
    grain = rng.standard_normal((h, w)).astype(np.float32) * rng.uniform(0, 9)
    return to_image(tone * field[..., None] + grain[..., None])


def sparks(rng: Rng, w: int, h: int) -> Image.Image:
    """Stars, confetti or bubbles over a graded ground."""
    image = graded(rng, w, h)
    draw = ImageDraw.Draw(image)
    palette = [(255, 255, 255)] if rng.random() < 0.5 else [pick_colour(rng, 0.8, 0.9) for _ in range(5)]
    size = min(w, h) * rng.uniform(0.003, 0.02)
    for _ in range(int(rng.integers(30, 260))):
        x, y, r = rng.uniform(0, w), rng.uniform(0, h), size * rng.uniform(0.3, 1.8)
        fill = palette[rng.integers(0, len(palette))]
        if rng.random() < 0.5:
            draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)
        else:
            draw.line((x - r, y - r / 2, x + r, y + r / 2), fill=fill, width=max(1, int(r)))
    return image


def horizon(rng: Rng, w: int, h: int) -> Image.Image:
    """A glowing grid to the horizon, with a sun."""
    hue, dark = pick_colour(rng, 0.85, 0.9), pick_colour(rng, 0.7, 0.15)
    level = int(h * rng.uniform(0.4, 0.7))
    image = to_image(blend(dark, hue, np.linspace(-0.3, 0.8, h)[:, None].repeat(w, 1)))
    draw = ImageDraw.Draw(image)
    r = min(w, h) * rng.uniform(0.15, 0.35)
    draw.ellipse((w / 2 - r, level - r * 1.3, w / 2 + r, level + r * 0.7), fill=pick_colour(rng, 0.6, 0.97))
    draw.rectangle((0, level, w, h), fill=dark)
    for k in range(-20, 21):
        draw.line((w / 2 + k * w / 40, level, w / 2 + k * w / 5, h), fill=hue)
    y = 2.0
    while level + y < h:
        draw.line((0, level + y, w, level + y), fill=hue)
        y *= 1.35
    return image


GROUNDS: tuple[tuple[Ground, float], ...] = (
    (plain, 0.2), (graded, 0.14), (toned_view, 0.26), (rays, 0.05), (stripes, 0.05), (blobs, 0.07),
    (waves, 0.05), (split, 0.07), (paper, 0.05), (sparks, 0.04), (horizon, 0.02),
)  # fmt: skip


def pick_ground(rng: Rng, w: int, h: int) -> Image.Image:
    """Some ground for a design."""
    weights = np.array([share for _, share in GROUNDS])
    return GROUNDS[rng.choice(len(GROUNDS), p=weights / weights.sum())][0](rng, w, h)
