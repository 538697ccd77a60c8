"""Files that appear complete when a block ends, and not at all when it raises."""

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import fsspec

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def one_put(fs: fsspec.AbstractFileSystem, path: str) -> Iterator[BinaryIO]:
    """Open a file of an object store: one put makes it visible."""
    raw = fs.open(path, "wb")
    try:
        yield raw
    except BaseException:
        raw.discard()
        raw.closed = True  # or its destructor tries to put what was discarded
        raise
    raw.close()


@contextlib.contextmanager
def renamed(fs: fsspec.AbstractFileSystem, path: str, *, is_local: bool) -> Iterator[BinaryIO]:
    """Open a temporary file, unique to this attempt, that is renamed to `path`."""
    folder, name = path.rsplit("/", 1)
    temporary = f"{folder}/.{name[:40]}.{uuid.uuid4().hex}.tmp"  # a name may have 255 bytes
    fs.makedirs(folder, exist_ok=True)
    try:
        with fs.open(temporary, "wb", **({"auto_mkdir": True} if is_local else {})) as raw:
            yield raw
            raw.flush()
            if is_local:
                os.fsync(raw.fileno())
        if is_local:
            Path(temporary).replace(path)
        else:
            fs.mv(temporary, path)
    except BaseException as e:
        if isinstance(e, OSError) and e.errno in _FULL and e.filename is None:
            e.filename = path  # a failed write does not name its file
        with contextlib.suppress(FileNotFoundError):
            fs.rm_file(temporary)
        raise
