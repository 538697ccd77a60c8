"""Stored images to arrays for a trainer: fast, parallel in threads, and the same pixels in every run.

Plain JPEGs are decoded by libjpeg-turbo at the smallest scale that is large enough. Everything else, and every JPEG
with a defect, goes through `curation.pictures.decode`, as in the scan: upright, in RGB, on white where transparent.
"""

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image

from curation.pictures.decode import DecodeLimits, decode_beside
from curation.pictures.decode_errors import DECODER_ERRORS
from curation.pictures.image_metadata import jpeg_segments
from manifests.errors import InputError

Pixels = NDArray[np.uint8]

FITS = ("crop", "pad", "stretch", "random_crop")
MAX_SIZE = 4096
CROP_AREA = (0.2, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)
CROP_TRIES = 10
_JPEG = b"\xff\xd8\xff"
_PLAIN_COLOURS = ("YCbCr", "Gray")
_APP1 = 0xE1  # the segment of EXIF and of XMP


class NotDecoded(Exception):
    """An image gave no pixels; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How images become squares of `size` by `size` pixels; with size None they keep their own size.

    crop: the short side is scaled to `size`, and the middle is taken. pad: the long side is scaled, and white bars
    are added. stretch: both sides are scaled. random_crop: a random part, 20 to 100 % of the area with sides of 3:4
    to 4:3, is scaled, and mirrored every other time (Szegedy et al., "Going Deeper with Convolutions", 2015).
    """

    size: int | None = None
    how: str = "crop"

    def __post_init__(self) -> None:
        if self.how not in FITS:
            raise InputError(f"fit: {self.how!r} is none of {', '.join(FITS)}")
        if self.size is not None and not 1 <= self.size <= MAX_SIZE:
            raise InputError(f"size: {self.size}; choose 1 to {MAX_SIZE} pixels")


def pixels(data: bytes, fit: Fit, limits: DecodeLimits, random: np.random.Generator) -> Pixels:
    """Return the image in RGB, uint8 of shape (height, width, 3), as `fit` says. `random` places random crops.

    Raises NotDecoded.
    """
    if fit.size is None:
        return _decoded(data, limits, enough_side=None)
    # A random crop shows as little as a fifth of the area, so that the whole must be larger.
    enough = fit.size if fit.how in ("crop", "stretch") else 2 * fit.size if fit.how == "random_crop" else None
    rgb = _decoded(data, limits, enough_side=enough)
    return _FITTED[fit.how](rgb, fit.size, random)


def _decoded(data: bytes, limits: DecodeLimits, enough_side: int | None) -> Pixels:
    """Return the whole image, with both sides at least `enough_side`, if given and if it is so large."""
    if data.startswith(_JPEG) and len(data) <= limits.max_bytes:
        rgb = _plain_jpeg(data, limits, enough_side or 0)
        if rgb is not None:
            return rgb
    decoded = decode_beside(data, limits)
    if decoded.rgb is None:
        raise NotDecoded(f"{decoded.status}: {decoded.error}")
    return decoded.rgb


def _plain_jpeg(data: bytes, limits: DecodeLimits, enough_side: int) -> Pixels | None:
    """Return the pixels of a JPEG, upright; None if it has other colours, is too large or is damaged."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours not in _PLAIN_COLOURS or height * width > limits.max_pixels:
            return None
        rgb: Pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=enough_side, min_width=enough_side)
        return _UPRIGHT[_orientation(data)](rgb)
    except (ValueError, *DECODER_ERRORS):
        return None


def _orientation(data: bytes) -> int:
    """Return the orientation that a JPEG declares, 1 if there is none. Raises what Pillow raises for damaged EXIF."""
    if not any(kind == _APP1 for kind, _, _ in jpeg_segments(data)):
        return 1
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
        found = picture.getexif().get(ExifTags.Base.Orientation)
    return found if isinstance(found, int) and found in _UPRIGHT else 1


_UPRIGHT: Mapping[int, Callable[[Pixels], Pixels]] = {
    1: lambda rgb: rgb,
    2: lambda rgb: rgb[:, ::-1],
    3: lambda rgb: rgb[::-1, ::-1],
    4: lambda rgb: rgb[::-1],
    5: lambda rgb: rgb.transpose(1, 0, 2),
    6: lambda rgb: rgb[::-1].transpose(1, 0, 2),
    7: lambda rgb: rgb[::-1, ::-1].transpose(1, 0, 2),
    8: lambda rgb: rgb[:, ::-1].transpose(1, 0, 2),
}


def _cropped(rgb: Pixels, size: int, _random: np.random.Generator) -> Pixels:
    height, width = rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return _scaled(rgb[top : top + side, left : left + side], size, size)


def _stretched(rgb: Pixels, size: int, _random: np.random.Generator) -> Pixels:
    return _scaled(rgb, size, size)


def _padded(rgb: Pixels, size: int, _random: np.random.Generator) -> Pixels:
    height, width = (max(1, round(side * size / max(rgb.shape[:2]))) for side in rgb.shape[:2])
    square = np.full((size, size, 3), 255, np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = _scaled(rgb, height, width)
    return square


def _randomly_cropped(rgb: Pixels, size: int, random: np.random.Generator) -> Pixels:
    top, left, height, width = _random_box(rgb.shape[0], rgb.shape[1], random)
    square = _scaled(rgb[top : top + height, left : left + width], size, size)
    return np.ascontiguousarray(square[:, ::-1]) if random.integers(2) else square


def _random_box(height: int, width: int, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Return top, left, height and width of a random part; the largest one in the middle if ten tries do not fit."""
    for _ in range(CROP_TRIES):
        area = height * width * random.uniform(*CROP_AREA)
        ratio = math.exp(random.uniform(math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1])))
        tall, wide = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < tall <= height and 0 < wide <= width:
            return int(random.integers(height - tall + 1)), int(random.integers(width - wide + 1)), tall, wide
    tall, wide = min(height, round(width / CROP_RATIO[0])), min(width, round(height * CROP_RATIO[1]))
    return (height - tall) // 2, (width - wide) // 2, tall, wide


def _scaled(rgb: Pixels, height: int, width: int) -> Pixels:
    is_smaller = height <= rgb.shape[0] and width <= rgb.shape[1]
    how = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(rgb), (width, height), interpolation=how).astype(np.uint8, copy=False)


_FITTED: Mapping[str, Callable[[Pixels, int, np.random.Generator], Pixels]] = {
    "crop": _cropped,
    "pad": _padded,
    "stretch": _stretched,
    "random_crop": _randomly_cropped,
}
