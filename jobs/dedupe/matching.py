"""Decide which candidate pairs are copies, of which kind, and with which evidence.

Each matcher takes pairs of pictures (`a`, `b`; structs of PICTURE_COLUMNS) and yields the copies among them, as
COPY_COLUMNS.
"""

import dataclasses
import functools
import json
import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.copies.compare_pixels import compare
from curation.copies.cosine_search import rounded
from curation.copies.kinds import Strictness, kind_of
from curation.copies.rendering import Rendering, renderings
from curation.pictures.bounded import DecoderFailed, within_limits
from curation.pictures.decode import DecodeLimits
from curation.pictures.pdq import hamming
from curation.pictures.vectors import unpack
from curation.sources.byte_ranges import image_range, in_groups, read_ranges, require_unchanged
from jobs.spark import frames
from manifests.format.schema import DuplicateKind

_log = logging.getLogger(__name__)

COPY_COLUMNS = "member binary, representative binary, kind string, evidence string"
PICTURE_COLUMNS = ("node", "key", "sha256", "source", "member", "offset", "size", "pdq", "is_text", "embedding")
PAIRS_AT_ONCE = 64
MAX_IMAGES_KEPT = 96  # of about 3 MB each
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
        cache = RenderingCache(self.limits, is_retry=frames.is_retry())
        for batch in batches:
            pairs = batch.to_pylist()
            for first in range(0, len(pairs), PAIRS_AT_ONCE):
                chunk = pairs[first : first + PAIRS_AT_ONCE]
                images = cache.open([pair[side] for pair in chunk for side in ("a", "b")])
                yield _copies([found for pair in chunk if (found := self._match(pair, images))])

    def _match(
        self, pair: Mapping[str, Any], images: Mapping[bytes, Sequence[Rendering]]
    ) -> tuple[bytes, bytes, str, str] | None:
        a, b = pair["a"], pair["b"]
        evidence = compare(images[a["node"]], images[b["node"]])
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


class RenderingCache:
    """The renderings of the images used last. Pairs come sorted, so that most need only one more image.

    If `is_retry`, an image that crashes or stalls its decoder has none, as one that cannot be decoded.
    """

    def __init__(self, limits: DecodeLimits, *, is_retry: bool) -> None:
        self.render = functools.partial(renderings, limits=limits)
        self.is_retry = is_retry
        self.kept: OrderedDict[bytes, list[Rendering]] = OrderedDict()

    def open(self, pictures: Sequence[Mapping[str, Any]]) -> Mapping[bytes, Sequence[Rendering]]:
        """Return node → renderings of `pictures`. Reads missing images together, some bytes at a time.

        Raises BrokenSource when an image has changed since the scan.
        """
        wanted = {picture["node"]: picture for picture in pictures}
        missing = [picture for node, picture in wanted.items() if node not in self.kept]
        for places in in_groups(range(len(missing)), [picture["size"] for picture in missing]):
            some = [missing[place] for place in places]
            for picture, data in zip(some, read_ranges([image_range(p) for p in some]), strict=True):
                require_unchanged(picture, data)
                self.kept[picture["node"]] = self._render(picture, data)
        found = {node: self.kept[node] for node in wanted}
        for node in wanted:
            self.kept.move_to_end(node)
        while len(self.kept) > MAX_IMAGES_KEPT:
            self.kept.popitem(last=False)
        return found

    def _render(self, picture: Mapping[str, Any], data: bytes) -> list[Rendering]:
        try:
            return within_limits(self.render, data, is_retry=self.is_retry)
        except DecoderFailed as e:
            _log.warning("%s: %s: compared with no other picture: it %s", picture["source"], picture["member"], e)
            return []


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
