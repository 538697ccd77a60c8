"""Connected components of a graph of any size, as operations on DataFrames.

Alternating large-star and small-star (Kiveris, Lattanzi, Mirrokni, Rastogi, Vassilvitskii: "Connected Components in
MapReduce and Beyond", SoCC 2014). Every step depends on the set of edges only, not on partitions or retries.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

MAX_ROUNDS = 64


def connected_components(pairs: DataFrame) -> DataFrame:
    """Return (`member`, `component`): every node in the pairs (`a`, `b`), with the smallest node it is connected to.

    Raises RuntimeError if MAX_ROUNDS are not enough, which cannot happen for graphs below 2^64 nodes.
    """
    edges = pairs.select(F.greatest("a", "b").alias("u"), F.least("a", "b").alias("v")).where("u != v").distinct()
    edges = edges.localCheckpoint()
    before = _checksum(edges)
    for _ in range(MAX_ROUNDS):
        if before[0] == 0:
            break
        edges = _small_star(_large_star(edges)).localCheckpoint()
        after = _checksum(edges)
        if after == before:
            break
        before = after
    else:
        raise RuntimeError(f"components did not settle in {MAX_ROUNDS} rounds")
    members = edges.select(F.col("u").alias("member"), F.col("v").alias("component"))
    return members.unionByName(edges.select(F.col("v").alias("member"), F.col("v").alias("component"))).distinct()


def _large_star(edges: DataFrame) -> DataFrame:
    """Connect each node's larger neighbours to its smallest neighbour, or to the node itself if it is smaller.

    The same edge may result several times; the small star makes edges distinct.
    """
    both = edges.unionByName(edges.select(F.col("v").alias("u"), F.col("u").alias("v")))
    centred = both.select("u", "v", F.least("u", _smallest_neighbour()).alias("m"))
    return centred.where("v > u").select(F.col("v").alias("u"), F.col("m").alias("v"))


def _small_star(edges: DataFrame) -> DataFrame:
    """Connect each node and its smaller neighbours to the smallest of them; edges run from larger to smaller."""
    centred = edges.select("u", "v", _smallest_neighbour().alias("m"))
    return centred.select(F.explode(F.array("u", "v")).alias("u"), F.col("m").alias("v")).where("u != v").distinct()


def _smallest_neighbour() -> Column:
    # A window shuffles the edges once. An aggregate and a join would shuffle them twice.
    return F.min("v").over(Window.partitionBy("u"))


def _checksum(edges: DataFrame) -> tuple[int, int]:
    row = edges.agg(
        F.count("*").alias("edges"),
        F.coalesce(F.sum(F.xxhash64("u", "v").cast("decimal(38,0)")), F.lit(0)).alias("sum"),
    ).first()
    assert row is not None  # noqa: S101 - an aggregate without groups has one row
    return int(row["edges"]), int(row["sum"])
