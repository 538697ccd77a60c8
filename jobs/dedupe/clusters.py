"""From candidate pairs to clusters: small components whole, each in one task, and large ones in rounds of steps."""

from collections.abc import Sequence

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from jobs.dedupe.candidates import NODE_PAIR_BYTES, NODE_PAIRS
from jobs.dedupe.fixed_representatives import match_fixed
from jobs.dedupe.judging import COPY, Judge
from jobs.dedupe.matching import Matcher
from jobs.dedupe.pictures import AT_PART, PARENT, PLACE, PLACE_BYTES, PictureSet, ranked, with_places
from jobs.dedupe.star_clusters import star_clusters, union
from jobs.dedupe.whole_components import judge_components
from jobs.spark.steps import Steps, Table, units_for
from manifests.format.schema import Stage, schema


def form_clusters(
    candidates: Table,
    pictures: Table,
    sets: Sequence[PictureSet],
    matcher: Matcher,
    steps: Steps,
    *,
    known: DataFrame | None = None,
) -> tuple[DataFrame | None, list[Table]]:
    """Return COPY of each picture that is a copy of its representative, or None, and the tables of judged pairs.

    `candidates` are PLACED. `pictures` are those of `sets`; those of other origins than PARENT always represent.
    `known` has the `evidence` of pairs (`first_sha256`, `second_sha256`) that were compared before.
    """
    copies: list[DataFrame] = []
    judged: list[Table] = []
    large = candidates.total("large_pairs")
    if candidates.total("pairs") > large:
        whole = judge_components(candidates, pictures, sets, matcher, steps, known=known)
        judged.append(whole)
        columns = ("member", "representative", "kind", "described")
        copies.append(whole.frame(*columns, "is_settled").where("is_settled").select(*columns).toDF(*COPY))
    if large:
        pairs = candidates.frame().where("is_large AND b IS NOT NULL")
        units = units_for(large, NODE_PAIR_BYTES)
        left = steps.keep("large-candidates", pairs.select("a", "b"), NODE_PAIRS, ["a"], units=units)
        nodes = candidates.frame().where("is_large AND b IS NULL").select(F.col("a").alias("node"))
        places = _places(nodes, pictures, sets, matcher, steps)
        judge = Judge(pictures=pictures, places=places, matcher=matcher, steps=steps, known=known)
        copies += _in_rounds(left, sets, judge, steps)
        judged += judge.judged
    return union(copies), judged


def _in_rounds(left: Table, sets: Sequence[PictureSet], judge: Judge, steps: Steps) -> list[DataFrame]:
    ranks = ranked(judge.pictures.frame()).select("node", "rank", "origin")
    settled: list[DataFrame] = []
    if any(each.origin != PARENT for each in sets):
        settled, left = match_fixed(left, ranks, judge, steps)
    settled += star_clusters(left, ranks.drop("origin"), judge, steps)
    return [each.join(judge.evidence(), ["member", "representative"]).select(*COPY) for each in settled]


def _places(nodes: DataFrame, pictures: Table, sets: Sequence[PictureSet], matcher: Matcher, steps: Steps) -> Table:
    """Return where the pictures of `nodes` are, and what the matcher needs of them."""
    mine = pictures.frame("node", "key", "sha256", "origin", "set", AT_PART).join(nodes, "node", "left_semi")
    measured = [schema(Stage.SCAN).field(name) for name in (*PLACE, *matcher.measured)]
    places = pa.schema([("node", pa.binary()), ("key", pa.string()), ("sha256", pa.string()), *measured])
    found = with_places(mine, ("node", "key", "sha256"), sets, steps.options, matcher.measured)
    return steps.keep("places", found, places, ["node"], units=units_for(pictures.rows, PLACE_BYTES))
