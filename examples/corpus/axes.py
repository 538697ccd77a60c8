"""The frame of a chart: titles, ticks, grid and key, and curves to draw in it."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from examples.corpus.looks import Look, Point, write_turned
from examples.corpus.textures import Colour, Rng
from examples.corpus.words import Box, pick_name, write_centred

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def pick_ticks(rng: Rng, script: str, count: int) -> list[str]:
    """`count` labels of an axis: numbers, years, months, powers, percentages or names."""
    kind = str(rng.choice(["int", "decimal", "year", "month", "power", "percent", "name", "signed"]))
    step, start = float(rng.choice([1, 2, 5, 10, 20, 25, 50, 100, 500])), int(rng.integers(0, 3))
    if kind == "decimal":
        return [f"{(start + k) * step / 100:.2f}".rstrip("0").rstrip(".") for k in range(count)]
    if kind == "year":
        first, gap = int(rng.integers(1950, 2015)), int(rng.choice([1, 2, 5]))
        return [str(first + k * gap) for k in range(count)]
    if kind == "month":
        return [MONTHS[(k + start) % 12] for k in range(count)]
    if kind == "power":
        return [f"1e{k + start}" for k in range(count)]
    if kind == "percent":
        return [f"{100 * k // max(1, count - 1)}%" for k in range(count)]
    if kind == "name":
        return [pick_name(rng, script, 1)[:5] for _ in range(count)]
    if kind == "signed":
        return [f"{(k - count // 2) * step / 10:g}" for k in range(count)]
    return [f"{(start + k) * step:g}" for k in range(count)]


@dataclass(frozen=True, kw_only=True)
class Axes:
    """A frame with its ticks drawn, into which data go."""

    image: Image.Image
    draw: ImageDraw.ImageDraw
    box: Box
    look: Look

    def at(self, x: float, y: float) -> Point:
        """The pixel of a point in 0..1, y upwards."""
        left, top, right, bottom = self.box
        return left + float(x) * (right - left), bottom - float(y) * (bottom - top)

    def path(self, xs: np.ndarray, ys: np.ndarray) -> list[Point]:
        """The pixels of many points."""
        return [self.at(x, y) for x, y in zip(xs, ys, strict=True)]

    def bar(self, corners: tuple[float, float, float, float], fill: Colour, outline: Colour | None = None) -> None:
        """A rectangle between two corners in 0..1: x, y, x, y."""
        x, y, x2, y2 = corners
        a, b = self.at(min(x, x2), max(y, y2)), self.at(max(x, x2), min(y, y2))
        self.draw.rectangle((*a, *b), fill=fill, outline=outline)


def _titles(rng: Rng, image: Image.Image, region: Box, look: Look) -> Box:
    """What of `region` is left after a title and the names of the axes, each written or not."""
    left, top, right, bottom = region
    size, script = look.style.size_px, look.style.script
    if rng.random() < 0.5:
        title = look.sized(float(rng.uniform(1, 1.6)), bold=bool(rng.random() < 0.5))
        text = pick_name(rng, script, int(rng.integers(1, 4)))
        write_centred(ImageDraw.Draw(image), ((left + right) / 2, top + title.size_px * 0.8), text, title)
        top += round(title.size_px * 1.6)
    if rng.random() < 0.4:
        text = (
            pick_name(rng, script, 1) if rng.random() < 0.7 else str(rng.choice(["x", "t", "f(x)", "n", "time (s)"]))
        )
        write_centred(ImageDraw.Draw(image), ((left + right) / 2, bottom - size * 0.7), text, look.style)
        bottom -= round(size * 1.4)
    if rng.random() < 0.35:
        write_turned(image, (left + size * 0.7, (top + bottom) / 2), pick_name(rng, script, 1), look.style)
        left += round(size * 1.4)
    return left, top, right, bottom


def make_axes(rng: Rng, image: Image.Image, region: Box, look: Look, manner: str = "") -> Axes:
    """Titles, ticks, grid and frame within `region`; manner: "grey" has a grey ground and a white grid."""
    left, top, right, bottom = _titles(rng, image, region, look)
    size = look.style.size_px
    x_count, y_count = int(rng.integers(2, 8)), int(rng.integers(2, 7))
    x_ticks = pick_ticks(rng, look.style.script, min(x_count, max(2, (right - left) // (size * 5))))
    y_ticks = pick_ticks(rng, look.style.script, min(y_count, max(2, (bottom - top) // (size * 2))))
    left += round(max(look.style.width_px(t) for t in y_ticks) + size * 0.8)
    box = (left, top + size, max(left + 20, right - size), max(top + size + 12, bottom - round(size * 1.6)))
    axes = Axes(image=image, draw=ImageDraw.Draw(image), box=box, look=look)
    grid_colour, grids = look.pale(0.85), str(rng.choice(["", "", "x", "y", "xy", "xy"]))
    if manner == "grey":
        axes.draw.rectangle(box, fill=look.pale(0.9))
        grid_colour, grids = look.ground, "xy"
    inset, tick = float(rng.choice([0, 0.04, 0.1])), look.px * float(rng.choice([0, 3, -3]))
    for k, text in enumerate(x_ticks):
        x, y = axes.at(inset + (1 - 2 * inset) * k / max(1, len(x_ticks) - 1), 0)
        if "x" in grids:
            axes.draw.line((x, box[1], x, box[3]), fill=grid_colour, width=look.px)
        axes.draw.line((x, y, x, y + tick), fill=look.ink, width=look.px)
        write_centred(axes.draw, (x, y + size * 0.95), text, look.style)
    for k, text in enumerate(y_ticks):
        x, y = axes.at(0, inset + (1 - 2 * inset) * k / max(1, len(y_ticks) - 1))
        if "y" in grids:
            axes.draw.line((box[0], y, box[2], y), fill=grid_colour, width=look.px)
        axes.draw.line((x, y, x - tick, y), fill=look.ink, width=look.px)
        axes.draw.text((x - size * 0.45, y), text, font=look.style.font, fill=look.style.colour, anchor="rm")
    spines = "" if manner == "grey" else str(rng.choice(["box", "ell", "base", ""], p=[0.5, 0.3, 0.1, 0.1]))
    if spines == "box":
        axes.draw.rectangle(box, outline=look.ink, width=look.px)
    if spines == "ell":
        axes.draw.line((box[0], box[1], box[0], box[3]), fill=look.ink, width=look.px)
    if spines in ("ell", "base"):
        axes.draw.line((box[0], box[3], box[2], box[3]), fill=look.ink, width=look.px)
    return axes


def write_legend(rng: Rng, axes: Axes, count: int) -> None:
    """A key of `count` colours in one corner."""
    look, size = axes.look, axes.look.style.size_px
    names = [pick_name(rng, look.style.script, 1)[:9] for _ in range(count)]
    if rng.random() < 0.4:
        names = [f"y{k + 1}" for k in range(count)]
    wide = max(look.style.width_px(name) for name in names) + size * 2.4
    tall = look.style.line_px * count + size * 0.4
    x = axes.box[0] + size * 0.5 if rng.random() < 0.4 else axes.box[2] - wide - size * 0.5
    y = axes.box[1] + size * 0.5 if rng.random() < 0.75 else axes.box[3] - tall - size * 0.5
    outline = look.pale(0.7) if rng.random() < 0.7 else None
    axes.draw.rectangle((x, y, x + wide, y + tall), fill=look.ground, outline=outline, width=look.px)
    for k, name in enumerate(names):
        middle = y + size * 0.2 + look.style.line_px * (k + 0.5)
        axes.draw.line((x + size * 0.4, middle, x + size * 1.7, middle), fill=look.colour(k), width=look.px * 3)
        axes.draw.text((x + size * 2, middle), name, font=look.style.font, fill=look.style.colour, anchor="lm")


def pick_curve(rng: Rng, count: int) -> np.ndarray:
    """`count` values in 0.03..0.97: a walk, a wave, a rise, steps, a bell or noise."""
    x, kind = np.linspace(0, 1, count), str(rng.choice(["walk", "wave", "rise", "steps", "bell", "noise", "damped"]))
    if kind == "walk":
        y = np.cumsum(rng.standard_normal(count))
    elif kind == "wave":
        y = np.sin(x * rng.uniform(3, 40) + rng.uniform(0, 6))
    elif kind == "rise":
        y = np.exp(x * rng.uniform(-6, 6)) + rng.normal(0, 0.02, count)
    elif kind == "steps":
        y = np.repeat(rng.standard_normal(count // 6 + 1), 6)[:count]
    elif kind == "bell":
        y = np.exp(-((x - rng.uniform(0.3, 0.7)) ** 2) / rng.uniform(0.005, 0.06))
    elif kind == "noise":
        y = rng.standard_normal(count)
    else:
        y = np.exp(-x * 4) * np.cos(x * rng.uniform(20, 60))
    y = (y - y.min()) / max(float(np.ptp(y)), 1e-6)
    low, high = sorted(rng.uniform(0.03, 0.97, 2)) if rng.random() < 0.4 else (0.04, 0.96)
    scaled: np.ndarray = low + (high - low) * y
    return scaled
