"""Stages that add columns to each part of their parent from the result of a shuffle."""

import dataclasses
import functools
import logging
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from jobs.spark import frames
from jobs.units.part_plan import part_units
from jobs.units.plan import Plan, Unit, UnitMaker
from jobs.units.worker import DONE_DDL, Attempt, Recorder, receipt_of
from manifests import storage
from manifests.errors import StageFailed
from manifests.format.receipts import Receipt, write_part
from manifests.format.schema import schema
from manifests.format.store import Manifest, read_batches, unit_of

_log = logging.getLogger(__name__)

# A shuffle keeps a block for each pair of tasks that write and read it; a task sends 7 KB of metrics to the driver.
MAX_GROUP_TASKS = 20_000


class GroupWriter(Protocol):
    """Writes one unit from a group of rows, in a worker."""

    def unit(self, group: Any) -> Unit:
        """Return the unit of the group with this value in the grouping column."""
        ...

    def write(self, attempt: Attempt, rows: pa.Table) -> Receipt:
        """Write the unit's part from the rows of its group and return its receipt."""
        ...


def write_groups(frame: DataFrame, column: str, groups: pa.Array, writer: GroupWriter, plan: Plan) -> None:
    """Write one unit for each value of `groups`, from the rows of `frame` that have it in `column`.

    These rows are shuffled once. Of many units, one task does several, one after the other.
    """
    if not len(groups):
        return
    _log.info("%s: %d units to do", plan.made_by, len(groups))
    recorder = Recorder.of(plan)

    def write_group(table: pa.Table) -> pa.Table:
        unit = writer.unit(table.column(column)[0].as_py())
        recorder.once(unit, lambda attempt: writer.write(attempt, table))
        return pa.table({"unit": [unit.name]})

    wanted = F.broadcast(frame.sparkSession.createDataFrame(pa.table({column: groups})))
    mine = frame.join(wanted, column, "left_semi").repartition(min(len(groups), MAX_GROUP_TASKS), column)
    frames.map_groups(mine, column, write_group, DONE_DDL, plan.options).collect()


@dataclasses.dataclass(frozen=True, kw_only=True)
class SliceWriter:
    """Writes a part: the rows of the parent's part, with `columns` of the answer's rows that have the same `key`."""

    maker: UnitMaker
    parent: str
    columns: Sequence[str]
    roots: Sequence[str]

    def unit(self, group: str) -> Unit:
        """Return the unit of the parent's part named `group`."""
        return self.maker.unit(unit_of(group), {"part": group})

    def write(self, attempt: Attempt, rows: pa.Table) -> Receipt:
        """Write the unit's part with `columns` of `rows`, and return its receipt.

        Raises StageFailed unless `rows` has each key of the parent's part once, and no other.
        """
        uri = storage.join(self.parent, attempt.unit.inputs["part"])
        places = {k: i for i, k in enumerate(rows.column("key").to_pylist())}
        wide = schema(self.maker.stage)
        found = 0

        def joined() -> Iterator[pa.RecordBatch]:
            nonlocal found
            for batch in read_batches(uri):
                at = pa.array([places.get(k) for k in batch.column("key").to_pylist()], pa.int64())
                found += len(at) - at.null_count
                if at.null_count:
                    raise _wrong_answer(uri, f"{at.null_count:,} rows have no answer")
                table = pa.Table.from_batches([batch])
                table = table.drop_columns([name for name in self.columns if name in table.column_names])
                for name in self.columns:
                    field = wide.field(name)
                    table = table.append_column(field, rows.column(name).combine_chunks().take(at).cast(field.type))
                yield from table.combine_chunks().to_batches()

        if len(places) != rows.num_rows:
            raise _wrong_answer(uri, f"{rows.num_rows:,} answers for {len(places):,} keys")
        part = write_part(attempt.part, joined(), wide, roots=self.roots)
        if found != rows.num_rows:
            raise _wrong_answer(uri, f"{rows.num_rows:,} answers for {found:,} rows")
        return receipt_of(attempt.unit, part)


def _wrong_answer(uri: str, what: str) -> StageFailed:
    return StageFailed(f"{uri}: {what}; a shuffle lost or doubled rows, or the part was changed; nothing was written")


def write_slices(
    answer: DataFrame | pa.Table, plan: Plan, todo: Sequence[Unit], parent: Manifest, columns: Sequence[str]
) -> None:
    """Write the parts of `todo` with `columns` of `answer`: a row (`part`, `key`, …) for each row of `parent`.

    Those of an answer that is in memory are written by this process, one after the other. So are parts without rows,
    which have none in `answer`.
    """
    writer = SliceWriter(
        maker=part_units(
            plan.stage, parent, plan.config, plan.software, {k: v for k, v in plan.inputs.items() if k != "parent"}
        ),
        parent=parent.uri,
        columns=columns,
        roots=plan.roots,
    )
    recorder = Recorder.of(plan)
    nothing = pa.table({name: pa.array([], pa.string()) for name in ("key", *columns)})
    if isinstance(answer, pa.Table):
        for unit in todo:
            mine = answer.filter(pc.equal(answer.column(frames.PART), unit.inputs["part"]))
            recorder.once(unit, functools.partial(writer.write, rows=mine))
        return
    for unit in todo:
        if unit.rows == 0:
            recorder.once(unit, functools.partial(writer.write, rows=nothing))
    parts = pa.array([u.inputs["part"] for u in todo], pa.string())
    write_groups(answer, frames.PART, parts, writer, plan)
