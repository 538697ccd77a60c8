"""Workers on the parts of a manifest that are tasks of Spark, for what one machine is too small for."""

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.choosing.verdicts import COUNT_SCHEMA, KEY_SCHEMA
from jobs.spark import frames
from jobs.units.plan import Plan, Unit
from jobs.units.worker import Perform
from manifests.format.done import DoneCounter
from manifests.format.store import Manifest


class PartTasks:
    """Tasks of Spark, one for each part. `options` are the storage arguments of workers."""

    def __init__(self, spark: SparkSession, options: frames.Options) -> None:
        self._spark = spark
        self._options = options

    def done_counter(self) -> DoneCounter | None:
        """Return a counter of finished units; None if workers have no way to report."""
        return frames.done_counter(self._spark)

    def count(
        self, parent: Manifest, columns: Sequence[str], work: Callable[[pa.Table], pa.Table]
    ) -> Mapping[int, int]:
        """Return how many rows have which digit, as `work` counts them in `columns` of each batch."""
        frame = self._read(parent, columns, COUNT_SCHEMA, work)
        totals = frame.groupBy("digit").agg(F.sum("rows").alias("rows")).toArrow()
        return dict(zip(totals.column("digit").to_pylist(), totals.column("rows").to_pylist(), strict=True))

    def nth_key(
        self, parent: Manifest, columns: Sequence[str], work: Callable[[pa.Table], pa.Table], n: int
    ) -> str | None:
        """Return the `n`-th smallest of the keys that `work` finds, in the order of UTF-8; the last one if fewer."""
        frame = self._read(parent, columns, KEY_SCHEMA, work)
        last = frame.orderBy("key").limit(n).agg(F.max("key").alias("key")).first()
        return None if last is None else last["key"]

    def do(self, plan: Plan, todo: Sequence[Unit], perform: Perform) -> None:
        """Do those units of `plan`: `perform` writes an attempt's part and returns its receipt."""
        frames.map_units(self._spark, plan, todo, perform)

    def _read(
        self, parent: Manifest, columns: Sequence[str], schema: pa.Schema, work: Callable[[pa.Table], pa.Table]
    ) -> DataFrame:
        return frames.read(self._spark, frames.parts_of(parent, self._options), columns, schema, work)
