"""SQL of the user's own over manifests: SELECT alone, with no access to any other file or to the network."""

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from manifests.errors import NO_SPACE, CurateError, InputError, ManifestError
from manifests.format.integrity import require_intact
from manifests.format.store import Manifest
from manifests.sql.engine import DEFAULT_MEMORY_BYTES, connect, from_parts, quoted, sql_text
from manifests.sql.opaque_files import duckdb_name

BATCH_ROWS = 16_384
_HINTS = ("Candidate", "Did you mean")


@dataclass(frozen=True, kw_only=True)
class QueryResult:
    """The rows of a query, batch by batch; no two columns have the same name."""

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
    """Yield the rows of `sql`, `max_rows` at most, over `views`: name → manifest.

    What does not fit into memory is spilled to a folder that is removed in the end. Raises InputError when `sql` is
    not one SELECT, is wrong, fails on a row, or looks at anything but the views; ManifestError when a part is
    missing or damaged.
    """
    _require_select(sql)
    for manifest in views.values():
        require_intact(manifest)
    with tempfile.TemporaryDirectory(prefix="curate-") as spill, _told():
        threads = threads or len(os.sched_getaffinity(0))
        with connect(memory_bytes=memory_bytes, threads=threads, spill=spill) as db:
            _seal(db, views)
            for name, manifest in views.items():
                columns = ", ".join(map(quoted, manifest.schema.names))
                source = from_parts(db, manifest, range(len(manifest.parts)))
                db.execute(f"CREATE VIEW {quoted(name)} AS SELECT {columns} FROM {source}")
            rows = db.sql(sql) if max_rows is None else db.sql(sql).limit(max_rows)
            reader = rows.to_arrow_reader(BATCH_ROWS)
            named = zip(reader.schema, _named_apart(reader.schema.names), strict=True)
            schema = pa.schema([field.with_name(name) for field, name in named])
            yield QueryResult(schema=schema, batches=_batches(reader, schema))


def _require_select(sql: str) -> None:
    """Raise InputError unless `sql` is one SELECT; FROM, WITH, VALUES, DESCRIBE, SUMMARIZE begin one, too."""
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as e:
        raise InputError(f"query: {_sentence(e)}") from e
    if len(statements) != 1:
        raise InputError(f"query: {len(statements)} statements; write one SELECT")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise InputError(f"query: {kind.name} is refused, a query reads and changes nothing; write one SELECT")


def _seal(db: duckdb.DuckDBPyConnection, views: Mapping[str, Manifest]) -> None:
    """Let the connection read the parts of `views` and nothing else, for good."""
    allowed = [duckdb_name(each.part_uri(part)) for each in views.values() for part in each.parts]
    for manifest in views.values():
        from_parts(db, manifest, range(len(manifest.parts)))  # registers the file system
    db.execute("SET python_enable_replacements = false")  # or a name is looked up among this program's variables
    db.execute(f"SET allowed_paths = [{', '.join(map(sql_text, dict.fromkeys(allowed)))}]")
    db.execute("SET enable_external_access = false")
    db.execute("SET lock_configuration = true")


def _named_apart(names: Iterable[str]) -> list[str]:
    """Return the names of columns, each another: `key`, `key_1`."""
    apart: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in itertools.count(1))
        apart.append(next(each for each in itertools.chain([name], numbered) if each not in apart))
    return apart


def _batches(reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    try:
        for batch in reader:
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
    except (
        duckdb.Error,
        pa.ArrowException,
        OSError,
    ) as e:  # in the middle of the rows, Arrow passes on the text alone
        raise _plain(e) from e


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn DuckDB's errors into ours, one sentence each."""
    try:
        yield
    except duckdb.Error as e:
        raise _plain(e) from e


def _plain(error: Exception) -> CurateError:
    """Return an error of DuckDB's as one of ours, by the kind that its text begins with."""
    told = _sentence(error)
    if told.startswith("Permission Error"):
        return InputError(f"query: {told}; a query sees the manifests that it is given, nothing else")
    if told.startswith("Out of Memory Error") or NO_SPACE in told:
        return InputError(f"query: needs more memory or more disk to spill to: {told}")
    if told.startswith(("IO Error", "INTERNAL Error", "FATAL Error")) or not isinstance(
        error, duckdb.Error | OSError
    ):
        return ManifestError(f"query: a part cannot be read: {told}; `curate verify` names it")
    return InputError(f"query: {told}")


def _sentence(error: Exception) -> str:
    """Return what an error says in one line, with the name that was perhaps meant."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    hints = [line for line in lines[1:] if line.startswith(_HINTS)]
    return " ".join([*lines[:1], *hints[:1]])
