"""Processes that decode pictures: one that dies takes its own pictures with it, and nothing else."""

import concurrent.futures
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Self, TypeVar

import fsspec.config

from manifests import storage

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """So many processes, by default one for each core; use it as a context manager.

    They are started when there is work, and know the storages as this process does.
    """

    def __init__(self, processes: int | None = None) -> None:
        self.processes = processes or len(os.sched_getaffinity(0))
        self._pool: concurrent.futures.ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._end()

    def map(self, work: Callable[..., R], groups: Sequence[T], *more: Any) -> Iterator[tuple[T, R | None]]:
        """Yield each group with `work(group, *more)`, in order; with None if its process ended before it was done.

        That may be because of another group: what is worth another attempt should be tried again by itself.
        """
        pool = self._started()
        waiting = [(group, pool.submit(work, group, *more)) for group in groups]
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
                initializer=storage.configure,
                initargs=({name: dict(options) for name, options in fsspec.config.conf.items()},),
            )
        return self._pool

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
