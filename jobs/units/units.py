"""Resumable units: one Spark task does one unit, writes its part, then its receipt; a rerun skips what still holds.

Nothing here depends on which worker did a unit or how often: parts have deterministic names and bytes, so a retried,
speculative or orphaned task can only write again what is already there.
"""

import contextlib
import dataclasses
import functools
import json
import re
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from jobs.units.at_work import require_no_other, run_uri
from jobs.units.output_place import require_folder
from manifests import storage
from manifests.errors import InputError, ManifestError, RunChanged, sentence_of
from manifests.format.digest import settings_hash
from manifests.format.receipts import WORK, Receipt, WrittenPart, read_receipts, write_receipt
from manifests.format.schema import Stage
from manifests.format.store import MANIFEST_FILE, Manifest, Provenance, is_committed, lanes_of, open_manifest

PLAN_FILE = "plan.json"
FAILURES = "failures"
DONE_DDL = "unit string"
_OWN = ("stage", "config", "software", "derivation")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unit:
    """A piece of a stage's work. `inputs` is JSON-able; `fingerprint` covers them and the run's configuration."""

    name: str
    inputs: Mapping[str, Any]
    fingerprint: str
    rows: int | None = None
    size_bytes: int | None = None

    @property
    def part(self) -> str:
        """The name of the part this unit writes."""
        return f"{self.name}.parquet"


def receipt_of(unit: Unit, part: WrittenPart, **more: Any) -> Receipt:
    """Return the receipt of a written part."""
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
class Plan(Provenance):
    """What a stage is about to do at `output`, known before any work: the manifest's provenance, and its units.

    `options` are storage arguments that workers need and no manifest holds.
    """

    output: str
    units: Sequence[Unit]
    options: Mapping[str, Mapping[str, Any]]

    def to_json(self) -> bytes:
        """Return what a later run compares itself with."""
        fields = {
            "stage": self.stage,
            "config": self.config,
            "software": self.software,
            "inputs": self.inputs,
            **({"derivation": self.derivation} if self.derivation else {}),
        }
        return json.dumps(fields, indent=1, sort_keys=True).encode()


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnitMaker:
    """Makes the units of one plan, on the driver and again in workers, from little more than a name.

    `shared` is what all units depend on besides their own inputs.
    """

    stage: Stage
    config: Mapping[str, Any]
    software: Mapping[str, str]
    shared: Mapping[str, Any]

    def unit(
        self, name: str, inputs: Mapping[str, Any], *, rows: int | None = None, size_bytes: int | None = None
    ) -> Unit:
        """Return the unit `name`; its fingerprint covers all that decides its rows."""
        mark = settings_hash(self.stage, self.config, self.software, self.shared, inputs)
        return Unit(name=name, inputs=inputs, fingerprint=mark, rows=rows, size_bytes=size_bytes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """What was found at the output of a plan: a finished manifest, or the receipts that still hold."""

    manifest: Manifest | None
    receipts: Mapping[str, Receipt]
    todo: Sequence[Unit]
    notices: Sequence[str]


def inspect(plan: Plan, *, restart: bool = False) -> State:
    """Return what is left to do. Writes nothing.

    Raises RunAtWork when another run is at work there, InputError when nothing can be written there, and RunChanged,
    naming what changed, when work of another configuration lies there and `restart` is not set.
    A changed input does not raise while the run is unfinished: its units are done again, and a notice names it.
    """
    require_folder(plan.output)
    manifest = open_manifest(plan.output) if is_committed(plan.output) else None
    if manifest is not None and manifest.fingerprint == plan.fingerprint:
        return State(manifest=manifest, receipts={}, todo=[], notices=[])
    require_no_other(run_uri(plan.output), plan.output)
    if manifest is not None:
        if not restart:
            raise RunChanged(_changed(plan, dataclasses.asdict(manifest), "was committed"))
        return State(manifest=None, receipts={}, todo=plan.units, notices=[f"{plan.output}: replaced (--restart)"])
    notices = []
    before = _read_plan(plan.output)
    there = storage.list_names(plan.output)
    # Tars and tables of img2dataset are named as ours are: without work or a commit of ours they are somebody's.
    strangers = [name for name in there if WORK not in there or not is_ours(name)]
    if before is None and strangers:
        raise InputError(
            f"{plan.output}: not empty and not curate's ({', '.join(strangers[:3])} …); name another output"
        )
    if before is not None:
        differs = _differences({k: before.get(k) for k in _OWN if k in before}, _own(plan))
        if differs and not restart:
            raise RunChanged(_changed(plan, before, "holds unfinished work"))
        if differs:
            return State(
                manifest=None, receipts={}, todo=plan.units, notices=["unfinished work discarded (--restart)"]
            )
        notices = [f"input changed: {line}" for line in _differences(before.get("inputs"), plan.inputs)]
    receipts = read_receipts(plan.output)
    names = {u.name: u for u in plan.units}
    valid = {n: r for n, r in receipts.items() if n in names and _holds(r, names[n])}
    todo = [u for u in plan.units if u.name not in valid]
    if valid:
        notices.append(f"resuming: {len(valid)} of {len(plan.units)} units are done")
    return State(manifest=None, receipts=valid, todo=todo, notices=notices)


def _holds(receipt: Receipt, unit: Unit) -> bool:
    return receipt.fingerprint == unit.fingerprint and not receipt.broken_sources


def _own(plan: Plan) -> dict[str, Any]:
    fields = json.loads(plan.to_json())
    return {k: fields[k] for k in _OWN if k in fields}


def _read_plan(output: str) -> dict[str, Any] | None:
    uri = storage.join(output, WORK, PLAN_FILE)
    try:
        found = json.loads(storage.read_bytes(uri))
    except FileNotFoundError:
        return None
    except ValueError as e:
        raise ManifestError(f"{uri}: not JSON ({e}); use --restart to discard the unfinished work") from e
    return found if isinstance(found, dict) else None


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            line
            for key in sorted(set(old) | set(new))
            for line in _differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
        ]
    return [] if old == new else [f"{name}: {_short(old)} → {_short(new)}"]


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _changed(plan: Plan, before: Mapping[str, Any], what: str) -> str:
    old = {k: before.get(k) for k in ("config", "software", "inputs", "derivation") if before.get(k)}
    new = {k: v for k, v in json.loads(plan.to_json()).items() if k != "stage" and v}
    lines = _differences(json.loads(json.dumps(old, default=str)), new) or ["stage"]
    shown = "\n".join(f"  {line}" for line in lines[:10]) + (f"\n  … and {len(lines) - 10} more" * (len(lines) > 10))
    return (
        f"{plan.output}: {what} under another configuration or input; nothing was mixed.\n{shown}\n"
        "Put it back, name another output, or use --restart to discard what is there."
    )


def begin(plan: Plan, *, restart: bool = False) -> State:
    """Make the output ready for work and return what is left to do. Raises as `inspect` does.

    Do what is left within `jobs.units.at_work.at_work`, so that a second run can say who is at work.
    """
    state = inspect(plan, restart=restart)
    if state.manifest is not None:
        storage.remove(storage.join(plan.output, WORK))
        return state
    # Before anything is removed, so that a kill leaves nothing that would not be known for ours.
    storage.write_bytes(storage.join(plan.output, WORK, PLAN_FILE), plan.to_json())
    if restart and not state.receipts:
        discard(plan.output)
    storage.remove(storage.join(plan.output, WORK, FAILURES))
    return state


_OURS = re.compile(r"(part-\d{5,}|\d{5,})(\.parquet|\.tar|_stats\.json)|\..*\.[0-9a-f]{32}\.tmp")


def is_ours(name: str) -> bool:
    """Whether a stage writes files of this name; nothing else at an output is ever removed."""
    return name in (WORK, MANIFEST_FILE) or _OURS.fullmatch(name) is not None


def discard(output: str) -> None:
    """Remove a manifest, not the plan of the next: its commit first, so that a kill leaves none without its parts."""
    storage.remove(storage.join(output, MANIFEST_FILE))
    for name in storage.list_names(storage.join(output, WORK)):
        if name != PLAN_FILE:
            storage.remove(storage.join(output, WORK, name))
    for name in storage.list_names(output):
        if is_ours(name) and name != WORK:
            storage.remove(storage.join(output, name))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recorder:
    """Runs one unit's work in a worker and records how it ended at `output`."""

    output: str
    options: Mapping[str, Mapping[str, Any]]
    clock: Callable[[], float] = time.process_time

    def once(self, unit: Unit, do: Callable[[], Receipt]) -> Receipt:
        """Run `do`, measured, and write its receipt. A failure is noted for the driver, then raised for the retry."""
        started = self.clock()
        try:
            receipt = do()
        except Exception as e:
            note_failure(self.output, unit.name, e)
            raise
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        seconds = round(self.clock() - started, 6)
        receipt = dataclasses.replace(receipt, seconds=seconds, peak_memory_bytes=peak)
        write_receipt(self.output, receipt)
        return receipt


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """What a worker runs for each of its units: `perform` writes the part and returns the receipt to be recorded."""

    recorder: Recorder
    perform: Callable[[Unit], Receipt]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Do each unit, a JSON text in column `unit`; the mapInArrow side. Yields the units' names."""
        prepare_worker(self.recorder.options)
        for batch in batches:
            for text in batch.column("unit").to_pylist():
                unit = Unit(**json.loads(text))
                self.recorder.once(unit, functools.partial(self.perform, unit))
                yield pa.RecordBatch.from_pydict({"unit": [unit.name]})


def prepare_worker(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Give this worker its storage arguments, and one thread: Spark runs a worker a core."""
    import cv2  # noqa: PLC0415 - workers alone need it, and drivers start faster without

    storage.configure(options)
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)


def note_failure(output: str, unit: str, error: Exception) -> None:
    """Leave the reason of a failed unit where the driver finds it, whatever becomes of the worker's own log.

    On a full disk there is no place for it: then `error`, which the caller raises, is all that is left.
    """
    text = sentence_of(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    with contextlib.suppress(OSError):
        data = text.encode("utf-8", "backslashreplace")
        storage.write_bytes(storage.join(output, WORK, FAILURES, f"{unit}.txt"), data)


def read_failures(output: str) -> dict[str, str]:
    """Return unit → reason of the units that failed in the run at `output`."""
    folder = storage.join(output, WORK, FAILURES)
    names = [n for n in storage.list_names(folder) if n.endswith(".txt")]
    return {n[:-4]: data.decode(errors="replace") for n, data in sorted(storage.read_many(folder, names).items())}
