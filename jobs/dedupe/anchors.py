"""Copies of pictures that stay what they are: those of reference sets, and of manifests that are already there."""

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from jobs.dedupe.pictures import OWN

MAX_ROUNDS = 12  # copies of copies of copies; what is further off is judged among its own


def anchored(
    copies: DataFrame, known: DataFrame, judge: Callable[[DataFrame], DataFrame]
) -> tuple[DataFrame, DataFrame]:
    """Return the own pictures that are copies of an anchor, as `copies`, and the pairs left among all other own ones.

    `copies`: pairs (`member`, `representative`, `kind`, `evidence`) found to be copies. `known`: `node`, `rank` and
    `origin` of each picture; whatever is not OWN is an anchor, ranks before all own ones, and is a copy of nothing.
    Of several anchors the best represents. A copy of a copy is judged against the anchor itself.
    """
    about = known.select("node", "rank", (F.col("origin") == OWN).alias("is_own"))
    of_anchor = about.where("NOT is_own").select(
        F.col("node").alias("representative"), F.col("rank").alias("anchor_rank")
    )
    own = about.where("is_own").select("node")
    among_own = copies.join(own.toDF("representative"), "representative", "left_semi").localCheckpoint()
    edges = among_own.select(F.col("member").alias("a"), F.col("representative").alias("b"))
    edges = edges.union(edges.select("b", "a")).localCheckpoint()
    found = _best(copies.join(of_anchor, "representative")).localCheckpoint()
    settled = found
    for _ in range(MAX_ROUNDS):
        near = edges.join(found.select(F.col("member").alias("b"), "representative", "anchor_rank"), "b")
        near = near.join(settled.select(F.col("member").alias("a")), "a", "left_anti")
        asked = near.groupBy("a").agg(F.min_by("representative", "anchor_rank").alias("b")).localCheckpoint()
        if asked.isEmpty():
            break
        found = _best(judge(asked).join(of_anchor, "representative")).localCheckpoint()
        settled = settled.unionByName(found).localCheckpoint()
    for side in ("member", "representative"):
        among_own = among_own.join(settled.select(F.col("member").alias(side)), side, "left_anti")
    return settled.drop("anchor_rank"), among_own.select(*copies.columns).localCheckpoint()


def _best(pairs: DataFrame) -> DataFrame:
    """Return each member's pair with the best anchor, with `anchor_rank`."""
    names = ("representative", "kind", "evidence", "anchor_rank")
    best = pairs.groupBy("member").agg(F.min_by(F.struct(*names), "anchor_rank").alias("best"))
    return best.select("member", "best.*")
