"""Saves stored pictures as single files, byte for byte, from the sources or from the shards."""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from curation.pictures.resize import resized_format
from curation.sources.byte_ranges import ByteRange, image_range, in_groups, read_ranges
from manifests import storage
from manifests.errors import BrokenSource

NEEDED = ("key", "source", "member", "offset", "size", "sha256", "status", "format")
_NEEDED_OF_SHARDS = ("shard", "shard_offset", "shard_size", "shard_sha256")
_EXTENSIONS = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif", "JPEG2000": "jp2"}


def needed_columns(names: Collection[str], *, from_shards: bool) -> list[str]:
    """Return those of the columns `names` that `fetch` and `save` need. Earlier versions wrote fewer into shards."""
    return [name for name in (*NEEDED, *(_NEEDED_OF_SHARDS if from_shards else ())) if name in names]


@dataclass(frozen=True, kw_only=True)
class Saved:
    """Where the picture of a row was saved, or why it was not."""

    key: str
    uri: str | None = None
    problem: str = ""


def save(rows: Sequence[Mapping[str, Any]], folder: str, *, shards_uri: str | None) -> Iterator[Saved]:
    """Write the picture of each row to `folder`, and yield the result for each row, in order.

    Pictures are read as by `fetch`. Existing files are not overwritten. Memory: one group of pictures.
    """
    for row, (data, problem) in zip(rows, fetch(rows, shards_uri=shards_uri), strict=True):
        yield Saved(key=row["key"], problem=problem) if data is None else _put(row, data, folder)


def fetch(rows: Sequence[Mapping[str, Any]], *, shards_uri: str | None) -> Iterator[tuple[bytes | None, str]]:
    """Yield the bytes of each row's picture, or None and the reason, in order.

    Rows have the columns `needed_columns`. With `shards_uri`, pictures are read from the tars there, otherwise from
    their sources. Bytes whose sha256 differs from the row's are not returned. Memory: one group of pictures.
    """
    there = [row for row in rows if row["sha256"] is not None and row["size"] is not None]
    places = [_place(row, shards_uri) for row in there]
    known = iter(_read(there, places))
    for row in rows:
        if row["sha256"] is None or row["size"] is None:
            yield None, f"has no picture: its status is {row['status']}"
            continue
        data = next(known)
        yield (None, data) if isinstance(data, str) else (data, "")


def _place(row: Mapping[str, Any], shards_uri: str | None) -> ByteRange:
    if shards_uri is None:
        return image_range(row)
    return ByteRange(
        uri=storage.join(shards_uri, row["shard"]), offset=row["shard_offset"], size_bytes=row["shard_size"]
    )


def _read(rows: Sequence[Mapping[str, Any]], places: Sequence[ByteRange]) -> Iterator[bytes | str]:
    """Yield the bytes of each picture, or why they are not valid."""
    for group in in_groups(range(len(rows)), [place.size_bytes for place in places]):
        try:
            found: Sequence[bytes | str] = read_ranges([places[i] for i in group])
        except BrokenSource:
            found = [_read_one(places[i]) for i in group]
        for i, data in zip(group, found, strict=True):
            wanted = rows[i].get("shard_sha256") or rows[i]["sha256"]
            if isinstance(data, bytes) and hashlib.sha256(data).hexdigest() != wanted:
                yield f"{places[i].uri}: the sha256 of its bytes is not the manifest's"
            else:
                yield data


def _read_one(place: ByteRange) -> bytes | str:
    try:
        return read_ranges([place])[0]
    except BrokenSource as e:
        return str(e)


def _put(row: Mapping[str, Any], data: bytes, folder: str) -> Saved:
    uri = storage.join(folder, file_name(row))
    if storage.exists(uri):
        if storage.read_bytes(uri) != data:
            return Saved(key=row["key"], problem=f"{uri}: exists already, with other bytes; remove it")
    else:
        storage.write_bytes(uri, data)
    return Saved(key=row["key"], uri=uri)


def file_name(row: Mapping[str, Any]) -> str:
    """Return the name of a row's file: its key, and the extension of its format, not of the member."""
    kind = resized_format(row["format"]) if row.get("shard_sha256") else row["format"] or "bin"
    extension = _EXTENSIONS.get(kind) or re.sub(r"[^a-z0-9]", "", kind.lower()) or "bin"
    return f"{quote(row['key'], safe='')}.{extension}"
