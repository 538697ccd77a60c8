"""One contract for every storage: files are complete or absent, listed as written, and errors are the same."""

import hashlib
import subprocess
import sys
import threading
from pathlib import Path

import boto3
import fsspec
import fsspec.config
import pytest
import s3fs
from fsspec.implementations.memory import MemoryFileSystem
from moto.server import ThreadedMotoServer

from curation.sources.byte_ranges import ByteRange, read_ranges
from manifests import storage
from manifests.errors import BrokenSource, InputError

# The destructor of a discarded file must not put it after all.
pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")

TOP = Path(__file__).resolve().parents[2]
NAMES = ["plain.parquet", "with space.json", "naïve-日本.tar", "a+b=c&d#e%20f.txt", "[1] what?.tar", ".dot"]


@pytest.fixture(scope="module")
def server():
    """An object store on this machine, which every process finds by its environment."""
    started = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "x")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "x")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        client = boto3.client("s3")
        client.create_bucket(Bucket="bucket")
        yield client
    s3fs.S3FileSystem.clear_instance_cache()
    started.stop()


@pytest.fixture
def s3(server):
    """A client of an empty bucket."""
    yield server
    objects = server.list_objects_v2(Bucket="bucket").get("Contents", [])
    if objects:
        server.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": o["Key"]} for o in objects]})


@pytest.fixture(params=["path", "file", "memory", "s3"])
def folder(request, tmp_path):
    """A folder that does not exist yet, in each storage."""
    if request.param == "memory":
        MemoryFileSystem.store.clear()
        MemoryFileSystem.pseudo_dirs[:] = [""]
        return "memory://top/folder"
    if request.param == "s3":
        request.getfixturevalue("s3")
        return "s3://bucket/folder"
    return f"{'file://' if request.param == 'file' else ''}{tmp_path}/folder"


def everything_below(folder):
    """Return all names in the parent of `folder` and below, hidden ones, too."""
    fs, path = storage.filesystem(folder)
    fs.invalidate_cache()
    top = path.rsplit("/", 1)[0]
    return sorted(name[len(top) :] for name in fs.find(top))


# --- the contract --------------------------------------------------------------------------------


def test_written_then_read(folder):
    uri = storage.join(folder, "deep", "er", "a.json")
    assert not storage.exists(uri)
    storage.write_bytes(uri, b"content")
    assert storage.exists(uri)
    assert storage.read_bytes(uri) == b"content"
    assert storage.list_names(storage.join(folder, "deep", "er")) == ["a.json"]
    assert storage.list_names(folder) == ["deep"]
    assert everything_below(folder) == ["/folder/deep/er/a.json"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_kind(folder, name):
    uri = storage.join(folder, name)
    storage.write_bytes(uri, name.encode())
    assert storage.exists(uri)
    assert storage.read_bytes(uri) == name.encode()
    assert storage.list_names(folder) == [name]
    assert storage.read_many(folder, [name]) == {name: name.encode()}
    with storage.open_input(uri) as f:
        assert f.read() == name.encode()
    assert read_ranges([ByteRange(uri=uri, offset=1, size_bytes=2)]) == [name.encode()[1:3]]
    storage.remove(uri)
    assert not storage.exists(uri)


def test_many_names_and_odd_folders(folder):
    odd = storage.join(folder, "runs [1] *naïve*")
    for name in NAMES:
        storage.write_bytes(storage.join(odd, name), name.encode())
    assert storage.list_names(odd) == sorted(NAMES)
    assert storage.read_many(odd, NAMES) == {name: name.encode() for name in NAMES}
    assert storage.read_many(odd, []) == {}


def test_a_name_is_never_a_pattern(folder):
    for name in ("a1/x", "a2/x", "a?/x", "a[12]/x", "b*"):
        storage.write_bytes(storage.join(folder, name), b"")
    storage.remove(storage.join(folder, "a?"))
    storage.remove(storage.join(folder, "a[12]"))
    storage.remove(storage.join(folder, "b*"))
    storage.remove(storage.join(folder, "*"))
    assert everything_below(folder) == ["/folder/a1/x", "/folder/a2/x"]


def test_complete_or_absent(folder):
    uri = storage.join(folder, "a.tar")
    storage.write_bytes(storage.join(folder, "b.tar"), b"beside")
    with pytest.raises(RuntimeError, match="half-way"), storage.write_atomically(uri) as f:
        f.write(b"x" * 1000)
        raise RuntimeError("half-way")
    assert not storage.exists(uri)
    assert everything_below(folder) == ["/folder/b.tar"]
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(uri)


def test_absent_after_an_interrupt(folder):
    uri = storage.join(folder, "a.tar")
    with pytest.raises(KeyboardInterrupt), storage.write_atomically(uri) as f:
        f.write(b"x")
        raise KeyboardInterrupt
    assert everything_below(folder) == []


def test_nothing_is_visible_before_the_end(folder):
    uri = storage.join(folder, "a.tar")
    with storage.write_atomically(uri) as f:
        f.write(b"x" * 1000)
        assert not storage.exists(uri)
    assert storage.read_bytes(uri) == b"x" * 1000


def test_overwritten_completely_or_not_at_all(folder):
    uri = storage.join(folder, "a.tar")
    storage.write_bytes(uri, b"first, the longer")
    with pytest.raises(RuntimeError), storage.write_atomically(uri) as f:
        f.write(b"half")
        raise RuntimeError
    assert storage.read_bytes(uri) == b"first, the longer"
    with storage.write_atomically(uri) as f:
        f.write(b"second")
        assert storage.read_bytes(uri) == b"first, the longer"
    assert storage.read_bytes(uri) == b"second"
    assert everything_below(folder) == ["/folder/a.tar"]


def test_two_writers_of_one_name_leave_one_of_their_files(folder):
    uri = storage.join(folder, "part-00000.parquet")
    with storage.write_atomically(uri) as one, storage.write_atomically(uri) as other:
        one.write(b"1" * 50)
        other.write(b"2" * 70)
        one.write(b"1" * 50)
    assert storage.read_bytes(uri) in (b"1" * 100, b"2" * 70)
    assert everything_below(folder) == ["/folder/part-00000.parquet"]


def test_size_and_hash_are_those_of_the_file(folder):
    uri = storage.join(folder, "a.tar")
    with storage.write_atomically(uri) as f:
        assert (f.writable(), f.readable(), f.seekable()) == (True, False, False)
        assert f.write(b"abc") == 3
        assert f.write(memoryview(b"defg")) == 4
        assert f.tell() == f.size_bytes == 7
    assert storage.read_bytes(uri) == b"abcdefg"
    assert f.sha256.hexdigest() == hashlib.sha256(b"abcdefg").hexdigest()


def test_empty_files(folder):
    uri = storage.join(folder, "empty.txt")
    storage.write_bytes(uri, b"")
    assert storage.exists(uri)
    assert storage.read_bytes(uri) == b""
    assert storage.read_many(folder, ["empty.txt"]) == {"empty.txt": b""}


def test_missing_files(folder):
    uri = storage.join(folder, "nothing")
    for _ in range(2):
        assert not storage.exists(uri)
        assert storage.list_names(folder) == []
        with pytest.raises(FileNotFoundError):
            storage.read_bytes(uri)
        with pytest.raises(FileNotFoundError):
            storage.open_input(uri).read()
        assert storage.read_many(folder, ["nothing"]) == {}
        storage.remove(uri)
    storage.write_bytes(storage.join(folder, "a"), b"")
    assert storage.read_many(folder, ["a", "nothing"]) == {"a": b""}


def test_remove_removes_a_file_or_a_folder_with_all_in_it(folder):
    for name in ("a", "sub/b", "sub/deeper/c", "subtle"):
        storage.write_bytes(storage.join(folder, name), b"")
    storage.remove(storage.join(folder, "a"))
    storage.remove(storage.join(folder, "sub"))
    assert everything_below(folder) == ["/folder/subtle"]
    assert storage.list_names(folder) == ["subtle"]
    storage.remove(folder)
    assert storage.list_names(folder) == []


def test_a_file_is_read_at_any_offset(folder):
    uri = storage.join(folder, "a.bin")
    storage.write_bytes(uri, bytes(range(256)) * 100)
    with storage.open_input(uri) as f:
        f.seek(20_000)
        assert f.read(3) == bytes([32, 33, 34])
        f.seek(1)
        assert f.read(2) == bytes([1, 2])
        f.seek(-1, 2)
        assert f.read() == bytes([255])


def test_ranges_are_returned_in_the_requested_order(folder):
    one, two = storage.join(folder, "1.tar"), storage.join(folder, "2.tar")
    storage.write_bytes(one, b"0123456789")
    storage.write_bytes(two, b"abcdefghij")
    requested = [(two, 8, 2), (one, 5, 3), (two, 0, 1), (one, 5, 3), (one, 0, 10), (one, 4, 0), (two, 10, 0)]
    ranges = [ByteRange(uri=u, offset=o, size_bytes=n) for u, o, n in requested]
    assert read_ranges(ranges) == [b"ij", b"567", b"a", b"567", b"0123456789", b"", b""]
    assert read_ranges([]) == []


@pytest.mark.parametrize(("offset", "size"), [(8, 3), (10, 1), (500, 5)])
def test_ranges_past_the_end_name_the_source(folder, offset, size):
    uri, other = storage.join(folder, "1.tar"), storage.join(folder, "2.tar")
    storage.write_bytes(uri, b"0123456789")
    storage.write_bytes(other, b"x" * 1000)
    ranges = [ByteRange(uri=u, offset=offset, size_bytes=size) for u in (other, uri)]
    with pytest.raises(BrokenSource, match=r"1\.tar: \d bytes at \d+, not \d") as error:
        read_ranges(ranges)
    assert error.value.source == uri


def test_ranges_of_a_removed_source_name_it(folder):
    here, gone = storage.join(folder, "1.tar"), storage.join(folder, "gone.tar")
    storage.write_bytes(here, b"0123456789")
    with pytest.raises(BrokenSource, match=r"gone\.tar: missing") as error:
        read_ranges([ByteRange(uri=u, offset=2, size_bytes=3) for u in (here, gone)])
    assert error.value.source == gone


def test_writes_of_another_thread_are_listed(folder):
    assert storage.list_names(folder) == []
    for n in range(3):
        uri = storage.join(folder, f"{n}.json")
        assert not storage.exists(uri)
        writer = threading.Thread(target=storage.write_bytes, args=(uri, b"x"))
        writer.start()
        writer.join()
        assert storage.exists(uri)
        assert storage.list_names(folder) == [f"{k}.json" for k in range(n + 1)]


# --- what belongs to one storage -----------------------------------------------------------------

WRITE = """
import sys
from manifests import storage
for uri in sys.stdin.read().split():
    storage.write_bytes(uri, b"from another process")
"""


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_writes_of_another_process_are_listed(kind, tmp_path, s3):
    folder = "s3://bucket/folder" if kind == "s3" else f"file://{tmp_path}/folder"
    storage.write_bytes(f"{folder}/here", b"")
    assert storage.list_names(folder) == ["here"]
    assert not storage.exists(f"{folder}/sub/there")
    subprocess.run(
        [sys.executable, "-c", WRITE], input=f"{folder}/there {folder}/sub/there", text=True, check=True, cwd=TOP
    )
    assert storage.list_names(folder) == ["here", "sub", "there"]
    assert storage.exists(f"{folder}/sub/there")
    assert storage.read_bytes(f"{folder}/there") == b"from another process"


def test_s3_writes_and_removals_by_others_are_seen(s3):
    folder = "s3://bucket/folder"
    assert storage.list_names(folder) == []
    s3.put_object(Bucket="bucket", Key="folder/_manifest.json", Body=b"1")
    assert storage.exists(f"{folder}/_manifest.json")
    assert storage.list_names(folder) == ["_manifest.json"]
    s3.put_object(Bucket="bucket", Key="folder/_manifest.json", Body=b"22")
    assert storage.read_bytes(f"{folder}/_manifest.json") == b"22"
    s3.delete_object(Bucket="bucket", Key="folder/_manifest.json")
    assert not storage.exists(f"{folder}/_manifest.json")
    assert storage.list_names(folder) == []


def test_s3_lists_what_others_wrote_and_removed_since(s3):
    folder = "s3://bucket/folder"
    for names in (["a"], ["a", "b"], ["b", "c"], ["c"]):
        for name in "abc":
            if name in names:
                s3.put_object(Bucket="bucket", Key=f"folder/{name}", Body=b"")
            else:
                s3.delete_object(Bucket="bucket", Key=f"folder/{name}")
        assert storage.list_names(folder) == names


def test_s3_large_files_leave_no_unfinished_upload(s3, monkeypatch):
    monkeypatch.setitem(fsspec.config.conf, "s3", {"default_block_size": 5 << 20})
    uri = "s3://bucket/large.tar"
    block = b"x" * (3 << 20)
    with pytest.raises(RuntimeError), storage.write_atomically(uri) as f:
        for _ in range(4):
            f.write(block)
        raise RuntimeError
    assert not storage.exists(uri)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="bucket")
    with storage.write_atomically(uri) as f:
        for _ in range(4):
            f.write(block)
    assert f.size_bytes == s3.head_object(Bucket="bucket", Key="large.tar")["ContentLength"] == 4 * len(block)
    assert f.sha256.hexdigest() == hashlib.sha256(storage.read_bytes(uri)).hexdigest()


def test_s3_missing_buckets(s3):
    assert not storage.exists("s3://nobody/x")
    assert storage.list_names("s3://nobody/x") == []
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("s3://nobody/x")


def test_ranges_of_several_storages_at_once(tmp_path, s3):
    uris = ["memory://ranges/1.tar", "s3://bucket/2.tar", f"file://{tmp_path}/3.tar"]
    for n, uri in enumerate(uris):
        storage.write_bytes(uri, b"01234" + bytes([n]))
    assert read_ranges([ByteRange(uri=u, offset=4, size_bytes=2) for u in uris]) == [b"4\0", b"4\1", b"4\2"]


@pytest.mark.parametrize("kind", ["path", "file", "s3"])
def test_two_colons_in_a_name_do_not_chain_file_systems(kind, tmp_path, s3):
    folder = {"path": f"{tmp_path}/a::b", "file": f"file://{tmp_path}/a::b", "s3": "s3://bucket/a::b"}[kind]
    storage.write_bytes(f"{folder}/x::y.jpg", b"picture")
    assert storage.list_names(folder) == ["x::y.jpg"]
    assert storage.read_many(folder, ["x::y.jpg"]) == {"x::y.jpg": b"picture"}
    assert read_ranges([ByteRange(uri=f"{folder}/x::y.jpg", offset=0, size_bytes=7)]) == [b"picture"]


@pytest.mark.parametrize("uri", ["nope://bucket/x", "nope://bucket/a::b"])
def test_unknown_protocols(uri):
    for use in (storage.exists, storage.list_names, storage.read_bytes, storage.open_input, storage.remove):
        with pytest.raises(InputError, match=r"nope://bucket/.*install the Python package"):
            use(uri)
    with pytest.raises(InputError, match="nope"), storage.write_atomically(uri):
        pass


def test_chained_file_systems_can_be_used():
    storage.write_bytes("memory://chain/a.txt", b"chained")
    fs, path = storage.filesystem("simplecache::memory://chain/a.txt")
    assert fs.cat_file(path) == b"chained"


def test_options_by_protocol(monkeypatch):
    monkeypatch.setattr(fsspec.config, "conf", {})
    storage.configure({"s3": {"anon": True}})
    storage.configure({"s3": {"endpoint_url": "http://x"}, "gs": {"project": "p"}})
    assert fsspec.config.conf == {"s3": {"anon": True, "endpoint_url": "http://x"}, "gs": {"project": "p"}}


def test_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    here = f"file://{tmp_path}"
    assert storage.absolute("a/b/") == storage.absolute("./a/c/../b") == storage.absolute("~/a/b") == f"{here}/a/b"
    assert storage.absolute(f"{tmp_path}//a") == f"{here}/a"
    assert storage.absolute("/") == "file:///"
    for uri in ("s3://bucket/a", "memory://", "file:///a/b"):
        assert storage.absolute(uri) == storage.absolute(storage.absolute(uri)) == uri
    assert storage.absolute("s3://bucket/a/") == "s3://bucket/a"


def test_join():
    assert storage.join("s3://b/a/", "x", "y.json") == storage.join("s3://b/a", "x", "y.json") == "s3://b/a/x/y.json"
    assert storage.join("memory://", "x") == "memory://x"
    assert storage.join("file:///", "x") == "file:///x"
    assert storage.join("/", "x") == "/x"
