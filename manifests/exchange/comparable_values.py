"""Column values of any type as texts that can be compared: integers in decimal, UUIDs with dashes, bytes decoded.

Other tools store the same ids as integers, floats, decimals, bytes or UUIDs. Texts match if they are equal. An
integer also matches digits with the same value, and a UUID its digits in any case, with or without dashes:
`parse_value` returns the value of a text, and `parse_value_sql` does the same in SQL.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

import pyarrow as pa
import pyarrow.compute as pc

from manifests.format.schema import is_binary

UUID_BYTES = 16
SHA256_BYTES = 32
_EXACT_BITS = {pa.float16(): 11, pa.float32(): 24, pa.float64(): 53}  # of a float's significand
_MAX_DECIMAL = 76  # digits of Arrow's widest decimal
_DIGITS = "[0-9]+"
_UUID = "([0-9A-Fa-f]{8})-?([0-9A-Fa-f]{4})-?([0-9A-Fa-f]{4})-?([0-9A-Fa-f]{4})-?([0-9A-Fa-f]{12})"
_NO_TEXT = r"[\x00-\x08\x0E-\x1F\x7F]"  # bytes with such characters may be valid UTF-8, but are not text


class ValueKind(IntEnum):
    """What the texts of a column stand for."""

    TEXT = 0
    INTEGER = 1
    UUID = 2


@dataclass(frozen=True, kw_only=True)
class ColumnReader:
    """How to read a column: `texts` converts an array to strings, with null for values that cannot be ids.

    `is_damaged` marks a column of bytes of which some are neither text nor UUIDs: those are null.
    """

    kind: ValueKind
    texts: Callable[[pa.Array], pa.Array]
    is_damaged: bool = False


def column_reader(column_type: pa.DataType, chunks: Iterable[pa.Array]) -> ColumnReader | None:
    """Return how to read a column of this type; None for types that cannot be ids, such as bool and lists.

    `chunks` is the whole column; it is only read if the type is binary. Bytes are text if all of them are printable
    UTF-8, else UUIDs if all have 16 bytes, else hexadecimal digits if all have 32, like a sha256. Floats are integers
    if they are whole numbers and small enough to be exact; NaN and infinity become null.
    """
    if isinstance(column_type, pa.UuidType):
        return ColumnReader(kind=ValueKind.UUID, texts=_uuids)
    if isinstance(column_type, pa.Bool8Type):
        return None
    plain = _plain_type(column_type)
    if _is_text(plain) or pa.types.is_null(plain):
        return ColumnReader(kind=ValueKind.TEXT, texts=_strings)
    if pa.types.is_integer(plain):
        return ColumnReader(kind=ValueKind.INTEGER, texts=_strings)
    if pa.types.is_floating(plain):
        return ColumnReader(kind=ValueKind.INTEGER, texts=_floats)
    if pa.types.is_decimal(plain):
        return ColumnReader(kind=ValueKind.INTEGER, texts=_decimals)
    return _reader_of_bytes(chunks) if is_binary(plain) else None


def bytes_of(array: pa.Array) -> pa.Array | None:
    """Return an array of texts or bytes as bytes; None for other types."""
    plain = _plain_type(array.type)
    return _plain(array).cast(pa.large_binary()) if _is_text(plain) or is_binary(plain) else None


def parse_value(text: str, kind: ValueKind) -> str | None:
    """Return the value of this kind that `text` stands for, as `ColumnReader.texts` writes it, or None."""
    if kind is ValueKind.INTEGER and re.fullmatch(_DIGITS, text):
        return text.lstrip("0") or "0"
    if kind is ValueKind.UUID and (found := re.fullmatch(_UUID, text)):
        return "-".join(found.groups()).lower()
    return None


def parse_value_sql(column: str, kind: ValueKind) -> str:
    """Return `parse_value` of a text column as a DuckDB expression."""
    if kind is ValueKind.INTEGER:
        digits = f"coalesce(nullif(ltrim({column}, '0'), ''), '0')"
        return f"CASE WHEN regexp_full_match({column}, '{_DIGITS}') THEN {digits} END"
    dashed = f"lower(regexp_replace({column}, '{_UUID}', '\\1-\\2-\\3-\\4-\\5'))"
    return f"CASE WHEN regexp_full_match({column}, '{_UUID}') THEN {dashed} END"


def float_text(value: float, *, exact_bits: int = 53) -> str | None:
    """Return a float as text: an integer if it is a whole number, else with a point; None for NaN and infinity.

    Whole numbers of more than `exact_bits` bits also have a point, and so match no integer: 2.0**53, for example, may
    have been 2**53 or 2**53 + 1.
    """
    if not math.isfinite(value):
        return None
    return str(int(value)) if value.is_integer() and abs(value) < 2**exact_bits else repr(value)


def shorten(text: str) -> str:
    """Return a text for a message: at most 80 characters, on one line."""
    short = text if len(text) <= 80 else text[:80] + "…"
    return short if short.isprintable() else ascii(short)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values without dictionary encoding or an extension type."""
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _plain(array: pa.Array) -> pa.Array:
    if isinstance(array, pa.ExtensionArray):
        return _plain(array.storage)
    if isinstance(array, pa.DictionaryArray):
        return _plain(array.dictionary_decode())
    # Arrow has few functions for views.
    return array.cast(pa.large_binary()) if pa.types.is_binary_view(array.type) else array


def _strings(array: pa.Array) -> pa.Array:
    return _plain(array).cast(pa.string())


def _floats(array: pa.Array) -> pa.Array:
    plain = _plain(array)
    bits = _EXACT_BITS[plain.type]
    texts = (None if each is None else float_text(float(each), exact_bits=bits) for each in plain.to_pylist())
    return pa.array(texts, pa.string())


def _decimals(array: pa.Array) -> pa.Array:
    plain = _plain(array)
    wide = plain.cast(pa.decimal256(_MAX_DECIMAL, plain.type.scale))
    whole = pc.trunc(wide)
    integers = whole.cast(pa.decimal256(_MAX_DECIMAL, 0)).cast(pa.string())
    return pc.if_else(pc.equal(wide, whole), integers, wide.cast(pa.string()))


# --- bytes


def _reader_of_bytes(chunks: Iterable[pa.Array]) -> ColumnReader:
    is_text = True
    lengths: set[int] = set()
    for chunk in chunks:
        plain = _plain(chunk)
        is_text = is_text and _decoded(plain).null_count == plain.null_count
        lengths.update(pc.unique(pc.binary_length(plain)).drop_null().to_pylist())
    if is_text:
        return ColumnReader(kind=ValueKind.TEXT, texts=_decoded)
    if lengths == {UUID_BYTES}:
        return ColumnReader(kind=ValueKind.UUID, texts=_uuids)
    if lengths == {SHA256_BYTES}:
        return ColumnReader(kind=ValueKind.TEXT, texts=_hexadecimal)
    return ColumnReader(kind=ValueKind.TEXT, texts=_decoded, is_damaged=True)


def _decoded(array: pa.Array) -> pa.Array:
    """Return bytes as text, null where they are not text."""
    plain = _plain(array)
    try:
        texts = plain.cast(pa.string())
    except pa.ArrowInvalid:
        texts = pa.array([None if each is None else _utf8(each) for each in plain.to_pylist()], pa.string())
    return pc.if_else(pc.match_substring_regex(texts, _NO_TEXT), None, texts)


def _utf8(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _uuids(array: pa.Array) -> pa.Array:
    return pa.array(
        [None if each is None else _dashed(each.hex()) for each in _plain(array).to_pylist()], pa.string()
    )


def _dashed(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _hexadecimal(array: pa.Array) -> pa.Array:
    return pa.array([None if each is None else each.hex() for each in _plain(array).to_pylist()], pa.string())
