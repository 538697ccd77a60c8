"""Pictures rich in text: bar, line and pie charts."""

import math
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from examples.corpus.fonts import Style, pick_style
from examples.corpus.textures import Colour, Rng, make_canvas, mix, pick_colour, pick_text_px
from examples.corpus.words import Box, fit_width, pick_name, write_centred


def _plot_frame(rng: Rng, draw: ImageDraw.ImageDraw, size: tuple[int, int], ink: Colour) -> tuple[Box, Style, float]:
    """The plotting area, the labels' style, and the top of a y axis that has been drawn with ticks."""
    w, h = size
    style = pick_style(rng, max(10, pick_text_px(rng, w, h) * 0.85), ink)
    title = pick_name(rng, style.script, 4)
    heading = replace(fit_width(title, style, w * 0.5), is_bold=True)
    heading = replace(heading, size_px=min(heading.size_px, style.size_px * 2))
    write_centred(draw, (w / 2, heading.size_px), title, heading)
    top_value = float(rng.choice([1, 5, 10, 80, 100, 250, 4000]))
    box = (int(style.size_px * 3.8), int(heading.size_px * 2.4), w - 12, h - int(style.size_px * 2.4))
    for k in range(5):
        y = box[3] - (box[3] - box[1]) * k / 4
        draw.line((box[0], y, box[2], y), fill=mix(ink, (128, 128, 128), 0.75))
        draw.text((box[0] - 5, y), f"{top_value * k / 4:g}", font=style.font, fill=ink, anchor="rm")
    draw.line((box[0], box[1], box[0], box[3]), fill=ink, width=2)
    return box, style, top_value


def _chart_ground(rng: Rng) -> tuple[Colour, Colour]:
    dark = rng.random() < 0.2
    return ((28, 30, 38), (220, 222, 228)) if dark else ((255, 255, 255), (50, 50, 55))


def bar_chart(rng: Rng, w: int, h: int) -> Image.Image:
    """Bars, each with its label and value."""
    ground, ink = _chart_ground(rng)
    image, draw = make_canvas(w, h, ground)
    box, style, top_value = _plot_frame(rng, draw, (w, h), ink)
    count = max(2, min(int(rng.integers(3, 10)), (box[2] - box[0]) // (style.size_px * 3)))
    step = (box[2] - box[0]) / count
    colours = [pick_colour(rng) for _ in range(count if rng.random() < 0.4 else 1)]
    for k in range(count):
        value = float(rng.uniform(0.1, 0.95))
        x, y = box[0] + step * (k + 0.2), box[3] - value * (box[3] - box[1])
        draw.rectangle((x, y, x + step * 0.6, box[3]), fill=colours[k % len(colours)])
        write_centred(
            draw,
            (x + step * 0.3, y - style.size_px * 0.7),
            f"{value * top_value:.{0 if top_value > 99 else 2}f}",
            style,
        )
        label = pick_name(rng, style.script, 1)[:6]
        write_centred(draw, (x + step * 0.3, box[3] + style.size_px), label, style)
    return image


def line_chart(rng: Rng, w: int, h: int) -> Image.Image:
    """A few series over time, with a legend."""
    ground, ink = _chart_ground(rng)
    image, draw = make_canvas(w, h, ground)
    box, style, _ = _plot_frame(rng, draw, (w, h), ink)
    points = int(rng.integers(8, 60))
    for k in range(int(rng.integers(1, 5))):
        walk = np.cumsum(rng.standard_normal(points)) + rng.normal(0, 3)
        walk = (walk - walk.min()) / max(np.ptp(walk), 1e-6) * rng.uniform(0.3, 0.9) + rng.uniform(0, 0.1)
        x = np.linspace(box[0], box[2], points)
        colour = pick_colour(rng, 0.8, 0.75)
        draw.line(list(zip(x, box[3] - walk * (box[3] - box[1]), strict=True)), fill=colour, width=2)
        at = (box[0] + 12, box[1] + k * style.line_px)
        draw.rectangle((at[0], at[1] + 4, at[0] + 14, at[1] + 7), fill=colour)
        draw.text((at[0] + 20, at[1]), pick_name(rng, style.script, 2)[:16], font=style.font, fill=ink)
    count = max(2, min(7, (box[2] - box[0]) // (style.size_px * 4)))
    for k in range(count):
        x_at = box[0] + (box[2] - box[0]) * (k + 0.5) / count
        write_centred(draw, (x_at, box[3] + style.size_px), str(2012 + 2 * k), style)
    return image


def pie_chart(rng: Rng, w: int, h: int) -> Image.Image:
    """Slices with percentages and labels beside them."""
    ground, ink = _chart_ground(rng)
    image, draw = make_canvas(w, h, ground)
    style = pick_style(rng, pick_text_px(rng, w, h), ink)
    write_centred(draw, (w / 2, style.size_px), pick_name(rng, style.script, 4), replace(style, is_bold=True))
    shares = rng.dirichlet(np.ones(int(rng.integers(3, 8))) * 3)
    radius = min(w, h) * rng.uniform(0.26, 0.36)
    cx, cy = w * rng.uniform(0.35, 0.6), h * rng.uniform(0.5, 0.6)
    start = float(rng.uniform(0, 360))
    for share in shares:
        middle = math.radians(start + share * 180)
        box = (cx - radius, cy - radius, cx + radius, cy + radius)
        draw.pieslice(box, start, start + share * 360, fill=pick_colour(rng), outline=ground)
        start += float(share) * 360
        inside = (cx + math.cos(middle) * radius * 0.65, cy + math.sin(middle) * radius * 0.65)
        write_centred(draw, inside, f"{share:.0%}", replace(style, colour=(255, 255, 255), is_bold=True))
        outside = (cx + math.cos(middle) * radius * 1.18, cy + math.sin(middle) * radius * 1.1)
        anchor = "lm" if math.cos(middle) > 0 else "rm"
        draw.text(outside, pick_name(rng, style.script, 1), font=style.font, fill=ink, anchor=anchor)
    if rng.random() < 0.4:
        hole = radius * 0.45
        draw.ellipse((cx - hole, cy - hole, cx + hole, cy + hole), fill=ground)
    return image
