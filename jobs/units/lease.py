"""The lease of a run: the right to write to an output, which one run has at a time.

Runs of an output are numbered. A run takes the next number, its token, by creating `_work/leases/000007.json`, which
only one run can do, and rewrites that file every few seconds. A later run takes the following number once the process
is gone or the file has not changed for a minute by the clock of the storage. From then on the earlier run, should it
still exist, finds that its lease is lost. What it writes is in a folder of its own, `_work/runs/000007-…`, which the
later run removes.
"""

import contextlib
import datetime
import json
import logging
import os
import re
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import psutil

from manifests import exclusive, storage
from manifests.errors import LeaseLost, RunAtWork, StorageUnavailable
from manifests.format.receipts import WORK

_log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
EXPIRY_SECONDS = 60.0
REMOVED_AT_ONCE = 1000  # what is removed between two looks at the lease
SAME_START_SECONDS = 2.0  # the start of a process moves a little when the clock is corrected
LEASES, RUNS = "leases", "runs"
FOLDERS = ("receipts", "files", "failures")
_NAME = re.compile(r"(\d{6,})\.json")
_held_here: set[str] = set()  # the ids of the leases that this process has not given back


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who has a lease. `process_started` and `heartbeat` are in seconds since 1970; `started` is for people."""

    id: str
    host: str
    pid: int
    process_started: float
    started: str
    heartbeat: float
    is_released: bool = False

    @classmethod
    def here(cls) -> "Holder":
        """Return this process as the holder of a new lease."""
        now, me = _now(), psutil.Process()
        return cls(
            id=uuid.uuid4().hex,
            host=socket.gethostname(),
            pid=me.pid,
            process_started=me.create_time(),
            started=datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(" ", "seconds"),
            heartbeat=now,
        )

    @classmethod
    def from_json(cls, data: bytes) -> "Holder | None":
        """Return the holder that `to_json` wrote; None for anything else."""
        try:
            fields: Any = json.loads(data)
            return cls(
                id=str(fields["id"]),
                host=str(fields["host"]),
                pid=int(fields["pid"]),
                process_started=float(fields["process_started"]),
                started=str(fields["started"]),
                heartbeat=float(fields["heartbeat"]),
                is_released=bool(fields["is_released"]),
            )
        except (ValueError, TypeError, KeyError, OverflowError):
            return None

    def to_json(self) -> bytes:
        """Return the content of the lease's file."""
        return json.dumps(asdict(self), indent=1).encode()

    @property
    def is_on_this_machine(self) -> bool:
        """Whether its process can be looked up."""
        return self.host == socket.gethostname()

    @property
    def has_process(self) -> bool:
        """Whether its process, on this machine, still runs. This process has no leases but those that it holds."""
        if self.pid == os.getpid():
            return self.id in _held_here
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.process_started) < SAME_START_SECONDS
            return is_same and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        except (psutil.Error, ValueError, OverflowError):  # a number that cannot be that of a process
            return False


@dataclass(frozen=True, kw_only=True)
class Fence:
    """What a worker needs of a lease: which output it is for, and the token and the id of its holder.

    Can be pickled.
    """

    work: str
    token: int
    id: str

    @property
    def folder(self) -> str:
        """The URI of the folder of this run: its plan, receipts, failures, and files that are not in place yet.

        Only the holder makes it, before it has the lease. A later run removes it, and nobody can make it again.
        """
        return storage.join(self.work, RUNS, f"{_number(self.token)}-{self.id[:8]}")

    @property
    def uri(self) -> str:
        """The URI of the lease's file."""
        return lease_uri(self.work, self.token)

    def require_held(self) -> None:
        """Raise LeaseLost if a later run has taken over, or if the run has ended."""
        if _read(self.work, self.token + 1) is None:
            mine = Holder.from_json(_read(self.work, self.token) or b"")
            if mine is not None and mine.id == self.id:
                return
        raise self._lost()

    def _lost(self) -> LeaseLost:
        later = _newest(self.work)[1]
        is_other = later is not None and later.id != self.id
        who = f"process {later.pid} on {later.host}, since {later.started}," if later and is_other else "another run"
        return LeaseLost(
            f"{self.work.rsplit('/', 1)[0]}: this run no longer has the lease; {who} took over or has finished; "
            "nothing more is written"
        )

    @contextlib.contextmanager
    def guarding(self) -> Iterator[None]:
        """Raise LeaseLost instead of FileNotFoundError if the folder of this run is gone: the run is over then."""
        try:
            yield
        except FileNotFoundError:
            self.require_held()
            if storage.is_local(self.work) and not storage.exists(self.folder):
                raise self._lost() from None
            raise

    def remove(self, folder: str, names: Sequence[str]) -> None:
        """Remove files below a folder of the output, on an object store with few requests.

        Raises LeaseLost if a later run has taken over, or if the run has ended. On a disk that is certain, since each
        file is moved through the folder of this run. On an object store the lease is looked at before each request.
        """
        if storage.is_local(folder):
            for name in names:
                with self.guarding():
                    exclusive.remove_through(storage.join(folder, name), storage.join(self.folder, "files"))
            return
        for first in range(0, len(names), REMOVED_AT_ONCE):
            self.require_held()
            storage.remove_many(folder, names[first : first + REMOVED_AT_ONCE])


@dataclass(kw_only=True)
class Lease:
    """A lease that this process holds; a thread keeps it alive until `release` or `stop`."""

    fence: Fence
    holder: Holder

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, daemon=True)

    def start(self) -> None:
        """Begin to rewrite the file of the lease every few seconds."""
        self._thread.start()

    def beat(self) -> None:
        """Rewrite the file of the lease, unless the lease is lost."""
        self.fence.require_held()
        exclusive.rewrite(self.fence.uri, replace(self.holder, heartbeat=_now()).to_json())

    def stop(self) -> None:
        """Stop rewriting, so that the folder of the lease can be removed."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        _held_here.discard(self.holder.id)

    def release(self) -> None:
        """Give the lease back, so that the next run need not wait."""
        self.stop()
        with contextlib.suppress(Exception):  # the next run finds that the process is gone, or waits
            self.fence.require_held()
            exclusive.rewrite(self.fence.uri, replace(self.holder, is_released=True).to_json())

    def _keep_alive(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.beat()
            except LeaseLost as e:
                _log.warning("%s", e)
                return
            except Exception:  # noqa: BLE001 - the next beat tries again
                _log.info("cannot write %s", self.fence.uri, exc_info=True)


def work_uri(output: str) -> str:
    """Return the URI of the folder with the leases of runs that make the manifest at `output`."""
    return storage.join(output, WORK)


def lease_uri(work: str, token: int) -> str:
    """Return the URI of the lease's file with this token."""
    return storage.join(work, LEASES, f"{_number(token)}.json")


def require_free(work: str) -> int:
    """Raise RunAtWork if a run that still exists holds the lease in the folder `work`; return the newest token."""
    token, holder = _newest(work)
    if holder is None or holder.is_released or not _is_alive(holder, lease_uri(work, token)):
        return token
    then = (
        f"wait until it ends, stop it with `kill {holder.pid}`, or name another output"
        if holder.is_on_this_machine
        else "wait until it ends, or name another output; if it was killed, try again in "
        f"{EXPIRY_SECONDS:.0f} seconds"
    )
    raise RunAtWork(
        f"{work.rsplit('/', 1)[0]}: another run is writing here, process {holder.pid} on {holder.host}, since "
        f"{holder.started}; {then}"
    )


def acquire(work: str) -> Lease:
    """Take the lease in the folder `work` and return it. Raises RunAtWork if a run that still exists has it."""
    holder = Holder.here()
    while True:
        fence = Fence(work=work, token=require_free(work) + 1, id=holder.id)
        for name in FOLDERS:
            storage.make_folder(storage.join(fence.folder, name))
        storage.make_folder(storage.join(work, LEASES))
        _held_here.add(holder.id)
        with contextlib.suppress(FileNotFoundError):  # a run has finished meanwhile, and removed the folder
            if exclusive.create(fence.uri, holder.to_json(), make_folder=False):
                return Lease(fence=fence, holder=holder)
        _held_here.discard(holder.id)
        exclusive.remove_folder(fence.folder)


def fences_up_to(work: str, token: int) -> list[Fence]:
    """Return the fences of the runs with tokens from 1 to `token` whose leases are there, in this order."""
    found = ((number, _read(work, number)) for number in range(1, token + 1))
    holders = ((number, Holder.from_json(data)) for number, data in found if data is not None)
    return [Fence(work=work, token=number, id=holder.id) for number, holder in holders if holder is not None]


@contextlib.contextmanager
def held(work: str) -> Iterator[Lease]:
    """Hold the lease in the folder `work` until the block ends. Raises RunAtWork as `acquire` does."""
    lease = acquire(work)
    lease.start()
    try:
        yield lease
    finally:
        lease.release()


def _newest(work: str) -> tuple[int, Holder | None]:
    """Return the newest token and its holder; 0 without a lease, None for a file that names no holder."""
    names = (_NAME.fullmatch(name) for name in storage.list_names(storage.join(work, LEASES)))
    token = max((int(found[1]) for found in names if found), default=0)
    data = _read(work, token) if token else None
    while (later := _read(work, token + 1)) is not None:  # a listing may lag behind
        token, data = token + 1, later
    return token, None if data is None else Holder.from_json(data)


def _read(work: str, token: int) -> bytes | None:
    try:
        return storage.read_bytes(lease_uri(work, token))
    except (FileNotFoundError, NotADirectoryError) as e:
        if isinstance(e, StorageUnavailable):
            raise
        return None


def _is_alive(holder: Holder, uri: str) -> bool:
    """Return whether a holder still runs: by its process on this machine, else by the age of its lease."""
    return holder.has_process if holder.is_on_this_machine else _age_seconds(holder, uri) < EXPIRY_SECONDS


def _age_seconds(holder: Holder, uri: str) -> float:
    """Return how long ago a lease was rewritten, by the clock of the storage, or where that fails, by both clocks."""
    probe = f"{uri.rsplit('/', 1)[0]}/clock-{uuid.uuid4().hex}.tmp"
    try:
        storage.write_bytes(probe, b"")
        try:
            now, then = (storage.changed_at(each) for each in (probe, uri))
        finally:
            storage.remove(probe)
    except OSError:
        now = then = None
    return abs(_now() - holder.heartbeat) if now is None or then is None else now - then


def _number(token: int) -> str:
    return f"{token:06d}"


def _now() -> float:
    return datetime.datetime.now(datetime.UTC).timestamp()
