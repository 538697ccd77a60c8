"""Screens of games: titles, menus, scores over a scene, talk below a scene, and arcade screens with few words."""

from dataclasses import replace

from PIL import Image, ImageDraw

from examples.corpus.covers import add_props
from examples.corpus.fonts import pick_style
from examples.corpus.grounds import horizon, pick_ground, plain, sparks, toned_view, view
from examples.corpus.lettering import Look, break_lines, pick_look, pick_title, set_words
from examples.corpus.pixels import (
    TITLES,
    enlarge,
    pick_sentence,
    pick_word,
    pixel_scene,
    scatter,
    small_size,
    sprite,
    title_letters,
    words_mask,
    write,
    write_middle,
)
from examples.corpus.props import bust, creature, paste_at
from examples.corpus.textures import Colour, Rng, mix, pick_colour
from examples.corpus.words import Box, pick_prose, wrap


def _ground(rng: Rng, w: int, h: int) -> Image.Image:
    """Black, one colour, a pixel scene, a starry sky or a picture in few pixels."""
    how = rng.random()
    if how < 0.4:
        return Image.new("RGB", (w, h), (0, 0, 0) if rng.random() < 0.7 else pick_colour(rng, 0.8, 0.35))
    if how < 0.65:
        return pixel_scene(rng, w, h)
    return (sparks, horizon, toned_view)[rng.integers(0, 3)](rng, w, h)


def _bright(rng: Rng) -> Colour:
    return (255, 255, 255) if rng.random() < 0.5 else pick_colour(rng, 0.7, 0.97)


def _frame(rng: Rng, image: Image.Image, box: Box) -> Colour:
    """A window with an edge, as games have for text; the colour of what is written in it."""
    fill, ink = (
        ((0, 0, 40), (255, 255, 255)) if rng.random() < 0.5 else (pick_colour(rng, 0.7, 0.25), (255, 255, 255))
    )
    if rng.random() < 0.25:
        fill, ink = (250, 250, 245), (20, 20, 30)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle(box, int(rng.choice([0, 3, 6])), fill=fill, outline=ink, width=int(rng.integers(1, 3)))
    if rng.random() < 0.4:
        inner = (box[0] + 3, box[1] + 3, box[2] - 3, box[3] - 3)
        draw.rectangle(inner, outline=mix(fill, ink, 0.5))
    return ink


def title_screen(rng: Rng, w: int, h: int) -> Image.Image:
    """The name of a game in large letters, "press start", and whose game it is."""
    if rng.random() < 0.25:
        return _smooth_title(rng, w, h)
    image = _ground(rng, *small_size(rng, w, h))
    sw, sh = image.size
    y = int(sh * rng.uniform(0.08, 0.3))
    if rng.random() < 0.75:
        for word in [str(x) for x in rng.choice(TITLES.split(), size=int(rng.integers(1, 4)))]:
            y = title_letters(rng, image, y, word) + 3
    else:
        box = (sw // 12, y, sw - sw // 12, y + sh // 3)
        look = replace(pick_look(rng, image, box, "latin"), low=pick_colour(rng, 0.9, 0.8))
        y = set_words(image, box, [pick_title(rng, "latin", int(rng.integers(1, 3))).upper()], look)[3]
    if rng.random() < 0.4:
        scatter(rng, image, int(rng.integers(1, 5)), int(rng.choice([8, 12, 16])))
    y = max(y + 8, int(sh * rng.uniform(0.55, 0.75)))
    bold = bool(rng.random() < 0.4)
    for _ in range(int(rng.integers(1, 4))):
        line = str(
            rng.choice(["PRESS START", "PUSH START BUTTON", "INSERT COIN", "1 PLAYER", "2 PLAYERS", "CONTINUE"])
        )
        if y < sh - 22:
            write_middle(image, y, line, _bright(rng), bold=bold)
        y += 12
    if rng.random() < 0.7:
        firm = f"{rng.choice(TITLES.split())} {rng.choice(['INC.', 'LTD.', 'SOFT', 'GAMES'])}"
        maker = f"© {rng.integers(1980, 1999)} {firm}"
        write_middle(image, sh - 12, maker, _bright(rng))
    return enlarge(rng, image, w, h)


def _smooth_title(rng: Rng, w: int, h: int) -> Image.Image:
    """The title of a newer game: a drawn name with shades over a picture, a command, the firm in a corner."""
    h = min(h, round(w * 0.75))
    image = (pick_ground, toned_view, plain)[rng.integers(0, 3)](rng, w, h)
    if rng.random() < 0.5:
        add_props(rng, image, (w // 8, h // 3, w - w // 8, round(h * 0.95)), int(rng.integers(1, 4)))
    box = (w // 10, h // 8, w - w // 10, round(h * rng.uniform(0.35, 0.6)))
    look = pick_look(rng, image, box, str(rng.choice(["latin", "latin", "cjk"])))
    look = replace(look, edge=look.edge or pick_colour(rng, 0.8, 0.2), hollow=False, low=pick_colour(rng, 0.8, 0.9))
    script = look.style.script
    name = pick_title(rng, script, int(rng.integers(1, 4)))
    y = set_words(image, box, break_lines(name, int(rng.integers(1, 3)), script), look)[3]
    small = Look(style=pick_style(rng, 20, (255, 255, 255), "cjk"), edge=(0, 0, 0))
    if rng.random() < 0.7:
        line = (w // 4, max(y + 6, round(h * 0.7)), w - w // 4, max(y + 6, round(h * 0.7)) + max(12, h // 16))
        set_words(
            image, line, [str(rng.choice(["PRESS START BUTTON", "Press Start", "PUSH START", "スタート"]))], small
        )
    corner = str(rng.choice(["FREE PLAY", "CREDITS 0", f"©{pick_title(rng, 'latin', 1)} {rng.integers(1990, 2009)}"]))
    set_words(image, (w // 2, h - max(14, h // 18) - 4, w - 6, h - 4), [corner], small, (1, 0.5))
    return image


def menu_screen(rng: Rng, w: int, h: int) -> Image.Image:
    """A list to choose from, one entry marked; with a heading, a window, values or a preview at times."""
    if rng.random() < 0.3:
        return _smooth_menu(rng, w, h)
    image = _ground(rng, *small_size(rng, w, h))
    sw, sh = image.size
    y = 8
    if rng.random() < 0.7:
        y = title_letters(rng, image, y, pick_word(rng)) + 6
    left = int(rng.choice([sw // 10, sw // 3, sw // 2]))
    step = int(rng.choice([10, 12, 16, 20]))
    count = max(2, min(int(rng.integers(3, 9)), (sh - y - 12) // step))
    if rng.random() < 0.5:
        ink = _frame(rng, image, (left - 16, y, min(sw - 3, left + sw // 2), y + count * step + 12))
    else:
        ink = _bright(rng)
    chosen, bold = int(rng.integers(0, count)), bool(rng.random() < 0.4)
    mark = pick_colour(rng, 0.9, 0.95)
    for k in range(count):
        at = (left, y + 8 + k * step)
        end = write(image, at, pick_sentence(rng, int(rng.integers(1, 3))), mark if k == chosen else ink, bold=bold)
        if k == chosen:
            write(image, (left - 10, at[1]), ">", mark)
        if rng.random() < 0.25:
            write(image, (max(end + 6, sw - 50), at[1]), str(rng.integers(0, 100)), ink)
    if rng.random() < 0.3:
        face = sprite(rng, 16).resize((48, 48), Image.Resampling.NEAREST)
        image.paste(face, (sw - 54, sh - 54), face)
    return enlarge(rng, image, w, h)


def _smooth_menu(rng: Rng, w: int, h: int) -> Image.Image:
    """The menu of a newer game: smooth letters over a picture, on plates at times."""
    image = (toned_view, sparks, horizon)[rng.integers(0, 3)](rng, w, h)
    box = (w // 16, h // 16, round(w * rng.uniform(0.5, 0.95)), h // 4)
    y = set_words(
        image, box, [pick_title(rng, "latin", int(rng.integers(1, 3))).upper()], pick_look(rng, image, box), (0, 0.5)
    )[3]
    style = pick_style(rng, 20, (255, 255, 255), "latin")
    step = round(h * rng.uniform(0.08, 0.13))
    x = int(rng.choice([w // 16, w // 3]))
    draw, plates = ImageDraw.Draw(image), bool(rng.random() < 0.5)
    plate = pick_colour(rng, 0.7, 0.3)
    for k in range(int(rng.integers(2, 6))):
        top = y + h // 12 + k * step
        if top + step > h:
            break
        if plates:
            draw.rounded_rectangle(
                (x, top, x + w // 3, top + step - 5), step // 6, fill=plate, outline=mix(plate, (255, 255, 255), 0.5)
            )
        words = pick_sentence(rng, int(rng.integers(1, 3)))
        place = (x + 8, top + step // 5, x + w // 3 - 8, top + step - 5 - step // 5)
        edge: Colour | None = None if plates else (0, 0, 0)
        set_words(
            image, place, [words.title() if rng.random() < 0.5 else words], Look(style=style, edge=edge), (0, 0.5)
        )
    if rng.random() < 0.5:
        paste_at(image, creature(rng, round(min(w, h) * 0.5)), (w * 0.78, h * 0.65))
    return image


def _number(rng: Rng) -> str:
    return str(rng.integers(0, 10 ** int(rng.integers(1, 7)))).zfill(int(rng.choice([0, 2, 3, 6])))


def _lives(rng: Rng, image: Image.Image, at: tuple[int, int]) -> None:
    """A row of hearts or ships, or a bar of health."""
    draw, colour = ImageDraw.Draw(image), pick_colour(rng, 0.9, 0.9)
    if rng.random() < 0.5:
        draw.rectangle((at[0], at[1], at[0] + 50, at[1] + 6), outline=(255, 255, 255))
        draw.rectangle((at[0] + 1, at[1] + 1, at[0] + int(rng.integers(5, 49)), at[1] + 5), fill=colour)
        return
    piece = sprite(rng, 7)
    for k in range(int(rng.integers(1, 6))):
        image.paste(piece, (at[0] + 9 * k, at[1]), piece)


def score_screen(rng: Rng, w: int, h: int) -> Image.Image:
    """A scene in play with score, lives, level and time at its edges, or a panel of instruments below."""
    sw, sh = small_size(rng, w, h)
    image = pixel_scene(rng, sw, sh)
    draw = ImageDraw.Draw(image)
    where = rng.choice(["top", "bottom", "both", "side", "loose"])
    bold, ink = bool(rng.random() < 0.35), _bright(rng)
    bar = int(rng.choice([0, 12, 20, 32]))
    rows = {"top": [2], "bottom": [sh - max(10, bar) + 2], "both": [2, sh - max(10, bar) + 2]}.get(str(where), [])
    for y in rows:
        if bar:
            panel = (0, 0, 0) if rng.random() < 0.6 else pick_colour(rng, 0.3, 0.4)
            draw.rectangle((0, y - 2, sw, y - 2 + bar), fill=panel)
        slots = int(rng.integers(2, 5))
        for k in range(slots):
            at = (4 + k * sw // slots, y)
            if bar >= 20 and rng.random() < 0.8:
                write(image, at, pick_word(rng)[: max(3, sw // slots // 7)], ink, bold=bold)
                at = (at[0], y + 9)
                text = _number(rng)
            else:
                text = f"{pick_word(rng)[: max(2, sw // slots // 8 - 4)]} {rng.integers(0, 1000)}"
            if rng.random() < 0.2:
                _lives(rng, image, at)
            else:
                write(image, at, text, _bright(rng), bold=bold, shadow=not bar)
    if where == "side":
        x = int(sw * 0.68)
        draw.rectangle((x, 0, sw, sh), fill=(0, 0, 0) if rng.random() < 0.7 else pick_colour(rng, 0.5, 0.3))
        for k in range(int(rng.integers(2, 7))):
            y = 10 + k * 30
            write(image, (x + 4, y), pick_word(rng), ink, bold=bold)
            write(image, (x + 4, y + 10), _number(rng), _bright(rng), bold=bold)
    if where == "loose":
        for _ in range(int(rng.integers(2, 6))):
            at = (int(rng.integers(2, max(3, sw - 60))), int(rng.integers(2, max(3, sh - 10))))
            write(image, at, f"{pick_word(rng)} {_number(rng)}", _bright(rng), bold=bold, shadow=True)
    if rng.random() < 0.25:
        message = str(
            rng.choice(["GAME OVER", "READY!", "PAUSE", "STAGE 1", "GET READY", "ROUND 2", "GO!", "YOU WIN"])
        )
        title_letters(rng, image, int(sh * 0.4), message)
    return enlarge(rng, image, w, h)


def _talk(rng: Rng, image: Image.Image, box: Box) -> None:
    """A window with a name, one to four lines of talk, and a portrait at times."""
    ink = _frame(rng, image, box)
    x = box[0] + 8
    if rng.random() < 0.45:
        side = box[3] - box[1] - 8
        face = (
            bust(rng, side) if rng.random() < 0.5 else sprite(rng, 16).resize((side, side), Image.Resampling.NEAREST)
        )
        image.paste(face, (box[0] + 4, box[1] + 4), face)
        x += side
    y, bold = box[1] + 7, bool(rng.random() < 0.3)
    if rng.random() < 0.4:
        write(image, (x, y), str(rng.choice(TITLES.split())) + ":", pick_colour(rng, 0.8, 0.9), bold=bold)
        y += 10
    if rng.random() < 0.2:  # in letters that five by seven pixels cannot show
        style = pick_style(rng, 11, ink, str(rng.choice(["cjk", "cjk", "cyrillic"])))
        draw = ImageDraw.Draw(image)
        draw.fontmode = "1"
        for line in list(wrap(pick_prose(rng, style.script, 3), style, box[2] - x - 8))[
            : max(1, (box[3] - y - 4) // 13)
        ]:
            draw.text((x, y - 2), line, font=style.font, fill=ink)
            y += 13
        return
    room = max(4, (box[2] - x - 6) // (6 + bold))
    while y < box[3] - 9:
        write(image, (x, y), pick_sentence(rng, 9)[: room - int(rng.integers(0, room // 3))], ink, bold=bold)
        y += 10
        if rng.random() < 0.15:
            break


def dialogue_screen(rng: Rng, w: int, h: int) -> Image.Image:
    """A scene with talk in a window at the bottom or top, and a list of answers at times."""
    sw, sh = small_size(rng, w, h)
    image = pixel_scene(rng, sw, sh) if rng.random() < 0.7 else view(rng, sw, sh)
    if rng.random() < 0.4:
        cut = bust(rng, int(sh * 0.6)) if rng.random() < 0.5 else creature(rng, int(sh * 0.5))
        paste_at(image, cut, (sw * rng.uniform(0.3, 0.7), sh * 0.5))
    tall = int(rng.choice([28, 38, 48, 58]))
    top = sh - tall - 4 if rng.random() < 0.8 else 4
    _talk(rng, image, (4, top, sw - 5, top + tall))
    if rng.random() < 0.3:
        count = int(rng.integers(2, 5))
        y = max(2, top - count * 11 - 10) if top > 40 else top + tall + 4
        box = (sw - 76, y, sw - 5, y + count * 11 + 8)
        ink = _frame(rng, image, box)
        for k in range(count):
            write(image, (box[0] + 14, y + 6 + k * 11), pick_word(rng)[:9], ink)
        write(image, (box[0] + 5, y + 6), ">", ink)
    return enlarge(rng, image, w, h)


def arcade_screen(rng: Rng, w: int, h: int) -> Image.Image:
    """A scene in play with hardly a word: one number, a name or a short message."""
    sw, sh = small_size(rng, w, h)
    image = pixel_scene(rng, sw, sh)
    for _ in range(int(rng.integers(1, 4))):
        text = _number(rng) if rng.random() < 0.6 else pick_word(rng)
        mask = words_mask(text, bold=bool(rng.random() < 0.4), scale=int(rng.choice([1, 1, 1, 2])))
        at = (int(rng.integers(0, max(1, sw - mask.width))), int(rng.choice([2, sh - mask.height - 3])))
        image.paste((0, 0, 0), (at[0] + 1, at[1] + 1), mask)
        image.paste(_bright(rng), at, mask)
    return enlarge(rng, image, w, h)


GAMES = (title_screen, menu_screen, score_screen, dialogue_screen, arcade_screen)
