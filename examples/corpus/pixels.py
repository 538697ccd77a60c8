"""Letters of few pixels, sprites, and pixel scenes, as on the screens of old games."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from examples.corpus.textures import Colour, Rng, make_noise, mix, pick_colour

ROWS = {  # five columns by seven rows, each row two hexadecimal digits
    "A": "0e11111f111111", "B": "1e11111e11111e", "C": "0e11101010110e", "D": "1e11111111111e",
    "E": "1f10101e10101f", "F": "1f10101e101010", "G": "0e11101713110f", "H": "1111111f111111",
    "I": "0e04040404040e", "J": "0702020202120c", "K": "11121418141211", "L": "1010101010101f",
    "M": "111b1515111111", "N": "11191513111111", "O": "0e11111111110e", "P": "1e11111e101010",
    "Q": "0e11111115120d", "R": "1e11111e141211", "S": "0f10100e01011e", "T": "1f040404040404",
    "U": "1111111111110e", "V": "11111111110a04", "W": "11111115151b11", "X": "11110a040a1111",
    "Y": "11110a04040404", "Z": "1f01020408101f", "0": "0e13151519110e", "1": "040c040404040e",
    "2": "0e11010204081f", "3": "1f02040201110e", "4": "02060a121f0202", "5": "1f101e0101110e",
    "6": "0608101e11110e", "7": "1f010204080808", "8": "0e11110e11110e", "9": "0e11110f01020c",
    "-": "0000001f000000", ".": "00000000000c0c", "!": "04040404040004", "?": "0e110204040004",
    ":": "000c0c000c0c00", "%": "18190204081303", "/": "01010204081010", "©": "0e111d191d110e",
    ">": "10180c060c1810", "×": "00110a040a1100", ",": "00000000060408", "'": "04040800000000",
}  # fmt: skip
WORDS = """
    SCORE HI-SCORE LEVEL STAGE ROUND LIVES TIME WORLD PLAYER READY GAME OVER CREDIT INSERT COIN PRESS START
    BONUS POWER AMMO HEALTH ARMOR SPEED LAP POSITION RANK COMBO KEYS COINS PAUSE CONTINUE OPTIONS PASSWORD
    SOUND MUSIC EASY NORMAL HARD NEW LOAD SAVE EXIT QUIT STORY VERSUS ARCADE PRACTICE TRAINING RECORDS HELP
    SELECT CHARACTER BUTTON CONTROL YES NO GET MAX BEST GOAL ENEMY BOSS FUEL SHIELD SWORD MAGIC ITEM GOLD HP
    MP EXP ATTACK DEFEND RUN"""
TITLES = """
    SUPER MEGA COSMIC TURBO PIXEL BLOCK SPACE DRAGON NINJA ROBO STAR GALAXY RACER BROS BALL FIGHTER QUEST LAND
    WORLD HERO PANIC BOMBER SNAKE GOLF TENNIS CRYSTAL KNIGHT ZONE RAID FORCE BLASTER KONG MANIA DASH CRASH
    STORM TANK"""


@lru_cache(maxsize=128)
def _glyph(letter: str) -> np.ndarray:
    digits = ROWS.get(letter)
    if digits is None:
        return np.zeros((7, 5), bool)
    rows = [int(digits[k : k + 2], 16) for k in range(0, 14, 2)]
    return np.array([[bool(row >> (4 - x) & 1) for x in range(5)] for row in rows])


def words_mask(text: str, *, bold: bool = False, scale: int = 1, gap: int = 1) -> Image.Image:
    """`text` on one line in letters of five by seven pixels, or wider where bold."""
    cells = np.zeros((7, max(1, len(text) * (5 + gap + bold))), bool)
    for k, letter in enumerate(text.upper()):
        glyph = _glyph(letter)
        x = k * (5 + gap + bold)
        cells[:, x : x + 5] |= glyph
        if bold:
            cells[:, x + 1 : x + 6] |= glyph
    mask = Image.fromarray(cells.astype(np.uint8) * 255)
    return mask.resize((mask.width * scale, mask.height * scale), Image.Resampling.NEAREST)


def write(
    image: Image.Image, at: tuple[int, int], text: str, colour: Colour, *, bold: bool = False, shadow: bool = False
) -> int:
    """Write `text` with its upper left corner at `at`; the x where it ends."""
    mask = words_mask(text, bold=bold)
    if shadow:
        image.paste((0, 0, 0), (at[0] + 1, at[1] + 1), mask)
    image.paste(colour, at, mask)
    return at[0] + mask.width


def write_middle(image: Image.Image, y: int, text: str, colour: Colour, *, bold: bool = False) -> None:
    """Write `text` in the middle of the row at `y`."""
    mask = words_mask(text, bold=bold)
    image.paste(colour, ((image.width - mask.width) // 2, y), mask)


def pick_word(rng: Rng) -> str:
    """A word that games show."""
    return str(rng.choice(WORDS.split()))


def pick_sentence(rng: Rng, count: int) -> str:
    """Words that stand for speech."""
    bag = (WORDS + TITLES + " YOU THE A TO MUST FIND MY IS HERE WHERE GO WITH AND THIS OLD MAN CAVE TAKE IT").split()
    return " ".join(str(x) for x in rng.choice(bag, size=count))


def title_letters(rng: Rng, image: Image.Image, y: int, text: str) -> int:
    """A title of large letters with edge and shades; the y below it."""
    scale = max(1, min(5, int(image.width * 0.9 / max(1, len(text) * 7))))
    mask = words_mask(text, bold=bool(rng.random() < 0.6), scale=scale)
    if rng.random() < 0.3:
        lean = mask.height // 3
        matrix = (1, lean / mask.height, -lean, 0, 1, 0)
        mask = mask.transform((mask.width + lean, mask.height), Image.Transform.AFFINE, matrix)
    x = (image.width - mask.width) // 2
    edge, top, low = pick_colour(rng, 0.8, 0.35), pick_colour(rng, 0.8, 0.95), pick_colour(rng, 0.8, 0.8)
    style = rng.integers(0, 4)
    if style > 0:
        for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1), (scale, scale)):
            image.paste(edge, (x + dx, y + dy), mask)
    bands = int(rng.choice([1, 2, 4, 7]))
    for k in range(bands):
        part = mask.crop((0, k * mask.height // bands, mask.width, (k + 1) * mask.height // bands))
        colour = mix(top, low, k / max(1, bands - 1))
        image.paste(colour, (x, y + k * mask.height // bands), part)
    return y + mask.height + scale


def sprite(rng: Rng, size: int = 8) -> Image.Image:
    """A small figure of few pixels, the same left and right."""
    half = rng.random((size, (size + 1) // 2)) < 0.58
    cells = np.concatenate([half, half[:, : size // 2][:, ::-1]], axis=1)
    tint = [pick_colour(rng, 0.75, 0.85) for _ in range(3)]
    shades = rng.integers(0, 3, half.shape)
    both = np.concatenate([shades, shades[:, : size // 2][:, ::-1]], axis=1)
    rgba = np.zeros((size, cells.shape[1], 4), np.uint8)
    rgba[..., :3] = np.array(tint, np.uint8)[both]
    rgba[..., 3] = cells * 255
    return Image.fromarray(rgba)


def scatter(rng: Rng, image: Image.Image, count: int, size: int = 8) -> None:
    """Sprites here and there, in rows at times."""
    kinds = [sprite(rng, size) for _ in range(3)]
    in_rows = rng.random() < 0.35
    for k in range(count):
        kind = kinds[k % 3 if not in_rows else k // 8 % 3]
        at = (int(rng.integers(0, image.width)), int(rng.integers(0, image.height)))
        if in_rows:
            at = (image.width // 10 + k % 8 * (size + 6), image.height // 6 + k // 8 * (size + 5))
        image.paste(kind, at, kind)


def _side_scene(rng: Rng, image: Image.Image) -> None:
    w, h = image.size
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, w, h), fill=pick_colour(rng, 0.5, float(rng.choice([0.15, 0.85]))))
    hill = pick_colour(rng, 0.5, 0.6)
    for _ in range(4):
        x, r = rng.uniform(0, w), h * rng.uniform(0.15, 0.4)
        draw.ellipse((x - r, h * 0.8 - r * 0.6, x + r, h * 0.8 + r), fill=hill)
    tile, a = 8, pick_colour(rng, 0.6, 0.55)
    for x in range(0, w, tile):
        for y in range(h - 2 * tile, h, tile):
            draw.rectangle((x, y, x + tile - 1, y + tile - 1), fill=a, outline=mix(a, (0, 0, 0), 0.4))
    for _ in range(int(rng.integers(2, 9))):
        x, y = int(rng.integers(0, w // tile)) * tile, int(rng.integers(4, max(5, h // tile - 3))) * tile
        for k in range(int(rng.integers(1, 6))):
            box = (x + k * tile, y, x + k * tile + tile - 1, y + tile - 1)
            draw.rectangle(box, fill=mix(a, (255, 220, 120), 0.4), outline=mix(a, (0, 0, 0), 0.5))


def _maze_scene(rng: Rng, image: Image.Image) -> None:
    w, h = image.size
    draw, tile = ImageDraw.Draw(image), int(rng.choice([6, 8, 12]))
    wall, floor = pick_colour(rng, 0.8, 0.7), (0, 0, 0) if rng.random() < 0.6 else pick_colour(rng, 0.4, 0.5)
    draw.rectangle((0, 0, w, h), fill=floor)
    filled = rng.random((h // tile + 1, w // tile + 1)) < rng.uniform(0.15, 0.5)
    for row, column in np.argwhere(filled):
        x, y = int(column) * tile, int(row) * tile
        draw.rectangle((x, y, x + tile - 1, y + tile - 1), fill=wall, outline=mix(wall, (0, 0, 0), 0.4))
    for row, column in np.argwhere(~filled)[:: int(rng.integers(1, 5))]:
        draw.point((int(column) * tile + tile // 2, int(row) * tile + tile // 2), fill=(255, 230, 160))


def _space_scene(rng: Rng, image: Image.Image) -> None:
    w, h = image.size
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, w, h), fill=(0, 0, 0))
    for _ in range(int(rng.integers(10, 120))):
        draw.point((int(rng.integers(0, w)), int(rng.integers(0, h))), fill=pick_colour(rng, 0.3, 0.9))
    if rng.random() < 0.4:
        x, y, r = rng.uniform(0, w), rng.uniform(0, h), h * rng.uniform(0.1, 0.4)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=pick_colour(rng, 0.6, 0.5))


def _road_scene(rng: Rng, image: Image.Image) -> None:
    w, h = image.size
    draw, level = ImageDraw.Draw(image), int(h * 0.45)
    draw.rectangle((0, 0, w, level), fill=pick_colour(rng, 0.5, 0.85, "sky"))
    grass = pick_colour(rng, 0.6, 0.55, str(rng.choice(["grass", "earth", ""])))
    for y in range(level, h):
        t = (y - level + 1) / (h - level)
        band = int(12 / t) % 2
        bend = w / 2 + (1 - t) ** 2 * w * 0.15
        draw.line((0, y, w, y), fill=mix(grass, (0, 0, 0), 0.18 * band))
        draw.line((bend - w * 0.45 * t, y, bend + w * 0.45 * t, y), fill=(225, 60, 60) if band else (240, 240, 240))
        draw.line((bend - w * 0.4 * t, y, bend + w * 0.4 * t, y), fill=(98, 98, 104))
    draw.rectangle((w * 0.42, h * 0.74, w * 0.58, h * 0.86), fill=pick_colour(rng, 0.9, 0.8))


def _top_scene(rng: Rng, image: Image.Image) -> None:
    field = make_noise(rng, *image.size, coarse=float(rng.uniform(3, 8)), octaves=3)
    palette = [
        pick_colour(rng, 0.6, 0.4 + 0.12 * k, str(rng.choice(["grass", "sky", "earth", ""]))) for k in range(4)
    ]
    level = np.clip(((field + 0.6) * 3).astype(int), 0, 3)
    tile = int(rng.choice([2, 4, 8]))
    coarse = level[::tile, ::tile].repeat(tile, 0).repeat(tile, 1)[: image.height, : image.width]
    image.paste(Image.fromarray(np.array(palette, np.uint8)[coarse]))


def _pit_scene(rng: Rng, image: Image.Image) -> None:
    w, h = image.size
    draw, tile = ImageDraw.Draw(image), max(5, h // 22)
    draw.rectangle((0, 0, w, h), fill=pick_colour(rng, 0.4, float(rng.choice([0.05, 0.3]))))
    left = int(w * rng.uniform(0.1, 0.35))
    draw.rectangle((left - 3, tile, left + 10 * tile + 2, h), fill=(0, 0, 0), outline=(190, 190, 200), width=2)
    palette = [pick_colour(rng, 0.8, 0.9) for _ in range(6)]
    for row in range(2, h // tile):
        for column in range(10):
            if rng.random() < row * tile / h - 0.35:
                x, y = left + column * tile, row * tile
                fill = palette[rng.integers(0, 6)]
                draw.rectangle((x, y, x + tile - 1, y + tile - 1), fill=fill, outline=mix(fill, (0, 0, 0), 0.5))


SCENES = (_side_scene, _maze_scene, _space_scene, _space_scene, _road_scene, _top_scene, _pit_scene)


def pixel_scene(rng: Rng, w: int, h: int) -> Image.Image:
    """Some game's world, without words."""
    image = Image.new("RGB", (w, h))
    SCENES[rng.integers(0, len(SCENES))](rng, image)
    scatter(rng, image, int(rng.integers(2, 24)), int(rng.choice([6, 8, 12, 16])))
    return image


def small_size(rng: Rng, w: int, h: int) -> tuple[int, int]:
    """The size of some old screen, about as wide as the picture."""
    sizes = [(160, 144), (256, 224), (256, 192), (320, 200), (320, 240), (224, 288), (160, 192), (192, 112)]
    sw, sh = sizes[rng.integers(0, len(sizes))]
    return (sh, sw) if (sw > sh) != (w >= h) and rng.random() < 0.3 else (sw, sh)


def enlarge(rng: Rng, image: Image.Image, w: int, h: int) -> Image.Image:
    """The small screen in few colours at times, enlarged by whole pixels, or softly, or as on a tube."""
    how = rng.random()
    if how < 0.16:  # shades of one colour
        tint = pick_colour(rng, 0.9, 0.9) if rng.random() < 0.6 else (255, 0, 0)
        levels = np.asarray(image.convert("L"), np.float32) / 255
        levels = np.round(levels * 3) / 3
        dark = np.array((0, 0, 0) if rng.random() < 0.7 else mix(tint, (0, 0, 0), 0.7), np.float32)
        rgb = dark + (np.array(tint, np.float32) - dark) * levels[..., None]
        image = Image.fromarray(rgb.astype(np.uint8))
    elif how < 0.4:
        image = image.quantize(int(rng.choice([8, 16, 32]))).convert("RGB")
    side = max(w, h)
    scale = max(1.0, side / max(image.size))
    if rng.random() < 0.7:
        scale = float(max(1, round(scale)))
    size = (round(image.width * scale), round(image.height * scale))
    soft = rng.random() < 0.2
    large = image.resize(size, Image.Resampling.BILINEAR if soft else Image.Resampling.NEAREST)
    if rng.random() < 0.15:
        lines = np.asarray(large, np.float32)
        lines = lines * np.where(np.arange(size[1]) % 3 == 0, 0.6, 1.0)[:, None, None]
        large = Image.fromarray(lines.astype(np.uint8))
    return large
