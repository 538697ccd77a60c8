"""Pages: scans in columns, title pages, forms, invoices, certificates, books, formulas, two languages, posters."""

import math
from dataclasses import replace

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from examples.corpus.fonts import Style, pick_style
from examples.corpus.looks import Look, pick_look, smooth, write_inside
from examples.corpus.photographs import bricks, fabric, landscape, wood
from examples.corpus.plots import draw_plot
from examples.corpus.tables import Ruling, as_scanned, lay_table
from examples.corpus.textures import Rng, make_canvas, mix, pick_colour, pick_paper, through_camera
from examples.corpus.words import (
    Box,
    fit_width,
    pick_money,
    pick_name,
    pick_phrase,
    pick_prose,
    wrap,
    write_centred,
    write_lines,
)

MATHS = (
    "x = (−b ± √(b² − 4ac)) / 2a", "∑ k² = n³/3", "f(x) = ∫ g(t) dt", "∂u/∂t = α ∂²u/∂x²", "E = mc²", "lim f(x) = L",
    "|a + b| ≤ |a| + |b|", "P(A|B) = P(B|A) P(A) / P(B)", "σ² = E[x²] − μ²", "A = πr²", "Δx Δp ≥ h/4π",
    "n! / (k! (n − k)!)", "exp(iπ) + 1 = 0", "a² + b² = c²", "F = G·m·M / r²", "D·E = ρ/ε", "θ ← θ − η·g",
)  # fmt: skip
SYMBOLS = ("Source Serif Pro", "Source Sans Pro", "FiraGO", "Fira Mono")  # have the signs of mathematics


def pick_page(rng: Rng, w: int, h: int, small: float = 1) -> Look:
    """A look of black, or nearly, on paper; `small` scales the text."""
    look = pick_look(rng, w, h, dark=0)
    ink = mix((12, 12, 14), pick_colour(rng, 0.5, 0.4), float(rng.choice([0, 0, 0.2])))
    size = max(12, round(math.sqrt(w * h) * math.exp(rng.uniform(math.log(0.014), math.log(0.027))) * small))
    style = replace(look.style, size_px=size, colour=ink)
    return replace(look, ground=pick_paper(rng), ink=ink, style=style)


def write_justified(draw: ImageDraw.ImageDraw, box: Box, text: str, style: Style) -> int:
    """The y below `text`, written into `box` with both edges straight."""
    left, y, right, bottom = box
    lines = list(wrap(text, style, right - left))
    for k, line in enumerate(lines):
        if y + style.line_px > bottom:
            break
        parts = line.split(" ") if style.script != "cjk" else list(line)
        spare = right - left - sum(style.width_px(part) for part in parts)
        gap = spare / max(1, len(parts) - 1) if k + 1 < len(lines) else style.width_px(" ") * (style.script != "cjk")
        x = float(left)
        for part in parts:
            draw.text((x, y), part, font=style.font, fill=style.colour)
            x += style.width_px(part) + gap
        y += style.line_px
    return y


def _fill_column(rng: Rng, draw: ImageDraw.ImageDraw, box: Box, look: Look, headings: float = 0.25) -> None:
    """Paragraphs from the top of `box` to its end, some with a heading."""
    left, y, right, bottom = box
    write = write_justified if rng.random() < 0.6 else write_lines
    while y < bottom - look.style.line_px:
        if rng.random() < headings:
            area, text = (left, y + look.style.size_px // 2, right, bottom), pick_name(rng, look.style.script, 3)
            y = write_lines(draw, area, text, look.sized(1.15, bold=True))
        text = pick_prose(rng, look.style.script, int(rng.integers(2, 6)))
        y = write(draw, (left, y, right, bottom), text, look.style) + look.style.size_px // 2


@smooth
def two_column_scan(rng: Rng, w: int, h: int) -> Image.Image:
    """Small text in one to three columns under a running head, as a scanner has it."""
    look = pick_page(rng, w, h)
    image, draw = make_canvas(w, h, look.ground)
    m, gap, columns = int(w * float(rng.uniform(0.05, 0.1))), int(w * 0.035), int(rng.choice([1, 2, 2, 3]))
    write_centred(
        draw, (w / 2, m * 0.6), f"{pick_name(rng, look.style.script, 3)}  {rng.integers(1, 900)}", look.sized(0.9)
    )
    wide = (w - 2 * m - gap * (columns - 1)) // columns
    for c in range(columns):
        x = m + c * (wide + gap)
        _fill_column(rng, draw, (x, m + look.style.line_px, x + wide, h - m), look)
    return as_scanned(rng, image) if rng.random() < 0.7 else image


@smooth
def title_page(rng: Rng, w: int, h: int) -> Image.Image:
    """A page, white or of one colour, with a title, a name and little else."""
    look = pick_page(rng, w, h)
    coloured = bool(rng.random() < 0.3)
    ground = pick_colour(rng, 0.7, 0.6) if coloured else look.ground
    image, draw = make_canvas(w, h, ground)
    ink = (255, 255, 255) if coloured and sum(ground) < 480 else look.ink
    if rng.random() < 0.2:
        draw.rectangle((0, 0, w, h * float(rng.uniform(0.2, 0.6))), fill=mix(ground, look.colour(0), 0.6))
    words = int(rng.integers(1, 7))
    title = look.sized(float(rng.uniform(1.6, 3.6)), ink, bold=bool(rng.random() < 0.6))
    y, left = h * float(rng.uniform(0.1, 0.45)), bool(rng.random() < 0.4)
    for line in wrap(pick_name(rng, look.style.script, words), title, int(w * 0.8)):
        at = (w * 0.1, y) if left else (w / 2, y)
        draw.text(at, line, font=title.font, fill=ink, anchor="lm" if left else "mm")
        y += title.line_px
    if rng.random() < 0.3:
        draw.line((w * 0.1, y, w * (0.5 if left else 0.9), y), fill=ink, width=look.px * 2)
    small = look.sized(float(rng.uniform(0.9, 1.3)), ink)
    for share in rng.choice([0.0, 0.06, 0.3, 0.5], int(rng.integers(0, 4)), replace=False):
        at = (w * 0.1 if left else w / 2, min(h * 0.95, y + title.size_px + h * float(share)))
        draw.text(
            at, pick_name(rng, small.script, 2).title(), font=small.font, fill=ink, anchor="lm" if left else "mm"
        )
    return as_scanned(rng, image) if rng.random() < 0.2 else image


@smooth
def form_with_boxes(rng: Rng, w: int, h: int) -> Image.Image:
    """A form: numbered fields in a grid, boxes for single letters, boxes to tick."""
    look = pick_page(rng, w, h)
    image, draw = make_canvas(w, h, look.ground)
    line, m, script = look.style.line_px, int(w * 0.05), look.style.script
    tint = mix(look.ground, look.colour(0), float(rng.choice([0, 0.12])))
    hand = pick_style(rng, look.style.size_px * 1.5, (30, 40, 130), "hand")
    y = write_lines(draw, (m, m, w - m, h), pick_name(rng, script, 3), look.sized(1.7, bold=True)) + line // 2
    number = 1
    while y < h - m - line * 3:
        kind, count = str(rng.choice(["fields", "letters", "ticks", "text"])), int(rng.integers(1, 4))
        if kind == "fields":
            for c in range(count):
                x0, x1 = m + (w - 2 * m) * c // count, m + (w - 2 * m) * (c + 1) // count
                draw.rectangle((x0, y, x1, y + line * 2.4), fill=tint, outline=look.ink, width=look.px)
                text = f"{number}. {pick_name(rng, script, 1)}"
                draw.text((x0 + 6, y + 3), text, font=look.sized(0.8).font, fill=look.ink)
                if rng.random() < 0.4:
                    draw.text((x0 + 10, y + line), pick_name(rng, "latin", 1), font=hand.font, fill=hand.colour)
                number += 1
            y += round(line * 2.4)
        elif kind == "letters":
            y = write_lines(draw, (m, y + 4, w - m, h), pick_name(rng, script, 2), look.style)
            filled = pick_name(rng, "latin", 2).upper() if rng.random() < 0.5 else ""
            for c in range(int(min(20, (w - 2 * m) / line / 1.2))):
                area = (m + c * line * 1.2, y, m + (c + 1) * line * 1.2, y + line * 1.4)
                draw.rectangle(area, fill=tint, outline=look.ink, width=look.px)
                write_inside(draw, area, filled[c : c + 1], look.sized(1, hand.colour))
            y += round(line * 1.9)
        elif kind == "ticks":
            for c in range(count):
                x = m + (w - 2 * m) * c // count
                draw.rectangle((x, y + 6, x + line * 0.7, y + 6 + line * 0.7), outline=look.ink, width=look.px)
                if rng.random() < 0.4:
                    draw.line((x, y + 6, x + line * 0.7, y + 6 + line * 0.7), fill=hand.colour, width=look.px * 3)
                draw.text((x + line, y + 4), pick_name(rng, script, 1), font=look.style.font, fill=look.ink)
            y += round(line * 1.4)
        else:
            y = write_lines(draw, (m, y + 4, w - m, h - m), pick_prose(rng, script, 1), look.sized(0.85)) + 6
    return as_scanned(rng, image) if rng.random() < 0.3 else image


@smooth
def invoice(rng: Rng, w: int, h: int) -> Image.Image:
    """A bill: sender, address, a table of items, a sum."""
    look = pick_page(rng, w, h)
    image, draw = make_canvas(w, h, look.ground)
    line, m, script = look.style.line_px, int(w * 0.07), look.style.script
    head = look.sized(float(rng.uniform(1.4, 2.4)), look.colour(0), bold=True)
    write_lines(draw, (m, m, w - m, h), pick_name(rng, script, 2), head)
    y = m + head.line_px + line
    for _ in range(int(rng.integers(2, 5))):
        y = write_lines(draw, (m, y, w // 2, h), pick_phrase(rng, script, 2), look.style)
    for k in range(int(rng.integers(2, 5))):
        text = f"{pick_name(rng, script, 1)}: {rng.integers(1000, 99999)}"
        draw.text((w - m, m + k * line), text, font=look.style.font, fill=look.ink, anchor="ra")
    ruling = Ruling(striped=bool(rng.random() < 0.4), head=look.colour(0) if rng.random() < 0.5 else look.pale(0.85))
    y = lay_table(rng, image, (m, y + line, w - m, int(h * float(rng.uniform(0.55, 0.8)))), look, ruling) + line
    for k in range(3):
        bold = look.sized(1.2 if k == 2 else 1, bold=k == 2)
        draw.text((w * 0.65, y), pick_name(rng, script, 1), font=bold.font, fill=look.ink, anchor="ra")
        draw.text((w - m, y), pick_money(rng), font=bold.font, fill=look.ink, anchor="ra")
        y += bold.line_px
    write_lines(draw, (m, max(round(y), h - line * 3), w - m, h), pick_phrase(rng, script, 8), look.sized(0.8))
    return as_scanned(rng, image) if rng.random() < 0.3 else image


@smooth
def certificate(rng: Rng, w: int, h: int) -> Image.Image:
    """A certificate: an ornate frame, a large word, a name, a seal, two lines to sign."""
    look = pick_page(rng, w, h, small=1.2)
    image, draw = make_canvas(w, h, look.ground)
    gold, m = pick_colour(rng, 0.6, 0.6, str(rng.choice(["earth", "sky", "brick", ""]))), int(min(w, h) * 0.03)
    for inset, width in ((m, look.px * 6), (m * 2, look.px * 2)):
        draw.rectangle((inset, inset, w - inset, h - inset), outline=gold, width=width)
    if rng.random() < 0.4:
        for x in range(m, w - m, m):
            for y in (m, h - m):
                draw.ellipse((x - m / 2, y - m / 2, x + m / 2, y + m / 2), outline=gold, width=look.px)
    script = look.style.script
    word = pick_name(rng, script, 1)
    title = fit_width(word.upper(), look.sized(2, gold, bold=True), w * float(rng.uniform(0.35, 0.6)))
    title = replace(title, size_px=min(title.size_px, h // 6))
    write_centred(draw, (w / 2, h * 0.22), word.upper(), title)
    write_inside(draw, (w * 0.15, h * 0.32, w * 0.85, h * 0.42), pick_phrase(rng, script, 4), look.style)
    name = pick_style(rng, look.style.size_px * 2.6, look.ink, str(rng.choice(["hand", script])))
    bag = "latin" if name.script == "hand" else name.script
    write_inside(draw, (w * 0.15, h * 0.42, w * 0.85, h * 0.56), pick_name(rng, bag, 2).title(), name)
    write_inside(draw, (w * 0.18, h * 0.57, w * 0.82, h * 0.72), pick_phrase(rng, script, 14), look.style)
    for share in (0.27, 0.73):
        draw.line((w * (share - 0.13), h * 0.84, w * (share + 0.13), h * 0.84), fill=look.ink, width=look.px)
        write_centred(draw, (w * share, h * 0.88), pick_name(rng, script, 1), look.sized(0.8))
    r = min(w, h) * 0.06
    seal, rim = (w / 2 - r, h * 0.82 - r, w / 2 + r, h * 0.82 + r), mix(gold, (0, 0, 0), 0.3)
    draw.ellipse(seal, fill=gold, outline=rim, width=look.px * 3)
    return image


@smooth
def book_spread(rng: Rng, w: int, h: int) -> Image.Image:
    """Two pages of an open book with the shade of the fold, or one page with the edge of the next."""
    look = pick_page(rng, w, h, small=0.9)
    image, draw = make_canvas(w, h, look.ground)
    fold, m = w * float(rng.choice([0.5, 0.5, 0.92])), int(w * 0.05)
    for x0, x1 in ((m, int(fold - m)), (int(fold + m), w - m)):
        if x1 - x0 < w * 0.2:
            continue
        top = m + look.style.line_px * 2
        if rng.random() < 0.25:
            picture = landscape(rng, (x1 - x0) // 2, h // 6).convert("L").convert("RGB").resize((x1 - x0, h // 3))
            image.paste(picture, (x0, top))
            top += h // 3 + m // 2
        _fill_column(rng, draw, (x0, top, x1, int(h * float(rng.uniform(0.6, 0.95)))), look, 0.1)
        write_centred(draw, ((x0 + x1) / 2, h - m * 0.6), str(rng.integers(2, 500)), look.style)
    x = np.arange(w, dtype=np.float32)
    shade = 1 - 0.45 * np.exp(-np.abs(x - fold) / (w * 0.03)) - 0.08 * np.abs(x - fold) / w
    row = Image.fromarray((shade[None] * 255).astype(np.uint8)).resize((w, h))
    page = ImageChops.multiply(image, row.convert("RGB"))
    return as_scanned(rng, page) if rng.random() < 0.4 else page


@smooth
def formula_page(rng: Rng, w: int, h: int) -> Image.Image:
    """Formulas set apart between lines of text, each with its number, or one formula alone."""
    look = pick_page(rng, w, h, small=float(rng.choice([1, 1.6])))
    image, draw = make_canvas(w, h, look.ground)
    family = str(rng.choice(SYMBOLS))
    maths = replace(
        look.style, family=family, script="greek", size_px=round(look.style.size_px * float(rng.uniform(1, 1.5)))
    )
    m, y = int(w * 0.08), int(h * 0.05)
    alone = bool(rng.random() < 0.25)
    while y < h - m:
        if not alone:
            text = pick_prose(rng, look.style.script, int(rng.integers(1, 3)))
            y = write_justified(draw, (m, y, w - m, h - m), text, look.style) + maths.size_px // 2
        for _ in range(int(rng.integers(1, 4))):
            formula = str(rng.choice(MATHS))
            style = fit_width(formula, maths, w * 0.75) if alone or maths.width_px(formula) > w * 0.7 else maths
            style = replace(style, size_px=min(style.size_px, h // 5))
            if y + style.line_px > h - m // 2:
                return image
            write_centred(draw, (w / 2, y + style.size_px * 0.7), formula, style)
            if rng.random() < 0.4:
                draw.text((w - m, y), f"({rng.integers(1, 40)})", font=maths.font, fill=look.ink, anchor="ra")
            y += round(style.line_px * 1.4)
        y += h if alone and rng.random() < 0.7 else 0
    return image


@smooth
def bilingual(rng: Rng, w: int, h: int) -> Image.Image:
    """The same text in two languages, side by side or by turns."""
    look = pick_page(rng, w, h)
    image, draw = make_canvas(w, h, look.ground)
    m = int(w * 0.06)
    first, second = (str(s) for s in rng.choice(["latin", "cyrillic", "greek", "cjk"], 2, replace=False))
    styles = [pick_style(rng, look.style.size_px, look.ink, script) for script in (first, second)]
    if rng.random() < 0.5:
        for k, style in enumerate(styles):
            x = m if k == 0 else w // 2 + m // 2
            _fill_column(rng, draw, (x, m, x + w // 2 - m - m // 2, h - m), replace(look, style=style))
        draw.line((w // 2, m, w // 2, h - m), fill=look.pale(0.7), width=look.px)
        return image
    y, k = m, 0
    while y < h - m - look.style.line_px:
        style = replace(styles[k % 2], colour=look.ink if k % 2 == 0 else look.colour(0))
        y = write_lines(draw, (m, y, w - m, h - m), pick_prose(rng, style.script, 1), style)
        k, y = k + 1, y + (look.style.size_px if k % 2 else 0)
    return image


def _turn_in_space(rng: Rng, page: Image.Image, onto: Image.Image) -> Image.Image:
    """`page` laid on `onto` as seen from the side and above."""
    (w, h), (pw, ph) = onto.size, page.size
    x0, y0, x1, y1 = w * 0.12, h * 0.08, w * 0.88, h * 0.92
    corners = np.array([(x0, y0), (x0, y1), (x1, y1), (x1, y0)]) + rng.uniform(-0.09, 0.09, (4, 2)) * (w, h)
    source = [(0, 0), (0, ph), (pw, ph), (pw, 0)]
    rows, values = [], []
    for (x, y), (u, v) in zip(corners, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    data = [float(c) for c in np.linalg.solve(np.array(rows), np.array(values))]
    kind, soft = Image.Transform.PERSPECTIVE, Image.Resampling.BICUBIC
    mask = Image.new("L", page.size, 255).transform((w, h), kind, data, soft)
    onto.paste(page.transform((w, h), kind, data, soft), (0, 0), mask)
    return onto


def page_photographed(rng: Rng, w: int, h: int) -> Image.Image:
    """A page on a table, seen at an angle by a camera."""
    table = (wood, fabric, bricks)[int(rng.integers(0, 3))](rng, w, h)
    painter = (two_column_scan, title_page, form_with_boxes, invoice, formula_page, bilingual)[
        int(rng.integers(0, 6))
    ]
    page = painter(rng, int(w * 0.9), int(h * 0.9))
    return through_camera(rng, _turn_in_space(rng, page, table))


@smooth
def plain_quote(rng: Rng, w: int, h: int) -> Image.Image:
    """A block of text on a plain ground, large or small."""
    look = pick_look(rng, w, h, dark=0.3)
    image, draw = make_canvas(w, h, look.ground)
    style = look.sized(float(rng.choice([0.8, 1, 1.5, 2.2])), bold=bool(rng.random() < 0.2))
    lines = list(
        wrap(pick_prose(rng, style.script, int(rng.integers(1, 6))), style, int(w * float(rng.uniform(0.5, 0.9))))
    )
    lines = lines[: max(1, int(h * 0.85 / style.line_px))]
    left, y = bool(rng.random() < 0.5), (h - style.line_px * len(lines)) / 2
    for line in lines:
        draw.text(
            (w * 0.08 if left else w / 2, y), line, font=style.font, fill=look.ink, anchor="la" if left else "ma"
        )
        y += style.line_px
    if rng.random() < 0.4:
        write_centred(
            draw, (w * 0.6, min(h - style.size_px, y + style.size_px)), f"— {pick_name(rng, style.script, 2)}", style
        )
    return image


@smooth
def academic_poster(rng: Rng, w: int, h: int) -> Image.Image:
    """A poster of a study: a band with its title, columns of boxes with headings, text and charts."""
    look = pick_page(rng, w, h, small=0.8)
    image, draw = make_canvas(w, h, mix(look.colour(0), (255, 255, 255), 0.85))
    band = int(h * float(rng.uniform(0.1, 0.16)))
    draw.rectangle((0, 0, w, band), fill=look.colour(0))
    title = look.sized(2.4, (255, 255, 255), bold=True)
    write_inside(draw, (w * 0.05, 0, w * 0.95, band), pick_name(rng, look.style.script, 6), title)
    columns, m = int(rng.integers(2, 5)) if w > h * 0.8 else 2, int(w * 0.015)
    for c in range(columns):
        y = band + m
        while y < h - band // 2:
            x0, x1 = w * c // columns + m, w * (c + 1) // columns - m
            y1 = min(h - m, y + int(h * float(rng.uniform(0.18, 0.4))))
            draw.rectangle((x0, y, x1, y1), fill=(255, 255, 255), outline=look.colour(0), width=look.px)
            head = look.sized(1.3, look.colour(1), bold=True)
            top = write_lines(draw, (x0 + m, y + 4, x1, y1), pick_name(rng, head.script, 2), head)
            if rng.random() < 0.4 and y1 - top > look.style.size_px * 7:
                plot = replace(look, ground=(255, 255, 255), style=look.sized(0.9))
                image.paste(draw_plot(rng, (x1 - x0 - 2 * m, y1 - top - m), plot), (x0 + m, top))
            else:
                _fill_column(rng, draw, (x0 + m, top, x1 - m, y1 - m), look, 0)
            y = y1 + m
    return image


@smooth
def contents_page(rng: Rng, w: int, h: int) -> Image.Image:
    """A list of chapters with dots and numbers of pages, or of references with a hanging indent."""
    look = pick_page(rng, w, h)
    image, draw = make_canvas(w, h, look.ground)
    m, script, line, y = int(w * 0.09), look.style.script, look.style.line_px, int(h * 0.06)
    y = write_lines(draw, (m, y, w - m, h), pick_name(rng, script, 1), look.sized(1.7, bold=True)) + line
    references, page, k = bool(rng.random() < 0.4), int(rng.integers(1, 20)), 1
    while y < h * float(rng.uniform(0.6, 0.95)) - line:
        if references:
            draw.text((m, y), f"[{k}]", font=look.style.font, fill=look.ink)
            y = write_lines(draw, (m + line * 2, y, w - m, h), pick_phrase(rng, script, 18), look.style) + line // 3
        else:
            deep, page = int(rng.random() < 0.6 and k > 1), page + int(rng.integers(0, 12))
            style = look.sized(1, bold=not deep)
            text = f"{k} {pick_name(rng, script, int(rng.integers(1, 4)))} "
            dots = "." * max(
                0, int((w - 2 * m - deep * line - style.width_px(text) - line * 2) / style.width_px("."))
            )
            draw.text((m + deep * line, y), text + dots, font=style.font, fill=look.ink)
            draw.text((w - m, y), str(page), font=style.font, fill=look.ink, anchor="ra")
            y += round(line * 1.2)
        k += 1
    return image


PAGES = (
    two_column_scan, title_page, form_with_boxes, invoice, certificate, book_spread, formula_page, bilingual,
    page_photographed, plain_quote, academic_poster, contents_page
)  # fmt: skip
