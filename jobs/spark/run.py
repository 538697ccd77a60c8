"""How every stage runs: look at what is there, do the units that are left, commit when all are done."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pyspark.sql import SparkSession

from curation.config import PipelineConfig, SparkConfig
from jobs.spark import frames, processes, session
from jobs.units.accepted import accepted_receipts
from jobs.units.commit import finish
from jobs.units.cost import COMMITTING, PLANNING, STARTING, Account
from jobs.units.failures import read_failures
from jobs.units.plan import Plan, Unit
from jobs.units.progress import Reporter
from jobs.units.state import begun
from jobs.units.underway import underway_folder
from manifests import storage
from manifests.errors import CurateError, InputError, StageFailed, sentence_in
from manifests.format.integrity import require_sizes
from manifests.format.outdated import require_current
from manifests.format.receipts import Receipt
from manifests.format.schema import Stage
from manifests.format.store import Manifest, Parent, open_manifest


@dataclass(kw_only=True)
class Context:
    """What stages share in one command: where Spark is, how to report, and whether to start over.

    `given` is a session of the caller's, which is never stopped. `onto` has manifests of an earlier run, by stage.
    `account` adds up what the command costs.
    """

    spark_config: SparkConfig = field(default_factory=SparkConfig)
    given: SparkSession | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reporter: Reporter = field(default_factory=Reporter)
    restart: bool = False
    onto: Mapping[Stage, str] = field(default_factory=dict)
    account: Account = field(default_factory=Account)
    _spark: SparkSession | None = None
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def spark(self) -> SparkSession:
        """The session, started when first needed: a run with nothing to do never starts Spark."""
        if self._spark is None:
            self.account.begin(STARTING)
            is_new = self.given is None and session.existing_session() is None
            self._spark = self._stack.enter_context(
                session.opened(self.spark_config, name="curate", given=self.given)
            )
            processes.include(self.account, self._spark, from_start=is_new)
            self.account.begin(PLANNING)
        return self._spark

    def close(self) -> None:
        """Stop the session if this context started it."""
        self._spark = None
        self._stack.close()


@contextlib.contextmanager
def context(config: PipelineConfig | None = None, **settings: Any) -> Iterator[Context]:
    """Yield a Context; a session that it started is stopped at the end."""
    spark_config = config.spark if config else SparkConfig()
    made = Context(spark_config=spark_config, options=config.storage if config else {}, **settings)
    storage.configure(made.options)
    made.account.begin(PLANNING)
    try:
        yield made
    finally:
        made.close()


Work = Callable[[SparkSession, Plan, Sequence[Unit]], Mapping[str, Receipt] | None]
"""Does units of a plan. Returns receipts that count instead of those of the units, by unit, if there are any."""


def run_stage(plan: Plan, work: Work, ctx: Context) -> Manifest:
    """Bring `plan` to its commit and return the manifest; does only what is left to do.

    Raises RunAtWork when another run is at work at the output, RunChanged when other work is there, StageFailed when
    units cannot be done. Whatever was finished stays, and the same call goes on from there.
    """
    started = time.monotonic()
    with begun(plan, restart=ctx.restart) as begin:
        plan, state = begin.plan, begin.state
        for notice in state.notices:
            ctx.reporter.say(f"{plan.stage}: {notice}")
        if state.manifest is not None:
            ctx.reporter.say(f"{plan.stage}: up to date, {state.manifest.rows:,} rows at {plan.output}")
            return state.manifest
        for manifest in plan.reads:
            require_sizes(manifest)
        spark = ctx.spark
        done = frames.done_counter(spark)
        with underway_folder() as underway, ctx.reporter.watch(replace(plan, underway=underway), state, done):
            try:
                replaced = work(spark, replace(plan, done=done, underway=underway), state.todo)
            except CurateError:
                raise
            except Exception as e:
                plan.run.require_held()
                raise StageFailed(explain_failure(plan, e)) from e
        ctx.account.begin(COMMITTING)
        return finish(begin, started, replaced=replaced, account=ctx.account)


def explain_failure(plan: Plan, error: Exception) -> str:
    """Return which units failed and why, as the workers noted it."""
    done = accepted_receipts(plan.run)
    failures = {u: why for u, why in read_failures(plan.run).items() if u not in done}
    lines = [f"  {unit}: {why}" for unit, why in list(failures.items())[:5]]
    if len(failures) > len(lines):
        lines.append(f"  … and {len(failures) - len(lines)} more")
    if not lines:
        lines_of_error = str(error).strip().splitlines()
        raised = re.compile(r"^(manifests\.errors\.\w+|[\w.]*(Error|Exception|Exit)\b)")
        python = [sentence_in(line) or line for line in lines_of_error if raised.match(line)]
        lines = ["  " + line for line in python[-1:] or lines_of_error[:3]]
    return (
        f"{plan.stage}: {len(plan.units) - len(done)} of {len(plan.units)} units are not done\n"
        + "\n".join(lines)
        + "\nWhat was finished is kept; remove the cause and run the same command to go on. "
        "Spark's own log is shown with --set spark.conf.spark.log.level=WARN"
    )


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """What a stage takes over from the manifest it reads."""

    manifest: Manifest
    parents: Sequence[Parent]
    roots: Sequence[str]
    funnel: Sequence[Mapping[str, Any]]

    others: Mapping[str, str] = field(default_factory=dict)

    def joined_by(self, others: Mapping[str, Manifest]) -> "Lineage":
        """Return this lineage with manifests that the rows depend on but do not come from, by their part in it."""
        parents = [Parent(uri=each.uri, stage=each.stage, digest=each.digest) for each in others.values()]
        digests = {name: each.digest for name, each in others.items()}
        return replace(self, parents=[*self.parents, *parents], others=digests)


def read_parent(uri: str, wanted: Stage, *others: Stage) -> Lineage:
    """Return the committed manifest at `uri`, of stage `wanted` or of one of `others`, and what follows from it.

    Raises ManifestError when it is missing or unfinished, InputError when it is of another stage or was made by a
    version that measured less, up to the stage `wanted`.
    """
    manifest = open_manifest(uri)
    if manifest.stage not in (wanted, *others):
        stages = " or ".join((wanted, *others))
        between = list(Stage)[list(Stage).index(manifest.stage) + 1 : list(Stage).index(wanted) + 1]
        advice = f"; run {', then '.join(between)} first" if between else ""
        raise InputError(f"{uri}: a manifest of stage {manifest.stage}; this needs one of {stages}{advice}")
    require_current(manifest, uri, wanted)
    return Lineage(
        manifest=manifest,
        parents=[Parent(uri=manifest.uri, stage=manifest.stage, digest=manifest.digest)],
        roots=manifest.roots,
        funnel=manifest.funnel,
    )
