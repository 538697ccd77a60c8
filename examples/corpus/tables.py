"""Tables: ruled, striped, dark, sparse, scanned, of prices, of numbers alone, and calendars."""

import calendar as calendars
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from examples.corpus.fonts import pick_style
from examples.corpus.looks import Look, pick_look, smooth, write_inside
from examples.corpus.textures import Colour, Rng, make_canvas, make_noise, make_ramp, mix, pick_colour, to_image
from examples.corpus.words import Box, pick_money, pick_name, pick_phrase, write_centred, write_lines


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """What lines and grounds a table has."""

    across: bool = True  # lines between rows
    down: bool = False  # lines between columns
    striped: bool = False
    head: Colour | None = None  # the ground of the first row
    frame: bool = False


def pick_cell(rng: Rng, script: str, kind: str) -> str:
    """What stands in a cell of a column of this kind."""
    draw = rng.random()
    if draw < 0.05:
        return str(rng.choice(["–", "", "n/a"]))
    if kind == "name":
        return pick_name(rng, script, 1 + int(draw < 0.4))
    if kind == "text":
        return pick_phrase(rng, script, int(rng.integers(2, 7)))
    return {
        "money": pick_money(rng),
        "int": str(rng.integers(0, 10 ** int(rng.integers(1, 6)))),
        "percent": f"{rng.uniform(0, 100):.1f}%",
        "date": f"{rng.integers(1, 29):02d}.{rng.integers(1, 13):02d}.{rng.integers(1990, 2026)}",
        "tick": str(rng.choice(["x", "–", "+", "Yes", "No"])),
        "decimal": f"{rng.normal(0, 3):.3f}",
    }[kind]


def lay_table(rng: Rng, image: Image.Image, box: Box, look: Look, ruling: Ruling) -> int:
    """The y below a table laid into `box` with columns of several kinds."""
    left, top, right, bottom = box
    draw, size, script = ImageDraw.Draw(image), look.style.size_px, look.style.script
    kinds = ["name", "name", "int", "money", "percent", "date", "tick", "decimal", "text"]
    most = max(1, int((right - left) / (size * float(rng.uniform(4.5, 9)))))
    columns = ["name"] + [str(k) for k in rng.choice(kinds, min(9, most) - 1 if most > 1 else 1)]
    weights = np.array([{"name": 1.4, "text": 2.2, "tick": 0.7}.get(kind, 1) for kind in columns])
    edges = left + np.concatenate([[0.0], np.cumsum(weights / weights.sum())]) * (right - left)
    step = look.style.line_px * float(rng.uniform(1.05, 2.2))
    rows = max(2, int((bottom - top) / step))
    to_right, line = bool(rng.random() < 0.5), look.pale(float(rng.choice([0, 0.4, 0.75])))
    for row in range(rows):
        y = top + row * step
        if row == 0 and ruling.head:
            draw.rectangle((left, y, right, y + step), fill=ruling.head)
        elif ruling.striped and row % 2:
            draw.rectangle((left, y, right, y + step), fill=look.pale(0.91))
        head_ink = look.ink if not ruling.head or sum(ruling.head) > 420 else (255, 255, 255)
        style = look.sized(1, head_ink, bold=True) if row == 0 else look.style
        for c, kind in enumerate(columns):
            text = pick_name(rng, script, 1) if row == 0 else pick_cell(rng, script, kind)
            room = edges[c + 1] - edges[c] - size * 0.6
            while text and style.width_px(text) > room:
                text = text[:-1]
            numeric = kind not in ("name", "text") and to_right
            x = edges[c + 1] - size * 0.3 if numeric else edges[c] + size * 0.3
            draw.text((x, y + step / 2), text, font=style.font, fill=style.colour, anchor="rm" if numeric else "lm")
        if ruling.across or row == 0:
            draw.line((left, y + step, right, y + step), fill=look.ink if row == 0 else line, width=look.px)
    end = round(top + rows * step)
    if ruling.down:
        for x in edges[1:-1]:
            draw.line((x, top, x, end), fill=line, width=look.px)
    if ruling.frame:
        draw.rectangle((left, top, right, end), outline=look.ink, width=look.px)
    else:
        draw.line((left, top, right, top), fill=look.ink, width=look.px)
    return end


def _table_picture(rng: Rng, size: tuple[int, int], look: Look, ruling: Ruling) -> Image.Image:
    """A table on its ground, perhaps with a title or a note."""
    (w, h), image = size, Image.new("RGB", size, look.ground)
    draw, m = ImageDraw.Draw(image), round(look.style.size_px * float(rng.choice([0, 0.6, 2])))
    y = m
    if rng.random() < 0.4:
        title = look.sized(float(rng.uniform(1, 1.7)), bold=True)
        y = (
            write_lines(draw, (m + 4, m, w - m, h), pick_name(rng, title.script, int(rng.integers(2, 5))), title)
            + m // 2
        )
    low = h - m - (look.style.line_px * 2 if rng.random() < 0.3 else 0)
    if rng.random() < 0.25:
        low = y + round((low - y) * float(rng.uniform(0.35, 0.8)))
    end = lay_table(rng, image, (m, y, w - m - 1, low), look, ruling)
    if h - end > look.style.line_px * 1.5 and rng.random() < 0.6:
        note = look.sized(0.85)
        write_lines(draw, (m, end + 6, w - m, h), "* " + pick_phrase(rng, note.script, 9), note)
    return image


@smooth
def ruled_table(rng: Rng, w: int, h: int) -> Image.Image:
    """Rows and columns with lines between them."""
    look, head = pick_look(rng, w, h, dark=0), None
    if rng.random() < 0.4:
        head = look.pale(0.85) if rng.random() < 0.5 else look.colour(0)
    ruling = Ruling(
        across=bool(rng.random() < 0.7), down=bool(rng.random() < 0.7), frame=bool(rng.random() < 0.7), head=head
    )
    return _table_picture(rng, (w, h), look, ruling)


@smooth
def zebra_table(rng: Rng, w: int, h: int) -> Image.Image:
    """Rows by turns pale and white under a coloured head."""
    look = pick_look(rng, w, h, dark=0)
    return _table_picture(rng, (w, h), look, Ruling(across=False, striped=True, head=look.colour(0)))


@smooth
def dark_table(rng: Rng, w: int, h: int) -> Image.Image:
    """Bright words on a dark ground in rows."""
    look = pick_look(rng, w, h, dark=1)
    ruling = Ruling(striped=bool(rng.random() < 0.5), across=bool(rng.random() < 0.6), down=bool(rng.random() < 0.3),
                    head=look.pale(0.75) if rng.random() < 0.5 else None)  # fmt: skip
    return _table_picture(rng, (w, h), look, ruling)


@smooth
def sparse_table(rng: Rng, w: int, h: int) -> Image.Image:
    """Few cells with large words, some of them empty or coloured."""
    look = pick_look(rng, w, h)
    image, draw = make_canvas(w, h, look.ground)
    rows, columns, m = (
        int(rng.integers(2, 6)),
        int(rng.integers(2, 5)),
        int(min(w, h) * float(rng.uniform(0.02, 0.15))),
    )
    empty, tinted = float(rng.choice([0, 0.3, 0.6])), bool(rng.random() < 0.4)
    top = m
    if rng.random() < 0.4:
        write_centred(
            draw, (w / 2, m + look.style.size_px), pick_name(rng, look.style.script, 2), look.sized(1.4, bold=True)
        )
        top += look.style.line_px * 2
    for row in range(rows):
        for c in range(columns):
            area = (m + (w - 2 * m) * c / columns, top + (h - top - m) * row / rows,
                    m + (w - 2 * m) * (c + 1) / columns, top + (h - top - m) * (row + 1) / rows)  # fmt: skip
            fill = mix(look.colour(row if rng.random() < 0.5 else c), look.ground, 0.7) if tinted else None
            draw.rectangle(area, fill=fill, outline=look.ink, width=look.px * 2)
            if row == 0 or c == 0 or rng.random() > empty:
                kind = "name" if row == 0 or c == 0 else str(rng.choice(["int", "tick", "percent", "name"]))
                style = look.sized(1.2, bold=row == 0)
                inner = (area[0] + 8, area[1], area[2] - 8, area[3])
                write_inside(draw, inner, pick_cell(rng, look.style.script, kind), style)
    return image


def as_scanned(rng: Rng, page: Image.Image) -> Image.Image:
    """`page`, which is halved later, in grey, a little turned and soft, with specks, as scanners have it."""
    whole, page = page.size, page.reduce(2)
    w, h = page.size
    fill = page.getpixel((1, 1))
    turned = page.rotate(float(rng.normal(0, 1.5)), Image.Resampling.BICUBIC, fillcolor=fill)
    grey = np.asarray(turned.convert("L").filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 0.9)))), np.float32)
    grey = (grey - 128) * float(rng.uniform(0.6, 1.2)) + float(rng.uniform(110, 140))
    grey = grey * (1 - 0.3 * float(rng.random()) * make_ramp(rng, w, h)) + 4 * make_noise(rng, w, h, 6, 3)
    grey = grey + rng.standard_normal((h, w), dtype=np.float32) * float(rng.uniform(2, 11))
    for x, y in rng.uniform(0, 1, (int(rng.integers(0, 40)), 2)):
        grey[int(y * (h - 2)) : int(y * (h - 2)) + 2, int(x * (w - 2)) : int(x * (w - 2)) + 2] = 40
    edge = int(w * float(rng.choice([0, 0, 0.02, 0.05])))
    grey[:, w - edge :] *= np.linspace(1, 0.3, edge)[None, :]
    tint = np.asarray(
        mix((255, 255, 255), pick_colour(rng, 0.3, 0.9, "earth"), float(rng.choice([0, 0, 0.3]))), np.float32
    )
    scan = to_image(np.clip(grey, 0, 255)[..., None] * tint / 255)
    return scan.resize(whole, Image.Resampling.NEAREST)


@smooth
def scanned_table(rng: Rng, w: int, h: int) -> Image.Image:
    """A ruled table on paper as a scanner has it."""
    look = pick_look(rng, w, h, dark=0)
    look = replace(
        look,
        ground=(250, 250, 248),
        ink=(30, 30, 32),
        style=replace(look.style, size_px=max(16, look.style.size_px * 2 // 3)),
    )
    ruling = Ruling(down=bool(rng.random() < 0.7), frame=True, head=look.pale(0.8) if rng.random() < 0.3 else None)
    return as_scanned(rng, _table_picture(rng, (w, h), look, ruling))


@smooth
def calendar(rng: Rng, w: int, h: int) -> Image.Image:
    """A month with its days in weeks, some of them marked, or a year of small months."""
    look = pick_look(rng, w, h)
    image, draw = make_canvas(w, h, look.ground)
    year, first = int(rng.integers(1995, 2031)), int(rng.integers(1, 13))
    across, down = (1, 1) if rng.random() < 0.65 else ((3, 4) if h > w else (4, 3))
    lined, script = bool(rng.random() < 0.6), look.style.script
    for k in range(across * down):
        cw, ch = w / across, h / down
        x, y, month = cw * (k % across) + cw * 0.04, ch * (k // across), (first + k - 1) % 12 + 1
        step = (cw * 0.92 / 7, ch / 8.2)
        style = look.sized(min(1.0, step[0] * 0.5 / look.style.size_px, step[1] * 0.6 / look.style.size_px))
        name = f"{month} / {year}" if script != "latin" else f"{calendars.month_name[month]} {year}"
        write_centred(
            draw, (x + cw * 0.46, y + step[1] * 0.6), name, replace(style, is_bold=True, colour=look.colour(0))
        )
        for day in range(7):
            at = (x + step[0] * (day + 0.5), y + step[1] * 1.6)
            write_centred(draw, at, "MTWTFSS"[day] if script != "cjk" else "月火水木金土日"[day], style)
        for week, days in enumerate(calendars.monthcalendar(year, month)):
            for day, number in enumerate(days):
                area = (
                    x + step[0] * day,
                    y + step[1] * (week + 2.1),
                    x + step[0] * (day + 1),
                    y + step[1] * (week + 3.1),
                )
                if lined and across == 1:
                    draw.rectangle(area, outline=look.pale(0.6), width=look.px)
                if number and rng.random() < 0.06:
                    draw.ellipse(area, fill=mix(look.colour(1), look.ground, 0.5))
                if number:
                    tone = look.colour(0) if day == 6 else look.ink
                    write_inside(draw, area, str(number), replace(style, colour=tone))
    return image


@smooth
def price_list(rng: Rng, w: int, h: int) -> Image.Image:
    """Names with dots that lead to prices, under headings, as on a menu."""
    look = pick_look(rng, w, h, dark=0.3)
    image, draw = make_canvas(w, h, look.ground)
    m, script, leader = (
        int(w * float(rng.uniform(0.05, 0.14))),
        look.style.script,
        str(rng.choice([".", " ", "·", "-"])),
    )
    y, sign = m // 2, str(rng.choice(["", "€ ", "$", "₽ ", "¥"]))
    title = look.sized(float(rng.uniform(1.5, 2.6)), look.colour(0), bold=True)
    write_centred(draw, (w / 2, y + title.size_px * 0.7), pick_name(rng, script, 1), title)
    y += title.line_px + look.style.size_px
    gap = look.style.line_px * float(rng.uniform(1, 1.8))
    while y < h - m:
        if rng.random() < 0.18:
            head = look.sized(1.25, look.colour(1), bold=True)
            write_centred(draw, (w / 2, y + gap / 2), pick_name(rng, script, 1), head)
            y += round(gap * 1.2)
            continue
        name, price = pick_name(rng, script, int(rng.integers(1, 3))), sign + pick_money(rng)
        room = w - 2 * m - look.style.width_px(name + price) - 16
        dots = leader * max(0, int(room / max(1.0, look.style.width_px(leader))))
        draw.text((m, y), f"{name} {dots}", font=look.style.font, fill=look.ink)
        draw.text((w - m, y), price, font=look.style.font, fill=look.ink, anchor="ra")
        y += round(gap)
        if rng.random() < 0.25:
            small = look.sized(0.75, look.pale(0.3))
            y = write_lines(draw, (m, y - round(gap * 0.2), w - m, h), pick_phrase(rng, script, 6), small)
    return image


@smooth
def number_matrix(rng: Rng, w: int, h: int) -> Image.Image:
    """Numbers in rows between brackets, or a square of letters or digits with or without lines."""
    look = pick_look(rng, w, h)
    style = pick_style(
        rng, look.style.size_px * float(rng.uniform(1, 1.8)), look.ink, str(rng.choice(["mono", "latin"]))
    )
    image, draw = make_canvas(w, h, look.ground)
    rows, columns, kind = (
        int(rng.integers(2, 12)),
        int(rng.integers(2, 12)),
        str(rng.choice(["bit", "int", "letter", "dec"])),
    )
    step = (w * 0.84 / columns, h * 0.84 / rows)
    lined, marked = bool(rng.random() < 0.4), float(rng.choice([0, 0.1, 0.3]))
    for row in range(rows):
        for c in range(columns):
            x, y = w * 0.08 + step[0] * c, h * 0.08 + step[1] * row
            area = (x, y, x + step[0], y + step[1])
            if rng.random() < marked:
                draw.rectangle(area, fill=mix(look.colour(row), look.ground, 0.6))
            if lined:
                draw.rectangle(area, outline=look.ink, width=look.px)
            text = {
                "bit": str(rng.integers(0, 2)),
                "int": str(rng.integers(-9, 100)),
                "dec": f"{rng.normal(0, 2):.2f}",
                "letter": chr(65 + int(rng.integers(0, 26))),
            }[kind]
            write_inside(draw, (x + 4, y, x + step[0] - 4, y + step[1]), text, style)
    if not lined:
        for side, x in ((1, w * 0.05), (-1, w * 0.95)):
            out = x + side * w * 0.02
            bracket = [(out, h * 0.05), (x, h * 0.05), (x, h * 0.95), (out, h * 0.95)]
            draw.line(bracket, fill=look.ink, width=look.px * 2)
    return image


TABLES = (
    ruled_table, zebra_table, dark_table, sparse_table, scanned_table, calendar, price_list, number_matrix
)  # fmt: skip
