"""Parts and receipts: how one unit's rows become a Parquet file, and what remains known of it."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from manifests import storage
from manifests.errors import ManifestError
from manifests.format.digest import Lanes, no_rows, row_lanes

ROW_GROUP_ROWS = 65_536
WORK = "_work"
RECEIPTS = "receipts"
COUNTED = ("status", "duplicate_kind", "text_step", "text_class", "drop_reason", "keep")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Receipt:
    """What one finished unit left behind; written after its part, so its presence proves the part.

    `fingerprint` binds it to the configuration and inputs it was made from, `lanes` to its rows.
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
        """The lanes of the unit's rows; see manifests.format.digest."""
        return np.array(self.lanes, np.uint64)

    def to_json(self) -> bytes:
        """Return the receipt as a JSON file's bytes."""
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Receipt":
        """Return the receipt in `data`. Raises ManifestError when it is not one."""
        try:
            fields = json.loads(data)
            a, b, c, d = (int(lane) for lane in fields["lanes"])
            return cls(**{**fields, "lanes": (a, b, c, d)})
        except (ValueError, TypeError, KeyError) as e:
            raise ManifestError(f"not a receipt: {e}; remove it and its unit is done again") from e


def count_values(batch: pa.RecordBatch | pa.Table) -> dict[str, Counter[str]]:
    """Return how many rows have each value of the columns worth counting; nulls are not counted."""
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
    """Return the sum of several counts, its names sorted."""
    total: dict[str, Counter[str]] = {}
    for each in many:
        for name, values in each.items():
            total.setdefault(name, Counter()).update(values)
    return {name: dict(sorted(values.items())) for name, values in sorted(total.items())}


@dataclasses.dataclass(frozen=True, kw_only=True)
class WrittenPart:
    """What writing one part measured."""

    rows: int
    size_bytes: int
    sha256: str
    lanes: Lanes
    counts: dict[str, dict[str, int]]


def write_part(
    uri: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema, *, roots: Sequence[str]
) -> WrittenPart:
    """Write `batches` as one Parquet file, whole or not at all, and return what was measured on the way.

    The bytes depend on the rows and pyarrow's version alone, not on how the rows are cut into batches. Memory is
    bounded by one batch and one row group.
    """
    rows, lanes, counts = 0, no_rows(), []
    with storage.write_whole(uri) as f:
        with pq.ParquetWriter(f, schema, compression="zstd", store_schema=True) as writer:
            for table in _row_groups(batches, schema):
                rows += table.num_rows
                lanes = lanes + row_lanes(table, roots)
                counts.append(count_values(table))
                writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        size, sha = f.size_bytes, f.sha256.hexdigest()
    return WrittenPart(rows=rows, size_bytes=size, sha256=sha, lanes=lanes, counts=add_counts(counts))


def _row_groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows in tables of ROW_GROUP_ROWS, the last one shorter, whatever the batches were."""
    pending: list[pa.Table] = []
    for batch in batches:
        pending.append(pa.Table.from_batches([batch]).cast(schema))
        if sum(t.num_rows for t in pending) < ROW_GROUP_ROWS:
            continue
        table = pa.concat_tables(pending).combine_chunks()
        whole = table.num_rows - table.num_rows % ROW_GROUP_ROWS
        for first in range(0, whole, ROW_GROUP_ROWS):
            yield table.slice(first, ROW_GROUP_ROWS)
        pending = [table.slice(whole)] if whole < table.num_rows else []
    if pending:
        yield pa.concat_tables(pending).combine_chunks()


def receipt_uri(output: str, unit: str) -> str:
    """Return where the receipt of `unit` lies while the run at `output` is unfinished."""
    return storage.join(output, WORK, RECEIPTS, f"{unit}.json")


def write_receipt(output: str, receipt: Receipt) -> None:
    """Record a finished unit; call it after everything the receipt names is in place."""
    storage.write_bytes(receipt_uri(output, receipt.unit), receipt.to_json())


def read_receipts(output: str, known: frozenset[str] = frozenset()) -> dict[str, Receipt]:
    """Return unit → receipt of the unfinished run at `output`, leaving out the units in `known`.

    A damaged receipt is left out: its unit is simply done again.
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
    """Withdraw the receipt of `unit` before its part is rewritten, and return it; a retry finds it where it was put.

    Raises ManifestError when the unit never had one.
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
