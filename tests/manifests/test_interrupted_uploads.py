"""An upload whose answer is lost, late or broken ends like one that is answered: complete, and once."""

import itertools

import pytest
from s3fs import core

from manifests import exclusive
from tests.support.http_proxy import KINDS
from tests.support.object_store import proxied_bucket

pytestmark = pytest.mark.slow  # a server and a proxy

BUCKET = "uploads"
CONTENT = bytes(range(256)) * (11 << 12)  # 11 MiB
PIECE_BYTES = 5 << 20  # the least that S3 takes
REQUESTS = {
    "put": lambda method, path: method == "PUT" and "uploadId" not in path,
    "begin": lambda method, path: method == "POST" and "uploads" in path,
    "piece": lambda method, path: method == "PUT" and "uploadId" in path,
    "complete": lambda method, path: method == "POST" and "uploadId" in path,
}


@pytest.fixture(scope="module")
def server():
    """An object store, and a proxy before it."""
    with proxied_bucket(BUCKET, read_seconds=1) as found:
        yield found


@pytest.fixture
def proxy(server, monkeypatch):
    """The proxy; uploads have pieces of PIECE_BYTES."""
    monkeypatch.setattr(core, "calculate_chunksize", lambda size, chunksize=None: PIECE_BYTES)
    _, proxy = server
    proxy.troubles.clear()
    return proxy


@pytest.fixture
def client(server):
    """A client of the server, past the proxy."""
    return server[0]


def stored(client, key):
    return client.get_object(Bucket=BUCKET, Key=key)["Body"].read()


@pytest.mark.parametrize(
    ("request_kind", "trouble"), [*itertools.product(("begin", "piece", "complete"), (*KINDS, 500, 503))]
)
def test_a_large_file_is_put_completely(proxy, client, tmp_path, request_kind, trouble):
    source, key = tmp_path / "source", f"{request_kind} {trouble}"
    source.write_bytes(CONTENT)
    proxy.meets, proxy.troubles[:] = REQUESTS[request_kind], [trouble, trouble]
    is_put = exclusive.put_file(f"s3://{BUCKET}/{key}", source)
    assert not proxy.troubles
    assert stored(client, key) == CONTENT
    assert is_put or (request_kind == "complete" and trouble in ("lost", "cut", "stall")), "or it found its own"
    source.write_bytes(CONTENT[:-1])
    assert not exclusive.put_file(f"s3://{BUCKET}/{key}", source), "the name is taken"
    assert stored(client, key) == CONTENT
    proxy.troubles[:] = [trouble, trouble]
    exclusive.replace_file(f"s3://{BUCKET}/{key}", source)
    assert stored(client, key) == CONTENT[:-1]


@pytest.mark.parametrize("trouble", [*KINDS, 500, 503])
def test_a_small_file_is_created_by_one_writer_alone(proxy, client, trouble):
    uri = f"s3://{BUCKET}/small {trouble}"
    proxy.meets, proxy.troubles[:] = REQUESTS["put"], [trouble, trouble]
    assert exclusive.create(uri, b"mine")
    assert not proxy.troubles
    proxy.troubles[:] = [trouble, trouble]
    assert not exclusive.create(uri, b"another's")
    assert stored(client, f"small {trouble}") == b"mine"
    proxy.troubles[:] = [trouble, trouble]
    exclusive.rewrite(uri, b"renewed")
    assert stored(client, f"small {trouble}") == b"renewed"
