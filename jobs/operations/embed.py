"""Writes the vectors of a manifest's images to one Parquet file, with processes of this machine.

Rows are embedded in the order of the manifest. Each PART_ROWS of them are stored beside the output; after an
interruption the same call goes on from there. They are removed when the output is complete.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from curation.features import stored
from curation.sources import originals
from jobs.operations.embed_workers import Embedding, Workers
from jobs.units.output_place import require_file, require_folder
from manifests import storage
from manifests.errors import InputError
from manifests.exchange.exports import check_target
from manifests.format.parquet_files import open_parquet
from manifests.format.regroup import regroup
from manifests.format.schema import STATUSES_WITH_PIXELS, Stage
from manifests.format.store import Manifest
from manifests.sql.engine import quoted, sql_text
from manifests.sql.expressions import check_expression
from manifests.sql.lookup import known_columns
from manifests.sql.query import run_query

CHUNK_ROWS = 256
PART_ROWS = 32 * CHUNK_ROWS
_VIEW = "manifest"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Which rows to embed: those with a picture for which the SQL expression `where` is true.

    `columns` of the manifest are copied beside their vectors, whose numbers are of `dtype`, float16 or float32.
    """

    where: str | None = None
    columns: tuple[str, ...] = ()
    dtype: str = "float16"


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """What was written: `rows`, of which `problems` names those without a vector, (key, reason) each."""

    uri: str
    rows: int
    dimensions: int
    model: str
    problems: Sequence[tuple[str, str]]


def embed(
    manifest: Manifest,
    output: str,
    which: Rows,
    how: Embedding,
    *,
    is_forced: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Embedded:
    """Write the vectors of `manifest`'s images to the file `output`, and return what was written.

    `is_forced` replaces a file that exists, and parts of another call. `on_progress` is called with the number of
    rows that are done, and of all. Raises InputError when the arguments do not fit the manifest or the output,
    FilterError when the model cannot be loaded or fails, and StageFailed when processes end.
    """
    uri = storage.absolute(output)
    require_file(uri)
    require_folder(_parts_folder(uri))
    check_target(uri, is_forced=is_forced)
    further = _further_columns(manifest, which)
    condition = _condition(which.where)
    with run_query({_VIEW: manifest}, f"SELECT count(*) FROM {_VIEW} WHERE {condition}") as counted:
        total = next(counted.batches).column(0)[0].as_py()
    is_sharded = manifest.stage is Stage.SHARD
    with Workers(how, manifest.shards_uri if is_sharded else None) as workers:
        facts = {
            "manifest": manifest.uri,
            "digest": manifest.digest,
            "model": workers.version,
            "where": which.where,
            "batch_images": how.batch_images,
        }
        schema = stored.schema(workers.dimensions, which.dtype, further, facts)
        parts = _Parts(uri, schema, is_forced=is_forced)
        needed = originals.needed_columns(manifest.schema.names, from_shards=is_sharded)
        names = list(dict.fromkeys([*needed, *which.columns]))
        sql = f"SELECT {', '.join(map(quoted, names))} FROM {_VIEW} WHERE {condition} OFFSET {parts.rows}"
        with run_query({_VIEW: manifest}, sql) as answer:
            chunks = regroup((pa.Table.from_batches([batch]) for batch in answer.batches), CHUNK_ROWS)
            on_progress(parts.rows, total)
            for chunk, found in workers.run(chunks):
                parts.add(stored.table(found, chunk.select(list(which.columns)), schema))
                on_progress(parts.rows, total)
        problems = parts.finish()
    return Embedded(uri=uri, rows=parts.rows, dimensions=workers.dimensions, model=workers.version, problems=problems)


def _further_columns(manifest: Manifest, which: Rows) -> list[pa.Field]:
    if which.where is not None:
        check_expression(which.where, manifest.schema, "--where")
    if taken := sorted(set(which.columns) & set(stored.OWN_COLUMNS)):
        raise InputError(f"--columns: {taken[0]} is in the file anyway; leave it out")
    if len(set(which.columns)) < len(which.columns):
        raise InputError("--columns: a name is repeated; give each once")
    return [manifest.schema.field(name) for name in known_columns(manifest, which.columns) if name in which.columns]


def _condition(where: str | None) -> str:
    with_pixels = ", ".join(map(sql_text, STATUSES_WITH_PIXELS))
    return f"status IN ({with_pixels})" + (f" AND ({where}\n)" if where else "")


def _parts_folder(uri: str) -> str:
    return f"{uri}.parts"


class _Parts:
    """The rows of a file that is being made: stored in the folder beside it, PART_ROWS rows each."""

    def __init__(self, uri: str, schema: pa.Schema, *, is_forced: bool) -> None:
        self._uri, self._folder, self._schema = uri, _parts_folder(uri), schema
        self._pending: list[pa.Table] = []
        self._names = [] if is_forced else storage.list_names(self._folder)
        if is_forced:
            storage.remove(self._folder)
        self.rows = sum(self._rows_of(name) for name in self._names)

    def _rows_of(self, name: str) -> int:
        with open_parquet(storage.join(self._folder, name)) as part:
            is_same = part.schema.equals(self._schema) and stored.facts_of(part.schema) == stored.facts_of(
                self._schema
            )
            if not is_same:
                raise InputError(
                    f"{self._folder}: left by a call with another manifest, model or other options; repeat those, "
                    "or discard it with --force"
                )
            return part.rows

    def add(self, rows: pa.Table) -> None:
        """Take the next rows."""
        self._pending.append(rows)
        self.rows += len(rows)
        if sum(map(len, self._pending)) >= PART_ROWS:
            self._store()

    def _store(self) -> None:
        name = f"{len(self._names):05d}.parquet"
        storage.make_folder(self._folder)
        with storage.write_atomically(storage.join(self._folder, name)) as sink:
            pq.write_table(pa.concat_tables(self._pending), sink, compression="zstd")
        self._names.append(name)
        self._pending = []

    def _tables(self) -> Iterator[pa.Table]:
        for name in self._names:
            with open_parquet(storage.join(self._folder, name)) as part:
                yield part.read_group(0).cast(self._schema)
        yield from self._pending

    def finish(self) -> list[tuple[str, str]]:
        """Write the file, remove the parts, and return the rows without a vector: (key, reason) each."""
        problems: list[tuple[str, str]] = []
        with (
            storage.write_atomically(self._uri) as sink,
            pq.ParquetWriter(sink, self._schema, compression="zstd") as writer,
        ):
            for table in regroup(self._tables(), PART_ROWS):
                writer.write_table(table, row_group_size=PART_ROWS)
                without = table.filter(table["vector"].is_null())
                problems += zip(without["key"].to_pylist(), without["problem"].to_pylist(), strict=True)
        storage.remove(self._folder)
        return problems
