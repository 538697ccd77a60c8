"""A feed from an object store in trouble, through a cache that its ranks share, gives the samples of a local one."""

import pytest

import curate
from manifests.errors import InputError
from tests.support.feeding import make_shards
from tests.support.feeding_ranks import samples_of, samples_of_ranks
from tests.support.object_store import options_of, proxied_bucket

pytestmark = pytest.mark.slow  # a server and processes

SAMPLES = 60


@pytest.mark.parametrize(("context", "order"), [("spawn", "shuffled"), ("fork", "windowed:10")])
def test_two_ranks_get_the_samples_of_a_local_feed(tmp_path, context, order):
    make_shards(tmp_path / "shards", SAMPLES)
    local = samples_of(str(tmp_path / "shards"), cache=str(tmp_path / "local"))
    assert len(local) == SAMPLES
    bucket = f"fed-{context}"
    with proxied_bucket(bucket, read_seconds=1) as (_, proxy):
        make_shards(f"s3://{bucket}/shards", SAMPLES)
        options = {
            **{"order": order, "batch_size": 5, "storage": options_of(proxy, read_seconds=1)},
            **{"cache": str(tmp_path / "cache"), "cache_bytes": 1 << 30},
        }
        proxy.one_in = 10
        assert samples_of_ranks(f"s3://{bucket}/shards", 2, context, **options) == local
        assert proxy.met
        proxy.one_in = 0
        proxy.requests.clear()
        assert samples_of_ranks(f"s3://{bucket}/shards", 2, context, **options) == local
        assert not [each for each in proxy.requests if each.path.endswith(".tar")], "all is in the cache"


def test_a_feed_fetches_its_files_before_it_starts(tmp_path):
    with proxied_bucket("fetched-before") as (_, proxy):
        make_shards("s3://fetched-before/shards", SAMPLES)
        options = {"cache": str(tmp_path), "storage": options_of(proxy), "decode": False}
        feed = curate.feed("s3://fetched-before/shards", cache_bytes=1 << 30, **options)
        feed.fetch()
        proxy.requests.clear()
        feed.fetch()
        assert sum(int(batch["mask"].sum()) for batch in feed) == SAMPLES
        assert not proxy.requests
        for too_small, said in ((0, "make the feed with cache_bytes"), (1 << 14, "bytes in a cache of 16,384")):
            with pytest.raises(InputError, match=said):
                curate.feed("s3://fetched-before/shards", cache_bytes=too_small, **options).fetch()
