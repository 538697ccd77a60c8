"""Temporary copies of samples, made in the order of the sources and stored in the order of the shards.

`copy_samples` reads the files of many samples, each source from its start to its end with few large reads, and writes
them one after the other, those of one shard together. A shard then finds its samples in a few places instead of one
place for each. A file of copies has a table beside it, written last, with the key and the first byte of each sample;
a later attempt finds them there and copies only what is missing.
"""

import io
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.shards.read import COPY, COPY_OFFSET, Place, Stored, columns_read, read_complete
from curation.sources.byte_ranges import in_groups
from manifests import storage
from manifests.format.parquet_files import table_of

CHUNK_BYTES = 64 << 20
"""So many bytes are sorted in memory: those of one shard among them are stored together."""
_TABLE = pa.schema([("key", pa.string()), (COPY, pa.string()), (COPY_OFFSET, pa.int64())])


def copy_samples(rows: pa.Table, *, place: Place, folder: str, group: str, order: Sequence[str]) -> pa.Table:
    """Copy the samples of `rows`, unless they were, and return `rows` with COPY and COPY_OFFSET.

    Args:
        rows: rows of one part, with the columns that `place` and `order` need.
        place: says where the files of a row are.
        folder: the URI of a folder for copies.
        group: the name of a folder in it for the copies of this part.
        order: the columns by which shards sort.

    Returns:
        `rows`, with nulls for samples that are not stored where `place` says. Nothing is compared with a hash, which
        is done when a copy is read. Memory: about twice CHUNK_BYTES.
    """
    found = _known(storage.join(folder, group))
    needed = rows.select([*columns_read(rows.schema.names), *(n for n in order if n != "key")])
    records = [row for row in needed.to_pylist() if row["key"] not in found]
    wanted = [(row, where) for row in records if (where := place(row)) is not None]
    wanted.sort(key=lambda each: (each[1].image.uri, each[1].image.offset))
    if wanted:
        found |= _copy(wanted, folder, f"{group}/{uuid.uuid4().hex}", order)
    at = [found.get(key, (None, None)) for key in rows.column("key").to_pylist()]
    rows = rows.append_column(COPY, pa.array([name for name, _ in at], pa.string()))
    return rows.append_column(COPY_OFFSET, pa.array([offset for _, offset in at], pa.int64()))


def _known(folder: str) -> dict[str, tuple[str | None, int | None]]:
    """Return key → name and first byte of the copies in `folder`."""
    tables = storage.read_many(folder, [name for name in storage.list_names(folder) if name.endswith(".parquet")])
    found: dict[str, tuple[str | None, int | None]] = {}
    for data in tables.values():
        table = table_of(data)
        names, offsets = table.column(COPY).to_pylist(), table.column(COPY_OFFSET).to_pylist()
        found |= dict(zip(table.column("key").to_pylist(), zip(names, offsets, strict=True), strict=True))
    return found


def _copy(
    wanted: Sequence[tuple[Mapping[str, Any], Stored]], folder: str, name: str, order: Sequence[str]
) -> dict[str, tuple[str | None, int | None]]:
    copied: list[tuple[str, str, int]] = []
    at = 0
    with storage.write_atomically(storage.join(folder, f"{name}.bin")) as f:
        for group in in_groups(range(len(wanted)), [where.size_bytes for _, where in wanted], CHUNK_BYTES):
            found = read_complete({i: wanted[i][1] for i in group})
            for i in sorted(found, key=lambda i: _place_of(wanted[i][0], order)):
                copied.append((wanted[i][0]["key"], f"{name}.bin", at))
                for data in found[i]:
                    f.raw.write(data)  # not hashed: who reads a copy compares the image with its row
                    at += len(data)
    columns = zip(*copied, strict=True) if copied else ([] for _ in _TABLE)
    table = pa.table([pa.array(values, each.type) for values, each in zip(columns, _TABLE, strict=True)], _TABLE)
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    storage.write_bytes(storage.join(folder, f"{name}.parquet"), out.getvalue())
    return {key: (copy, offset) for key, copy, offset in copied}


def _place_of(row: Mapping[str, Any], order: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row[name] for name in order)
