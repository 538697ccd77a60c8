"""Options that several commands share. Nothing here imports what only the work of a command needs."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from jobs.cli.lazy import load
from jobs.show import logs
from manifests.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_MEMORY = "2GB"
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "": 1}
_OUTPUT = "jobs.cli.options.output"


def examples(*lines: str) -> str:
    """Return the examples at the end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return one decorator that adds several options, in this order."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


# --- storage and engines


def _configure_storage(_context: click.Context, _option: click.Parameter, files: Sequence[str]) -> None:
    if files:
        load("jobs.commands.settings:configure_storage")(files)


def bytes_of(_context: click.Context, _option: click.Parameter, text: str) -> int:
    """Return the bytes that the value of --memory, such as 2GB, stands for. Raises InputError for other texts."""
    size = text.upper().replace(" ", "")
    number = size.rstrip("KMGTB")
    try:
        return int(float(number) * _UNITS[size.removeprefix(number)])
    except (KeyError, ValueError) as e:
        raise InputError(f"--memory {text}: write a size, such as 2GB or 500MB") from e


json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
storage_option = click.option(
    "-c",
    "--config",
    multiple=True,
    metavar="FILE",
    expose_value=False,
    callback=_configure_storage,
    help="Pipeline file with storage: options; may be repeated.",
)
"""Add `-c`. The storage is configured while the command line is parsed; the command itself does not get the files."""

engine_option = click.option(
    "--engine",
    type=click.Choice(["auto", "duckdb", "spark"]),
    default="auto",
    show_default=True,
    help="duckdb: in this process; spark: for larger data; auto: by the number of rows.",
)
engine_options = together(
    engine_option,
    click.option(
        "--memory",
        default=DEFAULT_MEMORY,
        show_default=True,
        metavar="SIZE",
        callback=bytes_of,
        help="Memory that DuckDB may use before it spills to disk.",
    ),
    click.option("--temp-dir", metavar="FOLDER", help="Where DuckDB spills to.  [default: the system's]"),
    click.option(
        "-c",
        "--config",
        "config_files",
        multiple=True,
        metavar="FILE",
        help="Pipeline file with storage: and spark: options; may be repeated.",
    ),
    click.option("--master", metavar="URL", help="Spark master, for --engine spark."),
)
"""Add the options of an EngineChoice: engine, memory, temp_dir, config_files and master."""

making_options = together(
    click.option("-o", "--output", required=True, metavar="URI", help="Where the manifest is committed."),
    click.option("--dry-run", is_flag=True, help="Print how many rows it would have; write nothing."),
    click.option("--restart", is_flag=True, help="Discard other work at the output, instead of refusing."),
    json_option,
)
"""Add the options of every command that makes a manifest from manifests."""


# --- stages

job_options = together(
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="SECTION.NAME=VALUE",
        help="Override one value of the configuration; may be repeated.",
    ),
    click.option("--master", metavar="URL", help="Spark master; local[*] unless submitted or configured."),
    click.option("--dry-run", is_flag=True, help="Print what would be done; write nothing."),
    click.option(
        "--restart",
        is_flag=True,
        help="Discard work of another configuration found at the output, instead of refusing.",
    ),
    json_option,
)
"""Add the options of every command that runs stages."""

settings_files_option = click.option(
    "-c",
    "--config",
    "config_files",
    multiple=True,
    metavar="FILE",
    help="Pipeline file to take settings from; may be repeated, later ones win.",
)


# --- messages


def add_output_options(command: click.Command) -> None:
    """Add to `command` what every command has: -v, -q, --log-file and --traceback."""

    def option(*names: str, **how: Any) -> click.Option:
        return click.Option(names, expose_value=False, is_eager=True, callback=_note_output, **how)

    command.params += [
        option("-v", "--verbose", count=True, help="Print what is done on stderr; -vv prints more."),
        option("-q", "--quiet", is_flag=True, help="Print no progress, notes or summaries, only errors."),
        option("--log-file", metavar="FILE", help="Append messages, with time and module, to this local file."),
        option("--traceback", is_flag=True, help="Print the Python traceback of every error."),
    ]


def _note_output(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Remember a given option, before or after the command's name, and configure logging by all given so far."""
    if not value or context.resilient_parsing:
        return
    given = context.meta.setdefault(_OUTPUT, {})
    given[option.name] = value
    try:
        logs.configure(logs.QUIET if "quiet" in given else given.get("verbose", 0), given.get("log_file"))
    except InputError as e:
        raise click.BadParameter(str(e), context, option) from e


def wants_traceback(context: click.Context) -> bool:
    """Return whether --traceback is given, before or after the command's name."""
    return "traceback" in context.meta.get(_OUTPUT, {})
