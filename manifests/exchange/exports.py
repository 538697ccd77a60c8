"""Export rows of a manifest to files for other tools: lists, tables, DataComp subsets, img2dataset input."""

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from enum import StrEnum

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from manifests import storage
from manifests.errors import InputError, ManifestError
from manifests.exchange.uid_pairs import UID_PAIR, pairs_of
from manifests.format.integrity import require_intact
from manifests.format.regroup import regroup
from manifests.format.schema import is_binary
from manifests.format.store import Manifest, is_committed
from manifests.hashing_writer import HashingWriter
from manifests.sql.duckdb_errors import duckdb_errors
from manifests.sql.engine import DEFAULT_MEMORY_BYTES, connect, from_parts, quoted
from manifests.sql.expressions import check_expression

BATCH_ROWS = 65_536


class Format(StrEnum):
    """The format of an exported file."""

    DATACOMP = "datacomp"
    """`.npy` of the keys as pairs of 64-bit numbers, ascending: the format of subsets for DataComp's resharder."""
    KEYS = "keys"
    """One per line."""
    URLS = "urls"
    """One per line, without repetitions."""
    SHA256 = "sha256"
    """One per line, without repetitions."""
    CSV = "csv"
    """A header and chosen columns."""
    JSONL = "jsonl"
    """One object per line, of chosen columns."""
    IMG2DATASET = "img2dataset"
    """Parquet of url, caption and the key as uid: a list of URLs for img2dataset."""


LISTED = {Format.DATACOMP: "key", Format.KEYS: "key", Format.URLS: "url", Format.SHA256: "sha256"}
TABLES = (Format.CSV, Format.JSONL)
BINARY = (Format.DATACOMP, Format.IMG2DATASET)
BY_EXTENSION = {
    "npy": Format.DATACOMP,
    "txt": Format.KEYS,
    "csv": Format.CSV,
    "jsonl": Format.JSONL,
    "parquet": Format.IMG2DATASET,
}
_DOWNLOAD = {
    "url": "url",
    "caption": "caption",
    "uid": "key",
    "sha256": "sha256",
    "width": "width",
    "height": "height",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
    """What to export: the `format`, the `columns` of a table, and the rows.

    Without `columns`, a table has all that are not binary. Rows must meet the condition `where`, and with `is_kept`
    have `keep` set.
    """

    format: Format
    columns: tuple[str, ...] = ()
    where: str | None = None
    is_kept: bool = False

    def check(self, manifest: Manifest) -> None:
        """Raise InputError when `manifest` cannot be exported like this."""
        if self.columns and self.format not in TABLES:
            raise InputError(f"--columns: {self.format} has its own; they are for {' and '.join(TABLES)}")
        needed = ("url",) if self.format is Format.IMG2DATASET else (LISTED.get(self.format, "key"),)
        names = manifest.schema.names
        if missing := [c for c in (*needed, *self.columns) if c not in names]:
            option = "--columns: " if set(missing) <= set(self.columns) else ""
            raise InputError(f"{option}{manifest.uri}: no column {', '.join(missing)}; there are {', '.join(names)}")
        if self.is_kept and "keep" not in names:
            raise InputError(
                f"{manifest.uri}: a manifest of stage {manifest.stage} has no column keep; leave --kept out, "
                "or choose first"
            )
        if self.where is not None:
            check_expression(self.where, manifest.schema, "--where")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written. `left_out` counts the rows without the value that the file lists, or with a repeated one."""

    rows: int
    left_out: int
    size_bytes: int
    sha256: str


def check_target(uri: str, *, is_forced: bool) -> None:
    """Raise InputError when no file may be written at `uri`.

    It must not be a folder or in a manifest, nor an existing file unless `is_forced`.
    """
    fs, path = storage.filesystem(uri)
    folder = uri.rpartition("/")[0]
    if storage.exists(uri) and fs.isdir(path):
        raise InputError(f"{uri}: a folder; name a file in it")
    if is_committed(folder):
        raise InputError(f"{uri}: {folder} is a manifest, which is never modified; name a file elsewhere")
    if storage.exists(uri) and not is_forced:
        raise InputError(f"{uri}: exists already; add --force to replace it, or name another file")


def export(manifest: Manifest, wanted: Export, sink: HashingWriter, *, temp_folder: str | None = None) -> Exported:
    """Write the rows that are wanted to `sink`, and return what was written.

    Rows are ordered by key and lists by their values, so the bytes do not depend on parts. Memory is bounded: DuckDB
    sorts, and spills to a folder below `temp_folder`. Raises InputError when a value does not fit the format, before
    anything is written, and ManifestError when a part differs from the committed one.
    """
    wanted.check(manifest)
    require_intact(manifest)
    with _database(manifest, wanted, temp_folder) as db:
        selected, usable = _count(db, manifest, wanted)
        batches = db.sql(_query(manifest, wanted)).to_arrow_reader(BATCH_ROWS)
        tables = regroup((pa.Table.from_batches([batch]) for batch in batches), BATCH_ROWS)
        rows = _WRITERS[wanted.format](sink, tables, batches.schema, usable)
    return Exported(rows=rows, left_out=selected - rows, size_bytes=sink.size_bytes, sha256=sink.sha256.hexdigest())


@contextlib.contextmanager
def _database(manifest: Manifest, wanted: Export, temp_folder: str | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with the view `chosen`: the rows that are wanted."""
    conditions = [f"({wanted.where}\n)"] * (wanted.where is not None) + ["keep"] * wanted.is_kept
    with (
        tempfile.TemporaryDirectory(prefix="curate-", dir=temp_folder) as spill,
        duckdb_errors(manifest.uri, where=wanted.where),
        connect(memory_bytes=DEFAULT_MEMORY_BYTES, threads=len(os.sched_getaffinity(0)), spill=spill) as db,
    ):
        rows = from_parts(db, manifest, range(len(manifest.parts)))
        db.execute(f"CREATE TEMP VIEW chosen AS SELECT * FROM {rows} WHERE {' AND '.join(conditions) or 'true'}")
        yield db


def _count(db: duckdb.DuckDBPyConnection, manifest: Manifest, wanted: Export) -> tuple[int, int]:
    """Return how many rows are wanted, and how many of them have a value. Raise InputError when one does not fit."""
    column = LISTED.get(wanted.format, "url" if wanted.format is Format.IMG2DATASET else "key")
    if wanted.format is Format.DATACOMP:
        unfit = f"NOT regexp_full_match({column}, '[0-9a-f]{{32}}')"
        why = "DataComp's uids have 32 hexadecimal digits; --format keys takes any"
    else:
        unfit = f"regexp_matches({column}, '[\\n\\r\\x01]')" if wanted.format in LISTED else "false"
        why = "a line cannot contain a line break; --format csv or jsonl can"
    selected, usable, odd, one = db.execute(
        f"SELECT count(*), count({column}), count(*) FILTER ({unfit}), min({column}) FILTER ({unfit}) FROM chosen"
    ).fetchall()[0]
    if odd:
        raise InputError(f"{manifest.uri}: {odd:,} of {selected:,} {column}s do not fit, such as {one!r}: {why}")
    return selected, usable


def _query(manifest: Manifest, wanted: Export) -> str:
    """Return SQL for the rows to write, in order and with the names of the file."""
    if wanted.format in LISTED:
        column = LISTED[wanted.format]
        distinct = "" if column == "key" else "DISTINCT"
        return f"SELECT {distinct} {column} FROM chosen WHERE {column} IS NOT NULL ORDER BY {column}"
    if wanted.format is Format.IMG2DATASET:
        chosen = ", ".join(f"{c} AS {name}" for name, c in _DOWNLOAD.items() if c in manifest.schema.names)
        return f"SELECT {chosen} FROM chosen WHERE url IS NOT NULL ORDER BY key"
    named = wanted.columns or [f.name for f in manifest.schema if not is_binary(f.type)]
    chosen = ", ".join(_as_text(manifest.schema.field(c), wanted.format) for c in named)
    return f"SELECT {chosen} FROM chosen ORDER BY chosen.key"


def _as_text(field: pa.Field, kind: Format) -> str:
    """Return SQL for a column as text: bytes as hexadecimal digits, and null for NaN and infinity in JSON."""
    name = quoted(field.name)
    if is_binary(field.type):
        return f"lower(hex({name})) AS {name}"
    if kind is Format.JSONL and pa.types.is_floating(field.type):
        return f"CASE WHEN isfinite({name}) THEN {name} END AS {name}"
    return name


# --- writers: each writes tables in order and returns the number of rows


def _write_pairs(sink: HashingWriter, tables: Iterator[pa.Table], _schema: pa.Schema, usable: int) -> int:
    header = {"descr": np.lib.format.dtype_to_descr(UID_PAIR), "fortran_order": False, "shape": (usable,)}
    np.lib.format.write_array_header_1_0(sink, header)
    rows = 0
    for table in tables:
        sink.write(pairs_of(table.column(0)).tobytes())
        rows += table.num_rows
    if rows != usable:
        raise ManifestError(f"{rows:,} rows, but {usable:,} a moment before; the manifest changes while it is read")
    return rows


def _write_lines(sink: HashingWriter, tables: Iterator[pa.Table], _schema: pa.Schema, _usable: int) -> int:
    rows = 0
    for table in tables:
        sink.write(("\n".join(table.column(0).to_pylist()) + "\n").encode())
        rows += table.num_rows
    return rows


def _write_csv(sink: HashingWriter, tables: Iterator[pa.Table], schema: pa.Schema, _usable: int) -> int:
    rows = 0
    with pa_csv.CSVWriter(sink, schema) as writer:
        for table in tables:
            writer.write_table(table)
            rows += table.num_rows
    return rows


def _write_json_lines(sink: HashingWriter, tables: Iterator[pa.Table], _schema: pa.Schema, _usable: int) -> int:
    rows = 0
    for table in tables:
        sink.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist()).encode())
        rows += table.num_rows
    return rows


def _write_parquet(sink: HashingWriter, tables: Iterator[pa.Table], schema: pa.Schema, _usable: int) -> int:
    rows = 0
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table, row_group_size=BATCH_ROWS)
            rows += table.num_rows
    return rows


_Writer = Callable[[HashingWriter, Iterator[pa.Table], pa.Schema, int], int]
_WRITERS: dict[Format, _Writer] = {
    Format.DATACOMP: _write_pairs,
    Format.KEYS: _write_lines,
    Format.URLS: _write_lines,
    Format.SHA256: _write_lines,
    Format.CSV: _write_csv,
    Format.JSONL: _write_json_lines,
    Format.IMG2DATASET: _write_parquet,
}
