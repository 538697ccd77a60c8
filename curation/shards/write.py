"""Shards as tars: their bytes depend on their samples alone."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curation.shards.read import Place, columns_read, contents
from curation.sources.tars import TarWriter
from manifests import storage
from manifests.format.schema import COLUMNS, Stage, schema


@dataclass(frozen=True, kw_only=True)
class WrittenShard:
    """One tar: the rows of its table, and the bytes and sha256 of each of its files, by name."""

    batch: pa.Table
    files: dict[str, dict[str, Any]]


def write_shard(folder: str, name: str, rows: pa.Table, *, places: Sequence[Place] = ()) -> WrittenShard:
    """Write `name`.tar and `name`_stats.json from the samples of `rows`, in their order.

    `rows` have the columns of the choose stage, and those that `places` need, where samples are looked for before
    their sources are read.

    Images are copied byte for byte, and so are sidecars in UTF-8; others are converted to UTF-8. A caption without a
    sidecar gets one. The returned rows have the columns of the shard stage. Memory: one group of images and sidecars.

    Raises BrokenSource when an image is not the one that was scanned.
    """
    records = rows.select(columns_read(rows.schema.names)).to_pylist()
    written: list[dict[str, tuple[int, int]]] = []
    with storage.write_atomically(storage.join(folder, f"{name}.tar")) as f:
        with TarWriter(f) as tar:  # type: ignore[arg-type]
            for record, members in contents(records, places):
                written.append({ext: tar.add(f"{record['key']}.{ext}", data) for ext, data in members})
        tar_bytes, tar_sha256 = f.size_bytes, f.sha256.hexdigest()
    stats = _stats(records, tar_bytes, tar_sha256)
    stats_name = f"{name}_stats.json"
    storage.write_bytes(storage.join(folder, stats_name), stats)
    added: dict[str, Sequence[Any]] = {
        "shard": [f"{name}.tar"] * len(records),
        "shard_index": list(range(len(records))),
        **_columns("shard", [next(iter(each.values())) for each in written]),
        **_columns("shard_json", [each.get("json", (None, None)) for each in written]),
        **_columns("shard_caption", [each.get("txt", (None, None)) for each in written]),
    }
    chosen = schema(Stage.CHOOSE)
    rows = rows.select(chosen.names).cast(chosen)
    for field in COLUMNS[Stage.SHARD]:
        rows = rows.append_column(field, pa.array(added[field.name], field.type))
    files: dict[str, dict[str, Any]] = {
        f"{name}.tar": {"bytes": tar_bytes, "sha256": tar_sha256},
        stats_name: {"bytes": len(stats), "sha256": hashlib.sha256(stats).hexdigest()},
    }
    return WrittenShard(batch=rows, files=files)


def _columns(prefix: str, places: Sequence[tuple[int | None, int | None]]) -> dict[str, Sequence[int | None]]:
    return {f"{prefix}_offset": [at for at, _ in places], f"{prefix}_size": [size for _, size in places]}


def _stats(records: Sequence[Mapping[str, Any]], tar_bytes: int, tar_sha256: str) -> bytes:
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
