"""Cards: titles, quotes, slogans, names and stickers on a plain, graded or photographed ground."""

import math
from dataclasses import replace

from PIL import Image, ImageDraw

from examples.corpus.covers import add_props, heading, perhaps_veil, share_box, small_style
from examples.corpus.fonts import pick_style
from examples.corpus.grounds import blobs, graded, pick_ground, plain, split, toned_view, view, waves
from examples.corpus.lettering import (
    Look,
    break_lines,
    is_dark,
    make_mask,
    pick_look,
    pick_person,
    pick_script,
    pick_title,
    set_small,
    set_words,
    words_of,
)
from examples.corpus.props import article, drop_shadow, mark, paste_at, prop
from examples.corpus.textures import Rng, mix, pick_colour, through_camera
from examples.corpus.words import pick_money, pick_phrase


def title_card(rng: Rng, w: int, h: int) -> Image.Image:
    """A few words on a plain or graded ground, with a mark or a rule at times."""
    image = (plain, graded, pick_ground)[rng.integers(0, 3)](rng, w, h)
    x = float(rng.uniform(0.05, 0.2))
    tall = float(rng.uniform(0.12, 0.5))
    top = float(rng.uniform(0.1, 0.85 - tall))
    box = share_box(w, h, (x, top, 1 - x if rng.random() < 0.7 else 0.65, top + tall))
    placed = heading(rng, image, box, int(rng.integers(1, 6)), int(rng.integers(1, 4)))
    draw = ImageDraw.Draw(image)
    if rng.random() < 0.3:
        y, colour = placed[3] + h // 40, pick_colour(rng, 0.8, 0.7)
        draw.rectangle(
            (placed[0], y, placed[0] + (placed[2] - placed[0]) * rng.uniform(0.2, 1), y + 1 + h // 110), fill=colour
        )
    if rng.random() < 0.55:
        line = (round(w * x), placed[3] + h // 20, round(w * (1 - x)), placed[3] + h // 20 + h // 14)
        style = small_style(rng, image, line, h * rng.uniform(0.03, 0.06))
        set_small(
            image,
            line,
            [pick_phrase(rng, "latin", int(rng.integers(1, 7)))],
            style,
            (float(rng.choice([0.0, 0.5])), 0),
        )
    if rng.random() < 0.45:
        side = round(min(w, h) * rng.uniform(0.1, 0.4))
        at = (w * rng.choice([0.12, 0.5, 0.86]), h * rng.choice([0.14, 0.84]))
        paste_at(image, mark(rng, side) if rng.random() < 0.7 else prop(rng, side), at)
    return image


def plated_card(rng: Rng, w: int, h: int) -> Image.Image:
    """A course or a talk: each line in its own letters, some on plates, with marks and an area aside."""
    h = min(h, round(w * rng.uniform(0.5, 0.75)))
    image = split(rng, w, h) if rng.random() < 0.5 else (plain, graded, blobs, waves)[rng.integers(0, 4)](rng, w, h)
    lines = [pick_title(rng, "latin", int(rng.choice([1, 1, 2]))) for _ in range(int(rng.integers(2, 5)))]
    left = float(rng.choice([0.06, 0.06, 0.2]))
    y, room = round(h * rng.uniform(0.1, 0.2)), round(h * 0.62)
    shares = rng.dirichlet([4.0] * len(lines))
    draw = ImageDraw.Draw(image)
    for line, share in zip(lines, shares, strict=True):
        tall = max(14, round(room * share))
        place = (round(w * left), y, round(w * (left + 0.56)), y + tall - 4)
        look = replace(pick_look(rng, image, place, "latin"), turn=0, bend=0, edge=None)
        if rng.random() < 0.5:
            fill = (255, 255, 255) if rng.random() < 0.4 else pick_colour(rng, 0.7, float(rng.choice([0.12, 0.7])))
            ink = (20, 20, 26) if sum(fill) > 430 else (255, 255, 255)
            look = replace(look, fill=ink, low=None, shadow=None, hollow=False)
            lean = round(tall * rng.choice([0, 0, 0.3]))
            size = make_mask([line], look, (place[2] - place[0] - 20, round(tall * 0.6))).size
            right = place[0] + size[0] + 20
            draw.polygon(
                [(place[0] + lean, y), (right + lean, y), (right, y + tall - 4), (place[0], y + tall - 4)], fill=fill
            )
            place = (place[0] + 10, y + tall // 6, place[2] - 10, y + tall - 4 - tall // 6)
        set_words(image, place, [line], look, (0, 0.5))
        y += tall
    for k in range(int(rng.integers(0, 4))):
        paste_at(image, mark(rng, round(h * 0.13)), (w * (left + 0.06 + 0.12 * k), min(h * 0.9, y + h * 0.1)))
    side = round(h * rng.uniform(0.35, 0.6))
    if rng.random() < 0.75:
        tint = (255, 255, 255) if rng.random() < 0.5 else None
        cut = mark(rng, side, tint) if rng.random() < 0.5 else prop(rng, side)
        paste_at(image, cut, (w * 0.83, h * rng.uniform(0.35, 0.6)))
    return image


def logo_wall(rng: Rng, w: int, h: int) -> Image.Image:
    """The marks and names of several firms in rows on a plain ground, under a heading at times."""
    image = Image.new("RGB", (w, h), (255, 255, 255)) if rng.random() < 0.6 else plain(rng, w, h)
    columns, rows = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    top = round(h * 0.18) if rng.random() < 0.45 else 6
    if top > 6:
        heading(rng, image, (w // 8, h // 30, w - w // 8, top - 6), int(rng.integers(2, 6)), 1)
    dark = is_dark(image, (0, 0, w, h))
    one = (120, 120, 126) if rng.random() < 0.25 else None
    cw, ch = w / columns, (h - top) / rows
    for k in range(columns * rows):
        x, y = k % columns * cw, top + k // columns * ch
        colour = one or pick_colour(rng, 0.8, 0.9 if dark else 0.5)
        style = replace(pick_style(rng, 20, colour, "latin"), is_bold=bool(rng.random() < 0.6))
        look = Look(
            style=style, fill=colour, slant=float(rng.choice([0, 0, 0.2])), spacing=float(rng.choice([0, 0, 0.15]))
        )
        side = round(min(cw * 0.3, ch * 0.5))
        how = rng.random()
        if how < 0.5:
            paste_at(image, mark(rng, side, colour), (x + cw * 0.08 + side / 2, y + ch / 2))
            box = (round(x + cw * 0.12) + side, round(y + ch * 0.3), round(x + cw * 0.94), round(y + ch * 0.7))
        elif how < 0.75:
            paste_at(image, mark(rng, side, colour), (x + cw / 2, y + ch * 0.35))
            box = (round(x + cw * 0.1), round(y + ch * 0.62), round(x + cw * 0.9), round(y + ch * 0.85))
        else:
            box = (round(x + cw * 0.1), round(y + ch * 0.25), round(x + cw * 0.9), round(y + ch * 0.75))
        set_words(image, box, [pick_title(rng, "latin", int(rng.choice([1, 1, 2])))], look)
    return image


def quote_card(rng: Rng, w: int, h: int) -> Image.Image:
    """A sentence in large letters and who said it."""
    image = toned_view(rng, w, h) if rng.random() < 0.5 else pick_ground(rng, w, h)
    script = pick_script(rng)
    box = share_box(w, h, (0.1, 0.15, 0.9, float(rng.uniform(0.55, 0.75))))
    perhaps_veil(rng, image, box)
    text = f"“{pick_phrase(rng, words_of(script), int(rng.integers(5, 18)))}.”"
    look = replace(pick_look(rng, image, box, script), turn=0, bend=0, spacing=0, justified=bool(rng.random() < 0.15))
    lines = break_lines(text, int(rng.integers(2, 6)), words_of(script))
    placed = set_words(image, box, lines, look, (float(rng.choice([0.0, 0.5])), 0.5))
    below = (box[0], placed[3] + h // 25, box[2], placed[3] + h // 25 + h // 15)
    style = small_style(rng, image, below, h * 0.045)
    set_small(image, below, [f"— {pick_person(rng)}"], style, (float(rng.choice([0.0, 0.5, 1.0])), 0))
    return image


def logo_with_tagline(rng: Rng, w: int, h: int) -> Image.Image:
    """A firm's mark and name on a plain ground, beside or below one another, with a line of small words."""
    if rng.random() < 0.4:
        h = max(100, round(h * rng.uniform(0.3, 0.6)))
    ground = (255, 255, 255) if rng.random() < 0.6 else pick_colour(rng, 0.7, float(rng.choice([0.1, 0.5, 0.85])))
    image = Image.new("RGB", (w, h), ground)
    dark = is_dark(image, (0, 0, w, h))
    colour = (255, 255, 255) if dark and rng.random() < 0.6 else pick_colour(rng, 0.8, 0.9 if dark else 0.5)
    script = pick_script(rng)
    style = replace(pick_style(rng, 40, colour, script), is_bold=bool(rng.random() < 0.7))
    ink = colour if rng.random() < 0.6 else (240, 240, 242) if dark else (30, 30, 34)
    look = Look(
        style=style, fill=ink, spacing=float(rng.choice([0, 0, 0.1, 0.35])), slant=float(rng.choice([0, 0, 0, 0.2]))
    )
    look = replace(look, stretch=float(rng.choice([0.8, 1, 1, 1.3])))
    name = break_lines(pick_title(rng, script, int(rng.integers(1, 4))), int(rng.integers(1, 3)), words_of(script))
    how = rng.random()
    if how < 0.4:
        side = round(min(h * 0.7, w * 0.28))
        paste_at(image, mark(rng, side, colour), (w * 0.06 + side / 2, h / 2))
        placed = set_words(
            image, (round(w * 0.1) + side, round(h * 0.25), round(w * 0.95), round(h * 0.65)), name, look, (0, 0.5)
        )
    elif how < 0.8:
        side = round(min(h * 0.45, w * 0.45))
        paste_at(image, mark(rng, side, colour), (w / 2, h * 0.1 + side / 2))
        placed = set_words(image, (w // 8, round(h * 0.6), w - w // 8, round(h * 0.82)), name, look)
    else:
        box = share_box(w, h, (0.12, 0.2, 0.88, 0.8))
        plate = pick_colour(rng, 0.85, 0.5)
        draw = ImageDraw.Draw(image)
        draw.rounded_rectangle(box, round(h * float(rng.choice([0, 0.05, 0.3]))), fill=plate)
        inner = (box[0] + w // 16, box[1] + h // 14, box[2] - w // 16, box[3] - h // 7)
        placed = set_words(image, inner, name, replace(look, fill=(255, 255, 255)))
    if rng.random() < 0.75:
        line = (placed[0], placed[3] + h // 40, placed[2], min(h - 2, placed[3] + h // 40 + max(10, h // 12)))
        tag = replace(style, colour=look.fill if how < 0.8 else (255, 255, 255), is_bold=False)
        tagline = pick_title(rng, script, int(rng.integers(2, 5)))
        set_words(image, line, [tagline], Look(style=tag, fill=tag.colour, spacing=float(rng.choice([0, 0.2]))))
    return image


def badge_or_sticker(rng: Rng, w: int, h: int) -> Image.Image:
    """A round, starred or shield-like badge with words in it, perhaps along its edge."""
    image = pick_ground(rng, w, h) if rng.random() < 0.4 else plain(rng, w, h)
    draw = ImageDraw.Draw(image)
    r, cx, cy = min(w, h) * rng.uniform(0.32, 0.46), w / 2, h / 2
    fill = pick_colour(rng, 0.8, float(rng.choice([0.25, 0.6, 0.85])))
    ink = (255, 255, 255) if sum(fill) < 430 else (20, 20, 26)
    teeth = int(rng.choice([0, 0, 12, 20, 30]))
    points = []
    for k in range(teeth * 2 or 90):
        reach = r * (0.9 if teeth and k % 2 else 1)
        a = 2 * math.pi * k / (teeth * 2 or 90)
        points.append((cx + reach * math.cos(a), cy + reach * math.sin(a)))
    if rng.random() < 0.6:
        draw.ellipse((cx - r * 1.06, cy - r * 1.06, cx + r * 1.06, cy + r * 1.06), fill=(250, 250, 250))
    draw.polygon(points, fill=fill)
    q = r * 0.84
    draw.ellipse((cx - q, cy - q, cx + q, cy + q), outline=ink, width=max(1, int(r / 40)))
    style = replace(pick_style(rng, 30, ink, "latin"), is_bold=True)
    if rng.random() < 0.6:
        _ring_words(
            image,
            (cx, cy),
            r * 0.7,
            pick_title(rng, "latin", 3).upper(),
            replace(style, size_px=max(9, int(r * 0.16))).font,
        )
        inner = r * 0.5
    else:
        inner = r * 0.68
    if rng.random() < 0.4:
        paste_at(image, mark(rng, int(inner * 0.7), mix(fill, ink, 0.8)), (cx, cy - inner * 0.55))
        box = (round(cx - inner), round(cy), round(cx + inner), round(cy + inner * 0.7))
    else:
        box = (round(cx - inner), round(cy - inner * 0.7), round(cx + inner), round(cy + inner * 0.7))
    look = Look(style=style, fill=ink, turn=float(rng.choice([0, 0, 10])), stretch=float(rng.choice([1, 1, 1.4])))
    text = (
        f"{rng.integers(1, 10) * 10}% off"
        if rng.random() < 0.3
        else pick_title(rng, "latin", int(rng.integers(1, 4)))
    )
    set_words(image, box, break_lines(text, int(rng.integers(1, 4))), look)
    return through_camera(rng, image) if rng.random() < 0.3 else image


def _ring_words(image: Image.Image, at: tuple[float, float], r: float, text: str, font: object) -> None:
    """Letters along the upper half of a circle."""
    letters = Image.new("L", image.size, 0)
    size = max(4, int(r * 0.5))
    count = max(2, len(text))
    span = min(2.9, 0.21 * count)
    for k, letter in enumerate(text):
        a = -span / 2 + span * k / (count - 1)
        tile = Image.new("L", (size, size), 0)
        ImageDraw.Draw(tile).text((size / 2, size / 2), letter, font=font, fill=255, anchor="mm")  # type: ignore[arg-type]
        tile = tile.rotate(-math.degrees(a), Image.Resampling.BICUBIC)
        x, y = at[0] + r * math.sin(a) - size / 2, at[1] - r * math.cos(a) - size / 2
        letters.paste(255, (round(x), round(y)), tile)
    style_ink = (255, 255, 255) if is_dark(image, _around(at, r)) else (20, 20, 26)
    image.paste(style_ink, (0, 0), letters)


def _around(at: tuple[float, float], r: float) -> tuple[int, int, int, int]:
    return round(at[0] - r), round(at[1] - r), round(at[0] + r), round(at[1] + r)


def business_card(rng: Rng, w: int, h: int) -> Image.Image:
    """A card with a name, a trade and how to reach them, or a voucher, on a table at times."""
    cw, ch = (round(w * 0.96), round(w * 0.56)) if w > h else (w, round(w * 0.58))
    card = pick_ground(rng, cw, ch) if rng.random() < 0.4 else plain(rng, cw, ch)
    paste_at(card, mark(rng, round(ch * rng.uniform(0.2, 0.45))), (cw * rng.choice([0.18, 0.82]), ch * 0.3))
    box = share_box(cw, ch, (0.08, 0.45, 0.8, 0.6))
    look = replace(pick_look(rng, card, box, pick_script(rng)), turn=0, bend=0)
    set_words(card, box, [pick_person(rng)], look, (0, 0.5))
    below = share_box(cw, ch, (0.08, 0.64, 0.8, 0.94))
    style = small_style(rng, card, below, ch * rng.uniform(0.05, 0.075))
    lines = [
        pick_title(rng, "latin", 2),
        f"+{rng.integers(10, 99)} {rng.integers(100000, 999999)}",
        f"{pick_title(rng, 'latin', 1).lower()}.example",
    ]
    set_small(card, below, lines[: int(rng.integers(1, 4))], style, (0, 0))
    if rng.random() < 0.5:
        return card
    image = view(rng, w, max(h, ch))
    turned = card.convert("RGBA").rotate(float(rng.normal(0, 7)), Image.Resampling.BICUBIC, expand=True)
    turned.thumbnail((round(w * 0.9), round(image.height * 0.9)))
    drop_shadow(image, turned, (w / 2, image.height / 2))
    return through_camera(rng, image)


def product_headline(rng: Rng, w: int, h: int) -> Image.Image:
    """Something for sale with a headline, at times a price, a button and small print."""
    image = pick_ground(rng, w, h) if rng.random() < 0.4 else (plain, graded)[rng.integers(0, 2)](rng, w, h)
    beside = w > h * 1.05
    right = bool(rng.random() < 0.5)
    if beside:
        words = share_box(w, h, (0.06, 0.15, 0.5, 0.6) if right else (0.5, 0.15, 0.94, 0.6))
        area = share_box(w, h, (0.52, 0.1, 0.98, 0.95) if right else (0.02, 0.1, 0.48, 0.95))
    else:
        words, area = share_box(w, h, (0.08, 0.05, 0.92, 0.32)), share_box(w, h, (0.08, 0.36, 0.92, 0.86))
    if rng.random() < 0.7:
        side = min(area[2] - area[0], area[3] - area[1])
        for k in range(count := int(rng.choice([1, 1, 1, 2, 3]))):
            cut = article(rng, round(side * (1 if count == 1 else 0.66)))
            x = area[0] + (area[2] - area[0]) * (k + 0.5) / count
            drop_shadow(image, cut, (x, (area[1] + area[3]) / 2))
    else:
        add_props(rng, image, area, int(rng.integers(1, 3)))
    placed = heading(rng, image, words, int(rng.integers(1, 5)), int(rng.integers(1, 4)))
    below = (words[0], placed[3] + h // 40, words[2], placed[3] + h // 40 + h // 9)
    style = small_style(rng, image, below, max(9, h * 0.035))
    at = 0.0 if beside else 0.5
    if rng.random() < 0.7:
        set_small(image, below, break_lines(pick_phrase(rng, "latin", int(rng.integers(3, 12))), 2), style, (at, 0))
    if rng.random() < 0.45:
        wide, tall = max(50, round(w * 0.2)), max(16, round(h * 0.08))
        x, y = words[0] if beside else (w - wide) // 2, round(h * 0.86) if not beside else below[3] + h // 30
        fill = pick_colour(rng, 0.85, 0.75)
        draw = ImageDraw.Draw(image)
        draw.rounded_rectangle((x, y, x + wide, y + tall), tall // int(rng.choice([2, 6])), fill=fill)
        label = pick_money(rng) + " €" if rng.random() < 0.4 else pick_title(rng, "latin", 2)
        ink = (255, 255, 255) if sum(fill) < 430 else (15, 15, 20)
        button = replace(pick_style(rng, 20, ink, "latin"), is_bold=True)
        set_words(
            image, (x + 6, y + tall // 5, x + wide - 6, y + tall - tall // 5), [label], Look(style=button, fill=ink)
        )
    return image
