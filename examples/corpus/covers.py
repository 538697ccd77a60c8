"""Posters and covers: films, books, games, records, events."""

from dataclasses import replace

from PIL import Image, ImageDraw, ImageFilter

from examples.corpus.fonts import Style, pick_style
from examples.corpus.grounds import paper, pick_ground, plain, toned_view, view
from examples.corpus.lettering import (
    Look,
    break_lines,
    is_dark,
    pick_ink,
    pick_look,
    pick_person,
    pick_script,
    pick_title,
    set_small,
    set_words,
    weather,
    words_of,
)
from examples.corpus.props import bust, drop_shadow, faded, figure, mark, paste_at, prop, silhouette_of
from examples.corpus.textures import Colour, Rng, mix, pick_colour, through_camera
from examples.corpus.words import Box, pick_phrase, pick_prose, wrap


def upright(w: int, h: int, slim: float = 1.45) -> tuple[int, int]:
    """A size of about the same area whose height is `slim` times the width."""
    wide = max(160, round((w * h / slim) ** 0.5))
    return wide, round(wide * slim)


def share_box(w: int, h: int, shares: tuple[float, float, float, float]) -> Box:
    """A box from shares of the width and height."""
    return round(w * shares[0]), round(h * shares[1]), round(w * shares[2]), round(h * shares[3])


def small_style(rng: Rng, image: Image.Image, box: Box, size_px: float, script: str = "latin") -> Style:
    """A style for small print that is easy to read there."""
    return pick_style(rng, size_px, pick_ink(rng, image, box), script)


def perhaps_veil(rng: Rng, image: Image.Image, box: Box) -> None:
    """At times make the ground darker or lighter there, so that words stand out."""
    if rng.random() < 0.5:
        return
    tone = (0, 0, 0) if is_dark(image, box) else (255, 255, 255)
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).rectangle(box, fill=int(rng.uniform(90, 210)))
    if rng.random() < 0.6:
        mask = mask.filter(ImageFilter.GaussianBlur(image.height / 18))
    image.paste(tone, (0, 0), mask)


def heading(rng: Rng, image: Image.Image, box: Box, words: int, lines: int) -> Box:
    """A title of so many words in `box`; where it ended up."""
    script = pick_script(rng)
    look = pick_look(rng, image, box, script)
    text = pick_title(rng, script, words)
    at = (float(rng.choice([0.0, 0.5, 0.5, 1.0])), float(rng.uniform(0.2, 0.8)))
    return set_words(image, box, break_lines(text, lines, words_of(script)), look, at)


def add_props(rng: Rng, image: Image.Image, box: Box, count: int) -> None:
    """Cut-out things inside `box`, the last in front."""
    w, h = box[2] - box[0], box[3] - box[1]
    flat = pick_colour(rng, 0.5, 0.15) if rng.random() < 0.15 else None
    for k in range(count):
        side = int(min(w, h) * rng.uniform(0.6, 1.0) * (1 if count == 1 else 0.75))
        cut = prop(rng, side)
        x = box[0] + w * ((k + 0.5) / count if count > 1 else 0.5)
        at = (x, box[3] - cut.height / 2 if rng.random() < 0.6 else (box[1] + box[3]) / 2)
        if flat:
            paste_at(image, silhouette_of(cut, flat), at)
        else:
            drop_shadow(image, cut, at)


def film_poster(rng: Rng, w: int, h: int) -> Image.Image:
    """A film's poster: people or a symbol, a title, the actors' names above, and a block of credits below."""
    w, h = upright(w, h, float(rng.uniform(1.3, 1.55)))
    image = toned_view(rng, w, h) if rng.random() < 0.5 else pick_ground(rng, w, h)
    title_top = float(rng.choice([0.08, 0.6, 0.62, 0.66]))
    middle = share_box(w, h, (0.08, 0.3 if title_top < 0.3 else 0.1, 0.92, 0.88 if title_top < 0.3 else 0.66))
    how = rng.random()
    if how < 0.2:  # one large face
        cut = bust(rng, round(w * rng.uniform(1.0, 1.6)))
        paste_at(
            image, faded(cut, float(rng.choice([0.0, 0.6, 1.0]))), (w * rng.uniform(0.3, 0.7), h - cut.height * 0.5)
        )
    elif how < 0.35:  # a few small figures in a wide view
        for _ in range(int(rng.integers(1, 4))):
            cut = figure(rng, round(h * rng.uniform(0.12, 0.3)))
            paste_at(image, cut, (w * rng.uniform(0.2, 0.8), h * 0.8))
    elif how < 0.85:
        add_props(rng, image, middle, int(rng.integers(1, 4)))
    if rng.random() < 0.25:
        lines = [f"“{pick_phrase(rng, 'latin', int(rng.integers(3, 8)))}”" for _ in range(int(rng.integers(2, 6)))]
        box = share_box(w, h, (0.15, 0.1, 0.85, 0.34))
        set_small(image, box, lines, small_style(rng, image, box, h * 0.02))
    title_box = share_box(w, h, (0.07, title_top, 0.93, title_top + float(rng.uniform(0.12, 0.22))))
    perhaps_veil(rng, image, title_box)
    placed = heading(rng, image, title_box, int(rng.integers(1, 5)), int(rng.integers(1, 4)))
    if rng.random() < 0.6:
        names = "     ".join(pick_person(rng).upper() for _ in range(int(rng.integers(1, 4))))
        box = share_box(w, h, (0.06, 0.02, 0.94, 0.065))
        set_small(image, box, [names], small_style(rng, image, box, h * 0.026))
    if rng.random() < 0.6:
        box = (round(w * 0.1), placed[3] + h // 90, round(w * 0.9), placed[3] + h // 90 + h // 26)
        set_small(
            image, box, [pick_phrase(rng, "latin", int(rng.integers(4, 9)))], small_style(rng, image, box, h * 0.025)
        )
    if rng.random() < 0.7:
        box = share_box(w, h, (0.1, 0.9, 0.9, 0.97))
        crew = " ".join(f"{pick_phrase(rng, 'latin', 2).lower()} {pick_person(rng).upper()}" for _ in range(8))
        style = small_style(rng, image, box, max(9, h * 0.017))
        look = Look(style=style, fill=style.colour, stretch=1.7, leading=1.2)
        set_words(image, box, break_lines(crew, int(rng.integers(2, 5))), look)
    return image


def _author(rng: Rng, image: Image.Image, box: Box) -> None:
    style = small_style(rng, image, box, (box[3] - box[1]) * 0.7)
    name = pick_person(rng)
    look = Look(style=style, fill=style.colour, spacing=float(rng.choice([0, 0, 0.2])))
    set_words(
        image, box, [name.upper() if rng.random() < 0.5 else name], look, (float(rng.choice([0.0, 0.5, 0.5])), 0.5)
    )


def book_cover(rng: Rng, w: int, h: int) -> Image.Image:
    """A book's or magazine's cover: author, title, subtitle, a picture or a pattern, a publisher's mark."""
    w, h = upright(w, h, float(rng.uniform(1.25, 1.6)))
    how = rng.random()
    if how < 0.4:
        image = pick_ground(rng, w, h)
    else:
        image = plain(rng, w, h) if rng.random() < 0.7 else paper(rng, w, h)
        box = share_box(w, h, (0.0, float(rng.uniform(0.3, 0.5)), 1.0, float(rng.uniform(0.75, 1.0))))
        if how > 0.7:
            box = share_box(w, h, (0.12, 0.36, 0.88, 0.84))
        picture = view(rng, box[2] - box[0], box[3] - box[1])
        image.paste(picture, box[:2])
    if rng.random() < 0.5:
        add_props(rng, image, share_box(w, h, (0.15, 0.42, 0.85, 0.84)), 1)
    title = share_box(w, h, (0.07, 0.07, 0.93, float(rng.uniform(0.2, 0.36))))
    if rng.random() < 0.25:
        ImageDraw.Draw(image).rectangle((0, 0, w, title[3] + h // 30), fill=pick_colour(rng, 0.7, 0.5))
    placed = heading(rng, image, title, int(rng.integers(1, 7)), int(rng.integers(1, 4)))
    if rng.random() < 0.6:
        box = (round(w * 0.1), placed[3] + h // 60, round(w * 0.9), placed[3] + h // 60 + h // 12)
        style = small_style(rng, image, box, h * 0.026)
        lines = break_lines(pick_phrase(rng, "latin", int(rng.integers(3, 12))), int(rng.integers(1, 3)))
        set_small(image, box, lines, style)
    _author(rng, image, share_box(w, h, (0.08, 0.87, 0.8, 0.93)))
    if rng.random() < 0.5:
        paste_at(image, mark(rng, max(12, w // 12)), (w * 0.9, h * 0.94))
    if rng.random() < 0.15:
        image = weather(rng, image, 0.12)
    return _as_volume(rng, image) if rng.random() < 0.2 else image


def _as_volume(rng: Rng, cover: Image.Image) -> Image.Image:
    """The cover as a book that stands on a pale ground."""
    w, h = cover.size
    image = Image.new("RGB", (round(w * 1.35), round(h * 1.2)), mix(pick_colour(rng, 0.1, 0.9), (255, 255, 255), 0.6))
    thick = round(w * rng.uniform(0.05, 0.16))
    x, y = round(w * 0.2), round(h * 0.1)
    draw = ImageDraw.Draw(image)
    draw.polygon(
        [(x, y), (x - thick, y + thick // 2), (x - thick, y + h - thick // 2), (x, y + h)], fill=(40, 40, 48)
    )
    drop_shadow(image, cover.convert("RGBA"), (x + w / 2, y + h / 2), 0.4)
    return image


def _strip(rng: Rng, size: tuple[int, int], upright_words: bool) -> Image.Image:
    """A coloured strip with the console's name and a mark."""
    w, h = (size[1], size[0]) if upright_words else size
    strip = Image.new("RGB", (w, h), pick_colour(rng, 0.85, float(rng.choice([0.1, 0.55, 0.85]))))
    ink = (255, 255, 255) if is_dark(strip, (0, 0, w, h)) else (10, 10, 20)
    style = replace(pick_style(rng, 30, ink, "latin"), is_bold=True)
    look = Look(style=style, fill=ink, slant=float(rng.choice([0, 0.25])), spacing=float(rng.choice([0, 0.15])))
    set_words(
        strip, (round(w * 0.25), h // 6, round(w * 0.8), h - h // 6), [pick_title(rng, "latin", 2).upper()], look
    )
    paste_at(strip, mark(rng, max(8, int(h * 0.7)), ink), (w * 0.12, h / 2))
    return strip.transpose(Image.Transpose.ROTATE_90) if upright_words else strip


def _rating(rng: Rng, image: Image.Image, corner: tuple[int, int], side: int) -> None:
    """The box with the age that a game is for."""
    draw = ImageDraw.Draw(image)
    x, y = corner
    fill: Colour = (255, 255, 255) if rng.random() < 0.6 else pick_colour(rng, 0.9, 0.7)
    draw.rectangle((x, y, x + side, y + round(side * 1.25)), fill=fill, outline=(0, 0, 0), width=2)
    text = str(rng.choice(["E", "T", "M", "3", "7", "12", "16", "18", "K-A"]))
    ink = (0, 0, 0) if sum(fill) > 380 else (255, 255, 255)
    style = replace(pick_style(rng, 30, ink, "latin"), is_bold=True)
    set_words(image, (x + 3, y + 3, x + side - 3, y + side), [text], Look(style=style, fill=ink))


def game_cover(rng: Rng, w: int, h: int) -> Image.Image:
    """The box of a game or film: strip with the console's name, a loud title, a scene, marks and an age."""
    w, h = upright(w, h, float(rng.choice([0.72, 1.0, 1.25, 1.4, 1.4, 1.4, 1.55])))
    image = pick_ground(rng, w, h)
    left = top = 0
    if rng.random() < 0.55:
        left = round(w * rng.uniform(0.08, 0.17))
    if rng.random() < 0.5 or not left:
        top = round(h * rng.uniform(0.06, 0.12))
    add_props(rng, image, (left, top + h // 4, w, h - h // 12), int(rng.integers(1, 4)))
    if left:
        image.paste(_strip(rng, (left, h), True), (0, 0))
    if top:
        image.paste(_strip(rng, (w, top), False), (0, 0))
    y = top + h * rng.choice([0.03, 0.03, 0.5])
    box = (left + w // 20, round(y), w - w // 20, round(y + h * rng.uniform(0.15, 0.3)))
    look = pick_look(rng, image, box, "latin" if rng.random() < 0.8 else "")
    look = replace(look, edge=look.edge or pick_colour(rng, 0.8, 0.15), low=pick_colour(rng, 0.9, 0.85))
    if rng.random() < 0.4:
        look = replace(look, slant=0.2, turn=float(rng.uniform(0, 9)))
    script = words_of(look.style.script)
    set_words(image, box, break_lines(pick_title(rng, script, int(rng.integers(1, 4))), 2, script), look)
    side = max(14, w // 10)
    if rng.random() < 0.7:
        _rating(rng, image, (left + w // 30, round(h - side * 1.6)), side)
    if rng.random() < 0.8:
        place = (w - side * 3, round(h - side * 1.2), w - side // 3, h - side // 3)
        ImageDraw.Draw(image).rounded_rectangle(place, side // 4, fill=pick_colour(rng, 0.7, 0.35))
        style = replace(pick_style(rng, 20, (255, 255, 255), "latin"), is_bold=True)
        inner = (place[0] + 4, place[1] + 4, place[2] - 4, place[3] - 4)
        set_words(image, inner, [pick_title(rng, "latin", 1)], Look(style=style))
    if rng.random() < 0.3:
        box = share_box(w, h, (0.3, 0.8, 0.68, 0.9))
        style = replace(small_style(rng, image, box, h * 0.02), is_bold=True)
        set_small(image, box, [pick_phrase(rng, "latin", 3).upper() + "!" for _ in range(3)], style)
    return through_camera(rng, image) if rng.random() < 0.25 else image


def album_cover(rng: Rng, w: int, h: int) -> Image.Image:
    """A square record sleeve: a picture or a pattern, the band and the title."""
    side = round((w * h) ** 0.5)
    image = pick_ground(rng, side, side)
    if rng.random() < 0.45:
        add_props(rng, image, share_box(side, side, (0.15, 0.15, 0.85, 0.95)), 1)
    if rng.random() < 0.2:
        inset = round(side * rng.uniform(0.06, 0.2))
        frame = plain(rng, side, side)
        frame.paste(image.resize((side - 2 * inset, side - 2 * inset)), (inset, inset // 2))
        image = frame
    top = float(rng.choice([0.05, 0.4, 0.66]))
    tall = float(rng.uniform(0.08, 0.25))
    placed = heading(rng, image, share_box(side, side, (0.06, top, 0.94, top + tall)), int(rng.integers(1, 4)), 2)
    if rng.random() < 0.7:
        box = (side // 16, placed[3] + side // 60, side - side // 16, placed[3] + side // 60 + side // 16)
        style = small_style(rng, image, box, side * 0.035)
        set_words(image, box, [pick_title(rng, "latin", 3)], Look(style=style, fill=style.colour, spacing=0.15))
    return weather(rng, image, 0.1) if rng.random() < 0.3 else image


def event_flyer(rng: Rng, w: int, h: int) -> Image.Image:
    """A flyer for an event or an arcade machine: title, date, place, line-up, small pictures with captions."""
    w, h = upright(w, h, float(rng.uniform(1.2, 1.5)))
    image = pick_ground(rng, w, h)
    y = heading(rng, image, share_box(w, h, (0.06, 0.04, 0.94, 0.24)), int(rng.integers(1, 4)), 2)[3] + h // 40
    if rng.random() < 0.8:
        box = (w // 12, y, w - w // 12, y + h // 14)
        day, hour = rng.choice(["FRI", "SAT", "SUN", "MON"]), rng.integers(6, 24)
        when = f"{day} {rng.integers(1, 30)}.{rng.integers(1, 13)}. · {hour}:00"
        look = replace(pick_look(rng, image, box, "latin"), turn=0, bend=0)
        y = set_words(image, box, [when], look)[3] + h // 40
    if rng.random() < 0.5:
        add_props(rng, image, (0, y, w, round(h * 0.7)), int(rng.integers(1, 3)))
        y = round(h * 0.7)
    elif rng.random() < 0.5:
        side = w // 4
        for k in range(int(rng.integers(2, 7))):
            at = (round(w * (0.1 + 0.45 * (k % 2))), y + k // 2 * round(side * 0.75))
            picture = view(rng, side, round(side * 0.66))
            image.paste(picture, at)
            ImageDraw.Draw(image).rectangle(
                (*at, at[0] + side, at[1] + picture.height), outline=(255, 220, 90), width=2
            )
            note = (at[0] + side + 4, at[1], at[0] + side + round(w * 0.18), at[1] + picture.height)
            style = small_style(rng, image, note, max(9, w * 0.022))
            set_small(
                image, note, list(wrap(pick_phrase(rng, "latin", 8), style, note[2] - note[0]))[:4], style, (0, 0)
            )
        y = round(h * 0.7)
    else:
        tongue = words_of(pick_script(rng))
        left = round(w * rng.choice([0.06, 0.06, 0.5]))
        column = (left, y + h // 60, left + round(w * rng.uniform(0.42, 0.46)), max(y + h // 5, round(h * 0.7)))
        perhaps_veil(rng, image, column)
        style = small_style(rng, image, column, max(9, h * rng.uniform(0.016, 0.024)), tongue)
        sentences = pick_prose(rng, tongue, int(rng.integers(2, 6)))
        set_small(image, column, list(wrap(sentences, style, column[2] - column[0]))[:14], style, (0, 0))
        if rng.random() < 0.7:
            beside = (w // 2, column[1], w, column[3]) if left < w // 3 else (0, column[1], w // 2, column[3])
            add_props(rng, image, beside, 1)
        y = column[3]
    script = words_of(pick_script(rng))
    box = (w // 10, min(y, round(h * 0.72)), w - w // 10, round(h * 0.9))
    perhaps_veil(rng, image, box)
    lines = [pick_title(rng, script, int(rng.integers(1, 5))) for _ in range(int(rng.integers(2, 6)))]
    style = small_style(rng, image, box, h * rng.uniform(0.022, 0.05), script)
    set_small(image, box, lines, style, (float(rng.choice([0.0, 0.5])), 0.3))
    foot = share_box(w, h, (0.06, 0.92, 0.94, 0.97))
    set_small(image, foot, [pick_prose(rng, "latin", 1)[:60]], small_style(rng, image, foot, h * 0.02))
    return image
