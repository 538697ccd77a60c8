"""Pictures of screens: chats, lists of files, boards of figures, crops of menus, spreadsheets and notebooks."""

import functools
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw

from examples.corpus.fonts import Style, pick_style
from examples.corpus.looks import Painter, pick_look, write_inside
from examples.corpus.plots import draw_plot
from examples.corpus.textures import Colour, Rng, make_canvas, mix, pick_colour
from examples.corpus.words import pick_money, pick_name, pick_phrase, pick_prose, wrap, write_centred, write_lines


def on_screen(paint: Painter) -> Painter:
    """A painter whose screen is as large as asked, or larger and then reduced as pictures on pages are."""

    @functools.wraps(paint)
    def painter(rng: Rng, w: int, h: int) -> Image.Image:
        zoom = float(rng.choice([1, 1, 1.3, 1.6, 2]))
        image = paint(rng, round(w * zoom), round(h * zoom))
        return image if image.size == (w, h) else image.resize((w, h), Image.Resampling.LANCZOS)

    return painter


@dataclass(frozen=True, kw_only=True)
class Theme:
    """The colours and the typeface of one screen."""

    ground: Colour
    ink: Colour
    accent: Colour
    style: Style

    def tone(self, share_of_ink: float) -> Colour:
        """A tone from the ground (at 0) to the ink (at 1)."""
        return mix(self.ground, self.ink, share_of_ink)

    def sized(self, factor: float, colour: Colour | None = None, *, bold: bool = False) -> Style:
        """The typeface larger or smaller, in ink or in `colour`."""
        size = max(9, round(self.style.size_px * factor))
        return replace(self.style, size_px=size, colour=colour or self.ink, is_bold=bold)


def pick_theme(rng: Rng, script: str = "", dark: float = 0.35) -> Theme:
    """A light theme, or with the probability `dark` a dark one."""
    ground = mix((255, 255, 255), pick_colour(rng, 0.3, 0.8), float(rng.choice([0, 0, 0.06, 0.2])))
    ink: Colour = (34, 36, 42)
    if rng.random() < dark:
        ground = pick_colour(rng, float(rng.choice([0.05, 0.25, 0.5])), float(rng.uniform(0.04, 0.2)))
        ink = (222, 224, 230)
    size = float(rng.choice([11, 12, 13, 14, 16, 20, 26], p=[0.1, 0.15, 0.25, 0.2, 0.15, 0.1, 0.05]))
    style = pick_style(rng, size, ink, script)
    style = replace(style, script="latin" if style.script == "mono" else style.script)
    return Theme(ground=ground, ink=ink, accent=pick_colour(rng, 0.7, 0.7), style=style)


def write_at(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, style: Style, anchor: str = "la") -> None:
    """Write `text` on one line whose corner, or other anchor, is `at`."""
    draw.text(at, text, font=style.font, fill=style.colour, anchor=anchor)


def put_window_bar(rng: Rng, draw: ImageDraw.ImageDraw, w: int, theme: Theme) -> int:
    """The y below a bar with a title and buttons, or 0 where the picture has none."""
    if rng.random() < 0.35:
        return 0
    bar = round(theme.style.line_px * 1.5)
    draw.rectangle((0, 0, w, bar), fill=theme.tone(float(rng.choice([0.06, 0.12, 0.2]))))
    if rng.random() < 0.5:
        for k, colour in enumerate(((255, 95, 86), (255, 189, 46), (39, 201, 63))):
            draw.ellipse((8 + k * 18, bar / 2 - 5, 18 + k * 18, bar / 2 + 5), fill=colour)
    else:
        x, y, r = w - 14, bar / 2, 4
        draw.line((x - r, y - r, x + r, y + r), fill=theme.ink)
        draw.line((x - r, y + r, x + r, y - r), fill=theme.ink)
        draw.rectangle((x - 30 - r, y - r, x - 30 + r, y + r), outline=theme.ink)
        draw.line((x - 60 - r, y, x - 60 + r, y), fill=theme.ink)
    write_centred(draw, (w / 2, bar / 2), pick_name(rng, theme.style.script, 2), theme.sized(0.95))
    return bar


@on_screen
def chat(rng: Rng, w: int, h: int) -> Image.Image:
    """Bubbles at the left and the right, as a messenger shows them."""
    theme = pick_theme(rng, dark=0.35)
    image, draw = make_canvas(w, h, theme.tone(float(rng.choice([0, 0.05, 0.12]))))
    y, style = put_window_bar(rng, draw, w, theme) + 10, theme.style
    round_px, faces = int(rng.choice([2, 8, 16])), bool(rng.random() < 0.5)
    while y < h:
        mine = bool(rng.random() < 0.45)
        text = pick_phrase(rng, style.script, int(rng.integers(1, 22)))
        lines = list(wrap(text, style, int(w * 0.6)))
        wide = max(style.width_px(line) for line in lines) + style.size_px * 1.4
        tall = style.line_px * len(lines) + style.size_px
        x = w - wide - 10 if mine else 10 + (style.size_px * 2.5 if faces else 0)
        if faces and not mine:
            draw.ellipse((8, y, 8 + style.size_px * 2, y + style.size_px * 2), fill=pick_colour(rng))
        fill = theme.accent if mine else theme.tone(0.1)
        draw.rounded_rectangle((x, y, x + wide, y + tall), round_px, fill=fill)
        for k, line in enumerate(lines):
            at = (x + style.size_px * 0.7, y + style.size_px * 0.4 + k * style.line_px)
            write_at(draw, at, line, theme.sized(1, (255, 255, 255) if mine else theme.ink))
        y += int(tall + style.size_px * float(rng.uniform(0.4, 1.5)))
        if rng.random() < 0.2:
            stamp = f"{rng.integers(0, 24):02d}:{rng.integers(0, 60):02d}"
            write_centred(draw, (w / 2, y + style.size_px / 2), stamp, theme.sized(0.8, theme.tone(0.5)))
            y += style.line_px
    return image


@on_screen
def file_manager(rng: Rng, w: int, h: int) -> Image.Image:
    """Folders and files as icons in rows, or as a list with sizes and dates."""
    theme = pick_theme(rng, dark=0.25)
    image, draw = make_canvas(w, h, theme.ground)
    top, style, script = put_window_bar(rng, draw, w, theme), theme.style, theme.style.script
    line, side, accent = style.line_px, int(w * float(rng.choice([0, 0.2, 0.28]))), pick_colour(rng, 0.6, 0.85)
    draw.rectangle((0, top, side, h), fill=theme.tone(0.05))
    for k in range(int((h * 0.7 - top) / (line * 1.4)) if side else 0):
        write_at(draw, (10, top + 8 + k * line * 1.4), pick_name(rng, script, 1)[: side // style.size_px + 2], style)
    shown = h * float(rng.choice([0.5, 0.8, 1]))
    if rng.random() < 0.45:
        cell = style.size_px * float(rng.uniform(5, 8))
        y = top + 10.0
        while y < shown:
            x = side + 10.0
            while x < w - cell:
                a, b = x + cell * 0.25, y + cell * 0.12
                draw.rectangle((a, b, a + cell * 0.22, b + cell * 0.1), fill=mix(accent, (0, 0, 0), 0.15))
                is_file = bool(rng.random() < 0.3)
                fill = theme.tone(0.2) if is_file else accent
                draw.rounded_rectangle((a, b + cell * 0.05, a + cell * 0.5, b + cell * 0.42), 3, fill=fill)
                room = (x, b + cell * 0.45, x + cell * 0.96, b + cell * 0.45 + line * 1.6)
                write_inside(draw, room, pick_name(rng, script, int(rng.integers(1, 3))), theme.sized(0.9))
                x += cell
            y += cell
        return image
    step, y = line * float(rng.uniform(1.1, 1.8)), float(top)
    stripes = bool(rng.random() < 0.5)
    for row in range(int((shown - top) / step)):
        fill = theme.tone(0.1 if row == 0 else 0.03 * (stripes and row % 2))
        if row == 3:
            fill = mix(theme.ground, theme.accent, 0.4)
        draw.rectangle((side, y, w, y + step), fill=fill)
        if row:
            draw.rectangle((side + 8, y + 3, side + 6 + line * 0.8, y + line * 0.75), fill=accent)
        write_at(draw, (side + 14 + line, y + 2), pick_name(rng, script, 1 + int(row > 0)), style)
        for k, share in enumerate((0.55, 0.72, 0.9)):
            text = (f"{rng.integers(1, 999)} KB", f"2024-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}", "PDF")[
                k
            ]
            at = (side + (w - side) * share, y + 2)
            write_at(draw, at, pick_name(rng, script, 1)[:6] if row == 0 else text, theme.sized(0.9, theme.tone(0.7)))
        y += step
    return image


@on_screen
def dashboard(rng: Rng, w: int, h: int) -> Image.Image:
    """Tiles with a large number, a small chart or a bar of progress."""
    theme = pick_theme(rng, dark=0.45)
    image, draw = make_canvas(w, h, theme.tone(0.06))
    top, style, script = put_window_bar(rng, draw, w, theme), theme.style, theme.style.script
    columns, rows = max(1, min(4, w // 170)), max(1, min(4, h // 130))
    look = replace(pick_look(rng, w, h), ground=theme.ground, ink=theme.ink, style=theme.sized(0.8), px=1)
    for k in range(columns * rows):
        x, y = w * (k % columns) // columns + 5, top + (h - top) * (k // columns) // rows + 5
        x1, y1 = w * (k % columns + 1) // columns - 5, top + (h - top) * (k // columns + 1) // rows - 5
        draw.rounded_rectangle((x, y, x1, y1), 6, fill=theme.ground, outline=theme.tone(0.12))
        what = str(rng.choice(["number", "chart", "bars", "list"]))
        head = theme.sized(0.9, theme.tone(0.6))
        write_lines(draw, (x + 8, y + 5, x1, y1), pick_name(rng, script, 1), head)
        below = y + 6 + style.line_px
        if what == "number":
            value = str(rng.choice([f"{rng.integers(1, 9999)}", f"{rng.integers(1, 100)}%", f"${pick_money(rng)}"]))
            colour = theme.accent if rng.random() < 0.4 else theme.ink
            write_inside(draw, (x + 8, below, x1 - 8, y1 - 8), value, theme.sized(2.6, colour, bold=True))
        elif what == "chart" and x1 - x > 90 and y1 - below > 70:
            image.paste(draw_plot(rng, (x1 - x - 12, y1 - below - 6), look), (x + 6, below))
        elif what == "bars":
            for n in range(int((y1 - below) / (style.line_px * 1.6))):
                bar = below + n * style.line_px * 1.6
                wide = (x1 - x - 16) * float(rng.uniform(0.1, 1))
                write_at(draw, (x + 8, bar), pick_name(rng, script, 1), theme.sized(0.8))
                draw.rectangle((x + 8, bar + style.line_px, x + 8 + wide, bar + style.line_px + 4), fill=theme.accent)
        else:
            write_lines(draw, (x + 8, below, x1 - 8, y1 - 4), pick_prose(rng, script, 4), theme.sized(0.9))
    return image


@on_screen
def menu_crop(rng: Rng, w: int, h: int) -> Image.Image:
    """A small part of a screen: a menu, a row of buttons, a tooltip or a few large words of an app."""
    theme = pick_theme(rng, dark=0.35)
    theme = replace(theme, style=theme.sized(float(rng.uniform(1, 2.4))))
    ground = theme.tone(float(rng.choice([0, 0.08])))
    image, draw = make_canvas(w, h, ground)
    style, script = theme.style, theme.style.script
    kind, line = str(rng.choice(["menu", "buttons", "list", "tip"])), theme.style.line_px
    if kind == "buttons":
        y = int(h * float(rng.uniform(0.05, 0.5)))
        for _ in range(int(rng.integers(1, 4))):
            x = float(rng.uniform(0, w * 0.2))
            while x < w * 0.8:
                text = pick_name(rng, script, 1)
                wide = style.width_px(text) + style.size_px * 2
                fill = theme.accent if rng.random() < 0.3 else theme.tone(0.1)
                draw.rounded_rectangle((x, y, x + wide, y + line * 1.5), 5, fill=fill, outline=theme.tone(0.25))
                tone = (255, 255, 255) if fill == theme.accent else theme.ink
                write_inside(draw, (x, y, x + wide, y + line * 1.5), text, theme.sized(1, tone))
                x += wide + style.size_px
            y += line * 2
        return image
    x, y = int(w * float(rng.uniform(0, 0.4))), int(h * float(rng.uniform(0, 0.3)))
    count, wide = int(rng.integers(2, 10)), style.size_px * int(rng.integers(9, 16))
    step = line * float(rng.uniform(1.1, 1.7))
    if kind == "tip":
        text = pick_phrase(rng, script, int(rng.integers(2, 9)))
        draw.rounded_rectangle((x, y, x + wide, y + line * 4), 6, fill=theme.ink)
        write_inside(draw, (x + 8, y, x + wide - 8, y + line * 4), text, theme.sized(1, theme.ground))
        write_lines(draw, (x, y + line * 5, w, h), pick_name(rng, script, 2), style)
        return image
    if kind == "menu":
        write_at(draw, (x, max(0, y - line)), "   ".join(pick_name(rng, script, 1) for _ in range(3)), style)
        draw.rectangle((x, y + 4, x + wide, y + step * count), fill=theme.ground, outline=theme.tone(0.35))
    chosen = int(rng.integers(0, count))
    for k in range(count):
        top = y + 4 + k * step
        if k == chosen:
            draw.rectangle((x + 2, top, x + wide - 2, top + step), fill=mix(theme.ground, theme.accent, 0.6))
        if kind == "list":
            draw.ellipse((x + 4, top + 4, x + line * 0.8, top + line * 0.8), fill=pick_colour(rng))
        write_at(
            draw, (x + line * 1.2, top + (step - line) / 2), pick_name(rng, script, int(rng.integers(1, 3))), style
        )
        if kind == "menu" and rng.random() < 0.3:
            keys = f"Ctrl+{'ABCDEFGSVXZ'[int(rng.integers(0, 11))]}"
            write_at(draw, (x + wide - 6, top), keys, theme.sized(0.9, theme.tone(0.5)), "ra")
    return image


@on_screen
def spreadsheet(rng: Rng, w: int, h: int) -> Image.Image:
    """Lettered columns and numbered rows of cells, some of them filled in."""
    theme = pick_theme(rng, dark=0.1)
    image, draw = make_canvas(w, h, theme.ground)
    top, style, script = put_window_bar(rng, draw, w, theme), theme.style, theme.style.script
    row_px, column_px = style.line_px * float(rng.uniform(1.05, 1.5)), style.size_px * float(rng.uniform(5, 8))
    edge, columns, rows = style.size_px * 2.4, int(w / column_px) + 1, int((h - top) / row_px)
    filled, lines = (int(rng.integers(2, columns + 2)), int(rng.integers(2, rows + 2))), theme.tone(0.18)
    words = {c for c in range(columns) if c == 0 or rng.random() < 0.25}
    draw.rectangle((0, top, w, top + row_px), fill=theme.tone(0.1))
    draw.rectangle((0, top, edge, h), fill=theme.tone(0.1))
    marked, tint = int(rng.integers(0, rows)), mix(theme.ground, pick_colour(rng), 0.35)
    for row in range(1, rows + 1):
        y = top + row * row_px
        draw.line((0, y, w, y), fill=lines)
        write_at(draw, (edge / 2, y + row_px / 2), str(row), theme.sized(0.9, theme.tone(0.6)), "mm")
        if row in (1, marked):
            draw.rectangle((edge, y, edge + column_px * filled[0], y + row_px), fill=tint)
        for c in range(min(columns, filled[0]) if row < filled[1] else 0):
            x = edge + c * column_px
            if c in words or row == 1:
                text = pick_name(rng, script, 1)[: int(column_px / style.size_px * 1.5)]
                write_at(draw, (x + 3, y + row_px / 2), text, theme.sized(1, bold=row == 1), "lm")
            elif rng.random() < 0.92:
                write_at(draw, (x + column_px - 4, y + row_px / 2), pick_money(rng), style, "rm")
    for c in range(columns):
        x = edge + c * column_px
        draw.line((x, top, x, h), fill=lines)
        write_at(
            draw, (x + column_px / 2, top + row_px / 2), chr(65 + c % 26), theme.sized(0.9, theme.tone(0.6)), "mm"
        )
    c, r = int(rng.integers(0, max(1, filled[0]))), int(rng.integers(1, rows + 1))
    cell = (edge + c * column_px, top + r * row_px, edge + (c + 1) * column_px, top + (r + 1) * row_px)
    draw.rectangle(cell, outline=(30, 120, 70), width=2)
    return image


@on_screen
def notebook(rng: Rng, w: int, h: int) -> Image.Image:
    """Cells of code with numbers at the side, and under them a frame of data, a chart or a line of output."""
    theme = pick_theme(rng, "mono", dark=0.25)
    image, draw = make_canvas(w, h, theme.ground)
    style, y = theme.style, put_window_bar(rng, draw, w, theme) + 8
    left, line, number = int(style.width_px("In [99]: ")), theme.style.line_px, int(rng.integers(1, 60))
    plain = pick_style(rng, style.size_px, theme.ink, "latin")
    while y < h:
        count = int(rng.integers(1, 5))
        write_at(draw, (4, y + 4), f"In [{number}]:", theme.sized(1, (60, 90, 200)))
        draw.rectangle((left, y, w - 8, y + count * line + 10), fill=theme.tone(0.05), outline=theme.tone(0.15))
        for k in range(count):
            name, method = pick_name(rng, "latin", 2).lower().split()
            text = f"{name} = df.{method}({rng.integers(1, 99)})"
            write_at(draw, (left + 6, y + 5 + k * line), text, theme.sized(1, pick_colour(rng, 0.5, 0.5)))
        y += count * line + 18
        what = str(rng.choice(["frame", "chart", "line"]))
        if what == "chart" and w > 260:
            look = replace(pick_look(rng, w, h, dark=0), ground=theme.ground, ink=theme.ink, style=plain, px=1)
            size = (int(w * float(rng.uniform(0.4, 0.7))), int(line * float(rng.uniform(9, 14))))
            image.paste(draw_plot(rng, size, look), (left, y))
            y += size[1]
        elif what == "frame":
            columns, rows = (
                max(2, min(int(rng.integers(3, 7)), int((w - left) / (style.size_px * 5)))),
                int(rng.integers(3, 8)),
            )
            for row in range(rows):
                if row % 2:
                    draw.rectangle(
                        (left, y, left + columns * style.size_px * 5, y + line * 1.3), fill=theme.tone(0.05)
                    )
                for c in range(columns):
                    value = f"{rng.normal(0, 5):.3f}" if c else str(row - 1)
                    value = pick_name(rng, "latin", 1)[:7].lower() if row == 0 and c else value if row else ""
                    bold = replace(plain, is_bold=row == 0 or c == 0)
                    write_at(draw, (left + (c + 0.9) * style.size_px * 5, y + 2), value, bold, "ra")
                y += int(line * 1.3)
        else:
            write_at(draw, (left, y), f"{rng.normal(0, 100):.6f}", style)
            y += line
        number, y = number + 1, y + line
    return image
