"""What workers evaluate of an engine's queries: expressions over the rows of parts, and functions of groups.

Workers import this module, and need no SQL translator for it.
"""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence

import duckdb
import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from jobs.spark import frames
from manifests.format.integrity import require_intact
from manifests.format.store import Manifest, read_batches
from manifests.sql.duckdb_errors import duckdb_errors
from manifests.sql.engine import GroupWork, columns_of, quoted
from manifests.sql.expressions import sealed

PART_TASK = "part_task"
ANSWER = pa.schema([("answer", pa.string())])


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowQuery:
    """Reads parts in a worker and evaluates a view's expressions, batch by batch."""

    columns: Mapping[str, str]
    where: str | None
    reads: Sequence[str]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the view's rows of each part, given as JSON by `part_tasks`. For `frames.map_batches`."""
        with sealed() as db:
            for batch in batches:
                for text in batch.column(PART_TASK).to_pylist():
                    task = json.loads(text)
                    place, uri, first_row = task["place"], task["uri"], 0
                    for rows in read_batches(uri, self.reads, rows=task["rows"], size_bytes=task["size_bytes"]):
                        table = pa.Table.from_batches([rows])
                        with duckdb_errors(uri):
                            found = self.evaluate(db, table, place=place, first_row=first_row)
                        yield from frames.for_spark(found).to_batches()
                        first_row += rows.num_rows

    def evaluate(self, db: duckdb.DuckDBPyConnection, rows: pa.Table, *, place: int, first_row: int) -> pa.Table:
        """Return the view's columns of consecutive rows of the part at `place`."""
        numbers = np.arange(first_row, first_row + rows.num_rows)
        db.register("batch", rows.append_column("file_row_number", pa.array(numbers, pa.int64())))
        chosen = "".join(f", {sql} AS {quoted(alias)}" for alias, sql in self.columns.items())
        query = f"SELECT {place}::INTEGER AS part, file_row_number::BIGINT AS row{chosen} FROM batch"
        return db.sql(query + (f" WHERE ({self.where})" if self.where else "")).to_arrow_table()


def rows_of(
    spark: SparkSession, manifest: Manifest, columns: Sequence[str], *, where: str | None, options: frames.Options
) -> DataFrame:
    """Return `columns` of the rows for which `where`, a checked DuckDB expression, is true; a task reads a part.

    Raises ManifestError when a part is missing or of another size than the manifest records.
    """
    require_intact(manifest)
    query = RowQuery(
        columns=columns_of(columns),
        where=where,
        reads=columns_named(manifest.schema.names, [*map(quoted, columns), where or ""]),
    )
    place = [("part", pa.int32()), ("row", pa.int64())]
    kinds = pa.schema([*place, *(manifest.schema.field(name) for name in columns)])
    frame = part_tasks(spark, manifest, range(len(manifest.parts)))
    return frames.map_batches(frame, query, frames.ddl(kinds), options).drop("part", "row")


def part_tasks(spark: SparkSession, manifest: Manifest, places: Sequence[int]) -> DataFrame:
    """Return a task for each part at `places`, positions in `manifest.parts`, for a RowQuery."""
    tasks = [
        json.dumps({"place": place, "uri": manifest.part_uri(part), "rows": part.rows, "size_bytes": part.size_bytes})
        for place, part in ((place, manifest.parts[place]) for place in places)
    ]
    return frames.one_task_each(spark, dict.fromkeys(tasks, 0), PART_TASK).select(PART_TASK)


def columns_named(names: Sequence[str], expressions: Sequence[str]) -> list[str]:
    """Return those of `names` that are words in `expressions`; the first when none is, because rows are counted."""
    words = {word.lower() for sql in expressions for word in re.findall(r"\w+", sql)}
    return [name for name in names if name.lower() in words] or list(names[:1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupWorker:
    """Runs `work` on one group in a worker; `kinds` are the types that DuckDB has for its columns."""

    work: GroupWork
    order: Sequence[str]
    kinds: pa.Schema

    def answer(self, rows: pa.Table) -> pa.Table:
        """Return what `work` returns for the group, as JSON."""
        # The order of DuckDB: texts by their bytes, NaN after all numbers, nulls last.
        rows = typed(rows, self.kinds).sort_by([(name, "ascending") for name in self.order])
        return pa.table({"answer": [json.dumps(self.work(rows))]}, ANSWER)


def typed(table: pa.Table, kinds: pa.Schema) -> pa.Table:
    """Return Spark's `table` with the names and types that DuckDB has for its columns."""
    columns = [
        frames.same_bits(column, kind) if (column.type, kind) == (pa.int64(), pa.uint64()) else column.cast(kind)
        for column, kind in zip(table.columns, kinds.types, strict=True)
    ]
    return pa.table(columns, kinds)
