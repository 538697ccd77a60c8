"""Where an operation on manifests runs: DuckDB in this process, or Spark (jobs.spark.engine), with the same answer.

What concerns one row (filters, hashes of keys) is DuckDB's SQL on both. What compares rows (joins, groups, windows)
is SQL that both understand, with the same meaning: no float arithmetic, texts compared by their UTF-8 bytes.
"""

import contextlib
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import NO_SPACE, InputError, ManifestError
from manifests.format.integrity import require_intact
from manifests.format.roots import longest_first
from manifests.format.store import Manifest
from manifests.sql.opaque_files import OpaqueFiles, duckdb_name

DEFAULT_MEMORY_BYTES = 2 << 30
PART, ROW = "part", "row"
GroupWork = Callable[[pa.Table], Any]


class Engine(Protocol):
    """Evaluates SQL over the rows of manifests."""

    name: str

    def view(self, name: str, manifest: Manifest, columns: Mapping[str, str], **which: Any) -> None:
        """Name the rows of a manifest.

        They have `part` (int32, position in `manifest.parts`), `row` (int64, position in the part) and `columns`, a
        DuckDB expression over one row each. `where` (a DuckDB expression) and `parts` (positions in
        `manifest.parts`) limit them. Raises ManifestError when a part is not what `_manifest.json` says.
        """

    def table(self, name: str, rows: pa.Table) -> None:
        """Name a small table."""

    def keep(self, name: str, sql: str) -> None:
        """Evaluate `sql` once and name its rows."""

    def fetch(self, sql: str) -> pa.Table:
        """Return the rows of `sql`, which must be few."""

    def bucket(self, text: str, buckets: int) -> str:
        """Return SQL for a number in [0, buckets) that depends on the column `text` alone: of its md5."""

    def map_groups(self, sql: str, group: str, order: str, work: GroupWork) -> Iterator[Any]:
        """Yield what `work` returns of each group: the rows of `sql` with one value of `group`, ordered by `order`.

        Groups are done side by side, in workers where there are any, and answers come in no order. `work` gets them
        whole, and returns something small that JSON can hold.
        """


def sql_text(text: str) -> str:
    """Return `text` as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def relative_source(roots: Sequence[str]) -> str:
    """Return SQL for the column `source` relative to the longest of `roots`, as `relative_sources` makes it."""
    cases = " ".join(
        f"WHEN starts_with(source, {sql_text(root)}) THEN substr(source, {len(root) + 1})"
        for root in longest_first(roots)
    )
    return f"CASE {cases} ELSE source END" if cases else "source"


def quoted(name: str) -> str:
    """Return a column's name as DuckDB's SQL has it, whatever words it reserves."""
    return '"' + name.replace('"', '""') + '"'


def columns_of(names: Sequence[str]) -> dict[str, str]:
    """Return columns for `Engine.view` that are taken as they are."""
    return {name: quoted(name) for name in names}


def connect(*, memory_bytes: int, threads: int, spill: str) -> duckdb.DuckDBPyConnection:
    """Return a connection that keeps to its memory, and loads and asks for nothing from elsewhere."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory_bytes // (1 << 20)}MiB",
        "threads": threads,
        "temp_directory": spill,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": True,
    }
    db = duckdb.connect(config=settings)
    db.execute("SET enable_progress_bar = false")  # it would go to stdout, among the answer
    return db


def from_parts(db: duckdb.DuckDBPyConnection, manifest: Manifest, places: Sequence[int]) -> str:
    """Return SQL for the rows of the parts at `places`, with the virtual `file_index` and `file_row_number`."""
    if not places:
        none = ", ".join(f"NULL::{_type_name(f.type)} AS {quoted(f.name)}" for f in manifest.schema)
        return f"(SELECT {none}, 0 AS file_index, 0 AS file_row_number WHERE false)"
    names = [duckdb_name(manifest.part_uri(manifest.parts[place])) for place in places]
    with contextlib.suppress(duckdb.InvalidInputException):  # registered before
        db.register_filesystem(OpaqueFiles())
    # Without hive_partitioning=false, a folder named source=x would replace the column `source` of the files in it.
    return f"read_parquet([{', '.join(map(sql_text, names))}], union_by_name=false, hive_partitioning=false)"


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_binary(kind):
        return "BLOB"
    return {"string": "VARCHAR", "double": "DOUBLE", "bool": "BOOLEAN", "int64": "BIGINT", "int32": "INTEGER"}.get(
        str(kind), "TINYINT"
    )


@contextlib.contextmanager
def told_plainly(what: str, *, is_streamed: bool = False) -> Iterator[None]:
    """Turn DuckDB's errors into ours, one sentence each.

    While an answer is read batch by batch (`is_streamed`) they come as Arrow's or the system's.
    """
    kinds = (duckdb.Error, pa.ArrowException, OSError) if is_streamed else (duckdb.Error,)
    try:
        yield
    except kinds as e:
        told = _first_line(e)  # begins with the kind of error, whichever class it comes in
        if told.startswith("Out of Memory Error") or NO_SPACE in told:
            raise InputError(f"{what}: needs more memory or more disk to spill to: {told}") from e
        if told.startswith(("Conversion Error", "Out of Range Error")):
            raise InputError(
                f"{what}: an expression fails on a row: {told}; guard it, for example with TRY_CAST"
            ) from e
        raise ManifestError(f"{what}: {told}; `curate verify` tells whether a part is damaged") from e


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]


class DuckEngine:
    """DuckDB in this process: memory is bounded, and what does not fit is spilled to a folder of its own."""

    name = "duckdb"

    def __init__(
        self, *, memory_bytes: int = DEFAULT_MEMORY_BYTES, threads: int | None = None, temp_folder: str | None = None
    ) -> None:
        self.threads = threads or len(os.sched_getaffinity(0))
        self._spill = Path(tempfile.mkdtemp(prefix="curate-", dir=temp_folder))
        self._db = connect(memory_bytes=memory_bytes, threads=self.threads, spill=str(self._spill))
        self._looked_at: set[tuple[str, int]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._db.close()
        shutil.rmtree(self._spill, ignore_errors=True)

    def view(
        self,
        name: str,
        manifest: Manifest,
        columns: Mapping[str, str],
        *,
        where: str | None = None,
        parts: Sequence[int] | None = None,
    ) -> None:
        """See Engine."""
        places = list(range(len(manifest.parts)) if parts is None else parts)
        unseen = [place for place in places if (manifest.uri, place) not in self._looked_at]
        require_intact(manifest, unseen)
        self._looked_at.update((manifest.uri, place) for place in unseen)
        place = "file_index" if parts is None else f"[{', '.join(map(str, places)) or 0}][file_index::BIGINT + 1]"
        chosen = ", ".join(f"{sql} AS {quoted(alias)}" for alias, sql in columns.items())
        query = (
            f"SELECT {place}::INTEGER AS part, file_row_number::BIGINT AS row{', ' * bool(chosen)}{chosen} "
            f"FROM {from_parts(self._db, manifest, places)}" + (f" WHERE ({where})" if where else "")
        )
        with told_plainly(manifest.uri):
            self._db.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {query}")

    def table(self, name: str, rows: pa.Table) -> None:
        """See Engine."""
        self._db.register("given", rows)
        self.keep(name, "SELECT * FROM given")
        self._db.unregister("given")

    def keep(self, name: str, sql: str) -> None:
        """See Engine."""
        with told_plainly(name):
            self._db.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")

    def fetch(self, sql: str) -> pa.Table:
        """See Engine."""
        with told_plainly("query"):
            return self._db.sql(sql).to_arrow_table()

    def bucket(self, text: str, buckets: int) -> str:
        """See Engine."""
        return f"(('0x' || substr(md5({text}), 1, 7))::BIGINT % {buckets})"

    def map_groups(self, sql: str, group: str, order: str, work: GroupWork) -> Iterator[Any]:
        """See Engine."""
        waiting: list[Future[Any]] = []
        with ThreadPoolExecutor(self.threads) as pool:
            for table in self._groups(sql, group, order):
                waiting.append(pool.submit(work, table))
                if len(waiting) > self.threads:  # what waits is held in memory
                    yield waiting.pop(0).result()
            for each in waiting:
                yield each.result()

    def _groups(self, sql: str, group: str, order: str) -> Iterator[pa.Table]:
        """Yield the rows of each group."""
        with told_plainly("query", is_streamed=True):
            reader = self._db.sql(f"SELECT * FROM ({sql}) ORDER BY {group}, {order}").to_arrow_reader(65_536)
            pending: list[pa.Table] = []
            last: Any = None
            for batch in reader:
                table, first = pa.Table.from_batches([batch]), 0
                runs = pc.run_end_encode(table.column(group).combine_chunks())
                for end, value in zip(runs.run_ends.to_pylist(), runs.values.to_pylist(), strict=True):
                    if pending and not _is_same(value, last):
                        yield pa.concat_tables(pending)
                        pending = []
                    pending.append(table.slice(first, end - first))
                    first, last = end, value
            if pending:
                yield pa.concat_tables(pending)


def _is_same(a: Any, b: Any) -> bool:
    """Whether SQL groups the two together: nulls, and what is no number, too."""
    return bool(a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)))
