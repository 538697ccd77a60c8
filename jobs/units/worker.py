"""Units in a worker: one Spark task does one unit, writes its part, then its receipt.

The result does not depend on which worker did a unit or how often. Parts have deterministic names and bytes, so a
retried, speculative or orphaned task only writes again what is already there.
"""

import dataclasses
import functools
import json
import logging
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from jobs.show import logs
from jobs.units.failures import note_failure
from jobs.units.plan import Unit
from manifests import storage
from manifests.format.receipts import Receipt, WrittenPart, write_receipt
from manifests.format.store import lanes_of

DONE_DDL = "unit string"

_log = logging.getLogger(__name__)


def receipt_of(unit: Unit, part: WrittenPart, **more: Any) -> Receipt:
    """Return the receipt of `unit`, which wrote `part`; `more` are other fields of Receipt."""
    return Receipt(
        unit=unit.name,
        fingerprint=unit.fingerprint,
        part=unit.part,
        rows=part.rows,
        size_bytes=part.size_bytes,
        sha256=part.sha256,
        lanes=lanes_of(part.lanes.tolist()),
        counts=part.counts,
        **more,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recorder:
    """Runs one unit's work in a worker, and records at `output` how it ended."""

    output: str
    clock: Callable[[], float] = time.process_time

    def once(self, unit: Unit, do: Callable[[], Receipt]) -> Receipt:
        """Run `do`, write its receipt with time and memory used, and return it.

        When `do` fails, the reason is written for the driver, and the error is raised so that Spark tries again.
        """
        started = self.clock()
        with logs.unit(unit.name):
            _log.debug("started")
            try:
                receipt = do()
            except Exception as e:
                note_failure(self.output, unit.name, e)
                # Raised, too: where a driver does the unit, its error is what a person sees.
                _log.warning("failed: %s: %s", type(e).__name__, e, extra={logs.IS_SHOWN: True})
                raise
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            seconds = round(self.clock() - started, 6)
            receipt = dataclasses.replace(receipt, seconds=seconds, peak_memory_bytes=peak)
            _log.info("%d rows in %.1f s of processor time", receipt.rows, seconds)
        write_receipt(self.output, receipt)
        return receipt


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """Does units in a worker: `perform` writes the part of a unit and returns the receipt to be recorded."""

    recorder: Recorder
    perform: Callable[[Unit], Receipt]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Do each unit, given as JSON in column `unit`, and yield its name. For `frames.map_batches`."""
        for batch in batches:
            for text in batch.column("unit").to_pylist():
                unit = Unit(**json.loads(text))
                self.recorder.once(unit, functools.partial(self.perform, unit))
                yield pa.RecordBatch.from_pydict({"unit": [unit.name]})


def prepare_worker(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Give this worker its storage arguments, and one thread: Spark runs one worker on each core.

    `jobs.spark.frames` calls it before any function of ours runs in a worker.
    """
    import cv2  # noqa: PLC0415 - workers alone need it, and drivers start faster without

    storage.configure(options)
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)
