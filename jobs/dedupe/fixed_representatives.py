"""Find the copies of images that must represent their clusters: those of reference sets and of existing manifests."""

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from jobs.dedupe.pictures import PARENT

MAX_ROUNDS = 12  # for copies of copies of copies; the others form clusters among themselves


def match_fixed(
    copies: DataFrame, pictures: DataFrame, match: Callable[[DataFrame], DataFrame]
) -> tuple[DataFrame, DataFrame]:
    """Return the parent's pictures that are copies of a fixed one, as `copies`, and the pairs of its other pictures.

    `copies`: pairs (`member`, `representative`, `kind`, `evidence`) found to be copies. `pictures`: `node`, `rank`
    and `origin` of each picture. Pictures of other origins than PARENT are fixed: they rank first, and are copies of
    nothing. Of several fixed ones the best represents. A copy of a copy is matched with the fixed picture
    itself: `match` returns the copies among pairs (`a`, `b`).
    """
    known = pictures.select("node", "rank", (F.col("origin") == PARENT).alias("is_parents"))
    fixed = known.where("NOT is_parents").select(
        F.col("node").alias("representative"), F.col("rank").alias("representative_rank")
    )
    parents = known.where("is_parents").select("node")
    among_parents = copies.join(parents.toDF("representative"), "representative", "left_semi").localCheckpoint()
    edges = among_parents.select(F.col("member").alias("a"), F.col("representative").alias("b"))
    edges = edges.union(edges.select("b", "a")).localCheckpoint()
    found = _best(copies.join(fixed, "representative")).localCheckpoint()
    settled = found
    for _ in range(MAX_ROUNDS):
        near = edges.join(found.select(F.col("member").alias("b"), "representative", "representative_rank"), "b")
        near = near.join(settled.select(F.col("member").alias("a")), "a", "left_anti")
        candidates = near.groupBy("a").agg(F.min_by("representative", "representative_rank").alias("b"))
        candidates = candidates.localCheckpoint()
        if candidates.isEmpty():
            break
        found = _best(match(candidates).join(fixed, "representative")).localCheckpoint()
        settled = settled.unionByName(found).localCheckpoint()
    for side in ("member", "representative"):
        among_parents = among_parents.join(settled.select(F.col("member").alias(side)), side, "left_anti")
    return settled.drop("representative_rank"), among_parents.select(*copies.columns).localCheckpoint()


def _best(pairs: DataFrame) -> DataFrame:
    """Return the pair of each member with its best fixed picture, with `representative_rank`."""
    names = ("representative", "kind", "evidence", "representative_rank")
    best = pairs.groupBy("member").agg(F.min_by(F.struct(*names), "representative_rank").alias("best"))
    return best.select("member", "best.*")
