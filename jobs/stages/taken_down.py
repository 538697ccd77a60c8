"""Takes pictures of a list of hashes out of a scan, after its units: their rows stay, and say nothing but where.

A unit does not depend on the list, so that no picture is decoded again because the list has grown: parts of an
earlier scan are taken over, and the rows of them that the list has are taken down here.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from curation.scan.measure import SCAN_SCHEMA
from curation.takedown.deny_list import COLUMNS, DenyList
from jobs.spark import frames
from jobs.units.accepted import accepted_receipts
from jobs.units.plan import Plan, Unit
from jobs.units.worker import DONE_DDL, Attempt, Recorder, receipt_of
from manifests import storage
from manifests.format.digest import settings_hash
from manifests.format.receipts import Receipt, part_name, write_part
from manifests.format.schema import Status
from manifests.format.store import read_batches

TAKEN_DOWN = ".taken-down"  # after the name of a unit: its part without what was taken down
_STAYS = ("key", "source", "member", "offset", "size")


def take_down(
    spark: SparkSession, plan: Plan, receipts: Mapping[str, Receipt], denied: DenyList
) -> dict[str, Receipt]:
    """Write again the parts of `receipts` that have a picture of `denied`, and return their receipts, by unit."""
    if not denied:
        return {}
    tasks = {json.dumps({"unit": name, "receipt": each.to_json().decode()}): 0 for name, each in receipts.items()}
    work = _TakeDown(output=plan.output, roots=tuple(plan.roots), recorder=_recorder(plan), denied=denied)
    done = frames.map_batches(frames.one_task_each(spark, tasks), work, DONE_DDL, plan.options).collect()
    now = accepted_receipts(plan.run)
    new = {row["unit"]: now[row["unit"] + TAKEN_DOWN] for row in done}
    changed = {name: replace(each, unit=name, is_changed=True) for name, each in new.items()}
    return {name: replace(each, fingerprint=receipts[name].fingerprint) for name, each in changed.items()}


def _recorder(plan: Plan) -> Recorder:
    return replace(Recorder.of(plan), done=None)  # its images were counted by the scan's units


@dataclass(frozen=True, kw_only=True)
class _TakeDown:
    """Takes pictures out of parts, in a worker."""

    output: str
    roots: tuple[str, ...]
    recorder: Recorder
    denied: DenyList

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Write the part of each task again that has such a picture, and yield the name of its unit."""
        for batch in batches:
            for text in batch.column("task").to_pylist():
                task = json.loads(text)
                before = Receipt.from_json(task["receipt"])
                if self._has_any(before):
                    fingerprint = settings_hash(before.part, before.sha256, self.denied.digest)
                    unit = Unit(name=task["unit"] + TAKEN_DOWN, inputs={"part": before.part}, fingerprint=fingerprint)
                    self.recorder.once(unit, functools.partial(self._write, before=before))
                    yield pa.RecordBatch.from_pydict({"unit": [task["unit"]]})

    def _has_any(self, before: Receipt) -> bool:
        uri = storage.join(self.output, before.part)
        return any(
            self.denied.matches(batch).true_count
            for batch in read_batches(uri, list(COLUMNS), rows=before.rows, size_bytes=before.size_bytes)
        )

    def _write(self, attempt: Attempt, before: Receipt) -> Receipt:
        rows = read_batches(storage.join(self.output, before.part), rows=before.rows, size_bytes=before.size_bytes)
        changed = (without_pictures(batch, self.denied.matches(batch)) for batch in rows)
        written = write_part(attempt.part, changed, SCAN_SCHEMA, roots=self.roots)
        name = part_name(attempt.unit.name.removesuffix(TAKEN_DOWN), written.sha256)
        receipt = receipt_of(attempt.unit, written, name=name)
        return replace(
            receipt,
            source_warnings=before.source_warnings,
            broken_sources=before.broken_sources,
            facts=before.facts,
        )


def without_pictures(batch: pa.RecordBatch, is_denied: pa.BooleanArray) -> pa.RecordBatch:
    """Return `batch`, in which the rows that are denied only say where they are, and that they were taken down."""
    for place, field in enumerate(batch.schema):
        if field.name in _STAYS:
            continue
        absent = pa.scalar(str(Status.TAKEN_DOWN) if field.name == "status" else None, field.type)
        column = batch.column(field.name)
        batch = batch.set_column(place, field, _if_else(is_denied, absent, column))
    return batch


def _if_else(mask: pa.BooleanArray, value: pa.Scalar, column: pa.Array) -> pa.Array:
    """Return `column` with `value` where `mask` is true."""
    places = pa.array(range(len(column)), pa.int64())
    where = pc.if_else(mask, pa.scalar(len(column), pa.int64()), places)
    return pa.concat_arrays([column, pa.array([value.as_py()], column.type)]).take(where)
