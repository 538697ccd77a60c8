"""Reading stored images and sidecars back by byte range, many at once where the storage can."""

import errno
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests import storage
from manifests.errors import BrokenSource
from manifests.range_reads import Range, fetch

BYTES_AT_ONCE = 32 << 20


@dataclass(frozen=True, kw_only=True)
class ByteRange:
    """Bytes of one file: `size_bytes` from `offset`."""

    uri: str
    offset: int
    size_bytes: int


def image_range(row: Mapping[str, Any]) -> ByteRange:
    """Return where the image of a manifest row is stored."""
    return _range(row, row["member"], row["offset"], row["size"])


def sidecar_range(row: Mapping[str, Any], kind: str) -> ByteRange | None:
    """Return where a row's sidecar is stored, or None when it has none; `kind` is `caption` or `json`."""
    offset, size = row[f"{kind}_offset"], row[f"{kind}_size"]
    if offset is None:
        return None
    return _range(row, row[f"{kind}_member"], offset, size)


def _range(row: Mapping[str, Any], member: str, offset: int, size: int) -> ByteRange:
    source: str = row["source"]
    uri = source + member if source.endswith("/") else source
    return ByteRange(uri=uri, offset=offset, size_bytes=size)


def read_ranges(ranges: Sequence[ByteRange]) -> list[bytes]:
    """Return the bytes of each range, in order. Local files are opened once; others are fetched together, those that
    lie close together with one request.

    Raises BrokenSource when a file is missing or too short, and OSError when it cannot be read.
    """
    complete: list[bytes] = []
    for each, data in zip(ranges, try_ranges(ranges), strict=True):
        if isinstance(data, FileNotFoundError):
            raise _changed(each, "missing" if storage.is_local(each.uri) else f"missing ({data})") from data
        if isinstance(data, OSError):
            raise data
        if len(data) != each.size_bytes:
            raise _changed(each, f"{len(data)} bytes at {each.offset}, not {each.size_bytes}")
        complete.append(data)
    return complete


def try_ranges(ranges: Sequence[ByteRange]) -> list[bytes | OSError]:
    """Return the bytes of each range, in order: fewer where the file ends before, or why it could not be read."""
    found: list[bytes | OSError] = [b""] * len(ranges)
    by_file: dict[str, list[int]] = {}
    for place, each in enumerate(ranges):
        if each.size_bytes != 0:  # object stores answer an empty range with the whole object
            by_file.setdefault(each.uri, []).append(place)
    remote: list[int] = []
    for uri, places in by_file.items():
        if storage.is_local(uri):
            _read_local(uri, sorted(places, key=lambda p: ranges[p].offset), ranges, found)
        else:
            remote += places
    _read_remote(remote, ranges, found)
    return found


def _read_local(uri: str, places: Sequence[int], ranges: Sequence[ByteRange], found: list[bytes | OSError]) -> None:
    try:
        with Path(storage.filesystem(uri)[1]).open("rb", buffering=0) as f:
            file_bytes = f.seek(0, io.SEEK_END)
            for place in places:
                each = ranges[place]
                # A wrong row may declare any size, and Python allocates as much as it is to read.
                found[place] = _pread(f.fileno(), max(0, min(each.size_bytes, file_bytes - each.offset)), each.offset)
    except OSError as e:
        for place in places:
            found[place] = e


def _pread(file: int, size_bytes: int, offset: int) -> bytes:
    """Return the bytes of an open file from `offset`; one call of the system returns at most 2 GiB."""
    data = os.pread(file, size_bytes, offset)
    while len(data) < size_bytes and (more := os.pread(file, size_bytes - len(data), offset + len(data))):
        data += more
    return data


def _read_remote(places: Sequence[int], ranges: Sequence[ByteRange], found: list[bytes | OSError]) -> None:
    by_storage: dict[Any, list[tuple[int, Range]]] = {}
    for place in places:
        each = ranges[place]
        fs, path = storage.filesystem(each.uri)
        wanted = Range(path=path, start=each.offset, end=each.offset + each.size_bytes)
        by_storage.setdefault(fs, []).append((place, wanted))
    for fs, mine in by_storage.items():
        answers = fetch(ranges[mine[0][0]].uri, fs, [wanted for _, wanted in mine])
        for (place, _), data in zip(mine, answers, strict=True):
            # S3's "range not satisfiable": the object ends before it.
            found[place] = b"" if isinstance(data, OSError) and data.errno == errno.EINVAL else data


def in_groups(places: Sequence[int], sizes_bytes: Sequence[int], group_bytes: int = BYTES_AT_ONCE) -> list[list[int]]:
    """Return `places` in order, in groups of about `group_bytes`, which bounds the memory of reading them."""
    groups: list[list[int]] = []
    total = 0
    for place, size in zip(places, sizes_bytes, strict=True):
        if not groups or total + size > group_bytes:
            groups.append([])
            total = 0
        groups[-1].append(place)
        total += size
    return groups


def require_unchanged(row: Mapping[str, Any], data: bytes) -> None:
    """Raise BrokenSource unless `data` are the bytes that the scan read for `row`."""
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        raise _changed(image_range(row), f"the sha256 of {row['member']} differs from the manifest's")


def _changed(where: ByteRange, why: str) -> BrokenSource:
    return BrokenSource(
        f"{where.uri}: {why}: the source has changed since the scan; restore it, or scan it again",
        source=where.uri,
    )
