"""The steps of a stage: tables between its input and its answer, each made once and kept until the commit.

A step is a table in a folder below `_work/steps`, made of units as a manifest is: each has a Parquet part and a
receipt. Which rows are in a unit depends on their content alone, so that a later run, or another executor, makes the
same units. What has a receipt is never made again: a killed executor or driver costs the units that it was at. See
docs/adr/0037.
"""

import contextlib
import dataclasses
import functools
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from jobs.spark import frames
from jobs.spark.part_stages import MAX_GROUP_TASKS
from jobs.units.accepted import faults_of
from jobs.units.failures import note_failure
from jobs.units.lease import Fence, held
from jobs.units.local_workers import LocalWorkers, WorkerEnded
from jobs.units.part_plan import no_facts
from jobs.units.plan import Plan, Unit
from jobs.units.progress import Reporter, Step
from jobs.units.worker import Attempt, Recorder, receipt_of
from manifests import exclusive, storage
from manifests.format.digest import combine, settings_hash
from manifests.format.done import NOTHING_DONE, SETTLED, Done, DoneCounter, LocalCounter, add_done, done_of
from manifests.format.integrity import file_sizes
from manifests.format.merged_receipts import group_sizes, read_receipts
from manifests.format.receipts import NAME_DIGITS, RECEIPTS, Receipt, write_part
from manifests.format.store import read_batches

STEPS = "steps"
UNIT = "unit"
UNIT_BYTES = 64 << 20
RECEIPT_DDL = "receipt string"

Session = Callable[[], SparkSession]
"""Returns the session of Spark, and starts it if it has not started."""

_log = logging.getLogger(__name__)


def units_for(rows: int, row_bytes: int) -> int:
    """Return how many units a step of at most `rows` rows of about `row_bytes` each has: by bytes, and capped."""
    return min(MAX_GROUP_TASKS, max(1, -(-rows * row_bytes // UNIT_BYTES)))


def unit_of_hash(columns: Sequence[str], units: int) -> Any:
    """Return, as a column, the unit of a row among `units`, by a hash of these columns."""
    return F.pmod(F.xxhash64(*columns), F.lit(units)).cast("int")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """What a step has made: its parts, which workers read."""

    session: Session
    folder: str
    schema: pa.Schema
    receipts: Sequence[Receipt]
    options: frames.Options

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(receipt.rows for receipt in self.receipts)

    @property
    def content(self) -> tuple[int, ...]:
        """A sum of hashes of the rows: that of another table is equal if it has the same rows."""
        return tuple(combine(receipt.row_lanes for receipt in self.receipts).tolist())

    def total(self, fact: str) -> int:
        """Return the sum of a fact that units have recorded."""
        return sum(receipt.facts.get(fact, 0) for receipt in self.receipts)

    def frame(self, *columns: str) -> DataFrame:
        """Return its rows, with `columns` or all. Each part is read by one task."""
        names = list(columns) or self.schema.names
        made = [receipt for receipt in self.receipts if receipt.rows]
        parts = frames.Parts(
            folder=self.folder,
            rows={receipt.part: receipt.rows for receipt in made},
            size_bytes={receipt.part: receipt.size_bytes for receipt in made},
            options=self.options,
        )
        schema = pa.schema([self.schema.field(name) for name in names])
        return frames.read(self.session(), parts, names, schema, _Without())

    def read(self, *columns: str) -> pa.Table:
        """Return its rows, with `columns` or all, in this process: for a table that is known to be small."""
        names = list(columns) or self.schema.names
        schema = pa.schema([self.schema.field(name) for name in names])
        batches = [
            batch
            for receipt in self.receipts
            for batch in read_batches(storage.join(self.folder, receipt.part), names, rows=receipt.rows)
        ]
        return pa.Table.from_batches(batches).cast(schema) if batches else schema.empty_table()


@dataclasses.dataclass(frozen=True)
class _Without:
    """Leaves out the name of the part."""

    def __call__(self, table: pa.Table) -> pa.Table:
        return table.drop_columns([frames.PART])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shown:
    """What a person sees of a step: its name, and a noun for what is counted: units, or rows, if `rows` is given."""

    name: str
    noun: str
    rows: int | None = None


def _same(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


@dataclasses.dataclass(frozen=True, kw_only=True)
class Making:
    """How a step is made.

    Args:
        name: of the step, in lower case.
        schema: that of the table.
        units: how many there are.
        function: gets the batches of a unit, without UNIT, and yields batches of `schema`; by default the same.
        order: columns by which the rows of a unit are sorted before.
        count: what receipts record as facts, counted in each batch of results.
        settles: how many of the rows of a batch that the unit gets are settled by it, if that is what is shown.
        folder: where the parts are put, by default beside the receipts.
        shown: what a person sees of the step, by default nothing.
    """

    name: str
    schema: pa.Schema
    units: int
    function: frames.MapBatches = _same
    order: Sequence[str] = ()
    count: Callable[[pa.Table], Mapping[str, int]] = no_facts
    settles: Callable[[pa.RecordBatch], int] | None = None
    folder: str | None = None
    shown: Shown | None = None


@dataclasses.dataclass(kw_only=True)
class Steps:
    """Makes the steps of one stage, or finds them made.

    `content` is a hash of all that decides their rows. Steps are told apart by their names. `session` returns the
    session of Spark, and may start it. `earlier_seconds` adds up what units of earlier runs have cost.
    """

    session: Session
    folder: str
    fence: Fence
    content: str
    options: frames.Options
    reporter: Reporter
    earlier_seconds: float = 0.0

    @property
    def spark(self) -> SparkSession:
        """The session of Spark, started when it is first needed."""
        return self.session()

    @classmethod
    def of(cls, session: Session, plan: Plan, content: str, reporter: Reporter) -> "Steps":
        """Return the steps of `plan`, whose work has begun. Those of other content are removed."""
        top = storage.join(plan.run.work, STEPS)
        mine = content[:16]
        for name in storage.list_names(top):
            if name != mine:
                exclusive.clear_folder(storage.join(top, name))
        return cls(
            session=session,
            folder=storage.join(top, mine),
            fence=plan.run,
            content=content,
            options=plan.options,
            reporter=reporter,
        )

    def keep(self, name: str, frame: DataFrame, schema: pa.Schema, by: Sequence[str], *, units: int) -> Table:
        """Return the rows of `frame`, which has the columns of `schema`, as a table.

        Rows with equal values in `by` are in the same of the `units`, in which rows are sorted.
        """
        rows = frame.select(*schema.names).withColumn(UNIT, unit_of_hash(by, units))
        return self.make(rows, Making(name=name, units=units, schema=schema, order=schema.names))

    def make(self, rows: DataFrame, making: Making) -> Table:
        """Return what `making` makes of `rows`, which have the number of their unit in the column UNIT, as a table.

        The rows of a unit are shuffled to one task.
        """
        done = frames.done_counter(self.spark)
        return self._make(making, done, lambda task, found: self._made(task, rows, found))

    def make_here(self, rows: pa.Table, making: Making) -> Table:
        """Return what `making`, of one unit, makes of all `rows`, in this process."""
        if making.units != 1:
            raise ValueError(f"{making.name}: {making.units} units, where one can be made in this process")
        return self._make(making, LocalCounter(), lambda task, found: [self._made_here(task, rows)])

    def make_locally(self, rows: pa.Table, making: Making, *, workers: int) -> Table:
        """Return what `make` does of `rows` in memory, which have UNIT, by so many processes of this machine."""
        done = LocalCounter()
        return self._make(making, done, lambda task, found: self._made_locally(task, rows, found, done, workers))

    def _make(
        self,
        making: Making,
        done: DoneCounter | None,
        make: "Callable[[_Task, Mapping[str, Receipt]], list[Receipt]]",
    ) -> Table:
        """Return what is made, by `make` those units that are not found to be. `done` counts those."""
        content = settings_hash(self.content, making.name, making.units, str(making.schema))
        receipts = storage.join(self.folder, f"{making.name}-{content[:NAME_DIGITS]}")
        task = _Task(
            making=making,
            content=content,
            recorder=Recorder(
                output=making.folder or receipts, fence=self.fence, receipts_folder=receipts, done=done
            ),
        )
        found = self._found(task)
        self.earlier_seconds += sum(receipt.seconds for receipt in found.values())
        if len(found) < making.units:
            before = functools.reduce(add_done, map(done_of, found.values()), NOTHING_DONE)
            with self._showing(making, before, done):
                made = make(task, found)
            found |= {receipt.unit: receipt for receipt in made}
        return Table(
            session=self.session,
            folder=task.recorder.output,
            schema=making.schema,
            receipts=[found[task.unit(number).name] for number in range(making.units)],
            options=self.options,
        )

    @contextlib.contextmanager
    def _showing(self, making: Making, before: Done, done: DoneCounter | None) -> Iterator[None]:
        if making.shown is None:
            yield
            return
        name, noun, rows = making.shown.name, making.shown.noun, making.shown.rows
        total, by_rows = (making.units, False) if rows is None else (rows, True)
        with self.reporter.at(Step(name=name, noun=noun, total=total, by_rows=by_rows, before=before, done=done)):
            yield

    def _found(self, task: "_Task") -> dict[str, Receipt]:
        """Return unit → receipt of those that are made, and whose parts are there."""
        receipts = read_receipts(task.recorder.records)
        if not receipts:
            return {}
        sizes = file_sizes(task.recorder.output)
        wanted = {unit.name: unit.fingerprint for unit in map(task.unit, range(task.making.units))}
        return {
            unit: receipt
            for unit, receipt in receipts.items()
            if wanted.get(unit) == receipt.fingerprint and not faults_of(receipt, sizes)
        }

    def _made(self, task: "_Task", rows: DataFrame, found: Mapping[str, Receipt]) -> list[Receipt]:
        units, order = task.making.units, task.making.order
        task = _for_units_left(task, found)
        if found:
            flags = "".join("1" if number in task.todo else "0" for number in range(units))
            rows = rows.where(F.substring(F.lit(flags), F.col(UNIT) + 1, F.lit(1)) == "1")
        placed = rows.repartitionById(units, UNIT)
        if order:
            placed = placed.sortWithinPartitions(*order)
        rows_made = frames.map_batches(placed.drop(UNIT), task, RECEIPT_DDL, self.options).collect()
        if not rows_made:  # Spark runs no task at all when it finds out that there are no rows
            return [task.do(number, iter(())) for number in sorted(task.todo)]
        return [Receipt.from_json(row["receipt"]) for row in rows_made]

    def _made_locally(
        self, task: "_Task", rows: pa.Table, found: Mapping[str, Receipt], done: DoneCounter, workers: int
    ) -> list[Receipt]:
        task = _for_units_left(task, found)
        rows = rows.sort_by([(name, "ascending") for name in (UNIT, *task.making.order)])
        places = rows.column(UNIT).to_numpy()
        first, last = (np.searchsorted(places, sorted(task.todo), side) for side in ("left", "right"))
        ends = zip(sorted(task.todo), first, last, strict=True)
        items = [(n, rows.slice(a, b - a).drop_columns([UNIT]).combine_chunks()) for n, a, b in ends]
        do = dataclasses.replace(task, recorder=dataclasses.replace(task.recorder, done=None)).do_rows
        made = []
        with LocalWorkers(
            min(workers, len(items)), modules=[type(task.making.function).__module__], options=self.options
        ) as pool:
            try:
                for receipt in pool.run(do, items):
                    done.add(done_of(receipt))
                    made.append(receipt)
            except WorkerEnded as e:
                note_failure(self.fence, task.unit(e.item[0]).name, e)
                raise
        return made

    def _made_here(self, task: "_Task", rows: pa.Table) -> Receipt:
        _make_folders(task)
        if task.making.order:
            rows = rows.sort_by([(name, "ascending") for name in task.making.order])
        return task.do(0, iter(rows.to_batches()))


def _for_units_left(task: "_Task", found: Mapping[str, Receipt]) -> "_Task":
    """Return `task` for the units that are not `found` to be made."""
    units = task.making.units
    todo = [number for number in range(units) if task.unit(number).name not in found]
    _log.info("%s: %d of %d units to do", task.making.name, len(todo), units)
    _make_folders(task)
    sizes = group_sizes(task.unit(number).name for number in todo)
    recorder = dataclasses.replace(task.recorder, group_sizes=sizes)
    return dataclasses.replace(task, recorder=recorder, todo=frozenset(todo))


def _make_folders(task: "_Task") -> None:
    storage.make_folder(storage.join(task.recorder.records, RECEIPTS))
    storage.make_folder(task.recorder.output)


@contextlib.contextmanager
def temporary_steps(spark: SparkSession, options: frames.Options | None = None) -> Iterator[Steps]:
    """Yield steps in a local folder that is removed at the end: for work outside of a stage, on one machine."""
    with tempfile.TemporaryDirectory() as folder:
        work = storage.absolute(folder)
        with held(work) as lease:
            yield Steps(
                session=lambda: spark,
                folder=storage.join(work, STEPS),
                fence=lease.fence,
                content=lease.fence.id,
                options=options or {},
                reporter=Reporter(quiet=True),
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Task:
    """Does the unit whose number is that of the partition, in a worker, and yields its receipt."""

    making: Making
    content: str
    recorder: Recorder
    todo: frozenset[int] = frozenset()

    def unit(self, number: int) -> Unit:
        """Return the unit with this number."""
        fingerprint = settings_hash(self.content, number)
        return Unit(name=f"{self.making.name}-{number:05d}", inputs={}, fingerprint=fingerprint)

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        number = frames.partition_number()
        if number in self.todo:
            yield pa.RecordBatch.from_pydict({"receipt": [self.do(number, batches).to_json().decode()]})

    def do_rows(self, unit: tuple[int, pa.Table]) -> Receipt:
        """Do one unit, given as its number and its rows."""
        number, rows = unit
        return self.do(number, iter(rows.to_batches()))

    def do(self, number: int, batches: Iterator[pa.RecordBatch]) -> Receipt:
        """Do one unit with its rows, and return the receipt that counts."""
        return self.recorder.once(self.unit(number), lambda attempt: self._write(attempt, batches))

    def _write(self, attempt: Attempt, batches: Iterator[pa.RecordBatch]) -> Receipt:
        counted: Counter[str] = Counter()

        def given() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                if self.making.settles is not None:
                    counted[SETTLED] += self.making.settles(batch)
                yield batch

        def found() -> Iterator[pa.RecordBatch]:
            for batch in self.making.function(given()):
                counted.update(self.making.count(pa.Table.from_batches([batch])))
                yield batch

        part = write_part(attempt.part, found(), self.making.schema, roots=())
        return receipt_of(attempt.unit, part, facts=dict(counted))
