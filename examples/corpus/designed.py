"""Designed pictures with words: posters, covers, banners, cards, comics, memes, devices and portraits with names."""

from dataclasses import replace

from PIL import Image, ImageDraw

from examples.corpus.cards import (
    badge_or_sticker,
    business_card,
    logo_wall,
    logo_with_tagline,
    plated_card,
    product_headline,
    quote_card,
    title_card,
)
from examples.corpus.covers import (
    add_props,
    album_cover,
    book_cover,
    event_flyer,
    film_poster,
    game_cover,
    heading,
    share_box,
    small_style,
)
from examples.corpus.devices import phone_mockup, watch_mockup
from examples.corpus.fonts import Style, pick_style
from examples.corpus.grounds import graded, pick_ground, plain, split, view
from examples.corpus.lettering import (
    Look,
    break_lines,
    pick_look,
    pick_person,
    pick_script,
    pick_title,
    set_small,
    set_words,
    words_of,
)
from examples.corpus.props import article, bust, drop_shadow, figure, mark, paste_at, prop
from examples.corpus.textures import Colour, Rng, make_canvas, pick_colour, pick_paper
from examples.corpus.words import Box, pick_money, pick_phrase, wrap


def _button(rng: Rng, image: Image.Image, box: Box) -> None:
    fill = pick_colour(rng, 0.85, 0.8)
    tall = box[3] - box[1]
    ImageDraw.Draw(image).rounded_rectangle(box, max(1, tall // int(rng.choice([2, 6]))), fill=fill)
    ink: Colour = (255, 255, 255) if sum(fill) < 430 else (15, 15, 20)
    style = replace(pick_style(rng, 20, ink, "latin"), is_bold=True)
    inner = (box[0] + tall // 3, box[1] + tall // 5, box[2] - tall // 3, box[3] - tall // 5)
    set_words(image, inner, [pick_title(rng, "latin", 2)], Look(style=style, fill=ink))


def shop_banner(rng: Rng, w: int, h: int) -> Image.Image:
    """A wide banner of a shop: an offer, things for sale, a button, a strip of small print."""
    w, h = round(w * rng.uniform(1.1, 1.5)), 0
    h = max(70, round(w / rng.uniform(2, 6.5)))
    image = split(rng, w, h) if rng.random() < 0.3 else pick_ground(rng, w, h)
    words_at = float(rng.choice([0.04, 0.3, 0.55]))
    for x in (0.16, 0.84):
        if abs(words_at + 0.2 - x) < 0.22 or rng.random() < 0.15:
            continue
        for k in range(int(rng.integers(1, 3))):
            cut = article(rng, round(h * 0.85)) if rng.random() < 0.6 else prop(rng, round(h * 0.95))
            drop_shadow(image, cut, (w * x + k * h * 0.5, h * 0.55))
    box = share_box(w, h, (words_at, 0.12, words_at + 0.4, 0.56))
    placed = heading(rng, image, box, int(rng.integers(1, 5)), int(rng.integers(1, 3)))
    below = (box[0], placed[3] + h // 24, box[2], placed[3] + h // 24 + max(11, h // 7))
    style = small_style(rng, image, below, max(9, h * 0.085))
    offer = f"{rng.integers(1, 9) * 10}% off · {pick_phrase(rng, 'latin', 3)} · {pick_money(rng)}"
    if rng.random() < 0.8:
        set_small(image, below, [offer], style, (0.5 if words_at == 0.3 else 0.0, 0))
    if rng.random() < 0.6:
        y = below[3] + h // 30
        wide = round(w * rng.uniform(0.1, 0.18))
        x = box[0] if words_at != 0.3 else (w - wide) // 2
        _button(rng, image, (x, y, x + wide, min(h - 3, y + max(14, h // 7))))
    if rng.random() < 0.25:
        strip = Image.new("RGB", (w, max(14, h // 7)), (255, 255, 255))
        for k in range(count := int(rng.integers(2, 6))):
            x = round(w * (k + 0.3) / count)
            paste_at(strip, mark(rng, round(strip.height * 0.7)), (x - strip.height / 2, strip.height / 2))
            small = small_style(rng, strip, (0, 0, 10, 10), strip.height * 0.5)
            place = (x, 2, x + round(w * 0.6 / count), strip.height - 2)
            set_small(strip, place, [pick_phrase(rng, "latin", 2)], small, (0, 0.5))
        image.paste(strip, (0, h - strip.height))
    return image


def video_thumbnail(rng: Rng, w: int, h: int) -> Image.Image:
    """A video's still: huge edged words, someone cut out, an arrow or ring, the length in a corner."""
    w, h = (w, round(w * 9 / 16)) if w > 300 else (max(w, h), round(max(w, h) * 9 / 16))
    image = split(rng, w, h) if rng.random() < 0.3 else pick_ground(rng, w, h)
    left = bool(rng.random() < 0.5)
    area = share_box(w, h, (0.5, 0.08, 1.0, 1.0) if left else (0.0, 0.08, 0.5, 1.0))
    if rng.random() < 0.85:
        if rng.random() < 0.6:
            cut = bust(rng, round(h * rng.uniform(0.8, 1.15)))
            drop_shadow(image, cut, ((area[0] + area[2]) / 2, h - cut.height / 2))
        else:
            add_props(rng, image, area, int(rng.integers(1, 3)))
    box = share_box(w, h, (0.04, 0.08, 0.56, 0.85) if left else (0.44, 0.08, 0.96, 0.85))
    script = "latin" if rng.random() < 0.75 else pick_script(rng)
    rows = int(rng.integers(1, 5))
    lines = break_lines(pick_title(rng, script, int(rng.integers(1, 6))), rows, words_of(script))
    y, step = box[1], (box[3] - box[1]) // max(1, len(lines))
    for line in lines if rng.random() < 0.6 else []:
        place = (box[0], y, box[2], y + step - 4)
        if rng.random() < 0.3:
            fill = pick_colour(rng, 0.9, 0.75)
            ImageDraw.Draw(image).rectangle(place, fill=fill)
            place = (place[0] + 6, place[1] + 4, place[2] - 6, place[3] - 4)
        look = replace(pick_look(rng, image, place, script), turn=0)
        look = replace(look, style=replace(look.style, is_bold=True), edge=look.edge or (0, 0, 0))
        set_words(image, place, [line], look, (0, 0.5))
        y += step
    if y == box[1]:
        set_words(image, box, lines, pick_look(rng, image, box, script))
    draw = ImageDraw.Draw(image)
    if rng.random() < 0.3:
        x, top, r = w * rng.uniform(0.3, 0.7), h * rng.uniform(0.3, 0.7), h * rng.uniform(0.08, 0.2)
        draw.ellipse((x - r, top - r, x + r, top + r), outline=(235, 30, 30), width=max(3, h // 60))
    if rng.random() < 0.35:
        stamp = f"{rng.integers(0, 60)}:{rng.integers(0, 60):02d}"
        style = pick_style(rng, max(10, h * 0.06), (255, 255, 255), "latin")
        corner = (w - round(style.width_px(stamp)) - 14, h - style.line_px - 10, w - 6, h - 6)
        draw.rounded_rectangle(corner, 3, fill=(12, 12, 12))
        draw.text(
            ((corner[0] + corner[2]) / 2, (corner[1] + corner[3]) / 2),
            stamp,
            font=style.font,
            fill=(255, 255, 255),
            anchor="mm",
        )
    if rng.random() < 0.25:
        r = h * 0.1
        draw.rounded_rectangle(
            (w / 2 - r * 1.4, h / 2 - r, w / 2 + r * 1.4, h / 2 + r), int(r / 2), fill=(210, 25, 25)
        )
        draw.polygon(
            [(w / 2 - r * 0.4, h / 2 - r * 0.5), (w / 2 + r * 0.6, h / 2), (w / 2 - r * 0.4, h / 2 + r * 0.5)],
            fill=(255, 255, 255),
        )
    return image


def _balloon(rng: Rng, image: Image.Image, box: Box, style: Style, manner: str) -> None:
    """Speech in a balloon, or in a box, in the upper part of a panel."""
    wide = round((box[2] - box[0]) * rng.uniform(0.45, 0.9))
    text = pick_phrase(rng, words_of(style.script), int(rng.integers(1, 10)))
    text = (text + str(rng.choice(["!", "?", ".", "…"]))).upper() if rng.random() < 0.6 else text
    lines = list(wrap(text, style, max(30, wide - 2 * style.size_px)))[:6]
    wide = round(max(style.width_px(line) for line in lines)) + round(style.size_px * 1.8)
    tall = style.line_px * len(lines) + style.size_px
    x = box[0] + 4 + round(rng.uniform(0, max(0, box[2] - box[0] - wide - 8)))
    y = box[1] + 4 + round(rng.uniform(0, 0.12) * (box[3] - box[1]))
    draw = ImageDraw.Draw(image)
    if manner == "bare":
        draw.rectangle((x + 2, y + 2, x + wide - 2, y + tall - 2), fill=None)
    elif manner == "box":
        draw.rectangle((x, y, x + wide, y + tall), fill=(255, 250, 215), outline=(0, 0, 0), width=2)
    else:
        tip = (x + wide / 2 + float(rng.uniform(-0.3, 0.3)) * wide, y + tall + style.size_px * 1.3)
        draw.polygon(
            [(x + wide * 0.45, y + tall - 3), (x + wide * 0.6, y + tall - 3), tip],
            fill=(255, 255, 255),
            outline=(0, 0, 0),
        )
        draw.rounded_rectangle(
            (x, y, x + wide, y + tall),
            tall // 2 if len(lines) < 3 else style.size_px,
            fill=(255, 255, 255),
            outline=(0, 0, 0),
            width=2,
        )
        draw.polygon([(x + wide * 0.46, y + tall - 4), (x + wide * 0.59, y + tall - 4), tip], fill=(255, 255, 255))
    for k, line in enumerate(lines):
        at = (x + wide / 2, y + style.size_px / 2 + (k + 0.5) * style.line_px)
        draw.text(at, line, font=style.font, fill=(10, 10, 12), anchor="mm")


def comic(rng: Rng, w: int, h: int) -> Image.Image:
    """Panels with figures, speech balloons and captions, in colour or in ink."""
    image, _ = make_canvas(w, h, pick_paper(rng) if rng.random() < 0.8 else (12, 12, 14))
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    if w > h * 1.3:
        columns, rows = max(2, columns), min(2, rows)
    if columns * rows == 1:
        rows = 2
    gap = max(3, w // int(rng.integers(50, 120)))
    grey, flat = bool(rng.random() < 0.25), plain(rng, w, h) if rng.random() < 0.4 else None
    style = pick_style(
        rng,
        max(10, w / columns * rng.uniform(0.05, 0.085)),
        (0, 0, 0),
        str(rng.choice(["hand", "latin", "latin", "cyrillic", "cjk"])),
    )
    style = replace(style, is_bold=bool(rng.random() < 0.6))
    cast = [int(rng.integers(0, 2**31)) for _ in range(2)]
    manner = str(rng.choice(["balloon", "balloon", "balloon", "bare", "box"]))
    pw, ph = (w - gap) // columns - gap, (h - gap) // rows - gap
    for k in range(columns * rows):
        x, y = gap + k % columns * (pw + gap), gap + k // columns * (ph + gap)
        panel = (
            flat.crop((0, 0, pw, ph))
            if flat
            else pick_ground(rng, pw, ph)
            if rng.random() < 0.7
            else view(rng, pw, ph)
        )
        for seed in cast[: int(rng.integers(1, 3))]:
            actor = type(rng)(type(rng.bit_generator)(seed))  # the same person in each panel
            side = max(16, round(min(pw, ph) * rng.uniform(0.55, 0.85)))
            cut = (bust if seed % 3 else prop)(actor, side) if seed % 5 else figure(actor, side)
            paste_at(panel, cut, (pw * (0.3 if seed == cast[0] else 0.72), ph - cut.height / 2))
        if k == 0 or rng.random() < 0.85:
            _balloon(rng, panel, (0, 0, pw, ph), style, manner)
        if grey:
            panel = panel.convert("L").convert("RGB")
        ImageDraw.Draw(panel).rectangle((0, 0, pw - 1, ph - 1), outline=(0, 0, 0), width=2)
        image.paste(panel, (x, y))
    return image


def _caption(rng: Rng, image: Image.Image, box: Box, style: Style) -> None:
    text = pick_phrase(rng, words_of(style.script), int(rng.integers(2, 14)))
    lines = list(wrap(text, style, box[2] - box[0]))
    set_small(image, box, lines, style, (float(rng.choice([0.0, 0.5])), 0.5))


def meme_card(rng: Rng, w: int, h: int) -> Image.Image:
    """A caption above a picture, panels beside captions, a framed picture with a title, or edged words on it."""
    kind = rng.choice(["above", "beside", "framed", "labels"], p=[0.4, 0.25, 0.15, 0.2])
    ground: Colour = (0, 0, 0) if kind == "framed" else (255, 255, 255)
    image, draw = make_canvas(w, h, ground)
    ink: Colour = (255, 255, 255) if kind == "framed" else (10, 10, 10)
    script = str(rng.choice(["latin", "latin", "latin", "cyrillic", "cjk"]))
    style = replace(pick_style(rng, w * rng.uniform(0.04, 0.075), ink, script), is_bold=bool(rng.random() < 0.6))
    m = w // 40
    if kind == "above":
        top = round(h * rng.uniform(0.14, 0.32))
        _caption(rng, image, (m, m, w - m, top - m), style)
        count = int(rng.choice([1, 1, 2, 3]))
        for k in range(count):
            picture = _moment(rng, (w - (count - 1) * 4) // count, h - top)
            image.paste(picture, (k * (picture.width + 4), top))
    elif kind == "beside":
        rows = int(rng.integers(2, 5))
        left = bool(rng.random() < 0.7)
        for k in range(rows):
            y, tall = round(h * k / rows), round(h / rows)
            picture = _moment(rng, w // 2, tall - 3)
            image.paste(picture, (0 if left else w - w // 2, y))
            box = (w // 2 + m if left else m, y + 4, w - m if left else w // 2 - m, y + tall - 6)
            _caption(rng, image, box, style)
            draw.line((0, y + tall - 2, w, y + tall - 2), fill=(0, 0, 0), width=3)
    elif kind == "framed":
        picture = _moment(rng, round(w * 0.8), round(h * 0.66))
        image.paste(picture, (round(w * 0.1), round(h * 0.07)))
        draw.rectangle(
            (round(w * 0.1) - 4, round(h * 0.07) - 4, round(w * 0.9) + 3, round(h * 0.73) + 3),
            outline=(255, 255, 255),
            width=2,
        )
        set_words(
            image,
            share_box(w, h, (0.1, 0.77, 0.9, 0.87)),
            [pick_title(rng, script, 2).upper()],
            Look(style=style, spacing=0.1),
        )
        if rng.random() < 0.7:
            set_small(
                image,
                share_box(w, h, (0.1, 0.89, 0.9, 0.96)),
                [pick_phrase(rng, script, 5)],
                replace(style, size_px=max(9, style.size_px // 2)),
            )
    else:
        image.paste(_moment(rng, w, h), (0, 0))
        edged = Look(style=replace(style, is_bold=True), fill=(255, 255, 255), edge=(0, 0, 0))
        if rng.random() < 0.5:  # a line at the top and one at the foot
            for y in (round(h * 0.03), round(h * 0.8)):
                text = pick_phrase(rng, script, int(rng.integers(2, 9))).upper()
                box = (m, y, w - m, y + round(h * rng.uniform(0.1, 0.17)))
                set_words(image, box, break_lines(text, int(rng.integers(1, 3)), script), edged)
            return image
        for _ in range(int(rng.integers(1, 5))):
            x, y = round(w * rng.uniform(0, 0.55)), round(h * rng.uniform(0.02, 0.8))
            words = pick_title(rng, script, int(rng.integers(1, 4)))
            set_words(image, (x, y, x + round(w * 0.42), y + round(h * 0.13)), break_lines(words, 2, script), edged)
    return image


def _moment(rng: Rng, w: int, h: int) -> Image.Image:
    """A view or a flat ground with someone or something in front."""
    w, h = max(16, w), max(16, h)
    image = view(rng, w, h) if rng.random() < 0.6 else graded(rng, w, h)
    for _ in range(int(rng.integers(0, 3))):
        cut = prop(rng, round(min(w, h) * rng.uniform(0.6, 1)))
        paste_at(image, cut, (w * rng.uniform(0.2, 0.8), h - cut.height / 2))
    return image


def portrait_collage(rng: Rng, w: int, h: int) -> Image.Image:
    """A grid of portraits, each with a name below, beside or on it, and a heading at times."""
    image = plain(rng, w, h) if rng.random() < 0.75 else pick_ground(rng, w, h)
    top = round(h * rng.uniform(0.1, 0.2)) if rng.random() < 0.45 else 4
    if top > 4:
        heading(rng, image, (w // 12, h // 40, w - w // 12, top - 2), int(rng.integers(1, 5)), 1)
    columns = int(rng.integers(2, 7))
    pw = (w - 4) // columns
    ph = round(pw * rng.uniform(1.05, 1.5))
    rows = max(1, min(6, (h - top) // ph))
    round_ones, named = bool(rng.random() < 0.35), top == 4 or bool(rng.random() < 0.85)
    side = max(24, round(min(pw * 0.9, ph * 0.76)))
    mask = Image.new("L", (side, side), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, side - 1, side - 1), side // 2 if round_ones else 2, fill=255)
    grey = bool(rng.random() < 0.15)
    style = small_style(rng, image, (0, top, w, h), max(9, pw * rng.uniform(0.085, 0.12)), words_of(pick_script(rng)))
    for k in range(columns * rows):
        x, y = 2 + k % columns * pw, top + k // columns * ph
        tile = plain(rng, side, side) if rng.random() < 0.6 else view(rng, side, side)
        cut = bust(rng, round(side * rng.uniform(0.9, 1.2)))
        paste_at(tile, cut, (side / 2, side - cut.height / 2))
        image.paste(tile.convert("L").convert("RGB") if grey else tile, (x + (pw - side) // 2, y), mask)
        if named:
            lines = [pick_person(rng), pick_title(rng, "latin", 1)][: int(rng.integers(1, 3))]
            box = (x + 2, y + side + 1, x + pw - 2, y + ph)
            set_small(image, box, lines, replace(style, script="latin"))
    return image


def cover_collage(rng: Rng, w: int, h: int) -> Image.Image:
    """Posters, covers or sleeves side by side, as in a shop or a player."""
    image = plain(rng, w, h)
    columns, painter = int(rng.integers(2, 7)), (film_poster, book_cover, game_cover, album_cover)[rng.integers(0, 4)]
    pw = w / columns
    ratio = 1.0 if painter is album_cover else 1.45
    gap = round(pw * rng.choice([0, 0.04, 0.12]))
    wide, high = max(20, round(pw - gap)), max(20, round(pw * ratio - gap))
    pool = []
    for _ in range(6):
        drawn = painter(rng, max(150, wide), round(max(150, wide) * ratio))
        pool.append(drawn.resize((wide, high), Image.Resampling.LANCZOS))
    named = bool(rng.random() < 0.35)
    step = high + gap + (max(10, round(pw * 0.14)) if named else 0)
    style = small_style(rng, image, (0, 0, w, h), max(9, pw * 0.09))
    for k in range(columns * (h // step + 1)):
        x, y = round(k % columns * pw + gap / 2), k // columns * step + gap // 2
        image.paste(pool[k % 6 if k < 6 else int(rng.integers(0, 6))], (x, y))
        if named:
            set_small(image, (x, y + high + 1, x + wide, y + step - gap), [pick_title(rng, "latin", 2)], style)
    return image


DESIGNED = (
    film_poster, book_cover, game_cover, shop_banner, video_thumbnail, title_card, event_flyer, comic, meme_card,
    logo_with_tagline, product_headline, quote_card, album_cover, badge_or_sticker, business_card, phone_mockup,
    watch_mockup, portrait_collage, plated_card, logo_wall, cover_collage,
)  # fmt: skip
