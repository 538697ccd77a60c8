"""Processes that do the work of small runs: each piece once, again after a failure, and nothing is left behind."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import fsspec.config
import psutil
import pytest

from jobs.units.local_workers import ATTEMPTS, LocalWorkers, WorkerEnded, WorkFailed
from jobs.units.worker import ONE_THREAD, is_retry
from manifests.errors import BrokenSource
from tests.conftest import TOP


def workers(count: int = 2) -> LocalWorkers:
    return LocalWorkers(count, modules=["json"], options={"memory": {"skip_instance_cache": True}})


def describe(number: int) -> tuple[int, int, bool, object, set[str | None]]:
    threads = {os.environ.get(name) for name in ONE_THREAD}
    return number, os.getpid(), is_retry(), fsspec.config.conf.get("memory"), threads


def die_once(marker: str) -> tuple[str, bool]:
    """End this process by a signal, unless the file `marker` is there."""
    path = Path(marker)
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return marker, is_retry()


def fail(folder: str) -> None:
    """Leave a file for each attempt."""
    Path(folder, str(len(os.listdir(folder)))).touch()  # noqa: PTH208
    raise BrokenSource("a.tar: has changed")


def die(folder: str) -> None:
    Path(folder, str(len(os.listdir(folder)))).touch()  # noqa: PTH208
    os.kill(os.getpid(), signal.SIGKILL)


def test_each_piece_is_done_once_by_a_prepared_worker() -> None:
    with workers() as pool:
        found = sorted(pool.run(describe, range(40)))
    assert [each[0] for each in found] == list(range(40))
    assert len({each[1] for each in found} - {os.getpid()}) == 2
    for *_, retry, options, threads in found:
        assert (retry, options, threads) == (False, {"skip_instance_cache": True}, {"1"})


def test_a_worker_that_ends_is_replaced_and_its_work_tried_again(tmp_path: Path) -> None:
    markers = [str(tmp_path / str(number)) for number in range(6)]
    with workers() as pool:
        assert sorted(pool.run(die_once, markers)) == [(marker, True) for marker in markers]


@pytest.mark.parametrize(
    ("work", "error", "text"),
    [(fail, WorkFailed, "manifests.errors.BrokenSource: a.tar: has changed"), (die, WorkerEnded, "lack of memory")],
)
def test_what_fails_every_time_ends_the_run(tmp_path: Path, work, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text), workers() as pool:
        list(pool.run(work, [str(tmp_path)]))
    assert len(list(tmp_path.iterdir())) == ATTEMPTS


@pytest.mark.parametrize("is_error", [False, True])
def test_no_process_is_left(is_error: bool) -> None:
    started: list[psutil.Process] = []
    with contextlib.suppress(KeyboardInterrupt), workers() as pool:
        list(pool.run(describe, range(4)))
        started += [each for each in psutil.Process().children(recursive=True) if is_worker(each)]
        if is_error:
            raise KeyboardInterrupt
    assert len(started) == 3
    psutil.wait_procs(started, timeout=60)
    assert not [each for each in started if is_at_work(each)]


def is_worker(process: psutil.Process) -> bool:
    """Return whether a process runs local_workers; processes of other tests may be ending meanwhile."""
    try:
        return "local_workers" in " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def is_at_work(process: psutil.Process) -> bool:
    """Return whether a process has not ended; nobody may have waited for it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_script_without_a_guard_is_not_run_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "print('started', flush=True)\n"
        "import math, pathlib, sys\n"
        "sys.path.append(pathlib.Path('elsewhere'))\n"
        "from jobs.units.local_workers import LocalWorkers\n"
        "with LocalWorkers(2, modules=[], options={}) as pool:\n"
        "    print(sorted(pool.run(math.sqrt, [1, 4, 9])))\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(TOP)}
    )
    assert done.stdout == "started\n[1.0, 2.0, 3.0]\n", done.stderr
