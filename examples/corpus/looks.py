"""How a drawing looks: its ground, ink, typeface and colours, and the marks, boxes and arrows that drawings share."""

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from examples.corpus.fonts import Style, pick_style
from examples.corpus.textures import Colour, Rng, mix, pick_colour, pick_paper
from examples.corpus.words import pick_name, wrap, write_centred

Painter = Callable[[Rng, int, int], Image.Image]
Point = tuple[float, float]
Area = tuple[float, float, float, float]

PALETTES: tuple[tuple[Colour, ...], ...] = (
    ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75)),
    ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233)),
    ((248, 118, 109), (0, 186, 56), (97, 156, 255), (199, 124, 255), (183, 159, 0), (0, 191, 196)),
    ((90, 90, 90), (150, 150, 150), (40, 40, 40), (190, 190, 190), (115, 115, 115), (70, 70, 70)),
    ((66, 133, 244), (219, 68, 55), (244, 180, 0), (15, 157, 88), (171, 71, 188), (0, 172, 193)),
    ((0, 0, 255), (255, 0, 0), (0, 128, 0), (0, 170, 170), (190, 0, 190), (160, 160, 0)),
)
RAMPS: tuple[tuple[Colour, ...], ...] = (
    ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)),
    ((0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191)),
    ((247, 251, 255), (158, 202, 225), (49, 130, 189), (8, 48, 107)),
    ((59, 76, 192), (170, 199, 253), (221, 221, 221), (247, 168, 137), (180, 4, 38)),
    ((0, 0, 140), (0, 120, 255), (90, 255, 160), (255, 200, 0), (130, 0, 0)),
    ((255, 255, 255), (150, 150, 150), (0, 0, 0)),
    ((255, 255, 204), (254, 178, 76), (240, 59, 32), (128, 0, 38)),
    ((165, 0, 38), (253, 174, 97), (255, 255, 191), (166, 217, 106), (0, 104, 55)),
)


def smooth(paint: Painter) -> Painter:
    """A painter that draws twice as large as asked and halves the result, so that lines have soft edges."""

    @functools.wraps(paint)
    def painter(rng: Rng, w: int, h: int) -> Image.Image:
        return paint(rng, 2 * w, 2 * h).reduce(2)

    return painter


@dataclass(frozen=True, kw_only=True)
class Look:
    """The ground, ink, typeface and colours that one drawing keeps to."""

    ground: Colour
    ink: Colour
    style: Style
    colours: tuple[Colour, ...]
    px: int  # thickness of a fine line

    def colour(self, k: int) -> Colour:
        """The colour of item `k`."""
        return self.colours[k % len(self.colours)]

    def pale(self, share: float) -> Colour:
        """A tone from the ground (at 1) to the ink (at 0)."""
        return mix(self.ink, self.ground, share)

    def sized(self, factor: float, colour: Colour | None = None, *, bold: bool = False) -> Style:
        """The typeface larger or smaller, in ink or in `colour`."""
        size = max(9, round(self.style.size_px * factor))
        return replace(self.style, size_px=size, colour=colour or self.ink, is_bold=bold)


def pick_look(rng: Rng, w: int, h: int, dark: float = 0.18) -> Look:
    """A look for a picture of this size, dark with the probability `dark`, else white more often than not."""
    if rng.random() < dark:
        ground: Colour = pick_colour(rng, float(rng.choice([0.05, 0.3, 0.6])), float(rng.uniform(0.02, 0.25)))
        ink: Colour = mix((255, 255, 255), ground, float(rng.uniform(0, 0.25)))
    else:
        ground = (255, 255, 255)
        if rng.random() < 0.3:
            ground = pick_paper(rng) if rng.random() < 0.5 else mix(pick_colour(rng), (255, 255, 255), 0.86)
        ink = mix((0, 0, 0), pick_colour(rng, 0.5, 0.4), float(rng.choice([0, 0.4, 1], p=[0.5, 0.35, 0.15])))
    side = math.sqrt(w * h)
    size = max(17, side * math.exp(rng.uniform(math.log(0.022), math.log(0.05))))
    colours = tuple(pick_colour(rng, 0.6, 0.75) for _ in range(6))
    if rng.random() < 0.65:
        colours = PALETTES[rng.integers(0, len(PALETTES))]
        turn = int(rng.integers(0, 3))
        colours = colours[turn:] + colours[:turn]
    if sum(ground) < 300:
        colours = tuple(mix(colour, (255, 255, 255), 0.3) for colour in colours)
    style = pick_style(rng, size, ink)
    return Look(ground=ground, ink=ink, style=style, colours=colours, px=max(1, round(side / 420)))


def write_turned(image: Image.Image, at: Point, text: str, style: Style, degrees: float = 90) -> None:
    """Write `text` turned about its middle `at`."""
    left, top, right, bottom = style.font.getbbox(text)
    mask = Image.new("L", (max(1, int(right - left)) + 4, max(1, int(bottom - top)) + 4))
    ImageDraw.Draw(mask).text((2 - left, 2 - top), text, font=style.font, fill=255)
    mask = mask.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    image.paste(style.colour, (round(at[0] - mask.width / 2), round(at[1] - mask.height / 2)), mask)


def ramp_colours(ramp: tuple[Colour, ...], values: np.ndarray) -> np.ndarray:
    """The colours of `values` in 0..1 along `ramp`, with a last axis of 3, uint8."""
    at = np.linspace(0, 1, len(ramp))
    channels = [np.interp(values, at, [c[k] for c in ramp]) for k in range(3)]
    stacked: np.ndarray = np.stack(channels, axis=-1).astype(np.uint8)
    return stacked


def put_marker(draw: ImageDraw.ImageDraw, kind: str, at: Point, r: float, colour: Colour) -> None:
    """A disc, ring, square, triangle, diamond, plus or cross about `at`."""
    x, y = at
    width = max(1, round(r / 3))
    if kind == "disc":
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    elif kind == "ring":
        draw.ellipse((x - r, y - r, x + r, y + r), outline=colour, width=width)
    elif kind == "square":
        draw.rectangle((x - r, y - r, x + r, y + r), fill=colour)
    elif kind == "triangle":
        draw.polygon([(x, y - r), (x + r, y + r), (x - r, y + r)], fill=colour)
    elif kind == "diamond":
        draw.polygon([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], fill=colour)
    elif kind == "plus":
        draw.line((x - r, y, x + r, y), fill=colour, width=width)
        draw.line((x, y - r, x, y + r), fill=colour, width=width)
    else:
        draw.line((x - r, y - r, x + r, y + r), fill=colour, width=width)
        draw.line((x - r, y + r, x + r, y - r), fill=colour, width=width)


MARKERS = ("disc", "ring", "square", "triangle", "diamond", "plus", "cross")


def write_inside(draw: ImageDraw.ImageDraw, box: Area, text: str, style: Style) -> None:
    """Write `text` in the middle of `box`, on as many lines as it needs, smaller where it would not fit."""
    left, top, right, bottom = box
    lines = list(wrap(text, style, max(1, round(right - left))))
    while style.size_px > 9:
        is_wide = any(style.width_px(line) > right - left for line in lines)
        if not is_wide and style.line_px * len(lines) <= bottom - top:
            break
        style = replace(style, size_px=max(9, round(style.size_px * 0.88)))
        lines = list(wrap(text, style, max(1, round(right - left))))
    y = (top + bottom) / 2 - style.line_px * (len(lines) - 1) / 2
    for line in lines:
        write_centred(draw, ((left + right) / 2, y), line, style)
        y += style.line_px


def put_arrow(draw: ImageDraw.ImageDraw, path: list[Point], colour: Colour, px: int, head: str = "full") -> None:
    """A line along `path` with a head at its end: "full", "open" or none."""
    draw.line(path, fill=colour, width=px, joint="curve")
    (x0, y0), (x, y) = path[-2], path[-1]
    angle, length = math.atan2(y - y0, x - x0), px * 2.5 + 7
    wings = [(x - length * math.cos(angle + t), y - length * math.sin(angle + t)) for t in (-0.42, 0.42)]
    if head == "full":
        draw.polygon([(x, y), *wings], fill=colour)
    elif head == "open":
        draw.line([wings[0], (x, y), wings[1]], fill=colour, width=px)


def put_dashes(draw: ImageDraw.ImageDraw, path: list[Point], colour: Colour, px: int, dash: float = 4) -> None:
    """A broken line along `path`; a dash is `dash` times as long as thick."""
    for (x0, y0), (x1, y1) in itertools.pairwise(path):
        steps = max(1, int(math.hypot(x1 - x0, y1 - y0) / (px * dash)))
        for k in range(0, steps, 2):
            a, b = k / steps, min(1, (k + 1) / steps)
            ends = (x0 + (x1 - x0) * a, y0 + (y1 - y0) * a, x0 + (x1 - x0) * b, y0 + (y1 - y0) * b)
            draw.line(ends, fill=colour, width=px)


def bend(a: Point, b: Point, by: float, steps: int = 16) -> list[Point]:
    """A path from `a` to `b` that swings out sideways by the share `by` of its length."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    path = []
    for k in range(steps + 1):
        t = k / steps
        out = by * math.sin(math.pi * t)
        path.append((a[0] + dx * t - dy * out, a[1] + dy * t + dx * out))
    return path


def pick_fill(rng: Rng, look: Look, k: int, manner: float) -> tuple[Colour, Colour]:
    """What fills box `k`, and the ink on it: by `manner` the ground, a pale tone or a full colour."""
    if manner < 0.4:
        return look.ground, look.ink
    if manner < 0.75:
        return mix(look.colour(k), look.ground, 0.75), look.ink
    fill = look.colour(k)
    return fill, (255, 255, 255) if sum(fill) < 420 else (20, 20, 20)


def put_node(image: Image.Image, area: Area, shape: str, look: Look, fill: Colour) -> None:
    """The outline of a box, disc, diamond, slanted box, drum, hexagon or page, filled."""
    draw, (x0, y0, x1, y1), px = ImageDraw.Draw(image), area, look.px * 2
    lean = (y1 - y0) / 3
    if shape == "round":
        draw.rounded_rectangle(area, lean * 0.7, fill=fill, outline=look.ink, width=px)
    elif shape == "disc":
        draw.ellipse(area, fill=fill, outline=look.ink, width=px)
    elif shape == "drum":
        draw.rectangle((x0, y0 + lean / 2, x1, y1 - lean / 2), fill=fill)
        draw.ellipse((x0, y1 - lean, x1, y1), fill=fill, outline=look.ink, width=px)
        draw.rectangle((x0 + px, y0 + lean / 2, x1 - px, y1 - lean / 2), fill=fill)
        draw.line((x0, y0 + lean / 2, x0, y1 - lean / 2), fill=look.ink, width=px)
        draw.line((x1, y0 + lean / 2, x1, y1 - lean / 2), fill=look.ink, width=px)
        draw.ellipse((x0, y0, x1, y0 + lean), fill=fill, outline=look.ink, width=px)
    elif shape in ("diamond", "slanted", "hexagon"):
        middle = (y0 + y1) / 2
        corners = {
            "diamond": [((x0 + x1) / 2, y0), (x1, middle), ((x0 + x1) / 2, y1), (x0, middle)],
            "slanted": [(x0 + lean, y0), (x1, y0), (x1 - lean, y1), (x0, y1)],
            "hexagon": [
                (x0 + lean, y0),
                (x1 - lean, y0),
                (x1, middle),
                (x1 - lean, y1),
                (x0 + lean, y1),
                (x0, middle),
            ],
        }[shape]
        draw.polygon(corners, fill=fill, outline=look.ink, width=px)
    else:
        draw.rectangle(area, fill=fill, outline=look.ink, width=px)


def pick_label(rng: Rng, look: Look, most: int = 3) -> str:
    """A few words, a word, a letter or a number to stand in a box or at a line."""
    draw = rng.random()
    if draw < 0.08:
        return str(rng.choice(list("ABCDEFGHNPSTXYZ")))
    if draw < 0.14:
        return f"{pick_name(rng, look.style.script, 1)[:6]} {rng.integers(1, 10)}"
    return pick_name(rng, look.style.script, int(rng.integers(1, most + 1)))


def write_title(rng: Rng, image: Image.Image, look: Look, often: float = 0.35) -> float:
    """The y below a title, which is written or not."""
    if rng.random() > often:
        return look.style.size_px * 0.6
    style = look.sized(float(rng.uniform(1.1, 1.8)), bold=bool(rng.random() < 0.6))
    area = (4, style.size_px * 0.3, image.width - 4, style.size_px * 1.9)
    write_inside(ImageDraw.Draw(image), area, pick_name(rng, style.script, int(rng.integers(1, 4))), style)
    return style.size_px * 2.2
