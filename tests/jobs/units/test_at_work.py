"""A second run on one output is refused and says who is at work there. The mark of a killed run hinders nobody."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from jobs.units.at_work import FRESH_SECONDS, Run, at_work, require_no_other, run_uri
from manifests import storage
from manifests.errors import RunAtWork
from manifests.format.schema import Stage
from manifests.format.store import open_manifest
from tests.conftest import TOP, curate
from tests.jobs.test_object_storage import BUCKET, s3  # noqa: F401 - a fixture
from tests.support.making import commit_rows

HOLD = """
import sys
from jobs.units.at_work import at_work
with at_work(sys.argv[1]):
    print("at work", flush=True)
    sys.stdin.read()
"""
DERIVE = """
import sys
from jobs.operations.derive import Request, derive, derived_from
from jobs.units.progress import Reporter
from manifests.format.store import open_manifest
from manifests.sql.engine import DuckEngine

def held():
    print("at work", flush=True)
    sys.stdin.read()
    return iter(())

source = open_manifest(sys.argv[1])
request = Request(
    about=derived_from([source], "sample", {"fraction": 0.5}), sources=[source], output=sys.argv[2],
    extra={"held": held},
)
with DuckEngine() as engine:
    derive(request, lambda: engine, Reporter(quiet=True))
"""


@contextmanager
def held(script: str, *arguments: str) -> Iterator[subprocess.Popen]:
    """Run a script in a process of its own until it says that it is at work; it goes on when its stdin is closed."""
    command = [sys.executable, "-c", script, *arguments]
    process = subprocess.Popen(command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "at work\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    commit_rows(tmp_path / "m", [[{"key": f"k{i}"} for i in range(9)]], Stage.CHOOSE)
    return tmp_path / "m"


# --- who is at work


@pytest.fixture(scope="module")
def other() -> Iterator[psutil.Process]:
    """Another process of this machine."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield psutil.Process(process.pid)


@pytest.fixture(scope="module")
def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def here(pid: int, started: float) -> Run:
    return replace(Run.of_this_process(), pid=pid, process_started=started)


def elsewhere(seconds_ago: float) -> Run:
    run = Run.of_this_process()
    return replace(run, host="another-machine", pid=1, heartbeat=run.heartbeat - seconds_ago)


CASES = {
    "another process here": (lambda other, gone: here(other.pid, other.create_time()), True),
    "this process": (lambda other, gone: Run.of_this_process(), False),
    "a process that is gone": (lambda other, gone: here(gone, other.create_time()), False),
    "a process number used again": (lambda other, gone: here(other.pid, other.create_time() - 60), False),
    "another machine, a moment ago": (lambda other, gone: elsewhere(5), True),
    "another machine, whose clock is ahead": (lambda other, gone: elsewhere(-20), True),
    "another machine, long ago": (lambda other, gone: elsewhere(FRESH_SECONDS + 10), False),
    "another machine, from a wrong clock": (lambda other, gone: elsewhere(-90_000), False),
}


@pytest.mark.parametrize("case", CASES)
def test_who_is_at_work(tmp_path: Path, other: psutil.Process, gone: int, case: str) -> None:
    make, is_refused = CASES[case]
    run = make(other, gone)
    output = storage.absolute(str(tmp_path / "out"))
    storage.write_bytes(run_uri(output), json.dumps(asdict(run)).encode())
    if not is_refused:
        require_no_other(run_uri(output), output)
        return
    with pytest.raises(RunAtWork) as refused:
        require_no_other(run_uri(output), output)
    for said in (output, f"process {run.pid} on {run.host}", "since 2", "+00:00; wait until it ends"):
        assert said in str(refused.value)


DAMAGED = json.dumps({**asdict(Run.of_this_process()), "pid": "PID"}).replace('"PID"', "%s").encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"{",
        b"\xff",
        b'{"pid": "x"}',
        b'{"id": null, "host": 3}',
        DAMAGED % b"1e999",
        DAMAGED % b"-1",
        DAMAGED % b"99999999999999999999",
        b"null",
    ],
)
def test_a_damaged_mark_hinders_nobody(tmp_path: Path, data: bytes) -> None:
    output = storage.absolute(str(tmp_path))
    storage.write_bytes(run_uri(output), data)
    require_no_other(run_uri(output), output)


def test_no_mark_at_all(tmp_path: Path) -> None:
    for output in (tmp_path, tmp_path / "nothing/here", Path(__file__)):
        uri = storage.absolute(str(output))
        require_no_other(run_uri(uri), uri)


def test_a_mark_ends_with_its_block(tmp_path: Path) -> None:
    mark = run_uri(storage.absolute(str(tmp_path)))
    with at_work(mark):
        assert json.loads(storage.read_bytes(mark))["host"] == socket.gethostname()
    assert not storage.exists(mark)
    with pytest.raises(KeyError), at_work(mark):
        raise KeyError
    assert storage.read_bytes(mark) == b"{}", "the mark stays, of no run"


def test_a_heartbeat_is_rewritten(tmp_path: Path) -> None:
    mark = run_uri(storage.absolute(str(tmp_path)))
    with at_work(mark) as heartbeat:
        before = json.loads(storage.read_bytes(mark))
        heartbeat.write()
        after = json.loads(storage.read_bytes(mark))
        assert after.pop("heartbeat") > before.pop("heartbeat")
        assert after == before
        heartbeat.stop()
        assert not heartbeat.is_alive()


def test_on_object_storage(s3) -> None:  # noqa: F811
    output = f"s3://{BUCKET}/at-work"
    with at_work(run_uri(output)):
        require_no_other(run_uri(output), output)
        run = replace(elsewhere(5), started="yesterday")
        storage.write_bytes(run_uri(output), json.dumps(asdict(run)).encode())
        with pytest.raises(RunAtWork, match="on another-machine, since yesterday; "):
            require_no_other(run_uri(output), output)
    assert not storage.exists(run_uri(output))


# --- commands


def lines(manifest: Path, output: Path) -> list[list[str]]:
    return [
        ["sample", str(manifest), "-o", str(output), "--fraction", "0.5"],
        ["sample", str(manifest), "-o", str(output), "--fraction", "0.5", "--restart"],
        ["sample", str(manifest), "-o", str(output), "--count", "3"],
        ["sample", str(manifest), "-o", str(output), "--count", "3", "--dry-run"],
        ["merge", str(manifest), str(manifest), "-o", str(output)],
    ]


def test_a_second_run_is_refused_until_the_first_is_gone(manifest: Path, tmp_path: Path) -> None:
    """The first is killed: then the second goes on, and the manifest is that of an undisturbed run."""
    output = tmp_path / "out"
    with held(DERIVE, storage.absolute(str(manifest)), storage.absolute(str(output))) as first:
        for line in lines(manifest, output):
            done = curate(*line, check=2)
            assert f"another run is at work here, process {first.pid}" in done.stderr, line
            assert "Traceback" not in done.stderr
        assert (output / "_work/plan.json").exists(), "the first has lost nothing"
        first.send_signal(signal.SIGKILL)
        first.wait()
        curate(*lines(manifest, output)[3])
        curate("sample", manifest, "-o", output, "--count", "3", "--restart")
    assert open_manifest(str(output)).rows == 3
    assert sorted(path.name for path in output.iterdir()) == ["_manifest.json", "part-00000.parquet"]


def test_the_first_run_ends_as_ever(manifest: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with held(DERIVE, storage.absolute(str(manifest)), storage.absolute(str(output))) as first:
        curate(*lines(manifest, output)[0], check=2)
        first.communicate()
        assert first.returncode == 0
    assert open_manifest(str(output)).made_by == "sample"
    assert not (output / "_work").exists()


def test_stages_say_it_too(manifest: Path, tmp_path: Path) -> None:
    """Also under another configuration, and with --dry-run; Spark is not started for it."""
    output = tmp_path / "out"
    with held(HOLD, run_uri(storage.absolute(str(output)))) as first:
        for more in ([], ["--dry-run"], ["--restart"], ["--samples-per-shard", "7"]):
            done = curate("shard", manifest, "-o", output, *more, check=2)
            assert f"process {first.pid} on " in done.stderr


def test_a_finished_manifest_is_read_without_a_write(manifest: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    curate(*lines(manifest, output)[0])
    before = {path: path.stat().st_mtime_ns for path in [output, *output.iterdir()]}
    assert "up to date" in curate(*lines(manifest, output)[0]).stderr
    assert {path: path.stat().st_mtime_ns for path in [output, *output.iterdir()]} == before


def test_diffs_say_it_too(manifest: Path, tmp_path: Path) -> None:
    output = tmp_path / "diff"
    with held(HOLD, storage.absolute(str(output / "_begun"))) as first:
        for more in ([], ["--force"]):
            assert (
                f"process {first.pid}" in curate("diff", manifest, manifest, "--out", output, *more, check=2).stderr
            )
        first.send_signal(signal.SIGKILL)
        first.wait()
        curate("diff", manifest, manifest, "--out", output)
    assert [path.name for path in output.iterdir()] == ["_diff.json"]
