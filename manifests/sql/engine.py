"""Engines of operations on manifests: DuckDB in this process, or Spark (jobs.spark.engine), with equal results.

Expressions over one row (filters, hashes of keys) are DuckDB's SQL on both. SQL that compares rows (joins, groups,
windows) is limited to what means the same on both: no float arithmetic, texts compared by their UTF-8 bytes.
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

from manifests.format.done import DoneCounter, LocalCounter
from manifests.format.integrity import require_intact
from manifests.format.roots import longest_first
from manifests.format.schema import is_binary
from manifests.format.store import Manifest
from manifests.sql.duckdb_errors import duckdb_errors
from manifests.sql.opaque_files import OpaqueFiles, duckdb_name

DEFAULT_MEMORY_BYTES = 2 << 30
GroupWork = Callable[[pa.Table], Any]


class Engine(Protocol):
    """Evaluates SQL over the rows of manifests."""

    name: str

    def view(
        self,
        name: str,
        manifest: Manifest,
        columns: Mapping[str, str],
        *,
        where: str | None = None,
        parts: Sequence[int] | None = None,
    ) -> None:
        """Create the view `name` over the rows of a manifest.

        Its columns are `part` (int32, position in `manifest.parts`), `row` (int64, position in the part) and
        `columns`: name → DuckDB expression over one row. `where` (a DuckDB expression) and `parts` (positions in
        `manifest.parts`) limit the rows. Raises ManifestError when a part differs from what
        `_manifest.json` records.
        """

    def table(self, name: str, rows: pa.Table) -> None:
        """Create the table `name` from a few rows in memory."""

    def keep(self, name: str, sql: str) -> None:
        """Evaluate `sql` once and store its rows in the table `name`."""

    def fetch(self, sql: str) -> pa.Table:
        """Return the rows of `sql`, which must be few."""

    def bucket(self, text: str, buckets: int) -> str:
        """Return SQL for a number in [0, buckets), computed from the md5 of the text column `text`."""

    def map_groups(self, sql: str, group: str, order: str, work: GroupWork) -> Iterator[Any]:
        """Yield what `work` returns for each group of the rows of `sql`, in any order.

        A group is all rows with one value of the column `group`, ordered by `order`; `work` gets it as one table and
        returns something small that can be written as JSON. Groups are processed in parallel, in workers if the
        engine has any.
        """

    def done_counter(self) -> DoneCounter | None:
        """Return a counter that `work` of `map_groups` can add to; None if workers have no way to report."""


def count_rows(engine: Engine, table: str, where: str = "true") -> int:
    """Return how many rows of a table or view of `engine` meet the condition `where`."""
    return int(engine.fetch(f"SELECT count(*) AS n FROM {table} WHERE {where}").column("n")[0].as_py())


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
    """Return a column's name quoted for DuckDB's SQL, so that reserved words are names, too."""
    return '"' + name.replace('"', '""') + '"'


def columns_of(names: Sequence[str]) -> dict[str, str]:
    """Return `names` as the argument `columns` of `Engine.view`, each unchanged."""
    return {name: quoted(name) for name in names}


def connect(*, memory_bytes: int, threads: int, spill: str) -> duckdb.DuckDBPyConnection:
    """Return a connection with bounded memory that spills to the folder `spill` and loads no extensions."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory_bytes // (1 << 20)}MiB",
        "threads": threads,
        "temp_directory": spill,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": True,
    }
    db = duckdb.connect(config=settings)
    # A progress bar would go to stdout, into the answer. A notebook without ipywidgets has none, and DuckDB refuses.
    with contextlib.suppress(duckdb.InvalidInputException):
        db.execute("SET enable_progress_bar = false")
    return db


def from_parts(db: duckdb.DuckDBPyConnection, manifest: Manifest, places: Sequence[int]) -> str:
    """Return SQL for the rows of the parts at `places`, with the virtual `file_index` and `file_row_number`.

    `places` are positions in `manifest.parts`; `file_index` is a position in `places`.
    """
    if not places:
        none = ", ".join(f"NULL::{_type_name(f.type)} AS {quoted(f.name)}" for f in manifest.schema)
        return f"(SELECT {none}, 0 AS file_index, 0 AS file_row_number WHERE false)"
    parts = [manifest.parts[place] for place in places]
    names = [duckdb_name(manifest.part_uri(part), part.size_bytes) for part in parts]
    with contextlib.suppress(duckdb.InvalidInputException):  # it is registered already
        db.register_filesystem(OpaqueFiles())
    # Without hive_partitioning=false, a folder named source=x would replace the column `source` of the files in it.
    return f"read_parquet([{', '.join(map(sql_text, names))}], union_by_name=false, hive_partitioning=false)"


def _type_name(kind: pa.DataType) -> str:
    if is_binary(kind):
        return "BLOB"
    return {"string": "VARCHAR", "double": "DOUBLE", "bool": "BOOLEAN", "int64": "BIGINT", "int32": "INTEGER"}.get(
        str(kind), "TINYINT"
    )


class DuckEngine:
    """DuckDB in this process, with bounded memory: what does not fit is spilled to a temporary folder.

    Use it as a context manager. Memory is limited to `memory_bytes`, `threads` default to this process's cores, and
    the folder is created below `temp_folder`, by default the system's.
    """

    name = "duckdb"

    def __init__(
        self, *, memory_bytes: int = DEFAULT_MEMORY_BYTES, threads: int | None = None, temp_folder: str | None = None
    ) -> None:
        self.threads = threads or len(os.sched_getaffinity(0))
        self._spill = Path(tempfile.mkdtemp(prefix="curate-", dir=temp_folder))
        self._db = connect(memory_bytes=memory_bytes, threads=self.threads, spill=str(self._spill))
        self._checked: set[tuple[str, int]] = set()

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
        unchecked = [place for place in places if (manifest.uri, place) not in self._checked]
        require_intact(manifest, unchecked)
        self._checked.update((manifest.uri, place) for place in unchecked)
        place = "file_index" if parts is None else f"[{', '.join(map(str, places)) or 0}][file_index::BIGINT + 1]"
        chosen = ", ".join(f"{sql} AS {quoted(alias)}" for alias, sql in columns.items())
        query = (
            f"SELECT {place}::INTEGER AS part, file_row_number::BIGINT AS row{', ' * bool(chosen)}{chosen} "
            f"FROM {from_parts(self._db, manifest, places)}" + (f" WHERE ({where})" if where else "")
        )
        with duckdb_errors(manifest.uri):
            self._db.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {query}")

    def table(self, name: str, rows: pa.Table) -> None:
        """See Engine."""
        self._db.register("given", rows)
        self.keep(name, "SELECT * FROM given")
        self._db.unregister("given")

    def keep(self, name: str, sql: str) -> None:
        """See Engine."""
        with duckdb_errors(name):
            self._db.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")

    def fetch(self, sql: str) -> pa.Table:
        """See Engine."""
        with duckdb_errors("query"):
            return self._db.sql(sql).to_arrow_table()

    def stream(self, sql: str, rows: int = 65_536) -> Iterator[pa.Table]:
        """Yield the rows of `sql`, which may be many, in order, in tables of at most `rows` rows."""
        with duckdb_errors("query", is_streamed=True):
            for batch in self._db.sql(sql).to_arrow_reader(rows):
                yield pa.Table.from_batches([batch])

    def bucket(self, text: str, buckets: int) -> str:
        """See Engine."""
        return f"(('0x' || substr(md5({text}), 1, 7))::BIGINT % {buckets})"

    def map_groups(self, sql: str, group: str, order: str, work: GroupWork) -> Iterator[Any]:
        """See Engine."""
        waiting: list[Future[Any]] = []
        with ThreadPoolExecutor(self.threads) as pool:
            for table in self._groups(sql, group, order):
                waiting.append(pool.submit(work, table))
                if len(waiting) > self.threads:  # waiting groups are in memory
                    yield waiting.pop(0).result()
            for each in waiting:
                yield each.result()

    def done_counter(self) -> DoneCounter:
        """See Engine."""
        return LocalCounter()

    def _groups(self, sql: str, group: str, order: str) -> Iterator[pa.Table]:
        """Yield the rows of each group."""
        with duckdb_errors("query", is_streamed=True):
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
    """Whether SQL puts the two into one group: two nulls and two NaNs are equal."""
    return bool(a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)))
