"""Judge pairs of pictures, each at most once: by comparing them, or by what an earlier run has found.

The pairs of one representative are in one unit, in order, so that a task reads each picture about once; those of one
with very many are spread over several.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.pictures.pdq import hamming
from jobs.dedupe.candidates import NODE_PAIR_BYTES, NODE_PAIRS
from jobs.dedupe.matching import PICTURE_COLUMNS, Found, Matcher, Pair
from jobs.dedupe.pictures import ranked
from jobs.spark import frames
from jobs.spark.part_stages import MAX_GROUP_TASKS
from jobs.spark.steps import UNIT, Making, Shown, Steps, Table, units_for
from jobs.units.worker import is_retry

PAIRS_PER_UNIT = 64
PAIRS_AT_ONCE = 64
JUDGED = pa.schema(
    [
        ("member", pa.binary()),
        ("representative", pa.binary()),
        ("first_sha256", pa.string()),
        ("second_sha256", pa.string()),
        ("evidence", pa.string()),
        ("kind", pa.string()),
        ("described", pa.string()),
        ("is_known", pa.bool_()),
    ]
)
"""A judged pair. `evidence` is what was found of the first picture in the second, in the order in which they were
compared; `kind` of which kind of copies they are, or None, and `described` what is recorded of copies. `is_known`: an
earlier run had compared them."""
COPY = ("member", "representative", "kind", "evidence")


@dataclass(kw_only=True)
class Judge:
    """Judges pairs of pictures with a matcher, and remembers them.

    `pictures` are all pictures, `places` those of the pictures in candidate pairs, with what the matcher needs.
    `known` has the `evidence` of pairs (`first_sha256`, `second_sha256`) that were compared before, or is None.
    """

    pictures: Table
    places: Table
    matcher: Matcher
    steps: Steps
    known: DataFrame | None = None
    judged: list[Table] = field(default_factory=list)

    def judge(self, name: str, pairs: DataFrame, *, most: int) -> None:
        """Judge those of `pairs` (`a`, `b`), at `most` so many, that are not judged yet. `name` is that of steps."""
        ordered = pairs.select(F.least("a", "b").alias("a"), F.greatest("a", "b").alias("b")).distinct()
        if self.judged:
            ordered = ordered.join(self.verdicts(), ["a", "b"], "left_anti")
        units = units_for(most, NODE_PAIR_BYTES)
        self.judge_new(name, self.steps.keep(f"{name}-pairs", ordered, NODE_PAIRS, ["a"], units=units))

    def judge_new(self, name: str, pairs: Table) -> None:
        """Judge pairs (`a`, `b`; a < b), each once, none of which is judged yet."""
        if pairs.rows == 0:
            return
        units = min(MAX_GROUP_TASKS, -(-pairs.rows // PAIRS_PER_UNIT))
        making = Making(
            name=f"{name}-judged",
            schema=JUDGED,
            units=units,
            function=_JudgePairs(matcher=self.matcher),
            order=("representative", "member"),
            count=count_known,
            shown=Shown(name="proof", noun="pairs", rows=pairs.rows),
        )
        self.judged.append(self.steps.make(self._spread(self._described(pairs.frame()), units), making))

    def verdicts(self) -> DataFrame:
        """Return (`a`, `b`, `is_copy`; a < b) of all judged pairs."""
        return self._all("member", "representative", "kind").select(
            F.least("member", "representative").alias("a"),
            F.greatest("member", "representative").alias("b"),
            F.col("kind").isNotNull().alias("is_copy"),
        )

    def copies(self) -> DataFrame:
        """Return (`member`, `representative`) of the judged pairs that are copies."""
        return self._all("member", "representative", "kind").where("kind IS NOT NULL").drop("kind")

    def evidence(self) -> DataFrame:
        """Return COPY of the judged pairs that are copies."""
        columns = ("member", "representative", "kind", "described")
        return self._all(*columns).where("kind IS NOT NULL").toDF(*COPY)

    def _all(self, *columns: str) -> DataFrame:
        schema = frames.ddl(pa.schema([JUDGED.field(name) for name in columns]))
        none = self.steps.spark.createDataFrame([], schema)
        return functools.reduce(DataFrame.unionByName, (each.frame(*columns) for each in self.judged), none)

    def _described(self, pairs: DataFrame) -> DataFrame:
        """Return pairs as `_JudgePairs` takes them: the better picture is the representative."""
        narrow = ranked(self.pictures.frame()).select("node", F.struct("rank", "node", "sha256", "pdq", "is_text"))
        joined = pairs.join(narrow.toDF("a", "left"), "a").join(narrow.toDF("b", "right"), "b")
        first_is_better = F.col("left.rank") < F.col("right.rank")
        oriented = joined.select(
            F.when(first_is_better, F.col("right")).otherwise(F.col("left")).alias("m"),
            F.when(first_is_better, F.col("left")).otherwise(F.col("right")).alias("r"),
        ).select(
            F.col("m.node").alias("member"),
            F.col("r.node").alias("representative"),
            F.col("m.sha256").alias("member_sha256"),
            F.col("r.sha256").alias("representative_sha256"),
            F.col("m.pdq").alias("member_pdq"),
            F.col("r.pdq").alias("representative_pdq"),
            (F.col("m.is_text") & F.col("r.is_text")).alias("is_text"),
        )
        nothing, not_known = F.lit(None).cast("string"), F.lit(False)
        if self.known is None:
            oriented = oriented.withColumns({"evidence": nothing, "is_exchanged": not_known, "is_known": not_known})
        else:
            known = self.known.withColumns({**_in_order("first_sha256", "second_sha256"), "is_known": F.lit(True)})
            oriented = oriented.withColumns(_in_order("member_sha256", "representative_sha256"))
            oriented = oriented.join(known, ["low", "high"], "left").fillna(False, ["is_known"])
            oriented = oriented.withColumn("is_exchanged", F.expr("first_sha256 <=> representative_sha256"))
        wanted = [*PICTURE_COLUMNS, *self.matcher.measured]
        for side, column in (("a", "member"), ("b", "representative")):
            pictures = self.places.frame().select(F.struct(*wanted).alias(side))
            is_wanted = F.when(~F.col("is_known"), F.col(column))
            oriented = oriented.join(pictures, is_wanted == F.col(f"{side}.node"), "left")
        return oriented

    def _spread(self, pairs: DataFrame, units: int) -> DataFrame:
        """Return `pairs` with their unit."""
        many = F.count("*").over(Window.partitionBy("representative"))
        shares = F.ceil(many / PAIRS_PER_UNIT)
        share = F.when(shares > 1, F.pmod(F.xxhash64("member"), shares)).otherwise(F.lit(0))
        return pairs.withColumn(UNIT, F.pmod(F.xxhash64("representative", share), F.lit(units)).cast("int"))


def summary(judged: Sequence[Table], *, with_earlier: bool) -> str:
    """Return how many pairs were compared, and `with_earlier` how many an earlier run had compared."""
    compared, known = (sum(table.total(fact) for table in judged) for fact in ("compared", "known"))
    return f"{compared:,} pairs compared" + (f", {known:,} taken from an earlier run" if with_earlier else "")


def _in_order(first: str, second: str) -> dict[str, Column]:
    """Return the columns by which pairs are found in either order."""
    return {"low": F.least(first, second), "high": F.greatest(first, second)}


def count_known(judged: pa.Table) -> Mapping[str, int]:
    """Return how many judged pairs were compared, and how many an earlier run had compared."""
    known = pc.sum(judged.column("is_known")).as_py() or 0
    return {"known": known, "compared": len(judged) - known}


class PairJudge:
    """Judges pairs in a worker, with `matcher`."""

    def __init__(self, matcher: Matcher) -> None:
        self.matcher = matcher
        self._compare = matcher.comparing(is_retry=is_retry())

    def judge(self, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
        """Return JUDGED of `pairs`, in their order.

        They have what the matcher needs, `member` and `representative`, `sha256` and `pdq` of each, and `known`: what
        an earlier run has found, or None.
        """
        pairs = [_with_distance(pair) for pair in pairs]
        new = [pair for pair in pairs if pair["known"] is None]
        compared = iter(self._compare(new) if new else ())
        return [self._row(pair, pair["known"] or next(compared)) for pair in pairs]

    def _row(self, pair: Pair, found: Found) -> dict[str, Any]:
        kind, described = self.matcher.decide(found, pair) or (None, None)
        first, second = pair["member_sha256"], pair["representative_sha256"]
        if found.is_exchanged:
            first, second = second, first
        about = {"first_sha256": first, "second_sha256": second, "evidence": found.evidence}
        return {**pair, **about, "kind": kind, "described": described, "is_known": pair["known"] is not None}


def _known(row: Mapping[str, Any]) -> Found | None:
    return Found(evidence=row["evidence"], is_exchanged=row["is_exchanged"]) if row["is_known"] else None


def _with_distance(pair: Pair) -> Pair:
    first, second = pair["member_pdq"], pair["representative_pdq"]
    is_comparable = isinstance(first, bytes) and isinstance(second, bytes)
    return {**pair, "distance": hamming(first, second) if is_comparable else None}


@dataclass(frozen=True, kw_only=True)
class _JudgePairs:
    matcher: Matcher

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield JUDGED for each pair, in their order."""
        judge = PairJudge(self.matcher)
        for batch in batches:
            pairs = [{**row, "known": _known(row)} for row in batch.to_pylist()]
            for first in range(0, len(pairs), PAIRS_AT_ONCE):
                yield pa.RecordBatch.from_pylist(judge.judge(pairs[first : first + PAIRS_AT_ONCE]), JUDGED)
