"""Connected components of a graph of any size, and its pairs with the component that they are in.

A graph that fits one task is done in one. A larger one is done by alternating large-star and small-star (Kiveris,
Lattanzi, Mirrokni, Rastogi, Vassilvitskii: "Connected Components in MapReduce and Beyond", SoCC 2014), each round of
which is a step. Both depend on the set of edges only, not on partitions or retries, and give the same answer.
"""

import functools
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from jobs.spark.steps import UNIT, Making, Steps, Table, unit_of_hash, units_for

MAX_ROUNDS = 64
EDGES_IN_ONE_TASK = 1 << 20  # of about 70 bytes
EDGE_BYTES = 80
PAIRS = pa.schema([("a", pa.binary()), ("b", pa.binary())])
EDGES = pa.schema([("u", pa.binary()), ("v", pa.binary())])
COMPONENTS = pa.schema([("member", pa.binary()), ("component", pa.binary())])
PLACED = pa.schema([("a", pa.binary()), ("b", pa.binary()), ("component", pa.binary()), ("is_large", pa.bool_())])
"""A pair of a graph with its component. Each node has a row, too, as `a`, in which `b` is null."""

Places = NDArray[np.int64]


def connected_components(
    pairs: DataFrame, steps: Steps, name: str, *, most: int, in_one_task: int = EDGES_IN_ONE_TASK
) -> Table:
    """Return (`member`, `component`): every node in the pairs (`a`, `b`), with the smallest node it is connected to.

    `name` is that of the steps, and there are at `most` so many pairs. Raises RuntimeError if MAX_ROUNDS are not
    enough, which cannot happen for graphs below 2^64 nodes.
    """
    pairs = pairs.select("a", "b").where("a != b")
    if most <= in_one_task:
        together = pairs.withColumn(UNIT, F.lit(0))
        return steps.make(together, Making(name=name, schema=COMPONENTS, units=1, function=_smallest_connected))
    edges = pairs.select(F.greatest("a", "b").alias("u"), F.least("a", "b").alias("v"))
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


def in_components(
    pairs: DataFrame, steps: Steps, name: str, *, most: int, large: int, in_one_task: int = EDGES_IN_ONE_TASK
) -> Table:
    """Return each of the pairs (`a`, `b`; a < b) once, and their nodes, as PLACED, with the facts of `_count`.

    A component is large if it has more than `large` pairs. `name` and `most` are as in `connected_components`.
    """
    if most <= in_one_task:
        making = Making(
            name=name,
            schema=PLACED,
            units=1,
            function=functools.partial(placed_in_memory, large=large),
            order=("a", "b"),
            count=_count,
        )
        return steps.make(pairs.withColumn(UNIT, F.lit(0)), making)
    units = units_for(most, EDGE_BYTES)
    distinct = steps.keep(f"{name}-distinct", pairs.distinct(), PAIRS, ["a"], units=units)
    components = connected_components(
        distinct.frame(), steps, f"{name}-components", most=distinct.rows, in_one_task=in_one_task
    ).frame()
    found = distinct.frame().join(components.toDF("a", "component"), "a")
    sizes = found.groupBy("component").count().where(F.col("count") > large)
    nodes = components.select(F.col("member").alias("a"), F.lit(None).cast("binary").alias("b"), "component")
    large_ones = sizes.select("component", F.lit(True).alias("is_large"))
    placed = found.unionByName(nodes).join(large_ones, "component", "left").fillna(False, ["is_large"])
    rows = placed.select(*PLACED.names).withColumn(UNIT, unit_of_hash(["a"], units))
    return steps.make(rows, Making(name=name, schema=PLACED, units=units, order=PLACED.names, count=_count))


def placed_in_memory(batches: Iterator[pa.RecordBatch], *, large: int) -> Iterator[pa.RecordBatch]:
    """Yield PLACED of all pairs (`a`, `b`), each once."""
    pairs = _in_memory(batches)
    if pairs is None:
        return
    pairs = pairs.group_by(["a", "b"], use_threads=False).aggregate([])
    nodes, labels, ends = _labelled(pairs)
    components = nodes.take(pa.array(labels))
    is_large = (np.bincount(labels[ends[0]], minlength=len(nodes)) > large)[labels]
    at_pairs = [*pairs.select(["a", "b"]).columns, components.take(pa.array(ends[0])), pa.array(is_large[ends[0]])]
    at_nodes = [nodes, pa.nulls(len(nodes), pa.binary()), components, pa.array(is_large)]
    for columns in (at_pairs, at_nodes):
        yield from pa.table(columns, PLACED.names).cast(PLACED).to_batches()


def _count(placed: pa.Table) -> Mapping[str, int]:
    """Return how many pairs there are, and how many of them are in large components."""
    is_pair = pc.is_valid(placed.column("b"))
    in_large = pc.and_(is_pair, placed.column("is_large"))
    return {"pairs": pc.sum(is_pair).as_py() or 0, "large_pairs": pc.sum(in_large).as_py() or 0}


def _smallest_connected(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the components of all pairs (`a`, `b`) by member."""
    pairs = _in_memory(batches)
    if pairs is not None:
        nodes, labels, _ = _labelled(pairs)
        yield from pa.table([nodes, nodes.take(pa.array(labels))], COMPONENTS.names).cast(COMPONENTS).to_batches()


def _in_memory(batches: Iterator[pa.RecordBatch]) -> pa.Table | None:
    tables = [pa.Table.from_batches([batch]) for batch in batches if batch.num_rows]
    return pa.concat_tables(tables) if tables else None


def _labelled(pairs: pa.Table) -> tuple[pa.Array, Places, tuple[Places, Places]]:
    """Return the nodes in `pairs`, sorted, of each the place of the smallest it is connected to, and those of pairs.

    Labels spread along pairs until none changes.
    """
    nodes = pc.unique(pa.chunked_array([*pairs.column("a").chunks, *pairs.column("b").chunks]))
    nodes = nodes.take(pc.sort_indices(nodes))
    first, second = (pc.index_in(pairs.column(name), nodes).to_numpy() for name in ("a", "b"))
    labels = np.arange(len(nodes))
    while True:
        smaller = np.minimum(labels[first], labels[second])
        spread = labels.copy()
        for place in (first, second, labels[first], labels[second]):
            np.minimum.at(spread, place, smaller)
        spread = spread[spread]
        if np.array_equal(spread, labels):
            return nodes, labels, (first, second)
        labels = spread


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
