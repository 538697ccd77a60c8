"""The formats of image files by their first bytes."""

import re

HEAD_BYTES = 64
"""The first bytes of a file that `looks_like_image` needs."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG2000_CODESTREAM = b"\xff\x4f\xff\x51"
ICO_HEADER, CUR_HEADER = b"\0\0\1\0", b"\0\0\2\0"
DIB_HEADER_BYTES = frozenset({40, 52, 56, 64, 108, 124})
"""Sizes of the headers of a Windows bitmap that give its sides as 32-bit integers."""

_JPEG2000_BOX, _JPEG_XL_BOX, _BOX_END = b"\0\0\0\x0cjP  ", b"\0\0\0\x0cJXL ", b"\r\n\x87\n"
_JPEG_XL_CODESTREAM = b"\xff\x0a"
_PHOTOSHOP = b"8BPS"


def _begins(*starts: bytes) -> re.Pattern[bytes]:
    return re.compile(b"|".join(map(re.escape, starts)))


_DECODED = {
    "JPEG": _begins(b"\xff\xd8\xff"),
    "PNG": _begins(PNG_SIGNATURE),
    "GIF": _begins(b"GIF87a", b"GIF89a"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "AVIF": re.compile(rb"....ftypavi[fs]", re.DOTALL),
    "TIFF": _begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # little and big endian, then BigTIFF
    "JPEG2000": _begins(JPEG2000_CODESTREAM, _JPEG2000_BOX),
    "PSD": _begins(_PHOTOSHOP),
}

_FOREIGN = {
    "HEIF": re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL),
    "JPEG XL": _begins(_JPEG_XL_CODESTREAM, _JPEG_XL_BOX),
    "SVG": re.compile(rb"\s*(<\?xml.{0,512}?)?(<!.{0,512}?)?<svg[\s>]", re.DOTALL | re.IGNORECASE),
    "PDF": _begins(b"%PDF-"),
    "EPS": _begins(b"%!PS", b"\xc5\xd0\xd3\xc6"),
    "WMF": _begins(b"\xd7\xcd\xc6\x9a", b"\x01\x00\x09\x00\x00\x03"),
    "EMF": re.compile(rb"\x01\x00\x00\x00.{36} EMF", re.DOTALL),
    "MP4 video": re.compile(rb"....ftyp", re.DOTALL),
    "Matroska video": _begins(b"\x1a\x45\xdf\xa3"),
}

# Starts that are enough evidence in a file without a known extension: longer than above where those are short.
_SURE_FORMATS = frozenset({"JPEG", "PNG", "GIF", "WEBP", "TIFF"})
_SURE_STARTS = (
    *(_JPEG2000_BOX + _BOX_END, JPEG2000_CODESTREAM, _JPEG_XL_BOX + _BOX_END, _JPEG_XL_CODESTREAM),
    *(_PHOTOSHOP + b"\0\x01", b"DDS \x7c", b"qoif"),
)
_HEIF_BRANDS = frozenset(b"avif avis heic heix heim heis hevc hevx mif1 msf1".split())
_OLD_DIB_HEADER_BYTES = 12


def starts_like(data: bytes) -> str | None:
    """Return the format that `data` begins like, of those that are decoded here (Pillow's names), or None."""
    return _match(_DECODED, data)


def foreign_format(data: bytes) -> str | None:
    """Return the format that `data` begins like, of known ones that are not decoded here, or None."""
    return _match(_FOREIGN, data)


def _match(patterns: dict[str, re.Pattern[bytes]], data: bytes) -> str | None:
    start = data[:2048]
    return next((name for name, pattern in patterns.items() if pattern.match(start)), None)


def looks_like_image(head: bytes) -> bool:
    """Return whether `head`, the first HEAD_BYTES bytes of a file, begins an image of a common format.

    It is stricter than `starts_like`, because most files without a known extension are not images.
    """
    if starts_like(head) in _SURE_FORMATS or head.startswith(_SURE_STARTS):
        return True
    if head[4:8] == b"ftyp":
        return any(head[i : i + 4] in _HEIF_BRANDS for i in (8, *range(16, min(len(head), head[3]), 4)))
    if head.startswith(b"BM"):
        header_bytes = int.from_bytes(head[14:18], "little")
        return head[6:10] == b"\0\0\0\0" and header_bytes in DIB_HEADER_BYTES | {_OLD_DIB_HEADER_BYTES}
    if head.startswith((ICO_HEADER, CUR_HEADER)):  # a directory of 1 to 255 pictures
        return len(head) >= 22 and head[4] > 0 and head[5] == 0 and head[9] == 0
    return False
