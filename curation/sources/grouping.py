"""Which tars and loose files one unit reads: groups of about equal size that stay as they are when the input grows.

A range of files that is too large for one unit is cut before the file with the smallest hash of its name, and both
sides again in the same way, as a treap is built (Seidel and Aragon, Randomized Search Trees, 1996). So the cuts
depend on names and sizes nearby, not on positions: a file that is added anywhere changes only the units around it,
and a later run can take over all others.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.sources.folders import FolderFile
from curation.sources.members import group_of
from curation.sources.sources import Source

MAX_UNITS = 20_000
"""So many units one stage has at most; of larger inputs the units are larger."""
FEW_UNITS = 64
"""About so many units a small input has, so that all cores have work."""
LEAST_UNIT_BYTES = 1 << 20
"""No unit is made smaller than about this to have FEW_UNITS."""
LEAST_FILE_BYTES = 128 << 10
"""A smaller file counts as so many bytes, because to open it costs as much as to read them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """What a unit reads of one source: a tar, or those `files` of a folder."""

    source: Source
    files: tuple[FolderFile, ...] = ()

    @property
    def size_bytes(self) -> int:
        """The bytes to read."""
        return sum(file.size_bytes for file in self.files) if self.files else self.source.size_bytes


def group_sources(sources: Sequence[Source], unit_bytes: int, *, halved: int = 0) -> list[list[Slice]]:
    """Return what each unit reads: all of `sources` in their order, each tar and each loose sample in one unit.

    A unit has from half to twice `unit_bytes`, or a single tar that is larger with less than half of them on each
    side. `unit_bytes` is doubled until there are at most MAX_UNITS, and halved while there would be fewer than about
    FEW_UNITS, but not below LEAST_UNIT_BYTES; so it seldom changes while the input grows. After that it is halved
    `halved` times more, to find the units that the input had when it was smaller.
    """
    sizes = np.fromiter((_counted_bytes(each) for each in _indivisible(sources)), np.int64)
    marks = np.fromiter((_mark(each) for each in _indivisible(sources)), np.uint64)
    unit_bytes = fitting_unit_bytes(unit_bytes, int(sizes.sum())) >> halved
    while len(starts := unit_starts(sizes, marks, unit_bytes)) > MAX_UNITS:
        unit_bytes *= 2
    some = _indivisible(sources)
    return [_joined(itertools.islice(some, int(files))) for files in np.diff([*starts, len(sizes)])]


def unit_starts(sizes: NDArray[np.int64], marks: NDArray[np.uint64], unit_bytes: int) -> list[int]:
    """Return the position of the first file of each unit, in order; none for no files.

    `sizes` and `marks`: bytes and hash of the name of each file, both of shape (files,).
    """
    before = np.cumsum(np.append(0, sizes))  # bytes before each file, and in all
    least = -(-unit_bytes // 2)
    starts: list[int] = []
    ranges = [(0, len(sizes))] if len(sizes) else []
    while ranges:
        first, end = ranges.pop()
        inner = before[first + 1 : end]
        low = first + 1 + int(np.searchsorted(inner, before[first] + least, "left"))
        high = first + 1 + int(np.searchsorted(inner, before[end] - least, "right"))
        if before[end] - before[first] <= 2 * unit_bytes or low >= high:
            starts.append(first)
        else:
            cut = low + int(marks[low:high].argmin())
            ranges += [(cut, end), (first, cut)]
    return starts


def fitting_unit_bytes(unit_bytes: int, total_bytes: int) -> int:
    """Return `unit_bytes`, halved or doubled until an input of `total_bytes` has neither few units nor many."""
    while unit_bytes >= 2 * LEAST_UNIT_BYTES and unit_bytes // 2 * FEW_UNITS >= total_bytes:
        unit_bytes //= 2
    while 2 * unit_bytes * MAX_UNITS < total_bytes:  # so many of the largest units would not be enough
        unit_bytes *= 2
    return unit_bytes


def _indivisible(sources: Sequence[Source]) -> Iterator[Slice]:
    """Yield each tar, and of each folder the files of each sample."""
    for source in sources:
        if not source.is_folder:
            yield Slice(source=source)
        for _, files in itertools.groupby(source.files, key=lambda file: group_of(file.path)):
            yield Slice(source=source, files=tuple(files))


def _counted_bytes(each: Slice) -> int:
    sizes = [file.size_bytes for file in each.files] or [each.source.size_bytes]
    return sum(max(size, LEAST_FILE_BYTES) for size in sizes)


def _mark(each: Slice) -> int:
    name = each.source.name + (group_of(each.files[0].path) if each.files else "")
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])


def _joined(some: Iterable[Slice]) -> list[Slice]:
    """Return the slices of one unit, one for each source."""
    return [
        Slice(source=source, files=tuple(itertools.chain.from_iterable(each.files for each in slices)))
        for source, slices in itertools.groupby(some, key=lambda each: each.source)
    ]
