"""Shard: kept images are copied byte for byte into globally shuffled tars, next to the final manifest.

The place of a sample is the rank of a keyed hash of its key among all kept samples. Ranks are counted in buckets of
the hash, so that no machine sorts all of them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.choosing.verdicts import KEPT_BYTES
from curation.config import PipelineConfig, ShardConfig
from curation.shards.plan import ShardPlan, plan_shards, shuffle_place
from curation.shards.write import write_shard
from jobs.spark import frames
from jobs.spark.part_stages import part_units, write_groups
from jobs.spark.run import Context, read_parent, run_stage
from jobs.units.plan import Plan, Unit, UnitMaker, numbered
from jobs.units.worker import Attempt, receipt_of
from manifests import storage
from manifests.format.receipts import Receipt, write_part
from manifests.format.schema import Stage, schema
from manifests.format.store import Manifest

SAMPLES_PER_BUCKET = 20_000
MAX_BUCKETS = 1 << 16


def plan_shard(config: PipelineConfig, source: str, output: str) -> Plan:
    """Return the plan of writing shards from the chosen manifest at `source`. Raises as `read_parent` does."""
    lineage = read_parent(source, Stage.CHOOSE)
    settings = config.shard.model_dump()
    shards = shard_plan(lineage.manifest, config.shard)
    maker = part_units(Stage.SHARD, lineage.manifest, settings, _SOFTWARE)
    sizes = list(shards.sizes())
    units = [shard_unit(maker, i, len(sizes), rows=rows) for i, rows in enumerate(sizes)]
    return Plan(
        stage=Stage.SHARD,
        output=storage.absolute(output),
        config=settings,
        software=_SOFTWARE,
        inputs={"parent": lineage.manifest.digest},
        parents=lineage.parents,
        roots=lineage.roots,
        funnel=lineage.funnel,
        units=units,
        options=config.storage,
    )


_SOFTWARE = {"shard": "1"}


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
        )
        ctx.account.begin("writing")
        wanted = pa.array([u.inputs["shard"] for u in todo], pa.int64())
        write_groups(placed, "shard", wanted, writer, plan)

    return run_stage(plan, work, ctx)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Kept:
    """Filters the kept rows of a batch, and adds their place in the shuffle and their bucket."""

    salt: str
    buckets: int

    def __call__(self, table: pa.Table) -> pa.Table:
        kept = table.filter(table.column("keep"))
        places = [shuffle_place(self.salt, key) for key in kept.column("key").to_pylist()]
        numbers = [int.from_bytes(p, "big") * self.buckets >> 64 for p in places]
        kept = kept.append_column("place", pa.array(places, pa.binary()))
        return kept.append_column("bucket", pa.array(numbers, pa.int32()))


def place(
    spark: SparkSession,
    parent: Manifest,
    salt: str,
    shards: ShardPlan,
    options: Mapping[str, Mapping[str, Any]],
) -> DataFrame:
    """Return the kept rows of `parent` with `rank`, their place from 0 in the shuffle, and their `shard`."""
    buckets = min(MAX_BUCKETS, -(-shards.samples // SAMPLES_PER_BUCKET))
    keep = _Kept(salt=salt, buckets=buckets)
    extra = [("place", pa.binary()), ("bucket", pa.int32())]
    wide = pa.schema([*parent.schema, (frames.PART, pa.string()), *extra])
    parts = frames.parts_of(parent, options)
    rows = frames.read(spark, parts, parent.schema.names, wide, keep)
    thin = pa.schema([("key", pa.string()), ("keep", pa.bool_()), (frames.PART, pa.string()), *extra])
    narrow = frames.read(spark, parts, ["key", "keep"], thin, keep)
    counts = narrow.groupBy("bucket").agg(F.count("*").alias("rows")).orderBy("bucket").toArrow()
    starts = pc.subtract(pc.cumulative_sum(counts.column("rows")), counts.column("rows"))
    before = spark.createDataFrame(pa.table({"bucket": counts.column("bucket"), "start": starts}))
    in_bucket = F.row_number().over(Window.partitionBy("bucket").orderBy("place", "key")) - 1
    ranked = rows.join(F.broadcast(before), "bucket").withColumn("rank", F.col("start") + in_bucket)
    if shards.samples_per_shard is not None:
        number = f"rank div {shards.samples_per_shard}"
    else:
        number = f"(rank * {shards.shards}) div {shards.samples}"
    return ranked.withColumn("shard", F.expr(number)).drop("bucket", "start", "place", frames.PART)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ShardWriter:
    maker: UnitMaker
    shards: int
    roots: Sequence[str]
    parent_schema: pa.Schema

    def unit(self, group: int) -> Unit:
        """Return the unit of shard number `group`."""
        return shard_unit(self.maker, group, self.shards)

    def write(self, attempt: Attempt, rows: pa.Table) -> Receipt:
        """Write the tar, its table and its statistics from the samples in `rows`."""
        ordered = rows.sort_by("rank").select(self.parent_schema.names).cast(self.parent_schema)
        written = write_shard(attempt.folder, attempt.unit.name, ordered)
        part = write_part(attempt.part, written.batch.to_batches(), schema(Stage.SHARD), roots=self.roots)
        return receipt_of(attempt.unit, part, name=attempt.unit.part, files=written.files)
