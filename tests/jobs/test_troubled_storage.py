"""The whole pipeline on an object store in trouble: busy, silent, and with answers that break off or get lost."""

from pathlib import Path

import pytest
import s3fs

from tests.conftest import Reference, curate, digests, tar_hashes, write_pipeline
from tests.support.http_proxy import KINDS, proxy_of
from tests.support.object_store import bucket_of

BUCKET = "troubled"


@pytest.mark.slow
def test_a_run_on_a_storage_in_trouble_gives_the_local_digest(reference: Reference, tmp_path: Path) -> None:
    with bucket_of(BUCKET) as client, proxy_of(client.meta.endpoint_url) as proxy:
        for path in sorted(reference.corpus.iterdir()):
            client.put_object(Bucket=BUCKET, Key=f"in/{path.name}", Body=path.read_bytes())
        proxy.one_in = 20
        once = {"read_timeout": 0.5, "retries": {"max_attempts": 0}}  # the library itself does not try again
        settings = {
            "s3": {"endpoint_url": proxy.url, "key": "x", "secret": "x", "config_kwargs": once},
            "retries": {"base_seconds": 0.01, "max_seconds": 0.01},
        }
        tars, output = f"s3://{BUCKET}/in/{{00000..00003}}.tar", f"s3://{BUCKET}/out"
        curate("run", write_pipeline(tmp_path / "pipeline.yaml", [tars], output, storage=settings))
        proxy.one_in = 0
        s3fs.S3FileSystem.clear_instance_cache()
        assert digests(output) == reference.digests
        for name in tar_hashes(reference.output / "shards"):
            stored = client.get_object(Bucket=BUCKET, Key=f"out/shards/{name}")["Body"].read()
            assert stored == (reference.output / "shards" / name).read_bytes()
        assert set(proxy.met) == set(KINDS)
    s3fs.S3FileSystem.clear_instance_cache()
