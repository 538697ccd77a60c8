"""Choose: rules and a target turn measurements into verdicts. It reads no image, so it can be repeated in seconds."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import duckdb

from curation.choosing.rules import check_expressions
from curation.choosing.selection import NOTHING, Cutoff, Selection, is_settled, narrow
from curation.choosing.verdicts import Chooser, Counted, columns_counted, count_places, kept_bytes, keys_at
from curation.config import PipelineConfig
from curation.config_choose import ChooseConfig
from jobs.units.lineage import Lineage, read_parent
from jobs.units.part_plan import MapPart, plan_parts
from jobs.units.plan import Plan, Unit
from jobs.units.running import Terms, run_plan
from jobs.units.worker import Perform
from manifests.errors import InputError
from manifests.format.cost import UNITS
from manifests.format.done import DoneCounter
from manifests.format.schema import Stage
from manifests.format.store import Manifest

MAX_ROWS_IN_PROCESS = 100_000_000


class PartWorkers(Protocol):
    """Read the parts of a manifest and write others: threads of this process, or tasks of Spark."""

    def done_counter(self) -> DoneCounter | None:
        """Return a counter of finished units; None if workers have no way to report."""

    def count(self, parent: Manifest, columns: Sequence[str], work: Counted) -> Mapping[int, int]:
        """Return how many rows have which digit, as `work` counts them (COUNT_SCHEMA) in `columns` of a batch."""

    def nth_key(self, parent: Manifest, columns: Sequence[str], work: Counted, n: int) -> str | None:
        """Return the `n`-th smallest of the keys that `work` finds (KEY_SCHEMA); the last one if fewer."""

    def do(self, plan: Plan, todo: Sequence[Unit], perform: Perform) -> None:
        """Do those units of `plan`."""


def plan_choose(config: PipelineConfig, source: str, output: str) -> Plan:
    """Return the plan of choosing from the scored manifest at `source`.

    Raises InputError for a rule of `choose.where` that cannot be evaluated, for several variants, and as
    `read_scored` does.
    """
    config = config.variant()
    check_expressions(config.choose.rules())
    lineage = read_scored(config.choose, source)
    settings = config.choose.model_dump(mode="json")
    return plan_parts(
        Stage.CHOOSE, lineage, output, settings, {"choose": "2", "duckdb": duckdb.__version__}, config.storage
    )


def read_scored(config: ChooseConfig, source: str) -> Lineage:
    """Return the scored manifest at `source`, and what follows from it.

    Raises InputError for a setting that needs what the scoring did not measure, and as `read_parent` does.
    """
    lineage = read_parent(source, Stage.SCORE)
    if lineage.manifest.config.get("ask") == "heavy" and (setting := config.needs_light):
        raise InputError(
            f"{source}: scored with score.ask: heavy, so light is not known, which {setting} needs; score it with "
            "ask: light"
        )
    return lineage


def engine_for(kind: str, rows: int) -> str:
    """Return duckdb, which is this process, or spark: what `kind` says, or auto by the number of rows."""
    if kind != "auto":
        return kind
    return "spark" if rows > MAX_ROWS_IN_PROCESS else "duckdb"


def choose(
    config: PipelineConfig, source: str, output: str, terms: Terms, workers: Callable[[Manifest], PartWorkers]
) -> Manifest:
    """Choose from the scored manifest at `source` into the manifest at `output` and return it.

    `workers` returns what does the work on the manifest that is read. It is called only if there is work. The bytes
    do not depend on it. Raises as `plan_choose` and `run_plan` do.
    """
    config = config.variant()
    plan = plan_choose(config, source, output)
    (parent,) = plan.reads
    staff = functools.cache(lambda: workers(parent))

    def work(plan: Plan, todo: Sequence[Unit]) -> None:
        terms.account.begin("selection")
        selection = find_selection(parent, config.choose, staff(), terms.reporter.say)
        perform = MapPart(
            stage=Stage.CHOOSE,
            parent=parent.uri,
            roots=plan.roots,
            make=functools.partial(Chooser, config.choose.rules(), selection, config.choose.salt),
            count=kept_bytes,
        )
        terms.account.begin(UNITS)
        staff().do(plan, todo, perform)

    return run_plan(plan, work, terms, done=lambda: staff().done_counter())


def find_selection(
    parent: Manifest, config: ChooseConfig, workers: PartWorkers, say: Callable[[str], None]
) -> Selection:
    """Return the selection that keeps exactly the target's number of the rows that pass the rules.

    Each pass counts the rows by the next digit of their rank, from the columns that the rules name: at most a million
    counts. `say` prints one line, where fewer rows pass than are wanted.
    """
    wanted = config.wanted_rows(parent.rows)
    if wanted is None:
        return Selection()
    if wanted == 0:
        return NOTHING
    rules = config.rules()
    columns = columns_counted(rules)
    cutoff = Cutoff(remaining=wanted)
    while True:
        count = functools.partial(count_places, rules=rules, salt=config.salt, prefix=cutoff.digits)
        counts = workers.count(parent, columns, count)
        if not cutoff.digits and sum(counts.values()) <= wanted:
            if sum(counts.values()) < wanted:
                say(
                    f"choose: the target is {wanted:,} rows, {sum(counts.values()):,} pass the rules; "
                    "all of them are kept. Relax the rules (choose.keep: all) to reach it"
                )
            return Selection()
        cutoff, bucket_rows = narrow(cutoff, counts)
        if is_settled(cutoff, bucket_rows):
            break
    if cutoff.remaining == bucket_rows:
        return Selection(digits=cutoff.digits)
    tied = functools.partial(keys_at, rules=rules, salt=config.salt, digits=cutoff.digits)
    return Selection(digits=cutoff.digits, last_key=workers.nth_key(parent, columns, tied, cutoff.remaining))
