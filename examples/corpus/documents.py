"""Pictures rich in text: pages, slips, slides and screens."""

import math
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from examples.corpus.charts import bar_chart, line_chart
from examples.corpus.fonts import pick_style
from examples.corpus.photographs import fabric, landscape, wood
from examples.corpus.textures import (
    Rng,
    make_canvas,
    mix,
    perhaps_scanned,
    pick_colour,
    pick_paper,
    pick_text_px,
    through_camera,
)
from examples.corpus.words import (
    CODE,
    Box,
    fit_width,
    pick_money,
    pick_name,
    pick_phrase,
    pick_prose,
    pick_words,
    wrap,
    write_centred,
    write_lines,
)


def letter(rng: Rng, w: int, h: int) -> Image.Image:
    """A typed letter: sender, date, greeting, paragraphs, a signature by hand."""
    image, draw = make_canvas(w, h, pick_paper(rng))
    body = pick_style(rng, pick_text_px(rng, w, h), (25, 25, 32))
    m = int(w * rng.uniform(0.06, 0.13))
    x = m if rng.random() < 0.5 else int(w * 0.55)
    y = m
    if rng.random() < 0.6:
        head = replace(fit_width("Letterhead Co", body, w * 0.35), is_bold=True, colour=pick_colour(rng, 0.8, 0.45))
        y = write_lines(draw, (m, y, w - m, h), pick_name(rng, body.script, 2), head) + 6
        draw.line((m, y, w - m, y), fill=head.colour, width=2)
        y += 8
    for _ in range(int(rng.integers(2, 5))):
        y = write_lines(draw, (x, y, w - m // 2, h), pick_phrase(rng, body.script, 2), body)
    y = write_lines(draw, (m, y + body.line_px, w - m, h), f"{rng.integers(1, 29)}.{rng.integers(1, 13)}.2024", body)
    y = write_lines(draw, (m, y + body.line_px // 2, w - m, h), pick_phrase(rng, body.script, 3) + ",", body)
    end = int(h * rng.uniform(0.55, 0.9))
    while y < end - body.line_px:
        y = write_lines(draw, (m, y + body.line_px // 2, w - m, end), pick_prose(rng, body.script, 4), body)
    hand = pick_style(rng, body.size_px * 2.2, (30, 40, 120), "hand")
    write_lines(draw, (x, y + 6, w, h), pick_name(rng, "latin", 2).title(), hand)
    return perhaps_scanned(rng, image)


def paper_page(rng: Rng, w: int, h: int) -> Image.Image:
    """A page of a journal: title, authors, then columns with headings, a formula and perhaps a figure."""
    image, draw = make_canvas(w, h, pick_paper(rng))
    body = pick_style(rng, pick_text_px(rng, w, h) * 0.85, (15, 15, 18))
    bold = replace(body, is_bold=True, size_px=round(body.size_px * 1.15))
    m, gap, y = int(w * 0.07), int(w * 0.04), int(h * 0.04)
    if rng.random() < 0.6:
        for line in wrap(pick_phrase(rng, body.script, 8), replace(bold, size_px=bold.size_px * 2), w - 2 * m):
            write_centred(draw, (w / 2, y + bold.size_px), line, replace(bold, size_px=round(bold.size_px * 1.7)))
            y += round(bold.line_px * 1.7)
        write_centred(draw, (w / 2, y + 8), pick_name(rng, body.script, 4).title(), body)
        y += body.line_px * 2
    columns = 2 if w > 320 else 1
    width = (w - 2 * m - gap * (columns - 1)) // columns
    figure_column = int(rng.integers(0, 3))
    for c in range(columns):
        x, cy = m + c * (width + gap), y
        if c == figure_column and h - y > 240:
            chart = line_chart(rng, width, min(width, (h - y) // 3))
            image.paste(chart, (x, cy))
            cy = (
                write_lines(draw, (x, cy + chart.height + 4, x + width, h), pick_phrase(rng, body.script, 9), body)
                + 6
            )
        while cy < h - m - body.line_px * 2:
            if rng.random() < 0.4:
                heading = f"{rng.integers(1, 9)}.{rng.integers(1, 5)} {pick_name(rng, body.script, 2)}"
                cy = write_lines(draw, (x, cy + 4, x + width, h - m), heading, bold)
            cy = (
                write_lines(draw, (x, cy, x + width, h - m), pick_prose(rng, body.script, 5), body)
                + body.size_px // 2
            )
    write_centred(draw, (w / 2, h - m / 2), str(rng.integers(1, 400)), body)
    return perhaps_scanned(rng, image)


def table(rng: Rng, w: int, h: int) -> Image.Image:
    """A table of names and numbers, ruled or striped."""
    accent = pick_colour(rng, 0.6, 0.5)
    image, draw = make_canvas(w, h, pick_paper(rng))
    cell = pick_style(rng, pick_text_px(rng, w, h), (25, 25, 30))
    head = replace(cell, is_bold=True, colour=(255, 255, 255))
    m, row_px = int(w * 0.04), round(cell.line_px * rng.uniform(1.1, 1.6))
    y = write_lines(
        draw,
        (m, m, w - m, h),
        pick_name(rng, cell.script, 4),
        replace(cell, size_px=round(cell.size_px * 1.5)),
    )
    columns = max(2, min(8, int((w - 2 * m) / (cell.size_px * rng.uniform(5, 8)))))
    step = (w - 2 * m) / (columns + 1)
    stripes, grid = bool(rng.random() < 0.5), bool(rng.random() < 0.6)
    for row in range(max(2, int((h - y - m) / row_px))):
        top = y + 6 + row * row_px
        if row == 0 or (stripes and row % 2):
            fill = accent if row == 0 else mix(accent, (255, 255, 255), 0.85)
            draw.rectangle((m, top, w - m, top + row_px), fill=fill)
        style = head if row == 0 else cell
        label = pick_name(rng, cell.script, 1 if row == 0 else 2)
        draw.text((m + 3, top + 2), label[: int(step * 2 / cell.size_px * 1.6)], font=style.font, fill=style.colour)
        for c in range(1, columns):
            value = pick_name(rng, cell.script, 1)[:8] if row == 0 else pick_money(rng)
            at = (m + step * (c + 2) - 4, top + 2)
            draw.text(at, value, font=style.font, fill=style.colour, anchor="ra")
        if grid:
            draw.line((m, top + row_px, w - m, top + row_px), fill=(150, 150, 150))
    return perhaps_scanned(rng, image)


def receipt(rng: Rng, w: int, h: int) -> Image.Image:
    """A till receipt, tall and narrow, on a table."""
    image = through_camera(rng, fabric(rng, w, h) if rng.random() < 0.5 else wood(rng, w, h))
    pw = int(min(w * 0.92, h * rng.uniform(0.45, 0.7)))
    slip, draw = make_canvas(pw, int(h * 0.96), (250, 249, 245))
    line = pick_style(rng, max(10, pw / 21), (40, 40, 46), "mono")
    y, m = 12, pw // 14
    shop = pick_style(rng, pw / 9, (20, 20, 24), str(rng.choice(["latin", "cjk", "cyrillic"])))
    name = pick_name(rng, shop.script, 2)
    write_centred(draw, (pw / 2, y + pw / 16), name, fit_width(name, shop, pw * 0.7))
    y += pw // 5
    write_centred(draw, (pw / 2, y), f"Tel. 0{rng.integers(10, 99)} {rng.integers(100000, 999999)}", line)
    y += line.line_px * 2
    total = 0.0
    while y < slip.height - line.line_px * 6 - 40:
        price = float(rng.integers(50, 3000)) / 100
        total += price
        draw.text(
            (m, y),
            pick_name(rng, "latin", 2).upper()[: int((pw - 2 * m) / line.width_px("0")) - 7],
            font=line.font,
            fill=line.colour,
        )
        draw.text((pw - m, y), f"{price:.2f}", font=line.font, fill=line.colour, anchor="ra")
        y += line.line_px
    draw.line((m, y + 3, pw - m, y + 3), fill=line.colour)
    big = replace(line, size_px=round(line.size_px * 1.4), is_bold=True)
    draw.text((m, y + 8), "TOTAL", font=big.font, fill=big.colour)
    draw.text((pw - m, y + 8), f"{total:.2f}", font=big.font, fill=big.colour, anchor="ra")
    _bars(rng, draw, (m * 2, slip.height - 50, pw - m * 2, slip.height - 14))
    mask = Image.new("L", slip.size, 255).rotate(angle := float(rng.normal(0, 2.5)), expand=True)
    turned = slip.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    image.paste(turned, (int(rng.uniform(0, max(1, w - turned.width))), (h - turned.height) // 2), mask)
    return image


def _bars(rng: Rng, draw: ImageDraw.ImageDraw, box: Box) -> None:
    """A bar code."""
    x, top, right, bottom = box
    while x < right - 4:
        width = int(rng.integers(1, 4))
        draw.rectangle((x, top, x + width - 1, bottom), fill=(10, 10, 10))
        x += width + int(rng.integers(1, 4))


def slide(rng: Rng, w: int, h: int) -> Image.Image:
    """A slide: a large title, bullets, a footer, at times a chart."""
    is_dark = bool(rng.random() < 0.4)
    ground = pick_colour(rng, 0.5, 0.22) if is_dark else mix(pick_colour(rng), (255, 255, 255), 0.88)
    ink = (240, 240, 245) if is_dark else (35, 38, 50)
    image, draw = make_canvas(w, h, ground)
    style = pick_style(rng, max(11, math.sqrt(w * h) * 0.04), ink)
    m = int(w * 0.06)
    title = replace(style, size_px=round(style.size_px * 1.6), is_bold=True, colour=pick_colour(rng, 0.2, 0.97))
    if not is_dark:
        draw.rectangle((0, 0, w, h * 0.2), fill=pick_colour(rng, 0.7, 0.4))
    y = max(write_lines(draw, (m, int(h * 0.05), w - m, h), pick_name(rng, style.script, 3), title), int(h * 0.22))
    right = w - m
    if rng.random() < 0.4 and w > 400:
        right = w // 2
        chart = bar_chart(rng, w // 2 - m, int(h * 0.5))
        image.paste(chart, (w // 2 + m // 2, int(h * 0.28)))
    while y < h * 0.82:
        draw.ellipse((m, y + style.size_px * 0.5, m + 6, y + style.size_px * 0.5 + 6), fill=title.colour)
        text = pick_phrase(rng, style.script, int(rng.integers(3, 10)))
        y = write_lines(draw, (m + 16, y, right, int(h * 0.9)), text, style) + style.size_px // 2
    small = replace(style, size_px=max(9, style.size_px // 2))
    write_lines(
        draw,
        (m, h - small.line_px - 4, w, h),
        f"{pick_name(rng, style.script, 3)}  |  {rng.integers(2, 60)}",
        small,
    )
    return image


def code(rng: Rng, w: int, h: int) -> Image.Image:
    """An editor's window with coloured source, dark or light."""
    dark = rng.random() < 0.6
    ground, ink = ((30, 31, 40), (212, 212, 212)) if dark else ((253, 253, 252), (40, 42, 48))
    image, draw = make_canvas(w, h, ground)
    style = pick_style(rng, pick_text_px(rng, w, h), ink, "mono")
    palette = [ink, ink, *(pick_colour(rng, 0.55, 0.85 if dark else 0.5) for _ in range(4))]
    bar, gutter = style.line_px + 6, int(style.width_px("0000"))
    draw.rectangle((0, 0, w, bar), fill=mix(ground, ink, 0.14))
    draw.text((14, 3), f"{pick_words(rng, 'latin', 1)[0]}.py", font=style.font, fill=ink)
    y, depth, number = bar + 4, 0, int(rng.integers(1, 900))
    while y < h - style.size_px:
        draw.text((4, y), f"{number:>3}", font=style.font, fill=mix(ground, ink, 0.45))
        x = gutter + 8 + depth * 2 * style.width_px("0")
        for _ in range(int(rng.integers(0, 8))):
            if x > w * 0.92:
                break
            word = str(rng.choice(CODE.split())) + str(
                rng.choice(["", "", "()", ".", ":", " =", '["key"]', f" {number}"])
            )
            draw.text((x, y), word, font=style.font, fill=palette[rng.integers(0, len(palette))])
            x += style.width_px(word + " ")
        depth = int(np.clip(depth + rng.integers(-1, 2), 0, 4))
        y, number = y + style.line_px, number + 1
    return image


def app(rng: Rng, w: int, h: int) -> Image.Image:
    """An application's screen: a sidebar, and rows of messages with a time."""
    dark = rng.random() < 0.45
    ground, ink = ((24, 26, 30), (225, 227, 230)) if dark else ((255, 255, 255), (32, 34, 38))
    accent = pick_colour(rng, 0.7, 0.7)
    image, draw = make_canvas(w, h, ground)
    style = pick_style(rng, pick_text_px(rng, w, h), ink)
    pale = replace(style, colour=mix(ground, ink, 0.6), size_px=max(9, round(style.size_px * 0.9)))
    side = int(w * rng.uniform(0.2, 0.32)) if w > 300 else 0
    bar = style.line_px * 2
    draw.rectangle((0, 0, side, h), fill=mix(ground, ink, 0.08))
    draw.rectangle((0, 0, w, bar), fill=accent)
    write_lines(
        draw,
        (10, style.size_px // 2, w, bar + 9),
        pick_name(rng, style.script, 3),
        replace(style, is_bold=True),
    )
    for k in range((h - bar) // (style.line_px * 2) if side else 0):
        y = bar + 10 + k * style.line_px * 2
        draw.rounded_rectangle((8, y + 2, 8 + style.size_px, y + 2 + style.size_px), 3, fill=pick_colour(rng))
        write_lines(
            draw, (16 + style.size_px, y, side, y + style.line_px + 2), pick_name(rng, style.script, 1), style
        )
    y, row = bar + 8, style.line_px * 3
    while y < h - row // 2:
        radius = style.size_px
        draw.ellipse((side + 10, y + 4, side + 10 + 2 * radius, y + 4 + 2 * radius), fill=pick_colour(rng))
        x = side + 20 + 2 * radius
        write_lines(draw, (x, y, w - 60, y + row), pick_name(rng, style.script, 2), replace(style, is_bold=True))
        stamp = f"{rng.integers(0, 24):02d}:{rng.integers(0, 60):02d}"
        draw.text((w - 10, y), stamp, font=pale.font, fill=pale.colour, anchor="ra")
        lines = int(rng.integers(1, 4))
        box = (x, y + style.line_px, w - 14, y + style.line_px + lines * pale.line_px + 2)
        y = write_lines(draw, box, pick_prose(rng, style.script, lines), pale) + style.size_px
        draw.line((side, y - 4, w, y - 4), fill=mix(ground, ink, 0.15))
    return image


def news_page(rng: Rng, w: int, h: int) -> Image.Image:
    """An article on the web or in a paper: masthead, headline, a photograph, text around it."""
    image, draw = make_canvas(w, h, pick_paper(rng))
    body = pick_style(rng, pick_text_px(rng, w, h), (28, 28, 30))
    m = int(w * 0.05)
    draw.rectangle((0, 0, w, body.line_px * 1.8), fill=pick_colour(rng, 0.7, 0.35))
    title = replace(body, is_bold=True, colour=(255, 255, 255), size_px=round(body.size_px * 1.3))
    write_lines(draw, (m, 3, w, h), pick_name(rng, body.script, 2), title)
    headline = replace(body, is_bold=True, size_px=round(body.size_px * rng.uniform(1.7, 2.6)))
    y = write_lines(draw, (m, body.line_px * 2 + 4, w - m, h // 2), pick_phrase(rng, body.script, 7), headline) + 4
    photo = landscape(rng, int((w - 2 * m) * rng.uniform(0.4, 1.0)), max(40, int(h * rng.uniform(0.2, 0.35))))
    image.paste(photo, (m, y))
    if photo.width < w * 0.6:
        write_lines(draw, (m * 2 + photo.width, y, w - m, y + photo.height), pick_prose(rng, body.script, 20), body)
    y += photo.height + 6
    while y < h - m - body.line_px:
        y = write_lines(draw, (m, y, w - m, h - m // 2), pick_prose(rng, body.script, 5), body) + body.size_px // 2
    return perhaps_scanned(rng, image)


def form(rng: Rng, w: int, h: int) -> Image.Image:
    """A form: labelled boxes, some filled in by hand, and tick boxes."""
    image, draw = make_canvas(w, h, pick_paper(rng))
    label = pick_style(rng, pick_text_px(rng, w, h) * 0.9, (50, 52, 60))
    hand = pick_style(rng, label.size_px * 1.7, (30, 40, 130), "hand")
    m, columns = int(w * 0.06), 2 if w > 350 else 1
    head = replace(label, is_bold=True, size_px=label.size_px * 2)
    y = write_lines(draw, (m, m, w - m, h), pick_name(rng, label.script, 3), head)
    y = write_lines(draw, (m, y, w - m, h), pick_prose(rng, label.script, 2), label) + 8
    row, width = label.line_px * 3, (w - 2 * m) // columns
    while y < h - row:
        for c in range(columns):
            x = m + c * width
            write_lines(draw, (x, y, x + width, y + label.line_px + 1), pick_name(rng, label.script, 2), label)
            field = (x, y + label.line_px, x + width - 12, y + round(label.line_px * 2.6))
            draw.rectangle(field, outline=(90, 92, 100))
            if rng.random() < 0.6:
                filled = pick_name(rng, "latin", 2).title()
                draw.text((field[0] + 5, field[1] + 1), filled, font=hand.font, fill=hand.colour)
        y += row
    return perhaps_scanned(rng, image)
