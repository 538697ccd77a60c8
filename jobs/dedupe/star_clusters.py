"""From candidate pairs to clusters in which every member is a copy of its representative.

Connected components form chains: if A resembles B and B resembles C, all three are connected, though A and C may have
nothing in common. So the best picture of each component of copies becomes its representative, and every other member
is judged with it. Members that do not match leave, and form new components among themselves. Such clusters are stars.

The answer is that of judging every candidate pair, but few are judged. A pair whose pictures are connected already
can change no component. So pictures are judged with the best of their candidates first, which proves most; then one
pair is judged between any two components that have one; then all pairs that are left between components.
"""

import functools
from collections.abc import Sequence

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.copies.stars import MAX_ROUNDS
from jobs.dedupe.candidates import NODE_PAIR_BYTES, NODE_PAIRS
from jobs.dedupe.components import connected_components
from jobs.dedupe.judging import Judge
from jobs.spark.steps import Steps, Table, units_for

STARS = pa.schema([("member", pa.binary()), ("representative", pa.binary())])


def star_clusters(candidates: Table, ranks: DataFrame, judge: Judge, steps: Steps) -> list[DataFrame]:
    """Return (`member`, `representative`) of each picture that is a copy of a representative, in several frames.

    `candidates`: pairs (`a`, `b`; a < b) that may be copies. `ranks`: `node` and `rank` of each picture. `judge` has
    judged some of them, and judges more. Pictures that are left after MAX_ROUNDS are in no cluster: nothing is merged
    without proof.
    """
    settled: list[DataFrame] = []
    left, units = candidates, units_for(candidates.rows, NODE_PAIR_BYTES)
    for number in range(MAX_ROUNDS):
        if left.rows == 0:
            break
        name = f"round-{number}"
        components = _components(left, ranks, judge, steps, name)
        stars = steps.keep(f"{name}-stars", _stars(components.frame(), ranks), STARS, ["member"], units=units)
        if stars.rows == 0:
            break
        judge.judge(f"{name}-stars", stars.frame().toDF("a", "b"), most=stars.rows)
        settled.append(stars.frame().join(judge.copies(), STARS.names, "left_semi"))
        gone = settled[-1].select("member").union(stars.frame("representative")).toDF("node").distinct()
        left = steps.keep(f"{name}-left", without(left.frame(), gone), NODE_PAIRS, ["a"], units=units)
    return settled


def without(pairs: DataFrame, nodes: DataFrame) -> DataFrame:
    """Return the `pairs` (`a`, `b`) of which neither is among `nodes`."""
    for side in ("a", "b"):
        pairs = pairs.join(nodes.toDF(side), side, "left_anti")
    return pairs


def _components(left: Table, ranks: DataFrame, judge: Judge, steps: Steps, name: str) -> Table:
    """Return the connected components (`member`, `component`) of the copies among the pairs that are `left`.

    Judges pairs until each that is not judged is inside a component.
    """
    units = units_for(left.rows, NODE_PAIR_BYTES)
    efforts = [_with_the_best, _between_components, _all_of_them]
    if not judge.judged:  # then there are no components yet
        apart = left.frame().withColumns({"x": F.col("a"), "y": F.col("b")})
        chosen = efforts.pop(0)(apart, ranks)
        judge.judge_new(f"{name}-first", steps.keep(f"{name}-first-chosen", chosen, NODE_PAIRS, ["a"], units=units))
    for effort, choose in enumerate(efforts):
        components, unsettled = _connected(left, judge, steps, f"{name}-components-{effort}")
        found = steps.keep(f"{name}-chosen-{effort}", choose(unsettled, ranks), NODE_PAIRS, ["a"], units=units)
        if found.rows == 0:
            return components
        judge.judge_new(f"{name}-{effort}", found)
    return _connected(left, judge, steps, f"{name}-components")[0]


def _connected(left: Table, judge: Judge, steps: Steps, name: str) -> tuple[Table, DataFrame]:
    """Return the components of the copies among `left`, and the pairs between components that are not judged.

    The pairs have the components of both, `x` and `y`; one of a picture without copies is the picture itself.
    """
    pairs = left.frame().join(judge.verdicts(), ["a", "b"], "left")
    components = connected_components(pairs.where("is_copy").select("a", "b"), steps, name, most=left.rows)
    known, unknown = components.frame(), pairs.where("is_copy IS NULL").select("a", "b")
    unknown = unknown.join(known.toDF("a", "x"), "a", "left").join(known.toDF("b", "y"), "b", "left")
    unknown = unknown.withColumns({"x": F.coalesce("x", "a"), "y": F.coalesce("y", "b")})
    return components, unknown.where("x != y")


def _with_the_best(pairs: DataFrame, ranks: DataFrame) -> DataFrame:
    """Return the pair of each picture with the best of those with which it is paired, if that is better than it."""
    ranked = _with_ranks(pairs, ranks)
    names = ("node", "other", "rank", "other_rank")
    both = ranked.select("a", "b", "rank_a", "rank_b").toDF(*names)
    both = both.unionByName(ranked.select("b", "a", "rank_b", "rank_a").toDF(*names)).where("other_rank < rank")
    best = both.groupBy("node").agg(F.min_by("other", "other_rank").alias("other"))
    return best.select(F.least("node", "other").alias("a"), F.greatest("node", "other").alias("b")).distinct()


def _between_components(pairs: DataFrame, ranks: DataFrame) -> DataFrame:
    """Return, of the pairs between any two components, that of the best pictures."""
    ranked = _with_ranks(pairs, ranks)
    best = ranked.groupBy(F.least("x", "y").alias("low"), F.greatest("x", "y").alias("high")).agg(
        F.min_by(F.struct("a", "b"), F.struct(F.least("rank_a", "rank_b"), F.greatest("rank_a", "rank_b"))).alias(
            "best"
        )
    )
    return best.select("best.a", "best.b")


def _all_of_them(pairs: DataFrame, ranks: DataFrame) -> DataFrame:
    return pairs.select("a", "b")


def _with_ranks(pairs: DataFrame, ranks: DataFrame) -> DataFrame:
    return pairs.join(ranks.toDF("a", "rank_a"), "a").join(ranks.toDF("b", "rank_b"), "b")


def _stars(components: DataFrame, ranks: DataFrame) -> DataFrame:
    """Return (`member`, `representative`) of each picture except the best of its component, which represents it."""
    ranked = components.join(ranks.toDF("member", "rank"), "member")
    best = ranked.groupBy("component").agg(F.min_by("member", "rank").alias("representative"))
    return ranked.join(best, "component").where("member != representative").select(*STARS.names)


def union(frames: Sequence[DataFrame]) -> DataFrame | None:
    """Return the rows of all `frames`, or None without any."""
    return functools.reduce(DataFrame.unionByName, frames) if frames else None
