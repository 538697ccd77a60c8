"""Pictures without text that simple methods take for text: regular, sharp, two-tone, ruled or drawn in lines."""

import math

import numpy as np
from PIL import Image

from examples.corpus.textures import Rng, make_canvas, make_noise, mix, pick_colour, pick_paper, to_image


def qr_code(rng: Rng, w: int, h: int) -> Image.Image:
    """A square code of black and white modules with its three finders, on a plain ground."""
    image, draw = make_canvas(w, h, pick_paper(rng) if rng.random() < 0.6 else pick_colour(rng, 0.4, 0.8))
    count = int(rng.choice([21, 25, 29, 33, 41]))
    module = max(2, int(min(w, h) * rng.uniform(0.4, 0.95) / (count + 8)))
    left, top = (w - module * count) // 2, (h - module * count) // 2
    edge = 4 * module
    draw.rectangle((left - edge, top - edge, left + module * count + edge, top + module * count + edge), fill="white")
    for row, column in np.argwhere(rng.random((count, count)) < 0.5):
        x, y = left + int(column) * module, top + int(row) * module
        draw.rectangle((x, y, x + module - 1, y + module - 1), fill="black")
    for row, column in ((0, 0), (0, count - 7), (count - 7, 0)):
        for inset, colour in ((-1, "white"), (0, "black"), (1, "white"), (2, "black")):
            x, y = left + (column + inset) * module, top + (row + inset) * module
            side = (7 - 2 * inset) * module - 1
            draw.rectangle((x, y, x + side, y + side), fill=colour)
    return image


def bar_codes(rng: Rng, w: int, h: int) -> Image.Image:
    """Vertical bars of several widths."""
    image, draw = make_canvas(w, h, pick_paper(rng))
    top, bottom, x = int(h * rng.uniform(0.1, 0.4)), int(h * rng.uniform(0.6, 0.9)), int(w * 0.1)
    unit = int(rng.integers(1, 5))
    while x < w * 0.9:
        width = unit * int(rng.integers(1, 4))
        draw.rectangle((x, top, x + width - 1, bottom), fill=(15, 15, 15))
        x += width + unit * int(rng.integers(1, 4))
    return image


def keyboard(rng: Rng, w: int, h: int) -> Image.Image:
    """Keys in rows, seen from above, without letters."""
    body = pick_colour(rng, 0.1, float(rng.choice([0.15, 0.5, 0.85])))
    image, draw = make_canvas(w, h, body)
    key = max(10, w // int(rng.integers(8, 18)))
    top = mix(body, (255, 255, 255) if sum(body) < 380 else (0, 0, 0), float(rng.uniform(0.1, 0.5)))
    for row in range(h // key + 1):
        x = -int(rng.integers(0, key))
        while x < w:
            width = key * (int(rng.integers(2, 6)) if rng.random() < 0.1 else 1)
            box = (x + 2, row * key + 2, x + width - 3, row * key + key - 3)
            draw.rounded_rectangle(box, radius=key // 6, fill=top, outline=mix(top, (0, 0, 0), 0.4))
            x += width
    return image


def ruled_paper(rng: Rng, w: int, h: int) -> Image.Image:
    """Empty paper: ruled, squared or dotted, perhaps with a margin."""
    image, draw = make_canvas(w, h, pick_paper(rng))
    step, ink = int(rng.integers(8, 40)), pick_colour(rng, 0.4, 0.75)
    how = rng.choice(["ruled", "squared", "dotted", "staves"])
    for y in range(step, h, step):
        if how == "dotted":
            for x in range(step, w, step):
                draw.ellipse((x - 1, y - 1, x + 1, y + 1), fill=ink)
        elif how != "staves" or (y // step) % 8 < 5:
            draw.line((0, y, w, y), fill=ink)
    if how == "squared":
        for x in range(step, w, step):
            draw.line((x, 0, x, h), fill=ink)
    if rng.random() < 0.4:
        draw.line((w // 8, 0, w // 8, h), fill=(200, 60, 60), width=2)
    return image


def line_art(rng: Rng, w: int, h: int) -> Image.Image:
    """Curves, circles and hatching in ink, as in a drawing or a diagram without labels."""
    dark = rng.random() < 0.15
    image, draw = make_canvas(w, h, (24, 26, 32) if dark else pick_paper(rng))
    ink = (230, 230, 230) if dark else pick_colour(rng, 0.2, 0.2)
    width = int(rng.integers(1, 5))
    for _ in range(int(rng.integers(4, 40))):
        x, y, r = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0.02, 0.25) * min(w, h)
        kind = rng.choice(["curve", "circle", "hatch", "box", "arrow"])
        if kind == "curve":
            steps = np.cumsum(np.cumsum(rng.normal(0, 1.5, (30, 2)), axis=0), axis=0)
            draw.line([(float(x + p[0]), float(y + p[1])) for p in steps], fill=ink, width=width, joint="curve")
        elif kind == "circle":
            draw.ellipse((x - r, y - r, x + r, y + r), outline=ink, width=width)
        elif kind == "box":
            draw.rectangle((x - r, y - r / 2, x + r, y + r / 2), outline=ink, width=width)
        elif kind == "arrow":
            angle = rng.uniform(0, 2 * math.pi)
            draw.line((x, y, x + 2 * r * math.cos(angle), y + 2 * r * math.sin(angle)), fill=ink, width=width)
        else:
            gap = rng.uniform(3, 10)
            for k in range(int(r / gap)):
                draw.line((x + k * gap, y, x + k * gap + r / 2, y + r), fill=ink)
    return image


def windows(rng: Rng, w: int, h: int) -> Image.Image:
    """A facade of equal windows, some of them lit."""
    wall = pick_colour(rng, 0.25, 0.5)
    image, draw = make_canvas(w, h, wall)
    step_x, step_y = int(rng.integers(10, 60)), int(rng.integers(12, 70))
    pane = mix(wall, (10, 15, 30), 0.7)
    for y in range(4, h, step_y):
        for x in range(4, w, step_x):
            lit = (250, 230, 160) if rng.random() < 0.15 else pane
            draw.rectangle(
                (x, y, x + step_x * 0.6, y + step_y * 0.6), fill=lit, outline=mix(wall, (255, 255, 255), 0.4)
            )
    return image


def noise(rng: Rng, w: int, h: int) -> Image.Image:
    """Noise: of single pixels or coarser, grey or coloured, or of two tones."""
    kind = rng.choice(["white", "fractal", "two-tone"])
    if kind == "white":
        return to_image(rng.integers(0, 256, (h, w, 3)).astype(np.float32))
    field = make_noise(rng, w, h, coarse=float(rng.uniform(5, 90)), octaves=int(rng.integers(1, 6)))
    if kind == "two-tone":
        field = np.where(field > 0, 1.0, -1.0)
    return to_image(np.repeat((127 + 120 * field)[:, :, None], 3, axis=2))


def shapes(rng: Rng, w: int, h: int) -> Image.Image:
    """Small equal shapes in rows, as on wallpaper, packaging or a sheet of icons."""
    image, draw = make_canvas(w, h, pick_colour(rng, 0.2, 0.9))
    ink, size = pick_colour(rng, 0.6, 0.4), int(rng.integers(4, 26))
    gap = size * float(rng.uniform(1.3, 3))
    kind = rng.choice(["disc", "diamond", "dash", "cross", "arc"])
    for row in range(int(h / gap) + 1):
        for column in range(int(w / gap) + 1):
            x, y = (column + 0.5 * (row % 2)) * gap, row * gap
            if kind == "disc":
                draw.ellipse((x, y, x + size, y + size), fill=ink)
            elif kind == "diamond":
                half = size / 2
                draw.polygon([(x + half, y), (x + size, y + half), (x + half, y + size), (x, y + half)], fill=ink)
            elif kind == "dash":
                draw.rectangle((x, y, x + size * rng.uniform(0.3, 1), y + max(1, size // 4)), fill=ink)
            elif kind == "cross":
                draw.line((x, y, x + size, y + size), fill=ink, width=2)
                draw.line((x, y + size, x + size, y), fill=ink, width=2)
            else:
                draw.arc((x, y, x + size, y + size), float(rng.uniform(0, 180)), 300, fill=ink, width=2)
    return image


def bare_chart(rng: Rng, w: int, h: int) -> Image.Image:
    """Bars or lines in a frame, with no label and no number."""
    image, draw = make_canvas(w, h, pick_paper(rng))
    box = (int(w * 0.08), int(h * 0.08), int(w * 0.94), int(h * 0.92))
    draw.rectangle(box, outline=(120, 120, 120))
    count = int(rng.integers(3, 24))
    step = (box[2] - box[0]) / count
    heights = rng.uniform(0.1, 0.9, count) * (box[3] - box[1])
    if rng.random() < 0.5:
        for k, tall in enumerate(heights):
            draw.rectangle(
                (box[0] + step * (k + 0.2), box[3] - tall, box[0] + step * (k + 0.8), box[3]), fill=pick_colour(rng)
            )
    else:
        points = [(float(box[0] + step * (k + 0.5)), float(box[3] - tall)) for k, tall in enumerate(heights)]
        draw.line(points, fill=pick_colour(rng), width=int(rng.integers(1, 5)))
    return image


PATTERNS = (qr_code, bar_codes, keyboard, ruled_paper, line_art, windows, noise, shapes, bare_chart)
