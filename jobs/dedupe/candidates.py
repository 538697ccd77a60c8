"""Candidates: pairs of pictures that may be copies, a wide net cast over all of them that compares no pixels."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.config import DedupeConfig
from curation.copies.local_search import PAIRS_SCHEMA, LocalSearch
from jobs.dedupe import partitions
from jobs.dedupe.pdq_search import near_pairs
from jobs.dedupe.pictures import PictureSet, is_comparable, node_of
from jobs.dedupe.vector_search import semantic_pairs
from jobs.spark import frames

LOCAL_COLUMNS = ("key", "sha256", "status", "pixels", "local", "local_points")
LOCAL_SCHEMA = pa.schema([("node", pa.binary()), ("local", pa.binary()), ("local_points", pa.binary())])

VECTOR_COLUMNS = ("key", "sha256", "status", "pixels", "embedding")
VECTOR_SCHEMA = pa.schema([("node", pa.binary()), ("embedding", pa.binary())])

ReadSet = Callable[[PictureSet, Sequence[str], pa.Schema, frames.Transform], DataFrame]


def print_candidates(pictures: DataFrame, config: DedupeConfig) -> DataFrame:
    """Return pairs (`a`, `b`) of `pictures` with equal or near trusted PDQ.

    Of several with one fingerprint, the best by `rank` stands for all, and each other is paired with it: equal
    fingerprints are never searched.
    """
    trusted = pictures.where("pdq IS NOT NULL").select("node", "pdq", "rank", "is_text")
    owners = trusted.groupBy("pdq").agg(F.min_by("node", "rank").alias("owner"), F.min("is_text").alias("is_text"))
    owners = owners.localCheckpoint()
    equal = trusted.join(owners.select("pdq", "owner"), "pdq").where("node != owner")
    prints = owners.select(F.col("pdq").alias("node"), "is_text")
    widest = config.max_distance
    wide = config.model_copy(update={"max_text_distance": max(widest, config.max_text_distance)})
    near = near_pairs(prints, wide if config.verify else config)
    by_print = owners.select("pdq", "owner")
    near = near.join(by_print.toDF("a", "owner_a"), "a").join(by_print.toDF("b", "owner_b"), "b")
    return equal.select(F.col("node").alias("a"), F.col("owner").alias("b")).unionByName(
        near.select(F.col("owner_a").alias("a"), F.col("owner_b").alias("b"))
    )


def local_candidates(sets: Sequence[PictureSet], config: DedupeConfig, read: ReadSet) -> DataFrame:
    """Return pairs (`a`, `b`) of pictures in `sets`, as `read` gives them, whose local features agree.

    Read from the parts, and placed in cells as they come: the only shuffle of local features.
    """
    from_each = [read(each, LOCAL_COLUMNS, LOCAL_SCHEMA, _with_local_features) for each in sets]
    pictures = functools.reduce(DataFrame.unionByName, from_each)
    trained = partitions.train_on(pictures, "local", per_cell=config.pictures_per_cell, probes=config.probes)
    search = _CellSearch(LocalSearch(neighbours=config.neighbours, min_points=config.min_points))
    placed = partitions.place(pictures, "local", trained)
    return frames.map_batches(placed, search, frames.ddl(PAIRS_SCHEMA)).select("a", "b")


def embedding_candidates(sets: Sequence[PictureSet], config: DedupeConfig, read: ReadSet) -> DataFrame:
    """Return pairs (`a`, `b`) of pictures in `sets`, as `read` gives them, whose embeddings are alike."""
    from_each = [read(each, VECTOR_COLUMNS, VECTOR_SCHEMA, _with_embeddings) for each in sets]
    vectors = functools.reduce(DataFrame.unionByName, from_each).dropDuplicates(["node"]).localCheckpoint()
    return semantic_pairs(vectors, config).select("a", "b")


def _with_embeddings(table: pa.Table) -> pa.Table:
    """Return the node and the embedding of the rows that have one, as VECTOR_SCHEMA."""
    table = table.filter(pc.and_(pc.is_valid(table.column("embedding")), is_comparable(table)))
    return pa.table([node_of(table), table.column("embedding")], VECTOR_SCHEMA.names).cast(VECTOR_SCHEMA)


def _with_local_features(table: pa.Table) -> pa.Table:
    """Return the node and the local features of the rows that have any, as LOCAL_SCHEMA."""
    table = table.filter(pc.and_(pc.is_valid(table.column("local")), is_comparable(table)))
    columns = [node_of(table), table.column("local"), table.column("local_points")]
    return pa.table(columns, LOCAL_SCHEMA.names).cast(LOCAL_SCHEMA)


@dataclass(frozen=True)
class _CellSearch:
    search: LocalSearch

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the pairs worth a look among the pictures of one cell."""
        pictures = [batch for batch in batches if batch.num_rows]
        if pictures:
            yield from self.search.pairs(pa.Table.from_batches(pictures)).to_batches()
