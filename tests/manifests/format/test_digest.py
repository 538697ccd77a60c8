"""The digest depends on the set of rows: only their values change it, and every change of a value does."""

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from manifests.format.digest import combine, digest, no_rows, row_lanes
from manifests.format.roots import relative_sources

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("caption", pa.string()),
        ("pdq", pa.binary(2)),
        ("raw", pa.binary()),
        ("size", pa.int64()),
        ("width", pa.int32()),
        ("score", pa.float64()),
        ("keep", pa.bool_()),
    ]
)
texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=6)
values = {
    "key": texts,
    "caption": texts,
    "pdq": st.binary(min_size=2, max_size=2),
    "raw": st.binary(max_size=4),
    "size": st.integers(-(2**63), 2**63 - 1),
    "width": st.integers(-(2**31), 2**31 - 1),
    "score": st.floats(allow_nan=False),
    "keep": st.booleans(),
}
rows = st.fixed_dictionaries({name: st.none() | kind for name, kind in values.items()})
tables = st.lists(rows, max_size=8)


def table(rows, schema=SCHEMA):
    return pa.Table.from_pylist(rows, schema)


def lanes(rows, roots=()):
    return row_lanes(table(rows), roots).tolist()


def digest_of(table, roots=()):
    return digest(row_lanes(table, roots), table.num_rows, table.schema)


@given(tables, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(rows, random):
    shuffled = random.sample(rows, len(rows))
    assert lanes(shuffled) == lanes(rows)


@given(tables, st.lists(st.integers(0, 8), max_size=4))
def test_lanes_of_parts_add_up(rows, cuts):
    edges = [0, *sorted(min(c, len(rows)) for c in cuts), len(rows)]
    parts = [row_lanes(table(rows[a:b])) for a, b in itertools.pairwise(edges)]
    assert combine(parts).tolist() == lanes(rows)
    chunked = pa.concat_tables([table(rows[a:b]) for a, b in itertools.pairwise(edges)])
    assert row_lanes(chunked).tolist() == lanes(rows)
    assert combine(row_lanes(b) for b in chunked.to_batches()).tolist() == lanes(rows)


@given(tables, st.permutations(SCHEMA.names))
def test_order_of_columns_does_not_matter(rows, names):
    assert digest_of(table(rows).select(names)) == digest_of(table(rows))


@pytest.mark.slow
@given(tables.filter(bool), st.data())
def test_any_changed_value_is_seen(rows, data):
    place = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(sorted(values)))
    value = data.draw(st.none() | values[name])
    assume(value != rows[place][name])
    changed = [*rows[:place], {**rows[place], name: value}, *rows[place + 1 :]]
    assert lanes(changed) != lanes(rows)


@given(tables.filter(bool), st.data())
def test_a_doubled_and_a_lost_row_are_seen(rows, data):
    place = data.draw(st.integers(0, len(rows) - 1))
    assert lanes([*rows, rows[place]]) != lanes(rows)
    assert lanes(rows[:place] + rows[place + 1 :]) != lanes(rows)


def test_doubling_a_row_four_times_over_is_seen():
    row = {"key": "k"}
    assert len({digest_of(table([row] * n)) for n in (0, 1, 2, 4, 8, 256)}) == 6


@given(texts.filter(bool), texts)
def test_a_character_moved_to_the_next_column_is_seen(first, second):
    moved = {"key": first[:-1], "caption": first[-1] + second}
    assert lanes([moved]) != lanes([{"key": first, "caption": second}])


@pytest.mark.parametrize("name", sorted(values))
def test_null_is_not_the_empty_value(name):
    empty = {"pdq": b"\0\0", "raw": b"", "size": 0, "width": 0, "score": 0.0, "keep": False}.get(name, "")
    assert lanes([{name: None}]) != lanes([{name: empty}])


def test_signs_are_seen_and_zero_has_none():
    assert lanes([{"size": 1}]) != lanes([{"size": -1}])
    assert lanes([{"score": 0.5}]) != lanes([{"score": -0.5}])
    assert lanes([{"score": -0.0}]) == lanes([{"score": 0.0}])
    assert lanes([{"score": math.nextafter(0.5, 1)}]) != lanes([{"score": 0.5}])
    assert lanes([{"score": math.nan}]) == lanes([{"score": math.nan}]) != lanes([{"score": math.inf}])


def test_values_in_different_rows_do_not_cancel():
    crossed = [{"key": "a", "caption": "y"}, {"key": "b", "caption": "x"}]
    assert lanes(crossed) != lanes([{"key": "a", "caption": "x"}, {"key": "b", "caption": "y"}])


@given(st.lists(texts, max_size=5))
def test_sources_are_hashed_relative_to_their_root(names):
    def at(root):
        return pa.table({"source": pa.array([f"{root}/{name}" for name in names], pa.string())})

    here, there = at("file:///a"), at("s3://b")
    assert digest_of(here, ["file:///a"]) == digest_of(there, ["s3://b/"])
    if names:
        assert digest_of(here, []) != digest_of(there, [])


def test_the_longest_root_is_used_and_a_root_ends_at_a_slash():
    sources = pa.array(["file:///a/b/0.tar", "file:///a/0.tar", "file:///ab/0.tar", None])
    found = relative_sources(sources, ["file:///a", "file:///a/b/"])
    assert found.to_pylist() == ["0.tar", "0.tar", "file:///ab/0.tar", None]


def test_only_the_source_is_relative():
    moved = pa.table({"url": ["file:///a/0.tar"]})
    assert row_lanes(moved, ["file:///a"]).tolist() == row_lanes(moved).tolist()


def test_type_and_name_of_a_column_change_the_digest():
    wide, narrow = (pa.table({"n": pa.array([1], kind)}) for kind in (pa.int64(), pa.int32()))
    assert row_lanes(wide).tolist() == row_lanes(narrow).tolist()
    assert digest_of(wide) != digest_of(narrow) != digest_of(narrow.rename_columns(["m"]))


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.int32()), pa.struct([("a", pa.int32())]), pa.map_(pa.string(), pa.int8())]
)
def test_nested_columns_are_refused_by_name(kind):
    with pytest.raises(TypeError, match="column odd: a manifest has numbers and texts"):
        row_lanes(pa.table({"odd": pa.array([None], kind)}))


def test_no_rows():
    empty = SCHEMA.empty_table()
    assert row_lanes(empty).tolist() == no_rows().tolist() == combine([]).tolist() == [0, 0, 0, 0]
    assert digest_of(empty) != digest(no_rows(), 0, pa.schema([]))


def test_lanes_wrap_around_instead_of_overflowing():
    most = np.full(4, 2**64 - 1, np.uint64)
    assert combine([most, np.array([1, 2, 3, 4], np.uint64)]).tolist() == [0, 1, 2, 3]


def test_the_definition_has_not_changed():
    golden = pa.table(
        {
            "key": pa.array(["a", "é", "c"]),
            "source": pa.array(["file:///data/0.tar", "file:///data/0.tar", "s3://other/1.tar"]),
            "pdq": pa.array([b"\x01" * 4, None, b"\xff" * 4], pa.binary(4)),
            "size": pa.array([1, None, -3], pa.int64()),
            "orientation": pa.array([1, 8, None], pa.int8()),
            "text_score": pa.array([0.5, -0.0, None], pa.float64()),
            "keep": pa.array([True, False, None]),
            "caption": pa.array(["", None, "naïve"]),
        }
    )
    roots = ["file:///data", "s3://other"]
    assert row_lanes(golden, roots).tolist() == GOLDEN_LANES
    assert digest_of(golden, roots) == GOLDEN_DIGEST


# Written down from the first version of the format. They change with FORMAT_VERSION alone.
GOLDEN_LANES = [442532724258209229, 15226238944597729650, 15975095565565458233, 17555126911012191978]
GOLDEN_DIGEST = "5861787444e01f4ec12fab02deaf39c20849a7eed54b478849c8aaecbb38f5e1"
