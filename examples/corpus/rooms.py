"""Photographs with words in rooms: packages, lectures, shelves of books, displays."""

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from examples.corpus.cards import product_headline
from examples.corpus.charts import bar_chart, line_chart
from examples.corpus.covers import book_cover, film_poster, game_cover, heading
from examples.corpus.devices import pick_screen
from examples.corpus.documents import app, code, slide
from examples.corpus.fonts import pick_style
from examples.corpus.grounds import graded, pick_ground, plain, view
from examples.corpus.lettering import Look, is_dark, pick_title, set_small, set_words
from examples.corpus.perspective import lean, paste_quad
from examples.corpus.photographs import fabric, still_life, wood
from examples.corpus.props import article, bust, drop_shadow, figure, mark, paste_at, silhouette_of
from examples.corpus.textures import (
    Colour,
    Rng,
    make_canvas,
    make_ramp,
    mix,
    pick_colour,
    through_camera,
    to_image,
)
from examples.corpus.words import pick_money, pick_name


def packaging(rng: Rng, w: int, h: int) -> Image.Image:
    """Boxes, cans, bags or bottles with printed fronts, on a table or in rows on a shelf."""
    image = (wood, fabric, graded, plain)[rng.integers(0, 4)](rng, w, h)
    shelf = bool(rng.random() < 0.35)
    count = int(rng.integers(3, 6)) if shelf else int(rng.choice([1, 1, 2, 3]))
    kinds = [_label(rng, 150, 210) for _ in range(min(count, 3))]
    rows = int(rng.integers(1, 4)) if shelf else 1
    for row in range(rows):
        for k in range(count):
            front = kinds[k % len(kinds)]
            tall = h / rows * rng.uniform(0.72, 0.8) if not shelf else h / rows * 0.8
            wide = min(tall * 0.72, w / count * 0.86)
            cx, bottom = w * (k + 0.5) / count, h * (row + 0.94) / rows
            if rng.random() < 0.4:  # round: dark at both sides
                x = np.linspace(-1, 1, front.width)[None, :, None]
                front = to_image(np.asarray(front, np.float32) * (1.1 - 0.7 * x**4 - 0.15 * x))
            box = (round(cx - wide / 2), round(bottom - tall), round(cx + wide / 2), round(bottom))
            quad = lean(rng, box, 0.0 if shelf else 0.05)
            side = wide * 0.14
            edge = [
                quad[1],
                (quad[1][0] + side, quad[1][1] + side / 2),
                (quad[2][0] + side, quad[2][1] - side / 2),
                quad[2],
            ]
            ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in edge], fill=(60, 58, 56))
            paste_quad(image, front, quad)
        if shelf:
            y = h * (row + 0.94) / rows
            ImageDraw.Draw(image).rectangle((0, y, w, y + h / rows * 0.07), fill=(205, 203, 198))
            style = pick_style(rng, max(9, h / rows * 0.05), (30, 30, 30), "latin")
            for k in range(count):
                tag = (
                    round(w * (k + 0.3) / count),
                    round(y),
                    round(w * (k + 0.7) / count),
                    round(y + h / rows * 0.07),
                )
                set_small(image, tag, [pick_money(rng)], style)
    return through_camera(rng, image)


def _label(rng: Rng, w: int, h: int) -> Image.Image:
    """The front of a package: a brand, what it is, a picture, weight and claims."""
    image = pick_ground(rng, w, h)
    y = heading(rng, image, (w // 12, h // 16, w - w // 12, h // 3), int(rng.integers(1, 3)), 2)[3]
    thing = article(rng, max(10, round(min(w, h) * 0.4)))
    paste_at(image, thing, (w / 2, h * 0.6))
    ink: Colour = (255, 255, 255) if is_dark(image, (0, y, w, h)) else (20, 20, 24)
    style = pick_style(rng, max(9, h * 0.05), ink, "latin")
    set_small(image, (w // 12, y + 3, w - w // 12, y + h // 8), [pick_name(rng, "latin", 2)], style)
    foot = (w // 12, round(h * 0.86), w - w // 12, round(h * 0.97))
    set_small(image, foot, [f"{rng.integers(1, 20) * 50} g  {pick_title(rng, 'latin', 2)}"], style)
    return image


def lecture_room(rng: Rng, w: int, h: int) -> Image.Image:
    """A room with rows of heads or desks, a speaker, and a small projected screen or a board."""
    wall = pick_colour(rng, 0.12, float(rng.choice([0.25, 0.6, 0.85])))
    image = to_image(np.asarray(wall, np.float32) * (0.75 + 0.4 * make_ramp(rng, w, h))[..., None])
    draw = ImageDraw.Draw(image)
    draw.polygon(
        [(0, h), (0, h * 0.75), (w * 0.2, h * 0.6), (w * 0.8, h * 0.6), (w, h * 0.75), (w, h)],
        fill=mix(wall, (60, 45, 30), 0.6),
    )
    for k in range(int(rng.integers(0, 5))):
        x = w * (0.1 + 0.2 * k)
        draw.polygon(
            [(x, 0), (x + w * 0.08, 0), (x + w * 0.07, h * 0.03), (x + w * 0.01, h * 0.03)], fill=(250, 248, 240)
        )
    wide = round(w * rng.uniform(0.25, 0.55))
    tall = round(wide * rng.uniform(0.5, 0.75))
    x, y = round((w - wide) * rng.uniform(0.2, 0.8)), round(h * rng.uniform(0.06, 0.18))
    painter = (slide, slide, line_chart, code, heading_slide)[rng.integers(0, 5)]
    shown = painter(rng, max(200, wide), max(150, tall)).convert("RGB")
    shown = ImageEnhance.Brightness(shown).enhance(float(rng.uniform(0.85, 1.15)))
    if rng.random() < 0.2:  # from near: someone speaks before the screen
        image = shown.resize((w, round(w * shown.height / shown.width))).crop((0, 0, w, h))
        if (foot := w * shown.height / shown.width) < h:
            ImageDraw.Draw(image).rectangle((0, foot, w, h), fill=wall)
        cut = bust(rng, round(min(w, h) * rng.uniform(0.5, 0.9)))
        paste_at(image, cut, (w * rng.uniform(0.2, 0.8), h - cut.height * 0.45))
        return through_camera(rng, image)
    paste_quad(image, shown, lean(rng, (x, y, x + wide, y + tall), 0.05))
    if rng.random() < 0.6:
        speaker = figure(rng, round(h * rng.uniform(0.3, 0.45)))
        paste_at(image, speaker, (x + wide * rng.choice([-0.12, 1.12]), h * 0.5))
    dark = mix(wall, (0, 0, 0), 0.7)
    rows = int(rng.integers(1, 5))
    for row in range(rows):
        size = h * (0.1 + 0.07 * row)
        for k in range(int(w / size / rng.uniform(1.0, 1.6)) + 1):
            if rng.random() < 0.2:
                continue
            cx, cy = (k + rng.uniform(0.2, 0.8)) * size * 1.3, h * (0.66 + 0.32 * (row + 1) / rows) - size * 0.4
            tone = mix(dark, pick_colour(rng, 0.4, 0.4), 0.6)
            draw.ellipse((cx - size * 0.55, cy + size * 0.2, cx + size * 0.55, cy + size * 1.6), fill=tone)
            hair = mix((20, 16, 14), (150, 115, 70), float(rng.random() ** 2))
            draw.ellipse((cx - size * 0.25, cy - size * 0.32, cx + size * 0.25, cy + size * 0.35), fill=hair)
    return through_camera(rng, image.filter(ImageFilter.GaussianBlur(0.6)))


def heading_slide(rng: Rng, w: int, h: int) -> Image.Image:
    """A slide with a few large words."""
    image = graded(rng, w, h) if rng.random() < 0.5 else plain(rng, w, h)
    heading(rng, image, (w // 10, h // 4, w - w // 10, h - h // 4), int(rng.integers(1, 5)), 2)
    return image


def book_shelf(rng: Rng, w: int, h: int) -> Image.Image:
    """Shelves of books, records or boxes with their names on the backs, some with the front shown."""
    tone = pick_colour(rng, 0.5, 0.35, "wood") if rng.random() < 0.7 else (225, 224, 220)
    image, draw = make_canvas(w, h, mix(tone, (0, 0, 0), 0.5))
    rows = int(rng.integers(1, 5))
    tall = h / rows
    shown = 0
    for row in range(rows):
        x, floor = 2.0, round(tall * (row + 1) - tall * 0.07)
        while x < w:
            if rng.random() < 0.06:
                x += w * 0.04
                continue
            wide, high = max(11, w // 40, round(tall * rng.uniform(0.08, 0.2))), round(tall * rng.uniform(0.6, 0.86))
            if shown < 2 and rng.random() < 0.08:
                shown += 1
                cover = (book_cover, game_cover, film_poster)[rng.integers(0, 3)](rng, 160, 230)
                cover = cover.resize((round(high * 0.7), high))
                image.paste(cover, (round(x), floor - high))
                x += cover.width + 2
                continue
            image.paste(_back(rng, wide, high), (round(x), floor - high))
            x += wide + 1
        draw.rectangle((0, floor, w, floor + tall * 0.07), fill=tone)
    return through_camera(rng, image)


def _back(rng: Rng, wide: int, high: int) -> Image.Image:
    fill = pick_colour(rng, float(rng.choice([0.2, 0.7])), float(rng.choice([0.2, 0.5, 0.85])))
    back = Image.new("RGB", (high, wide), fill)
    draw = ImageDraw.Draw(back)
    ink: Colour = (250, 248, 240) if sum(fill) < 400 else (20, 20, 22)
    if rng.random() < 0.4:
        draw.rectangle((high * 0.06, 0, high * 0.1, wide), fill=mix(fill, ink, 0.6))
    style = pick_style(rng, 16, ink)
    words = pick_title(rng, style.script, int(rng.integers(1, 4)))
    set_words(
        back,
        (round(high * 0.14), wide // 6, round(high * 0.8), wide - wide // 6),
        [words],
        Look(style=style, fill=ink),
    )
    if rng.random() < 0.4:
        paste_at(back, mark(rng, max(6, wide // 2), ink), (high * 0.9, wide / 2))
    x = np.abs(np.linspace(-1, 1, wide))[:, None, None]
    return to_image(np.asarray(back, np.float32) * (1.05 - 0.4 * x**3)).transpose(Image.Transpose.ROTATE_270)


def display_in_room(rng: Rng, w: int, h: int) -> Image.Image:
    """A monitor, a television, a laptop or a phone in a hand, in a room or on a table."""
    image = (wood, fabric, still_life, graded, view)[rng.integers(0, 5)](rng, w, h)
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(w / 80))
    portrait = bool(rng.random() < 0.25)
    wide = round(min(w * (0.3 if portrait else rng.uniform(0.4, 0.75)), h * (0.45 if portrait else 1.2)))
    tall = round(wide * (1.9 if portrait else rng.uniform(0.56, 0.68)))
    tall = min(tall, round(h * 0.85))
    x, y = round((w - wide) * rng.uniform(0.2, 0.8)), round((h - tall) * rng.uniform(0.15, 0.6))
    size = (max(240, wide), max(160, tall))
    if portrait:
        shown = pick_screen(rng, 200, max(60, round(200 * tall / wide)))
    else:
        painter = (app, code, slide, bar_chart, product_headline, heading_slide)[rng.integers(0, 6)]
        shown = painter(rng, *size).convert("RGB").resize(size)
    pad = max(5, size[0] // 40)
    frame = Image.new("RGB", (shown.width + 2 * pad, shown.height + 2 * pad), (20, 20, 22))
    shine = (60 * np.clip(make_ramp(rng, *shown.size) - 0.5, 0, 1))[..., None]
    frame.paste(to_image(np.asarray(shown, np.float32) * rng.uniform(0.8, 1.05) + shine), (pad, pad))
    quad = lean(rng, (x, y, x + wide, y + tall), 0.07)
    draw = ImageDraw.Draw(image)
    if not portrait and rng.random() < 0.5:
        draw.polygon(
            [
                quad[3],
                quad[2],
                (quad[2][0] + wide * 0.12, quad[2][1] + tall * 0.3),
                (quad[3][0] - wide * 0.12, quad[3][1] + tall * 0.3),
            ],
            fill=(150, 150, 154),
        )
    elif not portrait:
        draw.rectangle((x + wide * 0.45, y + tall * 0.9, x + wide * 0.55, y + tall * 1.2), fill=(40, 40, 42))
    paste_quad(image, frame, quad)
    if rng.random() < 0.3:
        someone = silhouette_of(bust(rng, round(h * 0.6)), (30, 26, 26))
        paste_at(image, someone.filter(ImageFilter.GaussianBlur(2)), (w * rng.choice([0.15, 0.85]), h * 0.8))
    elif rng.random() < 0.4:
        thing = article(rng, round(min(w, h) * 0.25))
        drop_shadow(image, thing, (w * rng.choice([0.12, 0.88]), h * 0.8))
    return through_camera(rng, image)
