"""Stages that write a part for each of the parent's, with columns added: by a map, or from slices of a shuffle."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from curation.config import fingerprint
from jobs import tables
from jobs.stage import Lineage
from jobs.units import Plan, Task, Unit, prepare_worker, unit_fingerprint
from manifests import storage
from manifests.parts import Receipt, WrittenPart, write_part
from manifests.schema import Stage, schema
from manifests.store import Manifest, lanes_of, read_batches


def plan_parts(
    stage: Stage,
    lineage: Lineage,
    output: str,
    config: Mapping[str, Any],
    software: Mapping[str, str],
    options: Mapping[str, Mapping[str, Any]],
) -> Plan:
    """Return the plan of a stage that writes one part for each part of its parent."""
    parent = lineage.manifest
    inputs = {"parent": parent.digest}
    layout = fingerprint([(p.name, p.sha256) for p in parent.parts])
    units = [
        Unit(
            name=p.name.removesuffix(".parquet"),
            inputs={"part": p.name},
            fingerprint=unit_fingerprint(stage, config, software, {**inputs, "layout": layout, "part": p.name}),
            rows=p.rows,
            size_bytes=p.size_bytes,
        )
        for p in parent.parts
    ]
    return Plan(
        stage=stage,
        output=storage.absolute(output),
        config=config,
        software=software,
        inputs=inputs,
        parents=lineage.parents,
        roots=lineage.roots,
        funnel=lineage.funnel,
        units=units,
        options=options,
    )


def receipt_of(unit: Unit, part: WrittenPart, **more: Any) -> Receipt:
    """Return the receipt of a written part."""
    return Receipt(
        unit=unit.name,
        fingerprint=unit.fingerprint,
        part=unit.part,
        rows=part.rows,
        size_bytes=part.size_bytes,
        sha256=part.sha256,
        lanes=lanes_of(part.lanes.tolist()),
        counts=part.counts,
        **more,
    )


AddColumns = Callable[[pa.Table], pa.Table]


def no_facts(table: pa.Table) -> Mapping[str, int]:
    """Return nothing worth adding up over `table`."""
    return {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MapPart:
    """Performs a unit: adds columns to its parent's part, batch by batch. `make` builds the adder in the worker."""

    stage: Stage
    parent: str
    output: str
    roots: Sequence[str]
    make: Callable[[], AddColumns]
    count: Callable[[pa.Table], Mapping[str, int]] = no_facts

    def __call__(self, unit: Unit) -> Receipt:
        """Write the unit's part and return its receipt."""
        add = self.make()
        source = storage.join(self.parent, unit.inputs["part"])
        target = storage.join(self.output, unit.part)
        facts: Counter[str] = Counter()

        def added() -> Iterator[pa.RecordBatch]:
            for batch in read_batches(source):
                table = add(pa.Table.from_batches([batch]))
                facts.update(self.count(table))
                yield from table.to_batches()

        part = write_part(target, added(), schema(self.stage), roots=self.roots)
        return receipt_of(unit, part, facts=dict(facts))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slices:
    """A stage whose answer comes from a shuffle: each part takes the `columns` of its rows, by `key`."""

    plan: Plan
    parent: Manifest
    columns: Sequence[str]


def write_slices(answer: DataFrame, todo: Sequence[Unit], slices: Slices) -> None:
    """Write the parts of `todo`, each from its slice of `answer` (`part`, `key`, and the columns to add).

    A unit whose parent part has no rows has no slice; it is written here.
    """
    plan = slices.plan
    units = {u.part: u for u in todo}
    task = Task(output=plan.output, options=plan.options, perform=_never)
    writer = _SliceWriter(
        stage=plan.stage,
        parent=slices.parent.uri,
        columns=slices.columns,
        roots=plan.roots,
        units=units,
        task=task,
    )
    for unit in todo:
        if unit.rows == 0:
            task.once(unit, lambda unit=unit: writer.write(unit, None))  # type: ignore[misc]
    wanted = answer.sparkSession.createDataFrame(pa.table({tables.PART: pa.array(units, pa.string())}))
    placed = answer.join(wanted, tables.PART, "left_semi").repartition(max(1, len(units)), tables.PART)
    placed.groupBy(tables.PART).applyInArrow(tables.grouped(writer.write_group), "unit string, rows long").collect()


def _never(unit: Unit) -> Receipt:
    raise AssertionError(f"{unit.name}: written from a slice, not by a map")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _SliceWriter:
    stage: Stage
    parent: str
    columns: Sequence[str]
    roots: Sequence[str]
    units: Mapping[str, Unit]
    task: Task

    def write_group(self, table: pa.Table) -> pa.Table:
        """Write the part that the rows of `table` belong to; return its unit and rows."""
        prepare_worker(self.task.options)
        unit = self.units[table.column(tables.PART)[0].as_py()]
        receipt = self.task.once(unit, lambda: self.write(unit, table))
        return pa.table({"unit": [unit.name], "rows": pa.array([receipt.rows], pa.int64())})

    def write(self, unit: Unit, table: pa.Table | None) -> Receipt:
        """Write the unit's part: the parent's rows, with the slice's columns found by key."""
        places = {} if table is None else {k: i for i, k in enumerate(table.column("key").to_pylist())}
        wide = schema(self.stage)

        def joined() -> Iterator[pa.RecordBatch]:
            for batch in read_batches(storage.join(self.parent, unit.inputs["part"])):
                at = pa.array([places[k] for k in batch.column("key").to_pylist()], pa.int64())
                rows = pa.Table.from_batches([batch])
                for name in self.columns:
                    assert table is not None  # noqa: S101 - a part with rows has a slice
                    values = table.column(name).combine_chunks().take(at)
                    rows = rows.append_column(wide.field(name), values.cast(wide.field(name).type))
                yield from rows.combine_chunks().to_batches()

        target = storage.join(self.task.output, unit.part)
        return receipt_of(unit, write_part(target, joined(), wide, roots=self.roots))
