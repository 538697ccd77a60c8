"""Diagrams that are drawings: cells with pointers, rings, cycles, labelled outlines, circuits, geometry."""

import itertools
import math
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from examples.corpus.fonts import pick_style
from examples.corpus.looks import (
    Look,
    Point,
    bend,
    pick_fill,
    pick_label,
    pick_look,
    put_arrow,
    put_dashes,
    put_node,
    smooth,
    write_inside,
    write_title,
)
from examples.corpus.textures import Rng, make_canvas, mix
from examples.corpus.words import pick_name, pick_phrase, write_centred

SHAPES = ("drum", "round", "disc", "slanted")
FORMULAS = (
    "a² + b² = c²", "E = mc²", "f(x) = ax² + b", "x + y = 9", "x > 0", "α + β = 180°", "r = 2", "y = sin x",
    "F = m·a", "V = πr²h", "sin θ", "|v| = 5", "n > 0", "dx/dt", "p(x)", "λ = 3", "Δt", "d = 2r", "90°", "45°",
)  # fmt: skip


@smooth
def cells(rng: Rng, w: int, h: int) -> Image.Image:
    """Rows of cells with values, as memory or a list is drawn, with indices, names and pointers."""
    look, manner = pick_look(rng, w, h), float(rng.random())
    image, draw = make_canvas(w, h, look.ground)
    rows, size = int(rng.integers(1, 5)), look.style.size_px
    top, count = write_title(rng, image, look), int(rng.integers(2, 11))
    gap = float(rng.choice([0, 0, 0.5]))
    wide = min(w * 0.7 / (count * (1 + gap)), size * 5)
    tall, left = (
        min(wide, size * 2, (h - top) / rows * 0.5),
        (w - wide * count * (1 + gap)) * (0.9 if manner < 0.6 else 0.5),
    )
    kind = str(rng.choice(["bit", "hex", "int", "name"]))
    for row in range(rows):
        y = top + (h - top) / rows * (row + 0.3)
        if manner < 0.6:
            draw.text((left - size / 2, y + tall / 2), pick_name(rng, look.style.script, 1)[:5], font=look.style.font,
                      fill=look.ink, anchor="rm")  # fmt: skip
        for k in range(count):
            x = left + wide * k * (1 + gap)
            fill, ink = pick_fill(rng, look, int(rng.random() < 0.2), manner)
            put_node(image, (x, y, x + wide, y + tall), "box", look, fill)
            value = {
                "bit": str(rng.integers(0, 2)),
                "hex": f"{rng.integers(0, 256):02x}",
                "int": str(rng.integers(0, 100)),
                "name": pick_name(rng, look.style.script, 1),
            }[kind]
            write_inside(draw, (x + 3, y, x + wide - 3, y + tall), value, look.sized(1, ink))
            if manner < 0.3:
                write_centred(draw, (x + wide / 2, y - size * 0.6), str(k), look.sized(0.7))
            if gap and k:
                put_arrow(draw, [(x - wide * gap, y + tall / 2), (x, y + tall / 2)], look.ink, look.px)
        if row + 1 < rows and rng.random() < 0.7:
            a, b = (left + wide * (1 + gap) * (float(v) + 0.5) for v in rng.integers(0, count, 2))
            end = (b, top + (h - top) / rows * (row + 1.3))
            put_arrow(draw, bend((a, y + tall), end, float(rng.choice([0, 0.2]))), look.ink, look.px * 2)
    return image


@smooth
def venn(rng: Rng, w: int, h: int) -> Image.Image:
    """Two to four rings that overlap, with their names."""
    look = pick_look(rng, w, h)
    image, _ = make_canvas(w, h, look.ground)
    top, count = write_title(rng, image, look), int(rng.integers(2, 5))
    r, turn, filled = min(w, h - top) * 0.27, float(rng.uniform(0, 6)), bool(rng.random() < 0.7)
    middle = (w / 2, (h + top) / 2)
    spots = []
    for k in range(count):
        a = turn + 2 * math.pi * k / count
        spots.append((middle[0] + r * 0.62 * math.cos(a), middle[1] + r * 0.62 * math.sin(a)))
        x, y = spots[-1]
        if filled:
            mask = Image.new("L", (w, h))
            ImageDraw.Draw(mask).ellipse((x - r, y - r, x + r, y + r), fill=120)
            image.paste(look.colour(k), (0, 0), mask)
    draw = ImageDraw.Draw(image)
    for k, (x, y) in enumerate(spots):
        draw.ellipse(
            (x - r, y - r, x + r, y + r), outline=look.ink if not filled else look.colour(k), width=look.px * 2
        )
        out = (middle[0] + (x - middle[0]) * 1.5, middle[1] + (y - middle[1]) * 1.5)
        area = (out[0] - r * 0.5, out[1] - r * 0.3, out[0] + r * 0.5, out[1] + r * 0.3)
        write_inside(draw, area, pick_label(rng, look, 2), look.style)
    if rng.random() < 0.5:
        area = (middle[0] - r * 0.35, middle[1] - r * 0.2, middle[0] + r * 0.35, middle[1] + r * 0.2)
        write_inside(draw, area, pick_label(rng, look, 1), look.sized(0.9, bold=True))
    return image


def _cycle(rng: Rng, image: Image.Image, look: Look, top: float) -> None:
    w, h, draw = image.width, image.height, ImageDraw.Draw(image)
    count, reach = int(rng.integers(3, 7)), (w * 0.32, (h - top) * 0.34)
    half, manner = (min(w, h) * 0.12, min(w, h) * 0.07), float(rng.random())
    for k in range(count):
        a, b = (2 * math.pi * (k + d) / count - 1.57 for d in (0, 1))
        turns = np.linspace(a + 0.42, b - 0.5, 12)
        path = [(w / 2 + reach[0] * math.cos(t), (h + top) / 2 + reach[1] * math.sin(t)) for t in turns]
        put_arrow(draw, path, look.colour(k) if manner > 0.5 else look.ink, look.px * 3)
        x, y = w / 2 + reach[0] * math.cos(a), (h + top) / 2 + reach[1] * math.sin(a)
        area = (x - half[0], y - half[1], x + half[0], y + half[1])
        fill, ink = pick_fill(rng, look, k, manner)
        put_node(image, area, "round" if manner < 0.6 else "disc", look, fill)
        write_inside(draw, area, pick_label(rng, look, 2), look.sized(0.9, ink))


def _pyramid(rng: Rng, image: Image.Image, look: Look, top: float) -> None:
    w, h, draw = image.width, image.height, ImageDraw.Draw(image)
    count, flip, low = int(rng.integers(3, 7)), bool(rng.random() < 0.4), h - look.style.size_px
    beside = bool(rng.random() < 0.4)
    cx, reach = (w * 0.33, w * 0.28) if beside else (w / 2, w * 0.44)
    for k in range(count):
        y0, y1 = top + (low - top) * k / count, top + (low - top) * (k + 0.95) / count
        s0, s1 = (reach * (1 - k / count), reach * (1 - (k + 0.95) / count)) if flip else (
            reach * k / count, reach * (k + 0.95) / count)  # fmt: skip
        fill, ink = pick_fill(rng, look, k, 0.9)
        draw.polygon([(cx - s0, y0), (cx + s0, y0), (cx + s1, y1), (cx - s1, y1)], fill=fill)
        room = max(min(s0, s1), reach * 0.15)
        if beside:
            draw.line((cx + max(s0, s1), (y0 + y1) / 2, w * 0.64, (y0 + y1) / 2), fill=look.pale(0.4), width=look.px)
            write_inside(draw, (w * 0.65, y0, w * 0.98, y1), pick_label(rng, look), look.style)
        else:
            write_inside(draw, (cx - room, y0, cx + room, y1), pick_label(rng, look, 2), look.sized(0.9, ink))


def _steps(rng: Rng, image: Image.Image, look: Look, top: float) -> None:
    w, h, draw = image.width, image.height, ImageDraw.Draw(image)
    count, down = int(rng.integers(2, 6)), bool(h > w)
    for k in range(count):
        area = (w * 0.05, top + (h - top) * (k + 0.1) / count, w * 0.95, top + (h - top) * (k + 0.9) / count)
        if not down:
            area = (w * (k + 0.06) / count, top + (h - top) * 0.12, w * (k + 0.94) / count, h * 0.9)
        fill, _ = pick_fill(rng, look, k, 0.6)
        put_node(image, area, "round", replace(look, ink=look.colour(k)), fill)
        r = min(area[2] - area[0], area[3] - area[1]) * 0.22
        x, y = (area[0] + r * 1.5, (area[1] + area[3]) / 2) if down else ((area[0] + area[2]) / 2, area[1] + r * 1.5)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=look.colour(k))
        mark = str(k + 1) if rng.random() < 0.6 else f"{rng.integers(1, 100)}%"
        write_inside(draw, (x - r, y - r, x + r, y + r), mark, look.sized(1.5, (255, 255, 255), bold=True))
        room = (
            (x + r * 1.4, area[1], area[2] - 8, area[3]) if down else (area[0] + 8, y + r * 1.2, area[2] - 8, area[3])
        )
        text = pick_label(rng, look) if rng.random() < 0.5 else pick_phrase(rng, look.style.script, 7)
        write_inside(draw, room, text, look.style)


@smooth
def infographic(rng: Rng, w: int, h: int) -> Image.Image:
    """A cycle, a pyramid or numbered panels, each part with a few words."""
    look = pick_look(rng, w, h)
    image, _ = make_canvas(w, h, look.ground)
    top = write_title(rng, image, look, 0.55)
    (_cycle, _pyramid, _steps)[int(rng.integers(0, 3))](rng, image, look, top)
    return image


def _blob(rng: Rng, at: Point, rx: float, ry: float, rough: float) -> list[Point]:
    phases = rng.uniform(0, 6, 4)
    path = []
    for t in np.linspace(0, 2 * math.pi, 72):
        r = 1 + rough * sum(math.sin((k + 2) * t + p) / (k + 1) for k, p in enumerate(phases))
        path.append((at[0] + rx * r * math.cos(t), at[1] + ry * r * math.sin(t)))
    return path


@smooth
def labelled_drawing(rng: Rng, w: int, h: int) -> Image.Image:
    """The outline of a thing with parts in it, as in a book of science, and lines that lead to names."""
    look = pick_look(rng, w, h, dark=0.08)
    image, draw = make_canvas(w, h, look.ground)
    top, tinted, px = write_title(rng, image, look), bool(rng.random() < 0.5), look.px * int(rng.integers(2, 4))
    middle, reach = (
        (w / 2, (h + top) / 2),
        (w * float(rng.uniform(0.14, 0.24)), (h - top) * float(rng.uniform(0.25, 0.38))),
    )
    body = mix(look.colour(0), look.ground, 0.75) if tinted else look.ground
    kind = str(rng.choice(["blob", "device", "layers", "rings", "machine"], p=[0.3, 0.22, 0.14, 0.1, 0.24]))
    if kind == "rings":
        reach = (min(reach), min(reach))
    parts: list[Point] = []
    if kind == "device":
        area = (middle[0] - reach[0], middle[1] - reach[1], middle[0] + reach[0], middle[1] + reach[1])
        draw.rounded_rectangle(area, reach[0] * 0.2, fill=body, outline=look.ink, width=px)
    elif kind in ("blob", "rings"):
        rough = 0.0 if kind == "rings" else 0.12
        draw.polygon(_blob(rng, middle, *reach, rough), fill=body, outline=look.ink, width=px)
    for k in range(int(rng.integers(3, 9))):
        share = k / 9
        at = (
            middle[0] + reach[0] * float(rng.uniform(-0.6, 0.6)),
            middle[1] + reach[1] * float(rng.uniform(-0.7, 0.7)),
        )
        fill = mix(look.colour(k + 1), look.ground, 0.5) if tinted else look.ground
        r = min(reach) * float(rng.uniform(0.06, 0.25))
        if kind == "layers":
            y = middle[1] + reach[1] * (share * 2.2 - 1)
            at = (middle[0] + reach[0] * float(rng.uniform(-0.8, 0.8)), y + reach[1] * 0.1)
            draw.rectangle((middle[0] - reach[0], y, middle[0] + reach[0], y + reach[1] * 0.24), fill=fill,
                           outline=look.ink, width=px)  # fmt: skip
        elif kind == "rings":
            size = (reach[0] * (0.9 - share), reach[1] * (0.9 - share))
            at = (
                middle[0] + size[0] * 0.7 * float(rng.choice([-1, 1])),
                middle[1] + size[1] * float(rng.uniform(-0.7, 0.7)),
            )
            ring = (middle[0] - size[0], middle[1] - size[1], middle[0] + size[0], middle[1] + size[1])
            draw.ellipse(ring, fill=fill, outline=look.ink, width=px)
        elif kind == "machine":
            at = (middle[0] + reach[0] * float(rng.uniform(-1, 1)), middle[1] + reach[1] * (share * 2.1 - 0.9))
            if parts:
                draw.line((*parts[-1], *at), fill=look.ink, width=px * 3)
                draw.line((*parts[-1], *at), fill=body, width=px)
            put_node(image, (at[0] - r * 2, at[1] - r, at[0] + r * 2, at[1] + r), SHAPES[k % 4], look, fill)
        elif rng.random() < 0.5:
            draw.polygon(_blob(rng, at, r * 1.4, r, 0.15), fill=fill, outline=look.ink, width=px)
        else:
            draw.rectangle(
                (at[0] - r, at[1] - r * 0.7, at[0] + r, at[1] + r * 0.7), fill=fill, outline=look.ink, width=px
            )
        parts.append(at)
    parts.sort(key=lambda at: at[1])
    for k, at in enumerate(parts):
        right = at[0] > middle[0]
        end = (w * (0.78 if right else 0.22), top + (h - top) * (k + 0.5) / len(parts))
        draw.line((*at, *end), fill=look.ink, width=look.px)
        draw.ellipse((at[0] - 4, at[1] - 4, at[0] + 4, at[1] + 4), fill=look.ink)
        text = pick_name(rng, look.style.script, 1) if rng.random() < 0.8 else str(k + 1)
        draw.text(end, f" {text} ", font=look.style.font, fill=look.ink, anchor="lm" if right else "rm")
    return image


@smooth
def time_line(rng: Rng, w: int, h: int) -> Image.Image:
    """Years along a line, or bars of a plan in rows."""
    look = pick_look(rng, w, h)
    image, draw = make_canvas(w, h, look.ground)
    top, size, count = write_title(rng, image, look, 0.5), look.style.size_px, int(rng.integers(3, 9))
    if rng.random() < 0.4:
        left, tall = size * 6, (h - top - size * 2) / count
        for k in range(count):
            y, a, b = top + tall * k, *(float(v) for v in np.sort(rng.uniform(0, 1, 2)))
            draw.text((size / 2, y + tall / 2), pick_name(rng, look.style.script, 1)[:8], font=look.style.font,
                      fill=look.ink, anchor="lm")  # fmt: skip
            ends = (
                left + (w - left) * a * 0.9,
                y + tall * 0.2,
                left + (w - left) * b * 0.95,
                y + tall * 0.8,
            )
            draw.rectangle(ends, fill=look.colour(k))
            x = left + (w - left) * k / count
            draw.line((x, top, x, h - size * 2), fill=look.pale(0.8), width=look.px)
            write_centred(draw, (x, h - size), f"{2 * k + 1}", look.sized(0.8))
        return image
    middle, start = (h + top) / 2, int(rng.integers(1700, 2010))
    put_arrow(draw, [(size, middle), (w - size, middle)], look.ink, look.px * int(rng.integers(2, 6)))
    for k in range(count):
        x, up = w * (k + 0.5) / count, 1 if k % 2 else -1
        draw.ellipse((x - size / 2, middle - size / 2, x + size / 2, middle + size / 2), fill=look.colour(k))
        draw.line((x, middle, x, middle + up * size * 2), fill=look.pale(0.4), width=look.px)
        start += int(rng.integers(1, 20))
        write_centred(draw, (x, middle - up * size * 1.2), str(start), look.sized(0.9, bold=True))
        far = middle + up * (h - top) * 0.4
        area = (
            x - w / count * 0.8,
            min(far, middle + up * size * 2),
            x + w / count * 0.8,
            max(far, middle + up * size * 2),
        )
        write_inside(draw, area, pick_label(rng, look), look.sized(0.9))
    return image


@smooth
def circuit(rng: Rng, w: int, h: int) -> Image.Image:
    """A loop of wires with resistors, capacitors, lamps and sources, each with its letter or value."""
    look = pick_look(rng, w, h, dark=0.1)
    image, draw = make_canvas(w, h, look.ground)
    top, px, size = write_title(rng, image, look), look.px * 2, look.style.size_px
    xs, ys = np.linspace(w * 0.14, w * 0.86, int(rng.integers(2, 5))), (top + (h - top) * 0.2, h * 0.84)
    wires = [((xs[0], y), (xs[-1], y)) for y in ys] + [((x, ys[0]), (x, ys[1])) for x in xs]
    for a, b in wires:
        draw.line((*a, *b), fill=look.ink, width=px)
    spots = [((a + b) / 2, y, False) for y in ys for a, b in itertools.pairwise(xs)]
    spots += [(x, (ys[0] + ys[1]) / 2, True) for x in xs]
    for x, y, upright in spots:
        if rng.random() < 0.25:
            continue
        r, letter = size * 0.9, "RLCUI"[int(rng.integers(0, 5))]
        dx, dy = (r * 0.45, r) if upright else (r, r * 0.45)
        if letter == "C":
            draw.rectangle((x - r * 0.25, y - r * 0.25, x + r * 0.25, y + r * 0.25), fill=look.ground)
            for side in (-0.25, 0.25):
                ends = (
                    (x - r, y + r * side, x + r, y + r * side)
                    if upright
                    else (x + r * side, y - r, x + r * side, y + r)
                )
                draw.line(ends, fill=look.ink, width=px * 2)
        elif letter in "UI":
            draw.ellipse((x - r, y - r, x + r, y + r), fill=look.ground, outline=look.ink, width=px)
        else:
            draw.rectangle((x - dx, y - dy, x + dx, y + dy), fill=look.ground, outline=look.ink, width=px)
        value = (
            f"{letter}{rng.integers(1, 9)}"
            if rng.random() < 0.6
            else f"{rng.integers(1, 100)} {'VΩA'[len(spots) % 3]}"
        )
        at = (x + r * 2, y) if upright else (x, y - r * 1.7)
        write_centred(draw, at, value, look.style)
    return image


@smooth
def geometry(rng: Rng, w: int, h: int) -> Image.Image:
    """Triangles, circles, vectors or axes with letters at their points, and a formula or two."""
    look = pick_look(rng, w, h, dark=0.15)
    look = replace(look, style=pick_style(rng, look.style.size_px * 1.2, look.ink, "greek"))
    image, draw = make_canvas(w, h, look.ground)
    px, size, kind = look.px * 2, look.style.size_px, str(rng.choice(["polygon", "circle", "axes", "solid"]))
    middle, r = (w / 2, h / 2), min(w, h) * float(rng.uniform(0.28, 0.42))
    turns = float(rng.uniform(0, 6)) + np.cumsum(rng.dirichlet(np.ones(int(rng.integers(3, 6))) * 5)) * 2 * math.pi
    flat = float(rng.uniform(0.6, 1))
    points = [(middle[0] + r / flat * math.cos(t) * 0.9, middle[1] + r * flat * math.sin(t)) for t in turns]
    if kind == "circle":
        draw.ellipse((middle[0] - r, middle[1] - r, middle[0] + r, middle[1] + r), outline=look.ink, width=px)
        points = [(middle[0] + r * math.cos(t), middle[1] + r * math.sin(t)) for t in turns]
    elif kind == "axes":
        put_arrow(draw, [(w * 0.1, middle[1]), (w * 0.92, middle[1])], look.ink, px)
        put_arrow(draw, [(middle[0], h * 0.92), (middle[0], h * 0.08)], look.ink, px)
        draw.text((w * 0.93, middle[1]), "x", font=look.style.font, fill=look.ink, anchor="lm")
        draw.text((middle[0] + 8, h * 0.06), "y", font=look.style.font, fill=look.ink)
    elif kind == "solid":
        for dx, dy in ((0, 0), (r * 0.5, -r * 0.4)):
            x, y = middle[0] + dx, middle[1] + dy
            draw.rectangle((x - r, y - r * 0.6, x + r * 0.5, y + r), outline=look.ink, width=px)
        points = [(middle[0] + r * x, middle[1] + r * y) for x, y in ((-1, -0.6), (0.5, -0.6), (0.5, 1), (-1, 1))]
        for x, y in points:
            put_dashes(draw, [(x, y), (x + r * 0.5, y - r * 0.4)], look.ink, px)
    if kind in ("polygon", "circle"):
        fill = mix(look.colour(0), look.ground, 0.8) if rng.random() < 0.4 else None
        draw.polygon(points, fill=fill, outline=look.ink, width=px)
    for k, (x, y) in enumerate(points):
        if kind == "axes":
            put_arrow(draw, [middle, (x, y)], look.colour(k), px)
        draw.ellipse((x - px * 2, y - px * 2, x + px * 2, y + px * 2), fill=look.ink)
        out = (x + size * (0.8 if x > middle[0] else -0.8), y + size * (0.7 if y > middle[1] else -0.7))
        write_centred(draw, out, "ABCDEFG"[k] if kind != "axes" else "abuvw"[k % 5], look.style)
    for k in range(int(rng.integers(0, 4))):
        at = (w * float(rng.uniform(0.2, 0.8)), size * 1.2 if k == 0 else h * float(rng.uniform(0.2, 0.95)))
        write_centred(draw, at, str(rng.choice(FORMULAS)), look.style)
    return image
