"""Templates of documents: each looks as `look` decides, and is filled in with `content`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.dedupe.content import Content, joined, pick_names
from examples.corpus.fonts import Style, pick_style
from examples.corpus.looks import PALETTES, write_inside
from examples.corpus.textures import Colour, Rng, blend, make_canvas, make_noise, make_ramp, mix, pick_paper, to_image
from examples.corpus.words import CODE, fit_width, wrap, write_centred, write_lines

INK: Colour = (28, 28, 34)


@dataclass(frozen=True, kw_only=True)
class Page:
    """A template's stream of random numbers, its size in pixels, and the typeface of its text."""

    look: Rng
    w: int
    h: int
    style: Style

    def colour(self) -> Colour:
        """Return one of the colours that charts and slides have."""
        palette = PALETTES[int(self.look.choice([0, 1, 2, 4]))]
        return palette[int(self.look.integers(0, len(palette)))]

    def name(self, words: int = 2) -> str:
        """Return words that belong to the template."""
        return joined(pick_names(self.look, self.style.script, words), self.style.script)

    def sized(self, factor: float, colour: Colour | None = None, *, bold: bool = False) -> Style:
        """Return the typeface larger or smaller."""
        size, ink = max(12, round(self.style.size_px * factor)), colour or self.style.colour
        return replace(self.style, size_px=size, colour=ink, is_bold=bold)


Template = Callable[[Page, Content], Image.Image]


def make_page(look: Rng, script: str, w: int, h: int) -> Page:
    """Return an empty page in `script`, its text as large as documents of this size have it."""
    size = max(13.0, math.sqrt(w * h) * float(look.uniform(0.014, 0.026)))
    return Page(look=look, w=w, h=h, style=pick_style(look, size, INK, script))


def _write(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, style: Style, anchor: str = "la") -> None:
    draw.text(at, text, font=style.font, fill=style.colour, anchor=anchor)


def receipt(page: Page, content: Content) -> Image.Image:
    """A slip of one shop: other items, prices and a sum."""
    w = min(page.w, round(page.h * 0.55))
    image, draw = make_canvas(w, page.h, (250, 249, 245))
    style = pick_style(page.look, max(13, w / 24), INK, page.style.script if page.style.script != "latin" else "mono")
    m, y, step = w // 14, w // 8, round(style.line_px * 1.05)
    shop = replace(fit_width(name := page.name(2), style, w * 0.6), is_bold=True)
    shop = replace(shop, size_px=min(shop.size_px, w // 8))
    write_centred(draw, (w / 2, y), name, shop)
    write_centred(draw, (w / 2, y + shop.line_px), f"Tel. 0{page.look.integers(10, 99)} 555 0142", style)
    y += shop.line_px + step
    _write(draw, (m, y), content.date(), style)
    _write(draw, (w - m, y), f"No. {content.digits(4)}", style, "ra")
    y += 2 * step
    for _ in range(int(content.rng.integers(5, max(6, min(24, (page.h - y) // step - 5))))):
        _write(draw, (m, y), content.name(1)[:14], style)
        _write(draw, (w - m, y), content.money(), style, "ra")
        y += step
    draw.line((m, y + 3, w - m, y + 3), fill=INK)
    big = replace(style, size_px=round(style.size_px * 1.4), is_bold=True)
    _write(draw, (m, y + 8), "TOTAL", big)
    _write(draw, (w - m, y + 8), content.money(), big, "ra")
    return image


def invoice(page: Page, content: Content) -> Image.Image:
    """A letterhead, a customer, positions in a table, a sum."""
    image, draw = make_canvas(page.w, page.h, (255, 255, 255))
    m, style, accent = page.w // 12, page.style, page.colour()
    draw.rectangle((m, m, m + page.w // 10, m + page.w // 14), fill=accent)
    write_lines(draw, (m * 2 + page.w // 10, m, page.w - m, page.h), page.name(2), page.sized(1.6, accent, bold=True))
    y = m + page.h // 9
    for line in (content.name(2), content.name(2), content.digits(5)):
        _write(draw, (m, y), line, style)
        y += style.line_px
    _write(draw, (page.w - m, y), f"{content.date()}   # {content.digits(6)}", style, "ra")
    y += 2 * style.line_px
    draw.rectangle((m, y, page.w - m, y + style.line_px * 1.3), fill=mix(accent, (255, 255, 255), 0.75))
    for x, anchor in ((m + 4, "la"), (page.w * 0.62, "ra"), (page.w - m - 4, "ra")):
        _write(draw, (x, y + 2), page.name(1), page.sized(1, bold=True), anchor)
    y += round(style.line_px * 1.6)
    for _ in range(int(content.rng.integers(3, max(4, min(15, int((page.h * 0.8 - y) / style.line_px / 1.4)))))):
        _write(draw, (m + 4, y), content.name(2), style)
        _write(draw, (page.w * 0.62, y), content.digits(2), style, "ra")
        _write(draw, (page.w - m - 4, y), content.money(), style, "ra")
        y += round(style.line_px * 1.4)
    draw.line((page.w * 0.5, y, page.w - m, y), fill=INK, width=2)
    _write(draw, (page.w - m - 4, y + 6), content.money(), page.sized(1.2, bold=True), "ra")
    write_lines(draw, (m, page.h - m, page.w - m, page.h), page.name(6), page.sized(0.8, mix(INK, accent, 0.5)))
    return image


def form(page: Page, content: Content) -> Image.Image:
    """A form with the same fields, filled in by hand."""
    image, draw = make_canvas(page.w, page.h, pick_paper(page.look))
    m, label, columns = page.w // 14, page.sized(0.9, (60, 62, 70)), 2 if page.w > 700 else 1
    y = write_lines(draw, (m, m, page.w - m, page.h), page.name(3), page.sized(1.9, bold=True)) + label.line_px
    hand = pick_style(page.look, page.style.size_px * 1.9, (30, 40, 130), "hand")
    other = page.sized(1.1, hand.colour)  # the hand has Latin letters only
    row, wide = label.line_px * 4, (page.w - 2 * m) // columns
    while y < page.h - row - m:
        for column in range(columns):
            x = m + column * wide
            _write(draw, (x, y), page.name(1), label)
            draw.rectangle((x, y + label.line_px, x + wide - 16, y + label.line_px * 3.2), outline=(120, 122, 130))
            as_date = bool(page.look.random() < 0.4)
            text = content.date() if as_date else content.name(2)
            written = hand if as_date or page.style.script == "latin" else other
            _write(draw, (x + 8, y + label.line_px * 2.1), text, written, "lm")
        y += row
    return image


def chat(page: Page, content: Content) -> Image.Image:
    """Messages in bubbles under the name of one contact."""
    dark = bool(page.look.random() < 0.4)
    ground, ink = ((18, 24, 30), (230, 232, 235)) if dark else ((236, 229, 221), (20, 22, 26))
    w = min(page.w, round(page.h * 0.6))
    image, draw = make_canvas(w, page.h, ground)
    accent, style = page.colour(), replace(page.style, colour=ink, size_px=max(14, w // 28))
    bar = style.line_px * 3
    draw.rectangle((0, 0, w, bar), fill=accent)
    draw.ellipse((12, bar * 0.2, 12 + bar * 0.6, bar * 0.8), fill=mix(accent, (255, 255, 255), 0.5))
    _write(draw, (bar, bar / 2), page.name(2), replace(style, colour=(255, 255, 255), is_bold=True), "lm")
    y, side = bar + 14, 0
    while y < page.h - style.line_px * 6:
        side = 1 - side if content.rng.random() < 0.7 else side
        lines = list(wrap(content.sentence(int(content.rng.integers(2, 12))), style, round(w * 0.62)))
        wide = max(style.width_px(line) for line in lines) + 28
        x = w - wide - 14 if side else 14
        tall = style.line_px * len(lines) + round(style.line_px * 1.3)
        fill = mix(accent, ground, 0.6) if side else mix(ground, (255, 255, 255), 0.15 if dark else 0.85)
        draw.rounded_rectangle((x, y, x + wide, y + tall), 12, fill=fill)
        for number, line in enumerate(lines):
            _write(draw, (x + 14, y + 6 + number * style.line_px), line, style)
        stamp = f"{content.rng.integers(0, 24):02d}:{content.rng.integers(0, 60):02d}"
        small = replace(style, size_px=max(12, round(style.size_px * 0.75)), colour=mix(ink, fill, 0.4))
        _write(draw, (x + wide - 8, y + tall - 4), stamp, small, "rd")
        y += tall + 12
    return image


def slide(page: Page, content: Content) -> Image.Image:
    """A slide of one master: its ground, bar, logo and foot."""
    page = replace(page, w=max(page.w, page.h))
    h = round(page.w * 0.5625)
    accent, dark = page.colour(), bool(page.look.random() < 0.3)
    ground, ink = ((25, 30, 48), (240, 240, 245)) if dark else ((255, 255, 255), INK)
    image, draw = make_canvas(page.w, h, ground)
    style, m = replace(page.style, colour=ink, size_px=max(16, h // 22)), page.w // 16
    draw.rectangle((0, 0, page.w, h * 0.16), fill=accent)
    draw.polygon([(page.w, h), (page.w, h * 0.75), (page.w * 0.86, h)], fill=mix(accent, ground, 0.4))
    title = replace(style, size_px=round(style.size_px * 1.5), colour=(255, 255, 255), is_bold=True)
    _write(draw, (m, h * 0.08), content.name(3), title, "lm")
    y = round(h * 0.24)
    for _ in range(int(content.rng.integers(2, 6))):
        draw.ellipse((m, y + style.size_px * 0.45, m + 9, y + style.size_px * 0.45 + 9), fill=accent)
        text = content.sentence(int(content.rng.integers(3, 9)))
        y = write_lines(draw, (m + 24, y, page.w - m, round(h * 0.86)), text, style) + style.size_px // 2
    foot = replace(style, size_px=max(13, style.size_px // 2), colour=mix(ink, ground, 0.4))
    _write(draw, (m, h * 0.95), f"{page.name(3)}   {content.digits(2)}", foot, "lm")
    return image


def bar_chart(page: Page, content: Content) -> Image.Image:
    """Bars of one program, with or without their values."""
    return _bars(page, content, page.colour())


def _bars(page: Page, content: Content, colour: Colour) -> Image.Image:
    image, draw = make_canvas(page.w, page.h, (255, 255, 255))
    style = page.style
    left, top, right, bottom = style.size_px * 4, style.size_px * 4, page.w - 20, page.h - style.size_px * 3
    write_centred(draw, (page.w / 2, style.size_px * 1.8), page.name(3), page.sized(1.4, bold=True))
    for tick in range(6):
        y = bottom - (bottom - top) * tick / 5
        draw.line((left, y, right, y), fill=(220, 220, 224))
        _write(draw, (left - 8, y), str(tick * 20), style, "rm")
    count, labelled = int(page.look.integers(4, 13)), bool(page.look.random() < 0.5)
    step = (right - left) / count
    for place in range(count):
        value = content.level()
        x, y = left + step * (place + 0.2), bottom - value * (bottom - top)
        draw.rectangle((x, y, x + step * 0.6, bottom), fill=colour)
        if labelled:
            write_centred(draw, (x + step * 0.3, y - style.size_px * 0.7), f"{value * 100:.0f}", page.sized(0.85))
        name = page.name(1)
        write_centred(
            draw, (x + step * 0.3, bottom + style.size_px), name[: max(1, int(step / style.size_px))], style
        )
    draw.line((left, bottom, right, bottom), fill=INK, width=2)
    return image


def table(page: Page, content: Content) -> Image.Image:
    """Rows and columns of one report with other numbers."""
    image, draw = make_canvas(page.w, page.h, pick_paper(page.look))
    style, m, accent = page.style, page.w // 20, page.colour()
    columns, striped = int(page.look.integers(3, 7)), bool(page.look.random() < 0.5)
    columns = max(2, min(columns, round((page.w - 2 * m) / style.size_px / 6)))
    y, row = m, round(style.line_px * float(page.look.uniform(1.1, 1.6)))
    edges = np.linspace(m + (page.w - 2 * m) * 0.3, page.w - m, columns)
    draw.rectangle((m, y, page.w - m, y + row), fill=accent)
    for x in (m + 8, *edges):
        text, anchor = page.name(1)[:8], "lm" if x == m + 8 else "rm"
        _write(draw, (x, y + row / 2), text, page.sized(1, (255, 255, 255), bold=True), anchor)
    for number in range(max(3, (page.h - 2 * m) // row - 1)):
        y += row
        if striped and number % 2:
            draw.rectangle((m, y, page.w - m, y + row), fill=mix(accent, (255, 255, 255), 0.88))
        _write(draw, (m + 8, y + row / 2), page.name(2)[: int(page.w * 0.2 / style.size_px * 1.6)], style, "lm")
        for x in edges[1:]:
            _write(draw, (x, y + row / 2), content.money(), style, "rm")
        draw.line((m, y + row, page.w - m, y + row), fill=(170, 170, 176))
    return image


def code(page: Page, content: Content) -> Image.Image:
    """A file in an editor: other lines."""
    dark = bool(page.look.random() < 0.6)
    ground, ink = ((30, 31, 40), (212, 212, 212)) if dark else ((253, 253, 252), (40, 42, 48))
    image, draw = make_canvas(page.w, page.h, ground)
    style = pick_style(page.look, page.style.size_px, ink, "mono")
    tones = [ink, *(mix(page.colour(), (255, 255, 255) if dark else (0, 0, 0), 0.3) for _ in range(3))]
    words, unit, depth, y = CODE.split(), style.width_px("0"), 0, style.line_px * 2
    draw.rectangle((0, 0, page.w, style.line_px * 1.5), fill=mix(ground, ink, 0.14))
    _write(draw, (14, 4), "main.py", style)
    for number in range(1, (page.h - y) // style.line_px):
        _write(draw, (unit * 3, y), str(number), replace(style, colour=mix(ground, ink, 0.45)), "ra")
        x = unit * (5 + 4 * depth)
        for tone in content.rng.integers(0, len(tones), int(content.rng.integers(0, 5))):
            word = words[content.pick(len(words))] + str(content.rng.choice(["", "()", ":", " =", ".", " = 12"]))
            if x + style.width_px(word) < page.w - 8:
                _write(draw, (x, y), word, replace(style, colour=tones[tone]))
            x += style.width_px(word + " ")
        depth, y = int(np.clip(depth + content.rng.integers(-1, 2), 0, 4)), y + style.line_px
    return image


def diagram(page: Page, content: Content) -> Image.Image:
    """Boxes in rows with arrows between them, and a label in each."""
    image, draw = make_canvas(page.w, page.h, (255, 255, 255))
    rows, columns = int(page.look.integers(2, 5)), int(page.look.integers(2, 5))
    accent, rounded = page.colour(), int(page.look.choice([0, 14, 40]))
    cw, ch = page.w / columns, page.h / rows
    centres = [(cw * (c + 0.5), ch * (r + 0.5)) for r in range(rows) for c in range(columns)]
    for number, at in enumerate(centres[1:], start=1):
        source = centres[int(page.look.integers(max(0, number - columns), number))]
        draw.line((*source, *at), fill=(90, 90, 96), width=3)
    for place, (x, y) in enumerate(centres):
        box = (x - cw * 0.36, y - ch * 0.28, x + cw * 0.36, y + ch * 0.28)
        fill = mix(accent, (255, 255, 255), 0.6 + 0.3 * (place % 2))
        draw.rounded_rectangle(box, rounded, fill=fill, outline=INK, width=2)
        inner = (box[0] + 6, box[1] + 4, box[2] - 6, box[3] - 4)
        write_inside(draw, inner, content.name(int(content.rng.integers(1, 3))), page.sized(1.1))
    return image


def street_map(page: Page, content: Content) -> Image.Image:
    """Streets, a river, parks and names in one style, of another place."""
    ground, water, park, road = (242, 239, 233), (170, 211, 223), (200, 230, 190), (255, 255, 255)
    image, draw = make_canvas(page.w, page.h, ground)
    rng, side, style = content.rng, math.hypot(page.w, page.h), page.sized(0.9)
    for _ in range(3):
        x, y, r = rng.uniform(0, page.w), rng.uniform(0, page.h), side * rng.uniform(0.04, 0.12)
        draw.ellipse((x - r, y - r * 0.7, x + r, y + r * 0.7), fill=park)
    river = [(page.w * t, page.h * float(level)) for t, level in zip((0, 0.3, 0.7, 1), rng.random(4), strict=True)]
    draw.line(river, fill=water, width=round(side * 0.03), joint="curve")
    turn, gap = float(rng.uniform(-0.6, 0.6)), side * float(rng.uniform(0.06, 0.1))
    streets = []
    for angle in (turn, turn + math.pi / 2):
        off = -side / 2
        while off < side / 2:
            dx, dy, reach = math.cos(angle), math.sin(angle), side * float(rng.uniform(0.2, 0.6))
            x, y = page.w / 2 - off * dy, page.h / 2 + off * dx
            streets.append((x - dx * reach, y - dy * reach, x + dx * reach, y + dy * reach))
            off += gap * float(rng.uniform(0.6, 1.5))
    for width, colour in ((side * 0.011, (200, 196, 188)), (side * 0.008, road)):
        for street in streets:
            draw.line(street, fill=colour, width=round(width))
    for _ in range(int(rng.integers(6, 14))):
        at = float(rng.uniform(0.08, 0.92)) * page.w, float(rng.uniform(0.06, 0.94)) * page.h
        draw.text(at, content.name(1), font=style.font, fill=style.colour, anchor="mm",
                  stroke_width=2, stroke_fill=ground)  # fmt: skip
    return image


def floor_plan(page: Page, content: Content) -> Image.Image:
    """Rooms with walls and numbers, one of them marked."""
    image, draw = make_canvas(page.w, page.h, (255, 255, 255))
    m, wall = min(page.w, page.h) // 12, max(3, page.w // 160)
    rooms = [(m, m, page.w - m, page.h - m)]
    for _ in range(int(page.look.integers(4, 12))):
        place = max(range(len(rooms)), key=lambda i: (rooms[i][2] - rooms[i][0]) * (rooms[i][3] - rooms[i][1]))
        x0, y0, x1, y1 = rooms.pop(place)
        share = float(page.look.uniform(0.35, 0.65))
        if x1 - x0 > y1 - y0:
            cut = round(x0 + (x1 - x0) * share)
            rooms += [(x0, y0, cut, y1), (cut, y0, x1, y1)]
        else:
            cut = round(y0 + (y1 - y0) * share)
            rooms += [(x0, y0, x1, cut), (x0, cut, x1, y1)]
    marked, mark = content.pick(len(rooms)), mix(page.colour(), (255, 255, 255), 0.3)
    for place, box in enumerate(rooms):
        draw.rectangle(box, fill=mark if place == marked else None, outline=INK, width=wall)
        door = (box[2] - box[0]) * 0.3
        draw.line((box[0] + door, box[3], box[0] + 2 * door, box[3]), fill=(255, 255, 255), width=wall * 2)
        write_inside(draw, (box[0] + wall, box[1] + wall, box[2] - wall, box[3] - wall), str(101 + place), page.style)
    return image


def score(page: Page, content: Content) -> Image.Image:
    """A game's screen: a field, the names of two sides, and the score."""
    page = replace(page, w=max(page.w, page.h))
    h = round(page.w * 0.5625)
    stripes = (np.arange(page.w) // max(1, page.w // 14) % 2)[None, :].repeat(h, 0)
    field = blend((40, 120, 50), (58, 145, 66), stripes) + 9 * make_noise(page.look, page.w, h, 40, 3)[..., None]
    image = to_image(field)
    draw, style = ImageDraw.Draw(image), replace(page.style, size_px=max(16, h // 18), colour=(255, 255, 255))
    centre, r = (page.w / 2, h / 2), h / 6
    draw.ellipse((centre[0] - r, centre[1] - r, centre[0] + r, centre[1] + r), outline=(235, 240, 235), width=4)
    draw.line((page.w / 2, 0, page.w / 2, h), fill=(235, 240, 235), width=4)
    for colour in (page.colour(), page.colour()):
        for x, y in page.look.uniform(0.05, 0.95, (6, 2)):
            at, size = (x * page.w, (0.2 + 0.75 * y) * h), h / 60
            draw.ellipse((at[0] - size, at[1] - 2 * size, at[0] + size, at[1] + 2 * size), fill=colour)
    box = (page.w * 0.05, h * 0.04, page.w * 0.6, h * 0.14)
    draw.rectangle(box, fill=(20, 24, 40))
    middle, names = (box[1] + box[3]) / 2, (page.name(1)[:8], page.name(1)[:8])
    _write(draw, (box[0] + 12, middle), names[0], style, "lm")
    _write(draw, (box[2] - 12, middle), names[1], style, "rm")
    bold = replace(style, is_bold=True, size_px=round(style.size_px * 1.2))
    write_centred(draw, ((box[0] + box[2]) / 2, middle), f"{content.digits(1)} : {content.digits(1)}", bold)
    return image


def product(page: Page, content: Content) -> Image.Image:
    """Something for sale before a plain ground, in one of many colours."""
    look, side = page.look, min(page.w, page.h)
    image = to_image(blend((250, 250, 250), (222, 224, 228), make_ramp(look, side, side)))
    colour, r = np.asarray(content.colour(), np.float32), side * float(look.uniform(0.26, 0.4))
    x, y = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    power = float(look.choice([2, 3, 8]))
    distance = (np.abs(x) ** power + np.abs(y * float(look.uniform(0.7, 1.3))) ** power) ** (1 / power)
    inside = np.clip((r * 2 / side - distance) * side / 4, 0, 1)[..., None]
    light = 1.05 - 0.4 * ((x + 0.4) ** 2 + (y + 0.5) ** 2)
    weave = 1 + 0.1 * make_noise(look, side, side, 30, 4) + 0.05 * np.sin(x * side / float(look.uniform(4, 9)))
    body = colour * (light * weave)[..., None]
    shade = np.clip(1.1 - 0.4 * np.exp(-4 * ((y - 0.75) ** 2 * 8 + x**2)), 0, 1)[..., None]
    image = to_image(np.asarray(image, np.float32) * shade * (1 - inside) + body * inside)
    label = fit_width(name := page.name(1), page.sized(2, (250, 250, 250), bold=True), r * 0.9)
    write_centred(ImageDraw.Draw(image), (side / 2, side / 2), name, label)
    return image.filter(ImageFilter.GaussianBlur(0.6))


def coloured_chart(page: Page, content: Content) -> Image.Image:
    """A chart of the same bars in another colour."""
    levels = Content([int(page.look.integers(0, 2**31))], page.style.script)
    return _bars(page, levels, content.colour())


TEMPLATES: dict[str, Template] = {
    each.__name__: each
    for each in (receipt, invoice, form, chat, slide, bar_chart, table, code, diagram, street_map, floor_plan, score)
}
RECOLOURED: dict[str, Template] = {each.__name__: each for each in (product, coloured_chart)}
