"""Templates in which a mark, a piece or a hand is in another place: a tick, a pin, a day, a move, an hour."""

import math
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.dedupe.content import Content
from benchmarks.dedupe.templates import INK, Page, Template, street_map
from examples.corpus.photographs import city, landscape, person, still_life
from examples.corpus.textures import make_canvas, mix, pick_paper, through_camera
from examples.corpus.words import fit_width, write_centred, write_lines

WHITE = (255, 255, 255)
SCENES = (city, landscape, person, still_life)
PIECES = "KQRBN"


def questionnaire(page: Page, content: Content) -> Image.Image:
    """Questions with one of a few answers ticked."""
    image, draw = make_canvas(page.w, page.h, pick_paper(page.look))
    m, style, answers = page.w // 12, page.style, int(page.look.integers(3, 6))
    y = write_lines(draw, (m, m, page.w - m, page.h), page.name(2), page.sized(1.6, bold=True)) + style.line_px
    box, step, round_ = style.size_px, (page.w - 2 * m) / answers, bool(page.look.random() < 0.5)
    while y < page.h - m - 4 * style.line_px:
        draw.text((m, y), f"{page.name(4)}?", font=style.font, fill=style.colour)
        ticked, y = content.pick(answers), y + round(style.line_px * 1.4)
        for place in range(answers):
            x = m + place * step
            outline = draw.ellipse if round_ else draw.rectangle
            outline((x, y, x + box, y + box), outline=INK, width=max(1, box // 12))
            if place == ticked and round_:
                draw.ellipse((x + box * 0.25, y + box * 0.25, x + box * 0.75, y + box * 0.75), fill=INK)
            elif place == ticked:
                for ends in ((0.1, 0.1, 0.9, 0.9), (0.1, 0.9, 0.9, 0.1)):
                    at = [x + box * ends[0], y + box * ends[1], x + box * ends[2], y + box * ends[3]]
                    draw.line(at, fill=(30, 40, 130), width=max(2, box // 8))
            draw.text((x + box * 1.4, y), page.name(1)[:8], font=style.font, fill=style.colour)
        y += round(style.line_px * 2)
    return image


def pinned_map(page: Page, content: Content) -> Image.Image:
    """One map with a pin in one of many places."""
    streets = Content([int(page.look.integers(0, 2**31))], page.style.script)
    image = street_map(page, streets)
    place, r = content.pick(16), min(page.w, page.h) / 30
    x, y = page.w * (0.14 + 0.24 * (place % 4)), page.h * (0.16 + 0.24 * (place // 4))
    draw = ImageDraw.Draw(image)
    draw.polygon([(x - r, y - r), (x, y + r * 1.4), (x + r, y - r)], fill=(200, 40, 40))
    draw.ellipse((x - r, y - 2.2 * r, x + r, y - 0.2 * r), fill=(200, 40, 40))
    draw.ellipse((x - r * 0.4, y - 1.6 * r, x + r * 0.4, y - 0.8 * r), fill=WHITE)
    return image


def calendar(page: Page, content: Content) -> Image.Image:
    """A month of one layout, with one day marked."""
    image, draw = make_canvas(page.w, page.h, WHITE)
    m, accent, first = page.w // 16, page.colour(), int(page.look.integers(0, 7))
    write_centred(draw, (page.w / 2, m + page.style.size_px), page.name(1), page.sized(1.8, bold=True))
    top, ringed = m + page.style.size_px * 4, bool(page.look.random() < 0.5)
    cw, ch = (page.w - 2 * m) / 7, (page.h - top - m) / 6
    marked = content.pick(28)
    for day in range(31):
        x, y = m + cw * ((day + first) % 7), top + ch * ((day + first) // 7)
        box = (x, y, x + cw, y + ch)
        draw.rectangle(
            box, fill=mix(accent, WHITE, 0.3) if day == marked and not ringed else None, outline=(170,) * 3
        )
        draw.text((x + 6, y + 4), str(day + 1), font=page.style.font, fill=INK)
        if day == marked and ringed:
            draw.ellipse((x + 3, y + 3, x + cw - 3, y + ch - 3), outline=(190, 30, 40), width=4)
    return image


def board(page: Page, content: Content) -> Image.Image:
    """A board with pieces, one of which may have moved."""
    side = min(page.w, page.h)
    image, draw = make_canvas(side, side, WHITE)
    dark, square = mix(page.colour(), WHITE, 0.4), side / 8
    for number in range(64):
        x, y = square * (number % 8), square * (number // 8)
        draw.rectangle((x, y, x + square, y + square), fill=dark if (number + number // 8) % 2 else (240, 236, 224))
    taken: set[int] = set()
    piece = replace(page.sized(1, bold=True), script="latin", size_px=max(12, round(square * 0.5)))
    for number in range(int(page.look.integers(6, 20))):
        at = content.pick(64)
        while at in taken:
            at = (at + 1) % 64
        taken.add(at)
        x, y, r = square * (at % 8 + 0.5), square * (at // 8 + 0.5), square * 0.4
        is_white = number % 2 == 0
        draw.ellipse((x - r, y - r, x + r, y + r), fill=WHITE if is_white else INK, outline=INK, width=2)
        write_centred(draw, (x, y), PIECES[number % 5], replace(piece, colour=INK if is_white else WHITE))
    return image


def timetable(page: Page, content: Content) -> Image.Image:
    """A week with lessons at other hours."""
    image, draw = make_canvas(page.w, page.h, WHITE)
    style, hours = page.style, int(page.look.integers(5, 10))
    left, top = style.size_px * 4, style.size_px * 2.4
    cw, ch = (page.w - left - 10) / 5, (page.h - top - 10) / hours
    for hour in range(hours + 1):
        draw.line((left, top + hour * ch, page.w - 10, top + hour * ch), fill=(200, 200, 206))
        if hour < hours:
            draw.text((left - 8, top + (hour + 0.5) * ch), f"{hour + 8}:00", font=style.font, fill=INK, anchor="rm")
    for day in range(5):
        x = left + day * cw
        write_centred(draw, (x + cw / 2, top / 2), page.name(1)[:6], page.sized(1, bold=True))
        colour, name = page.colour(), page.name(1)
        y = top + content.pick(hours) * ch
        draw.rounded_rectangle((x + 4, y + 3, x + cw - 4, y + ch - 3), 6, fill=mix(colour, WHITE, 0.35))
        write_centred(draw, (x + cw / 2, y + ch / 2), name, fit_width(name, style, cw * 0.85))
    return image


def line_chart(page: Page, content: Content) -> Image.Image:
    """A line through points, one of them elsewhere."""
    image, draw = make_canvas(page.w, page.h, WHITE)
    style, colour = page.style, page.colour()
    left, top, right, bottom = style.size_px * 4, style.size_px * 4, page.w - 30, page.h - style.size_px * 3
    write_centred(draw, (page.w / 2, style.size_px * 1.8), page.name(3), page.sized(1.4, bold=True))
    for tick in range(6):
        y = bottom - (bottom - top) * tick / 5
        draw.line((left, y, right, y), fill=(220, 220, 224))
        draw.text((left - 8, y), str(tick * 10), font=style.font, fill=INK, anchor="rm")
    count = int(page.look.integers(5, 12))
    points = [
        (left + (right - left) * (place + 0.5) / count, bottom - content.level() * (bottom - top))
        for place in range(count)
    ]
    draw.line(points, fill=colour, width=max(3, page.w // 250), joint="curve")
    r = max(4, page.w // 150)
    for place, (x, y) in enumerate(points):
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
        draw.text((x, bottom + style.size_px), str(2010 + place)[2:], font=style.font, fill=INK, anchor="mm")
    return image


def pie_chart(page: Page, content: Content) -> Image.Image:
    """Slices of a disc of other sizes, with a legend."""
    image, draw = make_canvas(page.w, page.h, WHITE)
    style, count, r = page.style, int(page.look.integers(3, 7)), min(page.w * 0.6, page.h * 0.8) / 2
    sizes = np.array([content.level() for _ in range(count)])
    ends, box = 360 * np.cumsum(sizes) / sizes.sum(), (20, page.h / 2 - r, 20 + 2 * r, page.h / 2 + r)
    for place, end in enumerate(ends):
        colour = page.colour()
        draw.pieslice(box, end - 360 * sizes[place] / sizes.sum() - 90, end - 90, fill=colour, outline=WHITE, width=3)
        y = page.h * 0.2 + place * style.line_px * 1.8
        draw.rectangle((50 + 2 * r, y, 50 + 2 * r + style.size_px, y + style.size_px), fill=colour)
        draw.text((60 + 2 * r + style.size_px, y), page.name(1)[:9], font=style.font, fill=INK)
    return image


def clock(page: Page, content: Content) -> Image.Image:
    """A clock or a gauge whose hands stand elsewhere."""
    side = min(page.w, page.h)
    image, draw = make_canvas(side, side, mix(page.colour(), WHITE, 0.7))
    c, r, style = side / 2, side * 0.44, page.sized(1.8, bold=True)
    draw.ellipse((c - r, c - r, c + r, c + r), fill=(252, 252, 250), outline=INK, width=max(3, side // 90))
    for hour in range(12):
        x, y = math.sin(math.tau * hour / 12), -math.cos(math.tau * hour / 12)
        draw.text((c + x * r * 0.82, c + y * r * 0.82), str(hour or 12), font=style.font, fill=INK, anchor="mm")
    write_centred(draw, (c, c + r * 0.3), name := page.name(1), fit_width(name, page.style, r * 0.6))
    for reach, thick, past in ((0.45, 36, 0.5), (0.68, 60, 0)):  # so neither hides the other
        angle = math.tau * (content.pick(12) + past) / 12
        at = c + math.sin(angle) * r * reach, c - math.cos(angle) * r * reach
        draw.line((c, c, *at), fill=INK, width=max(4, side // thick))
    return image


def captioned(page: Page, content: Content) -> Image.Image:
    """One photograph under other words, as memes and cards have them."""
    scene = SCENES[int(page.look.integers(0, len(SCENES)))]
    image = through_camera(page.look, scene(page.look, page.w, page.h).convert("RGB"))
    draw, style = ImageDraw.Draw(image), page.sized(2.2, WHITE, bold=True)
    for y in (0.1, 0.9)[: int(page.look.integers(1, 3))]:
        text = content.name(3)
        style = replace(style, size_px=min(fit_width(text, style, page.w * 0.9).size_px, page.h // 8))
        stroke = max(2, style.size_px // 14)
        draw.text((page.w / 2, page.h * y), text, font=style.font, fill=WHITE, anchor="mm",
                  stroke_width=stroke, stroke_fill=(0, 0, 0))  # fmt: skip
    return image


def ticket(page: Page, content: Content) -> Image.Image:
    """A ticket with a seat, a name and a bar code."""
    page = replace(page, w=max(page.w, page.h))
    h = round(page.w * 0.45)
    image, draw = make_canvas(page.w, h, mix(page.colour(), WHITE, 0.75))
    accent, m, style = page.colour(), page.w // 24, page.sized(1.1)
    draw.rectangle((0, 0, page.w, h * 0.2), fill=accent)
    write_centred(draw, (page.w / 2, h * 0.1), page.name(3), page.sized(1.6, WHITE, bold=True))
    for row in range(2):
        for column in range(3):
            x, y = m + column * page.w * 0.24, h * (0.3 + 0.32 * row)
            draw.text((x, y), page.name(1)[:9], font=page.sized(0.85, (90, 90, 96)).font, fill=(90, 90, 96))
            text = (content.date, lambda: content.digits(3), lambda: content.name(1)[:10])[column]()
            draw.text((x, y + style.line_px), text, font=replace(style, is_bold=True).font, fill=INK)
    number, unit = int(content.digits(9)), page.w * 0.002
    for bar in range(40):
        if number >> (bar % 30) & 1 or bar % 5 == 0:
            x = page.w * 0.78 + bar * 2.3 * unit
            draw.rectangle((x, h * 0.3, x + unit * 1.6, h * 0.88), fill=INK)
    return image


MARKED: dict[str, Template] = {
    each.__name__: each
    for each in (
        questionnaire, pinned_map, calendar, board, timetable, line_chart, pie_chart, clock, captioned, ticket,
    )
}  # fmt: skip
