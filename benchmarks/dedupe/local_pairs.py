"""The search by local features without Spark, as `curation.copies.local_search` is used by dedupe."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.dedupe.clock import Clock
from curation.copies import local_search
from curation.pictures import local_features as local


@dataclasses.dataclass(frozen=True, kw_only=True)
class Features:
    """Keypoints of N pictures: the `points` of all, as POINT, and how many each has in `counts`, (N,)."""

    points: NDArray[np.void]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, stored: Sequence[bytes]) -> "Features":
        """Return the features of pictures with these `LocalFeatures.points`."""
        counts = np.array([len(each) // local.POINT.itemsize for each in stored], np.int64)
        return cls(points=np.frombuffer(b"".join(stored), local.POINT), counts=counts)

    def __add__(self, other: "Features") -> "Features":
        points, counts = ((self.points, other.points), (self.counts, other.counts))
        return Features(points=np.concatenate(points), counts=np.concatenate(counts))

    def __len__(self) -> int:
        return len(self.counts)

    def first(self, count: int) -> "Features":
        """Return the features of the first `count` pictures."""
        counts = self.counts[:count]
        return Features(points=self.points[: counts.sum()], counts=counts)


def voted_pairs(every: Features, queried: int, clock: Clock) -> tuple[list[tuple[int, int]], int]:
    """Return the pairs with one of the first `queried` pictures that votes agree on, and the number of matches."""
    matches, of_queried = 0, []
    for table in range(local_search.TABLES):  # one by one, to keep less in memory
        for found in _matches(every, table, clock):
            matches += len(found)
            of_queried.append(found.filter(pc.less(found.column("a"), queried)))
    with clock.on("votes"):
        ordered = _in_order(pa.Table.from_batches(of_queried, local_search.MATCHES), local_search.MATCH_ORDER)
        pairs = pa.Table.from_batches(local_search.pairs_in(ordered.to_batches()), local_search.PAIRS)
    return list(zip(pairs.column("a").to_pylist(), pairs.column("b").to_pylist(), strict=True)), matches


def _matches(every: Features, table: int, clock: Clock) -> Iterator[pa.RecordBatch]:
    with clock.on("entries"):
        entries = local_search.entries_of(np.arange(len(every)), every.points, every.counts, [table])
        entries = _in_order(entries, local_search.ENTRY_ORDER)
    found = iter(local_search.matches_in(entries.to_batches(max_chunksize=local_search.ROWS_AT_ONCE)))
    while True:
        with clock.on("matches"):
            batch = next(found, None)
        if batch is None:
            return
        yield batch


def _in_order(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    return table.take(pa.array(np.lexsort([table.column(name).to_numpy() for name in reversed(columns)])))
