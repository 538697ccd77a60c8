"""How many requests an object store gets, and how it is asked again, counted on real connections."""

import contextlib
import copy
import hashlib
import itertools

import fsspec.config
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from manifests import exclusive, removals, storage
from manifests.errors import InputError, ManifestError, StorageUnavailable
from manifests.format.integrity import require_intact, require_sizes
from manifests.format.parquet_files import open_parquet
from manifests.format.store import open_manifest, read_batches
from manifests.inspect.verify import Findings, Resources, check_files
from manifests.range_reads import TAIL_BYTES, Range, fetch
from manifests.sql.query import run_query
from tests.support.http_proxy import proxy_of
from tests.support.making import commit_rows
from tests.support.object_store import bucket_of

pytestmark = pytest.mark.slow  # a server and a proxy

PARTS, ROWS = 20, 1500
SHORT_WAITS = {"base_seconds": 0.001, "max_seconds": 0.001}
ONE_TRY = {"config_kwargs": {"retries": {"max_attempts": 0}}}  # the library itself does not try again


@pytest.fixture(scope="module")
def server():
    """An object store with a manifest of 20 parts, and a proxy before it."""
    with bucket_of("requests") as client, proxy_of(client.meta.endpoint_url) as proxy:
        make_manifest("s3://requests/m", PARTS)
        yield client, proxy
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def proxy(server):
    """The proxy, which `s3://` means; nothing is cached, and waits are short."""
    _, proxy = server
    before = copy.deepcopy(fsspec.config.conf)
    storage.configure(
        {"s3": {"endpoint_url": proxy.url, "key": "x", "secret": "x", **ONE_TRY}, "retries": SHORT_WAITS}
    )
    proxy.requests.clear()
    proxy.troubles.clear()
    proxy.meets = lambda method, path: True
    yield proxy
    fsspec.config.conf.clear()
    fsspec.config.conf.update(before)


@pytest.fixture
def client(server):
    """A client of the server, past the proxy."""
    return server[0]


def make_manifest(uri, parts):
    keys = [
        [f"{hashlib.sha256(f'{part} {row}'.encode()).hexdigest()}" for row in range(ROWS)] for part in range(parts)
    ]
    return commit_rows(uri, [[{"key": key, "sha256": key[::-1]} for key in each] for each in keys])


# --- how many


def test_sizes_of_all_parts_are_one_listing(proxy):
    manifest = open_manifest("s3://requests/m")
    assert len(proxy.requests) == 1
    require_sizes(manifest)
    require_intact(manifest)
    assert len(proxy.requests) == 1 + 1 + 2, "the document, the table of parts, and a listing each"
    assert proxy.count("HEAD") == 0


def test_a_query_asks_for_a_footer_and_a_column_of_each_part(proxy):
    with run_query({"m": open_manifest("s3://requests/m")}, "SELECT max(sha256) FROM m") as found:
        assert [batch.num_rows for batch in found.batches] == [1]
    assert proxy.count("HEAD") == 0
    assert len(proxy.requests) <= 1 + 1 + 1 + 2 * PARTS, "the document, its table, a listing, and two a part"


def test_a_column_of_a_part_is_all_that_is_fetched(proxy):
    manifest = open_manifest("s3://requests/m")
    part = manifest.parts[0]
    proxy.requests.clear()
    rows = list(read_batches(manifest.part_uri(part), ["key"], rows=part.rows, size_bytes=part.size_bytes))
    assert sum(batch.num_rows for batch in rows) == ROWS
    assert len(proxy.requests) <= 2
    assert proxy.body_bytes < TAIL_BYTES + part.size_bytes / 2


def test_columns_far_apart_are_separate_requests_and_those_between_are_not_fetched(proxy, client):
    random = pa.array([bytes([(7 * row + n) % 251 for n in range(50)]) * 2 for row in range(20_000)])
    columns = {f"c{n}": random if n % 2 else pa.array(range(20_000)) for n in range(4)}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="none", use_dictionary=False)
    client.put_object(Bucket="requests", Key="wide.parquet", Body=sink.getvalue().to_pybytes())
    with open_parquet("s3://requests/wide.parquet", sink.getvalue().size) as parquet:
        first = parquet.read_group(0, ["c0", "c2"])
    assert first.column("c2").to_pylist() == list(range(20_000))
    assert len(proxy.requests) == 1 + 2
    assert proxy.body_bytes < TAIL_BYTES + 2 * 20_000 * 10


def test_verify_fetches_little_more_than_every_byte(proxy):
    manifest = open_manifest("s3://requests/m")
    proxy.requests.clear()
    found = Findings()
    check_files(manifest, found, Resources(threads=2))
    assert found.is_valid
    assert proxy.count("HEAD") == 0


def test_a_folder_of_1500_objects_is_removed_with_four_requests(proxy, client):
    folder = "m?ny [1] *"
    for number in range(1500):
        client.put_object(Bucket="requests", Key=f"{folder}/sub/{number}", Body=b"")
    client.put_object(Bucket="requests", Key=f"{folder}-beside", Body=b"")
    client.put_object(Bucket="requests", Key="many-other/x", Body=b"")
    storage.remove(f"s3://requests/{folder}")
    assert len(proxy.requests) <= 4
    left = [each["Key"] for each in client.list_objects_v2(Bucket="requests", Prefix="m")["Contents"]]
    assert [key for key in left if not key.startswith("m/")] == sorted({f"{folder}-beside", "many-other/x"})
    for key in (f"{folder}-beside", "many-other/x"):
        client.delete_object(Bucket="requests", Key=key)


def test_files_are_removed_with_one_request_for_a_thousand(proxy, client, monkeypatch):
    monkeypatch.setattr(removals, "KEYS_PER_REQUEST", 10)  # fewer, to be quick
    names = [f"{number} [?]*" for number in range(15)]
    for name in names:
        client.put_object(Bucket="requests", Key=f"files/{name}", Body=b"")
    client.put_object(Bucket="requests", Key="files/1 ?", Body=b"")
    storage.remove_many("s3://requests/files", [*names, "gone"])
    assert len(proxy.requests) == 2
    assert storage.list_names("s3://requests/files") == ["1 ?"]


# --- what is wrong is named


def test_parts_that_are_gone_or_of_another_size_are_named(proxy, client):
    manifest = make_manifest("s3://requests/damaged", 5)
    client.put_object(Bucket="requests", Key="damaged/part-00001.parquet", Body=b"short")
    for number in (0, 2, 3):
        client.delete_object(Bucket="requests", Key=f"damaged/part-{number:05d}.parquet")
    with pytest.raises(ManifestError) as error:
        require_sizes(manifest)
    size = manifest.parts[1].size_bytes
    assert str(error.value) == (
        "s3://requests/damaged/part-00000.parquet: missing; "
        f"s3://requests/damaged/part-00001.parquet: 5 bytes, {size:,} when it was committed; "
        "s3://requests/damaged/part-00002.parquet: missing; such parts in all: 4; "
        "restore the part, or make the manifest again"
    )
    require_sizes(manifest, [4])


def test_a_damaged_part_of_the_right_size_is_named_by_its_uri(proxy, client):
    manifest = make_manifest("s3://requests/altered", 2)
    part = manifest.parts[1]
    client.put_object(Bucket="requests", Key=f"altered/{part.name}", Body=b"x" * part.size_bytes)
    with (
        pytest.raises(ManifestError, match=r"s3://requests/altered/part-00001\.parquet"),
        run_query({"m": manifest}, "SELECT max(key) FROM m") as found,
    ):
        list(found.batches)
    with pytest.raises(ManifestError, match=r"part-00001\.parquet: not readable Parquet"):
        manifest.read_part(part)
    with pytest.raises(ManifestError, match=r"part-00001\.parquet: altered"):
        require_intact(manifest, [1], is_hashed=True)


# --- asked again


def uses():
    uri = "s3://requests/again/a"
    return {
        "exists": lambda: storage.exists(uri),
        "describe": lambda: storage.describe(uri)["size"] == 7,
        "list_names": lambda: storage.list_names("s3://requests/again") == ["a"],
        "entries": lambda: list(storage.entries("s3://requests/again")) == ["a"],
        "read_bytes": lambda: storage.read_bytes(uri) == b"content",
        "read_many": lambda: storage.read_many("s3://requests/again", ["a"]) == {"a": b"content"},
        "open_input": lambda: storage.open_input(uri).read() == b"content",
        "write_bytes": lambda: storage.write_bytes(uri, b"content") is None,
        "create": lambda: exclusive.create("s3://requests/again-new", b"new"),
        "read_batches": lambda: sum(b.num_rows for b in read_batches("s3://requests/m/part-00003.parquet")) == ROWS,
        "remove": lambda: storage.remove("s3://requests/again-other") is None,
    }


@pytest.mark.parametrize(
    ("use", "trouble"),
    [*itertools.product(uses(), (503, "reset")), *(("read_bytes", status) for status in (429, 500, 502, 504))],
)
def test_what_fails_for_a_moment_is_asked_again(proxy, client, use, trouble):
    client.put_object(Bucket="requests", Key="again/a", Body=b"content")
    client.delete_object(Bucket="requests", Key="again-new")
    proxy.troubles += [trouble] * 3
    assert uses()[use]()
    assert not proxy.troubles


def test_an_answer_that_breaks_off_is_asked_again(proxy, client):
    client.put_object(Bucket="requests", Key="long", Body=b"0123456789" * 1000)
    proxy.troubles += ["cut", "cut"]
    assert storage.read_bytes("s3://requests/long") == b"0123456789" * 1000
    assert not proxy.troubles


def test_of_many_ranges_only_those_that_failed_are_asked_again(proxy, client):
    content = bytes(range(256)) * 8192
    client.put_object(Bucket="requests", Key="ranges", Body=content)
    fs, path = storage.filesystem("s3://requests/ranges")
    wanted = [Range(path=path, start=start, end=start + 10) for start in (0, 500_000, 1_000_000, 1_500_000)]
    proxy.troubles += [503]
    assert fetch("s3://requests/ranges", fs, wanted) == [content[each.start : each.end] for each in wanted]
    assert len(proxy.requests) == 4 + 1


def test_a_create_that_succeeded_but_was_not_answered_is_a_success(proxy, client):
    client.delete_object(Bucket="requests", Key="lease")
    proxy.troubles.append("lost")
    proxy.meets = lambda method, path: method == "PUT"
    assert exclusive.create("s3://requests/lease", b"mine")
    assert not exclusive.create("s3://requests/lease", b"another's")
    assert storage.read_bytes("s3://requests/lease") == b"mine"


def test_a_storage_that_stays_in_trouble_is_an_error_that_says_so(proxy):
    proxy.troubles += [503] * 1000
    storage.configure({"retries": {"attempts": 4}})
    with pytest.raises(
        StorageUnavailable, match=r"s3://requests/a: .*failed again and again .*run the command again"
    ):
        storage.read_bytes("s3://requests/a")
    assert len(proxy.requests) == 4
    proxy.requests.clear()
    with pytest.raises(StorageUnavailable):
        exclusive.remove_folder("s3://requests/a")  # one function within another: not 4 times 4
    assert len(proxy.requests) == 4
    proxy.troubles.clear()


@pytest.mark.parametrize(("status", "kind"), [(403, StorageUnavailable), (404, FileNotFoundError), (400, OSError)])
def test_what_will_fail_again_is_asked_once(proxy, status, kind):
    proxy.troubles += [status] * 10
    with pytest.raises(kind):
        storage.read_bytes("s3://requests/a")
    assert len(proxy.requests) == 1
    proxy.troubles.clear()


@pytest.mark.parametrize("settings", [{"tries": 3}, {"attempts": 0}, {"base_seconds": "1"}, {"base_seconds": -1}])
def test_settings_of_retries_are_checked(settings):
    with pytest.raises(InputError, match=r"storage\.retries"), contextlib.ExitStack() as undo:
        undo.callback(fsspec.config.conf.pop, "retries", None)
        storage.configure({"retries": settings})
