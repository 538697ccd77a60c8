"""Slides: of bullets, of a title alone, with a figure, dark, in two columns, and between sections."""

import math
from collections.abc import Callable
from dataclasses import replace

from PIL import Image, ImageDraw

from examples.corpus.diagrams import DIAGRAMS
from examples.corpus.looks import Look, pick_look, smooth, write_inside
from examples.corpus.photographs import city, foliage, landscape
from examples.corpus.plots import PLOTS
from examples.corpus.textures import Colour, Rng, blend, make_canvas, make_ramp, mix, pick_colour, to_image
from examples.corpus.words import Box, pick_name, pick_phrase, write_lines

Filling = Callable[[Rng, Image.Image, Box, Look], None]


def _pick_slide(rng: Rng, w: int, h: int, dark: float = 0.3) -> tuple[Image.Image, Look]:
    """An empty slide with its decoration, and its look."""
    look = pick_look(rng, w, h, dark)
    size = math.sqrt(w * h) * float(rng.uniform(0.03, 0.055))
    look = replace(look, style=replace(look.style, size_px=max(16, round(size))))
    image, draw = make_canvas(w, h, look.ground)
    what, accent = str(rng.choice(["none", "none", "ramp", "side", "foot", "corner", "line"])), look.colour(0)
    if what == "ramp":
        ramp = blend(look.ground, mix(look.ground, accent, 0.35), make_ramp(rng, w // 4, h // 4))
        image = to_image(ramp).resize((w, h), Image.Resampling.BILINEAR)
        draw = ImageDraw.Draw(image)
    elif what == "side":
        draw.rectangle((0, 0, w * 0.03, h), fill=accent)
    elif what == "foot":
        draw.rectangle((0, h * 0.95, w, h), fill=accent)
    elif what == "corner":
        draw.polygon([(w, h), (w, h * 0.7), (w * 0.8, h)], fill=accent)
    elif what == "line":
        draw.line((w * 0.06, h * 0.19, w * 0.94, h * 0.19), fill=accent, width=look.px * 3)
    if rng.random() < 0.4:
        small = look.sized(0.5, look.pale(0.4))
        draw.text((w * 0.97, h * 0.965), str(rng.integers(1, 60)), font=small.font, fill=small.colour, anchor="rm")
        if rng.random() < 0.5:
            write_lines(draw, (int(w * 0.05), int(h * 0.945), w, h), pick_name(rng, small.script, 3), small)
    return image, look


def _heading(rng: Rng, image: Image.Image, look: Look) -> int:
    """The y below the heading, which may stand on a band."""
    (w, h), draw = image.size, ImageDraw.Draw(image)
    tone: Colour = look.ink
    if rng.random() < 0.25:
        draw.rectangle((0, 0, w, h * 0.18), fill=look.colour(0))
        tone = (255, 255, 255) if sum(look.colour(0)) < 450 else (20, 20, 20)
    elif rng.random() < 0.4:
        tone = look.colour(0)
    style = look.sized(float(rng.uniform(1.2, 1.8)), tone, bold=bool(rng.random() < 0.6))
    text = pick_name(rng, style.script, int(rng.integers(1, 6)))
    if rng.random() < 0.35:
        write_inside(draw, (w * 0.05, h * 0.03, w * 0.95, h * 0.17), text, style)
    else:
        write_lines(draw, (int(w * 0.06), int(h * 0.05), int(w * 0.95), int(h * 0.18) + style.line_px), text, style)
    return int(h * 0.22)


def _bullets(rng: Rng, image: Image.Image, box: Box, look: Look) -> None:
    """Points with a mark before each, some of them indented."""
    left, y, right, bottom = box
    draw, count, mark = (
        ImageDraw.Draw(image),
        int(rng.integers(1, 9)),
        str(rng.choice(["disc", "dash", "box", "number", ""])),
    )
    for k in range(count):
        deep = int(rng.random() < 0.25 and k > 0)
        style = look.sized(0.85 if deep else 1)
        x, size = left + deep * style.size_px * 2, style.size_px
        if y > bottom - style.line_px:
            break
        if mark == "number":
            draw.text((x, y), f"{k + 1}.", font=style.font, fill=look.colour(0))
        elif mark == "dash":
            draw.text((x, y), "–", font=style.font, fill=look.ink)
        elif mark == "box":
            draw.rectangle((x, y + size * 0.5, x + size * 0.35, y + size * 0.85), fill=look.colour(0))
        elif mark:
            draw.ellipse((x, y + size * 0.55, x + size * 0.3, y + size * 0.85), fill=look.ink)
        text = pick_phrase(rng, style.script, int(rng.integers(1, 12)))
        y = write_lines(draw, (round(x + size * 1.2), y, right, bottom), text, style) + size // 2


def _figure(rng: Rng, image: Image.Image, box: Box, look: Look) -> None:
    """A chart, a diagram or a photograph that fills `box`."""
    size = (max(60, box[2] - box[0]), max(60, box[3] - box[1]))
    painters = (*PLOTS, *DIAGRAMS, landscape, foliage, city)
    painter = painters[int(rng.integers(0, len(painters)))]
    small = painter(rng, size[0] // 2, size[1] // 2).resize(size, Image.Resampling.BICUBIC)
    image.paste(small, box[:2])
    if rng.random() < 0.3:
        ImageDraw.Draw(image).rectangle(box, outline=look.ink, width=look.px)


def _text(rng: Rng, image: Image.Image, box: Box, look: Look) -> None:
    """A paragraph, or a large number with a few words."""
    draw = ImageDraw.Draw(image)
    if rng.random() < 0.4:
        half = (box[1] + box[3]) // 2
        number = str(rng.choice([f"{rng.integers(1, 100)}%", f"{rng.integers(2, 900)}", f"×{rng.integers(2, 20)}"]))
        write_inside(draw, (box[0], box[1], box[2], half), number, look.sized(3, look.colour(0), bold=True))
        write_inside(draw, (box[0], half, box[2], box[3]), pick_phrase(rng, look.style.script, 5), look.style)
    else:
        write_lines(draw, box, pick_phrase(rng, look.style.script, int(rng.integers(5, 30))), look.style)


@smooth
def bullet_slide(rng: Rng, w: int, h: int) -> Image.Image:
    """A heading and points."""
    image, look = _pick_slide(rng, w, h)
    y = _heading(rng, image, look)
    _bullets(rng, image, (int(w * 0.07), y, int(w * 0.93), int(h * 0.93)), look)
    return image


@smooth
def title_slide(rng: Rng, w: int, h: int) -> Image.Image:
    """A title, perhaps a name under it, and nothing else."""
    image, look = _pick_slide(rng, w, h, dark=0.4)
    if rng.random() < 0.4:
        ground = pick_colour(rng, 0.7, 0.45)
        image = make_canvas(w, h, ground)[0]
        look = replace(look, ground=ground, ink=(255, 255, 255))
    draw, y = ImageDraw.Draw(image), h * float(rng.uniform(0.2, 0.45))
    style = look.sized(float(rng.uniform(1.4, 2.8)), bold=bool(rng.random() < 0.6))
    text, left = pick_name(rng, style.script, int(rng.integers(1, 6))), bool(rng.random() < 0.35)
    small = look.sized(float(rng.uniform(0.6, 1)), look.pale(0.25))
    name = pick_name(rng, style.script, 2).title()
    if left:
        end = write_lines(draw, (int(w * 0.08), int(y), int(w * 0.9), h), text, style)
        write_lines(draw, (int(w * 0.08), end + 10, int(w * 0.9), h), name, small)
    else:
        write_inside(draw, (w * 0.08, y - h * 0.1, w * 0.92, y + h * 0.2), text, style)
        if rng.random() < 0.7:
            write_inside(draw, (w * 0.15, y + h * 0.25, w * 0.85, y + h * 0.38), name, small)
    return image


@smooth
def figure_slide(rng: Rng, w: int, h: int) -> Image.Image:
    """A heading and a figure, with or without a line under it."""
    image, look = _pick_slide(rng, w, h)
    y = _heading(rng, image, look)
    m = int(w * float(rng.uniform(0.05, 0.2)))
    low = int(h * float(rng.uniform(0.82, 0.93)))
    _figure(rng, image, (m, y, w - m, low), look)
    if low < h * 0.88:
        area = (w * 0.08, low, w * 0.92, h * 0.95)
        write_inside(ImageDraw.Draw(image), area, pick_phrase(rng, look.style.script, 6), look.sized(0.7))
    return image


@smooth
def dark_slide(rng: Rng, w: int, h: int) -> Image.Image:
    """A dark ground with points, a few words or a number."""
    image, look = _pick_slide(rng, w, h, dark=1)
    y = _heading(rng, image, look) if rng.random() < 0.8 else int(h * 0.1)
    filling: Filling = (_bullets, _text)[int(rng.integers(0, 2))]
    filling(rng, image, (int(w * 0.07), y, int(w * 0.93), int(h * 0.9)), look)
    return image


@smooth
def two_column_slide(rng: Rng, w: int, h: int) -> Image.Image:
    """A heading, and two halves with points, text or a figure."""
    image, look = _pick_slide(rng, w, h)
    y, split = _heading(rng, image, look), float(rng.uniform(0.4, 0.6))
    fillings: tuple[Filling, ...] = (_bullets, _figure, _text)
    for x0, x1 in ((0.06, split - 0.02), (split + 0.02, 0.95)):
        fillings[int(rng.integers(0, 3))](rng, image, (int(w * x0), y, int(w * x1), int(h * 0.9)), look)
    return image


@smooth
def section_slide(rng: Rng, w: int, h: int) -> Image.Image:
    """One to three words on a full colour, or beside a band or a picture."""
    image, look = _pick_slide(rng, w, h, dark=0.5)
    draw, kind = ImageDraw.Draw(image), str(rng.choice(["colour", "half", "number", "picture"]))
    tone, area = look.ink, (w * 0.08, h * 0.3, w * 0.92, h * 0.7)
    if kind == "colour":
        draw.rectangle((0, 0, w, h), fill=look.colour(0))
        tone = (255, 255, 255) if sum(look.colour(0)) < 450 else (20, 20, 20)
    elif kind == "half":
        draw.rectangle((0, 0, w * 0.35, h), fill=look.colour(0))
        area = (w * 0.4, h * 0.3, w * 0.95, h * 0.7)
    elif kind == "number":
        number = f"{rng.integers(1, 10):02d}"
        write_inside(draw, (w * 0.06, h * 0.2, w * 0.3, h * 0.8), number, look.sized(3.5, look.colour(0), bold=True))
        area = (w * 0.34, h * 0.3, w * 0.95, h * 0.7)
    else:
        view = (landscape, foliage, city)[int(rng.integers(0, 3))]
        image.paste(view(rng, w // 4, h // 2).resize((w // 2, h)), (w // 2, 0))
        area = (w * 0.04, h * 0.25, w * 0.47, h * 0.75)
    style = look.sized(float(rng.uniform(1.4, 2.6)), tone, bold=bool(rng.random() < 0.5))
    write_inside(draw, area, pick_name(rng, style.script, int(rng.integers(1, 4))), style)
    return image


SLIDES = (bullet_slide, title_slide, figure_slide, dark_slide, two_column_slide, section_slide)
