"""Manifests as Spark DataFrames, and our functions in Spark's Python workers.

Parts are read through fsspec, so that Spark needs no storage jars. Every function of ours that runs in a worker goes
through `map_batches` or `map_groups`, which prepare the worker first.
"""

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyspark import TaskContext
from pyspark.accumulators import AccumulatorParam
from pyspark.sql import DataFrame, SparkSession

from jobs.show import logs
from jobs.spark import processes
from jobs.spark.session import is_remote
from jobs.units.plan import Plan, Unit
from jobs.units.worker import DONE_DDL, Perform, Recorder, Task, prepare_worker
from manifests import storage
from manifests.errors import InputError
from manifests.format.done import NOTHING_DONE, Done, DoneCounter, add_done
from manifests.format.store import Manifest, read_batches

_log = logging.getLogger(__name__)

PART = "part"
_DDL = {
    pa.string(): "string",
    pa.int64(): "long",
    pa.int32(): "int",
    pa.int16(): "smallint",
    pa.int8(): "tinyint",
    pa.uint64(): "long",
    pa.float64(): "double",
    pa.float32(): "float",
    pa.bool_(): "boolean",
    pa.binary(): "binary",
    pa.binary(32): "binary",
}

Transform = Callable[[pa.Table], pa.Table]
MapBatches = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
Options = Mapping[str, Mapping[str, Any]]
"""Storage arguments by protocol, as `manifests.storage.configure` takes them."""


def ddl(schema: pa.Schema) -> str:
    """Return `schema` as Spark's DDL. Raises InputError for a type that Spark does not have."""
    return ", ".join(f"`{f.name.replace('`', '``')}` {_spark_type(f)}" for f in schema)


def _spark_type(field: pa.Field) -> str:
    if pa.types.is_decimal128(field.type):
        return f"decimal({field.type.precision}, {field.type.scale})"
    if field.type not in _DDL:
        raise InputError(f"column {field.name}: Spark has no type {field.type}; cast it, to VARCHAR for example")
    return _DDL[field.type]


def for_spark(table: pa.Table) -> pa.Table:
    """Return `table` in types that Spark has: fixed-size binary as binary, uint64 as the int64 of the same bits."""
    for place, field in enumerate(table.schema):
        if field.type == pa.uint64():
            column = same_bits(table.column(place), pa.int64())
            table = table.set_column(place, field.with_type(pa.int64()), column)
    fields = [f.with_type(pa.binary()) if pa.types.is_fixed_size_binary(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields))


def same_bits(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return `column` with its bits read as `kind`, which must have as many bits."""
    return pa.chunked_array([chunk.view(kind) for chunk in column.chunks], kind)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
    """Parquet parts in one folder with their rows and bytes, by name, and the storage arguments to read them."""

    folder: str
    rows: Mapping[str, int]
    size_bytes: Mapping[str, int]
    options: Options


def parts_of(manifest: Manifest, options: Options) -> Parts:
    """Return the parts of a committed manifest."""
    rows = {part.name: part.rows for part in manifest.parts}
    size_bytes = {part.name: part.size_bytes for part in manifest.parts}
    return Parts(folder=manifest.uri, rows=rows, size_bytes=size_bytes, options=options)


def read(
    spark: SparkSession,
    parts: Parts,
    columns: Sequence[str],
    schema: pa.Schema,
    transform: Transform | None = None,
) -> DataFrame:
    """Return `columns` of `parts`, and in column `part` the name of each row's part. Each part is read by one task.

    `transform` is applied to each batch in the worker; `schema` is the schema of what it returns. A part that has
    other rows than when it was committed makes its task fail.
    """
    reader = _PartReader(folder=parts.folder, columns=columns, transform=transform)
    tasks = {json.dumps([name, parts.size_bytes[name]]): rows for name, rows in parts.rows.items()}
    return map_batches(one_task_each(spark, tasks), reader, ddl(schema), parts.options)


def read_files(spark: SparkSession, files: Mapping[str, int], schema: pa.Schema, options: Options) -> DataFrame:
    """Return the rows of Parquet files, given as URI → bytes, with the columns of `schema`. A task reads each."""
    tasks = {json.dumps([uri, size_bytes]): 0 for uri, size_bytes in files.items()}
    return map_batches(one_task_each(spark, tasks), _FileReader(schema=schema), ddl(schema), options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _FileReader:
    schema: pa.Schema

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for task in batch.column("task").to_pylist():
                uri, size_bytes = json.loads(task)
                for found in read_batches(uri, self.schema.names, size_bytes=size_bytes):
                    yield from pa.Table.from_batches([found]).cast(self.schema).to_batches()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _PartReader:
    folder: str
    columns: Sequence[str]
    transform: Transform | None

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for task, rows in zip(batch.column("task").to_pylist(), batch.column("rows").to_pylist(), strict=True):
                name, size_bytes = json.loads(task)
                uri = storage.join(self.folder, name)
                for found in read_batches(uri, self.columns, rows=rows, size_bytes=size_bytes):
                    table = for_spark(pa.Table.from_batches([found]))
                    table = table.append_column(PART, pa.array([name] * len(table), pa.string()))
                    yield from (self.transform(table) if self.transform else table).to_batches()


class _Sum(AccumulatorParam[Done]):
    def zero(self, value: Done) -> Done:
        return NOTHING_DONE

    def addInPlace(self, value1: Done, value2: Done) -> Done:  # noqa: N802 - Spark's name
        return add_done(value1, value2)


def done_counter(spark: SparkSession) -> DoneCounter | None:
    """Return a counter that workers add to and the driver reads; Spark Connect has none."""
    return None if is_remote(spark) else spark.sparkContext.accumulator(NOTHING_DONE, _Sum())


# --- functions in workers


def map_batches(frame: DataFrame, function: MapBatches, columns: str, options: Options | None = None) -> DataFrame:
    """Return what `function` yields for the Arrow batches of each partition of `frame`.

    `columns` are the names and types that it yields, as Spark's DDL. `options` are the storage arguments of workers.
    """
    return frame.mapInArrow(_PreparedMap(worker=_Worker.now(frame.sparkSession, options), function=function), columns)


def map_groups(
    frame: DataFrame, column: str, function: Transform, columns: str, options: Options | None = None
) -> DataFrame:
    """Return what `function` returns for each group of rows of `frame` that are equal in `column`.

    `columns` and `options` are as in `map_batches`. A group must fit in a worker's memory.
    """
    worker = _Worker.now(frame.sparkSession, options)

    # Spark inspects the signature: it must be a plain function with annotations.
    def apply(table: pa.Table) -> pa.Table:
        worker.prepare()
        result = function(table)
        worker.report()
        return result

    return frame.groupBy(column).applyInArrow(apply, columns)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Worker:
    """Prepares a Python worker, with settings taken from the driver, and lets it report what it used."""

    options: Options
    log_level: int
    reports: processes.Reports | None

    @classmethod
    def now(cls, spark: SparkSession, options: Options | None) -> "_Worker":
        return cls(options=options or {}, log_level=logs.worker_level(), reports=processes.reports_of(spark))

    def prepare(self) -> None:
        processes.this_worker()
        task = TaskContext.get()
        logs.configure_worker(self.log_level, attempt=1 if task is None else task.attemptNumber() + 1)
        prepare_worker(self.options)

    def report(self) -> None:
        if self.reports is not None:
            processes.this_worker().report(self.reports)


def partition_number() -> int:
    """Return the number of the partition that this task works on."""
    task = TaskContext.get()
    if task is None:
        raise RuntimeError("not in a task of Spark")
    return task.partitionId()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _PreparedMap:
    worker: _Worker
    function: MapBatches

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        self.worker.prepare()
        yield from self.function(batches)
        self.worker.report()


def one_task_each(spark: SparkSession, tasks: Mapping[str, int], column: str = "task") -> DataFrame:
    """Return a frame (`place`, `column`, `rows`) with a partition, and so a task, for each of `tasks`: task → rows.

    The column with the task is named `column`.
    """
    table = pa.table(
        {
            "place": pa.array(range(len(tasks)), pa.int32()),
            column: pa.array(list(tasks), pa.string()),
            "rows": pa.array(list(tasks.values()), pa.int64()),
        }
    )
    frame = spark.createDataFrame(table)
    # Spark knows that rows of one partition are together: it joins and groups them without a shuffle.
    return frame.coalesce(1) if len(tasks) <= 1 else frame.repartitionById(len(tasks), "place")


def map_units(spark: SparkSession, plan: Plan, units: Sequence[Unit], perform: Perform) -> None:
    """Do those `units` of `plan`, each in a Spark task: `perform` writes an attempt's part and returns its receipt.

    Raises what Spark raises when a unit fails in all attempts.
    """
    if not units:
        return
    _log.info("%s: %d units to do", plan.made_by, len(units))
    tasks = {json.dumps(dataclasses.asdict(unit)): unit.rows or 0 for unit in units}
    task = Task(recorder=Recorder.of(plan), perform=perform)
    map_batches(one_task_each(spark, tasks), task, DONE_DDL, plan.options).collect()
