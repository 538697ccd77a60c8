"""The order of all kept samples: their places in a global shuffle, and where each shard begins among them.

Samples are ordered by their place, a keyed hash of their key, and then by key. Where each shard begins is found from
keys and places alone, in buckets of the hash, so that no machine sorts all of them.
"""

import bisect
import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.shards.plan import ShardPlan, shuffle_place
from jobs.spark import frames
from manifests.errors import StageFailed
from manifests.format.store import Manifest

SAMPLES_PER_BUCKET = 20_000
MAX_BUCKETS = 1 << 16
PLACE, TO_SHARD = "place", "to_shard"
"""Columns with the place of a sample in the order, and the number of its shard."""


Start = tuple[bytes, str]
"""The place and the key of a shard's first sample."""


def shard_starts(
    spark: SparkSession, parent: Manifest, salt: str, shards: ShardPlan, options: frames.Options
) -> list[Start]:
    """Return where each of `shards` begins among the kept rows of `parent`. Only keys and places are shuffled.

    Raises StageFailed when there are not as many kept rows as `parent` records.
    """
    buckets = min(MAX_BUCKETS, -(-shards.samples // SAMPLES_PER_BUCKET))
    to_buckets = functools.partial(_in_buckets, salt=salt, buckets=buckets)
    keys = frames.read(spark, frames.parts_of(parent, options), ["key", "keep"], _NARROW, to_buckets)
    counts = keys.groupBy("bucket").agg(F.count("*").alias("rows")).orderBy("bucket").toArrow()
    rows = counts.column("rows").to_numpy()
    if rows.sum() != shards.samples:
        raise StageFailed(
            f"{parent.uri}: {rows.sum():,} rows are kept, {shards.samples:,} when it was committed; restore it, or "
            "make the manifest again"
        )
    ends, firsts = np.cumsum(rows), np.array(shards.first_ranks(), np.int64)
    at = np.searchsorted(ends, firsts, side="right")
    wanted = pa.table(
        {
            "shard": pa.array(range(len(firsts)), pa.int64()),
            "bucket": counts.column("bucket").to_numpy()[at],
            "nth": pa.array(firsts - (ends - rows)[at] + 1, pa.int32()),
        }
    )
    nth = F.row_number().over(Window.partitionBy("bucket").orderBy("place", "key"))
    found = keys.withColumn("nth", nth).join(F.broadcast(spark.createDataFrame(wanted)), ["bucket", "nth"])
    starts = found.select("shard", "place", "key").toArrow().sort_by("shard")
    return list(zip(starts.column("place").to_pylist(), starts.column("key").to_pylist(), strict=True))


_NARROW = pa.schema([("key", pa.string()), ("place", pa.binary()), ("bucket", pa.int32())])


def _kept(table: pa.Table, salt: str) -> pa.Table:
    """Return the kept rows of `table` with their place."""
    kept = table.filter(table.column("keep"))
    places = [shuffle_place(salt, key) for key in kept.column("key").to_pylist()]
    return kept.append_column("place", pa.array(places, pa.binary()))


def _in_buckets(table: pa.Table, *, salt: str, buckets: int) -> pa.Table:
    """Return the kept rows of `table` as _NARROW; the order of buckets is that of the places in them."""
    kept = _kept(table, salt)
    numbers = [int.from_bytes(place, "big") * buckets >> 64 for place in kept.column("place").to_pylist()]
    return kept.append_column("bucket", pa.array(numbers, pa.int32())).select(_NARROW.names)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FindShards:
    """Finds shards in a worker, among the `starts` of all; rows of other shards than `wanted` are left out."""

    salt: str
    starts: Sequence[Start]
    wanted: frozenset[int]

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the kept rows of `table` with their place and their shard, the last that starts at or before it."""
        kept = _kept(table, self.salt)
        order = zip(kept.column("place").to_pylist(), kept.column("key").to_pylist(), strict=True)
        numbers = [bisect.bisect_right(self.starts, each) - 1 for each in order]
        found = kept.append_column(TO_SHARD, pa.array(numbers, pa.int64())).drop_columns(frames.PART)
        return found.filter(pa.array([number in self.wanted for number in numbers], pa.bool_()))
