"""From copies to the columns of dedupe: who represents whom, named and described for each row of the parent."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from jobs.dedupe.pictures import PARENT, REFERENCE
from jobs.spark import frames
from manifests.format.schema import DuplicateKind

_IS_HEAD = f"(key = head.key AND head.origin = {PARENT})"
_HOW = f"CASE WHEN node = head.node THEN '{DuplicateKind.EXACT}' ELSE kind END"
ANSWER = {
    "cluster_id": "cluster_id",
    "duplicate_of": f"CASE WHEN NOT {_IS_HEAD} THEN head.key END",
    "duplicate_kind": f"""CASE WHEN {_IS_HEAD} THEN NULL
        WHEN head.origin = {REFERENCE} THEN '{DuplicateKind.REFERENCE}' ELSE {_HOW} END""",
    "duplicate_evidence": f"""CASE WHEN {_IS_HEAD} THEN NULL
        WHEN sha256 = head.sha256 THEN '{{"kind": "exact", "same": "bytes"}}'
        WHEN node = head.node THEN '{{"kind": "exact", "same": "pixels"}}'
        ELSE '{{"kind": "' || {_HOW} || '", ' || substring(evidence, 2) END""",
    "reference": f"CASE WHEN head.origin = {REFERENCE} THEN head.set END",
}
"""The columns of dedupe in SQL that Spark and DuckDB understand, for a row (`key`, `node`, `sha256`) of the parent
with `cluster_id`, the `head` of its cluster, and the `kind` and `evidence` of a copy of the head."""


def duplicate_columns(rows: DataFrame, pictures: DataFrame, copies: DataFrame | None) -> DataFrame:
    """Return `part`, `key` and the columns of dedupe for each row of the parent.

    `rows` are as `read_rows` returns them. `copies`: (`member`, `representative`, `kind`, `evidence`) of each picture
    that is a copy, or None if none is. Rows are shuffled once, by picture; what belongs to a cluster is found before.
    """
    answers = _alone(pictures) if copies is None else _answers(pictures, copies)
    answers = answers.select("node", "head", "cluster_id", "kind", "evidence")
    joined = rows.where(F.col("origin") == PARENT).join(answers, "node")
    return joined.select(frames.PART, "key", *(F.expr(what).alias(name) for name, what in ANSWER.items()))


def _head_of_itself() -> Column:
    return F.struct("node", "key", "sha256", "origin", "set")


def _answers(pictures: DataFrame, copies: DataFrame) -> DataFrame:
    """Return (`node`, `head`, `cluster_id`, `kind`, `evidence`) of each picture; `head` represents its cluster."""
    members = copies.select(F.col("member").alias("node"), F.col("representative").alias("of"), "kind", "evidence")
    heads = copies.select(F.col("representative").alias("node"), F.col("representative").alias("of")).distinct()
    clustered = members.unionByName(heads, allowMissingColumns=True)
    narrow = pictures.select("node", "key", "sha256", "origin", "set", "cluster", "first_key")
    placed = clustered.join(narrow, "node")
    # A cluster keeps the name that it has in an existing manifest.
    clusters = placed.groupBy("of").agg(
        F.max(F.when(F.col("node") == F.col("of"), _head_of_itself())).alias("head"),
        F.coalesce(F.min("cluster"), F.min("first_key")).alias("cluster_id"),
    )
    found = clustered.join(clusters, "of").select("node", "head", "cluster_id", "kind", "evidence")
    return found.unionByName(_alone(narrow.join(found.select("node"), "node", "left_anti")))


def _alone(pictures: DataFrame) -> DataFrame:
    """Return the same columns of pictures that are copies of none and represent no other."""
    nothing = F.lit(None).cast("string")
    return pictures.select(
        "node",
        _head_of_itself().alias("head"),
        F.coalesce("cluster", "first_key").alias("cluster_id"),
        nothing.alias("kind"),
        nothing.alias("evidence"),
    )
