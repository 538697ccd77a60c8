"""The benchmark of the feed counts what is lost and how well samples are mixed, and runs, with a server that ranges
are read from."""

import json
import subprocess
import sys

import fsspec
import numpy as np
import pytest

from benchmarks.feeding.bench import Row, Run, lost_and_repeated, mixed
from benchmarks.feeding.reader import storage_options
from benchmarks.feeding.report import COLUMNS, figures
from benchmarks.feeding.server import BUCKET, serving


def test_random_batches_are_mixed_and_stored_ones_are_not():
    keys = [str(n) for n in range(4096)]
    shuffled = np.random.default_rng(0).permutation(keys)
    assert mixed(shuffled.reshape(64, 64), keys) == pytest.approx(1, abs=0.02)
    assert mixed(np.reshape(keys, (64, 64)), keys) == pytest.approx(65 / 4097)


def test_samples_that_come_twice_and_never_are_counted():
    assert lost_and_repeated("abca", "abcd") == (1, 1)
    assert lost_and_repeated("dcba", "abcd") == (0, 0)


def test_a_reader_without_runs_has_empty_cells():
    assert len(figures(Row(reader="wids", workers=2))) == len(COLUMNS)
    run = Run(
        images_a_core=1,
        images_a_second=2,
        first_seconds=3,
        resume_seconds=[1.0, 2.0, "ValueError: no"],
        peak_bytes=1,
        mixed=1,
        samples=1,
    )
    row = Row(reader="HF datasets", workers=2)
    row.runs["warm"] = [run, run]
    assert "1.00 / 2.00 / fails" in figures(row)


def test_the_server_answers_as_s3_does(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b c.bin").write_bytes(bytes(range(256)))
    with serving(tmp_path, 0.0) as endpoint:
        fs = fsspec.filesystem("s3", **storage_options(endpoint), skip_instance_cache=True)
        path = f"{BUCKET}/a/b c.bin"
        assert fs.ls(f"{BUCKET}/a") == [path]
        assert fs.size(path) == 256
        assert fs.cat_ranges([path, path], [3, 250], [5, 300]) == [b"\x03\x04", bytes(range(250, 256))]
        with fs.open(path) as f:
            assert f.read() == bytes(range(256))
        assert not fs.exists(f"{BUCKET}/a/../../x")
        with pytest.raises(FileNotFoundError):
            fs.cat_file(f"{BUCKET}/none")


@pytest.mark.slow
def test_every_figure_is_measured():
    pytest.importorskip("torch")
    line = [sys.executable, "-m", "benchmarks.feed", "--quick", "--only", "sequential,curate.feed shuffled", "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["workers"] for row in found["rows"]] == [0, 0, 2]
    for row in found["rows"]:
        assert not row["failures"]
        assert all(run["samples"] == 128 for runs in row["runs"].values() for run in runs)
        assert all(len(runs) == 1 for runs in row["runs"].values())
    assert found["rows"][2]["counts"] == {"no stop": [0, 0], "same ranks": [0, 0], "other ranks": [0, 0]}
