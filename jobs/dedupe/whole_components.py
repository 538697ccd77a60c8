"""Judge whole connected components of candidate pairs, each in one task, which forms its clusters at once.

Components never interact, so a task that has all pictures and all pairs of one needs nothing else. See
docs/adr/0039.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.copies.stars import Pair as Numbers
from curation.copies.stars import find_stars, ordered
from jobs.dedupe.judging import JUDGED, PairJudge, count_known
from jobs.dedupe.matching import Found, Matcher
from jobs.dedupe.pictures import AT_PART, PARENT, RANK, PictureSet, with_places
from jobs.spark.part_stages import MAX_GROUP_TASKS
from jobs.spark.steps import UNIT, Making, Shown, Steps, Table, unit_of_hash

MAX_PAIRS_IN_TASK = 4_096
"""Candidate pairs of a component that one task judges: a minute or two of work, and some megabytes."""
PAIRS_PER_UNIT = 256  # candidate pairs, of which about two of five are judged
PAIRS_PER_SMALL_UNIT = 64
PICTURES_AT_ONCE = 64
"""Components are judged together until they have so many pictures, which are read at once, and stay in memory."""
PICTURE, EARLIER, PAIR = range(3)
NARROW_PICTURE = ("node", "component", "pdq", "is_text", *RANK)
DECIDED = pa.schema([*JUDGED, ("is_settled", pa.bool_())])
"""A judged pair. `is_settled`: the second picture represents the member."""


def judge_components(
    placed: Table,
    pictures: Table,
    sets: Sequence[PictureSet],
    matcher: Matcher,
    steps: Steps,
    *,
    known: DataFrame | None = None,
) -> Table:
    """Return the judged pairs of the components in `placed`, PLACED, that are not large, as DECIDED.

    `pictures` are those of `sets`, among which are those of `placed`. `known` has the `evidence` of pairs
    (`first_sha256`, `second_sha256`) that were compared before.
    """
    wanted = placed.frame().where("NOT is_large")
    members = wanted.where("b IS NULL").select(F.col("a").alias("node"), "component")
    narrow = pictures.frame("node", "pdq", "is_text", *RANK, AT_PART).join(members, "node")
    rows = with_places(narrow, NARROW_PICTURE, sets, steps.options, matcher.measured).withColumn(
        "row", F.lit(PICTURE)
    )
    pairs = wanted.where("b IS NOT NULL").select(F.col("a").alias("node"), F.col("b").alias("other"), "component")
    rows = rows.unionByName(pairs.withColumn("row", F.lit(PAIR)), allowMissingColumns=True)
    if known is not None:
        mine = known.withColumnRenamed("first_sha256", "sha256").join(narrow.select("sha256", "component"), "sha256")
        rows = rows.unionByName(mine.withColumn("row", F.lit(EARLIER)), allowMissingColumns=True)
    count = placed.total("pairs") - placed.total("large_pairs")
    return judge_rows(rows, count, matcher, steps)


def judge_rows(rows: DataFrame, count: int, matcher: Matcher, steps: Steps) -> Table:
    """Return DECIDED of whole components with `count` pairs.

    `rows` have PICTURE, EARLIER or PAIR in the column `row`: pictures with what the matcher needs, what was found
    before of two pictures, and pairs (`node`, `other`). Each has its `component`.
    """
    units = max(1, min(MAX_GROUP_TASKS, -(-count // PAIRS_PER_UNIT)))
    making = _judging("judged", units, count, matcher)
    return steps.make(rows.withColumn(UNIT, unit_of_hash(["component"], units)), making)


def judge_locally(rows: pa.Table, count: int, matcher: Matcher, steps: Steps, *, workers: int) -> Table:
    """Return what `judge_rows` does of `rows` in memory, by so many processes of this machine.

    Its units are smaller, since one costs no more than its files.
    """
    numbers, units = small_units(rows)
    making = _judging("locally-judged", units, count, matcher)
    return steps.make_locally(rows.append_column(UNIT, numbers), making, workers=workers)


def _judging(name: str, units: int, count: int, matcher: Matcher) -> Making:
    """Return how components with `count` pairs are judged."""
    return Making(
        name=name,
        schema=DECIDED,
        units=units,
        function=_JudgeComponents(matcher=matcher),
        order=("component", "row"),
        count=count_known,
        settles=_count_pairs,
        shown=Shown(name="proof", noun="candidate pairs", rows=count),
    )


def small_units(rows: pa.Table) -> tuple[pa.Array, int]:
    """Return the unit of each of `rows`, and how many there are.

    One has components that follow each other in the order of their names, until there are PAIRS_PER_SMALL_UNIT pairs.
    """
    components = rows.column("component").combine_chunks().dictionary_encode()
    pairs = pc.equal(rows.column("row"), PAIR).to_numpy()
    of_rows = components.indices.to_numpy()
    counts = np.bincount(of_rows[pairs], minlength=len(components.dictionary))
    in_order = pc.sort_indices(components.dictionary).to_numpy()
    before = np.cumsum(counts[in_order]) - counts[in_order]
    units = np.empty(len(counts), np.int64)
    _, units[in_order] = np.unique(before // PAIRS_PER_SMALL_UNIT, return_inverse=True)
    return pa.array(units[of_rows]), int(units.max()) + 1


def _count_pairs(rows: pa.RecordBatch) -> int:
    return pc.sum(pc.equal(rows.column("row"), PAIR)).as_py() or 0


@dataclass(kw_only=True)
class _Components:
    """Whole components: their pictures in order, pairs of their nodes, and evidence by both sha256."""

    pictures: list[dict[str, Any]] = field(default_factory=list)
    pairs: list[tuple[bytes, bytes]] = field(default_factory=list)
    known: dict[tuple[str, str], str | None] = field(default_factory=dict)

    def add(self, rows: Iterator[dict[str, Any]]) -> None:
        """Add the rows of one component, ordered by `row`. The better of its pictures come first."""
        by_row = itertools.groupby(rows, key=lambda row: row["row"])
        for kind, found in by_row:
            if kind == PICTURE:
                mine = sorted(found, key=lambda row: tuple(row[name] for name in RANK))
                self.pictures += mine
                hashes = {row["sha256"] for row in mine}
            elif kind == EARLIER:
                own = (row for row in found if row["second_sha256"] in hashes)
                self.known |= {(row["sha256"], row["second_sha256"]): row["evidence"] for row in own}
            else:
                self.pairs += [(row["node"], row["other"]) for row in found]


@dataclass(frozen=True, kw_only=True)
class _JudgeComponents:
    matcher: Matcher

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield DECIDED of the components in rows that are ordered by component and `row`."""
        judge = PairJudge(self.matcher)
        rows = (row for batch in batches for row in batch.to_pylist())
        together = _Components()
        for _, component in itertools.groupby(rows, key=lambda row: row["component"]):
            together.add(component)
            if len(together.pictures) >= PICTURES_AT_ONCE:
                yield _decided(together, judge)
                together = _Components()
        if together.pictures:
            yield _decided(together, judge)


def _decided(components: _Components, judge: PairJudge) -> pa.RecordBatch:
    pictures = components.pictures
    numbers = {picture["node"]: number for number, picture in enumerate(pictures)}
    rows: dict[Numbers, dict[str, Any]] = {}

    def are_copies(pairs: Sequence[Numbers]) -> list[bool]:
        found = judge.judge([_pair(pictures[worse], pictures[better], components.known) for better, worse in pairs])
        rows.update(zip(pairs, found, strict=True))
        return [row["kind"] is not None for row in found]

    candidates = [ordered(numbers[first], numbers[second]) for first, second in components.pairs]
    fixed = {number for number, picture in enumerate(pictures) if picture["origin"] != PARENT}
    stars = find_stars(candidates, are_copies, fixed=fixed)
    settled = [{**row, "is_settled": stars.get(worse) == better} for (better, worse), row in rows.items()]
    return pa.RecordBatch.from_pylist(settled, DECIDED)


def _pair(
    member: Mapping[str, Any], representative: Mapping[str, Any], known: Mapping[tuple[str, str], str | None]
) -> dict[str, Any]:
    """Return a pair as `PairJudge` takes it."""
    hashes = member["sha256"], representative["sha256"]
    is_exchanged = hashes not in known and hashes[::-1] in known
    at = hashes[::-1] if is_exchanged else hashes
    return {
        "member": member["node"],
        "representative": representative["node"],
        "member_sha256": member["sha256"],
        "representative_sha256": representative["sha256"],
        "member_pdq": member["pdq"],
        "representative_pdq": representative["pdq"],
        "is_text": member["is_text"] and representative["is_text"],
        "a": member,
        "b": representative,
        "known": Found(evidence=known[at], is_exchanged=is_exchanged) if at in known else None,
    }
