"""Shard: kept images are copied byte for byte into globally shuffled tars, next to the final manifest.

Samples are ordered by their place, a keyed hash of their key, and then by key. Where each shard begins in this order
is found from keys and places alone, in buckets of the hash, so that no machine sorts all of them. Complete rows are
read once, find their shard among these beginnings, and are shuffled once.
"""

import bisect
import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.choosing.verdicts import KEPT_BYTES
from curation.config import PipelineConfig
from curation.config_shard import ShardConfig
from curation.pictures.resize import RESIZER_VERSION
from curation.shards.layout import ShardForm
from curation.shards.plan import ShardPlan, plan_shards, shuffle_place
from curation.shards.shuffle import shuffle_facts
from curation.shards.whole import whole_of
from curation.shards.write import write_shard
from jobs.spark import frames
from jobs.spark.part_stages import part_units, write_groups
from jobs.spark.run import Context, read_parent, run_stage
from jobs.units.plan import Plan, Unit, UnitMaker
from jobs.units.worker import Attempt, receipt_of
from manifests import storage
from manifests.errors import StageFailed
from manifests.file_names import numbered
from manifests.format.receipts import Receipt, write_part
from manifests.format.roots import relative_sources
from manifests.format.schema import Stage, schema
from manifests.format.store import Manifest

SAMPLES_PER_BUCKET = 20_000
MAX_BUCKETS = 1 << 16


def plan_shard(config: PipelineConfig, source: str, output: str) -> Plan:
    """Return the plan of writing shards from the chosen manifest at `source`. Raises as `read_parent` does."""
    lineage = read_parent(source, Stage.CHOOSE)
    settings = config.shard.model_dump(mode="json")
    shards = shard_plan(lineage.manifest, config.shard)
    software = _software(config.shard)
    maker = part_units(Stage.SHARD, lineage.manifest, settings, software)
    sizes = list(shards.sizes())
    units = [shard_unit(maker, i, len(sizes), rows=rows) for i, rows in enumerate(sizes)]
    return Plan(
        stage=Stage.SHARD,
        output=storage.absolute(output),
        config=settings,
        software=software,
        inputs={"parent": lineage.manifest.digest},
        parents=lineage.parents,
        roots=lineage.roots,
        funnel=lineage.funnel,
        taken_down=lineage.manifest.taken_down,
        units=units,
        options=config.storage,
        reads=[lineage.manifest],
        summarise=functools.partial(whole_of, layout=config.shard.form().layout),
    )


def _software(config: ShardConfig) -> dict[str, str]:
    """Return the versions of what the bytes of the tars depend on."""
    return {"shard": "2"} | ({} if config.resize is None else {"resize": RESIZER_VERSION})


def shard_unit(maker: UnitMaker, shard: int, shards: int, *, rows: int | None = None) -> Unit:
    """Return the unit that writes shard number `shard` of `shards`."""
    return maker.unit(numbered(shard, shards), {"shard": shard}, rows=rows)


def kept_rows(manifest: Manifest) -> int:
    """Return how many rows of a chosen manifest are kept."""
    return manifest.counts.get("keep", {}).get("true", 0)


def shard_plan(manifest: Manifest, config: ShardConfig) -> ShardPlan:
    """Return how the kept samples of `manifest` are divided into shards."""
    return plan_shards(
        kept_rows(manifest),
        manifest.facts.get(KEPT_BYTES, 0),
        samples_per_shard=config.samples_per_shard,
        target_shard_bytes=config.target_shard_bytes,
    )


def shard(config: PipelineConfig, source: str, output: str, ctx: Context) -> Manifest:
    """Write the kept samples of the chosen manifest at `source` as shards at `output`, and return their manifest."""
    plan = plan_shard(config, source, output)
    parent = read_parent(source, Stage.CHOOSE).manifest
    shards = shard_plan(parent, config.shard)

    def work(spark: SparkSession, plan: Plan, todo: Sequence[Unit]) -> None:
        if not todo:
            return
        ctx.account.begin("placing")
        placed = place(spark, parent, config.shard.salt, shards, plan.options)
        writer = _ShardWriter(
            maker=part_units(Stage.SHARD, parent, plan.config, plan.software),
            shards=len(plan.units),
            roots=plan.roots,
            parent_schema=parent.schema,
            form=config.shard.form(),
        )
        ctx.account.begin("writing")
        wanted = pa.array([u.inputs["shard"] for u in todo], pa.int64())
        write_groups(placed, "shard", wanted, writer, plan)

    return run_stage(plan, work, ctx)


def place(spark: SparkSession, parent: Manifest, salt: str, shards: ShardPlan, options: frames.Options) -> DataFrame:
    """Return the kept rows of `parent` with their `place` in the order and the number of their `shard`."""
    starts = shard_starts(spark, parent, salt, shards, options)
    columns = [*parent.schema, ("place", pa.binary()), ("shard", pa.int64())]
    find = FindShards(salt=salt, starts=starts)
    return frames.read(spark, frames.parts_of(parent, options), parent.schema.names, pa.schema(columns), find)


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
    """Finds shards in a worker, among the `starts` of all."""

    salt: str
    starts: Sequence[Start]

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the kept rows of `table` with their place and their shard, the last that starts at or before it."""
        kept = _kept(table, self.salt)
        order = zip(kept.column("place").to_pylist(), kept.column("key").to_pylist(), strict=True)
        numbers = [bisect.bisect_right(self.starts, each) - 1 for each in order]
        return kept.append_column("shard", pa.array(numbers, pa.int64())).drop_columns(frames.PART)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ShardWriter:
    maker: UnitMaker
    shards: int
    roots: Sequence[str]
    parent_schema: pa.Schema
    form: ShardForm

    def unit(self, group: int) -> Unit:
        """Return the unit of shard number `group`."""
        return shard_unit(self.maker, group, self.shards)

    def write(self, attempt: Attempt, rows: pa.Table) -> Receipt:
        """Write the tar, its table and its statistics from the samples in `rows`."""
        by_place = rows.sort_by([("place", "ascending"), ("key", "ascending")])
        ordered = by_place.select(self.parent_schema.names).cast(self.parent_schema)
        written = write_shard(attempt.folder, attempt.unit.name, ordered, self.form)
        part = write_part(attempt.part, written.batch.to_batches(), schema(Stage.SHARD), roots=self.roots)
        sources = relative_sources(ordered.column("source").combine_chunks(), self.roots).to_pylist()
        return receipt_of(
            attempt.unit, part, name=attempt.unit.part, files=written.files, facts=shuffle_facts(sources)
        )
