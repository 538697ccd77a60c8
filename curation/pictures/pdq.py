"""PDQ fingerprints: 256 bits that stay nearly the same when a picture is resized or recompressed.

The method is Meta's PDQ (ThreatExchange, `hashing.pdf`): luma, blurred and sampled at 64 × 64, a
discrete cosine transform, and each of its 16 × 16 low frequencies compared with their median.
"""

from dataclasses import dataclass

import numpy as np
import pdqhash
from numpy.typing import NDArray
from PIL import Image

PDQ_MATCH_DISTANCE = 31
"""Bits that may differ between two copies of a picture: the first value to try in Meta's PDQ documentation."""

PDQ_MIN_QUALITY = 50
"""Quality below which matches should be ignored, as Meta's PDQ documentation recommends: the picture is too plain."""

PDQ_MAX_SIDE_PIXELS = 512
"""Longer sides are shrunk to this before hashing, as PDQ programs do; the aspect is kept."""

_GRID_PIXELS = 64

_RULES = 1  # to increase when the code below changes a bit

PDQ_VERSION: str = f"rules={_RULES} pdqhash={pdqhash.__version__} side={PDQ_MAX_SIDE_PIXELS}"
"""What the bits depend on besides the pixels. Pillow shrinks the picture: see `decode.DECODER_VERSION`."""


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """The PDQ of a picture: `bits`, 32 bytes, and `quality`, 0 (plain) to 100 (full of gradients).

    `bits.hex()` is the string that other PDQ programs print: the highest frequency is the first byte's highest bit.
    """

    bits: bytes
    quality: int


def pdq(rgb: NDArray[np.uint8]) -> Fingerprint:
    """Return the fingerprint of `rgb`, uint8 of shape (height, width, 3), any size from 1 × 1.

    Pictures below 5 pixels on a side, and plain ones, get quality 0. Raises ValueError for another shape or type.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ValueError(f"rgb is {rgb.dtype} of shape {rgb.shape}; pass uint8 of shape (height, width, 3)")
    # pdqhash ignores strides: it reads the memory as consecutive rows.
    vector, quality = pdqhash.compute(np.ascontiguousarray(_shrink(rgb)))
    return Fingerprint(bits=np.packbits(vector.astype(np.uint8)).tobytes(), quality=int(quality))


def hamming(a: bytes, b: bytes) -> int:
    """Return the number of bits in which two fingerprints differ, 0 to 256.

    Raises ValueError if their lengths differ.
    """
    if len(a) != len(b):
        raise ValueError(f"fingerprints of {len(a)} and {len(b)} bytes; compare two of the same kind")
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


def _shrink(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return `rgb` with its longer side at most `PDQ_MAX_SIDE_PIXELS`, each pixel a mean of an area.

    The shorter side keeps at least the 64 pixels that PDQ samples, so a long banner keeps its content. Pillow's box
    filter works in integers, so every machine gets the same pixels; OpenCV's may differ.
    """
    height, width = rgb.shape[:2]
    scale = PDQ_MAX_SIDE_PIXELS / max(height, width)
    if scale >= 1:
        return rgb
    size = tuple(max(min(side, _GRID_PIXELS), round(side * scale)) for side in (width, height))
    return np.asarray(Image.fromarray(rgb).resize((size[0], size[1]), Image.Resampling.BOX))
