"""Workers on the parts of a manifest that are threads of this process, for what one machine holds."""

import heapq
import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pyarrow as pa

from jobs.units.plan import Plan, Unit
from jobs.units.worker import Perform, Recorder
from manifests.format.done import DoneCounter, LocalCounter
from manifests.format.store import Manifest, Part, read_batches

T = TypeVar("T")
U = TypeVar("U")


MAX_THREADS = 8


class PartThreads:
    """Threads, by default one for each core of this process, at most MAX_THREADS.

    Arrow works without Python's lock, but rows are hashed with it, and each thread has a row group in memory.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads or min(MAX_THREADS, len(os.sched_getaffinity(0)))

    def done_counter(self) -> DoneCounter:
        """Return a counter of finished units."""
        return LocalCounter()

    def count(
        self, parent: Manifest, columns: Sequence[str], work: Callable[[pa.Table], pa.Table]
    ) -> Mapping[int, int]:
        """Return how many rows have which digit, as `work` counts them in `columns` of each batch."""

        def counted(part: Part) -> Counter[int]:
            found: Counter[int] = Counter()
            for table in map(work, _tables(parent, part, columns)):
                found.update(_mapping(table))
            return found

        total: Counter[int] = Counter()
        for each in self._map(counted, parent.parts):
            total.update(each)
        return total

    def nth_key(
        self, parent: Manifest, columns: Sequence[str], work: Callable[[pa.Table], pa.Table], n: int
    ) -> str | None:
        """Return the `n`-th smallest of the keys that `work` finds, in the order of UTF-8; the last one if fewer."""

        def smallest(part: Part) -> list[str]:
            tables = map(work, _tables(parent, part, columns))
            keys = itertools.chain.from_iterable(table.column("key").to_pylist() for table in tables)
            return heapq.nsmallest(n, keys)

        found: list[str] = []
        for each in self._map(smallest, parent.parts):
            found = heapq.nsmallest(n, [*found, *each])
        return found[-1] if found else None

    def do(self, plan: Plan, todo: Sequence[Unit], perform: Perform) -> None:
        """Do those units of `plan`: `perform` writes an attempt's part and returns its receipt."""
        recorder = Recorder.of(plan, clock=time.thread_time)
        for _ in self._map(lambda unit: recorder.once(unit, perform), todo):
            pass

    def _map(self, work: Callable[[T], U], items: Sequence[T]) -> Iterator[U]:
        """Yield what `work` returns for each item, in their order. After an error nothing new is begun."""
        with ThreadPoolExecutor(self._threads) as pool:
            waiting = [pool.submit(work, item) for item in items]
            try:
                for each in waiting:
                    yield each.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise


def _tables(parent: Manifest, part: Part, columns: Sequence[str]) -> Iterator[pa.Table]:
    batches = read_batches(parent.part_uri(part), columns, rows=part.rows, size_bytes=part.size_bytes)
    return (pa.Table.from_batches([batch]) for batch in batches)


def _mapping(table: pa.Table) -> dict[Any, int]:
    return dict(zip(table.column("digit").to_pylist(), table.column("rows").to_pylist(), strict=True))
