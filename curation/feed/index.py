"""Where the bytes of each row are: a file that is mapped into memory, so that all processes of a host share it.

It has the rows that are fed, in the order of the manifest, with only what reading them needs.

rows.arrow    one row each: key, where the bytes are, chosen columns
files.arrow   the URIs of the files; rows have their numbers
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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
    def rows(self) -> pa.Table:
        """All rows, with the numbers of files counted over all manifests."""
        counts = [len(each) for each in self._files]
        firsts = np.cumsum([0, *counts[:-1]]).tolist()
        numbered = [_moved_files(table, first) for table, first in zip(self.tables, firsts, strict=True)]
        return pa.concat_tables(numbered, promote_options="default")

    @functools.cached_property
    def files(self) -> pa.ChunkedArray:
        """The URIs of all files."""
        return pa.chunked_array([c for each in self._files for c in each.chunks], pa.string())

    @functools.cached_property
    def _files(self) -> list[pa.ChunkedArray]:
        return [_mapped(Path(folder, FILES)).column("uri") for folder in self.folders]

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def __getstate__(self) -> dict[str, Any]:
        return {"folders": self.folders}  # maps of files belong to a process

    def __setstate__(self, state: dict[str, Any]) -> None:
        object.__setattr__(self, "folders", state["folders"])

    def take(self, rows: NDArray[np.int64]) -> dict[str, list[Any]]:
        """Return the columns of these rows, name → values. Those that end with `_file` are URIs."""
        table = self.rows.take(pa.array(rows))
        found = {name: table.column(name).to_pylist() for name in table.column_names}
        for name in [n for n in found if n.endswith("_file")]:
            found[name] = self.files.take(table.column(name)).to_pylist()
        return found


def _mapped(path: Path) -> pa.Table:
    with pa.ipc.open_file(pa.memory_map(str(path))) as reader:
        return reader.read_all()


def _moved_files(table: pa.Table, first: int) -> pa.Table:
    """Return `table` with the numbers of its files counted from `first`."""
    for place, name in enumerate(table.column_names):
        if first and name.endswith("_file"):
            table = table.set_column(place, name, pc.add(table.column(name), pa.scalar(first, pa.int32())))
    return table


def member_range(row: Mapping[str, Any], member: str) -> ByteRange | None:
    """Return where a member of an index's row is, or None if it has none."""
    if row.get(f"{member}_size") is None:
        return None
    return ByteRange(uri=row[f"{member}_file"], offset=row[f"{member}_offset"], size_bytes=row[f"{member}_size"])
