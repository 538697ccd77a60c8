"""Queries that users write over manifests: one SELECT, without access to other files or to the network."""

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from manifests.errors import InputError
from manifests.format.integrity import require_intact
from manifests.format.store import Manifest
from manifests.sql.duckdb_errors import query_errors
from manifests.sql.engine import DEFAULT_MEMORY_BYTES, connect, from_parts, quoted, sql_text
from manifests.sql.opaque_files import duckdb_name
from manifests.sql.row_counts import row_count

BATCH_ROWS = 16_384


@dataclass(frozen=True, kw_only=True)
class QueryResult:
    """The rows of a query, batch by batch. The names of its columns are unique."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


@contextlib.contextmanager
def run_query(
    views: Mapping[str, Manifest],
    sql: str,
    *,
    max_rows: int | None = None,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    threads: int | None = None,
) -> Iterator[QueryResult]:
    """Yield the rows of `sql` over `views` (name → manifest), at most `max_rows` of them.

    Memory is limited to `memory_bytes`; what does not fit is spilled to a temporary folder. Raises InputError when
    `sql` is not one SELECT, is wrong, fails on a row, or reads anything but the views; ManifestError when a part is
    missing or damaged.
    """
    _require_select(sql)
    if (counted := row_count(sql, views)) is not None:
        counted = counted.rename_columns(_unique_names(counted.column_names))
        yield QueryResult(schema=counted.schema, batches=iter(counted.slice(0, max_rows).to_batches()))
        return
    for manifest in views.values():
        require_intact(manifest)
    with tempfile.TemporaryDirectory(prefix="curate-") as spill, query_errors():
        threads = threads or len(os.sched_getaffinity(0))
        with connect(memory_bytes=memory_bytes, threads=threads, spill=spill) as db:
            _seal(db, views)
            for name, manifest in views.items():
                columns = ", ".join(map(quoted, manifest.schema.names))
                source = from_parts(db, manifest, range(len(manifest.parts)))
                db.execute(f"CREATE VIEW {quoted(name)} AS SELECT {columns} FROM {source}")
            rows = db.sql(sql) if max_rows is None else db.sql(sql).limit(max_rows)
            reader = rows.to_arrow_reader(BATCH_ROWS)
            named = zip(reader.schema, _unique_names(reader.schema.names), strict=True)
            schema = pa.schema([field.with_name(name) for field, name in named])
            yield QueryResult(schema=schema, batches=_batches(reader, schema))


def _require_select(sql: str) -> None:
    """Raise InputError unless `sql` is one SELECT. It may begin with FROM, WITH, VALUES, DESCRIBE or SUMMARIZE."""
    with query_errors():
        statements = duckdb.extract_statements(sql)
    if len(statements) != 1:
        raise InputError(f"query: {len(statements)} statements; write one SELECT")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise InputError(f"query: {kind.name} is refused because a query only reads; write one SELECT")


def _seal(db: duckdb.DuckDBPyConnection, views: Mapping[str, Manifest]) -> None:
    """Limit the connection to the parts of `views`. This cannot be undone."""
    allowed = [duckdb_name(each.part_uri(part), part.size_bytes) for each in views.values() for part in each.parts]
    for manifest in views.values():
        from_parts(db, manifest, range(len(manifest.parts)))  # registers the file system
    db.execute("SET python_enable_replacements = false")  # else names are looked up among this program's variables
    db.execute(f"SET allowed_paths = [{', '.join(map(sql_text, dict.fromkeys(allowed)))}]")
    db.execute("SET enable_external_access = false")
    db.execute("SET lock_configuration = true")


def _unique_names(names: Iterable[str]) -> list[str]:
    """Return `names` with numbers added to repeated ones: `key`, `key_1`."""
    unique: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in itertools.count(1))
        unique.append(next(each for each in itertools.chain([name], numbered) if each not in unique))
    return unique


def _batches(reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    with query_errors(is_streamed=True):
        for batch in reader:
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
