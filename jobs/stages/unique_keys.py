"""Makes keys unique after the scan's units: of the samples that share a key, the first keeps it.

The first is the one whose source comes first by name, so the keys depend neither on the order of the input nor on
where it is stored.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.scan.measure import SCAN_SCHEMA
from curation.sources.keys import collided_key
from jobs.spark import frames
from jobs.units.failures import note_failure
from jobs.units.plan import Plan
from jobs.units.worker import DONE_DDL
from manifests import storage
from manifests.format.receipts import read_receipts, set_receipt_aside, write_part, write_receipt
from manifests.format.roots import split_source
from manifests.format.store import lanes_of, read_batches

MAX_ROWS_HERE = 1_000_000  # keys of so many rows, some 100 MB, may be compared on the driver
LOCATED = ("key", "source", "member", "offset")

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


def make_keys_unique(spark: SparkSession, plan: Plan) -> None:
    """Rewrite the parts with samples that share their key with an earlier one, which get a key of their own.

    Running it again changes nothing.
    """
    parts = frames.Parts(folder=plan.output, names=[u.part for u in plan.units], options=plan.options)
    rows = sum(r.rows for r in read_receipts(plan.output).values())
    if rows <= MAX_ROWS_HERE and _are_keys_distinct(parts):
        return
    keys = frames.read(spark, parts, ["key"], pa.schema([("key", pa.string()), (frames.PART, pa.string())]))
    shared = keys.groupBy("key").agg(F.count("*").alias("samples")).where("samples > 1").select("key")
    if shared.isEmpty():
        return
    located = frames.read(spark, parts, LOCATED, _PLACE_SCHEMA, functools.partial(_locate, roots=tuple(plan.roots)))
    order = Window.partitionBy("key").orderBy("name", "root", "offset", "member")
    later = located.join(shared, "key").withColumn("place", F.row_number().over(order)).where("place > 1")
    frames.map_groups(later, frames.PART, _Rekey(plan).rewrite, DONE_DDL, plan.options).collect()


def _are_keys_distinct(parts: frames.Parts) -> bool:
    """Whether no key occurs twice, found on the driver: for few rows, a shuffle would take longer."""
    keys = [b.column("key") for name in parts.names for b in read_batches(storage.join(parts.folder, name), ["key"])]
    together = pa.chunked_array(keys, pa.string())
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
    """Rewrites one part with new keys for the samples in a table of locations; runs in the worker."""

    def __init__(self, plan: Plan) -> None:
        self.output, self.roots = plan.output, list(plan.roots)

    def rewrite(self, table: pa.Table) -> pa.Table:
        """Rewrite the part of the rows in `table`; return its unit."""
        part = table.column(frames.PART)[0].as_py()
        unit = part.removesuffix(".parquet")
        new = {
            (r["source"], r["member"], r["offset"]): collided_key(
                r["key"], root=r["root"], source_name=r["name"], member=r["member"], offset=r["offset"]
            )
            for r in table.to_pylist()
        }
        try:
            self._rewrite(unit, part, new)
        except Exception as e:
            note_failure(self.output, unit, e)
            raise
        return pa.table({"unit": [unit]})

    def _rewrite(self, unit: str, part: str, new: Mapping[tuple[str, str, int], str]) -> None:
        uri = storage.join(self.output, part)
        receipt = set_receipt_aside(self.output, unit)  # a kill from here on makes the unit be scanned again
        changed = (_with_keys(batch, new) for batch in read_batches(uri))
        written = write_part(uri, changed, SCAN_SCHEMA, roots=self.roots)
        write_receipt(
            self.output,
            replace(
                receipt,
                size_bytes=written.size_bytes,
                sha256=written.sha256,
                lanes=lanes_of(written.lanes.tolist()),
                facts={**receipt.facts, "keys_told_apart": len(new)},
            ),
        )


def _with_keys(batch: pa.RecordBatch, new: Mapping[tuple[str, str, int], str]) -> pa.RecordBatch:
    places = zip(*(batch.column(name).to_pylist() for name in LOCATED), strict=True)
    keys = [new.get((source, member, offset), key) for key, source, member, offset in places]
    return batch.set_column(0, "key", pa.array(keys, pa.string()))
