"""Names of files and tar members as text: reversible also for names that are no UTF-8.

A name in a file system or a tar is bytes. As text it is read as UTF-8, and every byte that is no UTF-8 becomes
`\\xNN`, two lower-case hexadecimal digits. So that no two names give one text, a backslash that already stands before
such an escape becomes `\\x5c`. All other names, with or without backslashes, stay as they are.
"""

import re

_ESCAPED = re.compile(rb"\\x(5c|[89a-f][0-9a-f])")
_LOOKS_ESCAPED = re.compile(r"\\(?=x(?:5c|[89a-f][0-9a-f]))")
_UNDECODED = re.compile("[\udc80-\udcff]")


def name_text(raw: bytes) -> str:
    r"""Return a name as text that UTF-8 can hold: `b"caf\xe9.jpg"` becomes `caf\xe9.jpg`."""
    text = raw.decode("utf-8", "surrogateescape")
    if "\\" in text:
        text = _LOOKS_ESCAPED.sub(r"\\x5c", text)
    return text if text.isascii() else _UNDECODED.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)


def name_bytes(text: str) -> bytes:
    """Return the name that `name_text` gave `text` for."""
    raw = text.encode("utf-8", "surrogateescape")
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), raw) if b"\\x" in raw else raw
