"""Dedupe a deduplicated manifest again, for fewer kinds of copies or more strictness, without reading an image."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from curation.config import DedupeConfig, PipelineConfig
from curation.copies.kinds import Strictness
from curation.copies.redecide import DECIDED, Decision, redecide
from jobs.spark import frames
from jobs.spark.part_stages import write_slices
from jobs.spark.run import Context, run_stage
from jobs.spark.steps import units_for
from jobs.units.lineage import read_parent
from jobs.units.part_plan import plan_parts
from jobs.units.plan import Plan, Unit
from manifests.errors import InputError
from manifests.format.schema import COLUMNS, Stage, schema
from manifests.format.store import Manifest

_READ = ("key", "sha256", "status", "width", "height", "size", *DECIDED)
_ROWS = pa.schema(
    [*(pa.field(name, schema(Stage.DEDUPE).field(name).type) for name in _READ), (frames.PART, pa.string())]
)
_ROW_BYTES = 500
_ANSWER = pa.schema([_ROWS.field(name) for name in (frames.PART, "key", *DECIDED)])


def plan_dedupe_again(config: PipelineConfig, source: str, output: str) -> Plan:
    """Return the plan of deduplicating the deduplicated manifest at `source` again.

    Raises like `read_parent`, and InputError for settings that need a new search.
    """
    lineage = read_parent(source, Stage.DEDUPE)
    before = [stage for stage in lineage.funnel if stage["stage"] != Stage.DEDUPE]  # the new stage replaces it
    lineage = dataclasses.replace(lineage, funnel=before)
    settings = _settings(config.dedupe, lineage.manifest)
    return plan_parts(Stage.DEDUPE, lineage, output, settings, {"redecide": "2"}, config.storage)


def _settings(config: DedupeConfig, parent: Manifest) -> dict[str, Any]:
    """Return the parent's settings with fewer kinds of copies, or more strictness."""
    if "copies" not in parent.config:
        raise InputError(f"{parent.uri}: merged from manifests of different settings; dedupe merged scans instead")
    before = set(parent.config["copies"])
    wanted = set(config.copies)
    if parent.config.get("fingerprint") == "embedding" or config.references or config.against:
        raise InputError(
            f"{parent.uri}: is already deduplicated; only kinds and strictness of copies can be changed; "
            "dedupe its scan instead"
        )
    if wanted - before and wanted != set(DedupeConfig().copies):
        wider = ", ".join(sorted(wanted - before))
        raise InputError(f"{parent.uri}: was not searched for {wider}; dedupe its scan with them")
    copies = sorted(wanted & before)
    given = config.strictness.model_dump()
    old = parent.config.get("strictness", {})
    strictness = {kind: max(given[kind], old.get(kind, 0.0)) for kind in given if kind in copies}
    return {**parent.config, "copies": copies, "strictness": strictness}


def dedupe_again(config: PipelineConfig, source: str, output: str, ctx: Context) -> Manifest:
    """Deduplicate the deduplicated manifest at `source` again into the manifest at `output`, and return it."""
    plan = plan_dedupe_again(config, source, output)
    parent = read_parent(source, Stage.DEDUPE).manifest
    decision = Decision(copies=frozenset(plan.config["copies"]), strictness=Strictness(**plan.config["strictness"]))

    def work(spark: SparkSession, plan: Plan, todo: Sequence[Unit]) -> None:
        ctx.account.begin("writing")
        rows = frames.read(spark, frames.parts_of(parent, plan.options), _READ, _ROWS)
        clusters = rows.repartition(units_for(parent.rows, _ROW_BYTES), "cluster_id")
        answer = frames.map_batches(clusters, _Redecide(decision), frames.ddl(_ANSWER))
        write_slices(answer, plan, todo, parent, [f.name for f in COLUMNS[Stage.DEDUPE]])

    return run_stage(plan, work, ctx)


@dataclasses.dataclass(frozen=True)
class _Redecide:
    """Decides the clusters of a partition again. That is cheap, so nothing is kept on the way."""

    decision: Decision

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        clusters = [batch for batch in batches if batch.num_rows]
        if clusters:
            yield from redecide(pa.Table.from_batches(clusters), self.decision).to_batches()
