"""Shards as tars: their bytes depend on their samples alone."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curation.sources.byte_ranges import (
    ByteRange,
    image_range,
    in_groups,
    read_ranges,
    require_unchanged,
    sidecar_range,
)
from curation.sources.members import IMAGE_EXTENSIONS, split_member
from curation.sources.tars import TarWriter
from curation.sources.text_encoding import decode_text
from manifests import storage
from manifests.format.schema import COLUMNS, Stage


@dataclass(frozen=True, kw_only=True)
class WrittenShard:
    """One tar: the rows of its table, and the bytes and sha256 of each of its files, by name."""

    batch: pa.Table
    files: dict[str, dict[str, Any]]


def write_shard(folder: str, name: str, rows: pa.Table) -> WrittenShard:
    """Write `name`.tar and `name`_stats.json from the samples of `rows`, in their order.

    Images are copied byte for byte, and so are sidecars in UTF-8; others are converted to UTF-8. A caption without a
    sidecar gets one. The returned rows have the columns of the shard stage. Memory: one group of images and sidecars.

    Raises BrokenSource when an image is not the one that was scanned.
    """
    records = rows.to_pylist()
    places: list[tuple[int, int]] = []
    with storage.write_atomically(storage.join(folder, f"{name}.tar")) as f:
        with TarWriter(f) as tar:  # type: ignore[arg-type]
            for record, members in _contents(records):
                for position, (extension, data) in enumerate(members):
                    at = tar.add(f"{record['key']}.{extension}", data)
                    if position == 0:
                        places.append(at)
        tar_bytes, tar_sha256 = f.size_bytes, f.sha256.hexdigest()
    stats = stats_bytes(records, tar_bytes, tar_sha256)
    stats_name = f"{name}_stats.json"
    storage.write_bytes(storage.join(folder, stats_name), stats)
    added: dict[str, Sequence[Any]] = {
        "shard": [f"{name}.tar"] * len(records),
        "shard_offset": [offset for offset, _ in places],
        "shard_size": [size for _, size in places],
        "shard_index": list(range(len(records))),
    }
    for field in COLUMNS[Stage.SHARD]:
        rows = rows.append_column(field, pa.array(added[field.name], field.type))
    files: dict[str, dict[str, Any]] = {
        f"{name}.tar": {"bytes": tar_bytes, "sha256": tar_sha256},
        stats_name: {"bytes": len(stats), "sha256": hashlib.sha256(stats).hexdigest()},
    }
    return WrittenShard(batch=rows, files=files)


def _contents(
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


def stats_bytes(records: Sequence[Mapping[str, Any]], tar_bytes: int, tar_sha256: str) -> bytes:
    """Return the shard's statistics like img2dataset's, without times: the same run writes the same bytes."""
    stats = {
        "count": len(records),
        "successes": len(records),
        "status_dict": dict(sorted(Counter(str(r["status"]) for r in records).items())),
        "image_bytes": sum(r["size"] for r in records),
        "tar_bytes": tar_bytes,
        "tar_sha256": tar_sha256,
    }
    return (json.dumps(stats, indent=1) + "\n").encode()
