"""Candidate pairs: pictures that may be copies, found without comparing pixels."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.config import DedupeConfig
from curation.copies import local_search
from curation.pictures.local_features import POINT, consistent_points
from jobs.dedupe.cell_partitions import RunOnce
from jobs.dedupe.components import in_components
from jobs.dedupe.pdq_search import near_pairs
from jobs.dedupe.pictures import PARENT, PictureSet, has_pixels, node_of, ranked, read_set
from jobs.dedupe.vector_search import cosine_pairs
from jobs.spark import frames
from jobs.spark.steps import UNIT, Making, Shown, Steps, Table, unit_of_hash, units_for

LOCAL_COLUMNS = ("key", "sha256", "status", "pixels", "local_points")
LOCAL_SCHEMA = pa.schema([("picture", pa.int64()), ("node", pa.binary()), ("local_points", pa.binary())])
PAIRS_SCHEMA = pa.schema([("a", pa.binary()), ("b", pa.binary())])
_NUMBER_BYTES = 8  # of a node, which is a hash, that number a picture

VECTOR_COLUMNS = ("key", "sha256", "status", "pixels", "embedding")
VECTOR_SCHEMA = pa.schema([("node", pa.binary()), ("embedding", pa.binary())])

NODE_PAIRS = pa.schema([("a", pa.binary()), ("b", pa.binary())])
NODE_PAIR_BYTES = 80
PAIRS_OF_A_PICTURE = 4  # candidates, with those that several searches find; mostly between one and two
VECTOR_BYTES = 2_048
MATCHES_BYTES = 24_000  # of a picture: some hundred matches of its keypoints, of 29 bytes
OWNERS = pa.schema([("pdq", pa.binary()), ("owner", pa.binary()), ("is_text", pa.bool_())])

ReadSet = Callable[[PictureSet, Sequence[str], pa.Schema, frames.Transform], DataFrame]


def find_candidates(
    pictures: Table,
    sets: Sequence[PictureSet],
    config: DedupeConfig,
    steps: Steps,
    *,
    large: int,
) -> Table:
    """Return each pair of pictures that may be copies once, of which at least one is the parent's, as PLACED.

    A component of pairs is large if it has more than `large`. The search of each cell is a unit, see `RunOnce`.
    """
    read = functools.partial(read_set, steps.spark, options=steps.options)
    if config.fingerprint == "embedding":
        pairs = embedding_candidates(sets, config, read, steps)
    else:
        pairs = pdq_candidates(pictures, config, steps)
    if config.needs_local_features:
        pairs = pairs.unionByName(local_candidates(sets, config, read, steps))
    ordered = pairs.select(F.least("a", "b").alias("a"), F.greatest("a", "b").alias("b")).where("a != b")
    if any(each.origin != PARENT for each in sets):
        origins = pictures.frame("node", "origin")
        ordered = ordered.join(origins.toDF("a", "origin_a"), "a").join(origins.toDF("b", "origin_b"), "b")
        ordered = ordered.where((F.col("origin_a") == PARENT) | (F.col("origin_b") == PARENT))
    return in_components(ordered, steps, "candidates", most=PAIRS_OF_A_PICTURE * pictures.rows, large=large)


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
    near = near_pairs(fingerprints, near_limits(config), RunOnce(steps=steps, name="fingerprint-candidates"))
    by_fingerprint = owners.select("pdq", "owner")
    near = near.join(by_fingerprint.toDF("a", "owner_a"), "a").join(by_fingerprint.toDF("b", "owner_b"), "b")
    return equal.select(F.col("node").alias("a"), F.col("owner").alias("b")).unionByName(
        near.select(F.col("owner_a").alias("a"), F.col("owner_b").alias("b"))
    )


def near_limits(config: DedupeConfig) -> DedupeConfig:
    """Return `config` with the limits of the search: where pixels decide, the stricter one for text is not needed."""
    if not config.verify:
        return config
    return config.model_copy(update={"max_text_distance": max(config.max_distance, config.max_text_distance)})


def local_candidates(sets: Sequence[PictureSet], config: DedupeConfig, read: ReadSet, steps: Steps) -> DataFrame:
    """Return pairs (`a`, `b`) of pictures in `sets`, each once, of which at least `min_points` keypoints agree.

    `read` returns the rows of a set. The pairs do not depend on the number of units, see `local_search`. Two pictures
    would count as one if the first 8 bytes of their nodes were equal, as those of one pair in 2**64 are.
    """
    from_each = [read(each, LOCAL_COLUMNS, LOCAL_SCHEMA, with_local_features) for each in sets]
    pictures = functools.reduce(DataFrame.unionByName, from_each)
    units = local_units(sets)
    making = Making(
        name="local-candidates",
        schema=local_search.PAIRS,
        units=units,
        function=local_search.pairs_in,
        order=local_search.MATCH_ORDER,
        shown=Shown(name="local candidates", noun="units"),
    )
    word = F.shiftright("place", local_search.WORD_SHIFT)
    entries = frames.map_batches(pictures, _entries, frames.ddl(local_search.ENTRIES)).repartition(word)
    entries = entries.sortWithinPartitions(*local_search.ENTRY_ORDER)
    matches = frames.map_batches(entries, local_search.matches_in, frames.ddl(local_search.MATCHES))
    pairs = steps.make(matches.withColumn(UNIT, unit_of_hash(["a", "b"], units)), making).frame()
    once = pictures.groupBy("picture").agg(*(F.min(name).alias(name) for name in ("node", "local_points")))
    for name in ("a", "b"):
        pairs = pairs.join(once.toDF(name, f"node_{name}", f"points_{name}"), name)
    return frames.map_batches(pairs, _Agreeing(min_points=config.min_points), frames.ddl(PAIRS_SCHEMA))


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


def local_units(sets: Sequence[PictureSet]) -> int:
    """Return how many units the matches of keypoints of all pictures in `sets` are."""
    return units_for(sum(each.manifest.rows for each in sets), MATCHES_BYTES)


def with_local_features(table: pa.Table) -> pa.Table:
    """Return the number, the node and the keypoints of the rows that have any, as LOCAL_SCHEMA."""
    table = table.filter(pc.and_(pc.is_valid(table.column("local_points")), has_pixels(table)))
    nodes = node_of(table)
    numbers = [int.from_bytes(node[:_NUMBER_BYTES], "big", signed=True) for node in nodes.to_pylist()]
    columns = [pa.array(numbers, pa.int64()), nodes, table.column("local_points")]
    return pa.table(columns, LOCAL_SCHEMA.names).cast(LOCAL_SCHEMA)


def _entries(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        stored = batch.column("local_points").to_pylist()
        counts = np.array([len(each) // POINT.itemsize for each in stored], np.int64)
        pictures = batch.column("picture").to_numpy(zero_copy_only=False)
        yield from local_search.entries_of(pictures, np.frombuffer(b"".join(stored), POINT), counts).to_batches()


def local_pairs(rows: Sequence[pa.RecordBatch], *, min_points: int) -> list[pa.RecordBatch]:
    """Return what `local_candidates` does for `rows`, LOCAL_SCHEMA: search and sort in memory, as Spark would."""
    once: dict[int, tuple[bytes, bytes]] = {}
    for batch in rows:
        for row in batch.to_pylist():
            found = row["node"], row["local_points"]
            node, points = once.get(row["picture"], found)
            once[row["picture"]] = min(node, found[0]), min(points, found[1])
    entries = _sorted(_entries(iter(rows)), local_search.ENTRIES)
    matches = _sorted(local_search.matches_in(entries), local_search.MATCHES)
    found_pairs = []
    for pairs in filter(len, local_search.pairs_in(matches)):
        columns = []
        for name in ("a", "b"):
            nodes, points = zip(*map(once.__getitem__, pairs.column(name).to_pylist()), strict=True)
            columns += [pa.array(nodes, pa.binary()), pa.array(points, pa.binary())]
        found_pairs.append(pa.record_batch(columns, ["node_a", "points_a", "node_b", "points_b"]))
    return list(_Agreeing(min_points=min_points)(iter(found_pairs)))


def _sorted(batches: Iterator[pa.RecordBatch], columns: pa.Schema) -> list[pa.RecordBatch]:
    """Return the rows of `batches` sorted by all `columns`."""
    table = pa.Table.from_batches(batches, columns).sort_by([(name, "ascending") for name in columns.names])
    found: list[pa.RecordBatch] = table.to_batches()
    return found


@dataclass(frozen=True, kw_only=True)
class _Agreeing:
    """Keeps the pairs of which enough keypoints agree."""

    min_points: int

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            points = (batch.column(f"points_{name}").to_pylist() for name in ("a", "b"))
            agrees = [consistent_points(*pair) >= self.min_points for pair in zip(*points, strict=True)]
            found = batch.filter(pa.array(agrees, pa.bool_()))
            nodes = [found.column("node_a"), found.column("node_b")]
            yield pa.record_batch([pc.min_element_wise(*nodes), pc.max_element_wise(*nodes)], PAIRS_SCHEMA)
