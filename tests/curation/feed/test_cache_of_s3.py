"""How often an object store is asked through a cache, for which version of an object, and when it is in trouble."""

import multiprocessing
import random

import pytest

from curation.feed import cache as cache_module
from curation.feed.cache import RangeCache, Version
from curation.feed.cached_blocks import BLOCK_BYTES, SEGMENT_BLOCKS
from curation.sources.byte_ranges import ByteRange
from manifests import storage
from manifests.errors import InputError, StorageUnavailable
from tests.support.http_proxy import KINDS
from tests.support.object_store import proxied_bucket

pytestmark = pytest.mark.slow  # a server and a proxy

BUCKET = "cached"
TAR = f"s3://{BUCKET}/00000.tar"
CONTENT = random.Random(0).randbytes(2 * SEGMENT_BLOCKS * BLOCK_BYTES + 12_345)
VERSIONS = {TAR: Version(size_bytes=len(CONTENT), identity="first")}
LIMIT = 64 << 20


@pytest.fixture(scope="module")
def server():
    """An object store with a tar, and a proxy before it, which `s3://` means."""
    with proxied_bucket(BUCKET) as found:
        yield found


@pytest.fixture
def proxy(server):
    """The proxy, with the tar as it was at first behind it."""
    client, proxy = server
    client.put_object(Bucket=BUCKET, Key="00000.tar", Body=CONTENT)
    proxy.requests.clear()
    return proxy


@pytest.fixture
def client(server):
    """A client of the server, past the proxy."""
    return server[0]


def samples(count: int, seed: int = 0, uri: str = TAR) -> list[ByteRange]:
    """Return ranges as images have them."""
    drawn = random.Random(seed)
    starts = [drawn.randrange(len(CONTENT)) for _ in range(count)]
    return [ByteRange(uri=uri, offset=start, size_bytes=drawn.randrange(1, 80_000)) for start in starts]


def expected(wanted):
    return [CONTENT[each.offset : each.offset + each.size_bytes] for each in wanted]


def test_a_range_is_fetched_once_with_little_around_it(proxy, tmp_path):
    cache, wanted = RangeCache(str(tmp_path), LIMIT, VERSIONS), samples(20)
    assert cache.read(wanted) == expected(wanted)
    assert proxy.count("HEAD") == 0
    assert len(proxy.requests) <= 20
    assert RangeCache(str(tmp_path), LIMIT, VERSIONS).read(wanted) == expected(wanted)
    assert len(proxy.requests) <= 20, "nothing more"


def test_without_a_version_a_tar_is_asked_for_it_once(proxy, tmp_path):
    cache, wanted = RangeCache(str(tmp_path), LIMIT), samples(3)
    for _ in range(3):
        assert cache.read(wanted) == expected(wanted)
    assert proxy.count("HEAD") == 1


def test_a_tar_that_is_replaced_is_not_answered_from_the_cache(proxy, client, tmp_path):
    wanted = samples(3)
    assert RangeCache(str(tmp_path), LIMIT).read(wanted) == expected(wanted)
    storage.list_names(f"s3://{BUCKET}")  # a library may remember what it saw
    client.put_object(Bucket=BUCKET, Key="00000.tar", Body=CONTENT[::-1])  # of the same size
    found = RangeCache(str(tmp_path), LIMIT).read(wanted)
    assert found == [CONTENT[::-1][each.offset : each.offset + each.size_bytes] for each in wanted]


def test_a_whole_tar_is_a_request_for_each_segment_and_every_byte_once(proxy, tmp_path):
    cache, wanted = RangeCache(str(tmp_path), LIMIT, VERSIONS), samples(50)
    cache.fetch_whole([TAR])
    assert (len(proxy.requests), proxy.body_bytes) == (3, len(CONTENT))
    cache.fetch_whole([TAR, TAR])
    assert cache.read(wanted) == expected(wanted)
    assert len(proxy.requests) == 3


def test_what_is_there_already_is_not_fetched_with_the_whole_tar(proxy, tmp_path):
    cache = RangeCache(str(tmp_path), LIMIT, VERSIONS)
    half = ByteRange(uri=TAR, offset=0, size_bytes=SEGMENT_BLOCKS * BLOCK_BYTES)
    cache.read([half])
    cache.fetch_whole([TAR])
    assert proxy.body_bytes == len(CONTENT)


def fetch_whole(cache: RangeCache) -> None:
    """Do so in another process, which waits as long as it takes."""
    cache_module._WHOLE_WAIT_SECONDS = 600
    cache.fetch_whole([TAR])


def test_processes_that_want_the_same_tar_fetch_it_together_once(proxy, tmp_path):
    cache = RangeCache(str(tmp_path), LIMIT, VERSIONS)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.map(fetch_whole, [cache] * 4)
    assert (len(proxy.requests), proxy.body_bytes) == (3, len(CONTENT))


def test_a_tar_larger_than_the_cache_is_not_fetched_in_vain(proxy, tmp_path):
    with pytest.raises(InputError, match=r"1 files need 33,[0-9,]+ bytes in a cache of 33,"):
        RangeCache(str(tmp_path), len(CONTENT), VERSIONS).fetch_whole([TAR])
    assert not proxy.requests


def test_a_storage_in_trouble_harms_no_byte(tmp_path):
    with proxied_bucket("cached-in-trouble", read_seconds=1) as (client, proxy):
        client.put_object(Bucket="cached-in-trouble", Key="0.tar", Body=CONTENT)
        proxy.one_in = 4
        cache = RangeCache(str(tmp_path), 1 << 20)
        for seed in range(15):
            wanted = samples(8, seed, "s3://cached-in-trouble/0.tar")
            assert cache.read(wanted) == expected(wanted)
        cache = RangeCache(str(tmp_path), LIMIT)
        cache.fetch_whole(["s3://cached-in-trouble/0.tar"])
        assert set(proxy.met) == set(KINDS)
        proxy.requests.clear()
        assert cache.read(wanted) == expected(wanted)
        assert not proxy.requests


def test_a_storage_that_stays_in_trouble_is_an_error_and_nothing_is_kept_of_it(proxy, tmp_path):
    cache, wanted = RangeCache(str(tmp_path), LIMIT, VERSIONS), samples(3)
    proxy.troubles += [503] * 100
    with pytest.raises(StorageUnavailable, match="again and again"):
        cache.read(wanted)
    proxy.troubles.clear()
    assert cache.read(wanted) == expected(wanted)
