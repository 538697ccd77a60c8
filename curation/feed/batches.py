"""Batches in a fixed order, read and decoded ahead within a bound of bytes."""

import functools
import itertools
from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast, overload

import numpy as np
from numpy.typing import NDArray

from curation.feed.index import Index
from curation.feed.kept import MappedArray
from curation.feed.order import Order, Weights
from curation.feed.permutation import Numbers
from curation.feed.samples import Contents, Problem, Sample, Stored, decode_samples, fetch_samples
from curation.feed.state import Ranks
from manifests import storage
from manifests.errors import BrokenSource, InputError

Batch = dict[str, Any]
MAX_AHEAD = 8
"""Batches that are read at the same time, at most."""

DECODED_AHEAD = 2
"""Batches that are decoded at the same time, at most: the first ones, so that none waits for later ones."""

PIXELS_PER_BYTE = 16
"""Bytes of pixels for each stored byte, about, where images keep their size."""

_BAD = "bad"  # which samples are not in a batch; only until they are counted


@dataclass(frozen=True, kw_only=True)
class Step:
    """One batch of every rank: `start` is its first position in the epoch, of all ranks."""

    epoch: int
    start: int


@dataclass(frozen=True)
class Steps(Sequence[Step]):
    """Steps of one epoch, of which nothing is stored but where they begin."""

    epoch: int
    starts: range

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, at: int) -> Step: ...
    @overload
    def __getitem__(self, at: slice) -> "Steps": ...
    def __getitem__(self, at: int | slice) -> "Step | Steps":
        if isinstance(at, slice):
            return Steps(self.epoch, self.starts[at])
        return Step(epoch=self.epoch, start=self.starts[at])


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the batches of a rank: it can be pickled, and gives the same ones anywhere.

    `denied` marks rows that are not fed, bool of shape (rows,). After `max_bad` samples in a row that cannot be read
    or are denied, reading fails. `ahead_bytes` bounds what is read before it is asked for. `storage` has fsspec
    arguments by protocol, for processes that do not have them yet.
    """

    index: Index
    order: Order
    weights: Weights | None
    ranks: Ranks
    contents: Contents
    denied: MappedArray | None
    max_bad: int
    ahead_bytes: int
    threads: int
    storage: Mapping[str, Mapping[str, Any]]

    def rows(self, epoch: int, positions: Numbers) -> Numbers:
        """Return the rows at `positions`, int64 of shape (n,); those beyond the end count from the beginning."""
        slots = self.order.slots(epoch, positions % self.order.size)
        return slots if self.weights is None else self.weights.rows(epoch, slots)

    def steps(self, epoch: int, position: int = 0) -> "Steps":
        """Return the steps that are left of an epoch of which `position` positions were fed."""
        end = position + self.ranks.steps(self.order.size, position) * self.ranks.stride
        return Steps(epoch, range(position, end, self.ranks.stride))

    def sample(self, row: int) -> Sample:
        """Return the sample of one row. Raises BrokenSource when it cannot be read or is denied."""
        if self.denied is not None and self.denied.values[row]:
            raise BrokenSource(f"sample {row} is denied")
        with ThreadPoolExecutor(1) as thread:
            place = np.array([row], np.int64)
            stored = fetch_samples(self.index, place, self.contents)
            (found,) = decode_samples(stored, epoch=0, positions=place, contents=self.contents, threads=thread)
        if isinstance(found, Problem):
            raise BrokenSource(str(found))
        return found

    def batch(self, step: Step) -> Batch:
        """Return this rank's batch of one step. Raises as `batches`."""
        return next(self.batches([step]))

    def batches(self, steps: Iterable[Step]) -> Iterator[Batch]:
        """Yield this rank's batch of each of `steps`, in order, while the next ones are read.

        Raises BrokenSource after `max_bad` bad samples in a row, StorageUnavailable when a storage does not answer.
        """
        storage.configure(self.storage)
        bad_in_a_row = 0
        for batch in self._read_ahead(steps):
            for is_bad in batch[_BAD]:
                bad_in_a_row = bad_in_a_row + 1 if is_bad else 0
                if bad_in_a_row >= self.max_bad:
                    raise _too_many(bad_in_a_row, batch["problems"])
            del batch[_BAD]
            yield batch

    def _read_ahead(self, steps: Iterable[Step]) -> Iterator[Batch]:
        waiting: deque[_Coming] = deque()
        with (
            ThreadPoolExecutor(MAX_AHEAD, "curate-read") as readers,
            ThreadPoolExecutor(DECODED_AHEAD, "curate-batch") as collators,
            ThreadPoolExecutor(self.threads, "curate-decode") as decoders,
        ):

            def first() -> Batch:
                for each in itertools.islice(waiting, DECODED_AHEAD):
                    if each.batch is None:
                        each.batch = collators.submit(self._batch, each, decoders)
                batch = cast("Future[Batch]", waiting.popleft().batch)
                return batch.result()

            try:
                for step in steps:
                    size = self._size_bytes(step)
                    while waiting and (
                        len(waiting) == MAX_AHEAD
                        or sum(each.size_bytes for each in waiting) + size > self.ahead_bytes
                    ):
                        yield first()
                    waiting.append(_Coming(step, size, readers.submit(self._fetched, step)))
                while waiting:
                    yield first()
            finally:  # also when nobody asks for the rest
                for pool in (readers, collators, decoders):
                    pool.shutdown(wait=False, cancel_futures=True)

    def _size_bytes(self, step: Step) -> int:
        """Return how many bytes a batch takes in memory, about, as stored and as pixels."""
        rows = self.rows(step.epoch, self.ranks.positions(step.start))
        sizes = self.index.take(rows, [f"{member}_size" for member in self.contents.members])
        stored = sum(size or 0 for each in sizes.values() for size in each)
        if not self.contents.is_decoded:
            return stored
        side = self.contents.fit.size
        return stored * PIXELS_PER_BYTE if side is None else stored + len(rows) * 3 * side**2

    def _fetched(self, step: Step) -> Stored:
        return self._fetch(step.epoch, self.ranks.positions(step.start))

    def _batch(self, coming: "_Coming", decoders: ThreadPoolExecutor) -> Batch:
        """Return a batch, always complete: for a bad sample the next good one stands in, with mask False."""
        step = coming.step
        positions = self.ranks.positions(step.start)
        found = self._decode(coming.stored.result(), step.epoch, positions, decoders)
        good = np.array([isinstance(each, dict) for each in found])
        samples = [
            each if isinstance(each, dict) else self._next_good(step.epoch, int(position), decoders)
            for each, position in zip(found, positions, strict=True)
        ]
        is_new = positions < self.order.size  # the others fill the last step, and were fed before
        return {
            **collate(samples, as_lists=self._listed),
            "epoch": step.epoch,
            "position": positions,
            "mask": good & is_new if self.ranks.remainder == "mask" else good,
            "problems": [
                str(each) for each, new in zip(found, is_new, strict=True) if new and isinstance(each, Problem)
            ],
            _BAD: ~good & is_new,
        }

    def _fetch(self, epoch: int, positions: Numbers) -> Stored:
        """Return the samples at `positions` that are not denied, as they are stored."""
        rows = self.rows(epoch, positions)
        return fetch_samples(self.index, rows[self._fed(rows)], self.contents)

    def _fed(self, rows: Numbers) -> NDArray[np.bool_]:
        return np.ones(len(rows), bool) if self.denied is None else ~self.denied.values[rows]

    def _decode(
        self, stored: Stored, epoch: int, positions: Numbers, decoders: ThreadPoolExecutor
    ) -> list[Sample | Problem | None]:
        """Return the samples at `positions`, None for those that are denied."""
        fed = self._fed(self.rows(epoch, positions))
        read = decode_samples(stored, epoch=epoch, positions=positions[fed], contents=self.contents, threads=decoders)
        found: list[Sample | Problem | None] = [None] * len(positions)
        for place, each in zip(np.flatnonzero(fed), read, strict=True):
            found[place] = each
        return found

    def _next_good(self, epoch: int, position: int, decoders: ThreadPoolExecutor) -> Sample:
        problems: list[str] = []
        for further in range(1, self.max_bad + 1):
            next_one = np.array([(position + further) % self.order.size], np.int64)
            found = self._decode(self._fetch(epoch, next_one), epoch, next_one, decoders)[0]
            if isinstance(found, dict):
                return found
            problems += [str(found)] if found else []
        raise _too_many(self.max_bad, problems)

    @functools.cached_property
    def _listed(self) -> frozenset[str]:
        """What stays a list in a batch: images of different sizes, and columns in which some rows have no value."""
        columns = [name for name in self.contents.columns if self.index.has_nulls(f"column_{name}")]
        return frozenset([*columns, "json", *([] if self.contents.fit.size else ["image"])])


@dataclass
class _Coming:
    """A batch that is read, or decoded, ahead."""

    step: Step
    size_bytes: int
    stored: Future[Stored]
    batch: Future[Batch] | None = None


def collate(samples: Sequence[Sample], *, as_lists: Container[str] = ()) -> Batch:
    """Return the samples' values by name: arrays of equal shape stacked, numbers as an array, all else as a list.

    Raises InputError when the samples have different names.
    """
    for sample in samples:
        if sample.keys() != samples[0].keys():
            raise InputError(
                f"transform: some samples have {sorted(samples[0])}, others {sorted(sample)}; return the same names"
            )
    values = {name: [sample[name] for sample in samples] for name in samples[0]}
    return {name: each if name in as_lists else _stacked(each) for name, each in values.items()}


def _stacked(values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, np.ndarray) and all(each.shape == first.shape for each in values):
        return np.stack(values)
    if all(isinstance(each, bool | int | float | np.number) for each in values):
        return np.array(values)
    return values


def _too_many(bad: int, problems: Sequence[str]) -> BrokenSource:
    last = f"the last: {problems[-1]}" if problems else "all are denied"
    return BrokenSource(
        f"{bad} samples in a row cannot be fed, {last}; check that the files are where the manifest says, or raise "
        "max_bad"
    )
