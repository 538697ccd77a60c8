"""The order of images: total, the same for one row as for a table, and every criterion has its reason."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curation.copies.representative import Rank, rank, rank_columns, why_it_represents
from manifests.format.schema import Stage, Status, schema

SCHEMA = pa.schema([schema(Stage.SCAN).field(name) for name in ("key", "status", "width", "height", "size")])
side = st.none() | st.integers(1, 3) | st.just(2**31 - 1)
rows = st.builds(
    dict,
    status=st.sampled_from([str(s) for s in Status]),
    width=side,
    height=side,
    size=st.none() | st.integers(0, 2),
)


@given(st.lists(rows, max_size=12))
def test_columns_are_the_ranks_of_the_rows(found):
    keyed = [{**row, "key": f"k{number}"} for number, row in enumerate(found)]
    columns = rank_columns(pa.Table.from_pylist(keyed, SCHEMA))
    assert tuple(columns) == Rank._fields
    ranks = [Rank(*values) for values in zip(*(c.to_pylist() for c in columns.values()), strict=True)]
    assert ranks == [rank(row) for row in keyed]
    assert len(set(ranks)) == len(ranks)


BEST = {"key": "b", "status": "ok", "width": 20, "height": 10, "size": 90}
WORSE = [
    ({"status": "truncated", "width": 400}, "it is complete, others are truncated"),
    ({"width": 10}, "it has most pixels"),
    ({"size": 80, "key": "a"}, "it has most bytes"),
    ({"key": "c"}, "its key comes first"),
]


def test_the_first_criterion_that_differs_decides():
    for change, reason in WORSE:
        other = {**BEST, **change}
        assert rank(BEST) < rank(other)
        assert why_it_represents(BEST, [other]) == reason
    everyone = [{**BEST, **change} for change, _ in WORSE]
    assert why_it_represents(BEST, everyone) == "its key comes first", "the closest of the others counts"
    assert why_it_represents(BEST, []) == "it is alone"
