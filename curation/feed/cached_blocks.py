"""Blocks of remote files in a local folder that is bounded in size, and that processes share.

Each segment of SEGMENT_BLOCKS blocks of a remote file is a sparse file, named by a hash of the remote file's URI,
size and identity and by the number of the segment, in which each block has RECORD_BYTES: the XXH3 of its bytes, then
BLOCK_BYTES of the remote file (fewer at its end); what was not fetched is a hole.

A block is there only if its bytes have its hash. So nothing depends on the order in which processes or the system
write: a process killed half-way, a power failure, a truncated file, two writers at once leave blocks that are whole,
or that are missing. Locks keep the bound and save work. They are `flock`s, which end with their process, and none is
waited for without end.
"""

import contextlib
import errno
import fcntl
import os
import re
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xxhash import xxh3_64_digest

from manifests.errors import NO_SPACE

RECORD_BYTES = 16 << 10
HASH_BYTES = 8
BLOCK_BYTES = RECORD_BYTES - HASH_BYTES
SEGMENT_BLOCKS = 1024  # 16 MiB, which are removed together
FREED_FRACTION = 1 / 32  # of a full folder, so that it is not listed again for each block
LOCK_FILE = "lock"  # has the number of bytes in use
_COUNT_BYTES = 8
_SEGMENT_NAME = re.compile(r"[0-9a-f]{32}-[0-9]+")
_MARK_SECONDS = 1.0  # how often a segment that is read is marked as used
_WAIT_SECONDS = 1.0  # for others who write, before what is too much is left to them
_POLL_SECONDS = 0.005


@dataclass(frozen=True)
class RemoteFile:
    """A file that is divided into blocks. `name` begins the names of its segments, `seed` is that of its hashes."""

    uri: str
    size_bytes: int
    name: str
    seed: int

    @property
    def kept_bytes(self) -> int:
        """The size of all its records."""
        return self.blocks(0, self.size_bytes).stop * RECORD_BYTES

    def block_bytes(self, block: int) -> int:
        """Return the size of a block."""
        return min(BLOCK_BYTES, self.size_bytes - block * BLOCK_BYTES)

    def blocks(self, start: int, end: int) -> range:
        """Return the blocks that have the bytes from `start` to before `end`, as far as the file goes."""
        end = min(self.size_bytes, end)
        return range(start // BLOCK_BYTES, -(-end // BLOCK_BYTES) if start < end else 0)

    def segment_name(self, block: int) -> str:
        """Return the name of the segment that has a block."""
        return f"{self.name}-{block // SEGMENT_BLOCKS}"


def runs(blocks: Collection[int]) -> Iterator[range]:
    """Yield blocks that follow each other in one segment together."""
    start = end = 0
    for block in sorted(blocks):
        if block != end or block % SEGMENT_BLOCKS == 0:
            if start < end:
                yield range(start, end)
            start = block
        end = block + 1
    if start < end:
        yield range(start, end)


Run = tuple[RemoteFile, range, Sequence[memoryview]]
"""Blocks that follow each other in one segment: their file, numbers and bytes."""


@dataclass(frozen=True)
class BlockFolder:
    """The segments in a folder, at most `max_bytes` of them, and a file whose lock a process has while it writes."""

    folder: str
    max_bytes: int

    def prepare(self) -> None:
        """Make the folder, and remove what is too much. Raises OSError if it cannot be written."""
        Path(self.folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.locked(LOCK_FILE, _WAIT_SECONDS) as lock:
            if lock is not None:
                _write(lock, self._remove_oldest(self.max_bytes).to_bytes(_COUNT_BYTES), 0)

    @contextlib.contextmanager
    def locked(self, name: str, wait_seconds: float) -> Iterator[int | None]:
        """Make and lock a file, and yield it, or None if others have its lock all the time. Raises OSError."""
        file = self._open(name, os.O_RDWR | os.O_CREAT)
        try:
            is_mine = _lock(file, wait_seconds)
            yield file if is_mine else None
        finally:
            # Closing is not enough: a process that was forked meanwhile has the file open, too.
            fcntl.flock(file, fcntl.LOCK_UN)
            os.close(file)

    def read(self, file: RemoteFile, blocks: range) -> dict[int, memoryview]:
        """Return the blocks that are there, by number."""
        found: dict[int, memoryview] = {}
        start, seed = blocks.start, file.seed
        while start < blocks.stop:
            stop = min(blocks.stop, start - start % SEGMENT_BLOCKS + SEGMENT_BLOCKS)
            data = self._records(file, range(start, stop))
            view = memoryview(data)
            for number, record in zip(range(start, stop), range(0, len(data), RECORD_BYTES), strict=False):
                content = record + HASH_BYTES
                block = view[content : record + RECORD_BYTES]
                if data[record:content] == xxh3_64_digest(block, seed ^ number):
                    found[number] = block
            start = stop
        return found

    def has_all(self, file: RemoteFile, blocks: range) -> bool:
        """Return whether a segment, whose blocks these are, has no hole. Only a read compares hashes."""
        try:
            found = Path(self.folder, file.segment_name(blocks.start)).stat(follow_symlinks=False)
        except OSError:
            return False
        size_bytes = _records_bytes(file, blocks)
        return found.st_size >= size_bytes and found.st_blocks * 512 >= size_bytes

    def _records(self, file: RemoteFile, blocks: range) -> bytes:
        """Return the records of blocks of one segment, as far as they are there, and mark it as used."""
        try:
            segment = self._open(file.segment_name(blocks.start), os.O_RDONLY)
        except OSError:
            return b""
        try:
            if time.time() - os.fstat(segment).st_mtime > _MARK_SECONDS:
                os.utime(segment)
            return os.pread(segment, _records_bytes(file, blocks), _record_offset(blocks))
        except OSError:
            return b""
        finally:
            os.close(segment)

    def write(self, whole: Sequence[Run], wait_seconds: float) -> None:
        """Write blocks, unless others write for so long that it is better to go on.

        Raises OSError, such as for a full disk.
        """
        if not whole:
            return
        with self.locked(LOCK_FILE, wait_seconds) as lock:
            if lock is None:
                return
            for file, numbers, blocks in whole:
                if self._reserve(lock, len(numbers) * RECORD_BYTES):
                    parts: list[bytes | memoryview] = []
                    for number, block in zip(numbers, blocks, strict=True):
                        parts += xxh3_64_digest(block, file.seed ^ number), block
                    self._write_records(file.segment_name(numbers.start), numbers, b"".join(parts))

    def _write_records(self, name: str, blocks: range, records: bytes) -> None:
        segment = self._open(name, os.O_WRONLY | os.O_CREAT)
        try:
            _write(segment, records, _record_offset(blocks))
        except OSError as e:
            e.filename = self.folder
            raise
        finally:
            os.close(segment)

    def _reserve(self, lock: int, size_bytes: int) -> bool:
        """Make room, and count bytes before they are written; return False if there is no room."""
        if size_bytes > self.max_bytes:
            return False
        used = int.from_bytes(os.pread(lock, _COUNT_BYTES, 0))
        if used + size_bytes > self.max_bytes:
            used = self._remove_oldest(self.max_bytes - max(size_bytes, int(self.max_bytes * FREED_FRACTION)))
        _write(lock, (used + size_bytes).to_bytes(_COUNT_BYTES), 0)
        return True

    def _remove_oldest(self, max_bytes: int) -> int:
        """Remove segments, the least recently used first, until at most `max_bytes` are left; return what is left."""
        segments = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if _SEGMENT_NAME.fullmatch(entry.name):
                    with contextlib.suppress(FileNotFoundError):
                        found = entry.stat(follow_symlinks=False)
                        segments.append((found.st_mtime_ns, entry.name, found.st_blocks * 512))
        used = sum(size_bytes for _, _, size_bytes in segments)
        for _, name, size_bytes in sorted(segments):
            if used <= max_bytes:
                break
            self._remove(name)
            used -= size_bytes
        return used

    def _remove(self, name: str) -> None:
        Path(self.folder, name).unlink(missing_ok=True)

    def _open(self, name: str, flags: int) -> int:
        return os.open(f"{self.folder}/{name}", flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)


def _records_bytes(file: RemoteFile, blocks: range) -> int:
    """Return the size of the records of blocks."""
    last = blocks.stop - 1
    return (last - blocks.start) * RECORD_BYTES + HASH_BYTES + file.block_bytes(last)


def _record_offset(blocks: range) -> int:
    """Return where in their segment the records of blocks begin."""
    return blocks.start % SEGMENT_BLOCKS * RECORD_BYTES


def _write(file: int, data: bytes, offset: int) -> None:
    if os.pwrite(file, data, offset) < len(data):
        raise OSError(errno.ENOSPC, NO_SPACE)


def _lock(file: int, wait_seconds: float) -> bool:
    """Lock a file, and return whether that succeeded in time: a process that was stopped may hold a lock for long."""
    end = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(_POLL_SECONDS)
        else:
            return True
