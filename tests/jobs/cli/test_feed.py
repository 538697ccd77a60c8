"""`curate feed`: reads a manifest as a trainer does, says how fast, and names what cannot be read."""

import json
from pathlib import Path

import pytest

from tests.conftest import curate
from tests.support.feeding import key_of, make_shards


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_shards(tmp_path / "shards", 30)
    return tmp_path / "shards"


def test_an_epoch_is_read(shards: Path):
    done = curate("feed", shards, "--batches", 0, "--batch-size", 8, "--size", 32, "--verify", 1)
    assert done.stdout.startswith("30 samples in 4 batches, of 30 in an epoch\n")
    assert "images/s" in done.stdout
    assert "opened in" in done.stdout


def test_some_batches_are_read_as_json(shards: Path):
    line = ("--batches", 2, "--batch-size", 8, "--where", "shard_index < 4", "--members", "image,caption", "--json")
    found = json.loads(curate("feed", shards, *line).stdout)
    assert (found["samples"], found["batches"], found["read"], found["problem_count"]) == (18, 2, 16, 0)
    assert found["images_per_second"] > 0


def test_what_cannot_be_read_is_named(shards: Path):
    tar = shards / "00002.tar"
    tar.write_bytes(tar.read_bytes()[:700])
    done = curate("feed", shards, "--batches", 0, check=1)
    assert "7 samples cannot be read:" in done.stdout
    assert all(f"  {key_of(number)}: " in done.stdout for number in range(14, 21))


def test_wrong_options_are_refused(shards: Path):
    assert "order: 'sorted' is none" in curate("feed", shards, "--order", "sorted", check=2).stderr
    assert "no manifest here" in curate("feed", shards / "nothing", check=None).stderr
