"""Dedupe: exact copies by sha256, near copies by PDQ, clusters over everything, one representative each.

Only narrow columns are shuffled. A *node* is what cannot be told apart: rows with one trusted fingerprint, or with
the same bytes. Near nodes are found cell by cell, joined into connected components, and each part gets its own slice
of the answer to write beside its rows.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import faiss
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.config import DedupeConfig, PipelineConfig
from jobs import tables
from jobs.components import connected_components
from jobs.near import near_pairs
from jobs.parts import plan_parts, write_slices
from jobs.stage import Context, read_parent, run_stage
from jobs.units import Plan, Unit
from manifests.schema import COLUMNS, DuplicateKind, Stage, Status
from manifests.store import Manifest

NARROW = ("key", "sha256", "status", "width", "height", "size", "pdq", "pdq_quality", "text_density")
TEXT_DENSITY = 0.5  # from here on a picture counts as full of text
COMPARABLE = (str(Status.OK), str(Status.TRUNCATED))
NODE_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("node", pa.binary()),
        ("is_near", pa.bool_()),
        ("is_text", pa.bool_()),
        ("sha256", pa.string()),
        ("damage", pa.int32()),
        ("pixels", pa.int64()),
        ("size", pa.int64()),
        (tables.PART, pa.string()),
    ]
)


def plan_dedupe(config: PipelineConfig, source: str, output: str) -> Plan:
    """Return the plan of deduplicating the scan's manifest at `source`. Raises as `read_parent` does."""
    settings = config.dedupe.model_dump()
    if not settings["near"]:
        settings = {"near": False}
    lineage = read_parent(source, Stage.SCAN)
    return plan_parts(
        Stage.DEDUPE, lineage, output, settings, {"dedupe": "1", "faiss": faiss.__version__}, config.storage
    )


def dedupe(config: PipelineConfig, source: str, output: str, ctx: Context) -> Manifest:
    """Deduplicate the scan's manifest at `source` into the manifest at `output` and return it."""
    plan = plan_dedupe(config, source, output)
    parent = read_parent(source, Stage.SCAN).manifest

    def work(spark: SparkSession, plan: Plan, todo: Sequence[Unit]) -> None:
        assigned = assignments(spark, parent, config.dedupe, plan.options)
        columns = [f.name for f in COLUMNS[Stage.DEDUPE]]
        write_slices(assigned, plan, todo, parent, columns)

    return run_stage(plan, work, ctx)


def assignments(
    spark: SparkSession, parent: Manifest, config: DedupeConfig, options: Mapping[str, Mapping[str, Any]]
) -> DataFrame:
    """Return (`part`, `key`, `cluster_id`, `duplicate_of`, `duplicate_kind`), one row for each of the parent's."""
    to_nodes = functools.partial(nodes, near=config.near, min_quality=config.min_quality)
    rows = tables.read(spark, tables.parts_of(parent, options), NARROW, NODE_SCHEMA, to_nodes)
    rows = rows.localCheckpoint()
    if config.near:
        prints = rows.where("is_near").groupBy("node").agg(F.min("is_text").alias("is_text"))
        pairs = near_pairs(prints, config)
        components = connected_components(pairs)
        rows = rows.join(components, rows["node"] == components["member"], "left").withColumn(
            "group", F.coalesce("component", "node")
        )
    else:
        rows = rows.withColumn("group", F.col("node"))
    return _representatives(rows)


def nodes(table: pa.Table, *, near: bool, min_quality: int) -> pa.Table:
    """Return the narrow rows of `table` with the node each belongs to, as NODE_SCHEMA.

    A picture whose fingerprint can be trusted belongs to the node of that fingerprint; another to that of its bytes;
    one without pixels to a node of its own. `damage` is 0 for a whole picture and 1 for a truncated one.
    """
    comparable = pc.is_in(table.column("status"), pa.array(COMPARABLE))
    quality = pc.fill_null(table.column("pdq_quality"), -1)
    is_near = pc.and_(comparable, pc.greater_equal(quality, min_quality))
    if not near:
        is_near = pc.and_(is_near, False)
    by_bytes = pc.cast(pc.binary_join_element_wise("s", table.column("sha256"), ""), pa.binary())
    by_key = pc.cast(pc.binary_join_element_wise("k", table.column("key"), ""), pa.binary())
    pixels = pc.multiply(pc.cast(table.column("width"), pa.int64()), pc.cast(table.column("height"), pa.int64()))
    node = pc.if_else(is_near, table.column("pdq"), pc.if_else(comparable, by_bytes, by_key))
    found = {
        "key": table.column("key"),
        "node": node,
        "is_near": is_near,
        "is_text": pc.fill_null(pc.greater_equal(table.column("text_density"), TEXT_DENSITY), False),
        "sha256": table.column("sha256"),
        "damage": pc.cast(pc.not_equal(table.column("status"), str(Status.OK)), pa.int32()),
        "pixels": pc.fill_null(pixels, 0),
        "size": pc.fill_null(table.column("size"), 0),
        tables.PART: table.column(tables.PART),
    }
    return pa.table(found).cast(NODE_SCHEMA)


def _representatives(rows: DataFrame) -> DataFrame:
    """Return the assignments, given each row's `group`.

    The representative is the whole picture before the truncated, then the one with most pixels, then most bytes,
    then the smallest key.
    """
    order = F.struct(
        F.col("damage"), (-F.col("pixels")).alias("pixels"), (-F.col("size")).alias("size"), "key", "sha256"
    )
    best = rows.groupBy("group").agg(F.min("key").alias("cluster_id"), F.min(order).alias("best"))
    joined = rows.join(best, "group")
    is_representative = F.col("key") == F.col("best.key")
    kind = F.when(F.col("sha256") == F.col("best.sha256"), str(DuplicateKind.EXACT)).otherwise(
        str(DuplicateKind.NEAR)
    )
    return joined.select(
        tables.PART,
        "key",
        "cluster_id",
        F.when(~is_representative, F.col("best.key")).alias("duplicate_of"),
        F.when(~is_representative, kind).alias("duplicate_kind"),
    )
