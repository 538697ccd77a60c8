"""Decide which candidate pairs are copies, of which kind, and with which evidence.

Each matcher takes pairs of pictures (`a`, `b`; structs of PICTURE_COLUMNS) and yields the copies among them, as
COPY_COLUMNS.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.copies.cosine_search import rounded
from curation.copies.judge import PixelJudge
from curation.copies.kinds import Evidence, Strictness, kind_of
from curation.pictures.decode import DecodeLimits
from curation.pictures.pdq import hamming
from curation.pictures.vectors import unpack
from jobs.spark import frames
from manifests.format.schema import DuplicateKind

COPY_COLUMNS = "member binary, representative binary, kind string, evidence string"
PICTURE_COLUMNS = (
    "node",
    "key",
    "sha256",
    "source",
    "member",
    "offset",
    "size",
    "pdq",
    "is_text",
    "embedding",
    "local_points",
)
PAIRS_PER_TASK = 256
TASKS_PER_PARTITION = 4


@dataclass(frozen=True, kw_only=True)
class FingerprintMatcher:
    """Accepts a pair as mild copies when their PDQ fingerprints are near enough; reads no image."""

    max_distance: int
    max_text_distance: int

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the copies among pairs of pictures."""
        for batch in batches:
            yield _copies([found for pair in batch.to_pylist() if (found := self._match(pair))])

    def _match(self, pair: Mapping[str, Any]) -> tuple[bytes, bytes, str, str] | None:
        a, b = pair["a"], pair["b"]
        if a["pdq"] is None or b["pdq"] is None:
            return None
        distance = hamming(a["pdq"], b["pdq"])
        limit = self.max_text_distance if a["is_text"] and b["is_text"] else self.max_distance
        if distance > limit:
            return None
        return a["node"], b["node"], str(DuplicateKind.MILD), json.dumps({"distance": distance, "verified": False})


@dataclass(frozen=True, kw_only=True)
class PixelMatcher:
    """Reads both images of a pair by byte range and compares their pixels; `copies` are the kinds that count."""

    copies: frozenset[str]
    strictness: Strictness
    limits: DecodeLimits

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the copies among pairs of pictures. Raises BrokenSource when an image has changed since the scan."""
        judge = PixelJudge(self.limits, is_retry=frames.is_retry())
        for batch in batches:
            pairs = batch.to_pylist()
            judged = zip(pairs, judge.evidence([(pair["a"], pair["b"]) for pair in pairs]), strict=True)
            yield _copies([copy for pair, evidence in judged if (copy := self._copy(pair, evidence))])

    def _copy(self, pair: Mapping[str, Any], evidence: Evidence | None) -> tuple[bytes, bytes, str, str] | None:
        a, b = pair["a"], pair["b"]
        kind = kind_of(evidence, self.strictness, self.copies) if evidence else None
        if evidence is None or kind is None:
            return None
        distance = hamming(a["pdq"], b["pdq"]) if a["pdq"] and b["pdq"] else None
        found = {"distance": distance, "verified": True, **dataclasses.asdict(evidence)}
        return a["node"], b["node"], str(kind), json.dumps(found)


@dataclass(frozen=True, kw_only=True)
class CosineMatcher:
    """Accepts a pair as semantic copies when the cosine of their embeddings is at least `min_cosine`."""

    min_cosine: float

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the copies among pairs of pictures."""
        for batch in batches:
            if batch.num_rows == 0:
                continue
            first, second = (rounded(unpack(batch.column(side).field("embedding"))) for side in ("a", "b"))
            cosines = np.einsum("ij,ij->i", first, second)
            names = [batch.column(side).field("node").to_pylist() for side in ("a", "b")]
            yield _copies(
                [
                    (a, b, str(DuplicateKind.SEMANTIC), json.dumps({"cosine": round(float(cosine), 4)}))
                    for a, b, cosine in zip(*names, cosines, strict=True)
                    if cosine >= self.min_cosine
                ]
            )


Matcher = FingerprintMatcher | PixelMatcher | CosineMatcher


def _copies(found: Sequence[tuple[bytes, bytes, str, str]]) -> pa.RecordBatch:
    columns = list(zip(*found, strict=True)) if found else [(), (), (), ()]
    kinds = (pa.binary(), pa.binary(), pa.string(), pa.string())
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=["member", "representative", "kind", "evidence"])


def match_pairs(
    pairs: DataFrame, pictures: DataFrame, matcher: Matcher, options: frames.Options | None = None
) -> DataFrame:
    """Return COPY_COLUMNS of the `pairs` (`a`, `b`) that are copies: the better picture is the representative.

    `pictures`: PICTURE_COLUMNS of each picture and its `rank`, the better the smaller. Pairs are sorted by their
    representative and divided into tasks of about equal size. So an image is read about once in a task, and an image
    with a hundred thousand copies is spread over many tasks.
    """
    columns = F.struct("rank", *PICTURE_COLUMNS)
    left = pictures.select(F.col("node").alias("a"), columns.alias("left"))
    right = pictures.select(F.col("node").alias("b"), columns.alias("right"))
    joined = pairs.select("a", "b").join(left, "a").join(right, "b")
    first_is_better = F.col("left.rank") < F.col("right.rank")
    oriented = joined.select(
        F.when(first_is_better, F.col("right")).otherwise(F.col("left")).dropFields("rank").alias("a"),
        F.when(first_is_better, F.col("left")).otherwise(F.col("right")).dropFields("rank").alias("b"),
    )
    partitions = int(pairs.sparkSession.conf.get("spark.sql.shuffle.partitions") or 200)
    tasks = max(partitions * TASKS_PER_PARTITION, -(-pairs.count() // PAIRS_PER_TASK))
    spread = oriented.repartitionByRange(tasks, "b.node", "a.node").sortWithinPartitions("b.node", "a.node")
    return frames.map_batches(spread, matcher, COPY_COLUMNS, options).localCheckpoint()
