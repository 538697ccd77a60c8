"""Regrouped rows are the same rows in the same order, in tables of the requested length."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from manifests.format.regroup import regroup


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 7))
def test_only_the_last_table_is_shorter_and_no_row_is_lost(sizes, rows):
    numbers = iter(range(sum(sizes)))
    tables = [pa.table({"n": pa.array([next(numbers) for _ in range(size)], pa.int64())}) for size in sizes]
    found = list(regroup(tables, rows))
    assert [n for table in found for n in table.column("n").to_pylist()] == list(range(sum(sizes)))
    assert all(table.num_rows == rows for table in found[:-1])
    assert all(table.num_rows <= rows for table in found[-1:])
