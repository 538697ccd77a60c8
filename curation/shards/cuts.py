"""Take samples out of a tar: which bytes go, and a copy without them. All other bytes stay, in their order.

The result is what a writer of tars makes of the samples that are left: their members, byte for byte, then the end of
the archive. So it depends on nothing but them, and cutting twice is cutting once.
"""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from tarfile import BLOCKSIZE, RECORDSIZE, TarInfo
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from curation.sources.tar_stream import ForwardReader, StrictTar
from manifests.hashing_writer import HashingWriter

COPIED_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """The ranges of bytes, (start, end), that go from a tar, ascending, and `end`, where its last member ends."""

    ranges: tuple[tuple[int, int], ...]
    end: int

    @property
    def removed_bytes(self) -> int:
        """The size of all ranges together."""
        return sum(end - start for start, end in self.ranges)

    def moved(self, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return where the contents of members at `offsets`, none of them in a range, are without the ranges.

        An empty member is where a range may begin, and does not belong to it.
        """
        starts, sizes = self._starts_and_sizes()
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        return np.asarray(offsets - before[np.searchsorted(starts, offsets, side="left")], np.int64)

    def contain(self, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which `offsets` are in a range."""
        starts, sizes = self._starts_and_sizes()
        if not len(starts):
            return np.zeros(len(offsets), np.bool_)
        place = np.searchsorted(starts, offsets, side="right") - 1
        return np.asarray((place >= 0) & (offsets < (starts + sizes)[place]), np.bool_)

    def _starts_and_sizes(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        starts = np.array([start for start, _ in self.ranges], np.int64)
        return starts, np.array([end - start for start, end in self.ranges], np.int64)


def find_cuts(stream: BinaryIO, source: str, kept: Collection[str]) -> Cuts:
    """Return what goes from a tar so that only the samples with the keys `kept` are left.

    A member belongs to the sample that its name names up to the first dot. Reads `stream` once, forward; `source`
    names it in errors. Raises BrokenSource when it is no complete tar.
    """
    ranges: list[tuple[int, int]] = []
    end = 0
    for header in headers(stream, source):
        start, end = end, header.offset_data + header.size + -header.size % BLOCKSIZE
        if header.name.partition(".")[0] in kept:
            continue
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((start, end))
    return Cuts(ranges=tuple(ranges), end=end)


def headers(stream: BinaryIO, source: str) -> Iterator[TarInfo]:
    """Yield the header of each member of a tar. Raises BrokenSource when it is not complete."""
    tar = StrictTar(ForwardReader(stream, source))
    while (header := tar.next_header()) is not None:
        yield header
    tar.has_another_archive(is_wanted=False)


def copy_without(stream: BinaryIO, sink: HashingWriter, cuts: Cuts) -> tuple[int, str]:
    """Copy a tar without the ranges of `cuts` to `sink`, and return the size and the sha256 of what was read."""
    source = _Hashing(stream)
    for start, end in [*cuts.ranges, (cuts.end, cuts.end)]:
        for piece in source.pieces(start):
            sink.write(piece)
        for _ in source.pieces(end):
            pass
    for _ in source.pieces(None):  # the end of the archive, to hash it
        pass
    sink.write(bytes(2 * BLOCKSIZE))
    sink.write(bytes(-sink.size_bytes % RECORDSIZE))
    return source.position, source.sha256.hexdigest()


class _Hashing:
    """Reads a stream forward and hashes it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.position = 0
        self.sha256 = hashlib.sha256()
        self._stream = stream

    def pieces(self, end: int | None) -> Iterator[bytes]:
        """Yield the bytes up to `end`, or all."""
        while end is None or self.position < end:
            piece = self._stream.read(COPIED_AT_ONCE if end is None else min(COPIED_AT_ONCE, end - self.position))
            if not piece:
                return
            self.position += len(piece)
            self.sha256.update(piece)
            yield piece


class Nowhere:
    """A file that keeps nothing: what is written to it is only hashed."""

    def write(self, data: bytes) -> int:
        """Return the length of `data`."""
        return len(data)
