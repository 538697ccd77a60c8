"""Files that are made once for all processes of a host: kept in a cache folder, and mapped into memory."""

import contextlib
import fcntl
import functools
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import InputError


def kept(cache: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder `name` in `cache`. If it is missing, `make` fills an empty folder that then gets this name.

    Of several processes that want the same, one makes it and the others wait; if it dies, another one does. Raises
    InputError when `cache` cannot be written, and what `make` raises.
    """
    folder = cache / name
    if not folder.exists():
        with _alone(cache, name):
            if not folder.exists():
                temporary = cache / f".{name}.{uuid.uuid4().hex}.tmp"
                temporary.mkdir()
                try:
                    make(temporary)
                    temporary.rename(folder)
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)
    return folder


@contextlib.contextmanager
def _alone(cache: Path, name: str) -> Iterator[None]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = os.open(cache / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as e:
        raise InputError(f"{cache}: cannot be written ({e.strerror}); name another folder with cache=…") from e
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system releases it when the process ends, however it ends
        yield
    finally:
        os.close(lock)


@dataclass(frozen=True)
class MappedArray:
    """An array in a file of NumPy's format, mapped into memory where it is used, also after pickling."""

    path: str

    @functools.cached_property
    def values(self) -> NDArray[Any]:
        """The array."""
        values: NDArray[Any] = np.load(self.path, mmap_mode="r")
        return values

    def __getstate__(self) -> dict[str, str]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, str]) -> None:
        object.__setattr__(self, "path", state["path"])


def kept_array(cache: Path, name: str, make: Callable[[], NDArray[Any]]) -> MappedArray:
    """Return the array `name` of `cache`; `make` computes it if it is missing. Raises as `kept`."""
    file = "values.npy"
    return MappedArray(str(kept(cache, name, lambda folder: np.save(folder / file, make())) / file))
