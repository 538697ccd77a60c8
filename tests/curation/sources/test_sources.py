"""Patterns become sources: each once, with an order and names that do not depend on where they are stored."""

import os
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.sources.byte_ranges import ByteRange, read_ranges
from curation.sources.keys import sample_key
from curation.sources.sources import expand
from manifests import storage
from manifests.errors import BrokenSource, InputError, StorageUnavailable
from tests.support.object_store import bucket_of


@pytest.fixture
def data(tmp_path):
    """A folder with five tars, two in a folder below."""
    (tmp_path / "sub").mkdir()
    for i, name in enumerate(["00000.tar", "00001.tar", "00002.tar", "sub/00000.tar", "sub/00007.tar"]):
        (tmp_path / name).write_bytes(b"x" * (i + 1))
    return tmp_path


def names(patterns):
    return [s.name for s in expand([str(p) for p in patterns])]


def refusal(patterns):
    with pytest.raises(InputError) as error:
        expand([str(p) for p in patterns])
    return str(error.value)


def test_plain_tar(data):
    (source,) = expand([str(data / "00001.tar")])
    assert source.uri == f"file://{data}/00001.tar"
    assert (source.root, source.name, source.size_bytes) == (f"file://{data}/", "00001.tar", 2)
    assert not source.is_folder


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("{00000..00002}.tar", ["00000.tar", "00001.tar", "00002.tar"]),
        ("{00002,00000}.tar", ["00000.tar", "00002.tar"]),
        ("{00001..00001}.tar", ["00001.tar"]),
        ("{.,sub}/00000.tar", ["00000.tar", "sub/00000.tar"]),
        ("*.tar", ["00000.tar", "00001.tar", "00002.tar"]),
        ("**/*.tar", ["00000.tar", "00001.tar", "00002.tar", "sub/00000.tar", "sub/00007.tar"]),
        ("0000?.tar", ["00000.tar", "00001.tar", "00002.tar"]),
        ("0000[12].tar", ["00001.tar", "00002.tar"]),
        ("s*/*.tar", ["sub/00000.tar", "sub/00007.tar"]),
        ("sub/*.tar", ["sub/00000.tar", "sub/00007.tar"]),
    ],
)
def test_braces_and_globs(data, pattern, found):
    sources = expand([f"{data}/{pattern}"])
    assert sorted(s.uri.removeprefix(f"file://{data}/") for s in sources) == found


def test_names_begin_where_the_pattern_stops_being_literal(data):
    assert names([data / "*.tar"]) == ["00000.tar", "00001.tar", "00002.tar"]
    assert names([data / "sub" / "{00000,00007}.tar"]) == ["00000.tar", "00007.tar"]
    assert names([data / "{sub,sub}/0000[0-9].tar"]) == ["sub/00000.tar", "sub/00007.tar"]
    assert names([data / "s[u]b/00000.tar"]) == ["sub/00000.tar"]
    assert names([data / "sub" / "{../00001,00007}.tar"]) == ["00001.tar", "00007.tar"]


def test_relative_paths_and_home(data, monkeypatch):
    monkeypatch.chdir(data)
    monkeypatch.setenv("HOME", str(data))
    assert expand(["00001.tar"]) == expand(["~/00001.tar"]) == expand([f"{data}/sub/../00001.tar"])
    assert expand(["00001.tar"]) == expand([f"file://{data}/00001.tar"])


def test_one_source_named_twice_is_one_and_order_never_matters(data):
    patterns = [data / "*.tar", data / "00001.tar", data / "**/*.tar", f"file://{data}/{{00000..00001}}.tar"]
    first = expand([str(p) for p in patterns])
    assert len(first) == 5
    assert first == expand([str(p) for p in reversed(patterns)])
    assert [s.name for s in first] == sorted(s.name for s in first)
    by_name = expand([str(data / "sub/*.tar"), str(data / "**/*.tar")])
    assert [s.name for s in by_name] == [s.name for s in first]


def test_missing_files_are_counted_and_named(data):
    message = refusal([data / "{00000..00009}.tar", data / "gone.tar"])
    assert "8 of 11 named sources do not exist" in message
    assert "00003.tar" in message
    assert "and 3 more" in message
    assert "00009.tar" not in message
    assert "does not exist" not in refusal([data / "no/such/x.tar"]) and "1 of 1" in refusal([data / "no/x.tar"])
    assert "1 of 1" in refusal([data / "00000.tar" / "x.tar"])


def test_globs_must_match(data):
    assert "no .tar file matches" in refusal([data / "*.nope.tar"])
    assert "no .tar file matches" in refusal([data / "no" / "*.tar"])
    (data / "a.parquet").write_bytes(b"")
    assert "(1 other files do)" in refusal([data / "*.parquet"])
    assert "a.parquet" not in names([data / "*"])
    assert "no folder matches" in refusal([f"{data}/x*/"])


def test_open_braces_and_empty_patterns(data):
    assert "a brace is not closed" in refusal([data / "{00000..00001.tar"])
    assert "no sources were given" in refusal([])


def test_links_to_tars_are_their_targets_state(data):
    (data / "links").mkdir()
    (data / "links" / "a.tar").symlink_to(data / "00002.tar")
    (source,) = expand([f"{data}/links/*.tar"])
    (target,) = expand([f"{data}/00002.tar"])
    assert (source.size_bytes, source.etag) == (target.size_bytes, target.etag)
    (data / "links" / "b.tar").symlink_to(data / "gone")
    assert "1 of 2" in refusal([f"{data}/links/*.tar"])


@pytest.mark.parametrize("ending", ["tar.gz", "tgz", "tar.zst", "tar.bz2", "tar.xz", "TAR.GZ"])
def test_compressed_tars_are_refused_with_advice(data, ending):
    (data / f"x.{ending}").write_bytes(b"")
    for pattern in (f"x.{ending}", f"*.{ending}", f"{{x,y}}.{ending}", "x.*"):
        message = refusal([data / pattern])
        assert "needs plain tars" in message
        assert f"x.{ending}" in message
    assert ("gunzip -k" in message) == ("z2" not in ending and "g" in ending.lower())


@pytest.mark.parametrize(
    "pattern",
    [
        "s3://AKIAXYZ:S3CRET@bucket/x.tar",
        "s3://AKIAXYZ:S3C/RET@bucket/{0..9}.tar",
        "https://user:S3CRET@host/x.tar",
        "https://host/x.tar?X-Amz-Signature=S3CRET&x=1",
        "https://host/x.tar?x=1&x-amz-security-token=S3CRET",
        "https://a.blob.core.windows.net/x.tar?sv=1&sig=S3CRET",
        "https://host/x.tar?token=S3CRET",
        "https://host/x.tar?access_token=S3CRET",
    ],
)
def test_credentials_are_refused_and_never_shown(tmp_path, pattern):
    listed = tmp_path / "list.txt"
    listed.write_text(f"\n{pattern}\n")
    for message in (refusal([pattern]), refusal([f"@{pattern}"]), refusal([listed])):
        assert "contains credentials" in message
        assert "CRET" not in message and "RET@" not in message
    assert "line 2" in message


def test_uris_without_credentials_are_not_refused():
    fs = fsspec.filesystem("memory")
    for name in ("a:b@c.tar", "x?tokens=1.tar", "host:80/y@z.tar"):
        fs.pipe_file(f"/ok/{name}", b"x")
    try:
        assert len(expand(["memory://ok/a:b@c.tar", "memory://ok/host:80/y@z.tar"])) == 2
    finally:
        fs.rm("/ok", recursive=True)


def test_tars_behind_http(data):
    handler = partial(SimpleHTTPRequestHandler, directory=data)
    handler.log_message = None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        sources = expand([f"{url}/{{00000..00002}}.tar"])
        assert [(s.uri, s.name, s.size_bytes) for s in sources] == [
            (f"{url}/{i:05}.tar", f"{i:05}.tar", i + 1) for i in range(3)
        ]
        assert len({s.etag for s in sources}) == 3
        assert "2 of 4" in refusal([f"{url}/{{00001..00004}}.tar"])
        server.shutdown()


# --- lists ---------------------------------------------------------------------------------------


def test_lists(data, monkeypatch):
    (data / "list.txt").write_text("\ufeff# all\n\n  0000[01].tar \r\nsub/00007.tar\n#x\n", encoding="utf-8")
    (data / "plain").write_text("sub/00000.tar\n")
    monkeypatch.chdir("/")
    for pattern in (f"@{data}/list.txt", f"{data}/list.txt"):
        assert names([pattern]) == ["00000.tar", "00001.tar", "sub/00007.tar"]
    assert names([f"@{data}/plain"]) == ["sub/00000.tar"]


def test_absolute_lines_are_named_as_without_a_list(data):
    (data / "list.txt").write_text(f"{data}/sub/00007.tar\n")
    assert expand([f"@{data}/list.txt"]) == expand([f"{data}/sub/00007.tar"])


def test_lists_that_cannot_be_read(data):
    assert "not a list" in refusal([data / "gone.txt"])
    assert "not a list" in refusal([f"@{data}"])
    (data / "outer.txt").write_text("inner.txt\n")
    assert "line 1: a list in a list" in refusal([data / "outer.txt"])


# --- folders -------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for name in (
        "b.jpg",
        "a/c.PNG",
        "a/c.txt",
        "z.jpeg",
        "._b.jpg",
        "__MACOSX/b.jpg",
        "notes.md",
        "a.b.webp",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_is_one_source(photos, slash):
    (source,) = expand([f"{photos}{slash}"])
    assert source.is_folder
    assert (source.uri, source.root, source.name) == (f"file://{photos}/", f"file://{photos}/", "")
    listed = [("a.b.webp", 8), ("a/c.PNG", 7), ("a/c.txt", 7), ("b.jpg", 5), ("z.jpeg", 6)]
    assert [(file.path, file.size_bytes) for file in source.files] == listed
    assert source.size_bytes == 33
    assert expand([str(photos), f"{photos}/"]) == [source]


def test_folders_by_glob_and_brace_have_their_own_names(photos):
    other = photos.parent / "other"
    other.mkdir()
    (other / "b.jpg").write_bytes(b"")
    assert names([f"{photos.parent}/*/"]) == ["other/", "photos/"]
    assert names([f"{photos.parent}/{{photos,other}}/"]) == ["other/", "photos/"]
    assert names([f"{photos.parent}/{{photos,other}}"]) == ["other/", "photos/"]


def test_folders_without_images_are_refused(data):
    assert f"it has 5 tars: write file://{data}/**/*.tar" in refusal([f"{data}/"])
    assert "check the name" in refusal([f"{data}/gone/"])


def test_a_loop_of_links_ends(photos):
    (photos / "loop").symlink_to(photos)
    (source,) = expand([str(photos)])
    assert len(source.files) == 5


# --- state and names -----------------------------------------------------------------------------


def test_etag_changes_with_the_content_and_only_then(data, photos):
    def etags():
        return [s.etag for s in expand([f"{data}/00000.tar", f"{photos}/"])]

    before = etags()
    assert etags() == before
    os.utime(data / "00000.tar", ns=(10**18, 10**18))
    (photos / "notes.md").write_text("no image")
    folder, tar = before
    assert etags()[0] == folder
    assert etags()[1] != tar
    (photos / "b.jpg").write_bytes(b"other")
    os.utime(photos / "b.jpg", ns=(10**18, 10**18))
    assert etags()[0] != folder


def test_two_roots_may_have_the_same_name_and_one_pattern_makes_it_unique(data):
    found = expand([str(data / "sub" / "00000.tar"), str(data / "00000.tar")])
    assert [s.name for s in found] == ["00000.tar", "00000.tar"]
    assert [s.root for s in found] == [f"file://{data}/", f"file://{data}/sub/"]
    assert names([data / "{.,sub}" / "00000.tar"]) == ["00000.tar", "sub/00000.tar"]


@given(st.permutations(["00000.tar", "00001.tar", "s/00000.tar", "s/t/x.tar"]), st.integers(0, 3))
def test_names_do_not_depend_on_order_or_place(order, place):
    fs = fsspec.filesystem("memory")
    fs.rm("/law", recursive=True) if fs.exists("/law") else None
    for name in order:
        fs.pipe_file(f"/law/{place}/{name}", b"x")
    found = expand([f"memory://law/{place}/**/*.tar", *(f"memory://law/{place}/{n}" for n in order[:2])])
    assert [s.name for s in found] == ["00000.tar", "00001.tar", "s/00000.tar", "s/t/x.tar"]
    assert all(s.uri == f"memory://law/{place}/{s.name}" for s in found)


# --- object storage ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket():
    """A bucket with 40 tars and some photos, behind a server on this machine."""
    with bucket_of("crawl") as client:
        for name in [f"d/{i:05}.tar" for i in range(40)] + ["p/a.jpg", "p/q/b.png", "p/a.txt"]:
            client.put_object(Bucket="crawl", Key=name, Body=name.encode())
        yield client


def test_s3_lists_a_folder_once(bucket, monkeypatch):
    fs, _ = storage.filesystem("s3://crawl/d")
    calls = []
    original = type(fs)._call_s3

    async def counted(self, method, *arguments, **options):
        calls.append(method)
        return await original(self, method, *arguments, **options)

    monkeypatch.setattr(type(fs), "_call_s3", counted)
    sources = expand(["s3://crawl/d/{00000..00039}.tar"])
    assert [s.uri for s in sources] == [f"s3://crawl/d/{i:05}.tar" for i in range(40)]
    assert len(calls) <= 4, "two of them ask whether something has this very name, braces and all"
    etag = bucket.head_object(Bucket="crawl", Key="d/00007.tar")["ETag"].strip('"')
    assert (sources[7].etag, sources[7].size_bytes) == (etag, 11)


def test_s3_globs_folders_and_missing_objects(bucket):
    assert expand(["s3://crawl/d/*.tar"]) == expand(["s3://crawl/d/{00000..00039}.tar"])
    assert expand(["s3://crawl/**/*.tar"])[0].name == "d/00000.tar"
    assert expand(["s3://crawl/d/0000[5].tar"]) == expand(["s3://crawl/d/00005.tar"])
    assert "1 of 1" in refusal(["s3://crawl/d/00040.tar"])
    assert "10 of 50" in refusal(["s3://crawl/d/{00000..00049}.tar"])
    for pattern in ("s3://crawl/p/", "s3://crawl/p"):
        (source,) = expand([pattern])
        assert (source.uri, source.name, source.size_bytes) == ("s3://crawl/p/", "", 23)
        assert [file.path for file in source.files] == ["a.jpg", "a.txt", "q/b.png"]
    (source,) = expand(["s3://crawl"])
    assert [file.path for file in source.files] == ["p/a.jpg", "p/a.txt", "p/q/b.png"]


def test_s3_ranges_past_the_end(bucket):
    def read(offset, size):
        return read_ranges([ByteRange(uri="s3://crawl/d/00003.tar", offset=offset, size_bytes=size)])

    assert read(2, 5) == [b"00003"]
    assert read(11, 0) == [b""]
    for offset, size in ((8, 9), (11, 1), (500, 2)):
        with pytest.raises(BrokenSource, match=r"s3://crawl/d/00003\.tar: . bytes at"):
            read(offset, size)


def test_s3_buckets_that_are_not_there(bucket):
    for pattern in (
        "s3://nobody/x.tar",
        "s3://nobody/{0..20}.tar",
        "s3://nobody/*.tar",
        "s3://nobody/x/",
        "s3://nobody",
    ):
        with pytest.raises(StorageUnavailable, match=r"s3://nobody\S*: there is no bucket nobody; create it"):
            expand([pattern])


def test_s3_lists_see_what_was_just_written(bucket):
    before = len(expand(["s3://crawl/d/*.tar"]))
    bucket.put_object(Bucket="crawl", Key="d/new.tar", Body=b"x")
    assert len(expand(["s3://crawl/d/*.tar"])) == before + 1
    bucket.delete_object(Bucket="crawl", Key="d/new.tar")
    assert len(expand(["s3://crawl/d/*.tar"])) == before


def test_keys_are_the_same_on_disk_and_on_s3(bucket, tmp_path):
    for i in range(40):
        (tmp_path / f"{i:05}.tar").write_bytes(b"x")

    def keys(pattern):
        return [sample_key(s.name, "a.jpg", None, occurrence=0, is_first=True) for s in expand([pattern])]

    assert keys("s3://crawl/d/*.tar") == keys(f"{tmp_path}/*.tar")
