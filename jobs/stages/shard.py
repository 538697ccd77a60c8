"""Shard: kept images are copied byte for byte into globally shuffled tars, next to the final manifest.

Where each shard begins in the order of all samples is found first, see `jobs.stages.shard_order`. Complete rows are
then read once, find their shard among these beginnings, and are shuffled once. Images are not shuffled: a shard reads
them by byte range, see `jobs.stages.shard_reading`.

Chosen manifests are sharded, and shards again: then the columns of the shard stage are replaced.
"""

import dataclasses
import functools
from collections.abc import Sequence

import pyarrow as pa
from pyspark.sql import SparkSession

from curation.choosing.verdicts import KEPT_BYTES, kept_bytes
from curation.config import PipelineConfig
from curation.config_shard import ShardConfig
from curation.pictures.resize import RESIZER_VERSION
from curation.shards.layout import ShardForm
from curation.shards.plan import ShardPlan, plan_shards
from curation.shards.read import Place
from curation.shards.reading_cost import Reading
from curation.shards.shuffle import shuffle_facts
from curation.shards.whole import whole_of
from curation.shards.write import write_shard
from jobs.spark.part_stages import write_groups
from jobs.spark.run import Context, run_stage
from jobs.stages.shard_order import PLACE, TO_SHARD, FindShards, shard_starts
from jobs.stages.shard_reading import CopySamples, place_rows, reading_of, ready_copies
from jobs.units.lineage import Lineage, read_parent
from jobs.units.part_plan import part_units
from jobs.units.plan import Plan, Unit, UnitMaker
from jobs.units.worker import Attempt, receipt_of
from manifests import storage
from manifests.errors import InputError
from manifests.file_names import numbered
from manifests.format.receipts import Receipt, write_part
from manifests.format.roots import relative_sources
from manifests.format.schema import Stage, schema
from manifests.format.store import Manifest


def plan_shard(config: PipelineConfig, source: str, output: str) -> Plan:
    """Return the plan of writing shards from the chosen manifest, or the shards, at `source`.

    Raises as `read_parent` does.
    """
    lineage = _parent(source)
    settings = config.shard.model_dump(mode="json", exclude={"read"})
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


def _parent(source: str) -> Lineage:
    return read_parent(source, Stage.CHOOSE, Stage.SHARD)


def _software(config: ShardConfig) -> dict[str, str]:
    """Return the versions of what the bytes of the tars depend on."""
    return {"shard": "2"} | ({} if config.resize is None else {"resize": RESIZER_VERSION})


def shard_unit(maker: UnitMaker, shard: int, shards: int, *, rows: int | None = None) -> Unit:
    """Return the unit that writes shard number `shard` of `shards`."""
    return maker.unit(numbered(shard, shards), {"shard": shard}, rows=rows)


def kept_rows(manifest: Manifest) -> int:
    """Return how many rows of a chosen manifest, or of shards, are kept."""
    return manifest.counts.get("keep", {}).get("true", 0)


def shard_plan(manifest: Manifest, config: ShardConfig) -> ShardPlan:
    """Return how the kept samples of `manifest` are divided into shards.

    Raises InputError if they are to be divided by bytes that the manifest does not record.
    """
    if config.target_shard_bytes is not None and kept_rows(manifest) and KEPT_BYTES not in manifest.facts:
        raise InputError(
            f"{manifest.uri}: made by an earlier curate, which did not record the bytes of its images; "
            "use samples_per_shard instead of target_shard_bytes"
        )
    return plan_shards(
        kept_rows(manifest),
        manifest.facts.get(KEPT_BYTES, 0),
        samples_per_shard=config.samples_per_shard,
        target_shard_bytes=config.target_shard_bytes,
    )


def shard(config: PipelineConfig, source: str, output: str, ctx: Context) -> Manifest:
    """Write the kept samples of the manifest at `source` as shards at `output`, and return their manifest."""
    plan = plan_shard(config, source, output)
    parent = _parent(source).manifest
    shards = shard_plan(parent, config.shard)

    def work(spark: SparkSession, plan: Plan, todo: Sequence[Unit]) -> None:
        if not todo:
            return
        reading = reading_of(config.shard, parent, output)
        for line in reading.lines():
            ctx.reporter.say(f"shard: {line}")
        ctx.account.begin("placing")
        starts = shard_starts(spark, parent, config.shard.salt, shards, plan.options)
        wanted = [unit.inputs["shard"] for unit in todo]
        find = FindShards(salt=config.shard.salt, starts=starts, wanted=frozenset(wanted))
        copies = ready_copies(plan, reading.place) if reading.chosen is Reading.STREAM else None
        writer = _ShardWriter(
            maker=part_units(Stage.SHARD, parent, plan.config, plan.software),
            shards=len(plan.units),
            roots=plan.roots,
            nearer=reading.places(copies),
            form=config.shard.form(),
        )
        ctx.account.begin("writing")
        copy = None if copies is None else CopySamples(place=reading.place, folder=copies)
        placed = place_rows(spark, parent, find, plan.options, copy)
        write_groups(placed, TO_SHARD, pa.array(wanted, pa.int64()), writer, plan)

    return run_stage(plan, work, ctx)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ShardWriter:
    maker: UnitMaker
    shards: int
    roots: Sequence[str]
    nearer: Sequence[Place]
    form: ShardForm

    def unit(self, group: int) -> Unit:
        """Return the unit of shard number `group`."""
        return shard_unit(self.maker, group, self.shards)

    def write(self, attempt: Attempt, rows: pa.Table) -> Receipt:
        """Write the tar, its table and its statistics from the samples in `rows`."""
        ordered = rows.sort_by([(PLACE, "ascending"), ("key", "ascending")])
        written = write_shard(attempt.folder, attempt.unit.name, ordered, self.form, nearer=self.nearer)
        part = write_part(attempt.part, written.batch.to_batches(), schema(Stage.SHARD), roots=self.roots)
        sources = relative_sources(written.batch.column("source").combine_chunks(), self.roots).to_pylist()
        facts = {**kept_bytes(written.batch), **shuffle_facts(sources)}
        return receipt_of(attempt.unit, part, name=attempt.unit.part, files=written.files, facts=facts)
