"""Words as designers set them: stretched, slanted, spaced, edged, bent, in capitals, and fitted into a box."""

import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from examples.corpus.fonts import Style, pick_style
from examples.corpus.textures import Colour, Rng, make_noise, mix, pick_colour
from examples.corpus.words import Box, pick_name

TITLE_WORDS = """
    night shadow dragon king empire return last star wars dead city heart blood moon sun fire storm legend quest
    hero super turbo mega ultra race rally battle soccer puzzle ninja castle dungeon galaxy space alien robot
    planet secret island love story dream silent hill road river stone ghost hunter wolf tiger eagle queen lost
    world golden silver black white red blue green summer winter spring party festival live concert jazz rock
    disco club dance food fresh pizza burger coffee deal offer super sale discount new collection fashion shoes
    phone watch smart home best top how why what make learn build design code guide handbook cooking yoga travel
    photo art museum theatre cinema volume edition deluxe classic studio brothers company group partners
    solutions systems digital media design lab academy challenge secrets mistakes million days minutes easy fast
    free official trailer review vs never again crazy"""
TITLES = TITLE_WORDS.split()
SYLLABLES = "an bel cor da el fi gar ha in jo ka lo ma ne or pe ro sa ti vi wen"
SIGNS = ("!", "?", "…", " 2", " 3", " II", " III", " IV", " 64", " '94", " 2024", " X", "!!", ".", " & co.")


@dataclass(frozen=True, kw_only=True)
class Look:
    """How words are set and coloured."""

    style: Style
    fill: Colour = (255, 255, 255)
    low: Colour | None = None  # the colour at the foot of the letters, where it differs
    edge: Colour | None = None
    shadow: Colour | None = None
    stretch: float = 1.0  # height of letters, relative to what the typeface has
    slant: float = 0.0
    spacing: float = 0.0  # between letters, of their size
    leading: float = 1.05  # from line to line, of their size
    bend: float = 0.0  # how far the middle rises above the ends, of the height
    turn: float = 0.0  # degrees
    justified: bool = False  # each line as wide as the widest
    hollow: bool = False  # the outline alone
    hop: float = 0.0  # how far letters leave the line, of their size


def pick_script(rng: Rng) -> str:
    """A script, Latin mostly."""
    return str(
        rng.choice(["latin", "greek", "cyrillic", "cjk", "mono", "hand"], p=[0.64, 0.04, 0.07, 0.12, 0.06, 0.07])
    )


def words_of(script: str) -> str:
    """The script whose words are written in `script`."""
    return "latin" if script in ("mono", "hand") else script


def pick_title(rng: Rng, script: str, count: int) -> str:
    """`count` words as titles and shops have them, in capitals at times."""
    if words_of(script) != "latin":
        text = pick_name(rng, script, min(count, 6))
        return text.upper() if rng.random() < 0.4 else text
    text = " ".join(str(x) for x in rng.choice(TITLES, size=count))
    if rng.random() < 0.12:
        text += str(rng.choice(SIGNS))
    how = rng.random()
    return text.upper() if how < 0.5 else text.title() if how < 0.85 else text


def pick_person(rng: Rng) -> str:
    """A made-up first and last name."""
    parts = []
    for _ in range(2):
        syllables = rng.choice(SYLLABLES.split(), size=2)
        parts.append("".join(map(str, syllables)).title() + str(rng.choice(["", "s", "n", "ley"])))
    return " ".join(parts)


def is_dark(image: Image.Image, box: Box) -> bool:
    """Whether light words are easier to read there than dark ones."""
    part = image.crop(box).resize((8, 8)).convert("L")
    return float(np.asarray(part, np.float32).mean()) < 132


def pick_ink(rng: Rng, image: Image.Image, box: Box) -> Colour:
    """A colour that is easy to read there."""
    grey = np.asarray(image.crop(box).resize((8, 8)).convert("L"), np.float32)
    if 85 < grey.mean() < 175 or grey.std() > 45:  # few colours are easy to read there
        return (255, 255, 255) if grey.mean() < 132 else (12, 12, 14)
    if is_dark(image, box):
        return (255, 255, 255) if rng.random() < 0.5 else pick_colour(rng, float(rng.choice([0.15, 0.7])), 0.97)
    return (15, 15, 18) if rng.random() < 0.5 else pick_colour(rng, 0.8, 0.3)


def pick_look(rng: Rng, image: Image.Image, box: Box, script: str = "") -> Look:
    """Display letters for this place: from plain to loud."""
    ink = pick_ink(rng, image, box)
    style = pick_style(rng, 40, ink, script or pick_script(rng))
    style = replace(style, is_bold=bool(rng.random() < 0.65))
    look = Look(style=style, fill=ink, leading=float(rng.uniform(0.95, 1.3)))
    if rng.random() < 0.5:
        look = replace(look, stretch=float(rng.choice([0.7, 0.85, 1.2, 1.5, 1.9])))
    if rng.random() < 0.25:
        look = replace(look, spacing=float(rng.uniform(0.08, 0.5)))
    if rng.random() < 0.2:
        look = replace(look, slant=float(rng.uniform(0.12, 0.35)))
    if rng.random() < 0.12:
        look = replace(look, bend=float(rng.uniform(-0.3, 0.5)))
    if rng.random() < 0.15:
        look = replace(look, turn=float(rng.normal(0, 6)))
    if rng.random() < 0.2:
        look = replace(look, low=mix(ink, pick_colour(rng, 0.8, 0.9 if sum(ink) > 380 else 0.3), 0.7))
    if rng.random() < 0.2:
        look = replace(look, justified=True)
    opposite = (10, 10, 14) if sum(ink) > 380 else (255, 255, 255)
    busy = float(np.asarray(image.crop(box).resize((16, 16)).convert("L"), np.float32).std()) > 26
    if rng.random() < (0.6 if busy else 0.15):
        look = replace(look, edge=opposite if rng.random() < 0.7 else pick_colour(rng, 0.8, 0.4))
    if rng.random() < (0.5 if busy else 0.15):
        look = replace(look, shadow=opposite if busy else mix(ink, (0, 0, 0), 0.6))
    if busy and look.edge is None and look.shadow is None and rng.random() < 0.7:
        look = replace(look, edge=opposite)
    if not busy and look.style.is_bold and rng.random() < 0.07:
        look = replace(look, hollow=True, edge=ink, shadow=None)
    if rng.random() < 0.06:
        look = replace(look, hop=float(rng.uniform(0.06, 0.16)), spacing=max(0.04, look.spacing))
    return look


def break_lines(text: str, lines: int, script: str = "latin") -> list[str]:
    """`text` in at most so many lines, about equally long."""
    if script == "cjk":
        step = math.ceil(len(text) / max(1, lines))
        return [text[k : k + step] for k in range(0, len(text), step)]
    words, result = text.split(), [""]
    goal = len(text) / max(1, lines)
    for word in words:
        if result[-1] and len(result[-1]) + len(word) / 2 > goal and len(result) < lines:
            result.append("")
        result[-1] = f"{result[-1]} {word}".strip()
    return result


def _line(text: str, style: Style, spacing: float, hop: float) -> Image.Image:
    """One line of letters, white on black."""
    font, gap = style.font, spacing * style.size_px
    width = style.width_px(text) + gap * len(text)
    mask = Image.new("L", (max(1, round(width) + style.size_px // 2), round(style.size_px * 1.5)), 0)
    draw = ImageDraw.Draw(mask)
    if not spacing and not hop:
        draw.text((style.size_px // 5, style.size_px * 1.15), text, font=font, fill=255, anchor="ls")
        return mask
    x = style.size_px / 5
    for k, letter in enumerate(text):
        draw.text((x, style.size_px * (1.15 + hop * math.sin(2.2 * k))), letter, font=font, fill=255, anchor="ls")
        x += style.width_px(letter) + gap
    return mask


def _stack(lines: list[str], look: Look, align: float) -> Image.Image:
    """The lines below one another; `align` is 0 for left, 0.5 for centred, 1 for right."""
    masks = [_line(line, look.style, look.spacing, look.hop) for line in lines]
    width = max(mask.width for mask in masks)
    if look.justified:
        for k, mask in enumerate(masks):
            scale = min(3.0, width / mask.width)
            masks[k] = mask.resize((round(mask.width * scale), round(mask.height * scale)))
    step = look.leading / 1.5
    height = sum(round(mask.height * step) for mask in masks) + look.style.size_px // 2
    total, y = Image.new("L", (width, height), 0), 0
    for mask in masks:
        total.paste(255, (round((width - mask.width) * align), y), mask)
        y += round(mask.height * step)
    return total.crop(total.getbbox() or (0, 0, 1, 1))


def _bent(mask: Image.Image, bend: float) -> Image.Image:
    """Columns moved up or down along an arch."""
    rise = abs(bend) * mask.height
    out = Image.new("L", (mask.width, mask.height + math.ceil(rise)), 0)
    strip = max(1, mask.width // 120)
    for x in range(0, mask.width, strip):
        t = (2 * (x + strip / 2) / mask.width - 1) ** 2
        out.paste(mask.crop((x, 0, x + strip, mask.height)), (x, round(rise * (t if bend > 0 else 1 - t))))
    return out


def make_mask(lines: list[str], look: Look, size: tuple[int, int], align: float = 0.5) -> Image.Image:
    """The letters as large as fits into `size`, white on black."""
    trial = _stack(lines, replace(look, style=replace(look.style, size_px=24)), align)
    slant_px = abs(look.slant) * trial.height * look.stretch
    scale = min(size[0] / (trial.width + slant_px), size[1] / (trial.height * look.stretch * (1 + abs(look.bend))))
    px = min(300, max(7, round(24 * scale)))
    mask = _stack(lines, replace(look, style=replace(look.style, size_px=px)), align)
    if look.stretch != 1:
        mask = mask.resize((mask.width, max(1, round(mask.height * look.stretch))))
    if look.slant:
        lean = math.ceil(look.slant * mask.height)
        matrix = (1, look.slant, -lean, 0, 1, 0)
        mask = mask.transform(
            (mask.width + lean, mask.height), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
        )
    if look.bend:
        mask = _bent(mask, look.bend)
    if look.turn:
        mask = mask.rotate(look.turn, Image.Resampling.BICUBIC, expand=True)
    if mask.width > size[0] * 1.05 or mask.height > size[1] * 1.05:
        mask.thumbnail((max(1, size[0]), max(1, size[1])))
    return mask


def _grown(mask: Image.Image, px: float) -> Image.Image:
    """The letters with an edge of about so many pixels."""
    return mask.filter(ImageFilter.GaussianBlur(px * 0.7)).point(lambda v: min(255, v * 5))


def set_words(
    image: Image.Image, box: Box, lines: list[str], look: Look, at: tuple[float, float] = (0.5, 0.5)
) -> Box:
    """Set `lines` as large as `box` allows, at this share of the space left over; the box that they take."""
    size = (max(4, box[2] - box[0]), max(4, box[3] - box[1]))
    lines = [line for line in lines if line.strip()] or ["…"]
    mask = make_mask(lines, look, size, at[0])
    x = box[0] + round((size[0] - mask.width) * at[0])
    y = box[1] + round((size[1] - mask.height) * at[1])
    rows = max(1, len(lines))
    edge_px = max(1.0, mask.height / rows / 14)
    pad = math.ceil(edge_px * 3) + 2
    wide = Image.new("L", (mask.width + 2 * pad, mask.height + 2 * pad), 0)
    wide.paste(mask, (pad, pad))
    corner = (x - pad, y - pad)
    if look.shadow is not None:
        off = round(edge_px * 0.9) + 1
        image.paste(look.shadow, (corner[0] + off, corner[1] + off), _grown(wide, edge_px) if look.edge else wide)
    if look.edge is not None:
        grown = _grown(wide, edge_px)
        image.paste(look.edge, corner, ImageChops.subtract(grown, wide) if look.hollow else grown)
    if look.hollow:
        return x, y, x + mask.width, y + mask.height
    if look.low is None:
        image.paste(look.fill, corner, wide)
    else:
        ramp = Image.linear_gradient("L").resize(wide.size)
        body = Image.composite(Image.new("RGB", wide.size, look.low), Image.new("RGB", wide.size, look.fill), ramp)
        image.paste(body, corner, wide)
    return x, y, x + mask.width, y + mask.height


def set_small(
    image: Image.Image, box: Box, lines: list[str], style: Style, at: tuple[float, float] = (0.5, 0)
) -> Box:
    """Set plain lines of the style's size, or smaller where they would not fit."""
    tall = round(min(box[3] - box[1], style.line_px * len(lines)))
    leading = style.line_px / style.size_px
    mask_box = (box[0], box[1], box[2], box[1] + max(4, tall))
    y = round((box[3] - box[1] - tall) * at[1])
    placed = (mask_box[0], mask_box[1] + y, mask_box[2], mask_box[3] + y)
    return set_words(image, placed, lines, Look(style=style, fill=style.colour, leading=leading), (at[0], 0.5))


def weather(rng: Rng, image: Image.Image, strength: float) -> Image.Image:
    """`image` with uneven ink, as print and worn paper have it."""
    field = 1 + strength * make_noise(rng, *image.size, coarse=float(rng.uniform(2, 60)), octaves=3)[..., None]
    return Image.fromarray(np.clip(np.asarray(image, np.float32) * field, 0, 255).astype(np.uint8))
