"""Makes keys unique after the scan's units: of the samples that share a key, the first keeps it.

The first is the one whose source comes first by name, so the keys depend neither on the order of the input nor on
where it is stored.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.scan.measure import SCAN_SCHEMA
from curation.sources.keys import collided_key
from jobs.spark import frames
from jobs.units.accepted import accepted_receipts, read_accepted
from jobs.units.plan import Plan, Unit
from jobs.units.worker import DONE_DDL, Attempt, Recorder, receipt_of
from manifests import storage
from manifests.errors import StageFailed
from manifests.format.digest import settings_hash
from manifests.format.receipts import Receipt, part_name, write_part
from manifests.format.roots import split_source
from manifests.format.store import read_batches, unit_of

MAX_ROWS_HERE = 1_000_000  # keys of so many rows, some 100 MB, may be compared on the driver
LOCATED = ("key", "source", "member", "offset")
UNIQUE = ".unique"  # after the name of a unit: its part with keys that are unique

_KEYS = pa.schema([("key", pa.string()), (frames.PART, pa.string())])
_PLACE_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("root", pa.int32()),
        ("name", pa.string()),
        ("member", pa.string()),
        ("offset", pa.int64()),
        ("source", pa.string()),
        (frames.PART, pa.string()),
    ]
)


def make_keys_unique(spark: SparkSession, plan: Plan, accepted: Mapping[str, Receipt]) -> dict[str, Receipt]:
    """Write again the parts with samples that share their key with an earlier one, which get a key of their own.

    `accepted` are the receipts of the run. Return those of the new parts, by unit. The parts that they replace stay
    as they are until the commit. Raises StageFailed if keys are shared afterwards.
    """
    receipts = {name: each for name, each in accepted.items() if not name.endswith(UNIQUE)}
    parts = _parts(plan, receipts.values())
    if _are_distinct(spark, parts):
        return {}
    keys = frames.read(spark, parts, ["key"], _KEYS)
    shared = keys.groupBy("key").agg(F.count("*").alias("samples")).where("samples > 1").select("key")
    located = frames.read(spark, parts, LOCATED, _PLACE_SCHEMA, functools.partial(_locate, roots=tuple(plan.roots)))
    order = Window.partitionBy("key").orderBy("name", "root", "offset", "member")
    later = located.join(shared, "key").withColumn("place", F.row_number().over(order)).where("place > 1")
    writer = _Rekey(plan, settings_hash(sorted((r.part, r.sha256) for r in receipts.values())))
    done = frames.map_groups(later, frames.PART, writer.rewrite, DONE_DDL, plan.options).collect()
    now = accepted_receipts(plan.run)
    new = {row["unit"].removesuffix(UNIQUE): now[row["unit"]] for row in done}
    if not _are_distinct(spark, _parts(plan, {**receipts, **new}.values())):
        raise StageFailed(f"{plan.output}: keys are shared after they were made unique; nothing was committed")
    changed = {name: replace(each, unit=name, is_changed=True) for name, each in new.items()}
    return {name: replace(each, fingerprint=receipts[name].fingerprint) for name, each in changed.items()}


def _parts(plan: Plan, receipts: Iterable[Receipt]) -> frames.Parts:
    ordered = sorted(receipts, key=lambda each: each.part)
    rows = {each.part: each.rows for each in ordered}
    size_bytes = {each.part: each.size_bytes for each in ordered}
    return frames.Parts(folder=plan.output, rows=rows, size_bytes=size_bytes, options=plan.options)


def _are_distinct(spark: SparkSession, parts: frames.Parts) -> bool:
    """Whether no key occurs twice; for few rows found on the driver, where a shuffle would take longer."""
    if sum(parts.rows.values()) > MAX_ROWS_HERE:
        keys = frames.read(spark, parts, ["key"], _KEYS)
        return keys.groupBy("key").count().where("count > 1").isEmpty()
    found = [b.column("key") for name in parts.rows for b in read_batches(storage.join(parts.folder, name), ["key"])]
    together = pa.chunked_array(found, pa.string())
    return bool(pc.count_distinct(together).as_py() == len(together))


def _locate(table: pa.Table, *, roots: Sequence[str]) -> pa.Table:
    """Return where samples are stored as _PLACE_SCHEMA; sources become a number of the root and a name below it."""
    numbers = {root.rstrip("/") + "/": i for i, root in enumerate(roots)}
    split = {uri: split_source(uri, roots) for uri in table.column("source").unique().to_pylist()}
    places = [split[uri] for uri in table.column("source").to_pylist()]
    placed = table.append_column("root", pa.array([numbers[root] for root, _ in places], pa.int32()))
    placed = placed.append_column("name", pa.array([name for _, name in places], pa.string()))
    return placed.select(_PLACE_SCHEMA.names)


class _Rekey:
    """Writes one part again, with new keys for the samples in a table of locations; runs in the worker."""

    def __init__(self, plan: Plan, fingerprint: str) -> None:
        self.output, self.roots, self.fingerprint = plan.output, list(plan.roots), fingerprint
        self.recorder = replace(Recorder.of(plan), done=None)  # its images were counted by the scan's units

    def rewrite(self, table: pa.Table) -> pa.Table:
        """Write the part of the rows in `table` again; return its unit."""
        part = table.column(frames.PART)[0].as_py()
        new = {
            (r["source"], r["member"], r["offset"]): collided_key(
                r["key"], root=r["root"], source_name=r["name"], member=r["member"], offset=r["offset"]
            )
            for r in table.to_pylist()
        }
        unit = Unit(name=unit_of(part) + UNIQUE, inputs={"part": part}, fingerprint=self.fingerprint)
        self.recorder.once(unit, lambda attempt: self._write(attempt, new))
        return pa.table({"unit": [unit.name]})

    def _write(self, attempt: Attempt, new: Mapping[tuple[str, str, int], str]) -> Receipt:
        unit, part = attempt.unit, attempt.unit.inputs["part"]
        before = read_accepted(self.recorder.fence, unit.name.removesuffix(UNIQUE))
        changed = (
            _with_keys(batch, new) for batch in read_batches(storage.join(self.output, part), rows=before.rows)
        )
        written = write_part(attempt.part, changed, SCAN_SCHEMA, roots=self.roots)
        receipt = receipt_of(unit, written, name=part_name(before.unit, written.sha256))
        return replace(
            receipt,
            source_warnings=before.source_warnings,
            broken_sources=before.broken_sources,
            facts={**before.facts, "shared_keys": len(new)},
        )


def _with_keys(batch: pa.RecordBatch, new: Mapping[tuple[str, str, int], str]) -> pa.RecordBatch:
    places = zip(*(batch.column(name).to_pylist() for name in LOCATED), strict=True)
    keys = [new.get((source, member, offset), key) for key, source, member, offset in places]
    return batch.set_column(0, "key", pa.array(keys, pa.string()))
