"""Sidecars of images, and one row for every sample, also for those that cannot be read."""

import io
import json
import tarfile

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curation.pictures.decode import DecodeLimits
from curation.scan.measure import ROWS_AT_ONCE, SCAN_SCHEMA, Measures, Origin, clean_text, measure, rows
from curation.sources.folders import list_folder, read_folder
from curation.sources.members import Problem
from curation.sources.samples import Sample
from curation.sources.sibling_tables import SiblingTable
from curation.sources.sidecars import MAX_SIDECAR_BYTES
from curation.sources.tars import read_tar
from manifests import storage
from manifests.exchange.comparable_values import ValueKind
from manifests.format.schema import Status

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
    beside = SiblingTable(
        uri="s3://b/0.parquet",
        stems=contents.stems(),
        key_type="string",
        kind=ValueKind.TEXT,
        rows=list((table or {}).items()),
    )
    batches = list(rows(contents.samples(), Origin(uri="s3://b/0.tar", name="0.tar", table=beside)))
    assert len(contents) == sum(b.num_rows for b in batches)
    return pa.Table.from_batches(batches, SCAN_SCHEMA).to_pylist()


# --- the table next to a tar ----------------------------------------------------------------------


@pytest.fixture(params=["file", "memory"])
def folder(request, tmp_path):
    if request.param == "file":
        return f"file://{tmp_path}"
    storage.remove("memory://siblings")
    return "memory://siblings"


def test_the_table_is_used_if_there_is_no_json():
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


def test_the_table_is_used_if_the_json_cannot_be_read():
    (row,) = scanned([("0.jpg", picture()), ("0.json", b"{")], {"0": {"uid": "u0", "url": "http://table/0"}})
    assert (row["key"], row["url"], row["warnings"]) == ("u0", "http://table/0", "json sidecar is not valid JSON")


def test_a_caption_sidecar_comes_first():
    (row,) = scanned([("0.jpg", picture()), ("0.txt", b"own")], {"0": {"caption": "of the table"}})
    assert row["caption"] == "own"


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
    found = {s.member: s for s in loose(f"{folder}/").samples()}
    assert list(found) == ["a.jpg", "large.png", "lonely.webp", "sub/b.c.png"]
    a, b, large = found["a.jpg"], found["sub/b.c.png"], found["large.png"]
    assert (a.stem, a.offset, a.size, a.problem) == ("a", 0, len(files["a.jpg"]), None)
    assert (a.json, a.caption) == ({"uid": "ua", "url": "http://x/a"}, "naïve")
    assert (a.json_member, a.json_offset, a.json_size) == ("a.json", 0, len(files["a.json"]))
    assert (a.caption_member, a.caption_offset, a.caption_size) == ("a.txt", 0, 6)
    assert (b.stem, b.json, b.caption_offset) == ("sub/b.c", None, None)
    assert b.facts == ("json sidecar is not a JSON object",)
    assert (large.caption, large.caption_member, large.caption_size) == (None, "large.txt", MAX_SIDECAR_BYTES + 1)
    assert large.facts == ("txt sidecar is larger than 1 MiB, not read",)
    assert found["lonely.webp"].json_offset is found["lonely.webp"].caption_offset is None
    table = pa.Table.from_batches(list(rows(found.values(), Origin(uri=f"{folder}/", name=""))), SCAN_SCHEMA)
    assert table.column("status").to_pylist() == ["ok"] * 4
    assert table.column("source").to_pylist() == [f"{folder}/"] * 4
    assert len(set(table.column("key").to_pylist())) == 4


def loose(folder, max_image_bytes=1 << 20):
    files = [(file.path, file.size_bytes) for file in list_folder(folder)]
    return read_folder(folder, files, max_image_bytes=max_image_bytes, on_image=on_image)


def test_a_folder_with_the_name_of_a_sidecar_is_ignored(tmp_path):
    (tmp_path / "a.png").write_bytes(picture())
    (tmp_path / "a.txt").mkdir()
    (sample,) = loose(f"file://{tmp_path}/").samples()
    assert sample.caption is None


def test_large_loose_images_are_not_decoded(folder):
    storage.write_bytes(f"{folder}/a.png", picture())
    (sample,) = loose(f"{folder}/", max_image_bytes=10).samples()
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
            ("lonely.json", b'{"uid": "u", "url": "http://x", "caption": "a caption"}'),
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
    assert (lonely["key"], lonely["url"], lonely["caption"]) == ("u", "http://x", "a caption")


def sample(place, problem, metadata, caption, result=None):
    return Sample(
        stem=f"{place}",
        member=f"{place}.jpg",
        group=f"{place}",
        occurrence=0,
        offset=512 * place,
        size=9,
        caption_member=None,
        caption_offset=None,
        caption_size=None,
        json_member=None,
        json_offset=None,
        json_size=None,
        caption=caption,
        caption_bytes=None,
        json=metadata,
        problem=problem,
        result=result,
        facts=("a fact",) * (place % 3),
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=2),
    max_leaves=5,
)
metadata = st.none() | st.dictionaries(
    st.sampled_from(["uid", "uuid", "url", "caption", "text", "TEXT", "texts", "other"]), json_values, max_size=5
)
MEASURED = measure(picture(), LIMITS)


@given(st.lists(st.tuples(st.sampled_from([None, *Problem]), metadata, st.none() | st.text(max_size=5)), max_size=12))
def test_every_sample_is_one_row_of_the_schema(drawn):
    samples = [sample(n, p, t, c, MEASURED if p is None else None) for n, (p, t, c) in enumerate(drawn)]
    batches = list(rows(samples, Origin(uri="s3://b/0.tar", name="0.tar")))
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
    batches = list(rows(samples, Origin(uri="s3://b/0.tar", name="0.tar")))
    assert [b.num_rows for b in batches] == [ROWS_AT_ONCE, ROWS_AT_ONCE, 3]
    assert list(rows([], Origin(uri="u", name="n"))) == []


def test_measures_are_columns_of_the_manifest():
    assert set(Measures.__slots__) <= set(SCAN_SCHEMA.names)


# --- captions ------------------------------------------------------------------------------------


def caption(json_object):
    (row,) = scanned([("0.jpg", picture()), ("0.json", json.dumps(json_object).encode())])
    return row["caption"]


@pytest.mark.parametrize(
    ("metadata", "found"),
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
def test_captions_of_json_sidecars(metadata, found):
    assert caption(metadata) == found


def test_metaclip_samples():
    metadata = {
        "uuid": "8f14e45f-ceea-467f-a8a4-31d3d0e2c1b7",
        "url": "http://x/a.jpg",
        "texts": [["alt", "a chart"]],
    }
    (row,) = scanned([("12.jpeg", picture("JPEG")), ("12.json", json.dumps(metadata).encode())])
    assert (row["key"], row["url"], row["caption"]) == (metadata["uuid"], "http://x/a.jpg", "a chart")


def test_names_that_are_not_text_are_shown_with_escapes():
    assert clean_text("a\udcffb") == "a\\udcffb"
    assert clean_text("naïve") == "naïve"
