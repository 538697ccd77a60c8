"""Connected components of a graph of any size.

A graph that fits one task is done in one. A larger one is done by alternating large-star and small-star (Kiveris,
Lattanzi, Mirrokni, Rastogi, Vassilvitskii: "Connected Components in MapReduce and Beyond", SoCC 2014), each round of
which is a step. Both depend on the set of edges only, not on partitions or retries, and give the same answer.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from jobs.spark.steps import UNIT, Making, Steps, Table, units_for

MAX_ROUNDS = 64
EDGES_IN_ONE_TASK = 1 << 20  # of about 70 bytes
EDGE_BYTES = 80
EDGES = pa.schema([("u", pa.binary()), ("v", pa.binary())])
COMPONENTS = pa.schema([("member", pa.binary()), ("component", pa.binary())])


def connected_components(
    pairs: DataFrame, steps: Steps, name: str, *, most: int, in_one_task: int = EDGES_IN_ONE_TASK
) -> Table:
    """Return (`member`, `component`): every node in the pairs (`a`, `b`), with the smallest node it is connected to.

    `name` is that of the steps, and there are at `most` so many pairs. Raises RuntimeError if MAX_ROUNDS are not
    enough, which cannot happen for graphs below 2^64 nodes.
    """
    edges = pairs.select(F.greatest("a", "b").alias("u"), F.least("a", "b").alias("v")).where("u != v")
    if most <= in_one_task:
        together = edges.withColumn(UNIT, F.lit(0))
        return steps.make(together, Making(name=name, schema=COMPONENTS, units=1, function=_smallest_connected))
    units = units_for(most, EDGE_BYTES)
    before = steps.keep(f"{name}-edges", edges.distinct(), EDGES, ["u"], units=units)
    for number in range(MAX_ROUNDS):
        if before.rows == 0:
            break
        starred = _small_star(_large_star(before.frame()))
        after = steps.keep(f"{name}-round-{number}", starred, EDGES, ["u"], units=units)
        if (after.rows, after.content) == (before.rows, before.content):
            break
        before = after
    else:
        raise RuntimeError(f"components did not settle in {MAX_ROUNDS} rounds")
    settled = before.frame()
    members = settled.select(F.col("u").alias("member"), F.col("v").alias("component"))
    centres = settled.select(F.col("v").alias("member"), F.col("v").alias("component"))
    return steps.keep(name, members.unionByName(centres).distinct(), COMPONENTS, ["member"], units=units)


def _smallest_connected(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the components of all edges (`u`, `v`) by member: labels spread along edges until none changes."""
    tables = [pa.Table.from_batches([batch]) for batch in batches if batch.num_rows]
    if not tables:
        return
    edges = pa.concat_tables(tables)
    ends = pa.chunked_array([*edges.column("u").chunks, *edges.column("v").chunks])
    nodes = pc.unique(ends)
    nodes = nodes.take(pc.sort_indices(nodes))
    first, second = (pc.index_in(edges.column(name), nodes).to_numpy() for name in EDGES.names)
    labels = np.arange(len(nodes))
    while True:
        smaller = np.minimum(labels[first], labels[second])
        spread = labels.copy()
        for place in (first, second, labels[first], labels[second]):
            np.minimum.at(spread, place, smaller)
        spread = spread[spread]
        if np.array_equal(spread, labels):
            break
        labels = spread
    yield from pa.table([nodes, nodes.take(pa.array(labels))], COMPONENTS.names).cast(COMPONENTS).to_batches()


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
