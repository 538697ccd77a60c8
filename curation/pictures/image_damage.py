"""Damage to pixels that decoders ignore, or only report on stderr."""

import io
import os
import re
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curation.pictures.image_metadata import SOS, jpeg_segments, png_chunks

# Messages of libjpeg (jerror.h) and of libtiff's decoders. Nothing else that a process prints may enter a manifest.
_COMPLAINTS = re.compile(
    r"^(Corrupt JPEG data: .*|Premature end of JPEG file|Inconsistent progression sequence .*"
    r"|Invalid SOS parameters .*|Warning: unknown JFIF .*|Unknown Adobe color .*"
    r"|(?:Fax|LZW|ZIP|PackBits)\w*Decode\w*: .*)$",
    re.MULTILINE,
)

_SCAN_OR_END = re.compile(rb"\xff[\xda\xd9]")


class Stderr:
    """What C libraries print to the process's stderr while it is captured, the first 64 KiB or so of it."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._said = b""

    def complaints(self) -> list[str]:
        """Return the decoders' messages about damage since the last `clear`, each once, in order."""
        with suppress(BlockingIOError):  # nothing was printed
            self._said += os.read(self._pipe, 1 << 20)
        lines = _COMPLAINTS.findall(self._said.decode("ascii", "replace"))
        return [f"the decoder said: {line}" for line in dict.fromkeys(lines)]

    def clear(self) -> None:
        """Discard what was printed."""
        self.complaints()
        self._said = b""


@contextmanager
def captured_stderr() -> Iterator[Stderr]:
    """Yield what C libraries print to stderr, and keep it out of the logs.

    libjpeg, libtiff and OpenCV report damaged files in no other way. What does not fit in the pipe is lost: a file
    must neither block this process nor fill its memory.
    """
    with suppress(AttributeError, OSError, ValueError):  # a process may have no stderr, or a closed one
        sys.stderr.flush()
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed, and the pipe must not get its number
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        stderr = nowhere if nowhere != 2 else os.dup(2)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    try:
        os.dup2(writing, 2)
        yield Stderr(reading)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(reading)
        os.close(writing)


def decode_jpeg(data: bytes, *, is_check_only: bool = False) -> NDArray[np.uint8] | None:
    """Return a JPEG in RGB, oriented as stored, of shape (height, width, 3); None if it cannot be decoded.

    The pixels are the same as Pillow's: both use libjpeg-turbo. But OpenCV prints what damage it met: see
    `Stderr.complaints`. With `is_check_only`, the picture is grey and an eighth as wide and high, which is faster if
    only the complaints are needed.
    """
    flags = cv2.IMREAD_REDUCED_GRAYSCALE_8 if is_check_only else cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    return None if pixels is None else pixels.astype(np.uint8, copy=False)


def lacks_passes(data: bytes) -> bool:
    """Return whether a progressive JPEG lacks passes, so that it is coarser than it was made.

    The passes declare which coefficients of which components they refine, and to which bit (T.81, annex G). libjpeg
    accepts a file with any of them.
    """
    left: dict[int, NDArray[np.uint8]] = {}  # lowest bit that was refined, by component and coefficient
    try:
        for marker, start, _ in jpeg_segments(data):
            if marker in (0xC2, 0xCA):
                ids = data[start + 10 : start + 10 + 3 * data[start + 9] : 3]
                left = {component: np.full(64, 255, np.uint8) for component in ids}
            if marker != SOS:
                continue
            for match in _SCAN_OR_END.finditer(data, start):
                if match.group() == b"\xff\xd9":
                    break
                at = match.end() + 2
                components = data[at + 1 : at + 1 + 2 * data[at] : 2]
                first, last, bits = data[at + 1 + 2 * data[at] : at + 4 + 2 * data[at]]
                for component in components:
                    left[component][first : last + 1] = bits & 15
    except (LookupError, ValueError):  # bytes that only look like the header of a pass
        return False
    return any(bits.any() for bits in left.values())


def png_damage(data: bytes) -> Iterator[str]:
    """Yield what is wrong with the checksums and the end of a PNG that Pillow decoded.

    Pillow ignores the checksums of the compressed pixels and of everything after them. It checks Adler-32, the
    checksum inside the compressed pixels, only if the same chunk contains the last row.
    """
    last = b""
    for chunk in png_chunks(data):
        last = chunk.name
        if not chunk.is_intact:
            part = "pixels" if chunk.is_critical and chunk.name != b"IEND" else "metadata"
            yield f"PNG {part} may be damaged: wrong checksum or name of {chunk.name!r}"
    if last != b"IEND":
        yield "PNG ends without IEND"


def tiff_damage(data: bytes, tags: Mapping[int, Any], max_inflated_bytes: int) -> Iterator[str]:
    """Yield the strips or tiles of a TIFF compressed with Deflate that fail their checksum, which libtiff may ignore.

    `tags` are those of the decoded page, as Pillow's `tag_v2`. At most `max_inflated_bytes` are inflated in total;
    the rest is not checked.
    """
    if tags.get(259) not in (8, 32946) or tags.get(266, 1) != 1:
        return
    for number, block in enumerate(_tiff_blocks(data, tags)):
        stream, packed = zlib.decompressobj(), block
        with suppress(zlib.error):
            while packed and not stream.eof:
                max_inflated_bytes -= len(stream.decompress(packed, 1 << 20))
                if max_inflated_bytes < 0:
                    return
                packed = stream.unconsumed_tail
        if not stream.eof:
            yield f"TIFF pixels may be damaged: wrong checksum of strip or tile {number}"


def check_tiff_jpegs(data: bytes, tags: Mapping[int, Any], max_pixels: int) -> None:
    """Decode the strips or tiles of a TIFF compressed with JPEG, so that `Stderr` has libjpeg's messages about them.

    `tags` are those of the decoded page, as Pillow's `tag_v2`. At most `max_pixels` are decoded in total; the rest is
    not checked.
    """
    if tags.get(259) != 7:
        return
    tables = tags.get(347)
    for block in _tiff_blocks(data, tags):
        jpeg = tables[:-2] + block[2:] if isinstance(tables, bytes) else block
        with suppress(OSError, SyntaxError, ValueError), Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as header:
            max_pixels -= header.width * header.height
            if max_pixels < 0:
                return
            decode_jpeg(jpeg, is_check_only=True)


def _tiff_blocks(data: bytes, tags: Mapping[int, Any]) -> Iterator[bytes]:
    """Yield the compressed strips, or tiles, of the page that has these tags."""
    starts, lengths = (tags.get(324), tags.get(325)) if 324 in tags else (tags.get(273), tags.get(279))
    if isinstance(starts, tuple) and isinstance(lengths, tuple):
        for start, length in zip(starts, lengths, strict=False):
            if isinstance(start, int) and isinstance(length, int) and length:  # some leave unused planes empty
                yield data[start : start + length]
