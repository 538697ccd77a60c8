"""Make a manifest from rows of others: an engine decides which rows, and each unit copies some of them."""

import functools
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from curation.choosing.verdicts import kept_bytes
from jobs.operations.engines import count_engine
from jobs.units.commit import finish
from jobs.units.cost import COMMITTING, Account
from jobs.units.plan import Plan, Unit
from jobs.units.progress import Reporter
from jobs.units.state import State, begun, inspect
from jobs.units.worker import Attempt, Recorder, receipt_of
from manifests.draw.sampling import PICKS
from manifests.file_names import numbered
from manifests.format.digest import settings_hash
from manifests.format.receipts import Receipt, write_part
from manifests.format.schema import schema
from manifests.format.store import Manifest, Parent, Provenance, part_of
from manifests.sql.engine import Engine, count_rows
from manifests.sql.rows import read_rows

ROWS_PER_PART = 250_000
ENOUGH_PARTS, LEAST_ROWS = 256, 32
"""So many parts are kept, if there are, while they have so many rows: scoring 32 images takes about a second."""
MAX_UNIT_BYTES = 8 << 30  # the most that one unit reads, unless a single part is larger
Extra = Callable[[], Iterator[pa.RecordBatch]]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Parts of one source, as positions in it, whose rows are written to one part of the output."""

    source: int
    places: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Request:
    """The manifest to make: what it records (`about`), from which sources, and the folder `output`.

    Rows are chosen by `where`, a condition on one row in DuckDB's SQL, or by `decide`, which stores them in the table
    PICKS of an engine (`source` is a position in `sources`, then `part` and `row`). `share` is the expected fraction
    of rows, for the size of parts. `extra` has more rows by name, each written as a part. `rebased` is a pair of
    roots: in sources, the second replaces the first. `digest` is the expected digest of the result. `options` are
    storage arguments for workers. `remark` is called when it is made, or would be, with an engine and its rows.
    """

    about: Provenance
    sources: Sequence[Manifest]
    output: str
    where: str = "true"
    share: float = 1.0
    decide: Callable[[Engine], None] | None = None
    extra: Mapping[str, Extra] = field(default_factory=dict)
    rebased: tuple[str, str] | None = None
    digest: str | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    remark: Callable[[Engine, int], None] = lambda _engine, _rows: None


def derived_from(sources: Sequence[Manifest], operation: str, settings: Mapping[str, Any]) -> Provenance:
    """Return what a manifest that `operation` makes from `sources` records. It has the columns of the first."""
    first = sources[0]
    shards = {"shards_at": first.shards_uri} if "shard" in first.schema.names else {}
    derivation: dict[str, Any] = {"operation": operation, "duckdb": duckdb.__version__, **shards, **settings}
    return Provenance(
        stage=first.stage,
        config=first.config,
        software=first.software,
        inputs={f"parent{i or ''}": each.digest for i, each in enumerate(sources)},
        parents=[Parent(uri=each.uri, stage=each.stage, digest=each.digest) for each in sources],
        roots=list(dict.fromkeys(itertools.chain.from_iterable(each.roots for each in sources))),
        funnel=first.funnel if len(sources) == 1 else [],
        derivation=derivation,
        taken_down=sorted(set().union(*(each.taken_down for each in sources))),
        schema=None if first.schema.names == schema(first.stage).names else first.schema,
    )


def derive(request: Request, engine: Callable[[], Engine], reporter: Reporter, *, restart: bool = False) -> Manifest:
    """Make the manifest of `request` and return it. An interrupted run is resumed, a finished one is left as it is.

    `engine` returns the engine and is called only if one is needed. Raises RunAtWork when another run writes to the
    output, and RunChanged when the output contains other work.
    """
    started, account = time.monotonic(), Account()
    settled = inspect(_plan(request, []), restart=restart)
    if settled.manifest is not None:
        reporter.say(f"{request.about.made_by}: up to date, {settled.manifest.rows:,} rows at {request.output}")
        return settled.manifest
    count_engine(account, engine())
    account.begin("deciding")
    pieces = plan_pieces(request.sources, _rows_by_part(request, engine()))
    if not (pieces or request.extra):
        request = replace(request, extra={"no rows": lambda: iter(())})  # readers of Parquet need at least one part
    plan = _plan(request, pieces)
    with begun(plan, restart=restart) as begin:
        plan, state = begin.plan, begin.state
        for notice in state.notices:
            reporter.say(f"{plan.made_by}: {notice}")
        if state.manifest is not None:
            return state.manifest  # another run has made it meanwhile
        account.begin("writing")
        done = engine().done_counter()
        with reporter.watch(plan, state, done):
            _write(request, replace(plan, done=done), state, pieces, engine())
        account.begin(COMMITTING)
        made = finish(begin, started, digest=request.digest, account=account)
    request.remark(engine(), made.rows)
    return made


def count_expected_rows(request: Request, engine: Engine) -> int:
    """Return how many rows the manifest of `request` would have, without those of `extra`. Nothing is written."""
    if request.decide is not None:
        request.decide(engine)
        total = count_rows(engine, PICKS)
    else:
        total = 0
        for source in request.sources:
            engine.view("counted", source, {}, where=request.where)
            total += count_rows(engine, "counted")
    request.remark(engine, total)
    return total


def _plan(request: Request, pieces: Sequence[Piece]) -> Plan:
    about = request.about
    inputs: list[dict[str, Any]] = [{"piece": [piece.source, *piece.places]} for piece in pieces]
    inputs += [{"extra": name} for name in request.extra]
    units = [_unit(f"part-{numbered(i, len(inputs))}", each, about.fingerprint) for i, each in enumerate(inputs)]
    known = {name: getattr(about, name) for name in Provenance.__dataclass_fields__}
    return Plan(**known, output=request.output, units=units, options=request.options)


def _unit(name: str, inputs: Mapping[str, Any], plan_hash: str) -> Unit:
    return Unit(name=name, inputs=inputs, fingerprint=settings_hash(plan_hash, name, inputs))


def _rows_by_part(request: Request, engine: Engine) -> list[dict[int, float]]:
    """Return for each source: part → expected rows, without parts that have none."""
    if request.decide is None:
        return [{i: p.rows * request.share for i, p in enumerate(s.parts) if p.rows} for s in request.sources]
    request.decide(engine)
    counted = engine.fetch(f"SELECT source, part, count(*) AS n FROM {PICKS} GROUP BY source, part")
    by_part: list[dict[int, float]] = [{} for _ in request.sources]
    for source, part, rows in zip(*(counted.column(c).to_pylist() for c in ("source", "part", "n")), strict=True):
        by_part[source][part] = rows
    return by_part


def plan_pieces(sources: Sequence[Manifest], rows_by_part: Sequence[Mapping[int, float]]) -> list[Piece]:
    """Return the pieces of the output: the parts in order, grouped into about ROWS_PER_PART rows.

    Of few rows, groups are smaller: a later stage does each part in one task, and a part of all rows would be work
    for one core.
    """
    pieces: list[Piece] = []
    expected = math.fsum(rows for by_part in rows_by_part for rows in by_part.values())
    tasks = min(ENOUGH_PARTS, math.ceil(expected / LEAST_ROWS))
    most_rows = min(ROWS_PER_PART, expected / max(1, tasks))
    for number, (source, by_part) in enumerate(zip(sources, rows_by_part, strict=True)):
        group: list[int] = []
        rows, size_bytes = 0.0, 0
        for place in sorted(by_part):
            more = source.parts[place].size_bytes
            if group and (rows + by_part[place] > most_rows or size_bytes + more > MAX_UNIT_BYTES):
                pieces.append(Piece(source=number, places=tuple(group)))
                group, rows, size_bytes = [], 0.0, 0
            group.append(place)
            rows += by_part[place]
            size_bytes += more
        if group:
            pieces.append(Piece(source=number, places=tuple(group)))
    return pieces


def _write(request: Request, plan: Plan, state: State, pieces: Sequence[Piece], engine: Engine) -> None:
    """Run the units that are not done."""
    todo = {unit.name: unit for unit in state.todo}
    wanted = [(i, u, p) for i, (u, p) in enumerate(zip(plan.units, pieces, strict=False)) if u.name in todo]
    recorder = Recorder.of(plan, clock=time.thread_time)
    writer = PieceWriter(
        sources=[replace(source, parts=[]) for source in request.sources],
        where=None if request.decide else request.where,
        schema=schema(plan.stage) if plan.schema is None else plan.schema,
        roots=plan.roots,
        recorder=recorder,
        rebased=request.rebased,
        threads=max(1, getattr(engine, "threads", 1) // max(1, len(wanted))),
    )
    if wanted:
        _name_tasks(engine, request.sources, wanted)
        groups = _TASKS if request.decide is None else _TASKS_AND_PICKS
        list(engine.map_groups(groups, "unit", "part, row", writer))
    for unit in plan.units:
        name = unit.inputs.get("extra")
        if name is not None and unit.name in todo:
            recorder.once(unit, functools.partial(writer.write, rows=request.extra[name]()))


def _name_tasks(engine: Engine, sources: Sequence[Manifest], wanted: Sequence[tuple[int, Unit, Piece]]) -> None:
    """Create the tables `tasks` (`unit`, `part`, `row`, `task`), with a JSON task for each unit, and `pieces`.

    `pieces` (`unit`, `source`, `part`) are the parts that each unit reads. The task is the first row of its group.
    """
    tasks = [
        {
            "unit": asdict(unit),
            "source": piece.source,
            "parts": {place: asdict(replace(sources[piece.source].parts[place], files={})) for place in piece.places},
        }
        for _, unit, piece in wanted
    ]
    before_all = [-1] * len(wanted)
    engine.table(
        "tasks",
        pa.table(
            {
                "unit": pa.array([number for number, _, _ in wanted], pa.int32()),
                "part": pa.array(before_all, pa.int32()),
                "row": pa.array(before_all, pa.int64()),
                "task": pa.array([json.dumps(each) for each in tasks], pa.string()),
            }
        ),
    )
    of_parts = [(number, piece.source, place) for number, _, piece in wanted for place in piece.places]
    names = ("unit", "source", "part")
    columns = zip(*of_parts, strict=True)
    engine.table("pieces", pa.table({n: pa.array(c, pa.int32()) for n, c in zip(names, columns, strict=True)}))


_TASKS = "SELECT unit, part, row, task FROM tasks"
_TASKS_AND_PICKS = (
    f"{_TASKS} UNION ALL SELECT u.unit AS unit, p.part AS part, p.row AS row, NULL AS task FROM {PICKS} p "
    "JOIN pieces u ON p.source = u.source AND p.part = u.part"
)


@dataclass(frozen=True, kw_only=True)
class PieceWriter:
    """Writes one unit, in any process: the rows of its parts that are picked, or that meet a condition.

    `sources` have no parts, because there may be many thousands: a task has those of its unit.
    """

    sources: Sequence[Manifest]
    where: str | None
    schema: pa.Schema
    roots: Sequence[str]
    recorder: Recorder
    rebased: tuple[str, str] | None = None
    threads: int = 1

    def __call__(self, group: pa.Table) -> str:
        """Write the unit of this group and its receipt, and return its name.

        The first row contains `task`, the others the `part` and `row` of the picked rows.
        """
        task = json.loads(group.column("task")[0].as_py())
        unit = Unit(**task["unit"])
        parts = [part_of(part) for part in task["parts"].values()]
        source = replace(self.sources[task["source"]], parts=parts)
        if self.where is None:
            places = pc.index_in(group.column("part"), pa.array([int(place) for place in task["parts"]], pa.int32()))
            picks = pa.table({"part": places, "row": group.column("row")}).slice(1)
            rows = read_rows(source, range(len(parts)), picks=picks, threads=self.threads)
        else:
            rows = read_rows(source, range(len(parts)), where=self.where, threads=self.threads)
        self.recorder.once(unit, functools.partial(self.write, rows=rows))
        return str(unit.name)

    def write(self, attempt: Attempt, rows: Iterator[pa.RecordBatch]) -> Receipt:
        """Write `rows` as the part of an attempt, and return its receipt."""
        facts: dict[str, int] = {}

        def counted() -> Iterator[pa.RecordBatch]:
            for batch in rows:
                table = _conform(pa.Table.from_batches([batch]), self.schema, self.rebased)
                if "keep" in table.schema.names:
                    for name, value in kept_bytes(table).items():
                        facts[name] = facts.get(name, 0) + value
                yield from table.to_batches()

        part = write_part(attempt.part, counted(), self.schema, roots=self.roots)
        return receipt_of(attempt.unit, part, facts=facts)


def _conform(rows: pa.Table, wanted: pa.Schema, rebased: tuple[str, str] | None) -> pa.Table:
    """Return `rows` with the columns of `wanted`, null if missing, and with sources moved to the new root."""
    if rebased is not None:
        old, new = rebased
        sources = rows.column("source")
        moved = pc.replace_substring(sources, old, new, max_replacements=1)
        sources = pc.if_else(pc.starts_with(sources, old), moved, sources)
        rows = rows.set_column(rows.schema.get_field_index("source"), "source", sources)
    for each in wanted:
        if each.name not in rows.schema.names:
            rows = rows.append_column(each.name, pa.nulls(rows.num_rows, each.type))
    return rows.select(wanted.names).cast(wanted)
