"""How a release names its tars, and checksums that `sha256sum` reads."""

import hashlib
import subprocess

import pytest

from curation.release.places import checksum_lines, prefix_of
from manifests.errors import InputError

PLACES = {
    ("file:///a/release", "file:///a/shards", None): "../shards/",
    ("file:///a/shards", "file:///a/shards", None): "",
    ("file:///a/b/release", "file:///a/c d/[x]", None): "../../c d/[x]/",
    ("s3://bucket/a/release", "s3://bucket/a/shards", None): "../shards/",
    ("s3://other/release", "s3://bucket/shards", None): "s3://bucket/shards/",
    ("file:///a/release", "s3://bucket/shards", None): "s3://bucket/shards/",
    ("file:///a/release", "file:///a/shards", "https://host/data/"): "https://host/data/",
    ("s3://bucket/release", "file:///a/shards", "hf://datasets/me/it"): "hf://datasets/me/it/",
}


@pytest.mark.parametrize(("places", "prefix"), PLACES.items())
def test_tars_are_named_from_the_release(places, prefix):
    assert prefix_of(*places) == prefix


@pytest.mark.parametrize(
    "url", ["host/data", "https://me:secret@host/", "https://host/?token=secret", "https://host/#x", "https://[x/"]
)
def test_a_base_url_that_is_none_or_would_publish_a_secret_is_refused(url):
    with pytest.raises(InputError, match="--base-url") as refused:
        prefix_of("file:///release", "file:///shards", url)
    assert "secret" not in str(refused.value)


def test_tars_of_this_machine_are_no_place_for_a_release_elsewhere():
    with pytest.raises(InputError, match="--base-url with the address they will have, or --data copy"):
        prefix_of("s3://bucket/release", "file:///a/shards", None)


def test_sha256sum_reads_the_checksums_of_any_name(tmp_path):
    names = ["a.tar", "with space.tar", "back\\slash.tar", "line\nbreak.tar", "ünï.tar"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    lines = checksum_lines([(name, hashlib.sha256(name.encode()).hexdigest()) for name in names])
    (tmp_path / "SHA256SUMS").write_bytes(lines)
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, capture_output=True)
    assert (done.returncode, done.stdout.count(b": OK\n")) == (0, len(names))
