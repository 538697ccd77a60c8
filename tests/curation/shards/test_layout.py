"""The layout uniform: whatever a source has, a sample has the same three members, and none is lost."""

import hashlib
import io
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.pictures.decode import DecodeLimits
from curation.pictures.resize import Resize
from curation.shards import layout
from curation.shards.layout import DEFAULT_JSON_COLUMNS, UNIFORM, Layout, ShardForm
from curation.shards.verify_images import check_images
from curation.shards.write import write_shard
from curation.sources.originals import fetch, file_name
from curation.sources.sidecars import MAX_SIDECAR_BYTES
from manifests.format.schema import Stage
from manifests.inspect.verify import Findings, Resources
from tests.curation.shards.test_shards import MEMBERS, make_tar, picture, read_members, scan_tar
from tests.support.making import commit_rows

RECORD = {
    "key": "k",
    "json_size": 0,
    "width": 40,
    "height": 30,
    "text_score": 0.5,
    "text_class": "heavy",
    "sha256": "ab",
    "caption": "naïve",
}
COLUMNS = {name: RECORD[name] for name in DEFAULT_JSON_COLUMNS}


def json_of(stored: bytes | None, form: ShardForm = UNIFORM) -> bytes:
    """Return the key.json of a sample whose source has `stored` as its json."""
    record = {**RECORD, "json_size": None if stored is None else len(stored)}
    sample = form.sample(record, [("png", b"picture")] + ([("json", stored)] if stored is not None else []))
    assert [extension for extension, _ in sample.members] == ["jpg", "json", "txt"]
    return dict(sample.members)["json"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values, max_size=5))
def test_the_object_of_the_source_stays_and_ours_is_its_last_value(source):
    text = json.dumps(source)
    found = json.loads(json_of(text.encode()))
    expected = json.loads(text.encode().decode()) | {"curate": COLUMNS}
    if "\\ud" not in text.lower():
        assert found == expected
    assert list(found) == [name for name in found if name != "curate"] + ["curate"]
    assert json_of(json_of(text.encode())) == json_of(text.encode())  # tars of tars have the same bytes


@given(st.binary(max_size=40))
def test_any_bytes_make_an_object_that_strict_readers_take(stored):
    found = json.loads(json_of(stored).decode(), parse_constant=pytest.fail)
    assert found["curate"] == COLUMNS


@pytest.mark.parametrize(
    "stored",
    [
        None,
        b"",
        b"[1, 2]",
        b'"text"',
        b"{",
        b'{"a": 1',
        b"[" * 100_000,
        b'{"a":' * 700 + b"1" + b"}" * 700,
        b'{"a": ' + b"1" * 5_000 + b"}",
        b'{"a": "' + b"x" * MAX_SIDECAR_BYTES + b'"}',
    ],
)
def test_what_is_no_object_or_cannot_be_read_is_left_out(stored):
    found = json.loads(json_of(stored))
    assert found["curate"] == COLUMNS
    assert set(found) <= {"curate", "a"}


def test_numbers_that_json_lacks_become_null():
    stored = b'{"a": NaN, "b": [Infinity, -Infinity, 1e999, 1.5], "curate": "theirs"}'
    assert json.loads(json_of(stored)) == {"a": None, "b": [None, None, None, 1.5], "curate": COLUMNS}


def test_columns_are_named_by_the_settings():
    form = ShardForm(json_columns=("width", "pdq"))
    stored = [("png", b"picture")]
    sample = form.sample({**RECORD, "pdq": b"\xff\x00"}, stored)
    assert dict(sample.members)["json"] == b'{"curate": {"width": 40, "pdq": "ff00"}}'


# --- tars


@pytest.fixture
def scanned(tmp_path):
    """Return the scanned rows of samples of every kind, some of them without caption or json."""
    more = {f"x{n}.{kind.lower()}": picture(9 + n, kind) for n, kind in enumerate(("GIF", "TIFF", "BMP"))}
    return scan_tar(make_tar(tmp_path / "0.tar", {**MEMBERS, **more, "broken.png": picture(50), "broken.json": b"{"}))


def test_every_sample_has_the_same_members_and_its_own_bytes(scanned, tmp_path):
    written = write_shard(f"file://{tmp_path}/out", "00000", scanned)
    members = read_members(f"file://{tmp_path}/out/00000.tar")
    keys = scanned.column("key").to_pylist()
    assert [name for name, *_ in members] == [f"{key}.{kind}" for key in keys for kind in ("jpg", "json", "txt")]
    contents = {name: data for name, data, _ in members}
    for row in written.batch.to_pylist():
        key = row["key"]
        assert hashlib.sha256(contents[f"{key}.jpg"]).hexdigest() == row["sha256"]
        assert contents[f"{key}.txt"].decode().strip() == (row["caption"] or "").strip()
        assert json.loads(contents[f"{key}.json"])["curate"] == {name: row[name] for name in DEFAULT_JSON_COLUMNS}
        assert (row["shard_sha256"], row["shard_width"], row["shard_height"]) == (None, None, None)
    assert json.loads(contents["u-000.json"])["url"] == "http://x/0"


def test_a_scan_of_uniform_shards_sees_the_same_samples(scanned, tmp_path):
    write_shard(f"file://{tmp_path}/out", "00000", scanned)
    again = scan_tar(f"file://{tmp_path}/out/00000.tar")
    for name in ("sha256", "format", "width", "height", "status", "url"):
        assert again.column(name).equals(scanned.column(name)), name
    captions = [text or "" for text in scanned.column("caption").to_pylist()]
    assert [text or "" for text in again.column("caption").to_pylist()] == captions


def verified(folder, batch, files, **config):
    manifest = commit_rows(folder, [batch.to_pylist()], Stage.SHARD, files={0: files}, config=config)
    found = Findings()
    check_images(manifest, [0], found, Resources(threads=2), fraction=1, salt="")
    return found


@pytest.mark.parametrize("kind", Layout)
@pytest.mark.parametrize("side", [None, 16])
def test_verification_finds_every_member_of_both_layouts(scanned, tmp_path, kind, side):
    resize = None if side is None else Resize(side=side)
    written = write_shard(f"file://{tmp_path}/out", "00000", scanned, ShardForm(layout=kind, resize=resize))
    found = verified(tmp_path / "out", written.batch, written.files, layout=str(kind))
    assert (found.faults, found.checked["images"]) == ([], scanned.num_rows)
    other = Layout.ORIGINAL if kind is Layout.UNIFORM else Layout.UNIFORM
    assert verified(tmp_path / "wrong", written.batch, {}, layout=str(other)).fault_count > 0


# --- resized


def test_resized_pictures_have_new_bytes_that_the_row_describes(scanned, tmp_path):
    form = ShardForm(resize=Resize(side=16))
    written = write_shard(f"file://{tmp_path}/out", "00000", scanned, form)
    contents = {name: data for name, data, _ in read_members(f"file://{tmp_path}/out/00000.tar")}
    for row in written.batch.to_pylist():
        data = contents[f"{row['key']}.jpg"]
        assert hashlib.sha256(data).hexdigest() == row["shard_sha256"] != row["sha256"]
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (row["shard_width"], row["shard_height"]) == (21, 16)
            assert image.format == ("JPEG" if row["format"] in ("JPEG", "WEBP") else "PNG")
        facts = json.loads(contents[f"{row['key']}.json"])["curate"]
        assert (facts["width"], facts["height"], facts["sha256"]) == (21, 16, row["shard_sha256"])
    assert write_shard(f"file://{tmp_path}/again", "00000", scanned, form).files == written.files


def test_resized_pictures_are_read_from_the_shards_and_saved_by_their_new_format(scanned, tmp_path):
    folder = f"file://{tmp_path}/out"
    rows = write_shard(folder, "00000", scanned, ShardForm(resize=Resize(side=16))).batch.to_pylist()
    for row, (data, problem) in zip(rows, fetch(rows, shards_uri=folder), strict=True):
        assert (problem, hashlib.sha256(data or b"").hexdigest()) == ("", row["shard_sha256"])
        assert file_name(row).endswith(".jpg" if row["format"] in ("JPEG", "WEBP") else ".png")


def test_pictures_that_are_small_enough_keep_their_bytes(scanned, tmp_path):
    written = write_shard(f"file://{tmp_path}/out", "00000", scanned, ShardForm(resize=Resize(side=30)))
    assert written.files == write_shard(f"file://{tmp_path}/plain", "00000", scanned).files


def test_a_picture_that_is_too_large_to_decode_keeps_its_bytes(scanned, tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "DEFAULT_LIMITS", DecodeLimits(max_pixels=100))
    written = write_shard(f"file://{tmp_path}/out", "00000", scanned, ShardForm(resize=Resize(side=16)))
    assert written.batch.column("shard_sha256").null_count == scanned.num_rows


# --- any names and texts


@settings(max_examples=20, deadline=None)
@given(text=st.binary(max_size=30), source=st.binary(max_size=30))
def test_no_sidecar_loses_a_sample(tmp_path_factory, text, source):
    folder = tmp_path_factory.mktemp("any")
    table = scan_tar(make_tar(folder / "0.tar", {"a.png": picture(1), "a.txt": text, "a.json": source}))
    assert isinstance(table, pa.Table)
    write_shard(f"file://{folder}/out", "00000", table)
    (_, json_member, txt) = read_members(f"file://{folder}/out/00000.tar")
    assert json.loads(json_member[1])["curate"]["sha256"] == table.column("sha256")[0].as_py()
    txt[1].decode()
