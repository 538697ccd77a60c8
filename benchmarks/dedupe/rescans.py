"""What happens to a page on its way through the web and through scanners, its content staying the same."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from examples.corpus.fonts import pick_style
from examples.corpus.textures import Rng, make_noise, make_ramp, mix, to_image
from examples.corpus.words import pick_name

Change = Callable[[Rng, Image.Image], Image.Image]

LONGEST_PIXELS = 2600
PAPER_LEVELS = 200


def as_jpeg(image: Image.Image, quality: int) -> bytes:
    """Return `image` as JPEG."""
    return _encoded(image, "JPEG", quality=quality)


def as_png(image: Image.Image) -> bytes:
    """Return `image` as PNG."""
    return _encoded(image, "PNG", compress_level=1)


def as_webp(image: Image.Image, quality: int) -> bytes:
    """Return `image` as WebP."""
    return _encoded(image, "WEBP", quality=quality, method=2)


def encoded(rng: Rng, image: Image.Image, worst: int = 75) -> bytes:
    """Return `image` in a format of the web, JPEG at least of quality `worst`."""
    draw, quality = rng.random(), int(rng.integers(worst, 96))
    if draw < 0.25:
        return as_png(image)
    return as_webp(image, quality) if draw < 0.4 else as_jpeg(image, quality)


def _encoded(image: Image.Image, form: str, **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def is_light(image: Image.Image) -> bool:
    """Return whether most of `image` is as light as paper."""
    return float(np.median(np.asarray(image.convert("L").reduce(8)))) > PAPER_LEVELS


def resized(image: Image.Image, scale: float) -> Image.Image:
    """Return `image` at another resolution."""
    scale = min(scale, LONGEST_PIXELS / max(image.size))
    size = round(image.width * scale), round(image.height * scale)
    return image.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)


def yellowed(rng: Rng, image: Image.Image) -> Image.Image:
    """Old paper: white becomes yellow or grey."""
    paper = mix((255, 255, 255), (226, 200, 150), float(rng.uniform(0.3, 1)))
    return to_image(np.asarray(image, np.float32) * np.asarray(paper, np.float32) / 255)


def shaded(rng: Rng, image: Image.Image) -> Image.Image:
    """A scanner's or a lamp's uneven light."""
    shade = 1 - float(rng.uniform(0.1, 0.3)) * make_ramp(rng, *image.size)
    shade = shade + 0.02 * make_noise(rng, *image.size, 3, 3)
    return to_image(np.asarray(image, np.float32) * shade[..., None])


def blurred(rng: Rng, image: Image.Image) -> Image.Image:
    """A little out of focus."""
    return image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.4, 1.0)) * max(image.size) / 1200))


def noisy(rng: Rng, image: Image.Image) -> Image.Image:
    """The noise of a sensor."""
    grain = rng.standard_normal((image.height, image.width, 1), dtype=np.float32) * float(rng.uniform(2, 8))
    return to_image(np.asarray(image, np.float32) + grain)


def turned(rng: Rng, image: Image.Image) -> Image.Image:
    """Laid on the scanner at an angle of at most one degree."""
    degrees = float(rng.uniform(0.2, 1)) * float(rng.choice([-1, 1]))
    return image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=image.getpixel((2, 2)))


def toned(rng: Rng, image: Image.Image) -> Image.Image:
    """The whole picture lighter or darker, with more or less contrast and colour."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(float(rng.uniform(0.8, 1.2)))
    return image


def grey(rng: Rng, image: Image.Image) -> Image.Image:
    """Without colour."""
    return image.convert("L").convert("RGB")


def stamped(rng: Rng, image: Image.Image) -> Image.Image:
    """A round or square stamp over a part of it, slanted, through which the page shows."""
    side = round(min(image.size) * float(rng.uniform(0.18, 0.32)))
    layer = Image.new("L", (side, side), 0)
    draw, px = ImageDraw.Draw(layer), max(2, side // 30)
    outline = draw.ellipse if rng.random() < 0.6 else draw.rectangle
    for inset in (px, px * 4):
        outline((inset, inset + side // 6, side - inset, side - inset - side // 6), outline=210, width=px)
    style = pick_style(rng, side / 8, (0, 0, 0), "latin")
    draw.text((side / 2, side / 2), pick_name(rng, "latin", 1).upper()[:8], font=style.font, fill=230, anchor="mm")
    layer = layer.rotate(float(rng.uniform(-35, 35)), Image.Resampling.BICUBIC)
    colour = (170, 25, 35) if rng.random() < 0.5 else (35, 45, 150)
    out, at = image.copy(), [round((full - side) * float(rng.uniform(0.05, 0.95))) for full in image.size]
    out.paste(colour, (at[0], at[1]), layer)
    return out


def signed(rng: Rng, image: Image.Image) -> Image.Image:
    """A name by hand near the foot."""
    out = image.copy()
    style = pick_style(rng, min(image.size) * float(rng.uniform(0.06, 0.09)), (25, 35, 120), "hand")
    at = image.width * float(rng.uniform(0.1, 0.5)), image.height * float(rng.uniform(0.82, 0.9))
    ImageDraw.Draw(out).text(at, pick_name(rng, "latin", 2).title(), font=style.font, fill=style.colour, anchor="lm")
    return out


def scanned(rng: Rng, image: Image.Image) -> Image.Image:
    """All that a cheap scanner does at once."""
    for change in (turned, shaded, blurred, noisy):
        image = change(rng, image)
    return yellowed(rng, image) if rng.random() < 0.5 else image


def smaller(rng: Rng, image: Image.Image) -> Image.Image:
    """A resolution down to half."""
    return resized(image, float(rng.uniform(0.5, 0.95)))


def larger(rng: Rng, image: Image.Image) -> Image.Image:
    """A resolution up to double."""
    return resized(image, float(rng.uniform(1.1, 2)))


CHANGES: dict[str, Change] = {
    each.__name__: each
    for each in (smaller, larger, yellowed, shaded, blurred, noisy, turned, toned, grey, stamped, signed, scanned)
}
"""Changes of the picture, after which it is encoded anew."""
ON_PAPER = frozenset({"yellowed", "shaded", "turned", "stamped", "signed", "scanned"})
"""Changes that only happen to paper."""
ENCODINGS: dict[str, Callable[[Rng, Image.Image], bytes]] = {
    "jpeg 40 to 60": lambda rng, image: as_jpeg(image, int(rng.integers(40, 61))),
    "jpeg 60 to 95": lambda rng, image: as_jpeg(image, int(rng.integers(60, 96))),
    "webp": lambda rng, image: as_webp(image, int(rng.integers(50, 91))),
    "png": lambda rng, image: as_png(image),
}
