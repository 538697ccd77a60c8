"""Worker processes on this machine, for runs so small that starting Spark would cost more than their work.

One process imports what the work needs, once, and forks the workers, as Spark's Python daemon does. It is a program
of its own: threads of the caller are not forked, and a script without `if __name__ == "__main__"` is not run again.
Work that raises an error or ends its worker is tried again, up to ATTEMPTS times, as Spark does.
"""

import contextlib
import gc
import importlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self, TypeVar

from jobs.show import logs
from jobs.units.worker import ONE_THREAD, prepare_worker
from manifests.errors import CurateError

T = TypeVar("T")
U = TypeVar("U")

ATTEMPTS = 4
_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from jobs.units.local_workers import serve
serve(json.loads(sys.argv[2]), json.loads(sys.argv[3]))
"""


class WorkFailed(Exception):
    """Some work failed in all attempts; the text is that of the last error."""


class WorkerEnded(WorkFailed):
    """The process that did `item` ended, in all attempts."""

    def __init__(self, item: Any) -> None:
        super().__init__(
            f"its process ended {ATTEMPTS} times, which lack of memory may be the reason for; "
            "--master 'local[1]' has one process instead of one for each core"
        )
        self.item = item


class LocalWorkers:
    """Processes, from `with` to its end.

    Args:
        count: how many there are.
        modules: what they import before the first work, so that it is imported once.
        options: their storage arguments, as `manifests.storage.configure` takes them.
    """

    def __init__(self, count: int, *, modules: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> None:
        self._count, self._modules, self._options = count, modules, options
        self._servers: list[subprocess.Popen[bytes]] = []
        self._lines: list[Connection] = []
        self._is_over = threading.Event()

    def __enter__(self) -> Self:
        """Start the processes."""
        self._lines = self._start(self._count)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """End the processes, after an error at once, and wait, so that what they used counts as this one's."""
        self._is_over.set()
        for line in self._lines:
            line.close()
        for server in self._servers:
            if kind is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(server.pid, signal.SIGTERM)
            server.wait()

    def run(self, work: Callable[[T], U], items: Sequence[T]) -> Iterator[U]:
        """Yield what `work` returns for each of `items`, whichever is first. All of it is pickled.

        Raises WorkFailed for what failed in all attempts; nothing new is begun then.
        """
        waiting: queue.SimpleQueue[T] = queue.SimpleQueue()
        for item in items:
            waiting.put(item)
        found: queue.SimpleQueue[tuple[U | None, Exception | None]] = queue.SimpleQueue()
        threads = [
            threading.Thread(target=self._serve, args=(place, work, waiting, found), daemon=True)
            for place in range(len(self._lines))
        ]
        for thread in threads:
            thread.start()
        for _ in items:
            result, error = found.get()
            if error is not None:
                self._is_over.set()
                raise error
            yield result  # type: ignore[misc]  # there is no error
        for thread in threads:
            thread.join()

    def _serve(
        self,
        place: int,
        work: Callable[[T], U],
        waiting: "queue.SimpleQueue[T]",
        found: "queue.SimpleQueue[tuple[U | None, Exception | None]]",
    ) -> None:
        """Let one worker do what is waiting, until nothing is."""
        while not self._is_over.is_set():
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                found.put((self._try(place, work, item), None))
            except Exception as e:  # noqa: BLE001 - raised in the thread of the caller
                found.put((None, e))

    def _try(self, place: int, work: Callable[[T], U], item: T) -> U:
        error: Exception = WorkerEnded(item)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._lines[place].send((work, item, attempt, logs.worker_level(), self._options))
                result, text = self._lines[place].recv()
            except (EOFError, OSError):
                error = WorkerEnded(item)
                if self._is_over.is_set():
                    break
                self._lines[place].close()
                self._lines[place : place + 1] = self._start(1)
                continue
            if text is None:
                return result  # type: ignore[no-any-return]
            error = WorkFailed(text)
        raise error

    def _start(self, count: int) -> list[Connection]:
        """Start a process that forks `count` workers; return the lines to them."""
        pairs = [socket.socketpair() for _ in range(count)]
        theirs = [there.fileno() for _, there in pairs]
        path = [str(each) for each in sys.path]  # some programs put a Path there
        arguments = [json.dumps(each) for each in (path, self._modules, theirs)]
        server = subprocess.Popen(  # noqa: S603 - this program
            [sys.executable, "-P", "-c", _PROGRAM, *arguments],
            pass_fds=theirs,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**dict.fromkeys(ONE_THREAD, "1"), **os.environ},
            start_new_session=True,  # Ctrl-C is for this process, which then ends them
        )
        self._servers.append(server)
        for _, there in pairs:
            there.close()
        return [Connection(here.detach()) for here, _ in pairs]


def serve(modules: Sequence[str], lines: Sequence[int]) -> None:
    """Import `modules`, and fork a worker for each of the file descriptors `lines`; return when all have ended.

    Nothing that is imported may start a thread, which a fork would lose.
    """
    for name in modules:
        importlib.import_module(name)
    gc.freeze()  # workers share the memory of these objects
    for line in lines:
        if os.fork() == 0:
            for other in lines:
                if other != line:
                    os.close(other)  # else nobody would notice that the worker at its end has ended
            _work(Connection(line))
            os._exit(0)
    for line in lines:
        os.close(line)
    for _ in lines:
        os.wait()


def _work(line: Connection) -> None:
    while True:
        try:
            work, item, attempt, level, options = line.recv()
        except EOFError:
            return
        logs.configure_worker(level, attempt)
        prepare_worker(options)
        try:
            answer: tuple[Any, str | None] = (work(item), None)
        except Exception as e:  # noqa: BLE001 - the process that waits decides
            name = f"{type(e).__module__}.{type(e).__qualname__}" if isinstance(e, CurateError) else type(e).__name__
            answer = (None, f"{name}: {e}")
        try:
            line.send(answer)
        except OSError:  # nobody waits for it any more
            return
