"""The table next to a tar (img2dataset's `00000.parquet`): finds the rows of the tar's samples."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from curation.sources.listings import Listings
from curation.sources.text_encoding import decode_text
from manifests import storage
from manifests.errors import BrokenSource
from manifests.exchange.comparable_values import (
    ColumnReader,
    ValueKind,
    bytes_of,
    column_reader,
    parse_value,
    shorten,
)
from manifests.format.stand_ins import HEAD_BYTES, name_stand_in

_KEY_COLUMN = "key"
_UID_COLUMNS = ("uid", "uuid")
_TEXT_COLUMNS = ("url", "caption", "text", "TEXT")

ENCODING = "encoding"

_INTEGER = re.compile("-?[0-9]+")

Row = Mapping[str, str | int | None]


def sibling_uri(tar_uri: str) -> str:
    """Return where img2dataset writes the table of a tar: `00000.parquet` next to `00000.tar`."""
    return tar_uri.rsplit(".", 1)[0] + ".parquet"


def sibling_states(tar_uris: Sequence[str], listings: Listings | None = None) -> dict[str, str]:
    """Return tar URI → ETag of the table next to it, for the tars that have one.

    Lists each folder once, those of `listings` not again.
    """
    listings = listings or Listings()
    folders = {uri.rsplit("/", 1)[0] for uri in tar_uris if not uri.startswith(("http://", "https://"))}
    states = {
        storage.join(folder, name): storage.etag(entry)
        for folder in folders
        for name, entry in listings.entries(folder).items()
        if name.endswith(".parquet") and entry["type"] != "directory"
    }
    return {uri: states[s] for uri in tar_uris if (s := sibling_uri(uri)) in states}


class SiblingTable:
    """Rows of the table next to one tar, found by the stems of the tar's samples.

    A key that is written like the stem matches it. Integers and UUIDs also match by value, if exactly one stem of the
    tar has that value. A key of several different rows matches nothing.
    """

    def __init__(
        self,
        *,
        uri: str,
        stems: Collection[str],
        key_type: str,
        kind: ValueKind,
        rows: Sequence[tuple[str | None, Row]],
    ) -> None:
        self._uri = uri
        self._key_type = key_type
        self._kind = kind
        self._size = len(rows)
        self._rows = _by_key(rows)
        values = (parse_value(stem, kind) for stem in {_last(stem) for stem in stems})
        self._stems_with = Counter(value for value in values if value is not None)
        self._first_stem: str | None = None
        self._has_matched = False

    def find(self, stem: str) -> Row | None:
        """Return the table's row for the sample with this stem, or None. Only the last path component is compared.

        The row has the columns among url, caption, text and TEXT (str), uid and uuid (str or int); they are None
        without a value of these types. If its texts are not UTF-8, ENCODING is their encoding.
        """
        name = _last(stem)
        if self._first_stem is None:
            self._first_stem = name
        row = self._rows.get(name)
        if row is None:
            value = parse_value(name, self._kind)
            row = self._rows.get(value) if value is not None and self._stems_with[value] == 1 else None
        self._has_matched = self._has_matched or row is not None
        return row

    def warning(self) -> str | None:
        """Return a warning if the table has rows but none was found for any stem; else None."""
        if self._has_matched or self._first_stem is None or not self._size:
            return None
        return (
            f"{self._uri}: 0 of {self._size:,} rows matched on {_KEY_COLUMN}: {self._key_type} against "
            f"{shorten(self._first_stem)}; write the keys as in the tar"
        )


def sibling_table(tar_uri: str, stems: Collection[str]) -> SiblingTable:
    """Return the table next to a tar whose samples have these `stems`.

    A table without a column `key` is another table: the result has no rows. Raises BrokenSource, naming the tar, when
    the table is not readable.
    """
    uri = sibling_uri(tar_uri)
    try:
        columns = _read(uri)
        if _KEY_COLUMN not in columns:
            return NO_TABLE
        return _table(uri, stems, columns)
    except (pa.ArrowException, ValueError, OSError) as e:
        raise BrokenSource(
            f"{tar_uri}: the table next to it, {uri}, is not readable ({e}); repair it or remove it",
            source=tar_uri,
        ) from e


# --- columns as values of rows


def _read(uri: str) -> dict[str, pa.ChunkedArray]:
    with storage.open_input(uri) as f:
        stand_in = name_stand_in(f.read(HEAD_BYTES))
        if stand_in is not None:
            raise ValueError(stand_in)
        f.seek(0)
        reader = pq.ParquetFile(f, pre_buffer=False)
        known = (_KEY_COLUMN, *_UID_COLUMNS, *_TEXT_COLUMNS)
        table = reader.read([name for name in known if name in reader.schema_arrow.names], use_threads=False)
    return dict(zip(table.column_names, table.columns, strict=True))


def _table(uri: str, stems: Collection[str], columns: Mapping[str, pa.ChunkedArray]) -> SiblingTable:
    key = columns[_KEY_COLUMN]
    reading, keys = _plain_values(key)
    values: dict[str, Sequence[str | int | None]] = {}
    encodings: dict[int, str] = {}
    for name in _UID_COLUMNS:
        if name in columns:
            values[name] = _uids(columns[name])
    for name in _TEXT_COLUMNS:
        if name in columns:
            values[name], found = _texts(columns[name])
            encodings |= found
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    for place, encoding in encodings.items():
        rows[place][ENCODING] = encoding
    return SiblingTable(
        uri=uri,
        stems=stems,
        key_type=str(key.type),
        kind=reading.kind if reading else ValueKind.TEXT,
        rows=list(zip(keys, rows or [{}] * len(keys), strict=True)),
    )


def _plain_values(column: pa.ChunkedArray) -> tuple[ColumnReader | None, list[str | None]]:
    """Return how a column is read, and the keys of its rows; None for values that cannot be keys."""
    reading = column_reader(column.type, column.chunks)
    if reading is None:
        return None, [None] * len(column)
    return reading, [text for chunk in column.chunks for text in reading.texts(chunk).to_pylist()]


def _uids(column: pa.ChunkedArray) -> list[str | int | None]:
    reading, texts = _plain_values(column)
    if reading is None or reading.kind is not ValueKind.INTEGER:
        return list(texts)
    return [int(text) if text is not None and _INTEGER.fullmatch(text) else None for text in texts]


def _texts(column: pa.ChunkedArray) -> tuple[list[str | None], dict[int, str]]:
    """Return the texts of a column, and place → encoding for those that are not UTF-8."""
    texts: list[str | None] = []
    encodings: dict[int, str] = {}
    for chunk in column.chunks:
        data = bytes_of(chunk)  # also of texts: writers do not check that they are UTF-8
        for value in [None] * len(chunk) if data is None else data.to_pylist():
            text, encoding = (None, None) if value is None else decode_text(value)
            if encoding is not None:
                encodings[len(texts)] = encoding
            texts.append(text)
    return texts, encodings


def _by_key(rows: Iterable[tuple[str | None, Row]]) -> dict[str, Row]:
    """Return key → row, without the keys of several different rows."""
    by_key: dict[str, Row] = {}
    ambiguous: set[str] = set()
    for key, row in rows:
        if key is not None and by_key.setdefault(key, row) != row:
            ambiguous.add(key)
    return {key: row for key, row in by_key.items() if key not in ambiguous}


def _last(stem: str) -> str:
    return stem.rsplit("/", 1)[-1]


NO_TABLE = SiblingTable(uri="", stems=(), key_type="", kind=ValueKind.TEXT, rows=())
"""For a tar without a table: no stem has a row, and there is no warning."""
