"""Rows of the table next to a tar are found by the stems of its samples, for all types of keys."""

import io
import uuid
from decimal import Decimal

import duckdb
import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.sources.keys import declared_key
from curation.sources.sibling_tables import ENCODING, NO_TABLE, sibling_states, sibling_table, sibling_uri
from manifests import storage
from manifests.errors import BrokenSource
from manifests.exchange.comparable_values import ValueKind, column_reader, parse_value, parse_value_sql

STEMS = [f"{n:09d}" for n in range(3)]
UUIDS = [uuid.UUID(int=2**127 + n) for n in range(3)]
UUID_COLUMN = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([u.bytes for u in UUIDS], pa.binary(16)))


def write_table(uri, table, **options):
    buffer = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), buffer, **options)
    storage.write_bytes(uri, buffer.getvalue())


def beside(columns, stems, **options):
    """Write a table with these columns, and return it as read for a tar with these stems."""
    write_table("memory://siblings/0.parquet", columns, **options)
    return sibling_table("memory://siblings/0.tar", stems)


def matches(keys, stems):
    """Return stem → number of the row that it matches, None without one."""
    table = beside({"key": keys, "uid": [f"row {n}" for n in range(len(keys))]}, stems)
    found = {stem: table.find(stem) for stem in stems}
    return {stem: None if row is None else int(row["uid"].removeprefix("row ")) for stem, row in found.items()}


@pytest.fixture(params=["file", "memory"])
def folder(request, tmp_path):
    if request.param == "file":
        return f"file://{tmp_path}"
    storage.remove("memory://siblings")
    return "memory://siblings"


# --- the file ------------------------------------------------------------------------------------


def test_the_table_of_a_tar_is_next_to_it():
    assert sibling_uri("s3://b/d.e/00000.tar") == "s3://b/d.e/00000.parquet"


def test_rows_have_the_columns_that_describe_samples(folder):
    write_table(
        f"{folder}/00000.parquet",
        {
            "key": ["000000000", "000000001"],
            "url": ["http://x/0", None],
            "caption": ["naïve", ""],
            "uid": ["u0", "u1"],
            "sha256": ["not", "taken"],
            "nested": [[1], [2]],
        },
    )
    table = sibling_table(f"{folder}/00000.tar", ["000000000", "d/000000001", "2"])
    assert table.find("000000000") == {"url": "http://x/0", "caption": "naïve", "uid": "u0"}
    assert table.find("d/000000001") == {"url": None, "caption": "", "uid": "u1"}
    assert table.find("2") is None
    assert table.warning() is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", ""),
        (b"PAR1", ""),
        (b"not parquet" * 50, ""),
        (None, ""),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 9\n", "git lfs pull"),
    ],
)
def test_a_table_that_cannot_be_read_names_the_tar(folder, content, why):
    if content is not None:
        storage.write_bytes(f"{folder}/00000.parquet", content)
    message = rf"00000\.tar: the table next to it, .*00000\.parquet, is not readable \(.*{why}"
    with pytest.raises(BrokenSource, match=message) as error:
        sibling_table(f"{folder}/00000.tar", STEMS)
    assert error.value.source == f"{folder}/00000.tar"


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_table_is_read_or_refused(data):
    uri = "memory://damaged/0.parquet"
    write_table(uri, {"key": [f"k{n}" for n in range(20)], "caption": ["naïve " * 3] * 20})
    damaged = bytearray(storage.read_bytes(uri))
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=4)):
        damaged[place] ^= data.draw(st.integers(1, 255))
    storage.write_bytes(uri, bytes(damaged))
    try:
        found = sibling_table("memory://damaged/0.tar", ["k1"])
    except BrokenSource as e:
        assert e.source == "memory://damaged/0.tar"
    else:
        row = found.find("k1")
        assert row is None or all(isinstance(each, str | None) for each in row.values())


def test_another_table_of_that_name_has_no_rows():
    table = beside({"uid": ["u0"], "url": ["http://x"]}, ["u0"])
    assert table.find("u0") is None
    assert table.warning() is None


def test_a_table_of_keys_alone():
    table = beside({"key": ["a"]}, ["a"])
    assert table.find("a") == {}
    assert table.warning() is None


def test_states_of_the_tables_change_with_them(folder):
    tars = [f"{folder}/{n}.tar" for n in range(3)] + ["https://nobody.invalid/0.tar"]
    for uri in tars[:3]:
        storage.write_bytes(uri, b"")
    assert sibling_states(tars) == {}
    write_table(f"{folder}/0.parquet", {"key": ["a"]})
    write_table(f"{folder}/2.parquet", {"key": ["a"]})
    before = sibling_states(tars)
    assert set(before) == {tars[0], tars[2]}
    assert sibling_states(tars) == before
    write_table(f"{folder}/2.parquet", {"key": ["a", "longer"]})
    after = sibling_states(tars)
    assert after[tars[0]] == before[tars[0]]
    assert after[tars[2]] != before[tars[2]]


# --- keys ----------------------------------------------------------------------------------------

NUMBERS = {
    **{f"{sign}int{bits}": getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "decimal": pa.decimal128(20, 4),
    "narrow decimal": pa.decimal32(9, 2),
    "wide decimal": pa.decimal256(70, 10),
    "dictionary": pa.dictionary(pa.int32(), pa.int64()),
}
TEXTS = {
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "binary_view": pa.binary_view(),
    "fixed_size_binary": pa.binary(9),
    "dictionary": pa.dictionary(pa.int8(), pa.string()),
    "dictionary of bytes": pa.dictionary(pa.int8(), pa.binary()),
}


@pytest.mark.parametrize("column_type", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("with_null", [False, True])
def test_numbers_match_digits_by_value(column_type, with_null):
    keys = pa.array([Decimal(n) for n in range(3)], pa.decimal128(9, 0)).cast(pa.int8()).cast(pa.float64())
    keys = keys.cast(pa.int64()).dictionary_encode() if pa.types.is_dictionary(column_type) else keys
    keys = keys.cast(column_type)
    keys = pa.concat_arrays([keys, pa.nulls(1, column_type)]) if with_null else keys
    assert matches(keys, STEMS) == {STEMS[n]: n for n in range(3)}


@pytest.mark.parametrize("column_type", TEXTS.values(), ids=TEXTS)
def test_text_matches_as_it_is_written(column_type):
    keys = pa.array([stem.encode() for stem in STEMS])
    keys = keys if "binary" in str(column_type) else keys.cast(pa.string())
    keys = keys.dictionary_encode() if pa.types.is_dictionary(column_type) else keys
    assert matches(keys.cast(column_type), [*STEMS, "1"]) == {**{STEMS[n]: n for n in range(3)}, "1": None}


@pytest.mark.parametrize("form", [str, lambda u: u.hex, lambda u: str(u).upper(), lambda u: u.hex.upper()])
@pytest.mark.parametrize("column", [UUID_COLUMN, UUID_COLUMN.storage, UUID_COLUMN.storage.cast(pa.binary())])
def test_uuids_match_with_and_without_dashes(form, column):
    stems = [form(u) for u in UUIDS]
    assert matches(column, stems) == {stems[n]: n for n in range(3)}


@pytest.mark.parametrize(
    ("keys", "stems", "found"),
    [
        ([1], ["1", "01"], {"1": 0, "01": None}),  # written alike wins
        ([1], ["01", "001"], {"01": None, "001": None}),
        ([1, 1], ["01"], {"01": None}),  # two rows that differ
        (["1", "1"], ["1"], {"1": None}),
        ([1.0, float("nan"), None], ["01", "nan"], {"01": 0, "nan": None}),
        ([1.5], ["1", "1.5"], {"1": None, "1.5": 0}),
        ([2.0**53], [f"{2**53}"], {f"{2**53}": None}),  # or 2**53 + 1
        (pa.array([2**24], pa.float32()), [f"{2**24}"], {f"{2**24}": None}),
        ([2.0**53 - 1], [f"0{2**53 - 1}"], {f"0{2**53 - 1}": 0}),
        (pa.array([2**64 - 1], pa.uint64()), [f"0{2**64 - 1}"], {f"0{2**64 - 1}": 0}),
        ([-1, 0], ["-1", "-01", "000"], {"-1": 0, "-01": None, "000": 1}),
        ([-0.0], ["000"], {"000": 0}),
        ([Decimal("1.00"), Decimal("2.50")], ["1", "2", "2.50"], {"1": 0, "2": None, "2.50": 1}),
        ([1], ["00a1", "x/001"], {"00a1": None, "x/001": 0}),
        (["1"], ["01"], {"01": None}),
        ([str(UUIDS[0])], [UUIDS[0].hex], {UUIDS[0].hex: None}),
        ([True, False], ["True", "true", "1", "0"], dict.fromkeys(["True", "true", "1", "0"])),
        (pa.array([1, 0], pa.bool8()), ["1", "0"], {"1": None, "0": None}),
        ([[1], [2]], ["1", "2"], {"1": None, "2": None}),
        ([{"a": 1}, {"a": 2}], ["1", "2"], {"1": None, "2": None}),
        (pa.array([1, 2], pa.timestamp("s")), ["1", "2"], {"1": None, "2": None}),
        (pa.nulls(2), ["None", "1"], {"None": None, "1": None}),
        ([b"\xff\xfe", b"ok"], ["ok", "\udcff\udcfe"], {"ok": 1, "\udcff\udcfe": None}),
        ([b"\x00" * 15 + b"\x01"], [str(uuid.UUID(int=1))], {str(uuid.UUID(int=1)): 0}),
        ([bytes(range(200, 232))], [bytes(range(200, 232)).hex()], {bytes(range(200, 232)).hex(): 0}),
    ],
)
def test_what_matches_and_what_does_not(keys, stems, found):
    keys = keys if isinstance(keys, pa.Array) else pa.array(keys)
    assert matches(keys, stems) == found


def test_rows_that_are_the_same_twice_are_one():
    table = beside({"key": [1, 1], "caption": ["c", "c"]}, ["01"])
    assert table.find("01") == {"caption": "c"}


def test_files_of_other_writers(tmp_path):
    uri = f"file://{tmp_path}/0.parquet"
    frame = pandas.DataFrame({"key": [0, 1, None], "caption": ["c0", "c1", None], "uid": [7, None, None]})
    frame.to_parquet(tmp_path / "pandas.parquet")
    frame.astype({"key": "Int64"}).set_index("key").to_parquet(tmp_path / "index.parquet")
    frame.astype({"key": "category"}).to_parquet(tmp_path / "category.parquet")
    polars.DataFrame({"key": [0, 1], "caption": [b"c0", b"c1"], "uid": [7, None]}).write_parquet(
        tmp_path / "polars.parquet"
    )
    polars.DataFrame({"key": STEMS[:2], "caption": ["c0", "c1"], "uid": [7.0, None]}).with_columns(
        polars.col("key").cast(polars.Categorical)
    ).write_parquet(tmp_path / "categorical.parquet")
    rows = "(VALUES (0::HUGEINT, 'c0'::BLOB, 7::UTINYINT), (1, 'c1'::BLOB, NULL)) AS t(key, caption, uid)"
    duckdb.sql(f"COPY (SELECT * FROM {rows}) TO '{tmp_path}/duckdb.parquet'")
    files = sorted(tmp_path.iterdir())
    assert len(files) == 6
    for file in files:
        storage.write_bytes(uri, file.read_bytes())
        table = sibling_table(f"file://{tmp_path}/0.tar", STEMS)
        assert table.find(STEMS[0]) == {"caption": "c0", "uid": 7}, file
        assert table.find(STEMS[1]) == {"caption": "c1", "uid": None}, file
        assert table.find(STEMS[2]) is None
        assert table.warning() is None


# --- laws of matching ----------------------------------------------------------------------------

digits = st.builds("{:0{}d}".format, st.integers(0, 40), st.integers(1, 4))
ids = st.lists(st.integers(0, 40), max_size=12)


@given(ids, st.sets(digits, max_size=12), st.randoms(use_true_random=False), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_matches_do_not_depend_on_order_or_chunks_and_are_never_two(numbers, stems, random, rows):
    captions = [f"of {n}" for n in range(len(numbers))]
    table = pa.table({"key": pa.array(numbers, pa.int64()), "caption": pa.array(captions, pa.string())})
    order = random.sample(range(len(numbers)), len(numbers))
    shuffled = pa.table({n: table.column(n).take(pa.array(order, pa.int64())) for n in table.column_names})
    one, other = beside(table, stems), beside(shuffled, sorted(stems), row_group_size=rows)
    found = {stem: one.find(stem) for stem in stems}
    assert {stem: other.find(stem) for stem in reversed(list(stems))} == found
    matched = [row["caption"] for row in found.values() if row is not None]
    assert len(set(matched)) == len(matched)
    for stem, row in found.items():
        alike = [n for n, number in enumerate(numbers) if number == int(stem)]
        is_exact = stem == str(int(stem))
        is_only = sum(int(each) == int(stem) for each in stems) == 1
        expected = captions[alike[0]] if len(alike) == 1 and (is_exact or is_only) else None
        assert (row or {"caption": None})["caption"] == expected


@given(st.sets(st.integers(0, 99), max_size=8), st.sets(st.integers(0, 99), max_size=8))
@settings(max_examples=40, deadline=None)
def test_every_encoding_of_ids_matches_the_same(numbers, others):
    stems, numbers = [f"{n:09d}" for n in sorted(numbers | others)], sorted(numbers)
    expected = matches(pa.array([f"{n:09d}" for n in numbers], pa.string()), stems)
    for column_type in NUMBERS.values():
        keys = pa.array(numbers, pa.int64())
        keys = keys.dictionary_encode() if pa.types.is_dictionary(column_type) else keys.cast(pa.int8())
        assert matches(keys.cast(column_type), stems) == expected, column_type


@given(st.sets(st.uuids(), max_size=6), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_encoding_of_uuids_matches_the_same(drawn, is_upper, has_dashes):
    drawn = sorted(drawn)
    stems = [str(u) if has_dashes else u.hex for u in drawn]
    stems = [stem.upper() if is_upper else stem for stem in stems]
    extension = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([u.bytes for u in drawn], pa.binary(16)))
    for keys in (extension, pa.array(stems, pa.string()), pa.array([s.encode() for s in stems], pa.binary())):
        assert matches(keys, stems) == {stem: n for n, stem in enumerate(stems)}


spellings = st.one_of(
    digits,
    st.uuids().map(str),
    st.uuids().map(lambda u: u.hex.upper()),
    st.from_regex(r"[0-9A-Fa-f-]{31,37}", fullmatch=True),
    st.text(max_size=40).filter(lambda text: "\0" not in text),
)


@pytest.mark.slow
@given(st.lists(spellings, max_size=20), st.sampled_from([ValueKind.INTEGER, ValueKind.UUID]))
@settings(max_examples=80, deadline=None)
def test_duckdb_and_python_see_the_same_values_in_texts(texts, kind):
    with duckdb.connect() as db:
        db.register("given", pa.table({"n": range(len(texts)), "text": pa.array(texts, pa.string())}))
        found = db.sql(f"SELECT {parse_value_sql('text', kind)} FROM given ORDER BY n").fetchall()
    assert [value for (value,) in found] == [parse_value(text, kind) for text in texts]


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_integers_are_read_as_their_decimal_digits(numbers):
    array = pa.array(numbers, pa.int64())
    expected = [None if n is None else str(n) for n in numbers]
    assert column_reader(array.type, [array]).texts(array).to_pylist() == expected
    wide = array.cast(pa.decimal128(30, 5))
    assert column_reader(wide.type, [wide]).texts(wide).to_pylist() == expected


@given(st.lists(st.floats()), st.sampled_from(["f2", "f4", "f8"]))
def test_floats_are_integers_where_they_are_exact(numbers, kind):
    with np.errstate(over="ignore"):
        array = pa.array(np.array(numbers, kind))
    bits = {"f2": 11, "f4": 24, "f8": 53}[kind]
    read = column_reader(array.type, [array]).texts(array).to_pylist()
    for number, text in zip(array.cast(pa.float64()).to_pylist(), read, strict=True):
        if not np.isfinite(number):
            assert text is None
        elif number == int(number) and abs(number) < 2**bits:
            assert text == str(int(number))
        else:
            assert parse_value(text.lstrip("-"), ValueKind.INTEGER) is None


# --- contents of rows -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "declared"),
    [
        (["a", ""], ["a", ""]),
        ([7, -8], [7, -8]),
        ([7.0, None], [7, None]),
        ([7.0, float("nan")], [7, None]),
        ([7.5, float("inf")], [None, None]),
        ([2.0**60, 1e300], [None, None]),
        ([Decimal("7.0"), Decimal("7.5")], [7, None]),
        ([b"u0", b"u1"], ["u0", "u1"]),
        (UUID_COLUMN.slice(0, 2), [str(UUIDS[0]), str(UUIDS[1])]),
        (UUID_COLUMN.storage.slice(0, 2), [str(UUIDS[0]), str(UUIDS[1])]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array(["a", None], pa.string_view()), ["a", None]),
        ([True, False], [None, None]),
        ([[1], [2]], [None, None]),
        ([{"a": 1}, None], [None, None]),
        (pa.array([1, 2], pa.date32()), [None, None]),
        (pa.nulls(2), [None, None]),
        ([b"\xff", b"ok"], [None, "ok"]),
    ],
)
@pytest.mark.parametrize("name", ["uid", "uuid"])
def test_uids_of_every_type(column, declared, name):
    table = beside({"key": ["a", "b"], name: column}, ["a", "b"])
    found = [table.find(stem) for stem in ("a", "b")]
    assert found == [{name: declared[0]}, {name: declared[1]}]
    assert [type(row[name]) for row in found] == [type(each) for each in declared]
    assert [declared_key(row) is None for row in found] == [each in (None, "") for each in declared]


@pytest.mark.parametrize("name", ["url", "caption", "text", "TEXT"])
@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (["naïve", None], ["naïve", None]),
        (["naïve".encode(), b""], ["naïve", ""]),
        (pa.array(["naïve", None], pa.large_string()), ["naïve", None]),
        (pa.array([b"a", None]).cast(pa.binary_view()), ["a", None]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        ([b"caf\xe9", b"\xef\xbb\xbfa"], ["café", "a"]),
        ([1, 2], [None, None]),
        ([["a"], None], [None, None]),
    ],
)
def test_texts_of_every_type(name, column, texts):
    table = beside({"key": ["a", "b"], name: column}, ["a", "b"])
    assert [table.find(stem)[name] for stem in ("a", "b")] == texts
    assert [ENCODING in table.find(stem) for stem in ("a", "b")] == [texts[0] == "café", False]


def test_text_columns_that_are_not_utf8_are_decoded():
    broken = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 4], "i4")), pa.py_buffer(b"caf\xe9"))
    assert beside({"key": ["a"], "caption": broken}, ["a"]).find("a") == {"caption": "café", ENCODING: "Windows-1252"}


# --- the warning ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (pa.array(range(3, 10_003)), "0 of 10,000 rows matched on key: int64 against 000000001"),
        (pa.array([True, False]), "0 of 2 rows matched on key: bool against 000000001"),
        (pa.array([1, 1]), "0 of 2 rows matched on key: int64 against 000000001"),
        (pa.array(["1"]), "0 of 1 rows matched on key: string against 000000001"),
        (UUID_COLUMN, r"0 of 3 rows matched on key: extension<arrow\.uuid> against 000000001"),
        (pa.array([[1]]), "0 of 1 rows matched on key: list<.*> against 000000001"),
    ],
)
def test_a_table_that_matches_nothing_is_named(keys, what):
    rows = {"key": keys, "caption": [str(n) for n in range(len(keys))]}
    table = beside(rows, [STEMS[1]])
    assert table.warning() is None
    assert table.find(STEMS[1]) is None
    with pytest.raises(
        AssertionError, match=rf"^memory://siblings/0\.parquet: {what}; write the keys as in the tar$"
    ):
        raise AssertionError(table.warning())


def test_one_match_or_no_rows_give_no_warning():
    table = beside({"key": [1, 77]}, STEMS)
    assert [table.find(stem) is not None for stem in STEMS] == [False, True, False]
    assert table.warning() is None
    empty = beside({"key": pa.array([], pa.int64())}, STEMS)
    for each in (empty, NO_TABLE):
        assert each.find(STEMS[0]) is None
        assert each.warning() is None


def test_an_unprintable_stem_is_shown_with_escapes():
    table = beside({"key": [7]}, ["a\nb\udcff"])
    table.find("a\nb\udcff")
    assert r"'a\nb\udcff'" in table.warning()
