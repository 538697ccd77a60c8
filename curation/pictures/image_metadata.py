"""Image files without their metadata: only what decides pixels, orientation and frames is kept.

Pillow reads text, profiles and comments together with the pixels, and fails if one of them is damaged or too large.
The functions here read only lengths, decompress nothing, and search at a bounded number of places where a length is
wrong, so that a hostile file takes no more than a few passes over its bytes.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from curation.pictures.image_formats import starts_like
from curation.pictures.image_headers import gif_chain_end, gif_colour_table_bytes

_MAX_SEARCHES = 16
"""Places in one file that are tried to find where the structure continues after a wrong length."""


def without_metadata(data: bytes) -> list[bytes]:
    """Return versions of `data` with less and less metadata: orientation and frames are removed last.

    The list is empty if nothing could be removed, or if the pixels were not found. The pixels and what decides their
    colour are copied unchanged, damage included. Sources: PNG (third edition), JPEG (T.81, annex B) and JFIF,
    the WebP container specification, GIF89a, TIFF 6.0.
    """
    strip = _STRIP.get(starts_like(data) or "")
    if strip is None:
        return []
    try:
        versions = list(strip(data))
    except (struct.error, IndexError, OverflowError):  # cut within a header that Pillow needs, too
        return []
    return [version for n, version in enumerate(versions) if version != data and version not in versions[:n]]


# --- PNG


@dataclass(frozen=True, kw_only=True, slots=True)
class PngChunk:
    """One chunk: `data[start:end]`; `is_intact` if it is complete, with a valid name and a correct checksum."""

    name: bytes
    start: int
    end: int
    is_intact: bool

    @property
    def is_critical(self) -> bool:
        """Whether the picture cannot be shown without it: bit 5 of its first letter."""
        return self.name[:1].isupper()


_PNG_NAME = re.compile(rb"[A-Za-z]{4}")
_PNG_SOUGHT = re.compile(rb"PLTE|tRNS|eXIf|acTL|fcTL|IDAT|fdAT|IEND")
# Name and start of the chunks kept in each version: those with orientation or frames, then EXIF alone, then none.
_PNG_EXTRAS = (
    re.compile(rb"eXIf|acTL|fcTL|fdAT|iTXtXML:com\.adobe\.xmp\0|(tEXt|zTXt)Raw profile type exif\0"),
    re.compile(rb"eXIf"),
    re.compile(rb"(?!)"),
)
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def png_chunks(data: bytes) -> Iterator[PngChunk]:
    """Yield the chunks of a PNG up to IEND. After a wrong length, search for the next with a correct checksum."""
    searches = _MAX_SEARCHES
    at = 8
    while at + 12 <= len(data):
        name = data[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(data[at : at + 4])
        is_intact = _is_intact(data, at)
        if not is_intact and not (end == len(data) or _PNG_NAME.fullmatch(data[end + 4 : end + 8])):
            end = len(data)
            for match in _PNG_SOUGHT.finditer(data, at + 12):
                searches -= 1
                if searches < 0:
                    break
                if _is_intact(data, match.start() - 4):
                    end = match.start() - 4
                    break
        yield PngChunk(name=name, start=at, end=end, is_intact=is_intact)
        if name == b"IEND":
            return
        at = end


def _is_intact(data: bytes, at: int) -> bool:
    end = at + 12 + int.from_bytes(data[at : at + 4])
    if end > len(data) or not _PNG_NAME.fullmatch(data[at + 4 : at + 8]):
        return False
    return zlib.crc32(memoryview(data)[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end])


def count_png_frames(data: bytes) -> int:
    """Return the number of pictures that a PNG's frame controls (APNG) declare; 1 if it has none."""
    frames, is_shown_first = 0, True
    for chunk in png_chunks(data):
        frames += chunk.name == b"fcTL"
        is_shown_first &= not (chunk.name == b"IDAT" and frames == 0)
    return max(1, frames + (frames > 0 and not is_shown_first))


def _strip_png(data: bytes) -> Iterator[bytes]:
    chunks = list(png_chunks(data))
    for extras in _PNG_EXTRAS:
        kept = [
            data[chunk.start : chunk.end]
            for chunk in chunks
            if chunk.name in (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
            or (chunk.is_intact and chunk.is_critical and chunk.name != b"IEND")
            or (chunk.is_intact and extras.match(data, chunk.start + 4))
        ]
        yield b"".join([data[:8], *kept, _PNG_END])


# --- JPEG

_JPEG_SOUGHT = re.compile(rb"\xff[\xc0-\xcf\xda\xdb\xdd\xe0-\xef\xfe]")
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff]")
_JPEG_EXTRAS = re.compile(rb"\xff(\xe1..(Exif\0\0|http://ns\.adobe\.com/xap/1\.0/\0)|\xe2..MPF\0)", re.DOTALL)
SOS = 0xDA
"""The marker of a JPEG's scan."""


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of the segments of a JPEG; the last is the first scan, with all that follows."""
    searches = _MAX_SEARCHES
    at = 2
    while match := _JPEG_MARKER.search(data, at):  # fill bytes and stray bytes are skipped, as every reader does
        at = match.start()
        marker = data[at + 1]
        if marker == SOS:
            yield marker, at, len(data)
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD9:  # without a length
            yield marker, at, at + 2
            at += 2
            continue
        end = _jpeg_end(data, at)
        if not _is_jpeg_marker(data, end):
            for match in _JPEG_SOUGHT.finditer(data, at + 2):
                searches -= 1
                is_next = data[match.start() + 1] == SOS or _is_jpeg_marker(data, _jpeg_end(data, match.start()))
                if searches < 0 or is_next:
                    end = match.start() if is_next else len(data)
                    break
        yield marker, at, end
        at = end


def _jpeg_end(data: bytes, at: int) -> int:
    return at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))


def _is_jpeg_marker(data: bytes, at: int) -> bool:
    return at + 1 < len(data) and data[at] == 0xFF and data[at + 1] != 0


def _strip_jpeg(data: bytes) -> Iterator[bytes]:
    segments = list(jpeg_segments(data))
    if not segments or segments[-1][0] != SOS:
        return
    for has_extras in (True, False):
        kept = [_needed(marker, data[start:end], has_extras) for marker, start, end in segments]
        yield b"".join([data[:2], *kept])


def _needed(marker: int, segment: bytes, has_extras: bool) -> bytes:
    """Return what of a JPEG segment is needed for the pixels: all, nothing, or metadata with a corrected length.

    JFIF and Adobe segments decide the colours if they are as long as libjpeg requires. The extras are segments that
    may contain the orientation (EXIF, XMP) and the list of further pictures (MPF).
    """
    if marker in (SOS, 0xDB, 0xDD) or 0xC0 <= marker <= 0xCF:
        return segment
    is_needed = (
        (marker == 0xE0 and segment[4:9] == b"JFIF\0" and len(segment) >= 18)
        or (marker == 0xEE and segment[4:9] == b"Adobe" and len(segment) >= 16)
        or (has_extras and _JPEG_EXTRAS.match(segment))
    )
    body = segment[4 : 4 + 65_533]
    return segment[:2] + struct.pack(">H", len(body) + 2) + body if is_needed else b""


# --- WebP

_WEBP_PIXELS = (b"ALPH", b"VP8 ", b"VP8L", b"ANIM", b"ANMF")
_WEBP_NAME = re.compile(rb"[A-Za-z0-9 ]{4}")
_WEBP_SOUGHT = re.compile(rb"ALPH|VP8 |VP8L|ANIM|ANMF")
_HAS_ALPHA, _IS_ANIMATED = 0x10, 0x02
_WEBP_EXTRAS = {b"EXIF": 0x08, b"XMP ": 0x04}  # may contain the orientation; with the flags that announce them


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the names and bodies of the chunks that fit; the size in the RIFF header is ignored."""
    searches = _MAX_SEARCHES
    at = 12
    while at + 8 <= len(data):
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body_end = at + 8 + length
        end = body_end + (length & 1)
        if body_end <= len(data) and (end + 8 > len(data) or _WEBP_NAME.fullmatch(data[end : end + 4])):
            yield name, data[at + 8 : body_end]
        elif name in _WEBP_PIXELS:
            return
        else:
            end = len(data)
            for match in _WEBP_SOUGHT.finditer(data, at + 8):
                searches -= 1
                fits = match.end() + 4 + int.from_bytes(data[match.end() : match.end() + 4], "little") <= len(data)
                if searches < 0 or fits:
                    end = match.start() if fits else len(data)
                    break
        at = end


def _strip_webp(data: bytes) -> Iterator[bytes]:
    chunks = list(_webp_chunks(data))
    pixels = [(name, body) for name, body in chunks if name in _WEBP_PIXELS]
    if not any(name in (b"VP8 ", b"VP8L", b"ANMF") for name, _ in pixels):
        return
    extended = next((body for name, body in chunks if name == b"VP8X" and len(body) == 10), None)
    is_animated = any(name == b"ANMF" for name, _ in pixels)
    found = {name: body for name, body in reversed(chunks) if name in _WEBP_EXTRAS} if extended else {}
    for extras in (found, {}):
        header = []
        if extended:
            flags = extended[0] & _HAS_ALPHA | _IS_ANIMATED * is_animated | sum(_WEBP_EXTRAS[name] for name in extras)
            header = [(b"VP8X", bytes([flags]) + extended[1:])]
        body = b"".join(_riff_chunk(name, content) for name, content in (*header, *pixels, *extras.items()))
        yield _riff_chunk(b"RIFF", b"WEBP" + body)


def _riff_chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


# --- GIF

_GIF_NEXT = b"\x21\x2c\x3b"  # an extension, an image, the trailer
_GIF_CONTROL = re.compile(rb"\x21\xf9\x04.{4}\0", re.DOTALL)  # contains the transparent colour
_GIF_BLOCK = re.compile(rb"[\x21\x2c\x3b]")


def _is_gif_image(data: bytes, at: int) -> bool:
    """Return whether an image may begin at `at`: it fits the screen, and its flags and codes are valid."""
    if at + 11 > len(data):
        return False
    screen_width, screen_height = struct.unpack_from("<HH", data, 6)
    left, top, width, height, flags = struct.unpack_from("<HHHHB", data, at + 1)
    at_code = at + 10 + gif_colour_table_bytes(flags)
    return (
        0 < width <= screen_width - left
        and 0 < height <= screen_height - top
        and not flags & 0x18
        and 1 <= data[at_code] <= 11
        and data[at_code + 1] > 0
    )


def _strip_gif(data: bytes) -> Iterator[bytes]:
    searches = 64 * _MAX_SEARCHES  # a comma is a common byte
    at = 13 + gif_colour_table_bytes(data[10])
    kept = [data[:at]]
    while (block := _GIF_BLOCK.search(data, at)) and block.group() != b";":  # strays are skipped, as by every reader
        at = block.start()
        if data[at] == 0x2C:
            end = gif_chain_end(data, at + 11 + gif_colour_table_bytes(data[at + 9]))
            kept.append(data[at:end])
        else:
            end = gif_chain_end(data, at + 2)
            if _GIF_CONTROL.fullmatch(data, at, end):
                kept.append(data[at:end])
            if end >= len(data) or data[end] not in _GIF_NEXT:
                end = data.find(b",", at + 2)
                while end >= 0 and searches and not _is_gif_image(data, end):
                    end, searches = data.find(b",", end + 1), searches - 1
                if end < 0 or not searches:
                    break
                if _GIF_CONTROL.fullmatch(data, end - 8, end):
                    end -= 8
        at = end
    yield b"".join([*kept, b";"])


# --- TIFF

# NewSubfileType to Photometric, FillOrder, strips, orientation, rows, planes, fax options, predictor, colour map,
# tiles, inks, extra samples, sample format, JPEG tables, old JPEG, YCbCr.
_TIFF_PIXELS = {
    *(*range(254, 260), 262, 266, 273, 274, 277, 278, 279, 280, 281, 284, 292, 293, 317, 320),
    *(*range(322, 326), 332, 336, 338, 339, 347, *range(512, 522), 529, 530, 531, 532),
}
_ORIENTATION, _SHORT = 274, 3


def _strip_tiff(data: bytes) -> Iterator[bytes]:
    """Yield `data` with a shorter first directory appended; the other directories stay linked."""
    order = "<" if data.startswith(b"II") else ">"
    is_big = 43 in (data[2], data[3])
    link, count, entry = (
        (struct.Struct(order + "Q"), struct.Struct(order + "Q"), struct.Struct(order + "HHQ8s"))
        if is_big
        else (struct.Struct(order + "I"), struct.Struct(order + "H"), struct.Struct(order + "HHI4s"))
    )
    at_link = 8 if is_big else 4
    (start,) = link.unpack_from(data, at_link)
    (entries,) = count.unpack_from(data, start)
    at = start + count.size
    kept = []
    for number in range(min(entries, (len(data) - at) // entry.size)):
        tag, kind, values, value = entry.unpack_from(data, at + number * entry.size)
        is_nonsense = tag == _ORIENTATION and (kind, values) != (_SHORT, 1)
        if tag in _TIFF_PIXELS and not is_nonsense:
            kept.append(entry.pack(tag, kind, values, value))
    end = at + entries * entry.size
    following = data[end : end + link.size].ljust(link.size, b"\0")
    padding = b"\0" * (-len(data) % 8)
    yield b"".join(
        [
            data[:at_link],
            link.pack(len(data) + len(padding)),
            data[at_link + link.size :],
            padding,
            count.pack(len(kept)),
            *kept,
            following,
        ]
    )


_STRIP: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "PNG": _strip_png,
    "JPEG": _strip_jpeg,
    "WEBP": _strip_webp,
    "GIF": _strip_gif,
    "TIFF": _strip_tiff,
}
