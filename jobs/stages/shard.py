"""Shard: kept images are copied byte for byte into globally shuffled tars, next to the final manifest.

Where each shard begins in the order of all samples is found first, see `jobs.stages.shard_order`. Complete rows are
then read once, find their shard among these beginnings, and are shuffled once. Images are not shuffled: a shard reads
them by byte range, from their sources, from the shards that they come from, or from temporary copies, see
`curation.shards.reading_cost`.

Chosen manifests are sharded, and shards again: then the columns of the shard stage are replaced.
"""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from curation.choosing.verdicts import KEPT_BYTES, kept_bytes
from curation.config import PipelineConfig
from curation.config_shard import ShardConfig
from curation.pictures.resize import RESIZER_VERSION
from curation.shards.copies import copy_samples
from curation.shards.layout import Layout, ShardForm, layout_of
from curation.shards.plan import ShardPlan, plan_shards
from curation.shards.read import COPY, COPY_OFFSET, InShards, Place, Stored, columns_read, in_source
from curation.shards.reading_cost import Reading, ReadingPlan, costs_of, speed_of
from curation.shards.shuffle import shuffle_facts
from curation.shards.whole import whole_of
from curation.shards.write import write_shard
from jobs.spark import frames
from jobs.spark.part_stages import part_units, write_groups
from jobs.spark.run import Context, Lineage, read_parent, run_stage
from jobs.stages.shard_order import PLACE, TO_SHARD, FindShards, shard_starts
from jobs.units.lease import work_uri
from jobs.units.plan import Plan, Unit, UnitMaker
from jobs.units.worker import Attempt, receipt_of
from manifests import exclusive, storage
from manifests.errors import InputError, ManifestError
from manifests.file_names import numbered
from manifests.format.lineage import find_shards
from manifests.format.receipts import Receipt, write_part
from manifests.format.roots import relative_sources
from manifests.format.schema import Stage, schema
from manifests.format.store import Manifest, read_batches, unit_of

COPIES = "copies"
LOOKED_AT_PARTS, LOOKED_AT_ROWS = 8, 2048


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


# --- how samples are read


def reading_of(config: ShardConfig, parent: Manifest, output: str) -> ReadingPlan:
    """Return how the samples of `parent` are read for shards at `output`, and what it costs.

    The first kept rows of a few parts are looked at.
    """
    shards_uri = find_shards(parent) if parent.stage is Stage.SHARD else None
    place: Place = in_source
    if shards_uri is not None:
        is_source_json = layout_of(parent) is Layout.ORIGINAL or config.form().layout is Layout.UNIFORM
        place = InShards(uri=shards_uri, has_json=is_source_json)
    parts = list(_kept_in_some_parts(parent, place))
    read_from = next((where.image.uri for part in parts for where in part), parent.uri)
    speeds = {"source": speed_of(read_from), "output": speed_of(storage.absolute(output))}
    costs = costs_of(parts, kept_rows(parent), **speeds)
    forced = None if config.read == "auto" else Reading(config.read)
    notes = [] if parent.stage is not Stage.SHARD or shards_uri else [f"{parent.shards_uri}: {_NO_SHARDS}"]
    return ReadingPlan(place=place, costs=costs, forced=forced, notes=notes)


_NO_SHARDS = "there are no shards any more; samples are read from the sources that they came from"


def _kept_in_some_parts(parent: Manifest, place: Place) -> Iterator[list[Stored]]:
    """Yield where the first kept samples of some parts are, without damaged parts: the run says what is wrong."""
    columns = ["keep", *columns_read(parent.schema.names)]
    for part in parent.parts[:: max(1, -(-len(parent.parts) // LOOKED_AT_PARTS))]:
        with contextlib.suppress(ManifestError):
            uri, known = parent.part_uri(part), {"rows": part.rows, "size_bytes": part.size_bytes}
            batches = read_batches(uri, columns, LOOKED_AT_ROWS, **known)
            rows = [row for batch in itertools.islice(batches, 1) for row in batch.to_pylist()]
            yield [where for row in rows if row["keep"] and (where := place(row)) is not None]


def _ready_copies(plan: Plan) -> str:
    """Return the URI of the folder for temporary copies, which later runs of the same plan use, too.

    Copies that another plan has left are removed; all of them are when the manifest is committed.
    """
    folder, mine = storage.join(work_uri(plan.output), COPIES), plan.fingerprint[:16]
    for name in storage.list_names(folder):
        if name != mine:
            exclusive.clear_folder(storage.join(folder, name))
    return storage.join(folder, mine)


# --- the stage


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
        copies = _ready_copies(plan) if reading.chosen is Reading.STREAM else None
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


def place_rows(
    spark: SparkSession,
    parent: Manifest,
    find: FindShards,
    options: frames.Options,
    copy: "CopySamples | None" = None,
) -> DataFrame:
    """Return the kept rows of `parent` with their PLACE in the order and the number of their shard, TO_SHARD.

    With `copy`, their files are copied when the rows are read, and the rows say where to.
    """
    added = [(PLACE, pa.binary()), (TO_SHARD, pa.int64())]
    added += [(COPY, pa.string()), (COPY_OFFSET, pa.int64())] if copy else []
    change = find if copy is None else _Both(find=find, copy=copy)
    columns = pa.schema([*parent.schema, *added])
    return frames.read(spark, frames.parts_of(parent, options), parent.schema.names, columns, change)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CopySamples:
    """Copies the files of rows in a worker, from `place` to files below `folder`."""

    place: Place
    folder: str

    def __call__(self, table: pa.Table, part: str) -> pa.Table:
        """Return rows of `part` with COPY and COPY_OFFSET."""
        order = (TO_SHARD, PLACE, "key")
        return copy_samples(table, place=self.place, folder=self.folder, group=unit_of(part), order=order)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Both:
    find: FindShards
    copy: CopySamples

    def __call__(self, table: pa.Table) -> pa.Table:
        return self.copy(self.find(table), table.column(frames.PART)[0].as_py())


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
