"""Reading parts of files in object stores: ranges that lie close together are one request, and all go out at once."""

import io
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec

from manifests.storage_errors import explained, is_transient

MAX_GAP_BYTES = 128 << 10  # reading over so much costs less than another request
MAX_REQUEST_BYTES = 16 << 20  # ranges are not joined beyond it, so that large reads go out side by side
TAIL_BYTES = 64 << 10
KEPT_TAILS = 64


@dataclass(frozen=True, kw_only=True)
class Range:
    """The bytes of the file at `path` from `start` to before `end`."""

    path: str
    start: int
    end: int


def fetch(uri: str, fs: fsspec.AbstractFileSystem, wanted: Sequence[Range]) -> list[bytes | OSError]:
    """Return the bytes of each range, in order: fewer where the file ends before, or why it could not be read.

    `fs` is the file system of all of them, `uri` one of its files. Raises StorageUnavailable.
    """
    together = list(joined(wanted))
    answers: list[bytes | OSError | None] = [None] * len(together)
    _ask(uri, fs, [whole for whole, _ in together], answers)
    found: list[bytes | OSError] = [b""] * len(wanted)
    for (whole, places), answer in zip(together, answers, strict=True):
        for place in places:
            start, end = wanted[place].start - whole.start, wanted[place].end - whole.start
            found[place] = answer[start:end] if isinstance(answer, bytes) else answer or b""
    return found


def joined(wanted: Sequence[Range]) -> Iterator[tuple[Range, list[int]]]:
    """Yield each range to ask for, and which of `wanted` lie in it. Empty ones are not asked for."""
    path, start, end = "", 0, 0
    places: list[int] = []
    for place in sorted(range(len(wanted)), key=lambda i: (wanted[i].path, wanted[i].start)):
        each = wanted[place]
        if each.start >= each.end:
            continue  # object stores answer an empty range with the whole object
        is_near = each.path == path and each.start <= end + MAX_GAP_BYTES
        if places and is_near and (each.end <= end or each.end - start <= MAX_REQUEST_BYTES):
            end = max(end, each.end)
            places.append(place)
            continue
        if places:
            yield Range(path=path, start=start, end=end), places
        path, start, end, places = each.path, each.start, each.end, [place]
    if places:
        yield Range(path=path, start=start, end=end), places


@explained
def _ask(
    _uri: str, fs: fsspec.AbstractFileSystem, ranges: Sequence[Range], answers: list[bytes | OSError | None]
) -> None:
    """Fill `answers`. It is called again after an error that passes, and asks for nothing that is there."""
    places = [i for i, answer in enumerate(answers) if answer is None]
    asked = [ranges[i] for i in places]
    starts, ends = [each.start for each in asked], [each.end for each in asked]
    trouble: BaseException | None = None
    found = fs.cat_ranges([each.path for each in asked], starts, ends, on_error="return")
    for place, answer in zip(places, found, strict=True):
        if isinstance(answer, OSError) and not is_transient(answer):
            answers[place] = answer
        elif isinstance(answer, BaseException):
            trouble = answer
        else:
            answers[place] = bytes(answer)
    if trouble is not None:
        raise trouble


class Tails:
    """The last TAIL_BYTES of the files that were read last, for who opens a file more than once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, bytes] = {}

    def get(self, path: str) -> bytes | None:
        """Return the end of the file at `path`, if it is known."""
        return self._kept.get(path)

    def keep(self, path: str, data: bytes) -> None:
        """Remember the end of a file, and forget that of another when there are many."""
        with self._lock:
            self._kept[path] = data
            if len(self._kept) > KEPT_TAILS:
                del self._kept[next(iter(self._kept))]


class RangeFile(io.RawIOBase):
    """A file of an object store, opened for reading: a read is one request, for exactly these bytes.

    `hold` fetches ranges that will be read, together. With `tails`, the first read that begins in the last TAIL_BYTES
    fetches all of them, which later reads then find: for formats that have their index there.
    """

    def __init__(
        self,
        uri: str,
        fs: fsspec.AbstractFileSystem,
        path: str,
        *,
        size_bytes: int,
        tails: Tails | None = None,
    ) -> None:
        super().__init__()
        self._uri, self._fs, self._path, self._size_bytes = uri, fs, path, size_bytes
        self._tails = tails
        self._held: list[tuple[int, bytes]] = []
        self._position = 0

    def hold(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Fetch ranges (start, end), and forget those of the last call. Raises StorageUnavailable and OSError."""
        self._held = []
        wanted = [Range(path=self._path, start=start, end=end) for start, end in ranges]
        for each, data in zip(wanted, fetch(self._uri, self._fs, wanted), strict=True):
            if isinstance(data, OSError):
                raise data
            self._held.append((each.start, data))

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set where the next read begins, and return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        self._position = max(0, start + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Return the next `size` bytes, fewer at the end; by default all that is left."""
        end = self._size_bytes if size is None or size < 0 else min(self._size_bytes, self._position + size)
        data = self._bytes(self._position, end)
        self._position += len(data)
        return data

    def readall(self) -> bytes:
        """Return all that is left."""
        return self.read()

    def readinto(self, buffer: Any) -> int:
        """Read into `buffer` and return the number of bytes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _bytes(self, start: int, end: int) -> bytes:
        if start >= end:
            return b""
        tail_start = max(0, self._size_bytes - TAIL_BYTES)
        known = self._held
        if self._tails is not None and start >= tail_start:
            known = [*known, (tail_start, self._tail(self._tails, tail_start))]
        for first, data in known:
            if first <= start and end <= first + len(data):
                return data[start - first : end - first]
        return _read(self._uri, self._fs, self._path, start, end)

    def _tail(self, tails: Tails, start: int) -> bytes:
        data = tails.get(self._path)
        if data is None:
            data = _read(self._uri, self._fs, self._path, start, self._size_bytes)
            tails.keep(self._path, data)
        return data


@explained
def _read(_uri: str, fs: fsspec.AbstractFileSystem, path: str, start: int, end: int) -> bytes:
    return bytes(fs.cat_file(path, start=start, end=end))
