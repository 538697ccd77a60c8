"""Which engine an operation on manifests runs on, and the options that say so."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from jobs.units.progress import Reporter
from manifests import storage
from manifests.errors import InputError
from manifests.format.store import Manifest

MAX_DUCKDB_ROWS = 500_000_000
DEFAULT_MEMORY = "2GB"
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "": 1}
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """What the options say of the engine."""

    kind: str = "auto"
    memory_bytes: int = 2 * 10**9
    temp_folder: str | None = None
    config_files: tuple[str, ...] = ()
    master: str | None = None


def engine_options(command: F) -> F:
    """Add the options of every command that an engine runs; they arrive as `choice`, an EngineChoice."""

    def gathered(**flags: Any) -> Any:
        choice = EngineChoice(
            kind=flags.pop("engine"),
            memory_bytes=_bytes_of(flags.pop("memory")),
            temp_folder=flags.pop("temp_dir"),
            config_files=tuple(flags.pop("config_files")),
            master=flags.pop("master"),
        )
        return command(choice=choice, **flags)

    gathered.__doc__ = command.__doc__
    gathered.__name__ = command.__name__
    gathered.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in reversed(
        (
            click.option(
                "--engine",
                type=click.Choice(["auto", "duckdb", "spark"]),
                default="auto",
                show_default=True,
                help="duckdb: in this process; spark: for what outgrows it; auto: by the number of rows.",
            ),
            click.option(
                "--memory",
                default=DEFAULT_MEMORY,
                show_default=True,
                metavar="SIZE",
                help="What DuckDB may use before it spills to disk.",
            ),
            click.option("--temp-dir", metavar="FOLDER", help="Where it spills to.  [default: the system's]"),
            click.option(
                "-c",
                "--config",
                "config_files",
                multiple=True,
                metavar="FILE",
                help="Pipeline file to take storage: and spark: from; may be repeated.",
            ),
            click.option("--master", metavar="URL", help="Spark master, for --engine spark."),
        )
    ):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value]


def _bytes_of(text: str) -> int:
    number = text.upper().replace(" ", "").rstrip("KMGTB")
    unit = text.upper().replace(" ", "").removeprefix(number)
    try:
        return int(float(number) * _UNITS[unit])
    except (KeyError, ValueError) as e:
        raise InputError(f"--memory {text}: write a size, such as 2GB or 500MB") from e


@contextlib.contextmanager
def engines(choice: EngineChoice, reporter: Reporter) -> Iterator[Callable[[Sequence[Manifest]], Any]]:
    """Yield a function that gives the engine for some manifests, started when first asked; all end with the block."""
    with contextlib.ExitStack() as stack:
        made: list[Any] = []

        def engine(manifests: Sequence[Manifest]) -> Any:
            if not made:
                made.append(_start(choice, manifests, reporter, stack))
            return made[0]

        yield engine


def storage_options(choice: EngineChoice) -> Mapping[str, Mapping[str, Any]]:
    """Return the storage arguments that the configuration names, set in this process too."""
    if not choice.config_files:
        return {}
    from curation.config_files import load_config  # noqa: PLC0415 - takes a while to import

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
        from manifests.sql.engine import DuckEngine  # noqa: PLC0415 - takes a while to import

        duck = DuckEngine(memory_bytes=choice.memory_bytes, temp_folder=choice.temp_folder)
        return stack.enter_context(duck)
    from curation.config import SparkConfig  # noqa: PLC0415
    from curation.config_files import load_config  # noqa: PLC0415
    from jobs.spark import session  # noqa: PLC0415 - a JVM, which only this engine needs
    from jobs.spark.engine import SparkEngine  # noqa: PLC0415

    spark_config = load_config(choice.config_files).spark if choice.config_files else SparkConfig()
    if choice.master:
        spark_config = spark_config.model_copy(update={"master": choice.master})
    spark = stack.enter_context(session.opened(spark_config, name="curate"))
    return SparkEngine(spark, storage_options(choice))
