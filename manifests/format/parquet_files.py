"""Reading Parquet files: one way for all, that fetches the footer and the chunks of columns that are read."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from manifests import storage
from manifests.range_reads import RangeFile

# A thread of Arrow that gives back bytes of a Python file while the interpreter ends aborts the process. So nothing
# is read ahead by threads (`pre_buffer`), small row groups are decoded without any, and bytes are not read as a file.
THREADS_FROM_BYTES = 8 << 20


class ParquetReader:
    """An open Parquet file. From an object store, the chunks of a row group are fetched together."""

    def __init__(self, raw: BinaryIO, parquet: pq.ParquetFile) -> None:
        self._raw, self._parquet = raw, parquet

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self._parquet.metadata.num_rows)

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return self._parquet.schema_arrow

    @property
    def group_rows(self) -> list[int]:
        """The number of rows of each row group."""
        metadata = self._parquet.metadata
        return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]

    def read_group(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a row group, with `columns` or all, in the order of the file."""
        self._hold(number, columns)
        return self._parquet.read_row_group(number, columns=_listed(columns), use_threads=self._is_large(number))

    def batches(self, columns: Sequence[str] | None = None, batch_rows: int = 16_384) -> Iterator[pa.RecordBatch]:
        """Yield all rows, in batches of at most `batch_rows` rows. One row group is in memory at a time."""
        for number in range(self._parquet.num_row_groups):
            self._hold(number, columns)
            yield from self._parquet.iter_batches(
                batch_rows, row_groups=[number], columns=_listed(columns), use_threads=self._is_large(number)
            )

    def _is_large(self, number: int) -> bool:
        return bool(self._parquet.metadata.row_group(number).total_byte_size >= THREADS_FROM_BYTES)

    def _hold(self, number: int, columns: Sequence[str] | None) -> None:
        if isinstance(self._raw, RangeFile):
            self._raw.hold(list(_chunks(self._parquet.metadata.row_group(number), columns)))


@contextlib.contextmanager
def open_parquet(uri: str, size_bytes: int | None = None) -> Iterator[ParquetReader]:
    """Open the Parquet file at `uri`. `size_bytes` saves a request where it is known.

    Raises FileNotFoundError, StorageUnavailable, and ArrowException, ValueError or OSError when it is not readable;
    reading raises them, too.
    """
    # pre_buffer would keep the chunks of all row groups in memory.
    with storage.open_indexed(uri, size_bytes) as raw, pq.ParquetFile(raw, pre_buffer=False) as parquet:
        yield ParquetReader(raw, parquet)


def table_of(data: bytes) -> pa.Table:
    """Return the rows of a small Parquet file. Raises ArrowException or OSError when it is not readable."""
    with pq.ParquetFile(pa.BufferReader(data), pre_buffer=False) as parquet:
        return parquet.read(use_threads=False)


def _listed(columns: Sequence[str] | None) -> list[str] | None:
    return None if columns is None else list(columns)


def _chunks(group: pq.RowGroupMetaData, columns: Sequence[str] | None) -> Iterator[tuple[int, int]]:
    """Yield where the chunks of `columns` begin and end: a dictionary, if there is one, comes before the values."""
    wanted = None if columns is None else set(columns)
    for chunk in map(group.column, range(group.num_columns)):
        if wanted is None or chunk.path_in_schema in wanted or chunk.path_in_schema.split(".", 1)[0] in wanted:
            start = min(chunk.dictionary_page_offset or chunk.data_page_offset, chunk.data_page_offset)
            yield start, start + chunk.total_compressed_size
