"""Rows in tables of equal length, so that what is written does not depend on the batches that they come in."""

from collections.abc import Iterable, Iterator

import pyarrow as pa


def regroup(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Yield the rows of `tables`, in order, in tables of `rows` rows; the last one may be shorter.

    Memory is bounded by one of the tables and `rows` rows.
    """
    pending: list[pa.Table] = []
    for each in tables:
        pending.append(each)
        if sum(table.num_rows for table in pending) < rows:
            continue
        joined = pa.concat_tables(pending).combine_chunks()
        complete = joined.num_rows - joined.num_rows % rows
        for first in range(0, complete, rows):
            yield joined.slice(first, rows)
        pending = [joined.slice(complete)] if complete < joined.num_rows else []
    if pending:
        yield pa.concat_tables(pending).combine_chunks()
