"""An S3 server on this machine, for tests in this process."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import boto3
import fsspec.config
import s3fs
from moto.server import ThreadedMotoServer

from manifests import storage
from tests.support.http_proxy import Proxy, proxy_of


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
    before = copy.deepcopy(fsspec.config.conf)
    storage.configure({"s3": options})
    try:
        yield client
    finally:
        fsspec.config.conf.clear()
        fsspec.config.conf.update(before)
        server.stop()


def options_of(proxy: Proxy, *, read_seconds: float = 60) -> dict[str, dict[str, Any]]:
    """Return the settings of `storage:` with which `s3://` is the server behind a proxy.

    The library waits so long for an answer and does not ask again by itself; curate does, without a long wait.
    """
    once = {"read_timeout": read_seconds, "retries": {"max_attempts": 0}}
    return {
        "s3": {"endpoint_url": proxy.url, "key": "x", "secret": "x", "config_kwargs": once},
        "retries": {"base_seconds": 0.001, "max_seconds": 0.001},
    }


@contextlib.contextmanager
def proxied_bucket(name: str, *, read_seconds: float = 60) -> Iterator[tuple[Any, Proxy]]:
    """Yield a client of a server with an empty bucket, and a proxy before it, which `s3://` means in the block."""
    with bucket_of(name) as client, proxy_of(client.meta.endpoint_url) as proxy:
        storage.configure(options_of(proxy, read_seconds=read_seconds))
        yield client, proxy
    s3fs.S3FileSystem.clear_instance_cache()
