"""Judge pairs of pictures, each at most once: by comparing them, or by what an earlier run has found.

The pairs of one representative are in one unit, in order, so that a task reads each picture about once; those of one
with very many are spread over several.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.pictures.pdq import hamming
from jobs.dedupe.candidates import NODE_PAIR_BYTES, NODE_PAIRS
from jobs.dedupe.matching import PAIRS_AT_ONCE, PICTURE_COLUMNS, Matcher
from jobs.dedupe.pictures import ranked
from jobs.spark import frames
from jobs.spark.part_stages import MAX_GROUP_TASKS
from jobs.spark.steps import UNIT, Making, Shown, Steps, Table, units_for

PAIRS_PER_UNIT = 64
JUDGED = pa.schema(
    [
        ("member", pa.binary()),
        ("representative", pa.binary()),
        ("member_sha256", pa.string()),
        ("representative_sha256", pa.string()),
        ("evidence", pa.string()),
        ("kind", pa.string()),
        ("described", pa.string()),
        ("is_known", pa.bool_()),
    ]
)
"""A judged pair. `evidence` is what was found, `kind` of which kind of copies it is, or None, and `described` what is
recorded of copies. `is_known`: an earlier run had compared them."""


@dataclass(kw_only=True)
class Judge:
    """Judges pairs of pictures with a matcher, and remembers them.

    `pictures` are all pictures, `places` those of the pictures in candidate pairs, with what the matcher needs.
    `known` has the `evidence` of pairs (`member_sha256`, `representative_sha256`) that were compared before, or is
    None.
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
            count=_count,
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
        """Return (`member`, `representative`, `kind`, `evidence`) of the judged pairs that are copies."""
        columns = ("member", "representative", "kind", "described")
        return self._all(*columns).where("kind IS NOT NULL").withColumnRenamed("described", "evidence")

    def found(self) -> DataFrame:
        """Return the evidence of all judged pairs, by content, for later runs."""
        return self._all("member_sha256", "representative_sha256", "evidence")

    def summary(self) -> str:
        """Return how many pairs were compared, and how many an earlier run had compared."""
        compared, known = (sum(table.total(fact) for table in self.judged) for fact in ("compared", "known"))
        taken = f", {known:,} taken from an earlier run" if self.known is not None else ""
        return f"{compared:,} pairs compared{taken}"

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
        if self.known is None:
            oriented = oriented.withColumns({"evidence": F.lit(None).cast("string"), "is_known": F.lit(False)})
        else:
            by = ["member_sha256", "representative_sha256"]
            known = self.known.withColumn("is_known", F.lit(True))
            oriented = oriented.join(known, by, "left").fillna(False, ["is_known"])
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


def _count(judged: pa.Table) -> Mapping[str, int]:
    known = pc.sum(judged.column("is_known")).as_py() or 0
    return {"known": known, "compared": len(judged) - known}


@dataclass(frozen=True, kw_only=True)
class _JudgePairs:
    matcher: Matcher

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield JUDGED for each pair, in their order."""
        compare = self.matcher.comparing(is_retry=frames.is_retry())
        for batch in batches:
            described = [_with_distance(pair) for pair in batch.to_pylist()]
            for first in range(0, len(described), PAIRS_AT_ONCE):
                pairs = described[first : first + PAIRS_AT_ONCE]
                new = [pair for pair in pairs if not pair["is_known"]]
                found = iter(compare(new))
                rows = [self._row(pair, pair["evidence"] if pair["is_known"] else next(found)) for pair in pairs]
                yield pa.RecordBatch.from_pylist(rows, JUDGED)

    def _row(self, pair: dict[str, Any], evidence: str | None) -> dict[str, Any]:
        kind = None if evidence is None else self.matcher.kind(evidence, pair)
        described = None if evidence is None or kind is None else self.matcher.described(evidence, pair)
        return {**pair, "evidence": evidence, "kind": kind, "described": described}


def _with_distance(pair: dict[str, Any]) -> dict[str, Any]:
    first, second = pair["member_pdq"], pair["representative_pdq"]
    is_comparable = isinstance(first, bytes) and isinstance(second, bytes)
    return {**pair, "distance": hamming(first, second) if is_comparable else None}
