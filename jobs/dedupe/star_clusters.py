"""From pairs of copies to clusters in which every member is a copy of its representative.

Connected components form chains: if A resembles B and B resembles C, all three are connected, though A and C may have
nothing in common. So the best picture of each component becomes its representative, and every other member is matched
with it. Members that do not match leave, and form new components among themselves. Such clusters are stars.
"""

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from jobs.dedupe.components import connected_components

MAX_ROUNDS = 12  # every round settles the best picture of each component and all its copies


def star_clusters(copies: DataFrame, pictures: DataFrame, match: Callable[[DataFrame], DataFrame]) -> DataFrame:
    """Return (`member`, `representative`, `kind`, `evidence`) of each picture that is a copy of a representative.

    `copies`: pairs found to be copies, with the same columns. `pictures`: `node` and `rank` of each picture. `match`
    returns the copies among pairs (`a`, `b`). Pictures that are left after MAX_ROUNDS are in no cluster: nothing is
    merged without proof.
    """
    ranks = pictures.select("node", "rank")
    settled: DataFrame | None = None
    left = copies
    for _ in range(MAX_ROUNDS):
        if left.isEmpty():
            break
        stars = _stars(left, ranks)
        proven = stars.join(copies, ["member", "representative"])
        unproven = stars.join(copies, ["member", "representative"], "left_anti").localCheckpoint()
        if not unproven.isEmpty():
            matched = match(unproven.select(F.col("member").alias("a"), F.col("representative").alias("b")))
            proven = proven.unionByName(matched.select(*proven.columns))
        proven = proven.localCheckpoint()
        settled = proven if settled is None else settled.unionByName(proven)
        left = _without(left, proven.select(F.col("member").alias("node")), stars)
    return settled if settled is not None else copies.limit(0)


def _stars(copies: DataFrame, ranks: DataFrame) -> DataFrame:
    """Return (`member`, `representative`) of each picture except the best of its component, which represents it."""
    components = connected_components(copies.select(F.col("member").alias("a"), F.col("representative").alias("b")))
    ranked = components.join(ranks, components["member"] == ranks["node"]).select("member", "component", "rank")
    best = ranked.groupBy("component").agg(F.min_by("member", "rank").alias("representative"))
    stars = ranked.join(best, "component").where("member != representative")
    return stars.select("member", "representative").localCheckpoint()


def _without(copies: DataFrame, members: DataFrame, stars: DataFrame) -> DataFrame:
    """Return the pairs of pictures that are neither settled members nor representatives."""
    gone = members.union(stars.select(F.col("representative").alias("node"))).distinct()
    for side in ("member", "representative"):
        copies = copies.join(gone.withColumnRenamed("node", side), side, "left_anti")
    return copies.localCheckpoint()
