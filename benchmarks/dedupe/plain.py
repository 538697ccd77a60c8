"""Photographs in which little has texture: mist, sky, snow and night, with one small thing changed or written on."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.dedupe.content import other_digit
from examples.corpus.fonts import Style, pick_style
from examples.corpus.textures import Colour, Rng, blend, make_noise, mix, through_camera, to_image

SCENES: dict[str, tuple[Colour, Colour]] = {  # above and below
    "mist": ((205, 208, 212), (150, 156, 160)),
    "sky": ((70, 130, 200), (190, 215, 235)),
    "snow": ((225, 232, 240), (248, 249, 252)),
    "night": ((8, 10, 22), (30, 34, 56)),
}


def plain_photograph(rng: Rng, scene: str, w: int, h: int) -> Image.Image:
    """Return a gradient with soft clouds, and a few small things at its horizon."""
    above, below = SCENES[scene]
    ramp = np.linspace(0, 1, h)[:, None].repeat(w, 1) + 0.12 * make_noise(rng, w, h, 2, 3)
    image = to_image(blend(above, below, ramp))
    draw, horizon = ImageDraw.Draw(image), h * float(rng.uniform(0.6, 0.8))
    dark = (235, 225, 170) if scene == "night" else mix(below, (30, 34, 36), 0.8)
    for x in rng.uniform(0.05, 0.95, int(rng.integers(3, 7))) * w:
        tall, wide = h * float(rng.uniform(0.03, 0.08)), w * float(rng.uniform(0.008, 0.02))
        draw.polygon([(x - wide, horizon), (x, horizon - tall), (x + wide, horizon)], fill=dark)
        draw.line((x, horizon, x, horizon + tall * 0.3), fill=dark, width=max(2, w // 300))
    return image.filter(ImageFilter.GaussianBlur(w / 1200))


def _with_digits(rng: Rng, image: Image.Image, scene: str) -> tuple[Image.Image, Image.Image]:
    """The same number at the foot of both, but for one digit."""
    text, style = "".join(map(str, rng.integers(0, 10, 4))), _style(rng, image, scene, 0.04)
    return tuple(_written(image, each, style) for each in (text, other_digit(rng, text)))  # type: ignore[return-value]


def _with_word(rng: Rng, image: Image.Image, scene: str) -> tuple[Image.Image, Image.Image]:
    """A word at the foot of one."""
    return image, _written(image, "Good morning", _style(rng, image, scene, 0.06))


def _with_words(rng: Rng, image: Image.Image, scene: str) -> tuple[Image.Image, Image.Image]:
    """Another word at the foot of each."""
    style = _style(rng, image, scene, 0.06)
    return _written(image, "Good morning", style), _written(image, "Happy Sunday", style)


def _with_things(rng: Rng, image: Image.Image, scene: str) -> tuple[Image.Image, Image.Image]:
    """Another thing in the same place of each: a kite and a balloon."""
    (w, h), out = image.size, []
    x, y, r = w * float(rng.uniform(0.2, 0.8)), h * float(rng.uniform(0.2, 0.45)), w * float(rng.uniform(0.02, 0.08))
    tone = (245, 245, 220) if scene == "night" else (40, 42, 46)
    for is_kite in (True, False):
        changed = image.copy()
        draw = ImageDraw.Draw(changed)
        if is_kite:
            draw.polygon([(x - r, y), (x, y - r / 2), (x + r, y), (x, y + r)], fill=tone)
        else:
            draw.ellipse((x - r * 0.7, y - r, x + r * 0.7, y + r * 0.6), fill=tone)
        out.append(changed.filter(ImageFilter.GaussianBlur(0.6)))
    return out[0], out[1]


def _with_thing(rng: Rng, image: Image.Image, scene: str) -> tuple[Image.Image, Image.Image]:
    """A bird, a boat or a star in one of them."""
    changed, (w, h) = image.copy(), image.size
    x, y, r = w * float(rng.uniform(0.1, 0.9)), h * float(rng.uniform(0.1, 0.45)), w * 0.02
    tone = (245, 245, 220) if scene == "night" else (40, 42, 46)
    ImageDraw.Draw(changed).polygon([(x - r, y), (x, y + r / 2), (x + r, y), (x, y + r)], fill=tone)
    return image, changed.filter(ImageFilter.GaussianBlur(0.6))


def _as_it_is(rng: Rng, image: Image.Image, scene: str) -> tuple[Image.Image, Image.Image]:
    """Nothing changed."""
    return image, image


def _style(rng: Rng, image: Image.Image, scene: str, share: float) -> Style:
    tone = (240, 240, 240) if scene == "night" else (30, 30, 34)
    return replace(pick_style(rng, image.height * share, tone, "latin"), is_bold=True)


def _written(image: Image.Image, text: str, style: Style) -> Image.Image:
    out = image.copy()
    at = (image.width * 0.06, image.height * 0.92)
    ImageDraw.Draw(out).text(at, text, font=style.font, fill=style.colour, anchor="lm")
    return out


SITUATIONS: dict[str, Callable[[Rng, Image.Image, str], tuple[Image.Image, Image.Image]]] = {
    "one other digit": _with_digits,
    "another word": _with_words,
    "another thing": _with_things,
    "one thing added": _with_thing,
    "a word written on": _with_word,
    "only encoded anew": _as_it_is,
}


def draw_plain(rng: Rng, scene: str, situation: str, w: int, h: int) -> tuple[Image.Image, Image.Image]:
    """Return two photographs of `scene` that differ as `situation` says, both through the same camera."""
    first, second = SITUATIONS[situation](rng, plain_photograph(rng, scene, w, h), scene)
    seed = int(rng.integers(0, 2**31))
    shots = [through_camera(np.random.default_rng(seed), each) for each in (first, second)]
    return shots[0], shots[1]
