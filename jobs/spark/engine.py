"""The engine of `manifests.sql.engine` on Spark, for manifests that one machine is too small for.

Expressions over one row are evaluated by DuckDB in the workers. SQL that compares rows is translated for Spark. The
driver has the same views without rows in a DuckDB of its own, from which it takes names and types of results.
"""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, cast

import pyarrow as pa
import sqlglot
from pyspark.sql import DataFrame, SparkSession

from jobs.spark import frames
from jobs.spark.row_query import ANSWER, GroupWorker, RowQuery, columns_named, part_tasks, typed
from jobs.spark.session import sql_settings
from manifests import errors
from manifests.errors import CurateError, StageFailed
from manifests.format.done import DoneCounter
from manifests.format.integrity import require_intact
from manifests.format.store import Manifest
from manifests.sql.duckdb_errors import duckdb_errors
from manifests.sql.engine import GroupWork
from manifests.sql.expressions import sealed

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
        self.session = spark
        self._options = options
        self._checked: set[tuple[str, int]] = set()
        self._named: set[str] = set()
        self._settings = sql_settings(spark, _PLANNING)
        self._empty = sealed()
        # `bucket` uses conv, which DuckDB does not have.
        self._empty.execute("CREATE MACRO conv(text, base, other) AS text::VARCHAR")

    def __enter__(self) -> Self:
        self._settings.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._empty.close()
        # When Spark has stopped, its views are gone, and the reason was reported.
        with contextlib.suppress(Exception):
            for name in self._named:
                self.session.catalog.dropTempView(name)
            self._settings.__exit__(kind, error, at)

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
            reads=columns_named(manifest.schema.names, [*columns.values(), where or ""]),
        )
        with duckdb_errors(manifest.uri):
            nothing = pa.schema([manifest.schema.field(each) for each in query.reads]).empty_table()
            kinds = self._remember(name, query.evaluate(self._empty, nothing, place=0, first_row=0))
        frame = part_tasks(self.session, manifest, places)
        self._name(name, frames.map_batches(frame, query, frames.ddl(kinds), self._options))

    def table(self, name: str, rows: pa.Table) -> None:
        """See Engine."""
        with duckdb_errors(name):
            self._empty.register("given", rows)
            rows = self._empty.sql("SELECT * FROM given").to_arrow_table()
            self._empty.unregister("given")
            self._remember(name, rows)
        self._name(name, self.session.createDataFrame(frames.for_spark(rows)))

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
        worker = GroupWorker(work=work, order=_names_in(order), kinds=kinds)
        column = _backticked(_names_in(group)[0])
        with _spark_errors():
            # Given a number, Spark does not merge small partitions: the work on a small group may take long.
            partitions = int(self.session.conf.get("spark.sql.shuffle.partitions") or 1)
            frame = self._frame(sql, kinds).repartition(partitions, column)
            answers = frames.map_groups(frame, column, worker.answer, frames.ddl(ANSWER), self._options).toArrow()
        yield from map(json.loads, answers.column("answer").to_pylist())

    def done_counter(self) -> DoneCounter | None:
        """See Engine."""
        return frames.done_counter(self.session)

    def _frame(self, sql: str, kinds: pa.Schema) -> DataFrame:
        """Return the rows of `sql`, with the names that DuckDB has for its columns."""
        return self.session.sql(spark_sql(sql)).toDF(*kinds.names)

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
