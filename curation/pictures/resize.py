"""Makes a picture smaller and encodes it anew."""

import hashlib
import io
import re
from dataclasses import dataclass
from typing import Self

from PIL import Image

from curation.pictures.bounded import decode_bounded
from curation.pictures.decode import DECODER_VERSION, DecodeLimits

RESIZER_VERSION = f"rules=1 {DECODER_VERSION}"
"""What the bytes depend on: our rules, and the versions of the decoders and encoders."""

JPEG_QUALITY = 95
MIN_SIDE, MAX_SIDE = 16, 8192
LOSSLESS = frozenset({"PNG", "GIF", "BMP", "DIB", "TIFF", "ICO", "PPM", "PSD", "TGA", "PCX", "SGI", "QOI"})
_FORM = re.compile(r"(\d{1,5}):keep-ratio")
EXTENSIONS = {"JPEG": "jpg", "PNG": "png"}


@dataclass(frozen=True, kw_only=True)
class Resize:
    """Which pictures are made smaller: those whose shorter side has more than `side` pixels, until it has that many.

    So any square crop of `side` pixels fits in. `keep_ratio` of img2dataset does the same. No picture is enlarged.
    """

    side: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what a text such as `512:keep-ratio` asks for. Raises ValueError for any other text."""
        found = _FORM.fullmatch(text)
        if found is None or not MIN_SIDE <= int(found[1]) <= MAX_SIDE:
            raise ValueError(
                f"{text!r}: write the length of the shorter side in pixels, {MIN_SIDE} to {MAX_SIDE}, and "
                ":keep-ratio, as in 512:keep-ratio"
            )
        return cls(side=int(found[1]))

    def size(self, width: int, height: int) -> tuple[int, int] | None:
        """Return the (width, height) that a picture gets, or None if it stays as it is."""
        short = min(width, height)
        if short <= self.side:
            return None
        return max(self.side, _scaled(width, self.side, short)), max(self.side, _scaled(height, self.side, short))


def _scaled(length: int, numerator: int, denominator: int) -> int:
    """Return length × numerator / denominator, rounded half up."""
    return (2 * length * numerator + denominator) // (2 * denominator)


@dataclass(frozen=True, kw_only=True)
class Resized:
    """A picture that was encoded anew; `extension` is that of its format."""

    data: bytes
    width: int
    height: int
    extension: str

    @property
    def size(self) -> tuple[int, int]:
        """The width and the height in pixels."""
        return self.width, self.height

    @property
    def sha256(self) -> str:
        """The sha256 of the bytes, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


def resized_format(stored: str | None) -> str:
    """Return the format, JPEG or PNG, in which a picture stored as `stored` (Pillow's name) is encoded anew."""
    return "PNG" if stored in LOSSLESS else "JPEG"


def resize(data: bytes, size: tuple[int, int], limits: DecodeLimits) -> Resized | None:
    """Return the picture in `data` with `size`, (width, height) in pixels; None if it cannot be decoded any more.

    The first frame, upright, on white, in 8-bit RGB, as the scan measures it; metadata is left out. A JPEG is decoded
    at a smaller scale, with at least twice as many pixels in both directions. Pillow's Lanczos filter, which computes
    with integers, so that the pixels do not depend on the processor. Formats without loss become PNG, the others JPEG
    of quality 95 without subsampled colours.
    """
    width, height = size
    decoded = decode_bounded(data, limits, enough_pixels=4 * width * height)
    if decoded.rgb is None:
        return None
    picture = Image.fromarray(decoded.rgb).resize(size, Image.Resampling.LANCZOS)
    kind = resized_format(decoded.format)
    options = {} if kind == "PNG" else {"quality": JPEG_QUALITY, "subsampling": 0}
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return Resized(data=out.getvalue(), width=width, height=height, extension=EXTENSIONS[kind])
