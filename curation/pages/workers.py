"""Processes that decode pictures: one that dies takes its own pictures with it, and nothing else."""

import concurrent.futures
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Self, TypeVar

import fsspec.config

from manifests import storage

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """So many processes, by default one for each core; use it as a context manager.

    They are started when there is work, and know the storages as this process does. With 0, all is done in this
    process: new ones would run the script of a user that calls this from a script without a guard.
    """

    def __init__(self, processes: int | None = None) -> None:
        self.processes = len(os.sched_getaffinity(0)) if processes is None else processes
        self._pool: concurrent.futures.ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._end()

    def map(self, work: Callable[..., R], groups: Sequence[T], *more: Any) -> Iterator[tuple[T, R | None]]:
        """Yield each group with `work(group, *more, is_careful)`, in order; with None if its process ended before.

        That may be because of another group: what is worth another attempt should be tried again by itself. Whoever
        `is_careful` tries each picture in a child process first, since this process must not end.
        """
        if self.processes == 0:
            yield from ((group, work(group, *more, True)) for group in groups)
            return
        pool = self._started()
        waiting = []
        for group in groups:
            try:
                future = pool.submit(work, group, *more, False)
            except BrokenProcessPool as e:  # a process ended while groups were still being handed out
                future = concurrent.futures.Future()
                future.set_exception(e)
            waiting.append((group, future))
        is_broken = False
        for group, future in waiting:
            try:
                yield group, future.result()
            except BrokenProcessPool:
                is_broken = True
                yield group, None
        if is_broken:
            self._end()

    def _started(self) -> concurrent.futures.ProcessPoolExecutor:
        if self._pool is None:
            self._pool = concurrent.futures.ProcessPoolExecutor(
                self.processes,
                mp_context=multiprocessing.get_context("spawn"),  # a fork would copy the locks of DuckDB's threads
                initializer=_prepare,
                initargs=({name: dict(options) for name, options in fsspec.config.conf.items()},),
            )
        return self._pool

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _prepare(storage_options: Mapping[str, Mapping[str, Any]]) -> None:
    """Prepare a process: its storage is the parent's, and Ctrl-C ends it at once, without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    storage.configure(storage_options)
