"""Recognise what is sometimes stored in place of a file: a pointer to it, an error page, packed or encoded data."""

import re

HEAD_BYTES = 512
"""So many bytes from the beginning of a file are enough to recognise it."""

_START = rb"(?:\xef\xbb\xbf)?\s*"

# The file's bytes are elsewhere.
_ABSENT = {
    "a Git LFS pointer, not the file itself; run git lfs pull": rb"version https://(git-lfs|hawser)\.github\.com/spec/",
    "a git-annex pointer, not the file itself; run git annex get": rb"(/|(\.\./)*\.git/)annex/objects/",
    "a web page, not the file itself; download it again": rb"<(!doctype html|html|head|body|script|title|meta|!--)",
    "an XML document, not the file itself; look at its text and download the file again": rb"<\?xml|<Error>",
}

# The file's bytes are inside.
_WRAPPED = {
    "gzip data; decompress it first": rb"\x1f\x8b\x08",
    "zstandard data; decompress it first": rb"(?:\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18)",
    "bzip2 data; decompress it first": rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)",
    "xz data; decompress it first": rb"\xfd7zXZ\x00",
    "lz4 data; decompress it first": rb"\x04\x22\x4d\x18",
    "a zip archive; unpack it first": rb"PK(?:\x03\x04|\x05\x06|\x07\x08)",
    "a 7z archive; unpack it first": rb"7z\xbc\xaf\x27\x1c",
    "a rar archive; unpack it first": rb"Rar!\x1a\x07",
    "the text of a data: URI; decode it first": _START + rb"data:[\w.+-]+/[\w.+-]+[;,]",
    "an image in base64; decode it first": _START + rb"(?:/9j/[\w+/]{12}|iVBORw0KGgo|R0lGOD[dl]h|UklGR[\w+/]{11})",
}

_PATTERNS_ABSENT = {name: re.compile(_START + pattern, re.IGNORECASE) for name, pattern in _ABSENT.items()}
_PATTERNS_WRAPPED = {name: re.compile(pattern) for name, pattern in _WRAPPED.items()}


def name_stand_in(head: bytes) -> str | None:
    """Return what is stored in place of the file and what to do about it; None if it is nothing known.

    `head` is the beginning of the file; `HEAD_BYTES` are enough. Sources: the specifications of Git LFS pointers
    (v1) and git-annex pointer files, RFC 1952 (gzip), RFC 8878 (zstandard), RFC 2397 (data: URIs), and the published
    formats of bzip2, xz, lz4, zip, 7z and rar.
    """
    return name_absent(head) or name_wrapped(head)


def name_absent(head: bytes) -> str | None:
    """Return what is stored in place of a file that is elsewhere, such as a pointer; None if it is nothing known."""
    return _first_match(_PATTERNS_ABSENT, head)


def name_wrapped(head: bytes) -> str | None:
    """Return the format that the file is packed or encoded in, such as gzip; None if it is nothing known."""
    return _first_match(_PATTERNS_WRAPPED, head)


def _first_match(patterns: dict[str, re.Pattern[bytes]], head: bytes) -> str | None:
    start = head[:HEAD_BYTES]
    return next((name for name, pattern in patterns.items() if pattern.match(start)), None)
