"""Maps that are plans: lines of a metro and floors of a house; and what all maps have, names, scale, north, key."""

import math
from dataclasses import replace

from PIL import Image, ImageDraw

from examples.corpus.looks import Look, Point, pick_look, smooth, write_inside, write_turned
from examples.corpus.textures import Colour, Rng, make_canvas, mix
from examples.corpus.words import pick_name, write_centred


def put_name(
    draw: ImageDraw.ImageDraw, at: Point, text: str, look: Look, factor: float = 1, tone: Colour | None = None
) -> None:
    """A name with a rim in the colour of the ground, as maps have them."""
    style = look.sized(factor, tone)
    draw.text(
        at, text, font=style.font, fill=style.colour, anchor="mm", stroke_width=look.px * 2, stroke_fill=look.ground
    )


def put_furniture(rng: Rng, image: Image.Image, look: Look) -> None:
    """What lies on maps: a bar of the scale, an arrow to the north, a title or a key; each at times."""
    (w, h), draw, size = image.size, ImageDraw.Draw(image), look.style.size_px
    if rng.random() < 0.4:
        x, y, wide = float(size), float(h - size), w * float(rng.uniform(0.1, 0.25))
        draw.line([(x, y - 10), (x, y), (x + wide, y), (x + wide, y - 10)], fill=look.ink, width=look.px * 2)
        put_name(
            draw,
            (x + wide / 2, y - size * 0.8),
            f"{rng.choice([50, 100, 200, 500])} {rng.choice(['m', 'km'])}",
            look,
            0.8,
        )
    if rng.random() < 0.3:
        x, y = w - size * 1.6, size * 2.4
        draw.polygon(
            [(x, y - size), (x + size * 0.5, y + size), (x, y + size * 0.5), (x - size * 0.5, y + size)],
            fill=look.ink,
        )
        put_name(draw, (x, y - size * 1.6), "N", look)
    if rng.random() < 0.3:
        text = pick_name(rng, look.style.script, int(rng.integers(1, 4)))
        style = look.sized(1.4, bold=True)
        wide = style.width_px(text) / 2 + size
        if rng.random() < 0.5:
            draw.rectangle(
                (w / 2 - wide, size * 0.4, w / 2 + wide, size * 2.6),
                fill=look.ground,
                outline=look.ink,
                width=look.px,
            )
        write_centred(draw, (w / 2, size * 1.5), text, style)
    if rng.random() < 0.3:
        count, left = int(rng.integers(2, 6)), w - size * 8
        top = h - look.style.line_px * count - size * 1.5
        draw.rectangle(
            (left, top, w - size * 0.5, h - size * 0.5), fill=look.ground, outline=look.pale(0.5), width=look.px
        )
        for k in range(count):
            y = top + size * 0.4 + k * look.style.line_px
            draw.rectangle((left + size * 0.4, y + 4, left + size * 1.4, y + size * 0.8), fill=look.colour(k))
            draw.text(
                (left + size * 1.8, y), pick_name(rng, look.style.script, 1)[:8], font=look.style.font, fill=look.ink
            )


def pick_map_look(rng: Rng, w: int, h: int, dark: float = 0.15) -> Look:
    """A look with the smaller names that maps have."""
    look = pick_look(rng, w, h, dark)
    size = math.sqrt(w * h) * math.exp(rng.uniform(math.log(0.018), math.log(0.036)))
    return replace(look, style=replace(look.style, size_px=max(16, round(size))))


@smooth
def metro_map(rng: Rng, w: int, h: int) -> Image.Image:
    """Lines in full colours along eight directions with stations as dots and their names."""
    look = pick_map_look(rng, w, h)
    image, draw = make_canvas(w, h, look.ground)
    count, px, size = int(rng.integers(1, 7)), look.px * int(rng.integers(4, 8)), look.style.size_px
    step, named = math.hypot(w, h) * float(rng.uniform(0.05, 0.12)), float(rng.uniform(0.5, 1))
    taken: list[Point] = []
    for k in range(count):
        x, y, way = float(rng.uniform(0.06, 0.4)) * w, float(rng.uniform(0.1, 0.5)) * h, int(rng.integers(-1, 2))
        path, heading = [(x, y)], 0 if rng.random() < 0.5 else 2
        for _ in range(int(rng.integers(4, 18))):
            angle = (heading + way) * math.pi / 4
            x, y = x + step * math.cos(angle), y + step * math.sin(angle)
            if not (0 < x < w * 0.97 and 0 < y < h * 0.97):
                break
            if rng.random() < 0.3 or not (h * 0.06 < y < h * 0.94):
                way = -way if not (h * 0.06 < y < h * 0.94) else int(rng.integers(-1, 2))
            path.append((x, y))
        draw.line(path, fill=look.colour(k), width=px, joint="curve")
        for at in path:
            r, is_hub = px * 0.75, bool(rng.random() < 0.15)
            box = (at[0] - r, at[1] - r, at[0] + r, at[1] + r)
            draw.ellipse(box, fill=look.ground, outline=look.ink if is_hub else look.colour(k), width=max(2, px // 3))
            if rng.random() < named and all(math.dist(at, other) > size * 2.5 for other in taken):
                taken.append(at)
                text, style = pick_name(rng, look.style.script, int(rng.integers(1, 3))), look.sized(0.8, bold=is_hub)
                if rng.random() < 0.3:
                    write_turned(image, (at[0] + size * 2, at[1] - size * 1.8), text, style, 45)
                else:
                    draw.text((at[0] + px, at[1] + size * 0.6), text, font=style.font, fill=style.colour, anchor="lm")
        if rng.random() < 0.6:
            text, (x, y) = str(rng.choice(["M", "U", "S", "L", ""])) + str(k + 1), path[0]
            draw.rectangle((x - size, y - size * 2, x + size, y - size * 0.5), fill=look.colour(k))
            write_inside(
                draw,
                (x - size, y - size * 2, x + size, y - size * 0.5),
                text,
                look.sized(0.9, (255, 255, 255), bold=True),
            )
    put_furniture(rng, image, look)
    return image


@smooth
def floor_plan(rng: Rng, w: int, h: int) -> Image.Image:
    """Rooms with walls, doors, names and sizes, and the lengths of the sides."""
    look = pick_map_look(rng, w, h)
    image, draw = make_canvas(w, h, look.ground)
    m, wall, size = min(w, h) * float(rng.uniform(0.06, 0.14)), look.px * int(rng.integers(3, 8)), look.style.size_px
    rooms = [(m, m, w - m, h - m)]
    for _ in range(int(rng.integers(1, 8))):
        k = max(range(len(rooms)), key=lambda i: (rooms[i][2] - rooms[i][0]) * (rooms[i][3] - rooms[i][1]))
        x0, y0, x1, y1 = rooms.pop(k)
        share = float(rng.uniform(0.35, 0.65))
        if x1 - x0 > y1 - y0:
            cut = x0 + (x1 - x0) * share
            rooms += [(x0, y0, cut, y1), (cut, y0, x1, y1)]
        else:
            cut = y0 + (y1 - y0) * share
            rooms += [(x0, y0, x1, cut), (x0, cut, x1, y1)]
    tinted, sized = bool(rng.random() < 0.5), bool(rng.random() < 0.6)
    for k, (x0, y0, x1, y1) in enumerate(rooms):
        fill = mix(look.colour(k), look.ground, 0.8) if tinted else look.ground
        draw.rectangle((x0, y0, x1, y1), fill=fill, outline=look.ink, width=wall)
    for k, (x0, y0, x1, y1) in enumerate(rooms):
        door = min(x1 - x0, y1 - y0) * 0.3
        x = x0 + (x1 - x0) * float(rng.uniform(0.2, 0.5))
        draw.line((x, y1 - wall / 2, x + door, y1 - wall / 2), fill=look.ground, width=wall * 2)
        draw.arc((x - door, y1 - door, x + door, y1 + door), 270, 360, fill=look.ink, width=look.px)
        draw.line((x, y1 - door, x, y1), fill=look.ink, width=look.px)
        if rng.random() < 0.35:
            a, b = x0 + wall * 2, y0 + wall * 2
            draw.rectangle((a, b, a + door, b + door * 0.6), outline=look.pale(0.3), width=look.px)
        text = pick_name(rng, look.style.script, 1) if rng.random() < 0.8 else str(101 + k)
        write_inside(draw, (x0 + wall, y0 + (y1 - y0) * 0.25, x1 - wall, y0 + (y1 - y0) * 0.6), text, look.style)
        if sized and y1 - y0 > size * 4:
            area = f"{rng.uniform(4, 40):.1f} m²"
            write_inside(draw, (x0, y0 + (y1 - y0) * 0.55, x1, y0 + (y1 - y0) * 0.75), area, look.sized(0.8))
    if rng.random() < 0.5:
        draw.line((m, m * 0.6, w - m, m * 0.6), fill=look.ink, width=look.px)
        put_name(draw, (w / 2, m * 0.55), f"{rng.uniform(6, 20):.2f}", look, 0.8)
        draw.line((m * 0.6, m, m * 0.6, h - m), fill=look.ink, width=look.px)
        write_turned(image, (m * 0.5, h / 2), f"{rng.uniform(6, 20):.2f}", look.sized(0.8))
    return image
