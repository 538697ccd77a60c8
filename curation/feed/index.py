"""Where the bytes of each row are: a file that is mapped into memory, so that all processes of a host share it.

It has the rows that are fed, in the order of the manifest, with only what reading them needs.

rows.arrow    one row each: key, where the bytes are, chosen columns
files.arrow   the URIs of the files; rows have their numbers
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.sources.byte_ranges import ByteRange

MEMBERS = ("image", "json", "caption")
WEIGHT = "weight of the row"  # no column of a manifest is named so
ROWS, FILES = "rows.arrow", "files.arrow"


@dataclasses.dataclass(frozen=True)
class Index:
    """The rows of one or more manifests, one after the other. It is opened where it is used, also after pickling."""

    folders: tuple[str, ...]

    @functools.cached_property
    def tables(self) -> list[pa.Table]:
        """The rows of each manifest, mapped into memory."""
        return [_mapped(Path(folder, ROWS)) for folder in self.folders]

    @functools.cached_property
    def _batches(self) -> list[tuple[pa.RecordBatch, pa.ChunkedArray]]:
        """All batches of rows, each with the URIs of its files."""
        pairs = zip(self.tables, self._uris, strict=True)
        return [(batch, uris) for table, uris in pairs for batch in table.to_batches()]

    @functools.cached_property
    def _uris(self) -> list[pa.ChunkedArray]:
        """The URIs of the files of each manifest."""
        return [_mapped(Path(folder, FILES)).column("uri") for folder in self.folders]

    @functools.cached_property
    def _ends(self) -> NDArray[np.int64]:
        """The number of the first row after each batch."""
        return np.cumsum([batch.num_rows for batch, _ in self._batches], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getstate__(self) -> dict[str, Any]:
        return {"folders": self.folders}  # maps of files belong to a process

    def __setstate__(self, state: dict[str, Any]) -> None:
        object.__setattr__(self, "folders", state["folders"])

    def uris(self) -> list[str]:
        """Return the URIs of all files."""
        return [uri for each in self._uris for uri in each.to_pylist()]

    def has_nulls(self, column: str) -> bool:
        """Return whether some row has no value in a column."""
        return any(table.column(column).null_count for table in self.tables)

    def take(self, rows: NDArray[np.int64], columns: Sequence[str] | None = None) -> dict[str, list[Any]]:
        """Return columns of these rows, name → values in their order; all columns by default.

        Those that end with `_file` are URIs. Batches are asked one by one: Arrow would join all of a column first.
        """
        numbers = np.searchsorted(self._ends, rows, side="right")
        names = self.tables[0].column_names if columns is None else columns
        found: dict[str, list[Any]] = {name: [None] * len(rows) for name in names}
        for number in np.unique(numbers):
            batch, uris = self._batches[number]
            places = np.flatnonzero(numbers == number)
            inside = _as_arrow(rows[places] - (self._ends[number] - batch.num_rows))
            for name, values in found.items():
                taken = batch.column(name).take(inside)
                taken = uris.take(taken) if name.endswith("_file") else taken
                for place, value in zip(places.tolist(), taken.to_pylist(), strict=True):
                    values[place] = value
        return found


def _as_arrow(numbers: NDArray[np.int64]) -> pa.Array:
    """Return int64 numbers as Arrow has them. `pa.array` would import pandas, which takes each worker 0.4 s."""
    buffer = pa.py_buffer(np.ascontiguousarray(numbers, np.int64))
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, buffer])


def _mapped(path: Path) -> pa.Table:
    with pa.ipc.open_file(pa.memory_map(str(path))) as reader:
        return reader.read_all()


def member_range(row: Mapping[str, Any], member: str) -> ByteRange | None:
    """Return where a member of an index's row is, or None if it has none."""
    if row.get(f"{member}_size") is None:
        return None
    return ByteRange(uri=row[f"{member}_file"], offset=row[f"{member}_offset"], size_bytes=row[f"{member}_size"])
