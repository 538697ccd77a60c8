"""The whole pipeline on s3:// through fsspec, against a real S3 API on loopback."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
import fsspec
import pytest
import yaml
from moto.server import ThreadedMotoServer

from manifests import storage
from manifests.format.store import open_manifest
from tests.conftest import STAGES, Reference, curate, curate_process, tar_hashes

BUCKET = "pictures"


@pytest.fixture(scope="module")
def s3() -> Iterator[Mapping[str, str]]:
    """The environment of a client of an S3 server that this test started."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield environment
        fsspec.get_filesystem_class("s3").clear_instance_cache()
    server.stop()


def test_object_storage_gives_the_local_digest(reference: Reference, s3: Mapping[str, str], tmp_path: Path) -> None:
    for path in sorted(reference.corpus.iterdir()):
        storage.write_bytes(f"s3://{BUCKET}/in/{path.name}", path.read_bytes())
    settings = {
        "input": [f"s3://{BUCKET}/in/{{00000..00003}}.tar"],
        "output": f"s3://{BUCKET}/out",
        "choose": {"keep": "light"},
        "shard": {"samples_per_shard": 7},
        "spark": {"master": "local[2]"},
    }
    storage.write_bytes(f"s3://{BUCKET}/pipeline.yaml", yaml.safe_dump(settings).encode())
    curate_process("run", f"s3://{BUCKET}/pipeline.yaml", env=s3)
    made = {stage: open_manifest(f"s3://{BUCKET}/out/{stage}") for stage in STAGES}
    assert {stage: m.digest for stage, m in made.items()} == reference.digests
    local = tar_hashes(reference.output / "shards")
    assert {n: f["sha256"] for p in made["shards"].parts for n, f in p.files.items() if n.endswith(".tar")} == local
    folder = f"s3://{BUCKET}/out/shards"
    assert "_work" not in storage.list_names(folder)
    for name, sha256 in local.items():
        stored = storage.read_bytes(f"{folder}/{name}")
        assert stored == (reference.output / "shards" / name).read_bytes(), sha256
    again = curate_process("run", f"s3://{BUCKET}/pipeline.yaml", env={**s3, "PATH": "/nonexistent"})
    assert again.stderr.count("up to date") == len(STAGES)
    found = curate("doctor", "--no-spark", "--storage", f"s3://{BUCKET}/probe")
    assert "written, read and removed a file" in found.stdout
    secret = s3["AWS_SECRET_ACCESS_KEY"].encode()
    fs, _ = storage.filesystem(folder)
    assert not any(secret in fs.cat_file(p) for p in fs.find(f"{BUCKET}/out"))


def test_an_unreachable_bucket_is_one_sentence(s3: Mapping[str, str], tmp_path: Path) -> None:
    done = curate("scan", "s3://no-such-bucket/*.tar", "-o", tmp_path / "scan", check=2)
    assert "no-such-bucket" in done.stderr
    assert "Traceback" not in done.stderr
