"""Candidate pairs: pictures that may be copies, found without comparing pixels."""

import functools
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.config import DedupeConfig
from curation.copies.local_search import PAIRS_SCHEMA, LocalSearch
from jobs.dedupe.cell_partitions import (
    CellSearch,
    Run,
    RunOnce,
    run_lazily,
    search_cells,
    train_on,
    whole_batch,
)
from jobs.dedupe.pdq_search import near_pairs
from jobs.dedupe.pictures import PARENT, PictureSet, has_pixels, node_of, ranked, read_set
from jobs.dedupe.vector_search import cosine_pairs
from jobs.spark import frames
from jobs.spark.steps import Steps, Table, units_for

LOCAL_COLUMNS = ("key", "sha256", "status", "pixels", "local", "local_points")
LOCAL_SCHEMA = pa.schema([("node", pa.binary()), ("local", pa.binary()), ("local_points", pa.binary())])

VECTOR_COLUMNS = ("key", "sha256", "status", "pixels", "embedding")
VECTOR_SCHEMA = pa.schema([("node", pa.binary()), ("embedding", pa.binary())])

NODE_PAIRS = pa.schema([("a", pa.binary()), ("b", pa.binary())])
NODE_PAIR_BYTES = 80
VECTOR_BYTES = 2_048
OWNERS = pa.schema([("pdq", pa.binary()), ("owner", pa.binary()), ("is_text", pa.bool_())])

ReadSet = Callable[[PictureSet, Sequence[str], pa.Schema, frames.Transform], DataFrame]


def find_candidates(pictures: Table, sets: Sequence[PictureSet], config: DedupeConfig, steps: Steps) -> Table:
    """Return each pair (`a`, `b`; a < b) of pictures that may be copies once, of which at least one is the parent's.

    The search of each cell is a unit, see `RunOnce`.
    """
    read = functools.partial(read_set, steps.spark, options=steps.options)
    if config.fingerprint == "embedding":
        pairs = embedding_candidates(sets, config, read, steps)
    else:
        pairs = pdq_candidates(pictures, config, steps)
    if config.needs_local_features:
        pairs = pairs.unionByName(local_candidates(sets, config, read, RunOnce(steps=steps, name="local-candidates")))
    ordered = pairs.select(F.least("a", "b").alias("a"), F.greatest("a", "b").alias("b")).where("a != b").distinct()
    if any(each.origin != PARENT for each in sets):
        origins = pictures.frame("node", "origin")
        ordered = ordered.join(origins.toDF("a", "origin_a"), "a").join(origins.toDF("b", "origin_b"), "b")
        ordered = ordered.where((F.col("origin_a") == PARENT) | (F.col("origin_b") == PARENT))
    return steps.keep("candidates", ordered, NODE_PAIRS, ["a"], units=units_for(2 * pictures.rows, NODE_PAIR_BYTES))


def pdq_candidates(pictures: Table, config: DedupeConfig, steps: Steps) -> DataFrame:
    """Return pairs (`a`, `b`) of `pictures` with equal or near PDQ fingerprints; those with null `pdq` are left out.

    Of all pictures with the same fingerprint only the best by rank is searched, and the others are paired with it.
    """
    trusted = ranked(pictures.frame()).where("pdq IS NOT NULL").select("node", "pdq", "rank", "is_text")
    owned = trusted.groupBy("pdq").agg(F.min_by("node", "rank").alias("owner"), F.min("is_text").alias("is_text"))
    owners = steps.keep(
        "fingerprints", owned, OWNERS, ["pdq"], units=units_for(pictures.rows, NODE_PAIR_BYTES)
    ).frame()
    equal = trusted.join(owners.select("pdq", "owner"), "pdq").where("node != owner")
    fingerprints = owners.select(F.col("pdq").alias("node"), "is_text")
    # Pixels will decide, so the stricter limit for text is not needed.
    wide = config.model_copy(update={"max_text_distance": max(config.max_distance, config.max_text_distance)})
    near = near_pairs(
        fingerprints, wide if config.verify else config, RunOnce(steps=steps, name="fingerprint-candidates")
    )
    by_fingerprint = owners.select("pdq", "owner")
    near = near.join(by_fingerprint.toDF("a", "owner_a"), "a").join(by_fingerprint.toDF("b", "owner_b"), "b")
    return equal.select(F.col("node").alias("a"), F.col("owner").alias("b")).unionByName(
        near.select(F.col("owner_a").alias("a"), F.col("owner_b").alias("b"))
    )


def local_candidates(
    sets: Sequence[PictureSet], config: DedupeConfig, read: ReadSet, run: Run = run_lazily
) -> DataFrame:
    """Return pairs (`a`, `b`) of pictures in `sets` with local features that agree.

    `read` returns the rows of a set. Local features are read from the parts and shuffled only once, into the cells,
    which `run` searches.
    """
    from_each = [read(each, LOCAL_COLUMNS, LOCAL_SCHEMA, _with_local_features) for each in sets]
    pictures = functools.reduce(DataFrame.unionByName, from_each)
    trained = train_on(pictures, "local", per_cell=config.pictures_per_cell, probes=config.probes)
    local = LocalSearch(neighbours=config.neighbours, min_points=config.min_points)
    search = CellSearch(read=whole_batch, find=functools.partial(_pairs_in_cell, search=local))
    return search_cells(pictures, "local", trained, search, PAIRS_SCHEMA, run).select("a", "b")


def embedding_candidates(sets: Sequence[PictureSet], config: DedupeConfig, read: ReadSet, steps: Steps) -> DataFrame:
    """Return pairs (`a`, `b`) of pictures in `sets` with similar embeddings. `read` returns the rows of a set."""
    from_each = [read(each, VECTOR_COLUMNS, VECTOR_SCHEMA, _with_embeddings) for each in sets]
    distinct = (
        functools.reduce(DataFrame.unionByName, from_each).groupBy("node").agg(F.min("embedding").alias("embedding"))
    )
    rows = sum(each.manifest.rows for each in sets)
    vectors = steps.keep("vectors", distinct, VECTOR_SCHEMA, ["node"], units=units_for(rows, VECTOR_BYTES)).frame()
    return cosine_pairs(vectors, config, RunOnce(steps=steps, name="vector-candidates")).select("a", "b")


def _with_embeddings(table: pa.Table) -> pa.Table:
    """Return the node and the embedding of the rows that have one, as VECTOR_SCHEMA."""
    table = table.filter(pc.and_(pc.is_valid(table.column("embedding")), has_pixels(table)))
    return pa.table([node_of(table), table.column("embedding")], VECTOR_SCHEMA.names).cast(VECTOR_SCHEMA)


def _with_local_features(table: pa.Table) -> pa.Table:
    """Return the node and the local features of the rows that have any, as LOCAL_SCHEMA."""
    table = table.filter(pc.and_(pc.is_valid(table.column("local")), has_pixels(table)))
    columns = [node_of(table), table.column("local"), table.column("local_points")]
    return pa.table(columns, LOCAL_SCHEMA.names).cast(LOCAL_SCHEMA)


def _pairs_in_cell(batches: list[pa.RecordBatch], *, search: LocalSearch) -> Iterator[pa.RecordBatch]:
    yield from search.pairs(pa.Table.from_batches(batches)).to_batches()
