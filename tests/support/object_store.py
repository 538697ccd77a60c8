"""An S3 server on this machine, for tests in this process."""

import contextlib
from collections.abc import Iterator
from typing import Any

import boto3
import fsspec.config
from moto.server import ThreadedMotoServer

from manifests import storage


@contextlib.contextmanager
def bucket_of(name: str) -> Iterator[Any]:
    """Yield a client of a server with an empty bucket of this name, which `s3://` means in the block."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"endpoint_url": f"http://{host}:{port}", "key": "x", "secret": "x"}
    client = boto3.client(
        "s3", endpoint_url=options["endpoint_url"], region_name="us-east-1",
        aws_access_key_id="x", aws_secret_access_key="x",  # noqa: S106
    )  # fmt: skip
    client.create_bucket(Bucket=name)
    before = dict(fsspec.config.conf)
    storage.configure({"s3": options})
    try:
        yield client
    finally:
        fsspec.config.conf.clear()
        fsspec.config.conf.update(before)
        server.stop()
