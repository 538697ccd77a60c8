"""What is written or sketched by hand: notes, whiteboards, blackboards, labelled sketches and sticky notes."""

import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from examples.corpus.fonts import Style, pick_style
from examples.corpus.looks import Point, smooth
from examples.corpus.textures import (
    Colour,
    Rng,
    make_canvas,
    make_noise,
    make_ramp,
    mix,
    pick_colour,
    pick_paper,
    through_camera,
    to_image,
)
from examples.corpus.words import pick_name, pick_phrase, wrap

INKS: tuple[Colour, ...] = ((25, 40, 120), (20, 20, 28), (70, 70, 78), (150, 30, 40), (20, 90, 60))
SUMS = ("2 + 2 = 4", "x² = 16", "a/b = c", "y = mx + b", "5 n = 55", "F = ma", "3 × 7 = 21", "f(x) = 0", "n = 12",
        "9/3 = 3", "10% = 0,1", "A + B", "sin x", "v = s/t")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Hand:
    """How someone writes."""

    style: Style
    words: str  # the script of the words
    stretch: float
    slant: float
    jitter: float
    wobble: float
    stroke: int
    is_cursive: bool  # loops that cannot be read


def pick_hand(rng: Rng, size_px: float, colour: Colour) -> Hand:
    """A hand: printed capitals, warped print in any script, or a running hand."""
    words = str(rng.choice(["latin", "cyrillic", "greek", "cjk"], p=[0.72, 0.1, 0.05, 0.13]))
    face = "hand" if words == "latin" and rng.random() < 0.6 else words
    style = pick_style(rng, size_px * (1.35 if face == "hand" else 0.95), colour, face)
    return Hand(
        style=style,
        words=words if style.script in (words, "hand") else style.script,
        stretch=float(rng.uniform(1.0, 1.6) if face == "hand" else rng.uniform(0.8, 1.1)),
        slant=float(rng.normal(0.08, 0.14)),
        jitter=float(rng.uniform(0.3, 1.2)),
        wobble=float(rng.uniform(0.02, 0.05) if face == "hand" else rng.uniform(0.05, 0.09)),
        stroke=int(rng.integers(0, max(1, round(size_px / 24)) + 1)),
        is_cursive=bool(words == "latin" and rng.random() < 0.2),
    )


def _cursive(rng: Rng, text: str, hand: Hand) -> Image.Image:
    """A line of joined loops, as long as `text`."""
    size = hand.style.size_px
    step, x, path = size * 0.2, size * 0.5, list[Point]()
    mask = Image.new("L", (round(size * (len(text) * 0.45 + 2)), size * 2))
    draw = ImageDraw.Draw(mask)
    for letter in text + " ":
        if letter == " ":
            if len(path) > 1:
                draw.line(path, fill=255, width=max(2, round(size / 14)), joint="curve")
            x, path = x + size * 0.35, []
            continue
        tall = size * (0.75 if letter in "bdfhklt" or letter.isupper() else 0.3) * float(rng.uniform(0.8, 1.1))
        deep = size * (0.4 if letter in "gjpqy" else 0.03)
        for t in np.linspace(0, 2 * math.pi, 9):
            y = (-tall if t < math.pi else -tall * 0.2 + deep) * abs(math.sin(t / 2 if t < math.pi else t))
            path.append(
                (x + step * 0.9 * math.sin(t) + step * t / 4, size * 1.25 + y + float(rng.normal(0, size * 0.02)))
            )
        x += step * float(rng.uniform(1.3, 1.9))
    return mask


def _print(rng: Rng, text: str, hand: Hand) -> Image.Image:
    """A line of single letters, each a little turned and off the line."""
    size, font = hand.style.size_px, hand.style.font
    mask = Image.new("L", (round(hand.style.width_px(text) * 1.15) + size * 2, size * 2))
    x, lift = size * 0.4, 0.0
    for letter in text:
        if letter == " ":
            x += font.getlength(letter)
            continue
        cell = Image.new("L", (size * 2, size * 2))
        at = (size * 0.5, size * 0.35)
        ImageDraw.Draw(cell).text(at, letter, font=font, fill=255, stroke_width=hand.stroke)
        turned = cell.rotate(float(rng.normal(0, 3.5 * hand.jitter)), Image.Resampling.BILINEAR)
        lift = lift * 0.8 + float(rng.normal(0, size * 0.025 * hand.jitter))
        mask.paste(255, (round(x - size * 0.5), round(lift)), turned)
        x += font.getlength(letter) + float(rng.normal(size * 0.02, size * 0.03 * hand.jitter))
    return mask


def write_by_hand(rng: Rng, image: Image.Image, at: Point, text: str, hand: Hand) -> float:
    """The x after `text`, written on one line with its upper left corner about `at`."""
    mask = (_cursive if hand.is_cursive else _print)(rng, text, hand)
    box = mask.getbbox()
    if box is None:
        return at[0]
    mask = mask.crop((0, 0, box[2] + 2, mask.height))
    w, h = max(4, round(mask.width * hand.stretch)), mask.height
    shear = (1 / hand.stretch, hand.slant / hand.stretch, -hand.slant * h * 0.6 / hand.stretch, 0, 1, 0)
    mask = mask.transform((w, h), Image.Transform.AFFINE, shear, Image.Resampling.BILINEAR)
    bend_px, coarse = hand.wobble * hand.style.size_px, w / hand.style.size_px * 1.2
    shift = make_noise(rng, w, 2 * h, coarse=max(2.0, coarse), octaves=2) * bend_px * 2
    ys = np.clip(np.arange(h)[:, None] + shift[:h], 0, h - 1).astype(np.intp)
    xs = np.clip(np.arange(w)[None, :] + shift[h:], 0, w - 1).astype(np.intp)
    warped = np.asarray(mask)[ys, xs]
    image.paste(hand.style.colour, (round(at[0]), round(at[1])), Image.fromarray(warped))
    return at[0] + w


def _wide(hand: Hand, text: str) -> float:
    size = hand.style.size_px
    return size * len(text) * 0.36 * hand.stretch if hand.is_cursive else hand.style.width_px(text) * hand.stretch


def put_sketch(rng: Rng, draw: ImageDraw.ImageDraw, path: list[Point], colour: Colour, px: int) -> None:
    """A line through `path` that a hand did not keep straight."""
    points: list[Point] = [path[0]]
    for x, y in path[1:]:
        x0, y0 = points[-1]
        steps = max(2, int(math.hypot(x - x0, y - y0) / 30))
        for k in range(1, steps + 1):
            t, off = k / steps, px * 0.6 * rng.standard_normal(2)
            points.append((x0 + (x - x0) * t + float(off[0]), y0 + (y - y0) * t + float(off[1])))
    draw.line(points, fill=colour, width=px, joint="curve")
    if rng.random() < 0.3:
        draw.line([(x + px, y + px) for x, y in points], fill=colour, width=max(1, px // 2))


def _ring(at: Point, rx: float, ry: float, turns: float = 1.05) -> list[Point]:
    return [(at[0] + rx * math.cos(t), at[1] + ry * math.sin(t)) for t in np.linspace(0, 2 * math.pi * turns, 26)]


def _put_arrow(rng: Rng, draw: ImageDraw.ImageDraw, a: Point, b: Point, colour: Colour, px: int) -> None:
    put_sketch(rng, draw, [a, b], colour, px)
    angle, long = math.atan2(b[1] - a[1], b[0] - a[0]), px * 5 + 8
    for turn in (-0.45, 0.45):
        end = (b[0] - long * math.cos(angle + turn), b[1] - long * math.sin(angle + turn))
        draw.line((*b, *end), fill=colour, width=px)


def _put_doodle(rng: Rng, draw: ImageDraw.ImageDraw, at: Point, r: float, colour: Colour, px: int) -> None:
    """A box, ring, triangle, curve with axes, stick figure or underlining."""
    x, y = at
    kind = str(rng.choice(["box", "ring", "triangle", "axes", "figure", "wave"]))
    if kind == "box":
        put_sketch(rng, draw, [(x - r, y - r * 0.6), (x + r, y - r * 0.6), (x + r, y + r * 0.6), (x - r, y + r * 0.6),
                               (x - r, y - r * 0.6)], colour, px)  # fmt: skip
    elif kind == "ring":
        put_sketch(rng, draw, _ring(at, r, r * 0.8), colour, px)
    elif kind == "triangle":
        put_sketch(rng, draw, [(x, y - r), (x + r, y + r * 0.7), (x - r, y + r * 0.7), (x, y - r)], colour, px)
    elif kind == "axes":
        _put_arrow(rng, draw, (x - r, y + r), (x + r, y + r), colour, px)
        _put_arrow(rng, draw, (x - r, y + r), (x - r, y - r), colour, px)
        bow = float(rng.uniform(-1.5, 1.5))
        put_sketch(
            rng,
            draw,
            [(x - r + 2 * r * t, y + r - 1.8 * r * t ** math.exp(bow)) for t in np.linspace(0, 1, 12)],
            colour,
            px,
        )
    elif kind == "figure":
        put_sketch(rng, draw, _ring((x, y - r * 0.7), r * 0.25, r * 0.25), colour, px)
        for a, b in (
            ((0, -0.45), (0, 0.3)),
            ((-0.4, -0.1), (0.4, -0.1)),
            ((0, 0.3), (-0.35, 1)),
            ((0, 0.3), (0.35, 1)),
        ):
            put_sketch(rng, draw, [(x + r * a[0], y + r * a[1]), (x + r * b[0], y + r * b[1])], colour, px)
    else:
        put_sketch(
            rng,
            draw,
            [(x - r + 2 * r * t, y + r * 0.5 * math.sin(t * 12)) for t in np.linspace(0, 1, 24)],
            colour,
            px,
        )


def _write_note(
    rng: Rng, image: Image.Image, box: tuple[float, float, float, float], hand: Hand, step: float
) -> None:
    """Lines of words, points or sums from the top of `box`, as far down as the writer had to say."""
    left, y, right, bottom = box
    manner = str(rng.choice(["prose", "prose", "points", "sums"]))
    end = min(y + (bottom - y) * float(rng.choice([0.3, 0.6, 1.0])), y + 20 * step)
    while y < end - step:
        text = pick_phrase(rng, hand.words, int(rng.integers(1, 5) if manner == "points" else rng.integers(4, 14)))
        if manner == "sums":
            text = str(rng.choice(SUMS))
        if manner == "points":
            text = str(rng.choice(["- ", "* ", "1) ", "o "])) + text
        style = replace(hand.style, script=hand.words, size_px=max(9, round(hand.style.size_px * hand.stretch)))
        for line in wrap(text, style, max(40, round((right - left) * 0.92))):
            if y > end - step * 0.6:
                break
            x = left + float(rng.normal(0, hand.style.size_px * 0.12))
            write_by_hand(rng, image, (x, y), line, hand)
            y += step
        if manner != "prose" and rng.random() < 0.3:
            y += step * 0.5


@smooth
def note_page(rng: Rng, w: int, h: int) -> Image.Image:
    """A page of a notebook, ruled, squared or plain, with notes in ink or pencil."""
    ground = (
        pick_paper(rng) if rng.random() < 0.7 else mix((255, 255, 255), pick_colour(rng, 0.6, 0.9, "earth"), 0.35)
    )
    image, draw = make_canvas(w, h, ground)
    size = math.sqrt(w * h) * math.exp(rng.uniform(math.log(0.034), math.log(0.075)))
    step, how = size * float(rng.uniform(1.3, 1.7)), str(rng.choice(["plain", "ruled", "ruled", "squared"]))
    tone = mix(ground, pick_colour(rng, 0.5, 0.7, "sky"), 0.45)
    for k in range(int(h / step) + 1):
        if how != "plain":
            draw.line((0, k * step, w, k * step), fill=tone, width=2)
    if how == "squared":
        for k in range(int(w / step * 2) + 1):
            draw.line((k * step / 2, 0, k * step / 2, h), fill=tone, width=2)
            draw.line((0, k * step / 2, w, k * step / 2), fill=tone, width=2)
    left = w * float(rng.uniform(0.03, 0.15))
    if how == "ruled" and rng.random() < 0.5:
        draw.line((left * 0.9, 0, left * 0.9, h), fill=(215, 90, 90), width=2)
    hand = pick_hand(rng, size, INKS[int(rng.integers(0, len(INKS)))])
    y = step * 0.6
    if rng.random() < 0.35:
        end = write_by_hand(rng, image, (w * 0.25, y), pick_name(rng, hand.words, 1), hand)
        put_sketch(rng, draw, [(w * 0.25, y + size * 1.7), (end, y + size * 1.7)], hand.style.colour, 4)
        y += step * 1.6
    _write_note(rng, image, (left, y, w * 0.97, h * 0.97), hand, step)
    for _ in range(int(rng.choice([0, 0, 1, 2]))):
        at = (w * float(rng.uniform(0.2, 0.85)), h * float(rng.uniform(0.5, 0.9)))
        _put_doodle(rng, draw, at, size * 2, hand.style.colour, max(2, round(size / 14)))
    return (
        image
        if rng.random() < 0.35
        else through_camera(rng, image.reduce(2)).resize((w, h), Image.Resampling.NEAREST)
    )


def _fill_board(rng: Rng, image: Image.Image, colours: tuple[Colour, ...], px: int) -> None:
    """Words, sums, boxes and arrows in several places of a board."""
    (w, h), draw = image.size, ImageDraw.Draw(image)
    size = math.sqrt(w * h) * math.exp(rng.uniform(math.log(0.04), math.log(0.11)))
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(1, 7))
    hand = replace(pick_hand(rng, size, colours[0]), stroke=max(1, px // 3), is_cursive=False)
    for k in range(columns * rows):
        if k and rng.random() < 0.2:
            continue
        x, y = (
            w * (k % columns + float(rng.uniform(0.1, 0.25))) / columns,
            h * (k // columns + float(rng.uniform(0.12, 0.3))) / rows,
        )
        colour = colours[int(rng.integers(0, len(colours)))]
        hand = replace(hand, style=replace(hand.style, colour=colour))
        text = str(rng.choice(SUMS)) if rng.random() < 0.3 else pick_name(rng, hand.words, int(rng.integers(1, 3)))
        while len(text) > 2 and _wide(hand, text) > w / columns * 0.75:
            text = text[: len(text) * 3 // 4]
        end = write_by_hand(rng, image, (x, y), text, hand)
        frame, middle = float(rng.random()), ((x + end) / 2, y + hand.style.size_px * 0.85)
        if frame < 0.2:
            put_sketch(rng, draw, _ring(middle, (end - x) * 0.62, hand.style.size_px), colour, px)
        elif frame < 0.35:
            put_sketch(
                rng, draw, [(x, y + hand.style.size_px * 1.6), (end, y + hand.style.size_px * 1.6)], colour, px
            )
        elif frame < 0.6:
            away = (middle[0] + w * float(rng.uniform(-0.2, 0.2)), middle[1] + h / rows * 0.5)
            _put_arrow(rng, draw, (middle[0], middle[1] + hand.style.size_px), away, colour, px)
        if rng.random() < 0.3:
            at = (x + w / columns * 0.4, y + h / rows * 0.55)
            _put_doodle(rng, draw, at, min(w / columns, h / rows) * 0.2, colour, px)


@smooth
def whiteboard(rng: Rng, w: int, h: int) -> Image.Image:
    """Markers on a white board that shines in places."""
    base = mix((255, 255, 255), pick_colour(rng, 0.15, 0.8), float(rng.uniform(0.05, 0.35)))
    image, draw = make_canvas(w, h, base)
    inks: tuple[Colour, ...] = ((30, 40, 60), (30, 60, 170), (190, 35, 40), (20, 120, 70))
    _fill_board(rng, image, inks[: int(rng.integers(1, 5))], max(3, round(math.sqrt(w * h) / 160)))
    if rng.random() < 0.4:
        draw.rectangle((0, 0, w, h), outline=(150, 152, 156), width=int(min(w, h) * 0.03))
    shine = 0.85 + 0.2 * make_ramp(rng, w // 2, h // 2) + 0.05 * make_noise(rng, w // 2, h // 2, 2, 2)
    seen = to_image(np.asarray(image.reduce(2), np.float32) * shine[..., None])
    return (through_camera(rng, seen) if rng.random() < 0.6 else seen).resize((w, h), Image.Resampling.NEAREST)


@smooth
def blackboard(rng: Rng, w: int, h: int) -> Image.Image:
    """Chalk on a black or green board with traces of what was wiped off."""
    base = ((38, 44, 42), (28, 66, 50), (22, 24, 28), (44, 58, 72))[int(rng.integers(0, 4))]
    w2, h2 = w // 2, h // 2
    smear = np.clip(make_noise(rng, w2, h2, 3, 4), 0, 1)[..., None] * float(rng.uniform(5, 45))
    image = to_image(np.asarray(base, np.float32) + smear).resize((w, h), Image.Resampling.BILINEAR)
    chalks: tuple[Colour, ...] = ((238, 238, 232), (245, 235, 150), (245, 180, 190), (160, 210, 240))
    _fill_board(rng, image, chalks[: int(rng.integers(1, 4))], max(3, round(math.sqrt(w * h) / 200)))
    drawn = np.asarray(image.reduce(2), np.float32)
    dust = 1 - 0.35 * rng.random((h2, w2, 1), dtype=np.float32) * (drawn > 110)
    board = to_image(drawn * dust).resize((w, h), Image.Resampling.NEAREST)
    if rng.random() < 0.35:
        frame = int(min(w, h) * 0.035)
        ImageDraw.Draw(board).rectangle((0, 0, w, h), outline=pick_colour(rng, 0.5, 0.5, "wood"), width=frame)
    return board


@smooth
def annotated_sketch(rng: Rng, w: int, h: int) -> Image.Image:
    """A sketch of some shapes with arrows to words, on paper or on a plain ground."""
    dark = rng.random() < 0.12
    ground = (28, 28, 32) if dark else pick_paper(rng)
    ink = (235, 235, 230) if dark else INKS[int(rng.integers(0, len(INKS)))]
    image, draw = make_canvas(w, h, ground)
    size, px = math.sqrt(w * h) * float(rng.uniform(0.035, 0.065)), max(2, round(math.sqrt(w * h) / 260))
    hand, count = replace(pick_hand(rng, size, ink), is_cursive=False), int(rng.integers(1, 6))
    for k in range(count):
        columns = math.ceil(math.sqrt(count))
        cw, ch = w / columns, h / math.ceil(count / columns)
        at = (cw * (k % columns + 0.5), ch * (k // columns + 0.6))
        r = min(cw, ch) * float(rng.uniform(0.18, 0.3))
        if not dark and rng.random() < 0.3:
            draw.polygon(_ring(at, r, r * 0.7), fill=mix(ground, pick_colour(rng), 0.35))
        _put_doodle(rng, draw, at, r, ink, px)
        for _ in range(int(rng.integers(0, 3))):
            text = pick_name(rng, hand.words, 1)
            x = at[0] + float(rng.choice([-1, 1])) * cw * 0.3 - _wide(hand, text) / 2
            y = at[1] + float(rng.choice([-1, -0.6, 0.7])) * ch * 0.38
            end = write_by_hand(rng, image, (max(4.0, min(x, w - _wide(hand, text) - size)), y - size), text, hand)
            if rng.random() < 0.6:
                _put_arrow(rng, draw, ((x + end) / 2, y + size * 0.5), at, ink, px)
    if rng.random() < 0.4:
        write_by_hand(rng, image, (w * 0.1, size * 0.2), pick_name(rng, hand.words, 2), hand)
    return (
        image if rng.random() < 0.6 else through_camera(rng, image.reduce(2)).resize((w, h), Image.Resampling.NEAREST)
    )


@smooth
def sticky_notes(rng: Rng, w: int, h: int) -> Image.Image:
    """Coloured notes on a board or a wall, each with a word or two."""
    image, _ = make_canvas(w, h, pick_colour(rng, 0.15, float(rng.choice([0.35, 0.85, 0.95]))))
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    side = int(min(w / columns, h / rows) * 0.84)
    for k in range(columns * rows):
        note = Image.new("RGB", (side, side), pick_colour(rng, 0.45, 0.95))
        hand = pick_hand(rng, side * float(rng.uniform(0.1, 0.2)), INKS[int(rng.integers(0, 3))])
        y = side * float(rng.uniform(0.05, 0.3))
        for _ in range(int(rng.integers(1, 4))):
            text = pick_name(rng, hand.words, 1)
            while len(text) > 2 and _wide(hand, text) > side * 0.8:
                text = text[:-1]
            write_by_hand(rng, note, (side * 0.06, y), text, hand)
            y += hand.style.size_px * 1.4
        turn = float(rng.normal(0, 4))
        mask = Image.new("L", note.size, 255).rotate(turn, expand=True)
        turned = note.rotate(turn, Image.Resampling.BILINEAR, expand=True)
        at = (
            round(w * (k % columns + 0.5) / columns - turned.width / 2),
            round(h * (k // columns + 0.5) / rows - turned.height / 2),
        )
        image.paste((60, 60, 60), (at[0] + 6, at[1] + 8), mask.point(lambda v: v // 3))
        image.paste(turned, at, mask)
    return through_camera(rng, image.reduce(2)).resize((w, h), Image.Resampling.NEAREST)


HANDWRITING = (note_page, whiteboard, blackboard, annotated_sketch, sticky_notes)
