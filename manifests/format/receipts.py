"""Parts and receipts: write the rows of one unit as a Parquet file, and record that it is done."""

import dataclasses
import json
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from manifests import exclusive, storage
from manifests.errors import ManifestError
from manifests.format.digest import Lanes, no_rows, row_lanes
from manifests.format.regroup import regroup

ROW_GROUP_ROWS = 65_536
WORK = "_work"
RECEIPTS = "receipts"
NAME_DIGITS = 12
GROUP_UNITS, GROUPS_IN_BATCH = 64, 16
COUNTED = ("status", "duplicate_kind", "text_step", "text_class", "drop_reason", "keep")
_NUMBER = re.compile(r"(\d+)([^\d]*)$")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Receipt:
    """The record of one finished unit. It is written after the part, so a receipt proves that the part is complete.

    `fingerprint` is the hash of the configuration and inputs of the unit (see digest.settings_hash), `lanes` the sum
    of its row hashes, `key_lanes` that of the hashes of its keys. `counts` has the rows by column and value, see
    `count_values`. `files` are other files of the unit, by name. `is_changed`: the rows also depend on other units.
    `attempt` is a random number.
    """

    unit: str
    fingerprint: str
    part: str
    rows: int
    size_bytes: int
    sha256: str
    lanes: tuple[int, int, int, int]
    counts: Mapping[str, Mapping[str, int]]
    key_lanes: tuple[int, int, int, int] | None = None
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    files: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    broken_sources: Mapping[str, str] = dataclasses.field(default_factory=dict)
    source_warnings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    is_changed: bool = False
    attempt: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def row_lanes(self) -> Lanes:
        """`lanes` as an array; see manifests.format.digest."""
        return np.array(self.lanes, np.uint64)

    @property
    def has_part_by_content(self) -> bool:
        """Whether the name of the part contains the hash of its content, so that no other content has that name."""
        return self.part.endswith(part_name("", self.sha256))

    @property
    def fixed_files(self) -> dict[str, tuple[int, str]]:
        """Bytes and sha256 of the files whose names do not depend on their content, such as tars, by name."""
        found = {name: (each["bytes"], each["sha256"]) for name, each in self.files.items()}
        return found if self.has_part_by_content else {**found, self.part: (self.size_bytes, self.sha256)}

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of all files of the unit, by name."""
        return {self.part: self.size_bytes, **{name: each["bytes"] for name, each in self.files.items()}}

    def to_json(self) -> bytes:
        """Return the content of the receipt's file."""
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes | str) -> "Receipt":
        """Return the receipt that `to_json` wrote. Raises ManifestError when `data` is not one."""
        try:
            fields = json.loads(data)
            keys = fields["key_lanes"]
            lanes = {"lanes": _lanes(fields["lanes"]), "key_lanes": None if keys is None else _lanes(keys)}
            return cls(**{**fields, **lanes})
        except (ValueError, TypeError, KeyError) as e:
            raise ManifestError(f"not a receipt: {e}; remove it and its unit is done again") from e


def _lanes(values: Any) -> tuple[int, int, int, int]:
    a, b, c, d = (int(lane) for lane in values)
    return a, b, c, d


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
    key_lanes: Lanes
    counts: dict[str, dict[str, int]]


def write_part(
    uri: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema, *, roots: Sequence[str]
) -> WrittenPart:
    """Write `batches` as one Parquet file, completely or not at all, and return its size, hash and counts.

    The bytes depend only on the rows and the version of pyarrow, not on the sizes of the batches. Memory is bounded
    by one batch and one row group. `roots` are those of `row_lanes`.
    """
    rows, lanes, keys, counts = 0, no_rows(), no_rows(), []
    with storage.write_atomically(uri) as f:
        with pq.ParquetWriter(f, schema, compression="zstd", store_schema=True) as writer:
            cast = (pa.Table.from_batches([batch]).cast(schema) for batch in batches)
            for table in regroup(cast, ROW_GROUP_ROWS):
                rows += table.num_rows
                lanes = lanes + row_lanes(table, roots)
                keys = keys + row_lanes(table.select([name for name in ("key",) if name in table.schema.names]))
                counts.append(count_values(table))
                writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        size, sha = f.size_bytes, f.sha256.hexdigest()
    return WrittenPart(rows=rows, size_bytes=size, sha256=sha, lanes=lanes, key_lanes=keys, counts=add_counts(counts))


def part_name(unit: str, sha256: str) -> str:
    """Return the file name of a unit's part: with the first digits of the `sha256` of its content."""
    return f"{unit}-{sha256[:NAME_DIGITS]}.parquet"


def group_of(unit: str) -> str:
    """Return the group of a unit: GROUP_UNITS units with successive numbers, whose receipts are in one folder."""
    return _quotient(unit, GROUP_UNITS)


def batch_of(group: str) -> str:
    """Return the batch of a group: GROUPS_IN_BATCH groups with successive numbers."""
    return _quotient(group, GROUPS_IN_BATCH)


def _quotient(name: str, many: int) -> str:
    found = _NUMBER.search(name)
    return f"{int(found[1]) // many:05d}{found[2]}" if found else "others"


def receipt_uri(run_folder: str, unit: str) -> str:
    """Return the URI of the receipt of `unit` in the folder of a run."""
    return storage.join(run_folder, RECEIPTS, group_of(unit), f"{unit}.json")


def create_receipt(run_folder: str, receipt: Receipt) -> bool:
    """Record a finished unit, unless another attempt of this run has; return whether `receipt` is what counts.

    Call it after the part is in place.
    """
    uri = receipt_uri(run_folder, receipt.unit)
    exclusive.make_subfolder(uri.rsplit("/", 1)[0])
    return exclusive.create(uri, receipt.to_json(), make_folder=False)


def read_receipt(run_folder: str, unit: str) -> Receipt:
    """Return the receipt of `unit`. Raises ManifestError if it is damaged, FileNotFoundError if there is none."""
    return Receipt.from_json(storage.read_bytes(receipt_uri(run_folder, unit)))
