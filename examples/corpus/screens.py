"""Pictures of screens: terminals, editors, pages and dialogs, and those of desktops.py."""

import numpy as np
from PIL import Image, ImageDraw

from examples.corpus.desktops import (
    Theme,
    chat,
    dashboard,
    file_manager,
    menu_crop,
    notebook,
    on_screen,
    pick_theme,
    put_window_bar,
    spreadsheet,
    write_at,
)
from examples.corpus.looks import write_inside
from examples.corpus.photographs import landscape
from examples.corpus.textures import Rng, make_canvas, pick_colour
from examples.corpus.words import CODE, pick_name, pick_phrase, pick_prose, write_lines

COMMANDS = [
    "ls",
    "cd",
    "git",
    "make",
    "pip",
    "docker",
    "kubectl",
    "cat",
    "grep",
    "ssh",
    "python3",
    "npm",
    "cargo",
    "curl",
]


def _red_frame(rng: Rng, draw: ImageDraw.ImageDraw, w: int, h: int) -> None:
    """At times what guides have: a red frame about the part that matters."""
    if rng.random() < 0.12:
        x, y = w * float(rng.uniform(0, 0.6)), h * float(rng.uniform(0.1, 0.8))
        draw.rectangle((x, y, x + w * 0.35, y + h * 0.12), outline=(235, 20, 20), width=3)


@on_screen
def terminal(rng: Rng, w: int, h: int) -> Image.Image:
    """Prompts, commands and what they print, in a face of equal widths."""
    theme = pick_theme(rng, "mono", dark=0.85)
    image, draw = make_canvas(w, h, theme.ground)
    y, style = put_window_bar(rng, draw, w, theme) + 6, theme.style
    prompt = str(rng.choice(["$ ", "> ", "~ % ", "root@host:~# ", "user@pc:~/src$ ", ">>> ", "PS C:\\> "]))
    end = h * float(rng.choice([0.3, 0.6, 1.0, 1.0]))
    while y < end - style.size_px:
        write_at(
            draw, (6, y), prompt, theme.sized(1, pick_colour(rng, 0.5, 0.8) if rng.random() < 0.3 else theme.accent)
        )
        flag = rng.choice(["-l", "--all", "run", "test", ".", "add"])
        command = f"{rng.choice(COMMANDS)} {flag} {pick_name(rng, 'latin', 1)}"
        write_at(draw, (6 + style.width_px(prompt), y), command, style)
        y += style.line_px
        manner = int(rng.integers(0, 4))
        for _ in range(int(rng.integers(0, 9))):
            name = pick_name(rng, "latin", 1).lower()
            text = (
                f"-rw-r--r-- 1 user {rng.integers(100, 99999):>6} {rng.integers(1, 29):02d} {name}.txt",
                f"[{rng.integers(0, 24):02d}:{rng.integers(0, 60):02d}:01] INFO {pick_phrase(rng, 'latin', 5)}",
                f"{name:<12}{rng.integers(0, 999):>8}{rng.integers(0, 100):>6}%",
                pick_phrase(rng, "latin", int(rng.integers(2, 12))),
            )[manner]
            colour = pick_colour(rng, 0.6, 0.75) if rng.random() < 0.12 else theme.tone(0.85)
            write_at(draw, (6, y), text, theme.sized(1, colour))
            y += style.line_px
    draw.rectangle((6, y, 6 + style.width_px("0"), y + style.size_px), fill=theme.ink)
    return image


def write_code(rng: Rng, draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], theme: Theme, first: int) -> None:
    """Coloured source in `box`, with the numbers of its lines from `first`, or without where that is 0."""
    left, y, right, bottom = box
    dark, style, depth = sum(theme.ground) < 380, theme.style, 0
    tones = [theme.ink, theme.ink, *(pick_colour(rng, 0.6, 0.85 if dark else 0.5) for _ in range(4))]
    gutter = style.width_px("00000") if first else 4
    unit = style.width_px("0")
    while y < bottom - style.size_px:
        if first:
            write_at(draw, (left + gutter - unit, y), str(first), theme.sized(1, theme.tone(0.4)), "ra")
            first += 1
        x = left + gutter + depth * 4 * unit
        if rng.random() < 0.1:
            write_at(draw, (x, y), "# " + pick_phrase(rng, "latin", 6), theme.sized(1, theme.tone(0.45)))
        elif rng.random() < 0.85:
            for _ in range(int(rng.integers(1, 7))):
                word = str(rng.choice(CODE.split())) + str(
                    rng.choice(["", "", "()", ".", ":", " =", '["key"]', "(x, 0)"])
                )
                if x + style.width_px(word) > right:
                    break
                write_at(draw, (x, y), word, theme.sized(1, tones[int(rng.integers(0, len(tones)))]))
                x += style.width_px(word + " ")
        depth = int(np.clip(depth + rng.integers(-1, 2), 0, 5))
        y += style.line_px


@on_screen
def code_editor(rng: Rng, w: int, h: int) -> Image.Image:
    """An editor with tabs, a tree of files at its side, numbered lines and a bar, or code alone."""
    theme = pick_theme(rng, "mono", dark=0.55)
    image, draw = make_canvas(w, h, theme.ground)
    if rng.random() < 0.35:
        pad = int(rng.integers(4, 40))
        if rng.random() < 0.5:
            draw.rectangle((0, 0, w, h), fill=pick_colour(rng, 0.4, 0.7))
            draw.rounded_rectangle((pad, pad, w - pad, h - pad), 10, fill=theme.ground)
        write_code(rng, draw, (pad + 10, pad + 10, w - pad, h - pad), theme, int(rng.choice([0, 1])))
        return image
    bar, style, side = theme.style.line_px + 8, theme.style, int(w * float(rng.choice([0, 0.18, 0.25])))
    draw.rectangle((0, 0, w, bar), fill=theme.tone(0.12))
    x = side + 4.0
    for k in range(int(rng.integers(1, 5))):
        text = f" {pick_name(rng, 'latin', 1).lower()}.{rng.choice(['py', 'js', 'c', 'rs', 'md'])} "
        draw.rectangle((x, 2, x + style.width_px(text), bar), fill=theme.ground if k == 0 else theme.tone(0.08))
        write_at(draw, (x, 5), text, style if k == 0 else theme.sized(1, theme.tone(0.5)))
        x += style.width_px(text) + 3
    draw.rectangle((0, bar, side, h), fill=theme.tone(0.06))
    for k in range(int((h - bar) / style.line_px) if side else 0):
        if rng.random() < 0.8:
            text = f"{'> ' if rng.random() < 0.3 else '  '}{pick_name(rng, 'latin', 1).lower()}"
            write_at(draw, (6 + 10 * int(rng.integers(0, 3)), bar + 6 + k * style.line_px), text[: side // 9], style)
    draw.rectangle((side, bar + 6 + style.line_px * 3, w, bar + 6 + style.line_px * 4), fill=theme.tone(0.07))
    write_code(rng, draw, (side + 4, bar + 6, w - 8, h - style.line_px), theme, int(rng.integers(1, 800)))
    draw.rectangle((0, h - style.line_px, w, h), fill=theme.accent)
    write_at(draw, (8, h - style.line_px), f"main  Ln {rng.integers(1, 99)}, Col {rng.integers(1, 60)}  UTF-8",
           theme.sized(0.9, (255, 255, 255)))  # fmt: skip
    return image


@on_screen
def web_page(rng: Rng, w: int, h: int) -> Image.Image:
    """A page in a browser: address, menu, a headline with a button or an article with a picture, cards below."""
    theme = pick_theme(rng, dark=0.25)
    image, draw = make_canvas(w, h, theme.ground)
    style, y, script = theme.style, 0, theme.style.script
    line = style.line_px
    if rng.random() < 0.6:
        draw.rectangle((0, 0, w, line * 3), fill=theme.tone(0.1))
        draw.rounded_rectangle((6, 3, min(w * 0.4, style.size_px * 14), line * 1.5), 6, fill=theme.ground)
        write_at(draw, (14, 5), pick_name(rng, script, 1), style)
        draw.rounded_rectangle((line * 3, line * 1.7, w - line * 2, line * 2.8), line // 2, fill=theme.ground)
        write_at(
            draw,
            (line * 3.6, line * 1.75),
            f"https://{pick_name(rng, 'latin', 1).lower()}.example/",
            theme.sized(0.9),
        )
        y = line * 3
    back = theme.accent if rng.random() < 0.5 else theme.ground
    draw.rectangle((0, y, w, y + line * 2), fill=back)
    tone = (255, 255, 255) if back == theme.accent else theme.ink
    x = 12.0
    while x < w * float(rng.uniform(0.4, 1)):
        text = pick_name(rng, script, 1)
        write_at(draw, (x, y + line * 0.5), text, theme.sized(1, tone, bold=x < 20))
        x += style.width_px(text) + style.size_px * 1.5
    y += line * 2
    m, sparse = int(w * float(rng.uniform(0.03, 0.15))), bool(rng.random() < 0.45)
    title = theme.sized(float(rng.uniform(1.6, 3)), bold=True)
    y = write_lines(draw, (m, y + line, w - m, h), pick_name(rng, script, int(rng.integers(1, 5))), title) + 6
    y = (
        write_lines(
            draw, (m, y, w - m, h), pick_prose(rng, script, 1 if sparse else 4), theme.sized(1, theme.tone(0.7))
        )
        + 8
    )
    if rng.random() < 0.6:
        text = pick_name(rng, script, 1)
        draw.rounded_rectangle((m, y, m + style.width_px(text) + 30, y + line * 1.8), 6, fill=theme.accent)
        write_at(draw, (m + 15, y + line * 0.4), text, theme.sized(1, (255, 255, 255)))
        y += line * 3
    columns = int(rng.integers(1, 4))
    while y < h * (0.6 if sparse else 1):
        tall = line * int(rng.integers(4, 9))
        for k in range(columns):
            x0, x1 = m + (w - 2 * m) * k // columns, m + (w - 2 * m) * (k + 1) // columns - 12
            if rng.random() < 0.35 and x1 - x0 > 40:
                image.paste(landscape(rng, x1 - x0, tall // 2), (x0, y))
                write_lines(draw, (x0, y + tall // 2, x1, y + tall), pick_phrase(rng, script, 9), style)
            else:
                draw.rounded_rectangle((x0, y, x1, y + tall - 10), 6, outline=theme.tone(0.15))
                top = write_lines(
                    draw, (x0 + 8, y + 4, x1, y + tall), pick_name(rng, script, 1), theme.sized(1.1, bold=True)
                )
                write_lines(draw, (x0 + 8, top, x1 - 8, y + tall - 10), pick_prose(rng, script, 2), theme.sized(0.95))
        y += tall + 6
    _red_frame(rng, draw, w, h)
    return image


@on_screen
def settings_dialog(rng: Rng, w: int, h: int) -> Image.Image:  # noqa: PLR0915
    """A dialog with fields, boxes to tick, switches and buttons, in full or as a small message."""
    theme = pick_theme(rng, dark=0.25)
    image, draw = make_canvas(w, h, theme.tone(float(rng.choice([0, 0.03, 0.06]))))
    top, style, script = put_window_bar(rng, draw, w, theme), theme.style, theme.style.script
    line, m = style.line_px, int(style.size_px * 1.2)
    y, kind = top + m, str(rng.choice(["message", "login", "settings", "settings"]))
    if kind != "settings":
        y = max(y, int(h * float(rng.uniform(0.1, 0.3))))
        y = write_lines(draw, (m * 2, y, w - m, h), pick_name(rng, script, 2), theme.sized(1.5, bold=True)) + m
    if kind == "message":
        y = (
            write_lines(
                draw, (m * 2, y, w - m, h - line * 3), pick_prose(rng, script, int(rng.integers(1, 3))), style
            )
            + m
        )
    rows = {"message": 0, "login": 2, "settings": 99}[kind]
    while rows and y < h - line * 4:
        rows -= 1
        what, label = str(rng.choice(["field", "field", "tick", "switch", "note"])), pick_name(rng, script, 2)
        if kind == "login" or what == "field":
            write_at(draw, (m, y), label, style)
            y += line
            field = (m, y, w - m if kind == "login" else int(w * 0.7), y + line + 6)
            draw.rectangle(field, fill=theme.ground, outline=theme.tone(0.4))
            if rng.random() < 0.5:
                write_at(draw, (m + 6, y + 3), pick_name(rng, script, 1), theme.sized(1, theme.tone(0.8)))
            y += line + 6
        elif what == "tick":
            box = (m, y + 2, m + style.size_px, y + 2 + style.size_px)
            is_on = bool(rng.random() < 0.5)
            draw.rectangle(box, fill=theme.accent if is_on else theme.ground, outline=theme.tone(0.5))
            if is_on:
                draw.line(
                    [(box[0] + 2, box[1] + 6), (box[0] + 5, box[3] - 3), (box[2] - 2, box[1] + 3)],
                    fill="white",
                    width=2,
                )
            write_at(draw, (m + style.size_px * 1.6, y), label, style)
            y += line
        elif what == "switch":
            write_at(draw, (m, y), label, style)
            x, is_on = w - m - line * 2, bool(rng.random() < 0.5)
            draw.rounded_rectangle(
                (x, y, x + line * 1.8, y + line), line // 2, fill=theme.accent if is_on else theme.tone(0.3)
            )
            left = x + line * 0.8 if is_on else x
            draw.ellipse((left + 2, y + 2, left + line - 2, y + line - 2), fill="white")
            y += line
            draw.line((m, y + 4, w - m, y + 4), fill=theme.tone(0.12))
        else:
            text = pick_phrase(rng, script, 12)
            y = write_lines(draw, (m, y, w - m, h - line * 2), text, theme.sized(0.9, theme.tone(0.6)))
        y += line // 2
    x = w - m
    for k in range(int(rng.integers(1, 4))):
        text = pick_name(rng, script, 1)
        wide = int(style.width_px(text) + style.size_px * 2)
        button = (x - wide, min(h - line * 2, y + m), x, min(h - line * 2, y + m) + line + 8)
        draw.rounded_rectangle(button, 4, fill=theme.accent if k == 0 else theme.ground, outline=theme.tone(0.4))
        write_inside(draw, button, text, theme.sized(1, (255, 255, 255) if k == 0 else theme.ink))
        x -= wide + 10
    _red_frame(rng, draw, w, h)
    return image


SCREENS = (
    terminal, code_editor, web_page, settings_dialog, chat, file_manager, dashboard, menu_crop, spreadsheet, notebook
)  # fmt: skip
