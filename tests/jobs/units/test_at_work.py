"""A second run on one output is refused, and its message names the first. The run file of a killed run is ignored."""

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

pytestmark = pytest.mark.slow  # processes

WRITING = """
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

def pause():
    print("at work", flush=True)
    sys.stdin.read()
    return iter(())

source = open_manifest(sys.argv[1])
request = Request(
    about=derived_from([source], "sample", {"fraction": 0.5}), sources=[source], output=sys.argv[2],
    extra={"pause": pause},
)
with DuckEngine() as engine:
    derive(request, lambda: engine, Reporter(quiet=True))
"""


@contextmanager
def running(script: str, *arguments: str) -> Iterator[subprocess.Popen]:
    """Run a script in another process until it prints that it is at work; it continues when its stdin is closed."""
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


# --- which run is writing


@pytest.fixture(scope="module")
def other() -> Iterator[psutil.Process]:
    """Another process on this machine."""
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
    "a process number that was reused": (lambda other, gone: here(other.pid, other.create_time() - 60), False),
    "another machine, a moment ago": (lambda other, gone: elsewhere(5), True),
    "another machine, whose clock is ahead": (lambda other, gone: elsewhere(-20), True),
    "another machine, long ago": (lambda other, gone: elsewhere(FRESH_SECONDS + 10), False),
    "another machine, whose clock is wrong": (lambda other, gone: elsewhere(-90_000), False),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_is_writing_is_recognised(tmp_path: Path, other: psutil.Process, gone: int, case: str) -> None:
    make, is_refused = CASES[case]
    run = make(other, gone)
    output = storage.absolute(str(tmp_path / "out"))
    storage.write_bytes(run_uri(output), json.dumps(asdict(run)).encode())
    if not is_refused:
        require_no_other(run_uri(output), output)
        return
    with pytest.raises(RunAtWork) as refused:
        require_no_other(run_uri(output), output)
    for part in (output, f"process {run.pid} on {run.host}", "since 2", "+00:00; wait until it ends"):
        assert part in str(refused.value)


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
def test_a_damaged_run_file_is_ignored(tmp_path: Path, data: bytes) -> None:
    output = storage.absolute(str(tmp_path))
    storage.write_bytes(run_uri(output), data)
    require_no_other(run_uri(output), output)


def test_without_a_run_file_any_run_may_start(tmp_path: Path) -> None:
    for output in (tmp_path, tmp_path / "nothing/here", Path(__file__)):
        uri = storage.absolute(str(output))
        require_no_other(run_uri(uri), uri)


def test_a_run_file_is_removed_when_its_block_ends(tmp_path: Path) -> None:
    run_file = run_uri(storage.absolute(str(tmp_path)))
    with at_work(run_file):
        assert json.loads(storage.read_bytes(run_file))["host"] == socket.gethostname()
    assert not storage.exists(run_file)
    with pytest.raises(KeyError), at_work(run_file):
        raise KeyError
    assert storage.read_bytes(run_file) == b"{}", "after a failure the file stays, and names no run"


def test_a_heartbeat_is_rewritten(tmp_path: Path) -> None:
    run_file = run_uri(storage.absolute(str(tmp_path)))
    with at_work(run_file) as heartbeat:
        before = json.loads(storage.read_bytes(run_file))
        heartbeat.write()
        after = json.loads(storage.read_bytes(run_file))
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
    """Once the first is killed the second starts, and its manifest is that of an undisturbed run."""
    output = tmp_path / "out"
    with running(DERIVE, storage.absolute(str(manifest)), storage.absolute(str(output))) as first:
        for line in lines(manifest, output):
            done = curate(*line, check=2)
            assert f"another run is writing here, process {first.pid}" in done.stderr, line
            assert "Traceback" not in done.stderr
        assert (output / "_work/plan.json").exists(), "the work of the first is untouched"
        first.send_signal(signal.SIGKILL)
        first.wait()
        curate(*lines(manifest, output)[3])
        curate("sample", manifest, "-o", output, "--count", "3", "--restart")
    assert open_manifest(str(output)).rows == 3
    assert sorted(path.name for path in output.iterdir()) == ["_manifest.json", "part-00000.parquet"]


def test_the_first_run_is_not_disturbed(manifest: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with running(DERIVE, storage.absolute(str(manifest)), storage.absolute(str(output))) as first:
        curate(*lines(manifest, output)[0], check=2)
        first.communicate()
        assert first.returncode == 0
    assert open_manifest(str(output)).made_by == "sample"
    assert not (output / "_work").exists()


def test_stages_refuse_too(manifest: Path, tmp_path: Path) -> None:
    """Also with other settings, and with --dry-run. Spark is not started."""
    output = tmp_path / "out"
    with running(WRITING, run_uri(storage.absolute(str(output)))) as first:
        for more in ([], ["--dry-run"], ["--restart"], ["--samples-per-shard", "7"]):
            done = curate("shard", manifest, "-o", output, *more, check=2)
            assert f"process {first.pid} on " in done.stderr


def test_a_finished_manifest_is_read_without_a_write(manifest: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    curate(*lines(manifest, output)[0])
    before = {path: path.stat().st_mtime_ns for path in [output, *output.iterdir()]}
    assert "up to date" in curate(*lines(manifest, output)[0]).stderr
    assert {path: path.stat().st_mtime_ns for path in [output, *output.iterdir()]} == before


def test_diffs_refuse_too(manifest: Path, tmp_path: Path) -> None:
    output = tmp_path / "diff"
    with running(WRITING, storage.absolute(str(output / "_begun"))) as first:
        for more in ([], ["--force"]):
            assert (
                f"process {first.pid}" in curate("diff", manifest, manifest, "--out", output, *more, check=2).stderr
            )
        first.send_signal(signal.SIGKILL)
        first.wait()
        curate("diff", manifest, manifest, "--out", output)
    assert [path.name for path in output.iterdir()] == ["_diff.json"]
