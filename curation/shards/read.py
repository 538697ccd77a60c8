"""The files of samples for shards: where they are stored, and their bytes, from the nearest place that has them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from curation.sources.byte_ranges import (
    ByteRange,
    image_range,
    in_groups,
    read_ranges,
    require_unchanged,
    sidecar_range,
    try_ranges,
)
from curation.sources.members import IMAGE_EXTENSIONS, split_member
from curation.sources.text_encoding import decode_text
from manifests import storage
from manifests.errors import BrokenSource

COPY, COPY_OFFSET = "copy", "copy_offset"
"""Columns with the file and the first byte of a temporary copy of a sample, see curation.shards.copies."""

_SIDECARS = ("json", "caption")
_READ = (
    *("key", "source", "member", "offset", "size", "sha256", "status", "format", "caption"),
    *(f"{kind}_{what}" for kind in _SIDECARS for what in ("member", "offset", "size")),
    *("shard", "shard_offset", "shard_size", "shard_sha256", "shard_width", "shard_height"),
    *(f"shard_{kind}_{what}" for kind in _SIDECARS for what in ("offset", "size")),
    *(COPY, COPY_OFFSET),
)


def columns_read(names: Iterable[str]) -> list[str]:
    """Return those of the columns `names` that say where the files of a sample are, and what they must be."""
    return [name for name in names if name in _READ]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Where the files of one sample are stored: the image, and its sidecars where it has them."""

    image: ByteRange
    json: ByteRange | None
    caption: ByteRange | None

    @property
    def ranges(self) -> list[ByteRange]:
        """The byte ranges of all files, the image first."""
        return [each for each in (self.image, self.json, self.caption) if each is not None]

    @property
    def size_bytes(self) -> int:
        """The bytes of all files together."""
        return sum(each.size_bytes for each in self.ranges)


Place = Callable[[Mapping[str, Any]], Stored | None]
"""Returns where the files of a row are stored, or None if not there."""


def in_source(row: Mapping[str, Any]) -> Stored:
    """Return where the files of a row were when its source was scanned."""
    return Stored(image=image_range(row), json=sidecar_range(row, "json"), caption=sidecar_range(row, "caption"))


@dataclass(frozen=True, kw_only=True)
class InShards:
    """Where the files of rows of shards are in the tars in the folder `uri`.

    Without `has_json`, json sidecars are in the sources: those in tars of the layout uniform are others.
    """

    uri: str
    has_json: bool = True

    def __call__(self, row: Mapping[str, Any]) -> Stored:
        """Return where the files of `row` are: sidecars in the source unless it says where in the tar."""
        uri = storage.join(self.uri, row["shard"])
        image = ByteRange(uri=uri, offset=row["shard_offset"], size_bytes=row["shard_size"])
        json = _in_shard(row, uri, "json") if self.has_json else sidecar_range(row, "json")
        return Stored(image=image, json=json, caption=_in_shard(row, uri, "caption"))


def _in_shard(row: Mapping[str, Any], uri: str, kind: str) -> ByteRange | None:
    in_source = sidecar_range(row, kind)
    offset = row.get(f"shard_{kind}_offset")
    if in_source is None or offset is None:
        return in_source
    return ByteRange(uri=uri, offset=offset, size_bytes=row[f"shard_{kind}_size"])


@dataclass(frozen=True, kw_only=True)
class InCopies:
    """Where temporary copies are, below the folder `uri`, of files that were copied from `place`."""

    uri: str
    place: Place

    def __call__(self, row: Mapping[str, Any]) -> Stored | None:
        """Return where the copies of the row's files are, one after the other; None if it has none."""
        original = self.place(row)
        if original is None or row[COPY] is None:
            return None
        uri, at = storage.join(self.uri, row[COPY]), row[COPY_OFFSET]
        found: dict[str, ByteRange | None] = {}
        for name in ("image", "json", "caption"):
            where: ByteRange | None = getattr(original, name)
            found[name] = None if where is None else replace(where, uri=uri, offset=at)
            at += 0 if where is None else where.size_bytes
        return Stored(**found)  # type: ignore[arg-type]


def contents(
    records: Sequence[Mapping[str, Any]], places: Sequence[Place] = ()
) -> Iterator[tuple[Mapping[str, Any], list[tuple[str, bytes]]]]:
    """Yield each record with its files as (extension, bytes), the image first.

    A sample is read from the first of `places` that has it with the sha256 of its record, else from its source.
    Memory: one group of samples. Raises BrokenSource when the source does not have it either.
    """
    sizes = [r["size"] + (r["json_size"] or 0) + (r["caption_size"] or 0) for r in records]
    for group in in_groups(range(len(records)), sizes):
        found: dict[int, list[bytes]] = {}
        for place in places:
            left = [i for i in group if i not in found]
            read = read_complete({i: where for i in left if (where := place(records[i])) is not None})
            found |= {i: files for i, files in read.items() if sha256(files[0]).hexdigest() == _wanted(records[i])}
        left = [i for i in group if i not in found]
        for i in left:
            _require_in_source(records[i])
        found |= _read({i: in_source(records[i]) for i in left})
        for i in left:
            require_unchanged(records[i], found[i][0])
        for i in group:
            yield records[i], _members(records[i], found.pop(i))


def _wanted(record: Mapping[str, Any]) -> str:
    """Return the sha256 of the image: that in the shards, if it was resized for them."""
    return str(record.get("shard_sha256") or record["sha256"])


def _require_in_source(record: Mapping[str, Any]) -> None:
    if record.get("shard_sha256") is not None:
        raise BrokenSource(
            f"{record['shard']}: the picture {record['key']}, which was resized for this shard, is missing or has "
            "changed, and is nowhere else; restore the shard, or shard the chosen manifest",
            source=record["shard"],
        )


def read_complete(wanted: Mapping[int, Stored]) -> dict[int, list[bytes]]:
    """Return the files of those samples of `wanted` that are there, each with all of its bytes."""
    read = iter(try_ranges([each for where in wanted.values() for each in where.ranges]))
    found = {}
    for i, where in wanted.items():
        files = [(each, next(read)) for each in where.ranges]
        data = [data for each, data in files if isinstance(data, bytes) and len(data) == each.size_bytes]
        if len(data) == len(files):
            found[i] = data
    return found


def _read(wanted: Mapping[int, Stored]) -> dict[int, list[bytes]]:
    """Return the files of all samples of `wanted`. Raises BrokenSource when one is not there."""
    read = iter(read_ranges([each for where in wanted.values() for each in where.ranges]))
    return {i: [next(read) for _ in where.ranges] for i, where in wanted.items()}


def _members(record: Mapping[str, Any], files: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """Return the members of a sample from its stored files: the image, the json and the caption, if there are any."""
    sidecars = iter(files[1:])
    members = [(image_extension(record), files[0])]
    if record["json_offset"] is not None:
        members.append(("json", in_utf8(next(sidecars))))
    if record["caption_offset"] is not None:
        members.append(("txt", in_utf8(next(sidecars))))
    elif record["caption"]:
        members.append(("txt", record["caption"].encode()))
    return members


def in_utf8(data: bytes) -> bytes:
    """Return a sidecar's bytes unchanged if they are UTF-8, else their text in UTF-8, which many readers require."""
    text, encoding = decode_text(data)
    return data if encoding is None else text.encode()


def image_extension(record: Mapping[str, Any]) -> str:
    """Return the extension of the image in its source, or of its format if it has none there."""
    extension = split_member(record["member"])[1]
    return extension if extension in IMAGE_EXTENSIONS else str(record["format"] or "img").lower()
