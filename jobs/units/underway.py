"""How far units have come that are not finished: told by workers through small files in a folder of the driver.

A unit may be one tar with an hour of work, and Spark tells the driver nothing before its task ends. A worker on the
same machine finds the folder, and rewrites 16 bytes there now and then; one on another machine does not, and its
units count when they are finished. Nothing is written to the storage, and no result depends on it.
"""

import contextlib
import os
import struct
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

Progressed = tuple[int, int]
"""Images, and their bytes."""
EVERY_SECONDS = 0.5
_FORM = struct.Struct("<qq")

Tell = Callable[[int], None]
"""Called by a worker with the bytes of each image that it has read."""


def tell_nobody(_size_bytes: int) -> None:
    """Tell nobody."""


@contextlib.contextmanager
def underway_folder() -> Iterator[str]:
    """Yield a new folder on this machine, in which workers tell how far they are; it is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="curate-underway-", ignore_cleanup_errors=True) as folder:
        yield folder


@contextlib.contextmanager
def telling(folder: str | None, unit: str, *, every_seconds: float = EVERY_SECONDS) -> Iterator[Tell]:
    """Yield the function by which the attempt at `unit` tells how far it is, until the block ends.

    It tells at most every so many seconds, and nothing where the folder is not on this machine.
    """
    try:
        f = os.open(f"{folder}/{unit}", os.O_WRONLY | os.O_CREAT) if folder and Path(folder).is_dir() else None
    except OSError:
        f = None
    if f is None:
        yield tell_nobody
        return
    images, read_bytes, told_at = 0, 0, time.monotonic()

    def tell(size_bytes: int) -> None:
        nonlocal images, read_bytes, told_at
        images, read_bytes = images + 1, read_bytes + size_bytes
        if time.monotonic() - told_at >= every_seconds:
            told_at = time.monotonic()
            with contextlib.suppress(OSError):  # a full disk must not end the work
                os.pwrite(f, _FORM.pack(images, read_bytes), 0)

    try:
        yield tell
    finally:
        os.close(f)
        Path(f"{folder}/{unit}").unlink(missing_ok=True)


def read_underway(folder: str | None) -> Mapping[str, Progressed]:
    """Return unit → what it has done, of those that have told something and are not finished."""
    found: dict[str, Progressed] = {}
    for path in Path(folder).iterdir() if folder and Path(folder).is_dir() else ():
        with contextlib.suppress(OSError, struct.error):  # it has just finished, or just begun
            found[path.name] = _FORM.unpack(path.read_bytes())
    return found
