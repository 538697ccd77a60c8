"""A run file at an output, which names the run that is writing there, so that a second run can refuse to start.

It is a small JSON file that is rewritten every few seconds. It is not a lock: two runs that start at the same moment
both continue.
"""

import contextlib
import datetime
import json
import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import psutil

from manifests import storage
from manifests.errors import RunAtWork
from manifests.format.receipts import WORK

_log = logging.getLogger(__name__)

RUN_FILE = "run.json"
BEAT_SECONDS = 5.0
FRESH_SECONDS = 60.0
SAME_START_SECONDS = 2.0  # the start of a process moves a little when the clock is corrected


@dataclass(frozen=True, kw_only=True)
class Run:
    """A running process. `process_started` and `heartbeat` are in seconds since 1970; `started` is for people."""

    id: str
    host: str
    pid: int
    process_started: float
    started: str
    heartbeat: float

    @classmethod
    def of_this_process(cls) -> "Run":
        """Return the run of this process, started now."""
        now = _now()
        me = psutil.Process()
        return cls(
            id=uuid.uuid4().hex,
            host=socket.gethostname(),
            pid=me.pid,
            process_started=me.create_time(),
            started=datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(" ", "seconds"),
            heartbeat=now,
        )

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine, so that its process can be looked up."""
        return self.host == socket.gethostname()

    @property
    def is_at_work(self) -> bool:
        """Whether it is still running: judged by its process on this machine, else by its last heartbeat."""
        if not self.is_here:
            return abs(_now() - self.heartbeat) < FRESH_SECONDS
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.process_started) < SAME_START_SECONDS
            return is_same and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        except (psutil.Error, ValueError, OverflowError):  # a number that cannot be that of a process
            return False


def run_uri(output: str) -> str:
    """Return the URI of the run file of a run that makes the manifest at `output`."""
    return storage.join(output, WORK, RUN_FILE)


def require_no_other(run_file: str, output: str) -> None:
    """Raise RunAtWork when the run file at the URI `run_file` names another process that is writing to `output`."""
    run = _read(run_file)
    if run is None or (run.is_here and run.pid == os.getpid()) or not run.is_at_work:
        return
    then = (
        f"wait until it ends, stop it with `kill {run.pid}`, or name another output"
        if run.is_here
        else f"wait until it ends, or name another output; if it was killed, try again in {FRESH_SECONDS:.0f} seconds"
    )
    raise RunAtWork(
        f"{output}: another run is writing here, process {run.pid} on {run.host}, since {run.started}; {then}"
    )


def _read(run_file: str) -> Run | None:
    """Return the run that a run file names; None when the file is missing, damaged or names no run."""
    try:
        fields: Any = json.loads(storage.read_bytes(run_file))
        return Run(
            id=str(fields["id"]),
            host=str(fields["host"]),
            pid=int(fields["pid"]),
            process_started=float(fields["process_started"]),
            started=str(fields["started"]),
            heartbeat=float(fields["heartbeat"]),
        )
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError, OverflowError):
        return None


class Heartbeat(threading.Thread):
    """Rewrites a run file every few seconds, until it is stopped or the process ends."""

    def __init__(self, run_file: str) -> None:
        super().__init__(daemon=True)
        self._run_file, self._run = run_file, Run.of_this_process()
        self._ended = threading.Event()
        self.write()

    def write(self) -> None:
        """Write the run file with the current time."""
        run = replace(self._run, heartbeat=_now())
        storage.write_bytes(self._run_file, json.dumps(asdict(run), indent=1).encode())

    def run(self) -> None:
        """Rewrite the run file until stopped. After a failure, the next beat tries again."""
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.write()
            except Exception:  # noqa: BLE001 - the run must not fail because of its run file
                _log.info("cannot write %s", self._run_file, exc_info=True)

    def stop(self) -> None:
        """Stop writing, so that the folder of the run file can be removed."""
        self._ended.set()
        if self.is_alive():
            self.join()


@contextlib.contextmanager
def at_work(run_file: str) -> Iterator[Heartbeat]:
    """Keep a run file of this process at the URI `run_file` until the block ends."""
    heartbeat = Heartbeat(run_file)
    heartbeat.start()
    try:
        yield heartbeat
    except BaseException:
        heartbeat.stop()
        with contextlib.suppress(Exception):  # the error that ends the block is the one to be reported
            storage.write_bytes(run_file, b"{}")  # not removed: a diff that was interrupted is recognised by it
        raise
    heartbeat.stop()
    storage.remove(run_file)


def _now() -> float:
    return datetime.datetime.now(datetime.UTC).timestamp()
