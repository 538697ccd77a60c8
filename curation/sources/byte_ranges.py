"""Reading stored images and sidecars back by byte range, many at once where the storage can."""

import errno
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests import storage
from manifests.errors import BrokenSource

BYTES_AT_ONCE = 32 << 20


@dataclass(frozen=True, kw_only=True)
class ByteRange:
    """Bytes of one file: `size_bytes` from `offset`."""

    uri: str
    offset: int
    size_bytes: int


def image_range(row: Mapping[str, Any]) -> ByteRange:
    """Return where the image of a manifest row lies."""
    return _range(row, row["member"], row["offset"], row["size"])


def sidecar_range(row: Mapping[str, Any], kind: str) -> ByteRange | None:
    """Return where a row's sidecar lies, or None when it has none; `kind` is `caption` or `json`."""
    offset, size = row[f"{kind}_offset"], row[f"{kind}_size"]
    if offset is None:
        return None
    return _range(row, row[f"{kind}_member"], offset, size)


def _range(row: Mapping[str, Any], member: str, offset: int, size: int) -> ByteRange:
    source: str = row["source"]
    uri = source + member if source.endswith("/") else source
    return ByteRange(uri=uri, offset=offset, size_bytes=size)


def read_ranges(ranges: Sequence[ByteRange]) -> list[bytes]:
    """Return the bytes of each range, in order. Local files are opened once; others are fetched together.

    Raises BrokenSource when a file is gone or shorter than the manifest says.
    """
    found: list[bytes | None] = [None] * len(ranges)
    by_file: dict[str, list[int]] = {}
    remote: list[int] = []
    for place, each in enumerate(ranges):
        if each.size_bytes == 0:
            found[place] = b""  # object stores answer an empty range with the whole object
        elif storage.is_local(each.uri):
            by_file.setdefault(each.uri, []).append(place)
        else:
            remote.append(place)
    for uri, places in by_file.items():
        _read_local(uri, sorted(places, key=lambda p: ranges[p].offset), ranges, found)
    if remote:
        _read_remote(remote, ranges, found)
    for each, data in zip(ranges, found, strict=True):
        if data is None or len(data) != each.size_bytes:
            raise _gone(each, f"{0 if data is None else len(data)} bytes at {each.offset}, not {each.size_bytes}")
    return [data for data in found if data is not None]


def in_groups(places: Sequence[int], sizes_bytes: Sequence[int]) -> list[list[int]]:
    """Return `places` in order, cut into groups of about BYTES_AT_ONCE, which bounds the memory of reading them."""
    cut: list[list[int]] = []
    total = 0
    for place, size in zip(places, sizes_bytes, strict=True):
        if not cut or total + size > BYTES_AT_ONCE:
            cut.append([])
            total = 0
        cut[-1].append(place)
        total += size
    return cut


def _gone(where: ByteRange, why: str) -> BrokenSource:
    return BrokenSource(
        f"{where.uri}: {why}: the source has changed since the scan; restore it, or scan it again",
        source=where.uri,
    )


def _read_local(uri: str, places: Sequence[int], ranges: Sequence[ByteRange], found: list[bytes | None]) -> None:
    try:
        with Path(storage.filesystem(uri)[1]).open("rb") as f:
            for place in places:
                f.seek(ranges[place].offset)
                found[place] = f.read(ranges[place].size_bytes)
    except FileNotFoundError as e:
        raise _gone(ranges[places[0]], "missing") from e


def _read_remote(places: Sequence[int], ranges: Sequence[ByteRange], found: list[bytes | None]) -> None:
    by_storage: dict[Any, list[int]] = {}
    for place in places:
        by_storage.setdefault(storage.filesystem(ranges[place].uri)[0], []).append(place)
    for fs, mine in by_storage.items():
        paths = [storage.filesystem(ranges[p].uri)[1] for p in mine]
        starts = [ranges[p].offset for p in mine]
        ends = [ranges[p].offset + ranges[p].size_bytes for p in mine]
        for place, data in zip(mine, fs.cat_ranges(paths, starts, ends, on_error="return"), strict=True):
            if isinstance(data, FileNotFoundError):
                raise _gone(ranges[place], f"missing ({data})") from data
            if isinstance(data, OSError) and data.errno == errno.EINVAL:
                continue  # S3's "range not satisfiable": the object ends before it
            if isinstance(data, BaseException):
                raise data
            found[place] = bytes(data)


def require_unchanged(row: Mapping[str, Any], data: bytes) -> None:
    """Raise BrokenSource unless `data` are the bytes that the scan saw for `row`."""
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        raise _gone(image_range(row), f"the sha256 of {row['member']} differs from the manifest's")
