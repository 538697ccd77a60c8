"""Find the copies of images that must represent their clusters: those of reference sets and of existing manifests."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.copies.stars import MAX_ROUNDS
from jobs.dedupe.candidates import NODE_PAIR_BYTES, NODE_PAIRS
from jobs.dedupe.judging import Judge
from jobs.dedupe.pictures import PARENT
from jobs.dedupe.star_clusters import STARS, union, without
from jobs.spark.steps import Steps, Table, units_for


def match_fixed(candidates: Table, pictures: DataFrame, judge: Judge, steps: Steps) -> tuple[list[DataFrame], Table]:
    """Return (`member`, `representative`) of the parent's pictures that are copies of a fixed one, and what is left.

    `candidates`: pairs (`a`, `b`; a < b) that may be copies. `pictures`: `node`, `rank` and `origin` of each picture.
    Pictures of other origins than PARENT are fixed: they rank first, and are copies of nothing. Of several fixed ones
    the best represents. A copy of a copy is judged with the fixed picture itself. What is left are the candidate
    pairs of the parent's other pictures.
    """
    units = units_for(candidates.rows, NODE_PAIR_BYTES)
    fixed = pictures.where(F.col("origin") != PARENT).select("node", "rank")
    among_parents = without(candidates.frame(), fixed.select("node"))
    with_fixed = candidates.frame().join(among_parents, ["a", "b"], "left_anti")
    judge.judge("fixed", with_fixed, most=candidates.rows)
    ranks = fixed.toDF("representative", "representative_rank")
    found = _best(judge, ranks, steps, "fixed-0", units)
    settled = [found.frame()]
    for number in range(1, MAX_ROUNDS + 1):
        everyone = union(settled)
        if found.rows == 0 or everyone is None:
            break
        settled_before = everyone.select(F.col("member").alias("node"))
        near = _both_ways(among_parents).join(found.frame().toDF("other", "representative"), "other")
        near = near.join(settled_before, "node", "left_anti")
        judge.judge(f"fixed-{number}-near", near.select("node", "other").toDF("a", "b"), most=candidates.rows)
        proven = near.join(_both_ways(judge.copies()), ["node", "other"], "left_semi").join(ranks, "representative")
        pairs = proven.groupBy("node").agg(F.min_by("representative", "representative_rank").alias("representative"))
        chosen = steps.keep(f"fixed-{number}-chosen", pairs.toDF(*STARS.names), STARS, ["member"], units=units)
        if chosen.rows == 0:
            break
        judge.judge(f"fixed-{number}", chosen.frame().toDF("a", "b"), most=chosen.rows)
        matched = chosen.frame().join(judge.copies(), STARS.names, "left_semi")
        found = steps.keep(f"fixed-{number}-proven", matched, STARS, ["member"], units=units)
        settled.append(found.frame())
    everyone = union(settled)
    left = among_parents if everyone is None else without(among_parents, everyone.select("member"))
    return settled, steps.keep("fixed-left", left, NODE_PAIRS, ["a"], units=units)


def _both_ways(pairs: DataFrame) -> DataFrame:
    """Return (`node`, `other`) of each pair, and of each pair the other way round."""
    one_way = pairs.toDF("node", "other")
    return one_way.unionByName(one_way.select(F.col("other").alias("node"), F.col("node").alias("other")))


def _best(judge: Judge, ranks: DataFrame, steps: Steps, name: str, units: int) -> Table:
    """Return each picture that is a copy of a fixed one, with the best such."""
    copies = judge.copies().join(ranks, "representative") if judge.judged else None
    nothing = ranks.select(F.col("representative").alias("member"), "representative").limit(0)
    best = (
        nothing
        if copies is None
        else copies.groupBy("member").agg(F.min_by("representative", "representative_rank").alias("representative"))
    )
    return steps.keep(f"{name}-proven", best, STARS, ["member"], units=units)
