"""Read lists of samples from other tools: keys, uids, urls or hashes in text, tables, JSON, NumPy or manifests."""

import contextlib
import csv
import dataclasses
import gzip
import itertools
import json
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from manifests import storage
from manifests.errors import CurateError, InputError
from manifests.exchange.comparable_values import ValueKind, column_reader, float_text
from manifests.exchange.uid_pairs import is_uid_pair, uids_of
from manifests.format.parquet_files import open_parquet
from manifests.format.stand_ins import name_absent
from manifests.format.store import MANIFEST_FILE, first_line, is_committed, open_manifest, read_batches
from manifests.sql.duckdb_errors import duckdb_errors
from manifests.sql.engine import DEFAULT_MEMORY_BYTES, connect

COLUMNS = ("key", "uid", "url", "sha256")
"""The columns of a table that may contain the list, by priority. A scan uses `uid` as the key."""
BATCH_ROWS = 65_536
BLOCK_BYTES = 8 << 20
MAX_HEADER_BYTES = 1 << 20
MAX_JSON_BYTES = 256 << 20
_IMG2DATASET = {"key", "status", "error_message"}  # its column `key` is a row number, not a key

VALUES = pa.schema([("value", pa.string()), ("kind", pa.int8())])
"""The values of a list, and the `ValueKind` of each."""

Values = Iterator[pa.Table]
Found = tuple[str | None, str | None, Values]
"""The column of a manifest that the values of a list belong to, their type, and the values."""
Reader = Callable[[str, str | None], Found]
"""Reads the list at a place; the second argument is the column that is wanted, or None."""
Value = tuple[str | None, ValueKind]


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeyList:
    """Distinct values that name samples, in the order of their first appearance.

    `column` is the column of a manifest that they belong to: key, sha256 or url; None if the list does not name one,
    which means key. `type` is how the list stores them, such as text or int64; None if each has its own type, as in
    JSON. `values` has the schema VALUES, no nulls, and any number of chunks.
    """

    column: str | None
    type: str | None
    values: pa.Table


def read_keys(uri: str, column: str | None = None) -> KeyList:
    """Return the list at `uri`, a file or a manifest; `column` names what it lists, if that is known.

    Text has one value per line; empty lines and those that begin with # are skipped. Tables (csv, tsv, json, jsonl,
    parquet) have a column key, uid, url or sha256, the first of them that is there, or `column`; with `column`, csv
    and tsv need no header. `.npy` is DataComp's, or has texts or numbers. The content of the file decides, or else
    the end of its name, which `.gz` may follow. Values are texts, integers or UUIDs (see `column_reader`); others,
    such as NaN, are skipped. Memory is bounded by the distinct values and 2 GiB. Raises InputError when there is
    nothing at `uri`, or no such list.
    """
    place = storage.absolute(uri)
    with _reader_errors(place):
        read = _keys_of_manifest if is_committed(place) else _reader_of(place)
        found, kind, tables = read(place, column)
        return _listed(column or found, kind, _distinct(tables))


def keys_of(values: Iterable[Any] | pa.Array | pa.ChunkedArray) -> KeyList:
    """Return values in memory as `read_keys` returns those of a file: texts, integers or UUIDs.

    Raises InputError when they are of another type, or of several.
    """
    try:
        column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(list(values))
    except pa.ArrowException as e:
        raise InputError(f"list of keys: {e}; give texts, integers or UUIDs, all of one type") from e
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    reading = column_reader(column.type, chunks)
    if reading is None or reading.is_damaged:
        raise InputError(
            f"list of keys: values of {column.type}, which name no sample; give texts, integers or UUIDs"
        )
    found = _distinct(_of_kind(reading.kind, reading.texts(each)) for each in chunks)
    return _listed(None, str(column.type), found)


def _listed(column: str | None, kind: str | None, values: pa.Table) -> KeyList:
    if column is None and len(values) and pc.all(pc.match_substring(values.column(0), "://")).as_py():
        column = "url"  # no key has a colon
    return KeyList(column=column, type=kind, values=values)


@contextlib.contextmanager
def _reader_errors(place: str) -> Iterator[None]:
    """Raise the errors of all readers as InputError."""
    try:
        yield
    except CurateError:
        raise
    except FileNotFoundError as e:
        raise InputError(f"{place}: no such file") from e
    except IsADirectoryError as e:
        raise InputError(f"{place}: a folder without {MANIFEST_FILE}; name a file, or a manifest") from e
    except (pa.ArrowException, ValueError, EOFError, zlib.error, gzip.BadGzipFile) as e:
        why = first_line(e)[:200]
        raise InputError(
            f"{place}: not readable as a list of keys ({why}); one is text, csv, tsv, json, jsonl, npy or parquet"
        ) from e


def _reader_of(place: str) -> Reader:
    with _opened(place) as f:
        head = f.read(4096).lstrip()
    absent = name_absent(head)
    if absent is not None:
        raise InputError(f"{place}: {absent}")
    if head.startswith(b"PAR1"):
        return _from_parquet
    if head.startswith(b"\x93NUMPY"):
        return _from_npy
    name = place.rpartition("/")[2].removesuffix(".gz")
    by_name = _READERS.get(name.rpartition(".")[2].lower() if "." in name else "")
    if by_name:
        return by_name
    return {b"{": _from_json_lines, b"[": _from_json}.get(head[:1], _from_text)


@contextlib.contextmanager
def _opened(place: str) -> Iterator[BinaryIO]:
    with storage.open_input(place) as f:
        if place.endswith(".gz"):
            with gzip.open(f) as unpacked:
                yield cast(BinaryIO, unpacked)
        else:
            yield f


def _distinct(tables: Values) -> pa.Table:
    """Return the distinct values that are not empty, in order of appearance. What does not fit is spilled to disk."""
    threads = len(os.sched_getaffinity(0))
    with (
        tempfile.TemporaryDirectory(prefix="curate-") as spill,
        duckdb_errors("list of keys"),
        connect(memory_bytes=DEFAULT_MEMORY_BYTES, threads=threads, spill=spill) as db,
    ):
        db.execute("CREATE TABLE found (value VARCHAR, kind TINYINT)")
        for table in tables:
            db.register("batch", table)
            db.execute("INSERT INTO found SELECT value, kind FROM batch WHERE value <> ''")
            db.unregister("batch")
        ordered = db.sql("SELECT value, kind FROM found GROUP BY value, kind ORDER BY min(rowid)")
        batches = list(ordered.to_arrow_reader(1 << 20))
    return pa.Table.from_batches(batches, VALUES)


def _of_kind(kind: ValueKind, texts: pa.Array) -> pa.Table:
    return pa.table([texts, pa.repeat(pa.scalar(kind, pa.int8()), len(texts))], schema=VALUES)


def _named(place: str, names: Sequence[str], wanted: str | None) -> tuple[str, str]:
    """Return which of `names` contains the values, and which column of a manifest they belong to."""
    known = {name.lower(): name for name in reversed(names)}
    order: tuple[str, ...] = ("uid", "url", "sha256") if known.keys() >= _IMG2DATASET else COLUMNS
    if wanted is not None:
        order = tuple(name for name in order if name in ("key", "uid")) if wanted == "key" else (wanted,)
    for each in order:
        if each in known:
            return known[each], "key" if each == "uid" else each
    shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
    missing = " or ".join([", ".join(order[:-1])] * (len(order) > 1) + [order[-1]])
    raise InputError(f"{place}: no column {missing}, only {shown or 'none'}; rename one")


# --- manifests and tables


def _keys_of_manifest(place: str, wanted: str | None) -> Found:
    manifest, column = open_manifest(place), wanted or "key"
    keys = (batch.column(0) for part in manifest.parts for batch in read_batches(manifest.part_uri(part), [column]))
    return column, "text", (_of_kind(ValueKind.TEXT, each) for each in keys)


def _from_parquet(place: str, wanted: str | None) -> Found:
    with open_parquet(place) as table:
        names = table.schema.names
        name, column = _named(place, names, wanted)
        kind = table.schema.field(names.index(name)).type
    reading = column_reader(kind, _parquet_column(place, name))
    if reading is None or reading.is_damaged:
        what = "bytes that are neither UTF-8 text nor UUIDs" if reading else f"values of {kind}"
        raise InputError(
            f"{place}: column {name} has {what}, which cannot name samples; write texts, integers or UUIDs"
        )
    return column, str(kind), (_of_kind(reading.kind, reading.texts(each)) for each in _parquet_column(place, name))


def _parquet_column(place: str, name: str) -> Iterator[pa.Array]:
    with open_parquet(place) as table:
        for batch in table.batches([name], BATCH_ROWS):
            yield batch.column(0)


def _from_csv(place: str, wanted: str | None) -> Found:
    return _delimited(place, ",", wanted)


def _from_tsv(place: str, wanted: str | None) -> Found:
    return _delimited(place, "\t", wanted)


def _delimited(place: str, delimiter: str, wanted: str | None) -> Found:
    with _opened(place) as f:
        header = f.read(MAX_HEADER_BYTES).split(b"\n", 1)[0].decode("utf-8-sig").rstrip("\r")
    first, reading = next(csv.reader([header], delimiter=delimiter), []), {}
    values_at = None if wanted is None else _place_of_value(first, wanted)
    if wanted is None or values_at is None:
        name, column = _named(place, first, wanted)
    else:  # no header
        names = [str(each) for each in range(len(first))]
        name, column, reading = names[values_at], wanted, {"column_names": names}
    texts = _csv_values(place, {"delimiter": delimiter, "newlines_in_values": True}, reading, name)
    return column, "text", (_of_kind(ValueKind.TEXT, each) for each in texts)


def _place_of_value(first: Sequence[str], wanted: str) -> int | None:
    """Return which entry of a first line is a value of the column `wanted`; None if the line is a header."""
    names = {name.lower() for name in first}
    if wanted in names or (wanted == "key" and "uid" in names):
        return None
    if wanted == "key":
        return 0 if len(first) == 1 else None
    looks = re.compile("[^:/ ]+://.+" if wanted == "url" else "[0-9A-Fa-f]{64}")
    return next((place for place, text in enumerate(first) if looks.fullmatch(text.strip())), None)


def _csv_values(place: str, parsing: dict[str, Any], reading: dict[str, Any], name: str) -> Iterator[pa.Array]:
    convert = pa_csv.ConvertOptions(
        column_types={name: pa.string()}, include_columns=[name], null_values=[], strings_can_be_null=False
    )
    options = (pa_csv.ReadOptions(block_size=BLOCK_BYTES, **reading), pa_csv.ParseOptions(**parsing), convert)
    with _opened(place) as f, pa_csv.open_csv(f, *options) as reader:
        for batch in reader:
            yield batch.column(0)


# --- text


def _from_text(place: str, _: str | None) -> Found:
    return None, "text", (_of_kind(ValueKind.TEXT, each) for each in _lines(place))


def _lines(place: str) -> Iterator[pa.Array]:
    with _opened(place) as f:
        if not f.read(1):
            return  # the CSV reader refuses an empty file
    # Lines are read as a table of one column, with a delimiter that does not occur in text.
    parsing = {"delimiter": "\x01", "quote_char": False, "escape_char": False}
    for array in _csv_values(place, parsing, {"column_names": ["value"]}, "value"):
        trimmed = pc.utf8_trim_whitespace(array)
        yield trimmed.filter(pc.invert(pc.starts_with(trimmed, "#")))


# --- JSON


def _from_json(place: str, wanted: str | None) -> Found:
    """Read a list of values or of objects, or an object of lists: a table by columns."""
    with _opened(place) as f:
        raw = f.read(MAX_JSON_BYTES + 1)
    if len(raw) > MAX_JSON_BYTES:
        raise InputError(f"{place}: over {MAX_JSON_BYTES >> 20} MiB of JSON; write it as .jsonl, .txt or .parquet")
    try:
        read = json.loads(raw)
    except json.JSONDecodeError as e:
        if e.msg == "Extra data":
            return _from_json_lines(place, wanted)
        raise
    if isinstance(read, dict) and any(isinstance(each, list) for each in read.values()):
        name, column = _named(place, [name for name, each in read.items() if isinstance(each, list)], wanted)
        values = (_text_of(place, f"entry {i}", each) for i, each in enumerate(read[name], 1))
        return column, None, _batched(values)
    return _entries(place, "entry", read if isinstance(read, list) else [read], wanted)


def _from_json_lines(place: str, wanted: str | None) -> Found:
    return _entries(place, "line", _json_lines(place), wanted)


def _json_lines(place: str) -> Iterator[Any]:
    with _opened(place) as f:
        for number, line in enumerate(f, 1):
            try:
                yield json.loads(line) if line.strip() else None
            except ValueError as e:
                raise InputError(f"{place}: line {number} is not JSON ({e})") from e


def _entries(place: str, what: str, entries: Iterable[Any], wanted: str | None) -> Found:
    """Return the values of a list of texts or of objects. The first entry decides which of the two it is."""
    numbered = ((i, entry) for i, entry in enumerate(entries, 1) if entry is not None)
    first = next(numbered, None)
    if first is None:
        return None, None, iter(())
    name, column = _named(place, list(first[1]), wanted) if isinstance(first[1], dict) else (None, None)
    values = (_value_of(place, f"{what} {i}", entry, name) for i, entry in itertools.chain([first], numbered))
    return column, None, _batched(values)


def _value_of(place: str, where: str, entry: Any, name: str | None) -> Value:
    if isinstance(entry, dict) != (name is not None):
        raise InputError(f"{place}: {where}: objects and other values are mixed; write one or the other")
    return _text_of(place, where, entry if name is None else entry.get(name))


def _text_of(place: str, where: str, value: Any) -> Value:
    """Return a JSON value as text, and its kind."""
    if value is None or isinstance(value, str):
        return value, ValueKind.TEXT
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value) if isinstance(value, int) else float_text(value), ValueKind.INTEGER
    raise InputError(f"{place}: {where} is {json.dumps(value)[:80]}, not a text or a number")


def _batched(values: Iterator[Value]) -> Values:
    while batch := list(itertools.islice(values, BATCH_ROWS)):
        texts, kinds = zip(*batch, strict=True)
        yield pa.table([pa.array(texts, pa.string()), pa.array(kinds, pa.int8())], schema=VALUES)


# --- NumPy


def _from_npy(place: str, _: str | None) -> Found:
    with _opened(place) as f:
        shape, kind = _npy_header(f)
    native = kind.newbyteorder("=")
    reading = column_reader(pa.from_numpy_dtype(native), ()) if kind.kind in "iuf" else None
    if len(shape) == 1 and is_uid_pair(kind):
        return "key", "text", (_of_kind(ValueKind.TEXT, uids_of(each)) for each in _npy_entries(place))
    if len(shape) == 1 and kind.kind in "US":
        return None, "text", (_of_kind(ValueKind.TEXT, _npy_texts(each)) for each in _npy_entries(place))
    if len(shape) == 1 and reading is not None:
        numbers = (pa.array(each.astype(native)) for each in _npy_entries(place))
        return None, native.name, (_of_kind(reading.kind, reading.texts(each)) for each in numbers)
    raise InputError(
        f"{place}: an array of {kind} and shape {shape}; a list has one dimension, and is of u8,u8, as DataComp's, "
        "of texts or of numbers"
    )


def _npy_header(f: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and type of a .npy file, and leave `f` at its data. Nothing is unpickled."""
    version = np.lib.format.read_magic(f)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read(f)
    return shape, kind


def _npy_texts(entries: npt.NDArray[Any]) -> pa.Array:
    texts = np.char.decode(entries, "utf-8") if entries.dtype.kind == "S" else entries.astype(str)
    return pa.array(texts, pa.string())


def _npy_entries(place: str) -> Iterator[npt.NDArray[Any]]:
    with _opened(place) as f:
        (rows,), kind = _npy_header(f)
        for first in range(0, rows, BATCH_ROWS):
            count = min(BATCH_ROWS, rows - first)
            data = f.read(count * kind.itemsize)
            if len(data) < count * kind.itemsize:
                raise InputError(f"{place}: ends before its {rows:,} entries do; copy it again")
            yield np.frombuffer(data, kind)


_READERS: dict[str, Reader] = {
    "txt": _from_text,
    "csv": _from_csv,
    "tsv": _from_tsv,
    "json": _from_json,
    "jsonl": _from_json_lines,
    "ndjson": _from_json_lines,
    "npy": _from_npy,
    "parquet": _from_parquet,
}
