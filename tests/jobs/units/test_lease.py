"""One run has the lease of an output; a second is refused and told who has it; a dead run's lease is taken over."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from jobs.units import lease as leases
from jobs.units.lease import EXPIRY_SECONDS, Holder, acquire, held, lease_uri, require_free, work_uri
from jobs.units.state import discard
from manifests import storage
from manifests.errors import LeaseLost, RunAtWork
from manifests.format.schema import Stage
from manifests.format.store import open_manifest
from tests.conftest import TOP, curate
from tests.jobs.test_object_storage import BUCKET, s3  # noqa: F401 - a fixture
from tests.support.http_proxy import proxy_of
from tests.support.making import commit_rows
from tests.support.object_store import bucket_of

pytestmark = pytest.mark.slow  # processes

WRITING = """
import sys
from jobs.units.lease import held
with held(sys.argv[1]):
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


@pytest.fixture
def work(tmp_path: Path) -> str:
    return work_uri(storage.absolute(str(tmp_path / "out")))


# --- who has the lease


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


def here(pid: int, started: float) -> Holder:
    return replace(Holder.here(), pid=pid, process_started=started)


ELSEWHERE = replace(Holder.here(), host="another-machine", pid=1)
CASES = {
    "another process here": (lambda other, gone: here(other.pid, other.create_time()), True),
    "this process, which has no lease": (lambda other, gone: Holder.here(), False),
    "a process that is gone": (lambda other, gone: here(gone, other.create_time()), False),
    "a process number that was reused": (lambda other, gone: here(other.pid, other.create_time() - 60), False),
    "a lease that was given back": (lambda other, gone: replace(ELSEWHERE, is_released=True), False),
    "another machine, a moment ago": (lambda other, gone: ELSEWHERE, True),
    "another machine, whose clock is a day behind": (
        lambda other, gone: replace(ELSEWHERE, heartbeat=ELSEWHERE.heartbeat - 86_400),
        True,
    ),
}


def write_lease(work: str, holder: Holder, seconds_ago: float = 0.0) -> None:
    uri = lease_uri(work, 1)
    storage.write_bytes(uri, holder.to_json())
    then = time.time() - seconds_ago
    os.utime(storage.filesystem(uri)[1], (then, then))


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_has_the_lease_is_recognised(work: str, other: psutil.Process, gone: int, case: str) -> None:
    make, is_refused = CASES[case]
    holder = make(other, gone)
    write_lease(work, holder)
    if not is_refused:
        assert require_free(work) == 1
        return
    for refuse in (require_free, acquire):
        with pytest.raises(RunAtWork) as refused:
            refuse(work)
        for part in (work.removesuffix("/_work"), f"process {holder.pid} on {holder.host}", "since 2", "; wait"):
            assert part in str(refused.value)


def test_a_lease_expires_by_the_clock_of_the_storage(work: str) -> None:
    write_lease(work, ELSEWHERE, seconds_ago=EXPIRY_SECONDS + 10)
    assert acquire(work).fence.token == 2
    assert not [name for name in storage.list_names(f"{work}/leases") if "clock" in name]


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"{", b"\xff", b'{"pid": "x"}', b'{"pid": 1e999}', b"null"])
def test_a_damaged_lease_is_nobodys(work: str, data: bytes) -> None:
    storage.write_bytes(lease_uri(work, 1), data)
    assert acquire(work).fence.token == 2


def test_without_a_lease_any_run_may_start(tmp_path: Path) -> None:
    for output in (tmp_path, tmp_path / "nothing/here", Path(__file__)):
        assert require_free(work_uri(storage.absolute(str(output)))) == 0


# --- the life of a lease


def test_a_lease_is_given_back_when_its_block_ends(work: str) -> None:
    with held(work) as lease:
        assert json.loads(storage.read_bytes(lease.fence.uri))["host"] == socket.gethostname()
        with pytest.raises(RunAtWork):
            acquire(work)
        lease.fence.require_held()
    with pytest.raises(KeyError), held(work) as second:
        raise KeyError
    assert second.fence.token == 2
    assert require_free(work) == 2
    with pytest.raises(LeaseLost, match="took over or has finished"):
        lease.fence.require_held()


def test_a_heartbeat_rewrites_the_lease_until_it_is_lost(work: str) -> None:
    with held(work) as lease:
        before = json.loads(storage.read_bytes(lease.fence.uri))
        lease.beat()
        after = json.loads(storage.read_bytes(lease.fence.uri))
        assert after.pop("heartbeat") > before.pop("heartbeat")
        assert after == before
        storage.write_bytes(lease_uri(work, 2), ELSEWHERE.to_json())
        with pytest.raises(LeaseLost, match="another-machine"):
            lease.beat()
    assert json.loads(storage.read_bytes(lease.fence.uri))["is_released"] is False, "a lost lease is not touched"


def test_after_the_commit_nothing_brings_the_work_folder_back(work: str) -> None:
    with held(work) as lease:
        storage.remove(work)
        for late in (lease.beat, lease.fence.require_held):
            with pytest.raises(LeaseLost):
                late()
    assert not storage.exists(work)


def test_of_many_runs_that_start_at_once_one_gets_the_lease(work: str) -> None:
    got, refused = [], []
    ready = threading.Barrier(8)

    def take() -> None:
        ready.wait()
        try:
            got.append(acquire(work))
        except RunAtWork as e:
            refused.append(str(e))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (len(got), len(refused)) == (1, 7)
    got[0].release()


def test_on_object_storage(s3) -> None:  # noqa: F811
    work = work_uri(f"s3://{BUCKET}/at-work")
    with held(work) as lease:
        lease.beat()
        with pytest.raises(RunAtWork):
            acquire(work)
        storage.write_bytes(lease_uri(work, 2), replace(ELSEWHERE, started="yesterday").to_json())
        with pytest.raises(RunAtWork, match="on another-machine, since yesterday; "):
            require_free(work)
        with pytest.raises(LeaseLost):
            lease.beat()
    assert leases._newest(work)[0] == 2


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
        assert list(output.glob("_work/runs/*/plan.json")), "the work of the first is untouched"
        first.send_signal(signal.SIGKILL)
        first.wait()
        curate(*lines(manifest, output)[3])
        curate("sample", manifest, "-o", output, "--count", "3", "--restart")
    made = open_manifest(str(output))
    assert made.rows == 3
    assert sorted(path.name for path in output.iterdir()) == ["_manifest.json", "_tables", made.parts[0].name]


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
    with running(WRITING, work_uri(storage.absolute(str(output)))) as first:
        for more in ([], ["--dry-run"], ["--restart"], ["--samples-per-shard", "7"]):
            done = curate("shard", manifest, "-o", output, *more, check=2)
            assert f"process {first.pid} on " in done.stderr


def test_a_finished_manifest_is_read_without_a_write(manifest: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    curate(*lines(manifest, output)[0])
    before = {path: path.stat().st_mtime_ns for path in [output, *output.iterdir()]}
    assert "up to date" in curate(*lines(manifest, output)[0]).stderr
    assert {path: path.stat().st_mtime_ns for path in [output, *output.iterdir()]} == before


def test_a_finished_manifest_is_up_to_date_while_the_run_that_made_it_still_tidies(manifest: Path, tmp_path: Path):
    output = tmp_path / "out"
    curate(*lines(manifest, output)[0])
    with running(WRITING, work_uri(storage.absolute(str(output)))) as first:
        assert "up to date" in curate(*lines(manifest, output)[0]).stderr
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert "up to date" in curate(*lines(manifest, output)[0]).stderr


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


def test_a_restart_removes_the_parts_on_an_object_store_with_few_requests() -> None:
    with bucket_of("restart") as client, proxy_of(client.meta.endpoint_url) as proxy:
        output = "s3://restart/out"
        storage.configure({"s3": {"endpoint_url": proxy.url}})
        commit_rows(output, [[{"key": f"{part}"}] for part in range(30)])
        storage.write_bytes(f"{output}/mine.txt", b"")
        with held(work_uri(output)) as lease:
            lease.stop()
            proxy.requests.clear()
            discard(output, lease.fence)
        assert storage.list_names(output) == ["_work", "mine.txt"]
        assert proxy.count("POST") == 2, "the document, and all parts together"
        assert len(proxy.requests) < 15
