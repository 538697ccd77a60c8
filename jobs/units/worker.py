"""Units in a worker: one Spark task does one unit, and its receipt decides whether that counts.

An attempt writes its files under names of its own. When they are complete it puts the part in place, under a name
with the hash of its content, and creates the receipt, which only the first of several attempts can do. What the
receipt names is what counts: a second attempt, late or speculative, finds the receipt and leaves everything as it is.
An attempt of a run that has lost its lease writes nothing that anyone reads.
"""

import contextlib
import dataclasses
import json
import logging
import resource
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobs.show import logs
from jobs.units.cost import process_seconds
from jobs.units.earlier import copied
from jobs.units.failures import note_failure
from jobs.units.lease import Fence
from jobs.units.plan import Plan, Unit
from jobs.units.underway import Tell, tell_nobody, telling
from manifests import exclusive, storage
from manifests.format.done import DoneCounter, done_of
from manifests.format.integrity import file_sha256
from manifests.format.merged_receipts import merge_receipts
from manifests.format.receipts import (
    Receipt,
    WrittenPart,
    create_receipt,
    part_name,
    read_receipt,
)
from manifests.format.store import lanes_of

DONE_DDL = "unit string"
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that keep libraries of a worker from starting threads of their own."""

_log = logging.getLogger(__name__)


def receipt_of(unit: Unit, part: WrittenPart, *, name: str | None = None, **more: Any) -> Receipt:
    """Return the receipt of `unit`, which wrote `part`; `more` are other fields of Receipt.

    `name` is the file name of the part. By default it contains the hash of its content; see `part_name`.
    """
    return Receipt(
        unit=unit.name,
        fingerprint=unit.fingerprint,
        part=part_name(unit.name, part.sha256) if name is None else name,
        rows=part.rows,
        size_bytes=part.size_bytes,
        sha256=part.sha256,
        lanes=lanes_of(part.lanes.tolist()),
        key_lanes=lanes_of(part.key_lanes.tolist()),
        counts=part.counts,
        **more,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a unit. It writes files into `folder`, the URI of a local folder that no other attempt knows.

    It may call `tell` with the bytes of each image that it has read.
    """

    unit: Unit
    folder: str
    tell: Tell = tell_nobody

    @property
    def part(self) -> str:
        """The URI to which the unit's part is written."""
        return storage.join(self.folder, self.unit.part)


Perform = Callable[[Attempt], Receipt]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recorder:
    """Runs one unit's work in a worker, and records how it ended.

    `fence` is that of the run's lease. `group_sizes` are the units that the run has to do in each group, see
    manifests.format.receipts. `done` counts finished units for the driver, and in the folder `underway` units tell it
    how far they are. `receipts_folder` is where their receipts
    are, by default the folder of the run.
    """

    output: str
    fence: Fence
    receipts_folder: str | None = None
    group_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    done: DoneCounter | None = None
    underway: str | None = None
    clock: Callable[[], float] = process_seconds

    @classmethod
    def of(cls, plan: Plan, *, clock: Callable[[], float] = process_seconds) -> "Recorder":
        """Return the recorder of the units of `plan`, whose work has begun."""
        return cls(
            output=plan.output,
            fence=plan.run,
            group_sizes=plan.group_sizes,
            done=plan.done,
            underway=plan.underway,
            clock=clock,
        )

    @property
    def records(self) -> str:
        """The URI of the folder in which the receipts are."""
        return self.fence.folder if self.receipts_folder is None else self.receipts_folder

    def once(self, unit: Unit, do: Perform) -> Receipt:
        """Run `do`, publish what it wrote, and return the receipt that counts: its own or that of an earlier attempt.

        When `do` fails, the reason is written for the driver, and the error is raised so that Spark tries again.
        """
        started = self.clock()
        with logs.unit(unit.name):
            _log.debug("started")
            try:
                with self._folder() as folder, telling(self.underway, unit.name) as tell:
                    receipt = copied(unit, folder) or do(Attempt(unit=unit, folder=folder, tell=tell))
                    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
                    seconds = round(self.clock() - started, 6)
                    receipt = dataclasses.replace(receipt, seconds=seconds, peak_memory_bytes=peak)
                    receipt = self._publish(receipt, Path(storage.filesystem(folder)[1]))
            except Exception as e:
                note_failure(self.fence, unit.name, e)
                # Raised, too: where a driver does the unit, its error is what a person sees.
                _log.warning("failed: %s: %s", type(e).__name__, e, extra={logs.IS_SHOWN: True})
                raise
            _log.info("%d rows in %.1f s of processor time", receipt.rows, seconds)
            self._merge(unit.name)
            if self.done is not None:
                self.done.add(done_of(receipt))
        return receipt

    def _merge(self, unit: str) -> None:
        """Merge the receipts of the group if the unit is its last. Without that, the driver reads them one by one."""
        try:
            merge_receipts(self.records, unit, self.group_sizes)
        except OSError:
            _log.info("receipts are not merged", exc_info=True)

    @contextlib.contextmanager
    def _folder(self) -> Iterator[str]:
        """Yield the URI of a folder for one attempt, which is removed at the end.

        It is in the folder of the run, so that files can be moved into place, or where Python has its temporary files
        if the output is on an object store.
        """
        parent = storage.filesystem(storage.join(self.fence.folder, "files"))[1] if self._is_local else None
        with self.fence.guarding(), tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True) as folder:
            yield storage.absolute(folder)

    @property
    def _is_local(self) -> bool:
        return storage.is_local(self.output)

    def _publish(self, receipt: Receipt, folder: Path) -> Receipt:
        """Put the part in place, create the receipt, and put files with fixed names in place; return what counts."""
        self.fence.require_held()
        if receipt.has_part_by_content:
            self._place(receipt.part, folder / f"{receipt.unit}.parquet", receipt.size_bytes, receipt.sha256)
        if not create_receipt(self.records, receipt):
            mine, receipt = receipt, read_receipt(self.records, receipt.unit)
            _log.info("an earlier attempt had finished")
            if mine.fixed_files != receipt.fixed_files:
                return receipt  # it puts its own files in place; the commit checks that it did
        for name, (size_bytes, sha256) in receipt.fixed_files.items():
            self._place(name, folder / name, size_bytes, sha256)
        return receipt

    def _place(self, name: str, staged: Path, size_bytes: int, sha256: str) -> None:
        """Put `staged` in its place in the output, unless the same content is there."""
        uri = storage.join(self.output, name)
        if exclusive.put_file(uri, staged) or self._has_content(uri, size_bytes, sha256):
            return
        self.fence.require_held()
        _log.info("%s: replaced; it was left by a run with other settings", uri)
        exclusive.replace_file(uri, staged)  # fails on a disk if the lease is lost, since `staged` is then gone

    def _has_content(self, uri: str, size_bytes: int, sha256: str) -> bool:
        found = storage.describe(uri)
        return found is not None and found["size"] == size_bytes and file_sha256(uri) == sha256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """Does units in a worker: `perform` writes the part of an attempt and returns the receipt to be recorded."""

    recorder: Recorder
    perform: Perform

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Do each unit, given as JSON in column `task`, and yield its name. For `frames.map_batches`."""
        for batch in batches:
            for text in batch.column("task").to_pylist():
                unit = Unit(**json.loads(text))
                self.recorder.once(unit, self.perform)
                yield pa.RecordBatch.from_pydict({"unit": [unit.name]})


def prepare_worker(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Give this worker its storage arguments, and one thread: Spark runs one worker on each core.

    `jobs.spark.frames` calls it before any function of ours runs in a worker.
    """
    import cv2  # noqa: PLC0415 - workers alone need it, and drivers start faster without

    storage.configure(options)
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)


def is_retry() -> bool:
    """Return whether this worker has to try again: a picture may have ended the one that tried before."""
    return logs.attempt() > 1
