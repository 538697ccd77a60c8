"""The files of samples, as they are stored in their sources, for shards."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curation.sources.byte_ranges import (
    ByteRange,
    image_range,
    in_groups,
    read_ranges,
    require_unchanged,
    sidecar_range,
)
from curation.sources.members import IMAGE_EXTENSIONS, split_member
from curation.sources.text_encoding import decode_text


def contents(
    records: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[Mapping[str, Any], list[tuple[str, bytes]]]]:
    """Yield each record with its files as (extension, bytes), the image first."""
    sizes = [r["size"] + (r["json_size"] or 0) + (r["caption_size"] or 0) for r in records]
    for group in in_groups(range(len(records)), sizes):
        wanted: list[tuple[int, str, ByteRange]] = []
        for place in group:
            record = records[place]
            wanted.append((place, image_extension(record), image_range(record)))
            for kind, extension in (("json", "json"), ("caption", "txt")):
                where = sidecar_range(record, kind)
                if where is not None:
                    wanted.append((place, extension, where))
        found: dict[int, list[tuple[str, bytes]]] = {place: [] for place in group}
        for (place, extension, _), data in zip(wanted, read_ranges([w for *_, w in wanted]), strict=True):
            found[place].append((extension, in_utf8(data) if extension in ("json", "txt") else data))
        for place in group:
            record = records[place]
            require_unchanged(record, found[place][0][1])
            if record["caption_offset"] is None and record["caption"]:
                found[place].append(("txt", record["caption"].encode()))
            yield record, found[place]


def in_utf8(data: bytes) -> bytes:
    """Return a sidecar's bytes unchanged if they are UTF-8, else their text in UTF-8, which many readers require."""
    text, encoding = decode_text(data)
    return data if encoding is None else text.encode()


def image_extension(record: Mapping[str, Any]) -> str:
    """Return the extension of the image in its source, or of its format if it has none there."""
    extension = split_member(record["member"])[1]
    return extension if extension in IMAGE_EXTENSIONS else str(record["format"] or "img").lower()
