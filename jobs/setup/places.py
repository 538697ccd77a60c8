"""Tries the places of a run: the first bytes of an input, and whether an output may be written."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curation.sources.sources import Source
from jobs.units.plan import Plan
from manifests import storage
from manifests.errors import InputError

FIRST_BYTES = 512


def read_first_bytes(source: Source) -> str:
    """Read the first bytes of a tar, or of the first file of a folder, and return its URI.

    Raises as `storage.read_bytes` does.
    """
    if source.files:
        return _read(storage.join(source.uri, source.files[0].path), source.files[0].size_bytes)
    return _read(source.uri, source.size_bytes)


def require_readable_input(plan: Plan) -> None:
    """Read the first bytes of what the first unit of a scan's plan reads. Raises as `storage.read_bytes` does."""
    for unit in plan.units[:1]:
        source: Mapping[str, Any] = unit.inputs["sources"][0]
        if source.get("files"):
            path, size_bytes = source["files"][0]
            _read(storage.join(source["uri"], path), size_bytes)
        else:
            _read(source["uri"], source["bytes"])


def _read(uri: str, size_bytes: int) -> str:
    if size_bytes:  # object storage refuses to read a range of an empty object
        storage.read_bytes(uri, end=FIRST_BYTES)
    return uri


def require_writable(uri: str) -> None:
    """Raise InputError when the local folder `uri`, or the nearest above it that exists, may not be written to.

    Nothing is written. Of other storages only a request that writes could show it.
    """
    if not storage.is_local(uri):
        return
    folder = Path(storage.filesystem(uri)[1])
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{uri}: {folder} may not be written to; check its permissions, or name another output")
