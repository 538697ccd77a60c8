"""Dedupe: exact copies by sha256, near copies by PDQ or embedding, clusters over everything, one representative each.

Only narrow columns are shuffled. A *node* is what cannot be told apart: rows with one trusted fingerprint, or with
the same bytes. Near nodes are found cell by cell, joined into connected components, and each part gets its own slice
of the answer to write beside its rows.
"""

import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation import clusters, semantic
from curation.config import DedupeConfig, PipelineConfig
from jobs import tables
from jobs.components import connected_components
from jobs.parts import plan_parts, write_slices
from jobs.semantic import semantic_pairs
from jobs.stage import Context, read_parent, run_stage
from jobs.units import Plan, Unit, prepare_worker
from manifests.errors import InputError
from manifests.schema import COLUMNS, DuplicateKind, Stage, Status
from manifests.store import Manifest

NARROW = ("key", "sha256", "status", "width", "height", "size", "pdq", "pdq_quality", "text_density")
WITH_VECTOR = ("embedding", "status")
VECTOR_SCHEMA = pa.schema([("node", pa.binary()), ("embedding", pa.binary())])
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
    """Return the plan of deduplicating the scan's manifest at `source`.

    Raises as `read_parent` does, and InputError when embeddings are to be compared and the scan made none.
    """
    lineage = read_parent(source, Stage.SCAN)
    settings = _settings(config.dedupe)
    if "min_cosine" in settings and not lineage.manifest.config.get("embedding"):
        raise InputError(
            f"{source}: holds no embeddings to compare; scan again with scan.embedding.model set, into another "
            "output, or leave dedupe.fingerprint at pdq"
        )
    software = {"dedupe": "1", "faiss": faiss.__version__}
    if "min_cosine" in settings:
        software["semantic"] = semantic.VERSION
    return plan_parts(Stage.DEDUPE, lineage, output, settings, software, config.storage)


def _settings(config: DedupeConfig) -> dict[str, Any]:
    """Return the settings that decide the answer, and no others."""
    if not config.near:
        return {"near": False}
    of_embedding = {"near", "fingerprint", "min_cosine", "fingerprints_per_cell", "probes"}
    if config.fingerprint == "embedding":
        return config.model_dump(include=of_embedding)
    return config.model_dump(exclude={"fingerprint", "min_cosine"})


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
    parts = tables.parts_of(parent, options)
    by_vector = config.near and config.fingerprint == "embedding"
    if by_vector:
        rows = tables.read(spark, parts, (*NARROW, "embedding"), NODE_SCHEMA, embedding_nodes)
    else:
        to_nodes = functools.partial(nodes, near=config.near, min_quality=config.min_quality)
        rows = tables.read(spark, parts, NARROW, NODE_SCHEMA, to_nodes)
    rows = rows.localCheckpoint()
    if config.near:
        pairs = embedding_pairs(spark, parts, config) if by_vector else near_pairs(spark, rows, config)
        components = connected_components(pairs)
        rows = rows.join(components, rows["node"] == components["member"], "left").withColumn(
            "group", F.coalesce("component", "node")
        )
    else:
        rows = rows.withColumn("group", F.col("node"))
    return _representatives(rows, DuplicateKind.SEMANTIC if by_vector else DuplicateKind.NEAR)


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


def embedding_nodes(table: pa.Table) -> pa.Table:
    """Return the narrow rows of `table` with their nodes, as `nodes` does, by embedding instead of PDQ."""
    found = nodes(table, near=False, min_quality=0)
    has_vector = _has_vector(table)
    node = pc.if_else(has_vector, _vector_nodes(table.column("embedding")), found.column("node"))
    found = found.set_column(found.schema.get_field_index("node"), "node", node)
    return found.set_column(found.schema.get_field_index("is_near"), "is_near", has_vector).cast(NODE_SCHEMA)


def _has_vector(table: pa.Table) -> pa.ChunkedArray:
    return pc.and_(pc.is_in(table.column("status"), pa.array(COMPARABLE)), pc.is_valid(table.column("embedding")))


def _vector_nodes(embeddings: pa.ChunkedArray) -> pa.Array:
    """Return what names each vector, equal for equal ones: a hash, since components shuffle it many times."""
    texts = embeddings.to_pylist()
    return pa.array([t and b"e" + hashlib.blake2b(t, digest_size=16).digest() for t in texts], pa.binary())


def embedding_pairs(spark: SparkSession, parts: tables.Parts, config: DedupeConfig) -> DataFrame:
    """Return (`a`, `b`, `cosine`) of the nodes whose embeddings have a cosine of at least `min_cosine`.

    Vectors are read by themselves: the rows that are joined and kept stay narrow.
    """
    vectors = tables.read(spark, parts, WITH_VECTOR, VECTOR_SCHEMA, _vectors).dropDuplicates(["node"])
    return semantic_pairs(vectors.localCheckpoint(), config)


def _vectors(table: pa.Table) -> pa.Table:
    table = table.filter(_has_vector(table))
    embeddings = table.column("embedding")
    return pa.table({"node": _vector_nodes(embeddings), "embedding": embeddings}).cast(VECTOR_SCHEMA)


def near_pairs(spark: SparkSession, rows: DataFrame, config: DedupeConfig) -> DataFrame:
    """Return (`a`, `b`, `distance`) of the distinct trusted fingerprints within `max_distance` bits of each other."""
    prints = rows.where("is_near").groupBy("node").agg(F.min("is_text").alias("is_text"))
    cells = _cells(prints, config)
    placed = prints.mapInArrow(_Placer(cells), "node binary, is_text boolean, cell int, is_home boolean")
    search = _CellSearch(
        clusters.Nearness(max_distance=config.max_distance, max_text_distance=config.max_text_distance)
    )
    return (
        placed.groupBy("cell")
        .applyInArrow(tables.grouped(search.pairs), "a binary, b binary, distance int")
        .dropDuplicates(["a", "b"])
    )


def _cells(prints: DataFrame, config: DedupeConfig) -> clusters.Cells:
    total = prints.count()
    wanted = clusters.cell_count(total, config.fingerprints_per_cell)
    if wanted == 1:
        return clusters.Cells(centroids=bytes(clusters.BYTES), probes=1)
    sample_rows = min(wanted * clusters.TRAINING_PER_CELL, clusters.MAX_TRAINING)
    # Bounded by MAX_TRAINING, and the same whatever the partitions: the smallest hashes.
    sample = prints.orderBy(F.xxhash64("node"), "node").limit(sample_rows).toArrow()
    centroids = clusters.train_centroids(clusters.as_matrix(sample.column("node")), wanted)
    return clusters.Cells(centroids=centroids.tobytes(), probes=config.probes)


@dataclass(frozen=True)
class _Placer:
    cells: clusters.Cells

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows == 0:
                continue
            nearest = self.cells.assign(clusters.as_matrix(batch.column("node")))
            for place in range(nearest.shape[1]):
                yield pa.RecordBatch.from_pydict(
                    {
                        "node": batch.column("node"),
                        "is_text": batch.column("is_text"),
                        "cell": pa.array(nearest[:, place], pa.int32()),
                        "is_home": pa.array([place == 0] * batch.num_rows, pa.bool_()),
                    }
                )


@dataclass(frozen=True)
class _CellSearch:
    nearness: clusters.Nearness

    def pairs(self, table: pa.Table) -> pa.Table:
        """Return the near pairs among the fingerprints of one cell."""
        prepare_worker({})
        is_home, is_text = table.column("is_home").to_numpy(), table.column("is_text").to_numpy()
        return clusters.pairs_in_cell(clusters.as_matrix(table.column("node")), is_home, is_text, self.nearness)


def _representatives(rows: DataFrame, otherwise: DuplicateKind = DuplicateKind.NEAR) -> DataFrame:
    """Return the assignments, given each row's `group`; a copy that is not exact is of the kind `otherwise`.

    The representative is the whole picture before the truncated, then the one with most pixels, then most bytes,
    then the smallest key.
    """
    order = F.struct(
        F.col("damage"), (-F.col("pixels")).alias("pixels"), (-F.col("size")).alias("size"), "key", "sha256"
    )
    best = rows.groupBy("group").agg(F.min("key").alias("cluster_id"), F.min(order).alias("best"))
    joined = rows.join(best, "group")
    is_representative = F.col("key") == F.col("best.key")
    kind = F.when(F.col("sha256") == F.col("best.sha256"), str(DuplicateKind.EXACT)).otherwise(str(otherwise))
    return joined.select(
        tables.PART,
        "key",
        "cluster_id",
        F.when(~is_representative, F.col("best.key")).alias("duplicate_of"),
        F.when(~is_representative, kind).alias("duplicate_kind"),
    )
