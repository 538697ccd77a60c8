"""Make a manifest that lacks some rows of another one: the parts that lose none are taken over as they are."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from curation.choosing.verdicts import KEPT_BYTES, kept_bytes
from jobs.operations.engines import count_engine
from jobs.units.commit import finish
from jobs.units.cost import COMMITTING, Account
from jobs.units.earlier import made_from, receipt_of_part
from jobs.units.plan import Plan, Unit
from jobs.units.progress import Reporter
from jobs.units.state import begun
from jobs.units.worker import Attempt, Perform, Recorder, receipt_of
from manifests.format.digest import settings_hash
from manifests.format.integrity import require_intact
from manifests.format.receipts import Receipt, write_part
from manifests.format.store import Manifest, Part, Provenance, part_of, read_batches
from manifests.sql.engine import Engine


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """The manifest to make: what it records, of which `source`, without the rows `gone`: part → positions in it.

    `options` are storage arguments for workers.
    """

    about: Provenance
    source: Manifest
    output: str
    gone: Mapping[int, Sequence[int]]
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def rewrite(request: Rewrite, engine: Callable[[], Engine], reporter: Reporter, *, restart: bool = False) -> Manifest:
    """Make the manifest of `request` and return it. An interrupted run is resumed, a finished one is left as it is.

    Raises as `derive` does.
    """
    perform = RowRemover(source=replace(request.source, parts=[], taken_down=[]), roots=request.about.roots)
    return run_units(Work(plan=_plan(request), perform=perform), engine, reporter, restart=restart)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A plan, and what does one of its units in any process.

    `others` are receipts of parts that stay, and `digest` is that of the result, if it is known.
    """

    plan: Plan
    perform: Perform
    others: Mapping[str, Receipt] = field(default_factory=dict)
    digest: str | None = None


def run_units(work: Work, engine: Callable[[], Engine], reporter: Reporter, *, restart: bool = False) -> Manifest:
    """Bring the plan of `work` to its commit on an engine, and return the manifest. Raises as `derive` does."""
    started, account = time.monotonic(), Account()
    with begun(work.plan, restart=restart) as begin:
        plan, state = begin.plan, begin.state
        for notice in state.notices:
            reporter.say(f"{plan.made_by}: {notice}")
        if state.manifest is not None:
            reporter.say(f"{plan.made_by}: up to date, {state.manifest.rows:,} rows at {plan.output}")
            return state.manifest
        count_engine(account, engine())
        account.begin("writing")
        done = engine().done_counter()
        with reporter.watch(plan, state, done):
            recorder = Recorder.of(replace(plan, done=done), clock=time.thread_time)
            tasks = [json.dumps(asdict(unit)) for unit in state.todo]
            if tasks:
                numbers = pa.array(range(len(tasks)), pa.int32())
                engine().table("unit_tasks", pa.table({"unit": numbers, "task": pa.array(tasks, pa.string())}))
                do = UnitTask(recorder=recorder, perform=work.perform)
                list(engine().map_groups("SELECT unit, task FROM unit_tasks", "unit", "unit", do))
        account.begin(COMMITTING)
        return finish(begin, started, digest=work.digest, replaced=work.others, account=account)


@dataclass(frozen=True, kw_only=True)
class UnitTask:
    """Does one unit, in any process, and records it."""

    recorder: Recorder
    perform: Perform

    def __call__(self, group: pa.Table) -> str:
        """Do the unit that the row of `group` describes, and return its name."""
        unit = Unit(**json.loads(group.column("task")[0].as_py()))
        self.recorder.once(unit, self.perform)
        return str(unit.name)


def _plan(request: Rewrite) -> Plan:
    about, source = request.about, request.source
    units = []
    for place, part in enumerate(source.parts):
        gone = sorted(request.gone.get(place, ()))
        inputs = {"part": asdict(replace(part, files={})), "gone": gone}
        fingerprint = settings_hash(about.fingerprint, part.name, part.sha256, gone)
        unit = Unit(name=part.unit, inputs=inputs, fingerprint=fingerprint, rows=part.rows - len(gone))
        is_whole = not gone and part.key_lanes is not None and bool(part.counts)
        facts = {name: value for name, value in part.facts.items() if name == KEPT_BYTES}
        made = made_from(replace(receipt_of_part(part, unit), facts=facts), source.uri) if is_whole else None
        units.append(replace(unit, made=made))
    known = {name: getattr(about, name) for name in Provenance.__dataclass_fields__}
    return Plan(**known, output=request.output, units=units, options=request.options)


@dataclass(frozen=True, kw_only=True)
class RowRemover:
    """Writes a part without the rows that go, in any process. `source` has no parts: each unit has its own."""

    source: Manifest
    roots: Sequence[str]

    def __call__(self, attempt: Attempt) -> Receipt:
        """Write the part of an attempt and return its receipt."""
        part, facts = part_of(attempt.unit.inputs["part"]), dict[str, int]()
        source = replace(self.source, parts=[part])
        require_intact(source, [0], is_hashed=True)

        def counted() -> Iterator[pa.RecordBatch]:
            for batch in rows_left(source, part, attempt.unit.inputs["gone"]):
                if "keep" in batch.schema.names:
                    for name, value in kept_bytes(pa.Table.from_batches([batch])).items():
                        facts[name] = facts.get(name, 0) + value
                yield batch

        written = write_part(attempt.part, counted(), source.schema, roots=self.roots)
        return receipt_of(attempt.unit, written, facts=facts)


def rows_left(source: Manifest, part: Part, gone: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part, in order, without those at the positions `gone`."""
    is_gone, first = np.zeros(part.rows, np.bool_), 0
    is_gone[list(gone)] = True
    for batch in read_batches(source.part_uri(part), rows=part.rows, size_bytes=part.size_bytes):
        yield batch.filter(pa.array(~is_gone[first : first + batch.num_rows]))
        first += batch.num_rows
