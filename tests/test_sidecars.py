"""What lies beside images, and one row for every sample whatever became of it."""

import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.images import DecodeLimits
from curation.records import ROWS_AT_ONCE, SCAN_SCHEMA, Measures, Origin, clean_text, measure, rows
from curation.sidecars import read_folder, sibling_states, sibling_table, sibling_uri, sidecar_member
from curation.tars import MAX_SIDECAR_BYTES, Problem, Sample, read_tar
from manifests import storage
from manifests.errors import BrokenSource
from manifests.schema import Status

LIMITS = DecodeLimits()


def picture(kind="PNG"):
    out = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 40, 90)).save(out, kind)
    return out.getvalue()


def on_image(data):
    return measure(data, LIMITS)


def scanned(members, table=None, max_image_bytes=1 << 20):
    """Return the rows of a tar of (name, bytes) pairs or ready TarInfo values."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member in members:
            header = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member[0])
            header.size = 0 if header is member else len(member[1])
            tar.addfile(header, None if header is member else io.BytesIO(member[1]))
    out.seek(0)
    contents = read_tar(out, source="s3://b/0.tar", max_image_bytes=max_image_bytes, on_image=on_image)
    batches = list(rows(contents.samples(), Origin(uri="s3://b/0.tar", name="0.tar", table=table or {})))
    assert len(contents) == sum(b.num_rows for b in batches)
    return pa.Table.from_batches(batches, SCAN_SCHEMA).to_pylist()


# --- the table beside a tar ----------------------------------------------------------------------


def write_table(uri, columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    storage.write_bytes(uri, buffer.getvalue())


@pytest.fixture(params=["file", "memory"])
def folder(request, tmp_path):
    if request.param == "file":
        return f"file://{tmp_path}"
    storage.remove("memory://siblings")
    return "memory://siblings"


def test_a_table_lies_beside_its_tar():
    assert sibling_uri("s3://b/d.e/00000.tar") == "s3://b/d.e/00000.parquet"


def test_the_table_beside_a_tar_tells_of_its_samples(folder):
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
    assert sibling_table(f"{folder}/00000.tar") == {
        "000000000": {"key": "000000000", "url": "http://x/0", "caption": "naïve", "uid": "u0"},
        "000000001": {"key": "000000001", "url": None, "caption": "", "uid": "u1"},
    }


def test_the_table_speaks_where_there_is_no_json():
    table = {
        "0": {"key": "0", "uid": "u0", "url": "http://table/0", "caption": "of the table"},
        "1": {"key": "1", "uid": "u1", "url": "http://table/1", "caption": "of the table"},
        "2": {"key": "2", "uid": "u2", "url": None, "caption": ""},
    }
    members = [
        ("0.jpg", picture("JPEG")),
        ("1.jpg", picture("JPEG")),
        ("1.json", b'{"uid": "own", "url": "http://json/1"}'),
        ("d/2.jpg", picture("JPEG")),
        ("2.txt", b"own caption"),
        ("3.jpg", picture("JPEG")),
    ]
    found = {r["member"]: (r["key"], r["url"], r["caption"]) for r in scanned(members, table)}
    assert found["0.jpg"] == ("u0", "http://table/0", "of the table")
    assert found["1.jpg"] == ("own", "http://json/1", None)
    assert found["d/2.jpg"] == ("u2", None, None)
    assert found["3.jpg"][1:] == (None, None)
    assert len(found["3.jpg"][0]) == 32


def test_a_json_that_cannot_be_read_leaves_the_word_to_the_table():
    (row,) = scanned([("0.jpg", picture()), ("0.json", b"{")], {"0": {"uid": "u0", "url": "http://table/0"}})
    assert (row["key"], row["url"], row["warnings"]) == ("u0", "http://table/0", "json sidecar is not valid JSON")


def test_a_caption_of_its_own_comes_first():
    (row,) = scanned([("0.jpg", picture()), ("0.txt", b"own")], {"0": {"caption": "of the table"}})
    assert row["caption"] == "own"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet" * 50, None])
def test_a_table_that_cannot_be_read_names_the_tar(folder, content):
    if content is not None:
        storage.write_bytes(f"{folder}/00000.parquet", content)
    with pytest.raises(
        BrokenSource, match=r"00000\.tar: the table beside it, .*00000\.parquet, is not readable"
    ) as error:
        sibling_table(f"{folder}/00000.tar")
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
        found = sibling_table("memory://damaged/0.tar")
    except BrokenSource as e:
        assert e.source == "memory://damaged/0.tar"
    else:
        assert isinstance(found, dict)


def test_another_table_of_that_name_tells_nothing(folder):
    write_table(f"{folder}/00000.parquet", {"uid": ["u0"], "url": ["http://x"]})
    assert sibling_table(f"{folder}/00000.tar") == {}


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


# --- loose images --------------------------------------------------------------------------------


def test_loose_images_with_their_sidecars(folder):
    files = {
        "a.jpg": picture("JPEG"),
        "a.json": b'{"uid": "ua", "url": "http://x/a"}',
        "a.txt": "naïve".encode(),
        "sub/b.c.png": picture(),
        "sub/b.c.json": b'["no object"]',
        "lonely.webp": picture("WEBP"),
        "large.png": picture(),
        "large.txt": b"x" * (MAX_SIDECAR_BYTES + 1),
    }
    for name, data in files.items():
        storage.write_bytes(f"{folder}/{name}", data)
    names = ["a.jpg", "large.png", "lonely.webp", "sub/b.c.png"]
    found = {s.member: s for s in read_folder(f"{folder}/", names, 1 << 20, on_image)}
    assert list(found) == names
    a, b = found["a.jpg"], found["sub/b.c.png"]
    assert (a.stem, a.offset, a.size, a.problem) == ("a", 0, len(files["a.jpg"]), None)
    assert (a.json, a.caption) == ({"uid": "ua", "url": "http://x/a"}, "naïve")
    assert (a.json_offset, a.json_size, a.caption_offset, a.caption_size) == (0, len(files["a.json"]), 0, 6)
    assert (b.stem, b.json, b.facts, b.caption_offset) == (
        "sub/b.c",
        None,
        ("json sidecar is not a JSON object",),
        None,
    )
    assert (found["large.png"].caption, found["large.png"].caption_size) == (None, None)
    assert found["lonely.webp"].json_offset is found["lonely.webp"].caption_offset is None
    table = pa.Table.from_batches(
        list(rows(found.values(), Origin(uri=f"{folder}/", name="", table={}))), SCAN_SCHEMA
    )
    assert table.column("status").to_pylist() == ["ok"] * 4
    assert table.column("source").to_pylist() == [f"{folder}/"] * 4
    assert len(set(table.column("key").to_pylist())) == 4
    for row in table.to_pylist():
        assert sidecar_member(row["member"], "txt") == row["member"].rsplit(".", 1)[0] + ".txt"


def test_a_folder_called_like_a_sidecar_is_none(tmp_path):
    (tmp_path / "a.png").write_bytes(picture())
    (tmp_path / "a.txt").mkdir()
    (sample,) = read_folder(f"file://{tmp_path}/", ["a.png"], 1 << 20, on_image)
    assert sample.caption is None


def test_large_loose_images_are_not_decoded(folder):
    storage.write_bytes(f"{folder}/a.png", picture())
    (sample,) = read_folder(f"{folder}/", ["a.png"], 10, on_image)
    assert (sample.problem, sample.result, sample.size) == (Problem.TOO_LARGE, None, len(picture()))


# --- one row for each sample ---------------------------------------------------------------------


def special(name, kind):
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, "a.jpg"
    return header


def test_every_kind_of_problem_is_a_row():
    found = scanned(
        [
            ("ok.jpg", picture("JPEG")),
            ("bad.jpg", b"\xff\xd8\xff\xe0 this is no picture"),
            ("empty.jpg", b""),
            special("soft.jpg", tarfile.SYMTYPE),
            special("hard.jpg", tarfile.LNKTYPE),
            ("lonely.json", b'{"uid": "u", "url": "http://x", "caption": "told"}'),
            ("big.jpg", b"\xff\xd8\xff" + b"x" * 5_000),
            ("notes.md", b"no sample"),
        ],
        max_image_bytes=4_000,
    )
    shown = {r["member"]: (r["status"], r["error"] is None, r["sha256"] is None, r["size"] > 0) for r in found}
    assert shown == {
        "ok.jpg": ("ok", True, False, True),
        "bad.jpg": ("undecodable", False, False, True),
        "empty.jpg": ("empty", False, False, False),
        "soft.jpg": ("unsupported", False, True, False),
        "hard.jpg": ("unsupported", False, True, False),
        "lonely.json": ("empty", False, True, False),
        "big.jpg": ("too_large", False, True, True),
    }
    lonely = next(r for r in found if r["member"] == "lonely.json")
    assert (lonely["key"], lonely["url"], lonely["caption"]) == ("u", "http://x", "told")


def sample(place, problem, told, caption, result=None):
    return Sample(
        stem=f"{place}",
        member=f"{place}.jpg",
        occurrence=0,
        offset=512 * place,
        size=9,
        caption_offset=None,
        caption_size=None,
        json_offset=None,
        json_size=None,
        caption=caption,
        json=told,
        problem=problem,
        result=result,
        facts=("a fact",) * (place % 3),
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=2),
    max_leaves=5,
)
told = st.none() | st.dictionaries(
    st.sampled_from(["uid", "uuid", "url", "caption", "text", "TEXT", "texts", "other"]), json_values, max_size=5
)
MEASURED = measure(picture(), LIMITS)


@given(st.lists(st.tuples(st.sampled_from([None, *Problem]), told, st.none() | st.text(max_size=5)), max_size=12))
def test_every_sample_is_one_row_of_the_schema(drawn):
    samples = [sample(n, p, t, c, MEASURED if p is None else None) for n, (p, t, c) in enumerate(drawn)]
    batches = list(rows(samples, Origin(uri="s3://b/0.tar", name="0.tar", table={})))
    assert all(b.schema.equals(SCAN_SCHEMA, check_metadata=True) for b in batches)
    found = pa.Table.from_batches(batches, SCAN_SCHEMA)
    found.validate(full=True)
    assert found.column("member").to_pylist() == [s.member for s in samples]
    assert len(set(found.column("key").to_pylist())) == len(samples)
    for row, each in zip(found.to_pylist(), samples, strict=True):
        assert row["status"] in set(Status)
        assert (row["status"] == "ok") == (each.problem is None)
        assert (row["error"] is None) == (each.problem is None)
        assert (row["warnings"] or "").count("a fact") == len(each.facts)
        assert row["url"] is None or isinstance(each.json["url"], str)
        assert row["caption"] == each.caption or each.caption is None


def test_rows_come_in_batches_and_none_is_lost():
    count = 2 * ROWS_AT_ONCE + 3
    samples = (sample(n, Problem.HARD_LINK, None, None) for n in range(count))
    batches = list(rows(samples, Origin(uri="s3://b/0.tar", name="0.tar", table={})))
    assert [b.num_rows for b in batches] == [ROWS_AT_ONCE, ROWS_AT_ONCE, 3]
    assert list(rows([], Origin(uri="u", name="n", table={}))) == []


def test_measures_are_columns_of_the_manifest():
    assert set(Measures.__slots__) <= set(SCAN_SCHEMA.names)


# --- captions ------------------------------------------------------------------------------------


def caption(json_object):
    (row,) = scanned([("0.jpg", picture()), ("0.json", json.dumps(json_object).encode())])
    return row["caption"]


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({"texts": [["alt", "the text"], ["title", "another"]]}, "the text"),
        ({"texts": [["alt", ""], ["title", "the second"]]}, "the second"),
        ({"texts": ["plain"]}, "plain"),
        ({"texts": [[], None, 5, ["only"]]}, "only"),
        ({"texts": [], "caption": "c"}, "c"),
        ({"texts": "no list", "text": "t"}, "t"),
        ({"caption": "c", "text": "t"}, "c"),
        ({"caption": "", "text": "t"}, "t"),
        ({"caption": 5, "TEXT": "T"}, "T"),
        ({"caption": None}, None),
        ({}, None),
        ({"caption": "half a pair \ud800"}, "half a pair \ufffd"),
    ],
)
def test_captions_of_json_sidecars(told, found):
    assert caption(told) == found


def test_metaclip_samples():
    told = {"uuid": "8f14e45f-ceea-467f-a8a4-31d3d0e2c1b7", "url": "http://x/a.jpg", "texts": [["alt", "a chart"]]}
    (row,) = scanned([("12.jpeg", picture("JPEG")), ("12.json", json.dumps(told).encode())])
    assert (row["key"], row["url"], row["caption"]) == (told["uuid"], "http://x/a.jpg", "a chart")


def test_names_that_no_text_can_hold_are_shown_as_escapes():
    assert clean_text("a\udcffb") == "a\\udcffb"
    assert clean_text("naïve") == "naïve"
