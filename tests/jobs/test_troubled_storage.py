"""The whole pipeline on an object store in trouble: busy, silent, and with answers that break off or get lost."""

from pathlib import Path

import pytest

from tests.conftest import Reference, curate, digests, tar_hashes, write_pipeline
from tests.support.http_proxy import KINDS
from tests.support.object_store import options_of, proxied_bucket

BUCKET = "troubled"


@pytest.mark.slow
def test_a_run_on_a_storage_in_trouble_gives_the_local_digest(reference: Reference, tmp_path: Path) -> None:
    with proxied_bucket(BUCKET, read_seconds=1) as (client, proxy):
        for path in sorted(reference.corpus.iterdir()):
            client.put_object(Bucket=BUCKET, Key=f"in/{path.name}", Body=path.read_bytes())
        proxy.one_in = 20
        tars, output = f"s3://{BUCKET}/in/{{00000..00003}}.tar", f"s3://{BUCKET}/out"
        settings = options_of(proxy, read_seconds=1)
        curate("run", write_pipeline(tmp_path / "pipeline.yaml", [tars], output, storage=settings))
        proxy.one_in = 0
        assert digests(output) == reference.digests
        for name in tar_hashes(reference.output / "shards"):
            stored = client.get_object(Bucket=BUCKET, Key=f"out/shards/{name}")["Body"].read()
            assert stored == (reference.output / "shards" / name).read_bytes()
        assert set(proxy.met) == set(KINDS)
