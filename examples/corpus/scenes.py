"""Photographs with words in them: shops, streets, roads, clothes, packages, rooms, shelves and displays."""

from dataclasses import replace

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from examples.corpus.cards import product_headline
from examples.corpus.designed import shop_banner
from examples.corpus.fonts import pick_style
from examples.corpus.grounds import graded, plain
from examples.corpus.lettering import Look, break_lines, is_dark, pick_person, pick_title, set_words
from examples.corpus.perspective import lean, paste_quad
from examples.corpus.photographs import bricks, city, foliage, landscape
from examples.corpus.props import article, bust, figure, paste_at, vehicle
from examples.corpus.rooms import book_shelf, display_in_room, heading_slide, lecture_room, packaging
from examples.corpus.textures import (
    Colour,
    Rng,
    make_canvas,
    make_noise,
    mix,
    pick_colour,
    through_camera,
    to_image,
)
from examples.corpus.words import pick_name, pick_phrase


def board(rng: Rng, w: int, h: int, words: int = 2) -> Image.Image:
    """A painted or lit board with a name, and a line of small words at times."""
    w, h = max(24, w), max(16, h)
    fill = pick_colour(rng, 0.75, float(rng.choice([0.15, 0.5, 0.85]))) if rng.random() < 0.75 else (245, 243, 236)
    image, draw = make_canvas(w, h, fill)
    if rng.random() < 0.4:
        draw.rectangle((2, 2, w - 3, h - 3), outline=mix(fill, (255, 255, 255), 0.6), width=max(1, h // 24))
    ink: Colour = (255, 255, 255) if is_dark(image, (0, 0, w, h)) else (20, 20, 24)
    if rng.random() < 0.3:
        ink = mix(ink, pick_colour(rng, 0.9, 0.8), 0.5)
    style = pick_style(rng, 30, ink)
    style = replace(style, is_bold=bool(rng.random() < 0.7))
    name = pick_title(rng, style.script, words)
    small = rng.random() < 0.35 and h > 40
    look = Look(
        style=style, fill=ink, spacing=float(rng.choice([0, 0, 0.15])), stretch=float(rng.choice([1, 1, 1.4]))
    )
    look = replace(look, shadow=mix(fill, (0, 0, 0), 0.5) if rng.random() < 0.3 else None)
    lines = break_lines(name, 2 if h > w * 0.5 else 1, style.script)
    placed = set_words(image, (w // 12, h // 8, w - w // 12, round(h * (0.62 if small else 0.88))), lines, look)
    if small:
        line = (w // 10, placed[3] + h // 16, w - w // 10, h - h // 14)
        words_below = pick_phrase(rng, style.script, int(rng.integers(2, 5)))
        set_words(image, line, [words_below], Look(style=replace(style, is_bold=False), fill=ink))
    return image


def walkers(rng: Rng, image: Image.Image, count: int) -> None:
    """People in the foreground, some out of focus."""
    for _ in range(count):
        cut = figure(rng, round(image.height * rng.uniform(0.25, 0.6)))
        if rng.random() < 0.3:
            cut = cut.filter(ImageFilter.GaussianBlur(image.height / 160))
        paste_at(image, cut, (image.width * rng.uniform(0, 1), image.height - cut.height * rng.uniform(0.3, 0.5)))


def storefront(rng: Rng, w: int, h: int) -> Image.Image:
    """A shop from the street: a board with its name, windows with things and notices, a door, an awning."""
    image = bricks(rng, w, h) if rng.random() < 0.5 else plain(rng, w, h)
    draw = ImageDraw.Draw(image)
    top = round(h * rng.uniform(0.15, 0.35))
    tall = round(h * rng.uniform(0.1, 0.18))
    m = round(w * rng.uniform(0, 0.1))
    draw.rectangle((m, top, w - m, h), fill=pick_colour(rng, 0.4, 0.35))
    count = int(rng.integers(2, 5))
    step = (w - 2 * m) / count
    for k in range(count):
        x, y = m + step * k + step * 0.06, top + tall * 1.25
        pane = (round(x), round(y), round(x + step * 0.88), round(h * 0.9))
        glass = graded(rng, max(8, pane[2] - pane[0]), max(8, pane[3] - pane[1]))
        for _ in range(int(rng.integers(1, 5))):
            thing = article(rng, max(10, round(step * rng.uniform(0.2, 0.5))))
            paste_at(glass, thing, (glass.width * rng.uniform(0.1, 0.9), glass.height * rng.uniform(0.3, 0.95)))
        if rng.random() < 0.5:
            note = board(rng, round(step * rng.uniform(0.3, 0.7)), round(step * 0.25), 1)
            glass.paste(note, (round(glass.width * 0.1), round(glass.height * rng.uniform(0.05, 0.5))))
        image.paste(glass, pane[:2])
        draw.rectangle(pane, outline=(30, 30, 32), width=3)
    image.paste(board(rng, w - 2 * m, tall, int(rng.integers(1, 4))), (m, top))
    if rng.random() < 0.4:
        a = pick_colour(rng, 0.8, 0.7)
        for k in range(12):
            x = m + (w - 2 * m) * k / 12
            fill = a if k % 2 else (240, 238, 230)
            y, wide = top + tall, (w - 2 * m) / 12
            draw.polygon(
                [(x, y), (x + wide, y), (x + wide * 0.9, y + tall * 0.5), (x - wide * 0.1, y + tall * 0.5)], fill=fill
            )
    draw.rectangle((0, h * 0.93, w, h), fill=(120, 118, 114))
    walkers(rng, image, int(rng.integers(0, 4)))
    return through_camera(rng, image)


def jersey(rng: Rng, w: int, h: int) -> Image.Image:
    """One or more people in shirts with a number, a name or a sponsor, on grass, in a hall or in the street."""
    image = (foliage, landscape, city, graded)[rng.integers(0, 4)](rng, w, h).filter(ImageFilter.GaussianBlur(w / 90))
    count = int(rng.choice([1, 1, 1, 2, 3]))
    shirt = pick_colour(rng, 0.8, float(rng.choice([0.2, 0.6, 0.9])))
    ink: Colour = (255, 255, 255) if sum(shirt) < 400 else (20, 20, 26)
    wide = min(w / count * 0.8, h * 0.7)
    for k in range(count):
        cx, top = w * (k + 0.5) / count + float(rng.normal(0, 6)), h * rng.uniform(0.28, 0.42)
        head = bust(rng, round(wide * 0.95))
        paste_at(image, head, (cx, top - wide * 0.04))
        body = Image.new("RGBA", (round(wide), round(h - top) + 4), (0, 0, 0, 0))
        draw, bw, bh = ImageDraw.Draw(body), body.width, body.height
        outline = [(bw * 0.36, 0), (bw * 0.64, 0), (bw * 0.86, bh * 0.08), (bw, bh * 0.45), (bw * 0.86, bh * 0.5)]
        outline += [(bw * 0.8, bh * 0.34), (bw * 0.78, bh), (bw * 0.22, bh), (bw * 0.2, bh * 0.34)]
        outline += [(bw * 0.14, bh * 0.5), (0, bh * 0.45), (bw * 0.14, bh * 0.08)]
        draw.polygon(outline, fill=shirt)
        if rng.random() < 0.3:
            for x in range(0, bw, max(6, bw // 8)):
                draw.line((x, 0, x, bh), fill=mix(shirt, ink, 0.25), width=max(2, bw // 20))
        front = Image.new("RGB", body.size)
        front.paste(body, (0, 0))
        style = replace(pick_style(rng, 40, ink, "latin"), is_bold=True)
        look = Look(
            style=style, fill=ink, stretch=1.2, edge=mix(shirt, (0, 0, 0), 0.6) if rng.random() < 0.4 else None
        )
        if rng.random() < 0.75:
            name = pick_person(rng).split()[1].upper() if rng.random() < 0.5 else pick_title(rng, "latin", 1)
            set_words(
                front,
                (round(bw * 0.28), round(bh * 0.1), round(bw * 0.72), round(bh * 0.24)),
                [name],
                replace(look, bend=0.2),
            )
        if rng.random() < 0.8:
            number = str(rng.integers(0, 100))
            set_words(front, (round(bw * 0.3), round(bh * 0.28), round(bw * 0.7), round(bh * 0.72)), [number], look)
        fold = 1 + 0.25 * make_noise(rng, bw, bh, 4, 3)[..., None]
        folded = to_image(np.asarray(front, np.float32) * fold)
        alpha = body.getchannel("A")
        image.paste(folded, (round(cx - bw / 2), round(top)), alpha)
    return through_camera(rng, image)


def road_sign(rng: Rng, w: int, h: int) -> Image.Image:
    """A sign at a road: a direction board, a stop sign, a limit, a warning or a street's name."""
    image = (landscape, landscape, city, foliage)[rng.integers(0, 4)](rng, w, h)
    draw = ImageDraw.Draw(image)
    side = round(min(w, h) * rng.uniform(0.25, 0.6))
    cx, cy = w * rng.uniform(0.3, 0.7), h * rng.uniform(0.25, 0.5)
    draw.rectangle((cx - side * 0.03, cy, cx + side * 0.03, h), fill=(130, 130, 134))
    kind = rng.choice(["board", "board", "stop", "limit", "warning", "street"])
    plate = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    pen, c, r = ImageDraw.Draw(plate), side / 2, side * 0.48
    ink: Colour = (255, 255, 255)
    if kind in ("board", "street"):
        fill = ((0, 60, 150), (0, 110, 60), (250, 205, 30), (245, 245, 245), (120, 70, 30))[rng.integers(0, 5)]
        ink = (255, 255, 255) if sum(fill) < 420 else (15, 15, 15)
        wide, tall = (
            (round(side * 1.5), round(side * rng.uniform(0.5, 1.0)))
            if kind == "board"
            else (round(side * 1.3), side // 3)
        )
        front = Image.new("RGB", (wide, tall), fill)
        ImageDraw.Draw(front).rounded_rectangle((3, 3, wide - 4, tall - 4), 6, outline=ink, width=max(1, tall // 40))
        style = replace(pick_style(rng, 30, ink), is_bold=True)
        rows = int(rng.integers(1, 4)) if kind == "board" else 1
        for k in range(rows):
            text = pick_name(rng, style.script, int(rng.integers(1, 3)))
            text += f"  {rng.integers(1, 300)}" if kind == "board" and rng.random() < 0.5 else ""
            box = (wide // 10, tall * k // rows + tall // 10, wide - wide // 10, tall * (k + 1) // rows - tall // 10)
            set_words(front, box, [text], Look(style=style, fill=ink), (0.0, 0.5))
        at = (round(cx - wide / 2), round(cy - tall / 2), round(cx + wide / 2), round(cy + tall / 2))
        paste_quad(image, front, lean(rng, at, 0.06))
        return through_camera(rng, image)
    if kind == "stop":
        pen.regular_polygon((c, c, r), 8, rotation=22, fill=(190, 20, 30))
        text = str(rng.choice(["STOP", "СТОП", "止まれ", "ARRÊT", "ALTO"]))
    elif kind == "limit":
        pen.ellipse((c - r, c - r, c + r, c + r), fill=(250, 250, 250), outline=(200, 20, 30), width=side // 10)
        text, ink = str(int(rng.integers(2, 14)) * 10), (15, 15, 15)
    else:
        pen.regular_polygon((c, c + r * 0.2, r), 4, rotation=45, fill=(250, 200, 20))
        text, ink = pick_name(rng, "latin", 1).upper(), (15, 15, 15)
    flat = plate.convert("RGB")
    script = "cjk" if text == "止まれ" else "cyrillic" if text == "СТОП" else "latin"
    style = replace(pick_style(rng, 30, ink, script), is_bold=True)
    set_words(
        flat,
        (round(side * 0.2), round(side * 0.33), round(side * 0.8), round(side * 0.67)),
        [text],
        Look(style=style, fill=ink),
    )
    flat.putalpha(plate.getchannel("A"))
    paste_at(image, flat.rotate(float(rng.normal(0, 5)), Image.Resampling.BICUBIC), (cx, cy))
    return through_camera(rng, image)


def billboard(rng: Rng, w: int, h: int) -> Image.Image:
    """A large advertisement beside a road, on a roof or on a wall."""
    image = (landscape, city, bricks)[rng.integers(0, 3)](rng, w, h)
    draw = ImageDraw.Draw(image)
    wide = round(w * rng.uniform(0.45, 0.85))
    tall = min(round(wide * rng.uniform(0.3, 0.6)), round(h * 0.6))
    x, y = round((w - wide) * rng.uniform(0.1, 0.9)), round(h * rng.uniform(0.08, 0.3))
    for share in (0.3, 0.7):
        draw.rectangle((x + wide * share - 4, y + tall * 0.8, x + wide * share + 4, h), fill=(70, 70, 74))
    painter = (product_headline, shop_banner, heading_slide)[rng.integers(0, 3)]
    shown = painter(rng, max(240, wide), max(120, tall))
    frame = Image.new("RGB", (shown.width + 12, shown.height + 12), (55, 55, 58))
    frame.paste(shown, (6, 6))
    paste_quad(image, frame, lean(rng, (x, y, x + wide, y + tall), 0.07))
    if rng.random() < 0.3:
        car = vehicle(rng, round(w * 0.35))
        paste_at(image, car, (w * rng.uniform(0.2, 0.8), h * 0.93))
    return through_camera(rng, image)


def street_with_signs(rng: Rng, w: int, h: int) -> Image.Image:
    """A street between houses with many boards and lit signs, people and cars; day or night."""
    image = city(rng, w, h)
    draw = ImageDraw.Draw(image)
    night = is_dark(image, (0, 0, w, h))
    vx, vy = w * rng.uniform(0.4, 0.6), h * rng.uniform(0.5, 0.65)
    draw.polygon([(0, h), (vx - 8, vy), (vx + 8, vy), (w, h)], fill=(46, 46, 52) if night else (120, 120, 122))
    for side in (0, 1):
        wall = pick_colour(rng, 0.3, 0.2 if night else 0.6)
        edge = w * side
        draw.polygon(
            [(edge, 0), (vx + (side - 0.5) * w * 0.25, vy - h * 0.25), (vx + (side - 0.5) * w * 0.25, vy), (edge, h)],
            fill=wall,
        )
    for _ in range(int(rng.integers(3, 11))):
        side, depth = int(rng.integers(0, 2)), float(rng.uniform(0.1, 0.75))
        x = (w * side) * (1 - depth) + vx * depth
        scale = (1 - depth) * h
        upright = bool(rng.random() < 0.4)
        bw, bh = (0.12 * scale, 0.34 * scale) if upright else (0.34 * scale, 0.13 * scale)
        patch = _vertical_board(rng, bw, bh) if upright else board(rng, round(bw), round(bh), int(rng.integers(1, 3)))
        y = vy - scale * rng.uniform(0.1, 0.7)
        box = (round(x - bw / 2), round(y), round(x + bw / 2), round(y + bh))
        if night:
            patch = ImageEnhance.Brightness(patch).enhance(1.35)
        drop = 0.16 * bh * (1 if side else -1)
        quad = [
            (box[0], box[1] + drop),
            (box[2], box[1] - drop),
            (box[2], box[3] + drop / 3),
            (box[0], box[3] - drop / 3),
        ]
        paste_quad(image, patch, quad)
    walkers(rng, image, int(rng.integers(0, 5)))
    if rng.random() < 0.4:
        car = vehicle(rng, round(w * rng.uniform(0.2, 0.4)))
        paste_at(image, car, (w * rng.uniform(0.2, 0.8), h * 0.88))
    if night:
        glow = image.filter(ImageFilter.GaussianBlur(w / 40))
        image = ImageChops.screen(image, ImageEnhance.Brightness(glow).enhance(0.5))
    return through_camera(rng, image)


def _vertical_board(rng: Rng, w: float, h: float) -> Image.Image:
    """A tall board with letters below one another."""
    image = Image.new(
        "RGB", (max(14, round(w)), max(30, round(h))), pick_colour(rng, 0.8, float(rng.choice([0.3, 0.8])))
    )
    ink: Colour = (255, 255, 255) if is_dark(image, (0, 0, *image.size)) else (20, 20, 24)
    style = replace(pick_style(rng, 20, ink, str(rng.choice(["latin", "cjk", "cjk"]))), is_bold=True)
    text = pick_name(rng, style.script, 2).replace(" ", "")[: int(rng.integers(2, 7))].upper()
    set_words(image, (2, 3, image.width - 2, image.height - 3), list(text), Look(style=style, fill=ink))
    return image


SCENES = (
    storefront, jersey, packaging, road_sign, lecture_room, billboard, street_with_signs, book_shelf, display_in_room
)  # fmt: skip
