"""How samples are read for shards: each by its byte range (gather), or the sources from start to end (stream).

Shards are globally shuffled, so each has samples of all sources. Gather reads every sample from its source when its
shard is written. Stream first copies the samples, source by source, to temporary files, and shards read those. Both
give the same tars. `costs_of` counts the requests and the bytes of both, from some of the samples.

The speeds are those of one worker. From an object store, that is its processor time with s3fs (measured in
docs/adr/0028-few-requests-through-fsspec.md), since requests wait side by side. On a local disk, a cold read of 50 kB
anywhere takes 0.15 ms on the solid-state disk that this was measured on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from curation.shards.copies import CHUNK_BYTES
from curation.shards.read import InCopies, Place, Stored, in_source
from curation.sources.byte_ranges import BYTES_AT_ONCE, ByteRange
from manifests import storage
from manifests.range_reads import Range, joined


class Reading(StrEnum):
    """How the samples are read for shards."""

    GATHER = "gather"
    """Each sample by its byte range, from its source."""
    STREAM = "stream"
    """Sources from start to end, into temporary copies that shards read."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What a worker needs for one request, and how fast it then reads or writes."""

    request_seconds: float
    bytes_per_second: float


LOCAL = Speed(request_seconds=0.0001, bytes_per_second=1e9)
OBJECT_STORE = Speed(request_seconds=0.002, bytes_per_second=400e6)


def speed_of(uri: str) -> Speed:
    """Return the speed of the storage of `uri`."""
    return LOCAL if storage.is_local(uri) else OBJECT_STORE


@dataclass(frozen=True, kw_only=True)
class Work:
    """Requests and bytes of one way to read all samples, and the seconds that one worker needs for them."""

    requests: int
    read_bytes: int
    copied_bytes: int
    seconds: float

    def __str__(self) -> str:
        """Return it as a clause."""
        copied = f" and {_size(self.copied_bytes)} of temporary copies" if self.copied_bytes else ""
        read = f"{self.requests:,} requests for {_size(self.read_bytes)}"
        return f"{read}{copied}, about {self.seconds:,.1f} s of a worker"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def costs_of(parts: Iterable[Sequence[Stored]], samples: int, *, source: Speed, output: Speed) -> dict[Reading, Work]:
    """Return what it costs to read `samples` samples either way.

    `parts` are the places of some of them: of each part all that lie next to each other. `source` is the speed of
    the storage that they are read from, `output` that of the storage of the copies.
    """
    known, size_bytes = 0, 0
    alone, together = _Reads(), _Reads()
    for part in parts:
        known += len(part)
        size_bytes += sum(where.size_bytes for where in part)
        for where in part:
            alone.add(where.ranges)
        together.add([each for where in part for each in where.ranges])
    factor = samples / max(1, known)
    size_bytes = round(size_bytes * factor)
    # Neighbours are read with one request where the same group of a shard has both.
    shared = min(1.0, BYTES_AT_ONCE / max(1, size_bytes))
    requests = factor * (together.requests * shared + alone.requests * (1 - shared))
    gather = _work(source, requests, factor * alone.read_bytes)
    chunks, groups = -(-size_bytes // CHUNK_BYTES), -(-size_bytes // BYTES_AT_ONCE)
    copies = _work(output, chunks + min(samples, chunks * groups), 2 * size_bytes)
    stream = _work(source, factor * together.requests, factor * together.read_bytes)
    return {
        Reading.GATHER: gather,
        Reading.STREAM: Work(
            requests=stream.requests + copies.requests,
            read_bytes=stream.read_bytes + size_bytes,
            copied_bytes=size_bytes,
            seconds=stream.seconds + copies.seconds,
        ),
    }


@dataclass(frozen=True, kw_only=True)
class ReadingPlan:
    """How samples are read: from `place`, in the way that costs less or that is `forced`."""

    place: Place
    costs: Mapping[Reading, Work]
    forced: Reading | None = None
    notes: Sequence[str] = ()

    @property
    def chosen(self) -> Reading:
        """The way that is forced or needs less time; without a difference gather, which needs no space for copies."""
        if self.forced is not None:
            return self.forced
        gather, stream = self.costs[Reading.GATHER], self.costs[Reading.STREAM]
        return Reading.STREAM if stream.seconds < gather.seconds else Reading.GATHER

    def places(self, copies: str | None) -> list[Place]:
        """Return where shards look for a sample before they read its source; `copies` is the URI of copies."""
        nearer = [] if self.place is in_source else [self.place]
        return nearer if copies is None else [InCopies(uri=copies, place=self.place), *nearer]

    def lines(self) -> list[str]:
        """Return sentences about where samples are read, how, and why."""
        other = next(each for each in Reading if each is not self.chosen)
        why = ", as set" if self.forced else ""
        mine, others = self.costs[self.chosen], self.costs[other]
        return [*self.notes, f"samples are read by {self.chosen}{why}: {mine}; by {other}: {others}"]


class _Reads:
    """Counts requests and bytes of ranges that are read together where they lie close together."""

    def __init__(self) -> None:
        self.requests, self.read_bytes = 0, 0

    def add(self, ranges: Iterable[ByteRange]) -> None:
        wanted = [Range(path=each.uri, start=each.offset, end=each.offset + each.size_bytes) for each in ranges]
        for whole, _ in joined(wanted):
            self.requests += 1
            self.read_bytes += whole.end - whole.start


def _work(speed: Speed, requests: float, size_bytes: float) -> Work:
    seconds = requests * speed.request_seconds + size_bytes / speed.bytes_per_second
    return Work(requests=round(requests), read_bytes=round(size_bytes), copied_bytes=0, seconds=seconds)
