"""A process that reads through a cache with others, or that is killed while it writes, for tests."""

import os
import random
import signal
import sys

import fsspec

from curation.feed import cached_blocks
from curation.feed.cache import RangeCache, Version
from curation.feed.cached_blocks import BLOCK_BYTES, RECORD_BYTES
from curation.sources.byte_ranges import ByteRange

SEGMENT_BLOCKS = 4
SIZES = {"memory://tars/a": 21 * BLOCK_BYTES + 77, "memory://tars/b": 3 * BLOCK_BYTES, "memory://tars/c": 11}
LIMIT = 10 * RECORD_BYTES


def content(uri: str, edition: int = 0) -> bytes:
    """Return the bytes of an object: every process makes the same."""
    return random.Random(f"{uri} {edition}").randbytes(SIZES[uri])


def versions(edition: int = 0) -> dict[str, Version]:
    """Return the versions of all objects."""
    return {uri: Version(size_bytes=size, identity=str(edition)) for uri, size in SIZES.items()}


def make_objects() -> None:
    """Make the objects in the memory of this process, and segments so small that they have several."""
    cached_blocks.SEGMENT_BLOCKS = SEGMENT_BLOCKS
    for uri in SIZES:
        fsspec.filesystem("memory").pipe_file(uri, content(uri))


def read_at_random(cache: RangeCache, seed: int) -> bool:
    """Read many ranges, and return whether all bytes were right."""
    make_objects()
    uri, drawn = "memory://tars/a", random.Random(seed)
    whole = content(uri)
    for _ in range(40):
        starts = [drawn.randrange(len(whole)) for _ in range(4)]
        wanted = [ByteRange(uri=uri, offset=start, size_bytes=30_000) for start in starts]
        if cache.read(wanted) != [whole[start : start + 30_000] for start in starts]:
            return False
    return True


def _die_after(written_bytes: int) -> None:
    """Kill this process within a write, when it has written so much."""
    plain, left = os.pwrite, written_bytes

    def pwrite(file: int, data: bytes, offset: int) -> int:
        nonlocal left
        if len(data) > left:
            plain(file, data[:left], offset)
            os.kill(os.getpid(), signal.SIGKILL)
        left -= len(data)
        return plain(file, data, offset)

    os.pwrite = pwrite


if __name__ == "__main__":
    cache = RangeCache(sys.argv[1], LIMIT, versions())
    _die_after(int(sys.argv[2]))
    read_at_random(cache, int(sys.argv[2]))
