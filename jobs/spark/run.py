"""How stages run on Spark: what they share in one command, and the session, started when it is first needed."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import SparkSession

from curation.config import PipelineConfig, SparkConfig
from jobs.spark import frames, processes, session
from jobs.spark.master import is_local, local_cores, master_of, require_master
from jobs.units.cost import PLANNING, STARTING
from jobs.units.plan import Plan, Unit
from jobs.units.running import Terms, run_plan
from jobs.units.running import Work as WorkHere
from manifests import storage
from manifests.format.done import DoneCounter, LocalCounter
from manifests.format.receipts import Receipt
from manifests.format.schema import Stage
from manifests.format.store import Manifest


@dataclass(kw_only=True)
class Context(Terms):
    """What stages share in one command: where Spark is, how to report, and whether to start over.

    `given` is a session of the caller's, which is never stopped. `onto` has manifests of an earlier run, by stage.
    `engine` is where manifests are read that need no image: duckdb, which is this process, spark, or auto.
    """

    spark_config: SparkConfig = field(default_factory=SparkConfig)
    given: SparkSession | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    onto: Mapping[Stage, str] = field(default_factory=dict)
    engine: str = "auto"
    _spark: SparkSession | None = None
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def spark(self) -> SparkSession:
        """The session, started when first needed: a run with nothing to do never starts Spark."""
        if self._spark is None:
            phase = self.account.phase
            self.account.begin(STARTING)
            is_new = self.given is None and session.existing_session() is None
            self._spark = self._stack.enter_context(
                session.opened(self.spark_config, name="curate", given=self.given)
            )
            processes.include(self.account, self._spark, from_start=is_new)
            self.account.begin(phase)
        return self._spark

    @property
    def local_workers(self) -> int:
        """How many processes do the work of a small run that has no use for Spark yet; 0 where Spark shall do it.

        Spark does it where there is a session already, or where it would start on other machines than this.
        """
        master = master_of(self.spark_config)
        has_session = self.given is not None or self._spark is not None or session.existing_session() is not None
        if has_session or session.is_submitted() or not is_local(master):
            return 0
        return local_cores(master)

    @property
    def has_cluster(self) -> bool:
        """Whether there is a session of the caller's, or one that was started on other machines than this."""
        return self.given is not None or (self._spark is not None and not is_local(master_of(self.spark_config)))

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


_ADVICE = "Spark's own log is shown with --set spark.conf.spark.log.level=WARN"

Work = Callable[[SparkSession, Plan, Sequence[Unit]], Mapping[str, Receipt] | None]
"""Does units of a plan on Spark. See jobs.units.running.Work for what it returns."""


def run_stage(plan: Plan, work: Work, ctx: Context) -> Manifest:
    """Bring `plan` to its commit, with Spark as far as there is something to do, and return the manifest.

    Raises as `jobs.units.running.run_plan` does.
    """
    done = functools.partial(_counter, ctx)
    return run_plan(plan, lambda begun, todo: work(ctx.spark, begun, todo), ctx, done=done, advice=_ADVICE)


def run_small_stage(plan: Plan, work: WorkHere, ctx: Context) -> Manifest:
    """Do what `run_stage` does, with `work` that starts Spark by `ctx.spark` if it turns out to need it."""
    if ctx.local_workers:
        require_master(ctx.spark_config)  # as Spark would: one that is no address is refused
        return run_plan(plan, work, ctx, done=LocalCounter)
    return run_plan(plan, work, ctx, done=functools.partial(_counter, ctx), advice=_ADVICE)


def _counter(ctx: Context) -> DoneCounter | None:
    return frames.done_counter(ctx.spark)
