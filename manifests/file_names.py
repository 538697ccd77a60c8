"""Names of files and tar members as text, reversible also for names that are not UTF-8; and numbers in names.

A name in a file system or a tar is bytes. As text it is decoded as UTF-8, and every byte that is not UTF-8 becomes
`\\xNN`, with two lower-case hexadecimal digits. A backslash before what looks like such an escape becomes `\\x5c`, so
that no two names have the same text. All other names, with or without backslashes, are unchanged.
"""

import re

_ESCAPED = re.compile(rb"\\x(5c|[89a-f][0-9a-f])")
_LOOKS_ESCAPED = re.compile(r"\\(?=x(?:5c|[89a-f][0-9a-f]))")
_UNDECODED = re.compile("[\udc80-\udcff]")

LEAST_DIGITS = 5


def name_text(raw: bytes) -> str:
    r"""Return a name as text that UTF-8 can encode: `b"caf\xe9.jpg"` becomes `caf\xe9.jpg`."""
    text = raw.decode("utf-8", "surrogateescape")
    if "\\" in text:
        text = _LOOKS_ESCAPED.sub(r"\\x5c", text)
    return text if text.isascii() else _UNDECODED.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)


def name_bytes(text: str) -> bytes:
    """Return the name for which `name_text` returns `text`."""
    raw = text.encode("utf-8", "surrogateescape")
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), raw) if b"\\x" in raw else raw


def numbered(number: int, count: int) -> str:
    """Return `number` of `count` as text with so many digits that the order of the texts is that of the numbers."""
    return f"{number:0{max(LEAST_DIGITS, len(str(max(0, count - 1))))}d}"
