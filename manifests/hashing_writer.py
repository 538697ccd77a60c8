"""A binary file that knows how many bytes were written to it, and their sha256."""

import hashlib
from typing import Any, BinaryIO


class HashingWriter:
    """A forward-only binary file that counts and hashes (sha256) what is written to it."""

    def __init__(self, raw: BinaryIO) -> None:
        self.raw = raw
        self.size_bytes = 0
        self.sha256 = hashlib.sha256()
        self.closed = False

    def write(self, data: Any) -> int:
        """Write all of `data` and return its length in bytes."""
        view = memoryview(data).cast("B")
        self.raw.write(view)
        self.sha256.update(view)
        self.size_bytes += len(view)
        return len(view)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self.size_bytes

    def flush(self) -> None:
        """Do nothing: the file appears complete at the end."""

    def close(self) -> None:
        """Leave the raw file open: `write_atomically` decides whether it appears."""
        self.closed = True

    def readable(self) -> bool:
        """Return False."""
        return False

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return False."""
        return False
