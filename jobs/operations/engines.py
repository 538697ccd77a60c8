"""The engine that an operation on manifests runs on: DuckDB in this process, or Spark."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.units.progress import Reporter
from manifests import storage
from manifests.format.store import Manifest
from manifests.sql.engine import DuckEngine, Engine

MAX_DUCKDB_ROWS = 500_000_000


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """Which engine runs an operation: `kind` is duckdb, spark, or auto, which decides by the number of rows.

    `spark` is a session of the caller's. Workers reach storage with `storage`, or as the configuration files say.
    """

    kind: str = "auto"
    memory_bytes: int = 2 * 10**9
    temp_folder: str | None = None
    config_files: tuple[str, ...] = ()
    master: str | None = None
    spark: Any = None
    storage: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def taken_from(cls, flags: dict[str, Any]) -> "EngineChoice":
        """Return the choice of the command line's engine options, which are taken out of `flags`."""
        return cls(
            kind=flags.pop("engine"),
            memory_bytes=flags.pop("memory"),
            temp_folder=flags.pop("temp_dir"),
            config_files=tuple(flags.pop("config_files")),
            master=flags.pop("master"),
        )


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


def storage_options(choice: EngineChoice) -> Mapping[str, Mapping[str, Any]]:
    """Return the storage arguments of the configuration files, which this process uses from now on."""
    if not choice.config_files:
        return choice.storage
    from curation.config_files import load_config  # noqa: PLC0415 - imports OpenCV, which most commands do without

    options: Mapping[str, Mapping[str, Any]] = load_config(choice.config_files).storage
    storage.configure(options)
    return options


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
