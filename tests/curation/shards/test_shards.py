"""Shards: plans that cover all samples, and tars that contain the bytes of the sources and nothing else."""

import hashlib
import io
import json
import tarfile

import pyarrow as pa
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curation.pictures.decode import DecodeLimits
from curation.scan.measure import Origin, measure, rows
from curation.shards.layout import Layout, ShardForm
from curation.shards.plan import plan_shards, shuffle_place
from curation.shards.read import image_extension
from curation.shards.write import write_shard
from curation.sources.byte_ranges import BYTES_AT_ONCE, in_groups
from curation.sources.folders import list_folder, read_folder
from curation.sources.members import IMAGE_EXTENSIONS
from curation.sources.tars import read_tar
from manifests import storage
from manifests.errors import BrokenSource
from manifests.format.schema import COLUMNS, Stage, schema

KEPT = schema(Stage.CHOOSE)
LIMITS = DecodeLimits()
ORIGINAL = ShardForm(layout=Layout.ORIGINAL)


def picture(number, kind="PNG"):
    """Return a small picture; each number has different bytes."""
    out = io.BytesIO()
    Image.new("RGB", (40, 30), (number % 256, 40, 90)).save(out, kind)
    return out.getvalue()


MEMBERS = {
    "000.jpg": picture(0, "JPEG"),
    "000.json": json.dumps({"uid": "u-000", "url": "http://x/0", "caption": "from json"}).encode(),
    "000.txt": "naïve caption\r\n".encode(),
    "001.png": picture(1),
    "001.json": b'{"caption": "from the json", "n" : 1}',
    "002.webp": picture(2, "WEBP"),
    "003.JPEG": picture(3, "JPEG"),
    "003.txt": b"",
    "004": picture(4),
    "d/005.x.jpg": picture(5, "JPEG"),
    "d/005.x.txt": "déjà vu".encode("latin-1"),
}


def make_tar(path, members):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return f"file://{path}"


def chosen(batches):
    """Return scanned rows with the columns of the choose stage, all kept."""
    table = pa.Table.from_batches(list(batches), schema(Stage.SCAN))
    added = {"keep": pa.array([True] * table.num_rows), "cluster_id": table.column("key")}
    for field in KEPT:
        if field.name not in table.schema.names:
            table = table.append_column(field, added.get(field.name, pa.nulls(table.num_rows, field.type)))
    return table.cast(KEPT)


def scan_tar(uri):
    with storage.open_input(uri) as f:
        contents = read_tar(f, source=uri, max_image_bytes=1 << 20, on_image=lambda data: measure(data, LIMITS))
    return chosen(rows(contents.samples(), Origin(uri=uri, name="0.tar")))


def read_members(uri):
    """Return (name, bytes, offset) of every member of a tar."""
    data = storage.read_bytes(uri)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(m.name, data[m.offset_data : m.offset_data + m.size], m.offset_data) for m in tar]


@pytest.fixture
def source(tmp_path):
    return make_tar(tmp_path / "00000.tar", MEMBERS)


@pytest.fixture
def output(tmp_path):
    return f"file://{tmp_path}/out"


# --- plans ---------------------------------------------------------------------------------------

counts = st.integers(0, 300)


def require_plan(plan, samples):
    sizes = plan.sizes()
    assert sum(sizes) == samples
    assert len(sizes) == plan.shards
    assert all(size > 0 for size in sizes)
    return sizes


@given(counts, st.integers(1, 50))
def test_shards_by_count(samples, samples_per_shard):
    plan = plan_shards(samples, 10 * samples, samples_per_shard=samples_per_shard, target_shard_bytes=None)
    sizes = require_plan(plan, samples)
    assert all(size == samples_per_shard for size in sizes[:-1])


@given(counts, st.integers(0, 10_000), st.integers(1, 10_000))
def test_even_shards_by_bytes(samples, image_bytes, target_shard_bytes):
    plan = plan_shards(samples, image_bytes, samples_per_shard=7, target_shard_bytes=target_shard_bytes)
    sizes = require_plan(plan, samples)
    if samples:
        assert max(sizes) - min(sizes) <= 1
        assert plan.shards == min(samples, max(1, -(-image_bytes // target_shard_bytes)))


@pytest.mark.parametrize("target_shard_bytes", [None, 100])
def test_no_samples_make_no_shards(target_shard_bytes):
    plan = plan_shards(0, 0, samples_per_shard=10, target_shard_bytes=target_shard_bytes)
    assert (plan.shards, plan.sizes()) == (0, [])


@given(st.lists(st.text("ab0", max_size=4), unique=True))
def test_places_in_the_shuffle_depend_on_key_and_salt(keys):
    places = [shuffle_place("salt", key) for key in keys]
    assert all(len(place) == 8 for place in places)
    assert len(set(places)) == len(keys)
    numbers = [int.from_bytes(place, "big") for place in places]
    assert sorted(places) == [n.to_bytes(8, "big") for n in sorted(numbers)]
    assert places == [shuffle_place("salt", key) for key in keys]
    assert not keys or places != [shuffle_place("other", key) for key in keys]


@given(st.lists(st.integers(0, BYTES_AT_ONCE * 2), max_size=12))
def test_groups_contain_every_place_once_in_order_and_bound_the_memory(sizes):
    found = in_groups(range(len(sizes)), sizes)
    assert [place for window in found for place in window] == list(range(len(sizes)))
    assert all(len(w) == 1 or sum(sizes[p] for p in w) <= BYTES_AT_ONCE for w in found)


# --- tars ----------------------------------------------------------------------------------------


def test_images_and_utf8_sidecars_are_copied_byte_for_byte(source, output):
    table = scan_tar(source)
    written = write_shard(output, "00007", table, ORIGINAL)
    key = dict(zip(table.column("member").to_pylist(), table.column("key").to_pylist(), strict=True))
    found = {name: data for name, data, _ in read_members(f"{output}/00007.tar")}
    assert key["000.jpg"] == "u-000"
    assert found == {
        "u-000.jpg": MEMBERS["000.jpg"],
        "u-000.json": MEMBERS["000.json"],
        "u-000.txt": MEMBERS["000.txt"],
        f"{key['001.png']}.png": MEMBERS["001.png"],
        f"{key['001.png']}.json": MEMBERS["001.json"],
        f"{key['001.png']}.txt": b"from the json",  # it had no caption sidecar: the column gives it one
        f"{key['002.webp']}.webp": MEMBERS["002.webp"],
        f"{key['003.JPEG']}.jpeg": MEMBERS["003.JPEG"],
        f"{key['003.JPEG']}.txt": b"",
        f"{key['004']}.png": MEMBERS["004"],  # it had no extension: its format gives it one
        f"{key['d/005.x.jpg']}.jpg": MEMBERS["d/005.x.jpg"],
        f"{key['d/005.x.jpg']}.txt": "déjà vu".encode(),  # no trainer has to guess an encoding
    }
    assert written.batch.num_rows == 6


def test_rows_have_the_place_of_each_image(source, output):
    table = scan_tar(source)
    batch = write_shard(output, "00007", table, ORIGINAL).batch
    assert batch.schema.names == schema(Stage.SHARD).names
    assert batch.select(KEPT.names).equals(table)
    data = storage.read_bytes(f"{output}/00007.tar")
    for place, row in enumerate(batch.to_pylist()):
        image = data[row["shard_offset"] : row["shard_offset"] + row["shard_size"]]
        assert hashlib.sha256(image).hexdigest() == row["sha256"]
        assert (row["shard"], row["shard_index"], row["shard_size"]) == ("00007.tar", place, row["size"])
    found = {offset: (name, data) for name, data, offset in read_members(f"{output}/00007.tar")}
    for kind, extension in (("json", "json"), ("caption", "txt")):
        for row in batch.to_pylist():
            offset, size = row[f"shard_{kind}_offset"], row[f"shard_{kind}_size"]
            name = f"{row['key']}.{extension}"
            if offset is None:
                assert size is None
                assert name not in [member for member, _ in found.values()]
            else:
                assert (found[offset][0], len(found[offset][1])) == (name, size)


def test_members_are_in_the_order_of_rows_the_image_first(source, output):
    table = scan_tar(source).sort_by([("key", "descending")])
    write_shard(output, "00007", table, ORIGINAL)
    names = [name for name, *_ in read_members(f"{output}/00007.tar")]
    keys = [name.split(".")[0] for name in names]
    assert list(dict.fromkeys(keys)) == table.column("key").to_pylist()
    assert keys == sorted(keys, reverse=True)
    order = {**dict.fromkeys(IMAGE_EXTENSIONS, 0), "json": 1, "txt": 2}
    for key in set(keys):
        extensions = [order[name.split(".")[1]] for name in names if name.startswith(f"{key}.")]
        assert extensions == sorted(extensions)
        assert extensions[0] == 0


def test_the_tar_is_plain_ustar_without_a_clock(source, output):
    write_shard(output, "00007", scan_tar(source), ORIGINAL)
    data = storage.read_bytes(f"{output}/00007.tar")
    assert data[257:263] == b"ustar\0"
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
        assert all((m.type, m.pax_headers, m.uid, m.gid) == (tarfile.REGTYPE, {}, 0, 0) for m in members)
        assert len({(m.mtime, m.mode, m.uname, m.gname) for m in members}) == 1


def test_the_same_samples_make_the_same_bytes(source, tmp_path):
    table = scan_tar(source)
    folders = [f"file://{tmp_path}/{name}" for name in ("one", "two")]
    first, second = (write_shard(folder, "00000", table, ORIGINAL) for folder in folders)
    assert first.files == second.files
    assert first.batch.equals(second.batch)
    for name, about in first.files.items():
        one, two = (storage.read_bytes(f"{folder}/{name}") for folder in folders)
        assert one == two
        assert about == {"bytes": len(one), "sha256": hashlib.sha256(one).hexdigest()}
    names = ["00000.idx", "00000.tar", "00000.tar.idx", "00000_stats.json"]
    assert sorted(storage.list_names(folders[0])) == sorted(first.files) == names


def test_statistics_are_like_those_of_img2dataset(source, output):
    written = write_shard(output, "00000", scan_tar(source), ORIGINAL)
    stats = json.loads(storage.read_bytes(f"{output}/00000_stats.json"))
    assert (stats["count"], stats["successes"], stats["status_dict"]) == (6, 6, {"ok": 6})
    assert stats["image_bytes"] == sum(len(MEMBERS[m]) for m in written.batch.column("member").to_pylist())
    assert stats["tar_sha256"] == written.files["00000.tar"]["sha256"]


def test_webdataset_reads_it(source, tmp_path):
    table = scan_tar(source)
    write_shard(f"file://{tmp_path}/out", "00000", table, ORIGINAL)
    samples = list(webdataset.WebDataset(f"{tmp_path}/out/00000.tar", shardshuffle=False))
    assert [s["__key__"] for s in samples] == table.column("key").to_pylist()
    images = [next(s[e] for e in ("jpg", "jpeg", "png", "webp") if e in s) for s in samples]
    assert [hashlib.sha256(i).hexdigest() for i in images] == table.column("sha256").to_pylist()
    assert samples[1]["txt"] == b"from the json"


def test_a_shard_can_be_scanned_again(source, output):
    table = scan_tar(source)
    batch = write_shard(output, "00000", table, ORIGINAL).batch
    again = scan_tar(f"{output}/00000.tar")
    assert again.column("sha256").equals(table.column("sha256"))
    assert again.column("offset").equals(batch.column("shard_offset"))
    assert again.column("width").equals(table.column("width"))


def test_no_rows_make_an_empty_tar(output):
    written = write_shard(output, "00000", KEPT.empty_table(), ORIGINAL)
    assert written.batch.num_rows == 0
    assert read_members(f"{output}/00000.tar") == []


# --- samples of several sources ------------------------------------------------------------------


def test_samples_of_several_tars_and_storages(tmp_path, output):
    here = make_tar(tmp_path / "1.tar", {"a.png": picture(1), "a.txt": b"one"})
    make_tar(tmp_path / "2.tar", {"b.png": picture(2), "b.txt": b""})
    storage.write_bytes("memory://shards/2.tar", (tmp_path / "2.tar").read_bytes())
    table = pa.concat_tables([scan_tar("memory://shards/2.tar"), scan_tar(here)])
    write_shard(output, "00000", table, ORIGINAL)
    contents = [data for _, data, _ in read_members(f"{output}/00000.tar")]
    assert contents == [picture(2), b"", picture(1), b"one"]


def loose(folder, files):
    for name, data in files.items():
        storage.write_bytes(folder + name, data)
    listed = [(file.path, file.size_bytes) for file in list_folder(folder)]
    found = read_folder(folder, listed, max_image_bytes=1 << 20, on_image=lambda data: measure(data, LIMITS))
    return chosen(rows(found.samples(), Origin(uri=folder, name="")))


@pytest.mark.parametrize("place", ["file", "memory"])
def test_loose_files_of_a_folder(place, tmp_path, output):
    folder = f"file://{tmp_path}/photos [1] naïve/" if place == "file" else "memory://shards/photos/"
    files = {
        "a.jpg": picture(1, "JPEG"),
        "a.txt": b"caption",
        "sub dir/b.PNG": picture(2),
        "sub dir/b.json": b'{"caption": "from json"}',
        "c.d.webp": picture(3, "WEBP"),
    }
    table = loose(folder, files)
    write_shard(output, "00000", table, ORIGINAL)
    a, c, b = table.column("key").to_pylist()
    assert [(name, data) for name, data, _ in read_members(f"{output}/00000.tar")] == [
        (f"{a}.jpg", files["a.jpg"]),
        (f"{a}.txt", b"caption"),
        (f"{c}.webp", files["c.d.webp"]),
        (f"{b}.png", files["sub dir/b.PNG"]),
        (f"{b}.json", files["sub dir/b.json"]),
        (f"{b}.txt", b"from json"),
    ]


# --- hostile names -------------------------------------------------------------------------------


@given(st.text(max_size=20), st.sampled_from(["JPEG", "PNG", None, "MPO"]))
def test_an_extension_is_always_a_known_one_or_the_formats(member, format):
    extension = image_extension({"member": member, "format": format})
    assert extension in IMAGE_EXTENSIONS or extension == (format or "img").lower()
    assert extension.isalnum()


@pytest.mark.parametrize(
    ("member", "extension"),
    [
        ("a.jpg/../../../etc/cron.d/x", "png"),
        ("../../a.JPG", "jpg"),
        ("a.png\n", "png"),
        ("a.p ng", "png"),
        (".jpg", "png"),
        ("a.jpg.exe", "png"),
        ("a." + "j" * 90, "png"),
        ("a.", "png"),
    ],
)
def test_hostile_names_stay_out_of_the_tar(member, extension, tmp_path, output):
    table = scan_tar(make_tar(tmp_path / "0.tar", {member: picture(1)}))
    write_shard(output, "00000", table, ORIGINAL)
    (key,) = table.column("key").to_pylist()
    assert [name for name, *_ in read_members(f"{output}/00000.tar")] == [f"{key}.{extension}"]


# --- changed sources -----------------------------------------------------------------------------


def refusal(output, table):
    with pytest.raises(BrokenSource) as error:
        write_shard(output, "00000", table, ORIGINAL)
    assert storage.list_names(output) == []  # nothing half-written is left
    return str(error.value)


@pytest.mark.parametrize("place", ["file", "memory"])
def test_a_source_that_changed_is_named(place, source, output):
    data = storage.read_bytes(source)
    uri = source if place == "file" else "memory://shards/00000.tar"
    storage.write_bytes(uri, data)
    table = scan_tar(uri)
    row = table.to_pylist()[1]
    flipped = bytearray(data)
    flipped[row["offset"] + 50] ^= 1
    storage.write_bytes(uri, bytes(flipped))
    assert f"{uri}: the sha256 of 001.png differs from the manifest's" in refusal(output, table)
    storage.write_bytes(uri, data[: row["offset"] + 10])
    assert f"{uri}: 10 bytes at {row['offset']}, not {row['size']}" in refusal(output, table)
    storage.remove(uri)
    assert f"{uri}: missing" in refusal(output, table)
    storage.write_bytes(uri, data)
    assert write_shard(output, "00000", table, ORIGINAL).batch.num_rows == 6


def test_a_loose_file_that_changed_is_named(tmp_path, output):
    folder = f"file://{tmp_path}/photos/"
    table = loose(folder, {"a.png": picture(1), "a.txt": b"caption"})
    storage.write_bytes(folder + "a.png", picture(2))
    assert f"{folder}a.png: " in refusal(output, table)
    storage.write_bytes(folder + "a.png", picture(1))
    storage.remove(folder + "a.txt")
    assert f"{folder}a.txt: missing" in refusal(output, table)


def test_the_stage_adds_the_columns_it_declares(source, output):
    batch = write_shard(output, "00000", scan_tar(source), ORIGINAL).batch
    added = batch.schema.names[len(KEPT.names) :]
    assert added == [f.name for f in COLUMNS[Stage.SHARD]]
    assert batch.cast(schema(Stage.SHARD)).num_rows == 6
