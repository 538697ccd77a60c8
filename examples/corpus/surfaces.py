"""Surfaces and art without words: one colour, gradients, abstract art, materials from very near."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from examples.corpus.grounds import graded, pick_tone, plain, view
from examples.corpus.photographs import bricks, fabric, foliage, wood
from examples.corpus.textures import (
    Rng,
    blend,
    make_noise,
    make_ramp,
    pick_colour,
    through_camera,
    to_image,
)


def blob_outline(rng: Rng, at: tuple[float, float], r: float, wobble: float) -> list[tuple[float, float]]:
    """The outline of an uneven disc."""
    turns = [(int(k), rng.uniform(0, 6.3), rng.normal(0, wobble / k)) for k in range(2, 6)]
    squash, lean = rng.uniform(0.65, 1.0), rng.uniform(0, math.pi)
    points = []
    for a in np.linspace(0, 2 * math.pi, 28, endpoint=False):
        reach = r * (1 + sum(size * math.sin(k * a + phase) for k, phase, size in turns))
        x, y = reach * math.cos(a), reach * squash * math.sin(a)
        points.append(
            (at[0] + x * math.cos(lean) - y * math.sin(lean), at[1] + x * math.sin(lean) + y * math.cos(lean))
        )
    return points


def plain_surface(rng: Rng, w: int, h: int) -> Image.Image:
    """One colour, perhaps with a soft shade, a vignette, grain or stains; sometimes black, white or grey."""
    how = rng.random()
    tone = (
        (0, 0, 0)
        if how < 0.06
        else (255, 255, 255)
        if how < 0.14
        else pick_tone(rng)
        if how < 0.7
        else pick_colour(rng, 0.3, 0.6)
    )
    rgb = np.zeros((h, w, 3), np.float32) + np.asarray(tone, np.float32)
    if rng.random() < 0.5:
        rgb += (make_ramp(rng, w, h) * rng.uniform(-70, 70))[..., None]
    if rng.random() < 0.3:
        x, y = np.linspace(-1, 1, w)[None, :], np.linspace(-1, 1, h)[:, None]
        rgb *= (1 - rng.uniform(0.05, 0.4) * (x * x + y * y))[..., None].astype(np.float32)
    if rng.random() < 0.4:
        rgb += rng.standard_normal((h, w, 1)).astype(np.float32) * rng.uniform(0.5, 10)
    if rng.random() < 0.25:
        rgb += (make_noise(rng, w, h, float(rng.uniform(1, 8)), 4) * rng.uniform(4, 30))[..., None]
    image = to_image(rgb)
    if rng.random() < 0.12:
        inset = round(min(w, h) * rng.uniform(0.02, 0.2))
        ImageDraw.Draw(image).rectangle(
            (inset, inset, w - inset, h - inset), outline=pick_tone(rng), width=max(1, inset // 6)
        )
    return image


def gradient_art(rng: Rng, w: int, h: int) -> Image.Image:
    """Two to five colours that flow into one another: meshes, glows, smoke, bands of light."""
    rgb = np.asarray(graded(rng, w, h), np.float32)
    x, y = np.linspace(0, 1, w)[None, :], np.linspace(0, 1, h)[:, None]
    warp = make_noise(rng, w, h, float(rng.uniform(1, 3)), int(rng.integers(1, 5))) * rng.choice([0, 0.3, 0.8])
    for _ in range(int(rng.integers(1, 5))):
        colour = np.asarray(pick_colour(rng, 0.8, 0.85), np.float32)
        if rng.random() < 0.6:
            far = np.hypot(x - rng.uniform(0, 1) + warp, y - rng.uniform(0, 1) + warp)
            share = np.exp(-((far / rng.uniform(0.15, 0.6)) ** 2))
        else:
            wave = np.sin(x * rng.uniform(1, 8) + rng.uniform(0, 6)) * 0.15
            share = np.exp(-(((y - rng.uniform(0.2, 0.8) + wave + warp) / rng.uniform(0.02, 0.2)) ** 2))
        rgb = rgb + (colour - rgb) * (share * rng.uniform(0.4, 1))[..., None].astype(np.float32)
    return to_image(rgb)


def abstract_art(rng: Rng, w: int, h: int) -> Image.Image:
    """Paintings without a subject: strokes, splashes, lines, mosaics, marbling, flat shapes."""
    how = rng.choice(["strokes", "mosaic", "marble", "shapes", "lines", "grid"])
    image = plain(rng, w, h)
    draw = ImageDraw.Draw(image)
    palette = [pick_colour(rng, 0.7, 0.7) for _ in range(5)]
    if how == "marble":
        field = make_noise(rng, w, h, 3, 5) * rng.uniform(2, 7) + make_ramp(rng, w, h) * 2
        bands = np.sin(field * math.pi) * 0.5 + 0.5
        return to_image(blend(palette[0], palette[1], bands) * (0.8 + 0.4 * make_ramp(rng, w, h))[..., None])
    if how == "mosaic":
        side = max(5, round(min(w, h) / rng.uniform(4, 30)))
        small = (
            view(rng, max(4, w // side), max(4, h // side))
            if rng.random() < 0.5
            else gradient_art(rng, w // side + 2, h // side + 2)
        )
        return small.resize((w, h), Image.Resampling.NEAREST)
    for _ in range(int(rng.integers(8, 60))):
        x, y, colour = rng.uniform(0, w), rng.uniform(0, h), palette[rng.integers(0, 5)]
        r = min(w, h) * rng.uniform(0.02, 0.3)
        if how == "strokes":
            steps = np.cumsum(rng.normal(0, r / 3, (6, 2)), axis=0)
            draw.line(
                [(float(x + p[0]), float(y + p[1])) for p in steps],
                fill=colour,
                width=max(2, int(r / 4)),
                joint="curve",
            )
        elif how == "shapes":
            draw.polygon(blob_outline(rng, (x, y), r, 0.2), fill=colour)
        elif how == "lines":
            draw.line((x, 0, rng.uniform(0, w), h), fill=colour, width=int(rng.integers(1, 6)))
        else:
            draw.rectangle((x, y, x + r * 2, y + r), fill=colour, outline=(15, 15, 15), width=int(rng.integers(1, 7)))
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(min(w, h) / 60))
    return image


def texture_macro(rng: Rng, w: int, h: int) -> Image.Image:
    """A surface from very near: fur, stone, rust, sand, water, bark, leaf, cloth."""
    how = int(rng.integers(0, 5))
    if how == 0:
        source = (foliage, wood, fabric, bricks)[rng.integers(0, 4)](rng, w, h)
        cut = (w // 4, h // 4, w // 4 + max(8, w // 3), h // 4 + max(8, h // 3))
        image = source.crop(cut).resize((w, h), Image.Resampling.BICUBIC)
    elif how == 1:  # fibres in one direction
        grain = Image.fromarray(rng.standard_normal((max(8, h // 12), w * 2)).astype(np.float32)).resize(
            (w * 2, h * 2)
        )
        turned = np.asarray(grain.rotate(float(rng.uniform(0, 180))).crop((w // 2, h // 2, w // 2 + w, h // 2 + h)))
        image = to_image(blend(pick_colour(rng, 0.4, 0.2), pick_colour(rng, 0.3, 0.8), turned * 0.35 + 0.5))
    elif how == 2:  # bumps lit from one side
        field = make_noise(rng, w, h, float(rng.uniform(6, 60)), 4)
        light = np.clip(
            0.5 + (np.roll(field, 2, 0) - field) * rng.uniform(0.6, 2) + (np.roll(field, 2, 1) - field), 0, 1
        )
        image = to_image(blend(pick_colour(rng, 0.5, 0.2), pick_colour(rng, 0.4, 0.85), light))
    elif how == 3:  # ridges, as of water or sand
        field = make_noise(rng, w, h, 3, 3)
        y = np.linspace(0, rng.uniform(8, 50), h)[:, None]
        ridge = np.sin((y + field * rng.uniform(1, 5)) * 2 * math.pi) * 0.5 + 0.5
        image = to_image(
            blend(pick_colour(rng, 0.5, 0.35), pick_colour(rng, 0.3, 0.9), ridge + 0.2 * make_noise(rng, w, h, 60, 2))
        )
    else:
        spots = np.clip(make_noise(rng, w, h, float(rng.uniform(8, 40)), 3) * 4, 0, 1)
        image = to_image(blend(pick_colour(rng, 0.6, 0.4, "earth"), pick_colour(rng, 0.4, 0.7), spots))
    if rng.random() < 0.5:
        image = Image.composite(
            image,
            image.filter(ImageFilter.GaussianBlur(w / 60)),
            Image.fromarray((255 * make_ramp(rng, w, h)).astype(np.uint8)),
        )
    return through_camera(rng, image)
