"""Processes that embed chunks of rows: each loads the model once, with one thread, as the workers of a scan do."""

import functools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

import fsspec.config
import pyarrow as pa

from curation.features.extract import Extracted, extract
from curation.pictures.bounded import decode_bounded, within_limits
from curation.pictures.decode import DecodeLimits
from filters.embedding import Embedder, Preprocessing, load_embedder
from manifests import storage
from manifests.errors import StageFailed

MAX_WORKERS = 8
"""Of the default: each has the model in memory."""
CHUNKS_AHEAD = 2
"""For each worker, so that none waits for the next chunk."""


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """How images are embedded.

    Attributes:
        model: a TorchScript file, or a folder or name of a Hugging Face vision model.
        batch_images: how many images go through the network together.
        device: PyTorch's name of the device; `auto` is a GPU where there is one.
        download: whether a model may be fetched from the Hugging Face hub.
        preprocessing: how pictures are prepared for a TorchScript model.
        limits: images beyond them have no vector.
        workers: processes, each with the model in memory; 0 embeds in this one.
    """

    model: str
    batch_images: int = 32
    device: str = "auto"
    download: bool = False
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    workers: int = field(default_factory=lambda: min(len(os.sched_getaffinity(0)), MAX_WORKERS))


class Workers:
    """The processes, from `with` to its end. Results do not depend on how many there are."""

    def __init__(self, how: Embedding, shards_uri: str | None) -> None:
        self._how, self._shards_uri = how, shards_uri
        self._is_retry = False

    def __enter__(self) -> "Workers":
        """Start, and load the model. Raises FilterError when it cannot be loaded."""
        self._pool = self._start()
        try:
            self.version, self.dimensions = self._pool.submit(_describe, self._how).result()
        except BaseException:
            self._pool.shutdown()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes; chunks that have not begun are dropped."""
        self._pool.shutdown(cancel_futures=True)

    def run(self, chunks: Iterable[pa.Table]) -> Iterator[tuple[pa.Table, list[Extracted]]]:
        """Yield each chunk of rows with their vectors, in order. A few chunks are in memory at a time.

        Raises FilterError when the model fails, and StageFailed when a process ends twice.
        """
        waiting: deque[tuple[pa.Table, Future[list[Extracted]]]] = deque()
        for chunk in chunks:
            waiting.append((chunk, self._submit(chunk)))
            if len(waiting) > CHUNKS_AHEAD * self._how.workers:
                yield self._first(waiting)
        while waiting:
            yield self._first(waiting)

    def _first(self, waiting: deque[tuple[pa.Table, Future[list[Extracted]]]]) -> tuple[pa.Table, list[Extracted]]:
        try:
            found = waiting[0][1].result()
        except BrokenProcessPool as e:
            if self._is_retry:
                raise StageFailed(
                    "a process that embeds ended twice; if its memory is the reason, give fewer --workers or a "
                    "smaller --batch-images; the same command goes on from here"
                ) from e
            self._is_retry = True  # one of the images may have crashed or stalled its decoder
            self._pool.shutdown()
            self._pool = self._start()
            for place, (chunk, _) in enumerate(waiting):
                waiting[place] = (chunk, self._submit(chunk))
            found = waiting[0][1].result()
        return waiting.popleft()[0], found

    def _start(self) -> Executor:
        if self._how.workers == 0:
            return _Here()
        return ProcessPoolExecutor(
            self._how.workers,
            mp_context=multiprocessing.get_context("spawn"),  # a fork of a process with threads can hang
            initializer=_prepare,
            initargs=(dict(fsspec.config.conf),),
        )

    def _submit(self, chunk: pa.Table) -> "Future[list[Extracted]]":
        try:
            return self._pool.submit(_embed, chunk.to_pylist(), self._how, self._shards_uri, is_retry=self._is_retry)
        except BrokenProcessPool as e:
            broken: Future[list[Extracted]] = Future()
            broken.set_exception(e)
            return broken


class _Here(Executor):
    """Does everything in this process, at once."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def _prepare(storage_options: Mapping[str, Mapping[str, Any]]) -> None:
    """Prepare a process: its storage is the parent's, and so is the decision what Ctrl-C ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    storage.configure(storage_options)


@functools.lru_cache(maxsize=1)
def _loaded(how: Embedding) -> Embedder:
    return load_embedder(how.model, preprocessing=how.preprocessing, download=how.download, device=how.device)


def _describe(how: Embedding) -> tuple[str, int]:
    """Return the version of the model, and the dimensions of its vectors."""
    embedder = _loaded(how)
    return embedder.version, embedder.dimensions


def _embed(
    rows: Sequence[Mapping[str, Any]], how: Embedding, shards_uri: str | None, *, is_retry: bool
) -> list[Extracted]:
    decode = functools.partial(decode_bounded, limits=how.limits)
    if how.workers:  # what takes too long ends the process, which must not be the caller's
        decode = functools.partial(within_limits, decode, is_retry=is_retry)
    return list(extract(rows, _loaded(how), decode, shards_uri=shards_uri, batch_images=how.batch_images))
