"""Any one sample of the corpus: a picture, a copy of an earlier one, or a broken file."""

import io
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageEnhance, ImageOps

from examples.corpus.charts import bar_chart, line_chart, pie_chart
from examples.corpus.documents import app, code, form, letter, news_page, paper_page, receipt, slide, table
from examples.corpus.photographs import (
    bokeh,
    bricks,
    city,
    fabric,
    fence,
    foliage,
    landscape,
    logo,
    meme,
    person,
    product,
    sign,
    still_life,
    watermark,
    wood,
)
from examples.corpus.textures import Rng, pick_colour, through_camera
from examples.corpus.words import pick_prose

Painter = Callable[[Rng, int, int], Image.Image]

RICH: tuple[Painter, ...] = (
    letter, paper_page, table, receipt, bar_chart, slide, code, app, news_page, line_chart, form, pie_chart
)  # fmt: skip
SOME: tuple[Painter, ...] = (sign, watermark, meme, product)
NONE: tuple[Painter, ...] = (
    landscape, foliage, bricks, still_life, fence, fabric, city, bokeh, person, wood, logo
)  # fmt: skip
FLAT = frozenset({logo})  # no camera saw these

BLOCK_KINDS = {
    "rich": 33,
    "some": 10,
    "none": 32,
    "odd": 5,
    "exact": 8,
    "mild": 8,
    "broken": 4,
}  # of each 100
PAINTERS = {"rich": RICH, "some": SOME, "none": NONE}
TRANSFORMS = ("jpeg_q30", "resize_half", "color", "gray")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image file and what it is."""

    content: bytes
    extension: str
    label: str  # rich, some, none; "" where there is no picture
    about: str  # what is drawn, for the caption
    transform: str = "original"
    difficulty: str = ""
    expected: str = "decodable"  # or "not", or "partial": it opens, and its pixels end too soon
    copy_of: str = ""  # key of the original


def key_of(index: int) -> str:
    """The name of sample `index` in its tar."""
    return f"{index:09d}"


@lru_cache(maxsize=4096)
def _plan(seed: int, index: int) -> tuple[str, int]:
    """The kind of sample `index` and its rank in that kind: each hundred contains `BLOCK_KINDS`, shuffled."""
    block, place = divmod(index, 100)
    slot = int(np.random.default_rng([seed, block, 1]).permutation(100)[place])
    for kind, count in BLOCK_KINDS.items():
        if slot < count:
            return kind, block * count + slot
        slot -= count
    raise AssertionError("BLOCK_KINDS must add up to 100")


def pick_size(rng: Rng, longest: int = 900) -> tuple[int, int]:
    """A width and height in pixels, as pictures on the web have them."""
    side = math.exp(rng.uniform(math.log(240), math.log(760)))
    stretch = math.exp(float(np.clip(rng.normal(0, 0.22), -0.5, 0.5)))
    shrink = min(1.0, longest / (side * max(stretch, 1 / stretch)))
    return max(200, round(side * stretch * shrink)), max(200, round(side / stretch * shrink))


def _bytes(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, **options)  # type: ignore[arg-type]
    return out.getvalue()


def _encode(rng: Rng, image: Image.Image) -> tuple[bytes, str]:
    """`image` as a file in a format and quality chosen independently of its content, and its extension."""
    draw, quality = rng.random(), int(rng.integers(70, 96))
    if draw < 0.62:
        return _bytes(image, format="JPEG", quality=quality, progressive=bool(draw < 0.15)), "jpg"
    if draw < 0.75:
        return _bytes(image, format="PNG"), "png"
    return _bytes(image, format="WEBP", quality=quality, method=2), "webp"


def _paint(rng: Rng, label: str, rank: int, longest: int = 900) -> tuple[Image.Image, str]:
    painters = PAINTERS[label]
    painter = painters[rank % len(painters)]
    image = painter(rng, *pick_size(rng, longest))
    if label != "rich" and painter not in FLAT:
        image = through_camera(rng, image)
    return image, painter.__name__.replace("_", " ")


def _picture(rng: Rng, label: str, rank: int) -> Picture:
    image, about = _paint(rng, label, rank)
    content, extension = _encode(rng, image)
    return Picture(content=content, extension=extension, label=label, about=about)


ODD = ("cmyk", "gray16", "palette", "animated", "rotated", "rgba", "banner", "pixel")


def odd_picture(rng: Rng, rank: int) -> Picture:
    """A good picture in a form that careless code gets wrong."""
    form_name = ODD[rank % len(ODD)]
    label = str(rng.choice(["rich", "none"]))
    image, about = _paint(rng, label, int(rng.integers(0, 100)), longest=420)
    if form_name in ("banner", "pixel"):
        label, about = "none", f"{form_name} of a landscape"
        image = landscape(rng, 2400, 60) if form_name == "banner" else Image.new("RGB", (1, 1), pick_colour(rng))
    content, extension = _odd_bytes(image, form_name)
    return Picture(content=content, extension=extension, label=label, about=f"{about} ({form_name})")


def _odd_bytes(image: Image.Image, form_name: str) -> tuple[bytes, str]:
    if form_name == "cmyk":
        return _bytes(image.convert("CMYK"), format="JPEG", quality=88), "jpg"
    if form_name == "gray16":
        deep = np.asarray(image.convert("L"), np.uint16) * 257
        return _bytes(Image.fromarray(deep), format="PNG"), "png"
    if form_name == "palette":
        return _bytes(image.quantize(64), format="PNG", transparency=0), "png"
    if form_name == "animated":
        frames = [ImageChops.offset(image, 12 * k, 0).quantize(64) for k in range(3)]
        options = {"save_all": True, "append_images": frames[1:], "duration": 200, "loop": 0}
        return _bytes(frames[0], format="GIF", **options), "gif"
    if form_name == "rotated":
        exif = Image.Exif()
        exif[0x0112] = 6  # turn by 90° clockwise to show
        stored = image.transpose(Image.Transpose.ROTATE_90)
        return _bytes(stored, format="JPEG", quality=90, exif=exif), "jpg"
    if form_name == "rgba":
        image.putalpha(ImageOps.invert(image.convert("L")).point(lambda v: max(v, 40)))
        return _bytes(image, format="WEBP", quality=85, method=2), "webp"
    return _bytes(image, format="PNG" if form_name == "pixel" else "JPEG"), "png" if form_name == "pixel" else "jpg"


BROKEN = ("truncated", "empty", "html", "garbage", "bomb")


def broken_picture(rng: Rng, rank: int) -> Picture:
    """A file that is not a picture, or half of one, or one that would fill the memory."""
    fault = BROKEN[rank % len(BROKEN)]
    content, extension = b"", "jpg"
    if fault == "truncated":
        complete = _bytes(_paint(rng, "none", int(rng.integers(0, 100)))[0], format="JPEG", quality=85)
        content = complete[: int(len(complete) * rng.uniform(0.3, 0.7))]
    elif fault == "html":
        body = pick_prose(rng, "latin", 5)
        content = f"<!DOCTYPE html>\n<html><title>404 Not Found</title><body>{body}</body></html>\n".encode()
    elif fault == "garbage":
        content = b"\x07\x13" + rng.bytes(int(rng.integers(500, 20_000)))
    elif fault == "bomb":
        content, extension = _bomb(int(rng.integers(55_000, 65_000))), "png"
    expected = "partial" if fault == "truncated" else "not"
    return Picture(
        content=content,
        extension=extension,
        label="",
        about=fault,
        transform="malformed_set",
        expected=expected,
    )


def _bomb(side_px: int) -> bytes:
    """A small PNG whose header claims `side_px` squared pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(200_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _copy(rng: Rng, original: Picture, key: str, transform: str) -> Picture:
    """A copy of `original`, whose key is `key`, byte for byte or altered as sites alter pictures."""
    copied = replace(original, copy_of=key, transform=transform)
    if transform == "exact_copy":
        return replace(copied, difficulty="exact")
    image = Image.open(io.BytesIO(original.content)).convert("RGB")
    if transform == "resize_half":
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    elif transform == "gray":
        image = image.convert("L")
    elif transform == "color":
        image = ImageEnhance.Color(image).enhance(float(rng.uniform(0.75, 1.3)))
        image = ImageEnhance.Brightness(image).enhance(float(rng.uniform(0.92, 1.08)))
    content, extension = _encode(rng, image)
    if transform == "jpeg_q30":
        content, extension = _bytes(image, format="JPEG", quality=30), "jpg"
    label = original.label + ("?" if transform == "resize_half" and original.label != "none" else "")
    return replace(copied, content=content, extension=extension, label=label, difficulty="mild")


def picture(seed: int, index: int) -> Picture:
    """Sample `index` of the corpus of `seed`; it depends on nothing else, so each can be made alone."""
    rng = np.random.default_rng([seed, index])
    kind, rank = _plan(seed, index)
    if kind in ("exact", "mild"):
        at = int(rng.integers(0, index)) if index else -1
        while at >= 0 and _plan(seed, at)[0] not in PAINTERS:
            at -= 1
        if at >= 0:
            transform = "exact_copy" if kind == "exact" else TRANSFORMS[rank % len(TRANSFORMS)]
            return _copy(rng, picture(seed, at), key_of(at), transform)
        kind = "none"  # nothing to copy yet
    if kind == "odd":
        return odd_picture(rng, rank)
    if kind == "broken":
        return broken_picture(rng, rank)
    return _picture(rng, kind, rank)
