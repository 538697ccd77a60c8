"""The engine of `manifests.sql.engine` on Spark, for manifests that one machine is too small for.

Expressions over one row are evaluated by DuckDB in the workers. SQL that compares rows is translated for Spark. The
driver has the same views without rows in a DuckDB of its own, from which it takes names and types of results.
"""

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, cast

import duckdb
import numpy as np
import pyarrow as pa
import sqlglot
from pyspark.sql import DataFrame, SparkSession

from jobs.spark import frames
from manifests import errors
from manifests.errors import CurateError, StageFailed
from manifests.format.integrity import require_intact
from manifests.format.store import Manifest, read_batches
from manifests.sql.duckdb_errors import duckdb_errors
from manifests.sql.engine import GroupWork, columns_of, quoted
from manifests.sql.expressions import sealed

_PLACE = "place_and_uri"
_ANSWER = pa.schema([("answer", pa.string())])
_OURS = re.compile(r"^manifests\.errors\.(\w+): (.*)$", re.MULTILINE)
_LOST = re.compile(r"most recent failure: (.*)$", re.MULTILINE)
_RAISED = re.compile(r"^[\w.]*(?:Error|Exception|Exit)\b.*$", re.MULTILINE)
_RAISED_BY_THE_JVM = re.compile(r"^: ([\w.]*(?:Error|Exception)\b.*)$", re.MULTILINE)
# Spark cannot estimate how many rows Python functions return, and might broadcast a whole manifest. So joins are
# shuffled, unless a side turns out to be small at run time.
_PLANNING = {
    "spark.sql.autoBroadcastJoinThreshold": "-1",
    "spark.sql.adaptive.autoBroadcastJoinThreshold": "10MB",
    "spark.sql.variable.substitute": "false",  # else Spark replaces ${name} in a text by one of its settings
}


class SparkEngine:
    """Evaluates in Spark's workers. Only small results come to the driver.

    `options` are the storage arguments of workers. Unsigned 64-bit numbers, such as DuckDB's hashes, are stored in
    Spark as signed numbers of the same bits: they can be compared for equality, and are unsigned again in results.
    """

    name = "spark"

    def __init__(self, spark: SparkSession, options: Mapping[str, Mapping[str, Any]]) -> None:
        self._spark = spark
        self._options = options
        self._checked: set[tuple[str, int]] = set()
        self._named: set[str] = set()
        self._planning_before = {name: spark.conf.get(name, None) for name in _PLANNING}
        for name, value in _PLANNING.items():
            spark.conf.set(name, value)
        self._empty = sealed()
        self._empty.execute(
            "CREATE MACRO conv(text, base, other) AS text::VARCHAR"
        )  # used by `bucket`; DuckDB has none

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._empty.close()
        with contextlib.suppress(
            Exception
        ):  # when Spark has stopped, its views are gone, and the reason was reported
            for name in self._named:
                self._spark.catalog.dropTempView(name)
            for name, value in self._planning_before.items():
                if value is None:
                    self._spark.conf.unset(name)
                else:
                    self._spark.conf.set(name, value)

    def view(
        self,
        name: str,
        manifest: Manifest,
        columns: Mapping[str, str],
        *,
        where: str | None = None,
        parts: Sequence[int] | None = None,
    ) -> None:
        """See Engine. Each task reads one part, and only the columns that the expressions name."""
        places = list(range(len(manifest.parts)) if parts is None else parts)
        unseen = [place for place in places if (manifest.uri, place) not in self._checked]
        require_intact(manifest, unseen)
        self._checked.update((manifest.uri, place) for place in unseen)
        query = RowQuery(
            columns=columns,
            where=where,
            reads=_columns_named(manifest.schema.names, [*columns.values(), where or ""]),
        )
        with duckdb_errors(manifest.uri):
            nothing = pa.schema([manifest.schema.field(each) for each in query.reads]).empty_table()
            kinds = self._remember(name, query.evaluate(self._empty, nothing, place=0, first_row=0))
        tasks = [json.dumps([place, manifest.part_uri(manifest.parts[place])]) for place in places]
        frame = frames.one_task_each(self._spark, _PLACE, tasks).select(_PLACE)
        self._name(name, frames.map_batches(frame, query, frames.ddl(kinds), self._options))

    def table(self, name: str, rows: pa.Table) -> None:
        """See Engine."""
        with duckdb_errors(name):
            self._empty.register("given", rows)
            rows = self._empty.sql("SELECT * FROM given").to_arrow_table()
            self._empty.unregister("given")
            self._remember(name, rows)
        self._name(name, self._spark.createDataFrame(frames.for_spark(rows)))

    def keep(self, name: str, sql: str) -> None:
        """See Engine. The rows stay in the workers, see docs/adr/0010."""
        with duckdb_errors(name):
            nothing = self._empty.sql(f"SELECT * FROM ({sql}) LIMIT 0").to_arrow_table()
        with _spark_errors():
            frame = self._frame(sql, nothing.schema).localCheckpoint()
        self._remember(name, nothing)
        self._name(name, frame)

    def fetch(self, sql: str) -> pa.Table:
        """See Engine."""
        kinds = self._kinds(sql)
        with _spark_errors():
            return typed(self._frame(sql, kinds).toArrow(), kinds)

    def bucket(self, text: str, buckets: int) -> str:
        """See Engine."""
        return f"(cast(conv(substr(md5({text}), 1, 7), 16, 10) as bigint) % {buckets})"

    def map_groups(self, sql: str, group: str, order: str, work: GroupWork) -> Iterator[Any]:
        """See Engine. Results of `work` come to the driver as JSON."""
        kinds = self._kinds(f"SELECT * FROM ({sql}) ORDER BY {group}, {order}")
        worker = _GroupWorker(work=work, order=_names_in(order), kinds=kinds)
        column = _backticked(_names_in(group)[0])
        with _spark_errors():
            # Given a number, Spark does not merge small partitions: the work on a small group may take long.
            partitions = int(self._spark.conf.get("spark.sql.shuffle.partitions") or 1)
            frame = self._frame(sql, kinds).repartition(partitions, column)
            answers = frames.map_groups(frame, column, worker.answer, frames.ddl(_ANSWER), self._options).toArrow()
        yield from map(json.loads, answers.column("answer").to_pylist())

    def _frame(self, sql: str, kinds: pa.Schema) -> DataFrame:
        """Return the rows of `sql`, with the names that DuckDB has for its columns."""
        return self._spark.sql(spark_sql(sql)).toDF(*kinds.names)

    def _kinds(self, sql: str) -> pa.Schema:
        with duckdb_errors("query"):
            return self._empty.sql(sql).to_arrow_table().schema

    def _remember(self, name: str, rows: pa.Table) -> pa.Schema:
        """Name a table without rows that has the columns of `rows`, and return its schema."""
        self._empty.register("given", rows.schema.empty_table())
        self._empty.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM given")
        self._empty.unregister("given")
        return rows.schema

    def _name(self, name: str, frame: DataFrame) -> None:
        frame.createOrReplaceTempView(name)
        self._named.add(name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowQuery:
    """Reads parts in a worker and evaluates a view's expressions, batch by batch."""

    columns: Mapping[str, str]
    where: str | None
    reads: Sequence[str]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the view's rows of each part, given as JSON of its place and URI. For `frames.map_batches`."""
        with sealed() as db:
            for batch in batches:
                for text in batch.column(_PLACE).to_pylist():
                    place, uri = json.loads(text)
                    first_row = 0
                    for rows in read_batches(uri, self.reads):
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
        reads=_columns_named(manifest.schema.names, [*map(quoted, columns), where or ""]),
    )
    place = [("part", pa.int32()), ("row", pa.int64())]
    kinds = pa.schema([*place, *(manifest.schema.field(name) for name in columns)])
    tasks = [json.dumps([number, manifest.part_uri(part)]) for number, part in enumerate(manifest.parts)]
    frame = frames.one_task_each(spark, _PLACE, tasks).select(_PLACE)
    return frames.map_batches(frame, query, frames.ddl(kinds), options).drop("part", "row")


def _columns_named(names: Sequence[str], expressions: Sequence[str]) -> list[str]:
    """Return those of `names` that are words in `expressions`; the first when none is, because rows are counted."""
    words = {word.lower() for sql in expressions for word in re.findall(r"\w+", sql)}
    return [name for name in names if name.lower() in words] or list(names[:1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class _GroupWorker:
    """Runs `work` on one group in a worker; `kinds` are the types that DuckDB has for its columns."""

    work: GroupWork
    order: Sequence[str]
    kinds: pa.Schema

    def answer(self, rows: pa.Table) -> pa.Table:
        """Return what `work` returns for the group, as JSON."""
        # The order of DuckDB: texts by their bytes, NaN after all numbers, nulls last.
        rows = typed(rows, self.kinds).sort_by([(name, "ascending") for name in self.order])
        return pa.table({"answer": [json.dumps(self.work(rows))]}, _ANSWER)


def typed(table: pa.Table, kinds: pa.Schema) -> pa.Table:
    """Return Spark's `table` with the names and types that DuckDB has for its columns."""
    columns = [
        frames.same_bits(column, kind) if (column.type, kind) == (pa.int64(), pa.uint64()) else column.cast(kind)
        for column, kind in zip(table.columns, kinds.types, strict=True)
    ]
    return pa.table(columns, kinds)


def spark_sql(sql: str) -> str:
    """Return `sql`, in DuckDB's dialect, translated to Spark's: names in backticks, texts escaped, nulls last.

    Both mean the same as long as `substr` counts from 1, hashes are only compared for equality, and `/` is not used.
    """
    (translated,) = sqlglot.transpile(sql, read="duckdb", write="spark")
    return translated


def _backticked(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _names_in(order: str) -> list[str]:
    """Return the columns that a comma-separated list names, quoted or not."""
    select = sqlglot.parse_one(f"SELECT {order}", read="duckdb", into=sqlglot.exp.Select)
    return [column.name for column in select.expressions]


@contextlib.contextmanager
def _spark_errors() -> Iterator[None]:
    """Translate errors of Spark into ours. An error of ours that a worker raised becomes the same error."""
    try:
        yield
    except CurateError:
        raise
    except Exception as e:
        raise _translated(str(e)) from e


def _translated(message: str) -> CurateError:
    for kind, text in reversed(_OURS.findall(message)):
        return cast(CurateError, getattr(errors, kind)(text))
    reasons = [*_LOST.findall(message)[:1], *_RAISED.findall(message)] or _RAISED_BY_THE_JVM.findall(message)[:1]
    reasons = reasons or message.strip().split("\n")[:1]
    reason = reasons[-1] if reasons else "it gave no reason"
    return StageFailed(f"Spark could not finish: {reason}; remove the cause and run the same command again")
