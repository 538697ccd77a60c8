"""Verification finds nothing in a valid manifest, and every fault in others: files, sums, keys, rows, images."""

import hashlib
import json
import tarfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.shards.layout import Layout, ShardForm
from curation.shards.verify_images import FAR_HEADER_BYTES, check_images, member_before
from curation.shards.write import write_shard
from jobs.cli.main import main
from manifests import storage
from manifests.format.schema import Stage, schema
from manifests.format.store import open_manifest
from manifests.inspect import verify
from manifests.inspect.verify import Findings, Resources, check_files, check_keys, check_rows
from tests.jobs.test_object_storage import BUCKET, s3
from tests.support.making import commit_rows, rows_of_tar, tar_bytes

__all__ = ["s3"]
ORIGINAL = ShardForm(layout=Layout.ORIGINAL)
RESOURCES = Resources(threads=2)
EMPTY = {"key": "no image", "status": "empty", "offset": None}


def found_in(manifest, *, depth="rows", fraction=1.0, salt="", limit=None):
    """Verify a manifest and return the findings."""
    found = Findings(limit)
    valid = check_files(manifest, found, RESOURCES)
    if depth != "quick":
        check_rows(manifest, valid, found, RESOURCES)
    if depth == "deep":
        check_images(manifest, valid, found, RESOURCES, fraction=fraction, salt=salt)
    return found


def fault_texts(found):
    """Return each fault as the name of its file and what is wrong."""
    return [f"{fault.where.rstrip('/').rsplit('/', 1)[-1]}: {fault.what}" for fault in found.faults]


def run(*arguments):
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


def image(name, size=900):
    return (b"\xff\xd8\xff" + name.encode() * size)[:size]


def members(names):
    return [(f"{name}.{kind}", data) for name in names for kind, data in (("jpg", image(name)), ("txt", b"words"))]


def rewrite(manifest, **changes):
    """Change fields of `_manifest.json`, and return the manifest."""
    uri = f"{manifest.uri}/_manifest.json"
    storage.write_bytes(uri, json.dumps({**json.loads(storage.read_bytes(uri)), **changes}).encode())
    return open_manifest(manifest.uri)


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.fixture
def tars(tmp_path):
    """Write two tars of ten images each, and return URI → path."""
    found = {}
    for n in range(2):
        path = tmp_path / "tars" / f"{n}.tar"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(tar_bytes(members(f"{n}-{i}" for i in range(10)), tarfile.GNU_FORMAT))
        found[f"file://{path}"] = path
    return found


@pytest.fixture
def scanned(tars, tmp_path):
    """Commit a scan of the tars with one part for each, and a row without an image."""
    parts = [rows_of_tar(uri, path.read_bytes()) for uri, path in tars.items()]
    return commit_rows(tmp_path / "scan", [[*parts[0], EMPTY], parts[1]], roots=[f"file://{tmp_path}"])


# --- valid manifests


def test_a_valid_manifest_is_valid_at_every_depth(scanned):
    size_bytes = scanned.size_bytes
    quick = found_in(scanned, depth="quick")
    assert (fault_texts(quick), quick.notes) == ([], [])
    assert dict(quick.checked) == {"parts": 2, "bytes": size_bytes, "keys": 21}
    deep = found_in(scanned, depth="deep")
    assert (fault_texts(deep), deep.notes) == ([], [])
    images = {"images": 20, "image_bytes": 20 * 900, "images_skipped": 1}
    assert dict(deep.checked) == {"parts": 2, "bytes": size_bytes, "keys": 21, "rows": 21, **images}


@pytest.mark.parametrize("parts", [[], [[]], [[], [{"key": "a"}], []]])
def test_manifests_of_few_rows_are_valid(tmp_path, parts):
    found = found_in(commit_rows(tmp_path / "m", parts), depth="deep")
    assert (fault_texts(found), found.checked["images_skipped"]) == ([], sum(map(len, parts)))


@pytest.mark.slow
@pytest.mark.parametrize("place", ["memory://verified", f"s3://{BUCKET}/verified"])
def test_everywhere(place, s3):
    data = tar_bytes(members("abc"), tarfile.PAX_FORMAT)
    storage.write_bytes(f"{place}/0.tar", data)
    valid = commit_rows(f"{place}/scan", [rows_of_tar(f"{place}/0.tar", data)], roots=[place])
    found = found_in(valid, depth="deep")
    assert (fault_texts(found), found.checked["images"]) == ([], 3)
    storage.write_bytes(f"{place}/0.tar", data.replace(image("b"), image("x")))
    assert fault_texts(found_in(valid, depth="deep")) == [
        "0.tar: row '0/b.jpg', byte 3,072: the bytes have another sha256"
    ]
    storage.write_bytes(f"{place}/0.tar", data[:3000])
    assert fault_texts(found_in(valid, depth="deep")) == ["0.tar: cut short; rows looked at that depend on it: 2"]
    storage.remove(f"{place}/0.tar")
    assert fault_texts(found_in(valid, depth="deep")) == ["0.tar: missing; rows looked at that depend on it: 3"]
    part = valid.part_uri(valid.parts[0])
    storage.write_bytes(part, storage.read_bytes(part)[:-1] + b"?")
    assert (
        fault_texts(found_in(valid, depth="quick"))[0]
        == "part-00000.parquet: altered: its sha256 is not the committed one"
    )
    fs, path = storage.filesystem(place)
    fs.rm(path, recursive=True)


# --- files and sums


def test_every_fault_of_every_part_is_reported(scanned, tmp_path):
    folder = tmp_path / "scan"
    (folder / "part-00000.parquet").unlink()
    flip(folder / "part-00001.parquet", 100)
    found = found_in(scanned, depth="deep")
    assert fault_texts(found) == [
        "part-00000.parquet: missing",
        "part-00001.parquet: altered: its sha256 is not the committed one",
    ]
    assert found.notes == ["damaged parts, whose rows were not read: 2"]
    assert not found.is_valid


@pytest.mark.slow
@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_of_a_part_is_found(scanned, tmp_path, data):
    path = tmp_path / "scan" / data.draw(st.sampled_from([p.name for p in scanned.parts]))
    at = data.draw(st.integers(0, path.stat().st_size - 1))
    flip(path, at)
    found = found_in(scanned, depth="quick")
    flip(path, at)
    assert fault_texts(found)[0] == f"{path.name}: altered: its sha256 is not the committed one"


def test_sums_that_do_not_add_up(scanned):
    assert fault_texts(found_in(rewrite(scanned, rows=22), depth="quick")) == [
        "_manifest.json: 22 rows, but its parts have 21",
        "_manifest.json: 22 rows, but 21 by status",
    ]
    assert fault_texts(found_in(rewrite(scanned, rows=21, digest="0" * 64), depth="quick")) == [
        "_manifest.json: its digest is not that of its parts"
    ]


@pytest.mark.parametrize("damage", [None, b"PAR1"])
def test_a_table_of_sources_that_is_damaged(tmp_path, damage):
    manifest = commit_rows(tmp_path / "m", [[{"key": "a"}]], inputs={"sources": {"file:///0.tar": "1"}})
    (path,) = (tmp_path / "m" / "_tables").glob("sources-*.parquet")
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    what = "missing" if damage is None else "altered: its sha256 is not the committed one"
    assert fault_texts(found_in(open_manifest(manifest.uri), depth="quick")) == [f"{path.name}: {what}"]


def test_a_part_that_is_named_twice(scanned):
    parts = scanned.document()["parts"]
    found = found_in(rewrite(scanned, parts=[parts[0], parts[0], parts[1]]), depth="quick")
    assert "_manifest.json: names the part part-00000.parquet 2 times" in fault_texts(found)
    assert sum("2 rows have the key" in each for each in fault_texts(found)) == 11


def test_files_that_no_part_names_are_noted(scanned, tmp_path):
    (tmp_path / "scan" / "part-00002.parquet").write_bytes(b"")
    (tmp_path / "scan" / "README").write_text("")
    found = found_in(scanned, depth="quick")
    assert found.is_valid
    assert [note.split(":", 2)[1].rsplit("/", 1)[-1] for note in found.notes] == ["part-00002.parquet"]


# --- keys


@pytest.mark.parametrize("are_few", [True, False])
def test_repeated_keys_are_named(tmp_path, monkeypatch, are_few):
    if not are_few:
        monkeypatch.setattr(verify, "HASH_BYTES", 1 << 40)
    keys = [["a", "b", "a"], ["c", "b", "é"], ["d"], ["a"]]
    manifest = commit_rows(tmp_path / "m", [[{"key": key} for key in part] for part in keys])
    assert fault_texts(found_in(manifest, depth="quick")) == [
        "part-00000.parquet: 3 rows have the key 'a', the last in part-00003.parquet; keys are unique",
        "part-00000.parquet: 2 rows have the key 'b', the last in part-00001.parquet; keys are unique",
    ]
    found = Findings()
    check_keys(manifest, [1, 2, 3], found, RESOURCES)
    assert found.is_valid


@pytest.mark.slow
@given(st.lists(st.lists(st.text(max_size=3), max_size=6), max_size=4))
@settings(max_examples=30, deadline=None)
def test_keys_are_unique_or_named(parts):
    fs = fsspec.filesystem("memory")
    if fs.exists("/keys"):
        fs.rm("/keys", recursive=True)
    manifest = commit_rows("memory://keys", [[{"key": key} for key in part] for part in parts])
    every = [key for part in parts for key in part]
    found = Findings()
    check_keys(manifest, range(len(parts)), found, RESOURCES)
    assert found.fault_count == len({key for key in every if every.count(key) > 1})


# --- rows


def test_rows_that_differ_from_the_committed_ones(tmp_path):
    manifest = commit_rows(tmp_path / "m", [[{"key": "a"}], [{"key": "b", "url": "http://b"}]])
    other = commit_rows(tmp_path / "other", [[{"key": "a"}], [{"key": "b", "url": "http://x"}]])
    (tmp_path / "m" / "part-00001.parquet").write_bytes((tmp_path / "other" / "part-00001.parquet").read_bytes())
    parts = manifest.document()["parts"]
    parts[1] |= {"sha256": other.parts[1].sha256, "size_bytes": other.parts[1].size_bytes}
    forged = rewrite(manifest, parts=parts)
    assert fault_texts(found_in(forged, depth="quick")) == []
    assert fault_texts(found_in(forged)) == ["part-00001.parquet: the digest of its rows is not the committed one"]


def test_the_digest_of_rows_uses_sources_relative_to_their_roots(tmp_path):
    rows = [[{"key": "a", "source": "file:///data/x/0.tar"}]]
    assert found_in(commit_rows(tmp_path / "m", rows, roots=["file:///data", "file:///data/x"])).is_valid


def test_counts_and_statuses(tmp_path):
    manifest = commit_rows(tmp_path / "m", [[{"key": "a"}, {"key": "b", "status": "eaten"}]])
    assert fault_texts(found_in(manifest)) == [
        "part-00000.parquet: the status 'eaten' is not known; rows that have it: 1"
    ]
    assert fault_texts(found_in(rewrite(manifest, counts={"status": {"ok": 2}})))[1:] == [
        "_manifest.json: counts 0 rows with status eaten, but there are 1",
        "_manifest.json: counts 2 rows with status ok, but there are 1",
    ]


COPIES = [{"key": "a"}, {"key": "b", "duplicate_of": "a"}, {"key": "c", "duplicate_of": "z"}]
LOST = ["part-00000.parquet: the row 'c' is a duplicate of 'z', which is not the key of any row"]


def test_duplicates_of_missing_rows(tmp_path):
    assert fault_texts(found_in(commit_rows(tmp_path / "m", [COPIES], Stage.DEDUPE))) == LOST
    assert fault_texts(found_in(commit_rows(tmp_path / "two", [COPIES, [{"key": "z"}]], Stage.DEDUPE))) == []
    reference = [*COPIES[:2], {**COPIES[2], "reference": "evaluation"}]
    assert fault_texts(found_in(commit_rows(tmp_path / "reference", [reference], Stage.DEDUPE))) == []
    against = commit_rows(tmp_path / "against", [COPIES], Stage.DEDUPE, inputs={"against:0": "digest"})
    assert fault_texts(found_in(against)) == []
    derived = commit_rows(tmp_path / "some", [COPIES], Stage.DEDUPE, derivation={"operation": "sample"})
    found = found_in(derived)
    assert (fault_texts(found), found.notes) == (
        [],
        ["duplicate_of is not checked: a sample need not have all rows"],
    )


@pytest.mark.parametrize(("inputs", "faults"), [({}, LOST), ({"against:0": "digest"}, [])])
def test_later_stages_look_into_the_manifest_of_dedupe(tmp_path, inputs, faults):
    from manifests.format.store import Parent

    before = commit_rows(tmp_path / "deduped", [COPIES], Stage.DEDUPE, inputs=inputs)
    parent = Parent(uri=before.uri, stage="dedupe", digest=before.digest)
    scored = commit_rows(tmp_path / "scored", [COPIES], Stage.SCORE, parents=[parent])
    assert fault_texts(found_in(scored)) == faults
    storage.remove(before.uri)
    found = found_in(scored)
    assert found.is_valid
    assert "the manifest of dedupe that would explain it is gone" in found.notes[0]


# --- images


NAMES = st.text(st.sampled_from("aé漢/.- "), min_size=1, max_size=180).filter(
    lambda name: not name.startswith("/") and not name.endswith("/") and ".." not in name
)


@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=1300)), min_size=1, max_size=5),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
@settings(max_examples=150, deadline=None)
def test_the_header_before_any_member_is_found(contents, form):
    named = [(f"{name}x.jpg", data) for name, data in contents]
    data = tar_bytes(named, form)
    for (name, body), row in zip(named, rows_of_tar("file:///0.tar", data), strict=True):
        header = member_before(data[max(0, row["offset"] - FAR_HEADER_BYTES) : row["offset"]])
        assert header is not None
        assert (header.name, header.size, row["member"]) == (name, len(body), name)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("length", [99, 100, 101, 300, 3000, 70_000])
def test_long_names(tmp_path, form, length):
    path = tmp_path / "0.tar"
    data = tar_bytes([("first.jpg", image("a")), ("é" * length + ".jpg", image("b"))], form)
    path.write_bytes(data)
    manifest = commit_rows(tmp_path / "m", [rows_of_tar(f"file://{path}", data)])
    assert fault_texts(found_in(manifest, depth="deep")) == []


def test_names_that_are_not_text(tmp_path):
    path = tmp_path / "0.tar"
    data = tar_bytes([("name.jpg", image("a"))]).replace(b"name.jpg", b"n\xffme.jpg")
    header = bytearray(data[:512])
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(bytes(header) + data[512:])
    rows = rows_of_tar(f"file://{path}", path.read_bytes())
    assert rows[0]["member"] == "n\\xffme.jpg"
    assert fault_texts(found_in(commit_rows(tmp_path / "m", [rows]), depth="deep")) == []


@pytest.mark.slow
@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_of_an_image_or_its_name_is_found(scanned, tars, data):
    uri = data.draw(st.sampled_from(sorted(tars)))
    row = data.draw(st.sampled_from(rows_of_tar(uri, tars[uri].read_bytes())))
    is_name = data.draw(st.booleans())
    first, count = (row["offset"] - 512, len(row["member"])) if is_name else (row["offset"], row["size"])
    at = first + data.draw(st.integers(0, count - 1))
    flip(tars[uri], at)
    found = found_in(scanned, depth="deep")
    flip(tars[uri], at)
    (fault,) = fault_texts(found)
    assert fault.startswith(f"{tars[uri].name}: row {row['key']!r}, byte {row['offset']:,}: ")
    assert fault.endswith("no tar member begins there" if is_name else "the bytes have another sha256")


def test_a_tar_with_other_members_in_the_same_places(scanned, tars):
    path = next(iter(tars.values()))
    path.write_bytes(tar_bytes(members(f"x-{i}" for i in range(10)), tarfile.GNU_FORMAT))
    found = found_in(scanned, depth="deep")
    assert len(fault_texts(found)) == 10
    assert fault_texts(found)[0] == (
        "0.tar: row '0/0-0.jpg', byte 512: 'x-0.jpg' of 900 bytes is stored there, not '0-0.jpg' and the bytes have "
        "another sha256"
    )


def test_rows_out_of_order_and_far_apart_are_read(tmp_path, monkeypatch):
    from curation.shards import verify_images

    monkeypatch.setattr(verify_images, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(verify_images, "GROUP_BYTES", 5000)
    monkeypatch.setattr(verify_images, "SPAN_BYTES", 3000)
    monkeypatch.setattr(verify_images, "GAP_BYTES", 100)
    rows = []
    for n in range(3):
        path = tmp_path / f"{n}.tar"
        path.write_bytes(tar_bytes(members(f"{n}-{i}" for i in range(20))))
        rows += rows_of_tar(f"file://{path}", path.read_bytes())
    rows.sort(key=lambda row: hashlib.sha256(row["key"].encode()).digest())
    found = found_in(commit_rows(tmp_path / "m", [rows[:13], rows[13:]]), depth="deep")
    assert (fault_texts(found), found.checked["images"]) == ([], 60)


def test_a_missing_tar_is_one_fault(scanned, tars):
    first, second = tars.values()
    first.unlink()
    second.write_bytes(second.read_bytes()[:5000])
    assert fault_texts(found_in(scanned, depth="deep")) == [
        "0.tar: missing; rows looked at that depend on it: 10",
        "1.tar: cut short; rows looked at that depend on it: 8",
    ]


def test_rows_without_bytes_to_compare_are_skipped(tmp_path):
    path = tmp_path / "0.tar"
    path.write_bytes(tar_bytes([("a.jpg", image("a"))]))
    (row,) = rows_of_tar(f"file://{path}", path.read_bytes())
    rows = [
        {**row, "key": "a", "status": "unsupported", "sha256": None, "size": 0},
        {**row, "key": "b", "status": "empty"},
        {**row, "key": "c", "offset": None},
        {**row, "key": "d", "status": "too_large", "sha256": None},
    ]
    found = found_in(commit_rows(tmp_path / "m", [rows]), depth="deep")
    assert (fault_texts(found), found.checked["images_skipped"], found.checked["images"]) == ([], 3, 1)
    wrong = [{**rows[3], "member": "b.jpg"}, {**row, "offset": 10}, {**row, "key": "e", "size": -1}]
    assert fault_texts(found_in(commit_rows(tmp_path / "wrong", [wrong]), depth="deep")) == [
        "0.tar: the row '0/a.jpg' has an impossible byte range",
        "0.tar: the row 'e' has an impossible byte range",
        "0.tar: row 'd', byte 512: 'a.jpg' of 900 bytes is stored there, not 'b.jpg'",
    ]


def test_loose_files(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rows = []
    for name in ("same", "altered", "longer", "shorter", "gone"):
        (folder / f"{name}.jpg").write_bytes(image(name))
        sha256 = hashlib.sha256(image(name)).hexdigest()
        place = {"source": f"file://{folder}/", "member": f"{name}.jpg", "offset": 0, "size": 900}
        rows.append({"key": name, **place, "sha256": sha256})
    manifest = commit_rows(tmp_path / "m", [rows])
    assert fault_texts(found_in(manifest, depth="deep")) == []
    flip(folder / "altered.jpg", 5)
    (folder / "longer.jpg").write_bytes(image("longer") + b"!")
    (folder / "shorter.jpg").write_bytes(image("shorter")[:-1])
    (folder / "gone.jpg").unlink()
    assert fault_texts(found_in(manifest, depth="deep")) == [
        "altered.jpg: row 'altered': the bytes have another sha256",
        "longer.jpg: row 'longer': more than the 900 bytes it had",
        "gone.jpg: missing; rows looked at that depend on it: 1",
        "shorter.jpg: cut short; rows looked at that depend on it: 1",
    ]
    storage.remove(f"file://{folder}")
    assert fault_texts(found_in(manifest, depth="deep")) == ["photos: missing; rows looked at that depend on it: 5"]


def test_a_fraction_is_reproducible_and_contained_in_a_larger_one(scanned, tars):
    for path in tars.values():
        path.write_bytes(tar_bytes(members(f"x-{i}" for i in range(10)), tarfile.GNU_FORMAT))

    def faulted(fraction, salt):
        return set(fault_texts(found_in(scanned, depth="deep", fraction=fraction, salt=salt)))

    third, half = faulted(0.3, "s"), faulted(0.6, "s")
    assert third < half < faulted(1, "s")
    assert third == faulted(0.3, "s")
    assert half != faulted(0.6, "t")
    assert faulted(0, "s") == set()


def test_a_fraction_is_of_keys_whose_hash_is_below_it(scanned):
    keys = [key for part in scanned.parts for key in scanned.read_part(part, ["key"]).column("key").to_pylist()]
    hashes = [hashlib.md5(f"a's:{key}".encode(), usedforsecurity=False).hexdigest() for key in keys]
    expected = sum(each < f"{int(0.4 * 2**128):032x}" for each in hashes)
    checked = found_in(scanned, depth="deep", fraction=0.4, salt="a's").checked
    assert checked["images"] + checked["images_skipped"] == expected > 0


# --- shards


@pytest.fixture
def sharded(scanned, tmp_path):
    """Write the images of the scan to two shards."""
    parts, files = [], {}
    for n, part in enumerate(scanned.parts):
        rows = [row for row in scanned.read_part(part).to_pylist() if row["status"] == "ok"]
        keys = [row["key"].replace("/", "_").replace(".", "_") for row in rows]
        rows = [{**row, "key": k, "cluster_id": k, "keep": True} for k, row in zip(keys, rows, strict=True)]
        table = pa.Table.from_pylist(rows, schema(Stage.CHOOSE))
        shard = write_shard(f"file://{tmp_path}/shards", f"{n:05d}", table, ORIGINAL)
        parts.append([dict(row) for row in shard.batch.to_pylist()])
        files[n] = shard.files
    return commit_rows(tmp_path / "shards", parts, Stage.SHARD, files=files)


def test_shards_are_read_instead_of_their_sources(sharded, tars, tmp_path):
    for path in tars.values():
        path.unlink()
    found = found_in(sharded, depth="deep")
    assert (fault_texts(found), found.notes, found.checked["images"], found.checked["files"]) == ([], [], 20, 8)


def test_files_next_to_a_part_are_checked(sharded, tmp_path):
    (tmp_path / "shards" / "00000_stats.json").write_text("{}")
    flip(tmp_path / "shards" / "00001.tar", 600)
    assert fault_texts(found_in(sharded, depth="quick")) == [
        f"00000_stats.json: 2 bytes, {sharded.parts[0].files['00000_stats.json']['bytes']} when it was committed",
        "00001.tar: altered: its sha256 is not the committed one; rows that depend on it: 10",
    ]
    assert fault_texts(found_in(sharded, depth="deep"))[2:] == [
        "00001.tar: row '1_1-0_jpg', byte 512: the bytes have another sha256"
    ]


@pytest.fixture
def rows_with_sidecars(tmp_path):
    """Return the rows of a shard of two samples, one with a json and a txt member, and its files."""
    data = tar_bytes([("a.jpg", image("a")), ("b.jpg", image("b")), ("a.json", b"{}"), ("a.txt", b"text")])
    (tmp_path / "0.tar").write_bytes(data)
    found = rows_of_tar(f"file://{tmp_path}/0.tar", data)[:2]
    rows = [{**row, "key": row["key"][2], "cluster_id": row["key"], "keep": True} for row in found]
    rows[0] |= {"json_offset": 512 * 7, "json_size": 2, "json_member": "a.json", "caption": "text"}
    shard = write_shard(
        f"file://{tmp_path}/shards", "00000", pa.Table.from_pylist(rows, schema(Stage.CHOOSE)), ORIGINAL
    )
    return shard.batch.to_pylist(), {0: shard.files}


def test_sidecars_are_where_the_rows_of_shards_say(rows_with_sidecars, tmp_path):
    rows, files = rows_with_sidecars
    valid = found_in(commit_rows(tmp_path / "shards", [rows], Stage.SHARD, files=files), depth="deep")
    assert (fault_texts(valid), valid.checked["images"], valid.checked["sidecars"]) == ([], 2, 2)


def test_a_wrong_place_of_a_sidecar_is_a_fault(rows_with_sidecars, tmp_path):
    rows, files = rows_with_sidecars
    first = rows[0]
    rows[0] = {**first, "shard_caption_size": 5, "shard_json_offset": first["shard_json_offset"] + 512}
    rows[1] |= {"shard_json_offset": 0, "shard_json_size": 2}
    found = found_in(commit_rows(tmp_path / "shards", [rows], Stage.SHARD, files=files), depth="deep")
    txt, json_ = first["shard_caption_offset"], first["shard_json_offset"]
    assert fault_texts(found) == [
        "00000.tar: the row 'b' has an impossible byte range of its json",
        f"00000.tar: row 'a', byte {json_ + 512:,}: no tar member begins there",
        f"00000.tar: row 'a', byte {txt:,}: 'a.txt' of 4 bytes is stored there, not 'a.txt'",
    ]


def test_a_tar_that_is_cut_short_counts_each_row_once(rows_with_sidecars, tmp_path):
    rows, files = rows_with_sidecars
    manifest = commit_rows(tmp_path / "shards", [rows], Stage.SHARD, files=files)
    (tmp_path / "shards/00000.tar").write_bytes(b"\0" * 512)
    found = found_in(manifest, depth="deep")
    assert "00000.tar: cut short; rows looked at that depend on it: 2" in fault_texts(found)


def test_shards_of_earlier_versions_have_no_places_of_sidecars(rows_with_sidecars, tmp_path):
    rows, files = rows_with_sidecars
    earlier = pa.schema([f for f in schema(Stage.SHARD) if "_json_" not in f.name and "_caption_" not in f.name])
    manifest = commit_rows(tmp_path / "shards", [rows], Stage.SHARD, files=files, schema=earlier)
    found = found_in(manifest, depth="deep")
    assert (fault_texts(found), found.checked["images"], found.checked["sidecars"]) == ([], 2, 0)


def test_a_missing_shard_is_one_fault(sharded, tmp_path):
    (tmp_path / "shards" / "00001.tar").unlink()
    found = found_in(sharded, depth="deep")
    assert fault_texts(found) == ["00001.tar: missing; rows that depend on it: 10"]
    assert found.checked["images"] == 10


def test_rows_taken_from_shards_are_read_from_those_shards(sharded, tmp_path):
    rows = sharded.read_part(sharded.parts[0]).to_pylist()[:4]
    derivation = {"operation": "sample", "shards_at": sharded.uri}
    sample = commit_rows(tmp_path / "sample", [rows], Stage.SHARD, derivation=derivation)
    found = found_in(sample, depth="deep")
    assert (fault_texts(found), found.checked["images"]) == ([], 4)


# --- the command


def test_the_command_reports_a_valid_manifest(scanned, tmp_path):
    for options in (["--quick"], [], ["--deep", "--fraction", "0.5"]):
        done = run(scanned.uri, *options)
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1] == f"{scanned.uri}: valid"
    assert "checked (deep): 2 parts, " in done.stdout


def test_the_command_reports_faults_and_exits_with_one(scanned, tars, tmp_path):
    next(iter(tars.values())).unlink()
    done = run(tmp_path / "scan", "--deep", "--json")
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert (answer["uri"], answer["depth"], answer["is_whole"], answer["fault_count"]) == (
        scanned.uri,
        "deep",
        False,
        1,
    )
    assert answer["faults"] == [
        {
            "where": next(iter(tars)),
            "what": "missing; rows looked at that depend on it: 10",
            "next": "restore it as it was when it was scanned, or scan it again",
        }
    ]
    assert answer["checked"]["images"] == 10
    lines = run(tmp_path / "scan", "--deep").stdout.splitlines()
    assert lines[0] == (
        f"{next(iter(tars))}: missing; rows looked at that depend on it: 10; restore it as it was when it was "
        "scanned, or scan it again"
    )
    assert lines[-1] == f"{scanned.uri}: 1 fault"


def test_the_limit_applies_to_what_is_printed(tmp_path):
    manifest = commit_rows(tmp_path / "m", [[{"key": f"k{n // 2}"} for n in range(140)]])
    lines = run(manifest.uri, "--quick").stdout.splitlines()
    assert len(lines) == 53
    assert lines[50] == "and 20 more faults; --limit 0 prints all"
    assert lines[-1] == f"{manifest.uri}: 70 faults"
    assert len(json.loads(run(manifest.uri, "--quick", "--limit", "3", "--json").stdout)["faults"]) == 3
    assert len(run(manifest.uri, "--quick", "--limit", "0").stdout.splitlines()) == 72


def test_a_key_with_line_breaks_stays_on_its_line(tmp_path):
    key = "a\x1b[31m\nb\u202e[bold]"
    done = run(commit_rows(tmp_path / "m", [[{"key": key}, {"key": key}]]).uri, "--quick")
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 3
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout


@pytest.mark.parametrize(
    "options", [["--quick", "--deep"], ["--fraction", "0.1"], ["--deep", "--fraction", "1.5"], ["--limit", "-1"]]
)
def test_options_that_do_not_fit(scanned, options):
    done = run(scanned.uri, *options)
    assert done.exit_code == 2
    assert "Traceback" not in done.output


def test_nothing_to_verify(tmp_path: Path):
    done = run(tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "no manifest here" in done.stderr
