"""Phones, watches, tablets and laptops with an app on their display, and what such displays show."""

import math
from dataclasses import replace

from PIL import Image, ImageDraw

from examples.corpus.covers import heading, small_style
from examples.corpus.fonts import pick_style
from examples.corpus.grounds import graded, pick_ground, plain, toned_view, view
from examples.corpus.lettering import (
    Look,
    is_dark,
    pick_ink,
    pick_look,
    pick_person,
    pick_title,
    set_small,
    set_words,
)
from examples.corpus.props import article, bust, drop_shadow, mark, paste_at
from examples.corpus.textures import Colour, Rng, make_canvas, mix, pick_colour, through_camera
from examples.corpus.words import pick_money, pick_phrase

ROMAN = ("XII", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI")


def _clock_text(rng: Rng) -> str:
    return f"{rng.integers(0, 24)}:{rng.integers(0, 60):02d}"


def lock_screen(rng: Rng, w: int, h: int) -> Image.Image:
    """The time in large digits on a picture, the date, and a message or two."""
    image = toned_view(rng, w, h) if rng.random() < 0.6 else graded(rng, w, h)
    box = (w // 6, h // 9, w - w // 6, h // 9 + h // 8)
    look = replace(pick_look(rng, image, box, "latin"), turn=0, bend=0, spacing=0)
    set_words(image, box, [_clock_text(rng)], look)
    date = (w // 6, box[3] + 4, w - w // 6, box[3] + 4 + h // 18)
    set_small(image, date, [pick_phrase(rng, "latin", 2)], small_style(rng, image, date, h * 0.025))
    draw = ImageDraw.Draw(image)
    for k in range(int(rng.integers(0, 3))):
        y = round(h * (0.45 + 0.14 * k))
        card = (w // 14, y, w - w // 14, y + round(h * 0.12))
        draw.rounded_rectangle(card, w // 18, fill=(240, 240, 244))
        style = pick_style(rng, max(9, w * 0.05), (25, 25, 28), "latin")
        inner = (card[0] + w // 20, card[1] + 4, card[2] - w // 20, card[3] - 4)
        set_small(image, inner, [pick_person(rng), pick_phrase(rng, "latin", 4)], style, (0, 0.5))
    return image


def home_screen(rng: Rng, w: int, h: int) -> Image.Image:
    """Rows of icons with names below."""
    image = toned_view(rng, w, h) if rng.random() < 0.5 else graded(rng, w, h)
    draw, columns = ImageDraw.Draw(image), int(rng.integers(3, 6))
    step = w / columns
    style = small_style(rng, image, (0, 0, w, h), max(7, step * 0.17))
    for row in range(int(rng.integers(3, 7))):
        for k in range(columns):
            x, y = step * (k + 0.5), h * 0.1 + row * step * 1.3
            if y > h * 0.93:
                continue
            r = step * 0.3
            draw.rounded_rectangle((x - r, y - r, x + r, y + r), int(r * 0.45), fill=pick_colour(rng, 0.7, 0.8))
            paste_at(image, mark(rng, int(r * 1.1), (255, 255, 255)), (x, y))
            draw.text(
                (x, y + r * 1.45), pick_title(rng, "latin", 1)[:8], font=style.font, fill=style.colour, anchor="mm"
            )
    return image


def app_screen(rng: Rng, w: int, h: int) -> Image.Image:
    """A simple app: a coloured bar, a large number or picture, some rows, a button."""
    dark = bool(rng.random() < 0.4)
    ground: Colour = (20, 21, 26) if dark else (250, 250, 252)
    ink: Colour = (235, 235, 240) if dark else (30, 30, 36)
    accent = pick_colour(rng, 0.75, 0.7)
    image, draw = make_canvas(w, h, ground)
    bar = max(12, h // 11)
    draw.rectangle((0, 0, w, bar), fill=accent)
    style = pick_style(rng, max(8, w * 0.06), ink, "latin")
    white = replace(style, colour=(255, 255, 255), is_bold=True)
    set_small(image, (w // 16, bar // 4, w - w // 16, bar), [pick_title(rng, "latin", 2)], white, (0, 0.5))
    y = bar + h // 30
    if rng.random() < 0.6:
        picture = view(rng, w - w // 8, round(h * rng.uniform(0.2, 0.4)))
        image.paste(picture, (w // 16, y))
        y += picture.height + h // 40
    else:
        box = (w // 8, y, w - w // 8, y + h // 6)
        set_words(image, box, [pick_money(rng)], Look(style=replace(white, colour=accent), fill=accent))
        y = box[3] + h // 40
    row = max(12, round(h * rng.uniform(0.07, 0.13)))
    while y + row < h * rng.uniform(0.75, 1.0):
        draw.rounded_rectangle(
            (w // 16, y, w // 16 + row - 4, y + row - 4), row // 5, fill=pick_colour(rng, 0.5, 0.8)
        )
        line = (w // 16 + row + 2, y, w - w // 16, y + row - 2)
        set_small(image, line, [pick_phrase(rng, "latin", int(rng.integers(1, 4)))], style, (0, 0.4))
        y += row
    if rng.random() < 0.5:
        box = (w // 8, h - h // 9, w - w // 8, h - h // 30)
        draw.rounded_rectangle(box, h // 40, fill=accent)
        inner = (box[0] + 8, box[1] + h // 50, box[2] - 8, box[3] - h // 50)
        set_words(image, inner, [pick_title(rng, "latin", 2)], Look(style=white))
    return image


def call_screen(rng: Rng, w: int, h: int) -> Image.Image:
    """Someone's portrait and name, with round buttons: a call, or a player of music."""
    image = graded(rng, w, h)
    side = round(w * 0.6)
    tile = plain(rng, side, side)
    paste_at(tile, bust(rng, side) if rng.random() < 0.6 else article(rng, side), (side / 2, side / 2))
    image.paste(tile, ((w - side) // 2, round(h * 0.16)))
    box = (w // 8, round(h * 0.16) + side + h // 40, w - w // 8, round(h * 0.16) + side + h // 40 + h // 14)
    ink = pick_ink(rng, image, box)
    set_words(image, box, [pick_person(rng)], Look(style=pick_style(rng, 20, ink, "latin"), fill=ink))
    draw = ImageDraw.Draw(image)
    for k in range(3):
        x, y, r = w * (0.22 + 0.28 * k), h * 0.84, w * 0.08
        draw.ellipse((x - r, y - r, x + r, y + r), fill=pick_colour(rng, 0.8, 0.8))
    return image


SCREENS = (lock_screen, home_screen, app_screen, app_screen, call_screen)


def pick_screen(rng: Rng, w: int, h: int) -> Image.Image:
    """What some display shows; drawn at a size that its letters need."""
    scale = max(1.0, 170 / max(1, w))
    drawn = SCREENS[rng.integers(0, len(SCREENS))](rng, max(60, round(w * scale)), max(60, round(h * scale)))
    return drawn.resize((max(1, w), max(1, h)), Image.Resampling.LANCZOS)


def device(rng: Rng, w: int, h: int) -> Image.Image:
    """A phone, or a tablet where it is wide, seen from the front, on a transparent ground."""
    body = (18, 18, 21) if rng.random() < 0.6 else pick_colour(rng, 0.25, 0.85)
    cut = Image.new("RGBA", (w, h), (0, 0, 0, 0))
    draw = ImageDraw.Draw(cut)
    edge = max(3, round(min(w, h) * rng.uniform(0.03, 0.07)))
    old = bool(rng.random() < 0.25)  # with a wide chin and a round button
    chin = round(h * 0.09) if old else edge
    draw.rounded_rectangle(
        (0, 0, w - 1, h - 1),
        int(min(w, h) * rng.uniform(0.06, 0.16)),
        fill=body,
        outline=mix(body, (128, 128, 128), 0.6),
        width=2,
    )
    screen = pick_screen(rng, w - 2 * edge, h - 2 * chin)
    mask = Image.new("L", screen.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle(
        (0, 0, screen.width - 1, screen.height - 1), 2 if old else int(min(w, h) * 0.08), fill=255
    )
    cut.paste(screen, (edge, chin), mask)
    if old:
        r = chin * 0.32
        draw.ellipse((w / 2 - r, h - chin / 2 - r, w / 2 + r, h - chin / 2 + r), outline=(128, 128, 132), width=2)
    elif rng.random() < 0.7:
        draw.rounded_rectangle((w * 0.36, edge, w * 0.64, edge + h * 0.025), int(h * 0.012), fill=body)
    return cut


def phone_mockup(rng: Rng, w: int, h: int) -> Image.Image:
    """One to three phones on a ground, upright or turned, with a headline at times."""
    image = (plain, graded, pick_ground)[rng.integers(0, 3)](rng, w, h)
    count = int(rng.choice([1, 1, 1, 2, 2, 3]))
    titled = bool(rng.random() < 0.4)
    tall = round(min(h * (0.7 if titled and h > w else 0.88), w / count * 1.6))
    wide = round(tall * rng.uniform(0.46, 0.58))
    turn = float(rng.choice([0, 0, 0, rng.normal(0, 10)]))
    beside = titled and w >= h
    left, right = (0.45 if beside else 0.0) * w, w
    for k in range(count):
        cut = device(rng, wide, tall).rotate(turn, Image.Resampling.BICUBIC, expand=True)
        y = h * (0.62 if titled and not beside else 0.5) + (k % 2) * h * 0.04 * (count > 1)
        drop_shadow(image, cut, (left + (right - left) * (k + 0.5) / count, y))
    if titled:
        box = (
            (w // 18, h // 5, round(w * 0.44), round(h * 0.62)) if beside else (w // 12, h // 30, w - w // 12, h // 5)
        )
        heading(rng, image, box, int(rng.integers(1, 6)), 3 if beside else 2)
    return through_camera(rng, image) if rng.random() < 0.2 else image


def _dial(rng: Rng, side: int) -> Image.Image:
    """A watch's face with hands, marks, numerals and the maker's name."""
    image = plain(rng, side, side)
    draw, c = ImageDraw.Draw(image), side / 2
    ink = (245, 245, 245) if is_dark(image, (0, 0, side, side)) else (20, 20, 24)
    style = pick_style(rng, max(9, side * rng.uniform(0.08, 0.13)), ink, "latin")
    numerals = rng.choice(["all", "roman", "quarters", "none"])
    for k in range(12):
        a = k * math.pi / 6
        sx, sy = math.sin(a), -math.cos(a)
        draw.line(
            (c + sx * c * 0.93, c + sy * c * 0.93, c + sx * c * 0.82, c + sy * c * 0.82),
            fill=ink,
            width=max(1, side // 60),
        )
        if numerals == "none" or (numerals == "quarters" and k % 3):
            continue
        text = ROMAN[k] if numerals == "roman" else str(k or 12)
        draw.text((c + sx * c * 0.68, c + sy * c * 0.68), text, font=style.font, fill=ink, anchor="mm")
    name = replace(style, size_px=max(9, round(side * 0.06)))
    draw.text((c, c * 0.65), pick_title(rng, "latin", 1), font=name.font, fill=ink, anchor="mm")
    for reach, width in ((0.45, side // 28), (0.7, side // 40), (0.78, 1)):
        a = rng.uniform(0, 2 * math.pi)
        colour = ink if width > 1 else (210, 40, 40)
        draw.line((c, c, c + math.sin(a) * c * reach, c - math.cos(a) * c * reach), fill=colour, width=max(1, width))
    return image


def _watch_display(rng: Rng, side: int) -> Image.Image:
    """What a smart or digital watch shows: the time, the date, a few numbers, rings."""
    lcd = bool(rng.random() < 0.3)
    ground: Colour = (150, 165, 140) if lcd else (8, 8, 10)
    image, draw = make_canvas(side, side, ground)
    ink: Colour = (25, 32, 25) if lcd else pick_colour(rng, 0.2, 0.97)
    style = replace(pick_style(rng, 30, ink, str(rng.choice(["latin", "mono"]))), is_bold=True)
    top = float(rng.choice([0.12, 0.3]))
    box = (side // 7, round(side * top), side - side // 7, round(side * (top + 0.34)))
    set_words(image, box, [_clock_text(rng)], Look(style=style, fill=ink, stretch=float(rng.choice([1, 1.5]))))
    for k in range(int(rng.integers(1, 4))):
        y = box[3] + round(side * (0.05 + 0.12 * k))
        colour = ink if lcd else pick_colour(rng, 0.6, 0.95)
        line = (side // 5, y, side - side // 5, y + side // 10)
        words = str(
            rng.choice(
                [pick_phrase(rng, "latin", 2), f"{rng.integers(40, 180)} bpm", f"{rng.integers(0, 20000)}", "12:30"]
            )
        )
        set_words(image, line, [words], Look(style=replace(style, is_bold=False), fill=colour))
    if rng.random() < 0.3 and not lcd:
        draw.arc(
            (4, 4, side - 5, side - 5),
            -90,
            float(rng.uniform(0, 270)),
            fill=pick_colour(rng, 0.8, 0.9),
            width=side // 18,
        )
    return image


def watch_mockup(rng: Rng, w: int, h: int) -> Image.Image:
    """A watch with a strap, round or square, with hands or a display, on a ground; or a clock on a wall."""
    image = (plain, graded, pick_ground)[rng.integers(0, 3)](rng, w, h)
    if rng.random() < 0.35:
        image = Image.new("RGB", (w, h), (255, 255, 255))
    side = round(min(w, h) * rng.uniform(0.42, 0.62))
    pad = side // 3
    cut = Image.new("RGBA", (side + 2 * pad, side + 2 * pad + side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(cut)
    metal, strap = pick_colour(rng, 0.1, float(rng.choice([0.15, 0.75]))), pick_colour(rng, 0.4, 0.3)
    cx, cy, r = cut.width / 2, cut.height / 2, side / 2
    is_round, is_clock = bool(rng.random() < 0.6), bool(rng.random() < 0.15)
    if not is_clock:
        half = r * rng.uniform(0.55, 0.75)
        draw.rounded_rectangle((cx - half, 0, cx + half, cut.height), int(r * 0.2), fill=strap)
        for k in range(0, cut.height, max(4, side // 9)):
            draw.line((cx - half, k, cx + half, k), fill=mix(strap, (0, 0, 0), 0.3))
        draw.rectangle((cx + r, cy - r * 0.1, cx + r * 1.22, cy + r * 0.1), fill=metal)
    q = r * 1.14
    corner = int(q if is_round or is_clock else q * rng.uniform(0.1, 0.4))
    draw.rounded_rectangle(
        (cx - q, cy - q, cx + q, cy + q), corner, fill=metal, outline=mix(metal, (0, 0, 0), 0.5), width=2
    )
    shown = _dial(rng, side) if is_clock or rng.random() < 0.5 else _watch_display(rng, side)
    mask = Image.new("L", shown.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, side - 1, side - 1), int(corner * 0.87), fill=255)
    cut.paste(shown, (round(cx - r), round(cy - r)), mask)
    turned = cut.rotate(float(rng.choice([0, 0, rng.normal(0, 14)])), Image.Resampling.BICUBIC, expand=True)
    turned.thumbnail((w, h), Image.Resampling.LANCZOS)
    titled = w > h * 1.1 and rng.random() < 0.4
    drop_shadow(image, turned, (w * (0.7 if titled else 0.5), h / 2))
    if titled:
        heading(rng, image, (w // 20, h // 4, round(w * 0.46), round(h * 0.7)), int(rng.integers(1, 5)), 3)
    return through_camera(rng, image) if rng.random() < 0.3 else image
