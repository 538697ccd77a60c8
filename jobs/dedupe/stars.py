"""From pairs of copies to clusters in which every member is a copy of its representative.

Connected components chain: if A resembles B and B resembles C, all three hang together, though A and C may show
nothing in common. So each component's best picture becomes its representative, every other member is judged against
it, and those that fail leave and start over among themselves.
"""

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from jobs.dedupe.components import connected_components

MAX_ROUNDS = 12  # every round settles the best picture of each component and all its copies


def stars(copies: DataFrame, known: DataFrame, judge: Callable[[DataFrame], DataFrame]) -> DataFrame:
    """Return (`member`, `representative`, `kind`, `evidence`) of each picture that is a copy of a representative.

    `copies`: pairs found to be copies, with the same columns. `known`: `node` and `rank` of each picture. `judge`
    returns the copies among pairs (`a`, `b`). What is left after MAX_ROUNDS stays apart: nothing is merged unproven.
    """
    ranks = known.select("node", "rank")
    settled: DataFrame | None = None
    left = copies
    for _ in range(MAX_ROUNDS):
        if left.isEmpty():
            break
        rays = _rays(left, ranks)
        proven = rays.join(copies, ["member", "representative"])
        unproven = rays.join(copies, ["member", "representative"], "left_anti").localCheckpoint()
        if not unproven.isEmpty():
            judged = judge(unproven.select(F.col("member").alias("a"), F.col("representative").alias("b")))
            proven = proven.unionByName(judged.select(*proven.columns))
        proven = proven.localCheckpoint()
        settled = proven if settled is None else settled.unionByName(proven)
        left = _without(left, proven.select(F.col("member").alias("node")), rays)
    return settled if settled is not None else copies.limit(0)


def _rays(copies: DataFrame, ranks: DataFrame) -> DataFrame:
    """Return (`member`, `representative`) of each picture but the best of its component."""
    components = connected_components(copies.select(F.col("member").alias("a"), F.col("representative").alias("b")))
    ranked = components.join(ranks, components["member"] == ranks["node"]).select("member", "component", "rank")
    best = ranked.groupBy("component").agg(F.min_by("member", "rank").alias("representative"))
    rays = ranked.join(best, "component").where("member != representative")
    return rays.select("member", "representative").localCheckpoint()


def _without(copies: DataFrame, members: DataFrame, rays: DataFrame) -> DataFrame:
    """Return the pairs between pictures that are neither settled members nor representatives."""
    gone = members.union(rays.select(F.col("representative").alias("node"))).distinct()
    for side in ("member", "representative"):
        copies = copies.join(gone.withColumnRenamed("node", side), side, "left_anti")
    return copies.localCheckpoint()
