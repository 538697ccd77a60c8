"""Decodes texts of unknown encodings."""

import re

import chardet
from chardet import EncodingEra

DETECTOR_VERSION = f"chardet={chardet.__version__}"
MAX_DETECTED_BYTES = 65_536  # the encoding of a long text is detected from its beginning
_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_WIDE = ("UTF-8", "UTF-16", "UTF-32", "GB", "BIG5", "CP932", "SHIFT", "EUC", "CP949", "ISO-2022", "HZ", "JOHAB")
_MIN_CONFIDENCE = 0.1
_DEFAULT = "Windows-1252"


def decode_text(data: bytes) -> tuple[str, str | None]:
    """Return a text, and the name of the encoding of its bytes if that is not UTF-8, else None.

    A byte order mark decides first, then whether the bytes are UTF-8, then chardet among the encodings of today's
    web. A guess of a single-byte encoding is used only with some evidence, see `_is_faint`; otherwise the text is
    Windows-1252, the web's default (WHATWG Encoding Standard). UTF-8 with a few damaged bytes stays UTF-8: they
    become U+FFFD, and the name is "UTF-8 with damaged bytes". Never raises.
    """
    for mark, name in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data.decode(name, "replace"), name
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("utf-8-sig", "replace")
        damaged = text.count("\ufffd")
        is_marked = data.startswith(b"\xef\xbb\xbf")
        if is_marked or sum(ord(char) > 0x7F for char in text) - damaged >= damaged:
            return text, "UTF-8 with damaged bytes"
    else:
        if "\0" not in text:
            return text, None
    return _detected(data, text)


def _detected(data: bytes, as_utf8: str) -> tuple[str, str | None]:
    """Return the text and encoding that chardet finds in bytes that are not UTF-8, or contain NULs.

    `as_utf8` is the text that they are as UTF-8.
    """
    guess = chardet.detect(data[:MAX_DETECTED_BYTES], encoding_era=EncodingEra.MODERN_WEB)
    name = str(guess["encoding"] or "")
    is_faint = not name.upper().startswith(_WIDE) and _is_faint(data, name, guess["confidence"])
    if "\ufffd" not in as_utf8 and (is_faint or not name.upper().startswith(("UTF-16", "UTF-32"))):
        return as_utf8, None  # UTF-8 with NULs
    for each in (_DEFAULT, name) if is_faint else (name, _DEFAULT):
        try:
            return data.decode(each), each
        except (UnicodeDecodeError, LookupError):
            continue
    return as_utf8, "an unknown encoding"


def _is_faint(data: bytes, name: str, confidence: float) -> bool:
    """Return whether a guess of a single-byte encoding is based on only a few accented letters.

    Latin alphabets other than Western Europe's need chardet's confidence, other alphabets a word of only their
    letters: some letters of "à la carte" are Cyrillic in Windows-1251, but no word is.
    """
    try:
        text = data.decode(name)
    except (UnicodeDecodeError, LookupError):
        return True
    words = [word for word in re.findall(r"[^\W\d_]+", text) if len(word) > 1 and not re.search("[A-Za-z]", word)]
    return not words or (confidence < _MIN_CONFIDENCE and any("\u00c0" <= char <= "\u024f" for char in text))
