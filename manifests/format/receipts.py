"""Parts and receipts: write the rows of one unit as a Parquet file, and record that it is done."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from manifests import storage
from manifests.errors import ManifestError
from manifests.format.digest import Lanes, no_rows, row_lanes
from manifests.format.regroup import regroup

ROW_GROUP_ROWS = 65_536
WORK = "_work"
RECEIPTS = "receipts"
COUNTED = ("status", "duplicate_kind", "text_step", "text_class", "drop_reason", "keep")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Receipt:
    """The record of one finished unit. It is written after the part, so a receipt proves that the part is complete.

    `fingerprint` is the hash of the configuration and inputs of the unit (see digest.settings_hash), `lanes` the sum
    of its row hashes. `counts` has the rows by column and value, see `count_values`.
    """

    unit: str
    fingerprint: str
    part: str
    rows: int
    size_bytes: int
    sha256: str
    lanes: tuple[int, int, int, int]
    counts: Mapping[str, Mapping[str, int]]
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    files: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    broken_sources: Mapping[str, str] = dataclasses.field(default_factory=dict)
    source_warnings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def row_lanes(self) -> Lanes:
        """`lanes` as an array; see manifests.format.digest."""
        return np.array(self.lanes, np.uint64)

    def to_json(self) -> bytes:
        """Return the content of the receipt's file."""
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Receipt":
        """Return the receipt that `to_json` wrote. Raises ManifestError when `data` is not one."""
        try:
            fields = json.loads(data)
            a, b, c, d = (int(lane) for lane in fields["lanes"])
            return cls(**{**fields, "lanes": (a, b, c, d)})
        except (ValueError, TypeError, KeyError) as e:
            raise ManifestError(f"not a receipt: {e}; remove it and its unit is done again") from e


def count_values(batch: pa.RecordBatch | pa.Table) -> dict[str, Counter[str]]:
    """Return column → value → rows, for the columns COUNTED that `batch` has. Nulls are not counted."""
    counts: dict[str, Counter[str]] = {}
    for name in COUNTED:
        if name in batch.schema.names:
            pairs = batch.column(name).value_counts().to_pylist()
            counts[name] = Counter({_count_name(p["values"]): p["counts"] for p in pairs if p["values"] is not None})
    return counts


def _count_name(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def add_counts(
    many: Iterable[Mapping[str, Mapping[str, int]]],
) -> dict[str, dict[str, int]]:
    """Return the sum of several counts, sorted by name."""
    total: dict[str, Counter[str]] = {}
    for each in many:
        for name, values in each.items():
            total.setdefault(name, Counter()).update(values)
    return {name: dict(sorted(values.items())) for name, values in sorted(total.items())}


@dataclasses.dataclass(frozen=True, kw_only=True)
class WrittenPart:
    """The size, hash and counts of a part that was just written."""

    rows: int
    size_bytes: int
    sha256: str
    lanes: Lanes
    counts: dict[str, dict[str, int]]


def write_part(
    uri: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema, *, roots: Sequence[str]
) -> WrittenPart:
    """Write `batches` as one Parquet file, completely or not at all, and return its size, hash and counts.

    The bytes depend only on the rows and the version of pyarrow, not on the sizes of the batches. Memory is bounded
    by one batch and one row group. `roots` are those of `row_lanes`.
    """
    rows, lanes, counts = 0, no_rows(), []
    with storage.write_atomically(uri) as f:
        with pq.ParquetWriter(f, schema, compression="zstd", store_schema=True) as writer:
            cast = (pa.Table.from_batches([batch]).cast(schema) for batch in batches)
            for table in regroup(cast, ROW_GROUP_ROWS):
                rows += table.num_rows
                lanes = lanes + row_lanes(table, roots)
                counts.append(count_values(table))
                writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        size, sha = f.size_bytes, f.sha256.hexdigest()
    return WrittenPart(rows=rows, size_bytes=size, sha256=sha, lanes=lanes, counts=add_counts(counts))


def receipt_uri(output: str, unit: str) -> str:
    """Return the URI of the receipt of `unit` while the run at `output` is unfinished."""
    return storage.join(output, WORK, RECEIPTS, f"{unit}.json")


def write_receipt(output: str, receipt: Receipt) -> None:
    """Record a finished unit. Call it after everything that the receipt names is in place."""
    storage.write_bytes(receipt_uri(output, receipt.unit), receipt.to_json())


def read_receipts(output: str, known: frozenset[str] = frozenset()) -> dict[str, Receipt]:
    """Return unit → receipt of the unfinished run at `output`, without the units in `known`.

    A damaged receipt is left out, so that its unit is done again.
    """
    folder = storage.join(output, WORK, RECEIPTS)
    names = [n for n in storage.list_names(folder) if n.endswith(".json") and n[:-5] not in known]
    found: dict[str, Receipt] = {}
    for name, data in storage.read_many(folder, names).items():
        try:
            receipt = Receipt.from_json(data)
        except ManifestError:
            continue
        if f"{receipt.unit}.json" == name:
            found[receipt.unit] = receipt
    return found


def set_receipt_aside(output: str, unit: str) -> Receipt:
    """Move the receipt of `unit` aside before its part is rewritten, and return it.

    A retry finds it where it was moved to. Raises ManifestError when the unit never had one.
    """
    uri, aside = receipt_uri(output, unit), storage.join(output, WORK, "aside", f"{unit}.json")
    for place in (uri, aside):
        try:
            data = storage.read_bytes(place)
        except FileNotFoundError:
            continue
        if place == uri:
            storage.write_bytes(aside, data)
            storage.remove(uri)
        return Receipt.from_json(data)
    raise ManifestError(f"{uri}: missing; run the same command to do this unit again")
