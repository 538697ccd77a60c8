"""The engine that an operation on manifests runs on: DuckDB in this process, or Spark."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jobs.operations.engine_choice import EngineChoice, storage_options
from jobs.units.cost import Account
from jobs.units.progress import Reporter
from manifests.format.store import Manifest
from manifests.sql.engine import DuckEngine, Engine

MAX_DUCKDB_ROWS = 500_000_000


@contextlib.contextmanager
def engines(choice: EngineChoice, reporter: Reporter) -> Iterator[Callable[[Sequence[Manifest]], Engine]]:
    """Yield a function that returns the engine for some manifests. It is started at the first call and ends here."""
    with contextlib.ExitStack() as stack:
        made: list[Engine] = []

        def engine(manifests: Sequence[Manifest]) -> Engine:
            if not made:
                made.append(_start(choice, manifests, reporter, stack))
            return made[0]

        yield engine


def _start(
    choice: EngineChoice, manifests: Sequence[Manifest], reporter: Reporter, stack: contextlib.ExitStack
) -> Any:
    rows = sum(manifest.rows for manifest in manifests)
    kind = choice.kind
    if kind == "auto":
        kind = "spark" if rows > MAX_DUCKDB_ROWS else "duckdb"
        reporter.say(f"engine: {kind}, for {rows:,} rows (--engine decides)")
    if kind == "duckdb":
        return stack.enter_context(DuckEngine(memory_bytes=choice.memory_bytes, temp_folder=choice.temp_folder))
    from jobs.operations.spark_engine import started  # noqa: PLC0415 - Spark, which DuckDB does without

    return stack.enter_context(started(choice, storage_options(choice)))


def count_engine(account: Account, engine: Any) -> None:
    """Let `account` count, from now on, the processes of the Spark session of `engine`, if it has one."""
    spark = getattr(engine, "session", None)
    if spark is not None:
        from jobs.spark import processes  # noqa: PLC0415 - Spark, which DuckDB does without

        processes.include(account, spark, from_start=False)
