"""A digest of rows that does not depend on their order, on part boundaries or on where the sources are stored.

Each row is hashed with sha256; the hashes are added as four 64-bit lanes, modulo 2^64 (a multiset hash in the
manner of Bellare and Micciancio's AdHash, 1997). Lanes of parts add up to the lanes of all rows, so a digest is
combined from receipts without reading a row again. It detects differences, not deliberate forgeries.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.format.roots import relative_sources

Lanes = npt.NDArray[np.uint64]


def no_rows() -> Lanes:
    """Return the lanes of an empty set of rows."""
    return np.zeros(4, np.uint64)


def row_lanes(table: pa.Table | pa.RecordBatch, roots: Sequence[str] = ()) -> Lanes:
    """Return the four lanes (uint64) of all rows of `table`, with `source` relative to the longest of `roots`.

    The bytes of a row are, for each column in the order of names, one validity byte and eight bytes (the value, or
    the length of a text), then all texts joined. Raises TypeError for a nested column.
    """
    rows = table.num_rows
    if rows == 0:
        return no_rows()
    names = sorted(table.schema.names)
    fields = [field for i in range(len(names)) for field in ((f"is_valid_{i}", "u1"), (f"number_{i}", "<i8"))]
    fixed = np.zeros(rows, np.dtype(fields))  # without gaps
    texts: list[pa.Array] = []
    for i, name in enumerate(names):
        column = table.column(name)
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if name == "source":
            column = relative_sources(column, roots)
        numbers, text = _encode(column, name)
        fixed[f"is_valid_{i}"] = pc.is_valid(column).to_numpy(zero_copy_only=False)
        fixed[f"number_{i}"] = numbers
        if text is not None:
            texts.append(text)
    joined = _join(fixed, texts)
    ends = np.frombuffer(joined.buffers()[1], np.int64)[joined.offset : joined.offset + rows + 1].tolist()
    data = memoryview(joined.buffers()[2])
    sha256 = hashlib.sha256
    hashes = b"".join([sha256(data[first:end]).digest() for first, end in itertools.pairwise(ends)])
    lanes: Lanes = np.frombuffer(hashes, "<u8").reshape(-1, 4).sum(axis=0, dtype=np.uint64)
    return lanes


def _encode(column: pa.Array, name: str) -> tuple[npt.NDArray[np.int64], pa.Array | None]:
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return pc.fill_null(pc.cast(column, pa.int64()), 0).to_numpy(zero_copy_only=False), None
    if pa.types.is_floating(kind):
        values = pc.fill_null(pc.cast(column, pa.float64()), 0.0).to_numpy(zero_copy_only=False)
        same = np.where(np.isnan(values), np.nan, values + 0.0)  # all NaNs are one value, and so are both zeros
        return np.ascontiguousarray(same).view(np.int64), None
    if (
        pa.types.is_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_large_binary(kind)
    ):
        text = pc.fill_null(pc.cast(column, pa.large_binary()), b"")
    else:
        raise TypeError(f"column {name}: a manifest has numbers and texts, not {kind}")
    return pc.cast(pc.binary_length(text), pa.int64()).to_numpy(zero_copy_only=False), text


def _join(fixed: npt.NDArray[Any], texts: list[pa.Array]) -> pa.Array:
    """Return the bytes of each row: those of fixed length, then its texts."""
    heads = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(fixed.itemsize), len(fixed), [None, pa.py_buffer(fixed.view(np.uint8))]
    )
    empty = pa.scalar(b"", pa.large_binary())
    return pc.binary_join_element_wise(pc.cast(heads, pa.large_binary()), *texts, empty)


def combine(lanes: Iterable[Lanes]) -> Lanes:
    """Return the lanes of the union of several sets of rows."""
    total = no_rows()
    for each in lanes:
        total = total + each
    return total


def digest(lanes: Lanes, rows: int, schema: pa.Schema) -> str:
    """Return the digest (64 hexadecimal digits) of `rows` rows with these lanes and this schema."""
    columns = sorted((f.name, str(f.type)) for f in schema)
    head = json.dumps({"rows": rows, "columns": columns}, separators=(",", ":"))
    return hashlib.sha256(head.encode() + lanes.astype("<u8").tobytes()).hexdigest()


def settings_hash(*parts: Any) -> str:
    """Return a hash (32 hexadecimal digits) of settings: values that JSON can store. Equal values have equal hashes.

    Manifests, plans and receipts store it in their field `fingerprint`.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
