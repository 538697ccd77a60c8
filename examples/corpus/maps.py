"""Maps: streets, regions, values by region or weather, and trails, all with names; plans.py has plans."""

import itertools
import math
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from examples.corpus.looks import (
    RAMPS,
    Look,
    Point,
    bend,
    put_dashes,
    ramp_colours,
    smooth,
    write_inside,
    write_turned,
)
from examples.corpus.plans import floor_plan, metro_map, pick_map_look, put_furniture, put_name
from examples.corpus.textures import Colour, Rng, make_canvas, make_noise, mix, pick_colour, to_image
from examples.corpus.words import pick_name

Named = tuple[Image.Image, np.ndarray, np.ndarray]  # a picture, where regions' names go, and whether they may
SCHEMES: tuple[tuple[Colour, Colour, Colour, Colour], ...] = (  # ground, water, park, road
    ((242, 239, 233), (170, 211, 223), (200, 230, 190), (255, 255, 255)),
    ((234, 234, 234), (200, 215, 230), (222, 236, 214), (255, 255, 255)),
    ((36, 47, 62), (23, 38, 60), (38, 60, 63), (72, 82, 104)),
    ((20, 20, 22), (34, 40, 48), (28, 36, 30), (70, 70, 76)),
    ((250, 246, 230), (150, 195, 225), (190, 215, 150), (250, 200, 110)),
    ((255, 255, 255), (220, 235, 245), (235, 245, 230), (150, 150, 150)),
)


def _spread(rng: Rng, text: str) -> str:
    """`text`, at times in capitals with space between them."""
    return " ".join(text.upper()) if rng.random() < 0.3 else text


def _pick_scheme(rng: Rng, w: int, h: int) -> tuple[Look, tuple[Colour, Colour, Colour, Colour]]:
    scheme = SCHEMES[int(rng.integers(0, len(SCHEMES)))]
    look = pick_map_look(rng, w, h)
    ink: Colour = (215, 220, 228) if sum(scheme[0]) < 380 else mix((40, 40, 45), pick_colour(rng, 0.5, 0.4), 0.4)
    return replace(look, ground=scheme[0], ink=ink, style=replace(look.style, colour=ink)), scheme


@smooth
def street_map(rng: Rng, w: int, h: int) -> Image.Image:
    """Streets in a net that is turned or bent, with water, parks, names along the streets and marks."""
    look, (ground, water, park, road) = _pick_scheme(rng, w, h)
    image, draw = make_canvas(w, h, ground)
    side, turn = math.hypot(w, h), float(rng.uniform(-0.7, 0.7))
    gap, px = side * math.exp(rng.uniform(math.log(0.05), math.log(0.16))), look.px
    bow = float(rng.choice([0, 0, 0.06, 0.15]))
    if rng.random() < 0.6:
        river = bend(
            (-w * 0.1, h * float(rng.uniform(0, 1))),
            (w * 1.1, h * float(rng.uniform(0, 1))),
            float(rng.uniform(-0.3, 0.3)),
        )
        draw.line(river, fill=water, width=int(side * float(rng.uniform(0.03, 0.12))), joint="curve")
    for _ in range(int(rng.integers(0, 4))):
        x, y, r = float(rng.uniform(0, w)), float(rng.uniform(0, h)), side * float(rng.uniform(0.05, 0.13))
        draw.polygon(
            [(x + r * math.cos(t) * float(rng.uniform(0.6, 1)), y + r * math.sin(t)) for t in np.linspace(0, 6, 7)],
            fill=park,
        )
    names: list[tuple[Point, float]] = []
    casing, major = mix(road, (128, 128, 128), 0.4), mix(road, (250, 190, 90), 0.7) if rng.random() < 0.6 else road
    streets: list[tuple[list[Point], int, Colour]] = []
    for angle in (turn, turn + math.pi / 2 + float(rng.normal(0, 0.1))):
        dx, dy = math.cos(angle), math.sin(angle)
        off = -side / 2
        while off < side / 2:
            a, b = ((w / 2 + s * dx * side - off * dy, h / 2 + s * dy * side + off * dx) for s in (-0.5, 0.5))
            if rng.random() < 0.4:
                cut = float(rng.uniform(0.2, 0.7))
                a = (a[0] + (b[0] - a[0]) * cut, a[1] + (b[1] - a[1]) * cut)
            is_major = bool(rng.random() < 0.2)
            wide = px * (7 if is_major else 4) + (1 if gap < side * 0.08 else px * 3)
            streets.append((bend(a, b, bow * off / side, 24), wide, major if is_major else road))
            off += gap * float(rng.uniform(0.5, 1.5))
    for path, wide, _ in streets:
        draw.line(path, fill=casing, width=wide + 2 * px, joint="curve")
    for path, wide, colour in sorted(streets, key=lambda street: street[1]):
        draw.line(path, fill=colour, width=wide, joint="curve")
        k = int(rng.integers(6, 19))
        slope = -math.degrees(math.atan2(path[k + 1][1] - path[k][1], path[k + 1][0] - path[k][0]))
        names.append((path[k], (slope + 90) % 180 - 90))
    often = float(rng.uniform(0.25, 0.8))
    for at, degrees in names:
        if rng.random() < often and 0 < at[0] < w and 0 < at[1] < h:
            write_turned(
                image, at, pick_name(rng, look.style.script, 1), look.sized(float(rng.uniform(0.7, 0.95))), degrees
            )
    for _ in range(int(rng.integers(1, 8))):
        x, y = float(rng.uniform(0.08, 0.92)) * w, float(rng.uniform(0.08, 0.92)) * h
        if rng.random() < 0.5:
            r, tone = look.style.size_px * 0.5, pick_colour(rng, 0.8, 0.75)
            draw.polygon([(x, y), (x - r, y - 2 * r), (x + r, y - 2 * r)], fill=tone)
            draw.ellipse((x - r, y - 3 * r, x + r, y - r), fill=tone)
            y += look.style.size_px * 0.8
        put_name(
            draw,
            (x, y),
            pick_name(rng, look.style.script, int(rng.integers(1, 3))),
            look,
            float(rng.uniform(0.8, 1.3)),
        )
    if rng.random() < 0.3:
        path = [(float(x) * w, float(y) * h) for x, y in rng.uniform(0.15, 0.85, (4, 2))]
        draw.line(path, fill=(40, 110, 240), width=px * 6, joint="curve")
    put_furniture(rng, image, look)
    return image


def _regions(rng: Rng, w: int, h: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The number of the region at each pixel of a quarter, what is land, and the regions' middles in 0..1."""
    middles = rng.uniform(0.05, 0.95, (count, 2))
    bend_x, bend_y = (make_noise(rng, w, h, 4, 5) * 0.12 for _ in range(2))
    x, y = np.linspace(0, 1, w)[None, :] + bend_x, np.linspace(0, 1, h)[:, None] + bend_y
    best, number = np.full((h, w), 9.0), np.zeros((h, w), np.intp)
    for k, (mx, my) in enumerate(middles):
        far = (x - mx) ** 2 + ((y - my) * h / w) ** 2
        closer = far < best
        best, number = np.where(closer, far, best), np.where(closer, k, number)
    ring = np.hypot(np.linspace(-1, 1, w)[None, :], np.linspace(-1, 1, h)[:, None])
    edge = float(rng.choice([0.55, 0.8, 2.5], p=[0.4, 0.35, 0.25]))
    land = ring + make_noise(rng, w, h, 3, 6) * 0.9 < edge
    return number, land, middles


def _draw_regions(rng: Rng, size: tuple[int, int], tones: np.ndarray, line: Colour, sea: Colour) -> Named:
    """Regions in the colours `tones` with their borders."""
    coarse = 2 if size[0] * size[1] < 1_000_000 else 3
    w, h = size[0] // coarse, size[1] // coarse
    number, land, middles = _regions(rng, w, h, len(tones))
    rgb = np.where(land[..., None], tones[number], np.asarray(sea, np.uint8))
    code = np.where(land, number, -1)
    border = np.zeros((h, w), bool)
    for dy, dx in ((0, 1), (1, 0)):
        border |= code != np.roll(code, (dy, dx), (0, 1))
    border[0], border[:, 0] = False, False
    rgb = np.where(border[..., None], np.asarray(line, np.uint8), rgb)
    spots, shown = middles * size, np.zeros(len(tones), bool)
    for k in range(len(tones)):
        inside = np.argwhere(code == k)
        if len(inside) > w * h * 0.006:
            spots[k], shown[k] = np.median(inside, axis=0)[::-1] * coarse, True
    return Image.fromarray(rgb.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC), spots, shown


@smooth
def region_map(rng: Rng, w: int, h: int) -> Image.Image:
    """Countries or districts in pale colours with borders, names, towns as dots, a sea with a name."""
    look, count = pick_map_look(rng, w, h), int(rng.integers(4, 26))
    manner, sea = str(rng.choice(["coloured", "plain", "outline"])), pick_colour(rng, 0.3, 0.9, "sky")
    tones = np.array([mix(pick_colour(rng, 0.5, 0.85), look.ground, 0.4) for _ in range(count)], np.uint8)
    if manner != "coloured":
        tones[:] = np.array(mix(look.ground, look.colour(0), 0.12 if manner == "plain" else 0), np.uint8)
        sea = sea if manner == "plain" else look.ground
    image, spots, shown = _draw_regions(rng, (w, h), tones, look.pale(float(rng.uniform(0, 0.5))), sea)
    draw, towns = ImageDraw.Draw(image), bool(rng.random() < 0.5)
    for (x, y), is_shown in zip(spots, shown, strict=True):
        if is_shown and rng.random() < 0.85:
            put_name(
                draw,
                (float(x), float(y)),
                _spread(rng, pick_name(rng, look.style.script, 1)),
                look,
                float(rng.uniform(0.8, 1.3)),
            )
        for _ in range(int(rng.integers(0, 3)) if towns and is_shown else 0):
            tx, ty, r = float(x + rng.normal(0, w * 0.06)), float(y + rng.normal(0, h * 0.06)), look.px * 3
            draw.ellipse((tx - r, ty - r, tx + r, ty + r), fill=look.ink, outline=look.ground)
            put_name(draw, (tx, ty + look.style.size_px * 0.8), pick_name(rng, look.style.script, 1), look, 0.7)
    if manner != "outline" and rng.random() < 0.4:
        at = (w * float(rng.choice([0.15, 0.85])), h * float(rng.choice([0.12, 0.88])))
        write_turned(
            image,
            at,
            pick_name(rng, look.style.script, 1),
            look.sized(1.1, (40, 90, 160)),
            float(rng.uniform(-20, 20)),
        )
    put_furniture(rng, image, look)
    return image


@smooth
def value_map(rng: Rng, w: int, h: int) -> Image.Image:
    """Regions in a ramp of colours, or weather: fields, pressure lines, numbers and fronts over a coast."""
    look, count = pick_map_look(rng, w, h), int(rng.integers(6, 40))
    ramp, weather = RAMPS[int(rng.integers(0, len(RAMPS)))], bool(rng.random() < 0.45)
    values = rng.random(count)
    tones = (
        ramp_colours(ramp, values) if not weather else np.full((count, 3), mix(look.ground, look.ink, 0.1), np.uint8)
    )
    image, spots, shown = _draw_regions(rng, (w, h), tones, look.pale(0.6), mix(look.ground, (120, 160, 200), 0.15))
    draw, size = ImageDraw.Draw(image), look.style.size_px
    if weather:
        field = make_noise(rng, w // 2, h // 2, 2, 2)
        field = (field - field.min()) / float(np.ptp(field))
        layer = Image.fromarray(ramp_colours(ramp, np.floor(field * 8) / 8)).resize((w, h), Image.Resampling.BICUBIC)
        image = Image.blend(image, layer, float(rng.uniform(0.3, 0.6)))
        draw = ImageDraw.Draw(image)
        for letter in "HLH"[: int(rng.integers(0, 4))]:
            at = (w * float(rng.uniform(0.15, 0.85)), h * float(rng.uniform(0.15, 0.85)))
            put_name(draw, at, letter, look, 2.2, (200, 30, 30) if letter == "H" else (30, 50, 200))
            draw.ellipse(
                (at[0] - size * 3, at[1] - size * 2, at[0] + size * 3, at[1] + size * 2),
                outline=look.ink,
                width=look.px,
            )
    kind = "number" if weather else str(rng.choice(["number", "name", "none"]))
    for (x, y), is_shown, value in zip(spots, shown, values, strict=True):
        if is_shown and kind != "none" and rng.random() < 0.8:
            text = (
                pick_name(rng, look.style.script, 1)[:8]
                if kind == "name"
                else f"{value * 40:.0f}{'°' if weather else ''}"
            )
            put_name(draw, (float(x), float(y)), text, look, float(rng.uniform(0.8, 1.2)))
    if rng.random() < 0.7:
        bars, x, tall = int(rng.integers(3, 7)), size, look.style.line_px
        top = h - tall * bars - size
        draw.rectangle((x / 2, top - size / 2, x + size * 5.5, h - size / 2), fill=look.ground)
        for k in range(bars):
            tone = tuple(int(v) for v in ramp_colours(ramp, np.array(k / (bars - 1))))
            draw.rectangle((x, top + k * tall, x + size * 1.6, top + (k + 1) * tall), fill=tone)
            draw.text(
                (x + size * 2, top + k * tall), f"{k * 10}–{k * 10 + 9}", font=look.sized(0.85).font, fill=look.ink
            )
    put_furniture(rng, image, look)
    return image


@smooth
def trail_map(rng: Rng, w: int, h: int) -> Image.Image:
    """Relief in green and brown with height lines, a path in dashes, huts, peaks with heights, an inked coast."""
    look = replace(pick_map_look(rng, w, h, dark=0), ground=(250, 250, 240), ink=(45, 40, 35))
    look = replace(look, style=replace(look.style, colour=look.ink))
    w2, h2 = w // 2, h // 2
    field = make_noise(rng, w2, h2, float(rng.uniform(2, 4)), 4)
    field = (field - field.min()) / float(np.ptp(field))
    levels, manner = int(rng.integers(6, 16)), str(rng.choice(["relief", "plain", "old"]))
    steps = np.floor(field * levels)
    ramps: dict[str, tuple[Colour, ...]] = {
        "relief": ((175, 215, 160), (225, 225, 175), (205, 180, 140), (245, 245, 245)),
        "plain": ((236, 243, 226), (226, 236, 212), (246, 243, 232)),
        "old": ((226, 205, 160), (216, 190, 140), (236, 220, 182)),
    }
    rgb = ramp_colours(ramps[manner], field if manner == "relief" else steps / levels).astype(np.float32)
    slope = np.gradient(field, axis=1) + np.gradient(field, axis=0)
    rgb = rgb * (1 + np.clip(slope * float(rng.choice([0, 12])), -0.3, 0.2))[..., None]
    edge = (steps != np.roll(steps, 1, 0)) | (steps != np.roll(steps, 1, 1))
    edge[0], edge[:, 0] = False, False
    rgb = np.where(edge[..., None], rgb * 0.78, rgb)
    lake = field < float(rng.uniform(0.05, 0.3))
    image = to_image(np.where(lake[..., None], np.array((150, 195, 225)), rgb)).resize(
        (w, h), Image.Resampling.BICUBIC
    )
    draw, size = ImageDraw.Draw(image), look.style.size_px
    for k in range(int(rng.integers(1, 4))):
        points = [(float(x) * w, float(y) * h) for x, y in rng.uniform(0.05, 0.95, (int(rng.integers(2, 5)), 2))]
        path = [at for a, b in itertools.pairwise(points) for at in bend(a, b, float(rng.uniform(-0.3, 0.3)))]
        tone = ((200, 40, 40), (90, 60, 30), (40, 60, 170))[k % 3]
        put_dashes(draw, path, tone, look.px * 3) if rng.random() < 0.6 else draw.line(
            path, fill=tone, width=look.px * 3
        )
        for n, (x, y) in enumerate(points):
            r = size * 0.55
            draw.ellipse((x - r, y - r, x + r, y + r), fill=tone)
            write_inside(
                draw, (x - r, y - r, x + r, y + r), "ABCDE"[n] if k else str(n + 1), look.sized(0.8, (255, 255, 255))
            )
    for _ in range(int(rng.integers(2, 10))):
        x, y = float(rng.uniform(0.08, 0.92)) * w, float(rng.uniform(0.08, 0.92)) * h
        if rng.random() < 0.6:
            r = size * 0.4
            draw.polygon([(x, y - r), (x + r, y + r), (x - r, y + r)], fill=look.ink)
        text = pick_name(rng, look.style.script, 1) + str(rng.choice(["", "", f" {rng.integers(200, 4000)}"]))
        put_name(draw, (x, y + size), text, look, float(rng.uniform(0.8, 1.2)))
    put_furniture(rng, image, look)
    return image


MAPS = (street_map, region_map, metro_map, floor_plan, value_map, trail_map)
