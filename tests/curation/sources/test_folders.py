"""A folder gives the same samples as a tar of the same files, in any slices."""

import io
import os
import socket
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.pictures.image_formats import HEAD_BYTES
from curation.sources import samples
from curation.sources.folders import list_folder, read_folder
from curation.sources.grouping import LEAST_FILE_BYTES, group_sources
from curation.sources.keys import declared_key
from curation.sources.members import Problem, SampleNames
from curation.sources.samples import MAX_CARRIED_BYTES
from curation.sources.sidecars import MAX_SIDECAR_BYTES
from curation.sources.sources import expand
from curation.sources.tars import read_tar
from manifests import storage
from manifests.errors import BrokenSource, InputError
from tests.support.making import tar_bytes
from tests.support.object_store import bucket_of

JPEG = b"\xff\xd8\xff\xe0" + bytes(60)
MAX_IMAGE_BYTES = 5_000


def slices_of(folder, files_each):
    """Return the files of a folder in slices of about `files_each` small files."""
    units = group_sources(expand([folder]), files_each * LEAST_FILE_BYTES)
    return [list(each.files) for unit in units for each in unit]


def of_folder(folder, files_each=1000, names=SampleNames.AUTO):
    """Return the samples of a folder, and the counts of members that are in no sample."""
    found, counts = [], [0, 0]
    for some in slices_of(folder, files_each):
        files = [(file.path, file.size_bytes) for file in some]
        contents = read_folder(folder, files, max_image_bytes=MAX_IMAGE_BYTES, on_image=bytes, names=names)
        found += contents.samples()
        counts[0] += contents.unused_sidecars
    return found, counts[0]


def of_tar(data, names=SampleNames.AUTO):
    contents = read_tar(
        io.BytesIO(data), source="a.tar", max_image_bytes=MAX_IMAGE_BYTES, on_image=bytes, names=names
    )
    return list(contents.samples()), contents.unused_sidecars


def facts_of(samples):
    """Return what rows are made of, except offsets in a source."""
    fields = ("stem", "member", "size", "caption_member", "caption_size", "json_member", "json_size")
    fields += ("caption", "caption_bytes", "json", "problem", "result", "facts", "occurrence")
    return sorted(([getattr(each, name) for name in fields] for each in samples), key=lambda row: row[1])


def both(tmp_path, files, **options):
    """Write `files` as a folder and as a tar, check that they give the same samples, and return these."""
    folder = tmp_path / "folder"
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    loose, unused = of_folder(f"file://{folder}/", **options)
    packed, unused_in_tar = of_tar(tar_bytes(sorted(files.items()), tarfile.PAX_FORMAT))
    assert facts_of(loose) == facts_of(packed)
    assert unused == unused_in_tar
    return {each.member: each for each in loose}


# --- the law -------------------------------------------------------------------------------------

names = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "d/", "d.e/"]),
    st.sampled_from(["a", "b", "22", "é"]),
    st.sampled_from(["", "", ".x", ".b", ".05", ".www.com", ".jpg"]),
    st.sampled_from([".jpg", ".JPG", ".png", ".json", ".JSON", ".txt", ".TXT", ".dat", ".md", "", ".tar.gz"]),
)
contents = st.sampled_from(
    [
        JPEG,
        b"",
        b"no image",
        b'{"uid": "u", "url": "http://x"}',
        b'{"caption": "caf\xe9"}',
        b"{",
        "déjà vu".encode("utf-16"),
        "café".encode("latin-1"),
        JPEG + bytes(MAX_IMAGE_BYTES),
        b"c" * (MAX_SIDECAR_BYTES + 1),
    ]
)


@settings(max_examples=150)
@given(st.dictionaries(names, contents, max_size=9), st.integers(1, 4), st.sampled_from(list(SampleNames)))
def test_a_folder_gives_the_samples_of_a_tar_in_any_slices(tmp_path_factory, files, files_each, how):
    files = {"any.jpg": JPEG, **files}
    clashing = {name for name in files if any(other.startswith(name + "/") for other in files)}
    files = {name: data for name, data in files.items() if name not in clashing}
    folder = tmp_path_factory.mktemp("law")
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    loose, unused = of_folder(f"file://{folder}/", files_each, how)
    packed, unused_in_tar = of_tar(tar_bytes(sorted(files.items()), tarfile.PAX_FORMAT), how)
    assert facts_of(loose) == facts_of(packed)
    assert unused == unused_in_tar


# --- names of sidecars ---------------------------------------------------------------------------


def test_sidecars_of_other_tools(tmp_path):
    found = both(
        tmp_path,
        {
            "take.jpg": JPEG,
            "take.jpg.json": b'{"uid": "take", "caption": "t"}',
            "UP.JPG": JPEG,
            "UP.TXT": b"up",
            "UP.JSON": b'{"uid": "up"}',
            "a.b.jpg": JPEG,
            "a.json": b'{"uid": "ab"}',
            "unused.jpg": JPEG,
            "unused.txt": b"used",
            "unused.jpg.txt": b"not used",
            "alone.txt": b"no image",
        },
    )
    declared = {name: declared_key(each.json) for name, each in found.items()}
    assert (declared["take.jpg"], declared["UP.JPG"], declared["a.b.jpg"]) == ("take", "up", "ab")
    assert (found["UP.JPG"].caption, found["UP.JPG"].caption_member) == ("up", "UP.TXT")
    assert found["take.jpg"].json_member == "take.jpg.json"
    assert found["unused.jpg"].caption == "used"
    assert found["alone.txt"].problem is Problem.NO_IMAGE


def test_large_sidecars_are_located_and_not_read(tmp_path):
    found = both(tmp_path, {"a.jpg": JPEG, "a.txt": b"c" * 1_500_000, "a.json": b'{"x":"' + b"y" * 1_200_000 + b'"}'})
    a = found["a.jpg"]
    assert (a.caption, a.json, a.caption_size, a.json_size) == (None, None, 1_500_000, 1_200_008)
    assert a.facts == (
        "json sidecar is larger than 1 MiB, not read",
        "txt sidecar is larger than 1 MiB, not read",
    )


def test_a_sidecar_too_large_for_memory_is_left_out(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    with (tmp_path / "a.txt").open("wb") as f:
        f.truncate(MAX_CARRIED_BYTES + 1)
    ((a,), unused) = of_folder(f"file://{tmp_path}/")
    assert (a.caption_size, a.facts, unused) == (None, ("txt sidecar is larger than 64 MiB, left out",), 0)


def test_the_sidecars_of_one_source_have_a_budget(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "MAX_SIDECARS_BYTES", 25)
    found = both(
        tmp_path, {f"{n}.{e}": JPEG if e == "jpg" else b"ten bytes!" for n in "abcd" for e in ("jpg", "txt")}
    )
    assert [found[f"{n}.jpg"].caption for n in "abcd"] == ["ten bytes!", "ten bytes!", None, None]
    assert {found[f"{n}.jpg"].caption_size for n in "abcd"} == {10}, "located all the same"
    said = "txt sidecar is not read: those before it in this source have 256 MiB together"
    assert [found[f"{n}.jpg"].facts for n in "abcd"] == [(), (), (said,), (said,)]


def test_no_more_of_a_file_is_read_than_is_wanted(tmp_path, monkeypatch):
    """A large file that is no picture is read to its first bytes; a picture over the limit is not read."""
    (tmp_path / "a.jpg").write_bytes(JPEG)
    for name in ("huge.bin", "huge.jpg", "huge.json"):
        with (tmp_path / name).open("wb") as f:
            f.truncate(1 << 40)
    read, wanted = storage.read_bytes, []
    monkeypatch.setattr(
        storage, "read_bytes", lambda uri, **part: wanted.append(part["end"] - part["start"]) or read(uri, **part)
    )
    files = [(path.name, path.stat().st_size) for path in sorted(tmp_path.iterdir())]
    read_folder(f"file://{tmp_path}/", files, max_image_bytes=1 << 20, on_image=len)
    assert sum(wanted) <= len(JPEG) + HEAD_BYTES


def test_images_are_recognised_by_their_first_bytes_too(tmp_path):
    found = both(tmp_path, {"a": JPEG, "b.dat": JPEG, "b.txt": b"caption", "c.md": b"# no image", "d.jpg": b""})
    assert sorted(found) == ["a", "b.dat", "d.jpg"]
    assert found["b.dat"].caption == "caption"


def test_a_folder_without_an_image_is_refused(tmp_path):
    (tmp_path / "notes.md").write_text("# no image")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match="no folder with images; check the name"):
        list_folder(f"file://{tmp_path}/")


# --- links and other non-files -----------------------------------------------------------------------------


def test_a_link_without_a_target_is_a_sample_with_a_problem(tmp_path):
    (tmp_path / "ok.jpg").write_bytes(JPEG)
    (tmp_path / "link.jpg").symlink_to("ok.jpg")
    (tmp_path / "absent.jpg").symlink_to(".git/annex/objects/XX/SHA256E-s9--00.jpg")
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    (tmp_path / "through.jpg").symlink_to("ok.jpg/deeper")
    (tmp_path / "ok.txt").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "to_folder.jpg").symlink_to("folder.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.jpg"))
        samples, _ = of_folder(f"file://{tmp_path}/")
    found = {each.member: each.problem for each in samples}
    dangling = dict.fromkeys(["absent.jpg", "circle.jpg", "through.jpg"], Problem.DANGLING_LINK)
    other = dict.fromkeys(["pipe.jpg", "socket.jpg"], Problem.NO_FILE)
    assert found == {"ok.jpg": None, "link.jpg": None, **dangling, **other}
    (ok,) = (each for each in samples if each.member == "ok.jpg")
    assert (ok.caption, ok.caption_member) == (None, None)
    assert ok.facts == ("txt sidecar is a link whose target is not there",)


def test_a_link_that_is_fetched_changes_the_state(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    (tmp_path / "b.jpg").symlink_to("later")
    before = list_folder(f"file://{tmp_path}/")
    (tmp_path / "later").write_bytes(JPEG)
    after = list_folder(f"file://{tmp_path}/")
    assert {f.path: f.etag for f in before}["b.jpg"] != {f.path: f.etag for f in after}["b.jpg"]


def test_a_file_deleted_since_it_was_listed_is_named(tmp_path):
    with pytest.raises(
        BrokenSource, match=r"a\.jpg: deleted since the folder was listed; run the same command again"
    ):
        read_folder(f"file://{tmp_path}/", [("a.jpg", 9)], max_image_bytes=9, on_image=bytes)


# --- names that are not UTF-8 ---------------------------------------------------------------------


def test_names_that_are_not_utf8_are_the_same_in_a_tar(tmp_path):
    files = {b"caf\xe9.jpg": JPEG, b"caf\xe9.txt": b"caption", rb"caf\xe9.jpg": JPEG, b"d\xff/\xc3\xa9.jpg": JPEG}
    for name, data in files.items():
        path = tmp_path / "folder" / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8") as tar:
        for name, data in sorted(files.items()):
            header = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    loose, _ = of_folder(f"file://{tmp_path}/folder/")
    assert facts_of(loose) == facts_of(of_tar(packed.getvalue())[0])
    found = {each.member: each for each in loose}
    assert sorted(found) == ["caf\\x5cxe9.jpg", "caf\\xe9.jpg", "d\\xff/é.jpg"]
    assert found["caf\\xe9.jpg"].caption == "caption"
    for each in loose:
        assert storage.read_bytes(storage.join(f"file://{tmp_path}/folder", each.member)) == JPEG


def test_empty_objects_and_other_files_do_not_hinder_a_folder_on_object_storage():
    with bucket_of("photos") as client:
        for name, data in {"p/a.jpg": JPEG, "p/a.txt": b"caption", "p/_SUCCESS": b"", "p/notes.md": b"#"}.items():
            client.put_object(Bucket="photos", Key=name, Body=data)
        client.put_object(Bucket="photos", Key="p/below/", Body=b"")  # what consoles make for an empty folder
        client.put_object(Bucket="photos", Key="p/empty.jpg", Body=b"")
        client.put_object(Bucket="photos", Key="p/empty.json", Body=b"")
        samples, unused = of_folder("s3://photos/p/")
    assert {each.member: (each.size, each.caption) for each in samples} == {
        "a.jpg": (len(JPEG), "caption"),
        "empty.jpg": (0, None),
    }
    assert unused == 0


def test_a_file_that_is_not_an_image_need_not_be_readable(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    (tmp_path / "secret").write_bytes(b"x" * 100)
    (tmp_path / "secret").chmod(0)
    assert [file.path for file in list_folder(f"file://{tmp_path}/")] == ["a.jpg"]
