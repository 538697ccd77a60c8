"""Shards as tars: their bytes depend on their samples, and on the settings, alone."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curation.shards.indexes import Members, dali_index, energon_index
from curation.shards.layout import UNIFORM, Sample, ShardForm
from curation.shards.read import Place, columns_read, contents
from curation.sources.tars import TarWriter
from manifests import storage
from manifests.format.schema import COLUMNS, Stage, schema


@dataclass(frozen=True, kw_only=True)
class WrittenShard:
    """One tar: the rows of its table, and the bytes and sha256 of each of its files, by name."""

    batch: pa.Table
    files: dict[str, dict[str, Any]]


def write_shard(
    folder: str, name: str, rows: pa.Table, form: ShardForm = UNIFORM, *, nearer: Sequence[Place] = ()
) -> WrittenShard:
    """Write `name`.tar from the samples of `rows`, in their order and the form `form`, with statistics and indexes.

    Sidecars are converted to UTF-8 where they are not. A caption without a sidecar gets one. `rows` have the columns
    of the choose stage, and those that `nearer` needs: places where samples are looked for before their sources are
    read. The returned rows have the columns of the shard stage. Memory: one group of images and sidecars.

    Raises BrokenSource when an image is not the one that was scanned.
    """
    needed = {*columns_read(rows.schema.names), *form.needed}
    records = rows.select([name for name in rows.schema.names if name in needed]).to_pylist()
    members: list[tuple[str, Members]] = []
    added: list[dict[str, Any]] = []
    with storage.write_atomically(storage.join(folder, f"{name}.tar")) as f:
        with TarWriter(f) as tar:  # type: ignore[arg-type]
            for record, stored in contents(records, nearer):
                sample = form.sample(record, stored)
                places = {ext: tar.add(f"{record['key']}.{ext}", data) for ext, data in sample.members}
                members.append((record["key"], places))
                added.append(_added(f"{name}.tar", len(added), sample, places))
        tar_bytes, tar_sha256 = f.size_bytes, f.sha256.hexdigest()
    beside = {
        f"{name}_stats.json": _stats(records, added, tar_bytes, tar_sha256),
        f"{name}.idx": dali_index(members),
        f"{name}.tar.idx": energon_index(members),
    }
    files: dict[str, dict[str, Any]] = {f"{name}.tar": {"bytes": tar_bytes, "sha256": tar_sha256}}
    for file, data in beside.items():
        storage.write_bytes(storage.join(folder, file), data)
        files[file] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    chosen = schema(Stage.CHOOSE)
    rows = rows.select(chosen.names).cast(chosen)
    for field in COLUMNS[Stage.SHARD]:
        rows = rows.append_column(field, pa.array([each[field.name] for each in added], field.type))
    return WrittenShard(batch=rows, files=files)


def _added(tar: str, position: int, sample: Sample, places: Members) -> dict[str, Any]:
    """Return the values of the columns of the shard stage."""
    offset, size = next(iter(places.values()))
    json_offset, json_size = places.get("json", (None, None))
    caption_offset, caption_size = places.get("txt", (None, None))
    resized = sample.resized
    return {
        "shard": tar,
        "shard_offset": offset,
        "shard_size": size,
        "shard_index": position,
        "shard_json_offset": json_offset,
        "shard_json_size": json_size,
        "shard_caption_offset": caption_offset,
        "shard_caption_size": caption_size,
        "shard_sha256": None if resized is None else resized.sha256,
        "shard_width": None if resized is None else resized.width,
        "shard_height": None if resized is None else resized.height,
    }


def _stats(
    records: Sequence[Mapping[str, Any]], added: Sequence[Mapping[str, Any]], tar_bytes: int, tar_sha256: str
) -> bytes:
    """Return the shard's statistics like img2dataset's, without times: the same run writes the same bytes."""
    stats = {
        "count": len(records),
        "successes": len(records),
        "status_dict": dict(sorted(Counter(str(r["status"]) for r in records).items())),
        "image_bytes": sum(each["shard_size"] for each in added),
        "tar_bytes": tar_bytes,
        "tar_sha256": tar_sha256,
    }
    return (json.dumps(stats, indent=1) + "\n").encode()
