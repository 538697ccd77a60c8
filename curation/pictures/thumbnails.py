"""Small pictures for people to look at, made within the limits of the decoder."""

import io
from dataclasses import dataclass

from PIL import Image

from curation.pictures.bounded import DecoderFailed, decode_bounded, within_limits
from curation.pictures.decode import DEFAULT_LIMITS, Decoded, DecodeLimits

JPEG_QUALITY = 80


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A small JPEG with its size in pixels, or the reason why there is none."""

    jpeg: bytes | None = None
    width: int = 0
    height: int = 0
    problem: str = ""


def thumbnail(
    data: bytes, max_side: int, *, limits: DecodeLimits = DEFAULT_LIMITS, is_retry: bool = False
) -> Thumbnail:
    """Return a JPEG of the stored picture `data`, at most `max_side` pixels wide and high, never enlarged.

    Large JPEGs are decoded at a fraction of their size. The picture is decoded as `within_limits` says: with
    `is_retry`, first in a child process, so that one that crashes its decoder has a `problem`.
    """

    def decoded(stored: bytes) -> Decoded:
        return decode_bounded(stored, limits, enough_pixels=max_side * max_side)

    try:
        found = within_limits(decoded, data, is_retry=is_retry)
    except DecoderFailed as e:
        return Thumbnail(problem=str(e))
    if found.rgb is None:
        return Thumbnail(problem=f"{found.status}: {found.error}")
    small = Image.fromarray(found.rgb)
    small.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=JPEG_QUALITY)
    return Thumbnail(jpeg=out.getvalue(), width=small.width, height=small.height)
