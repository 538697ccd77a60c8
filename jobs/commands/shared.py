"""What several commands share: their messages, and how options are read."""

import contextlib
import sys
from collections.abc import Iterator, Sequence

import click

from jobs.show import logs
from jobs.units.progress import Reporter
from manifests.errors import InputError

EXIT_PROBLEMS = 1


def reporter(*, as_json: bool) -> Reporter:
    """Return what reports progress on stderr: nothing with --quiet, nor with --json unless a person is looking."""
    return Reporter(quiet=logs.is_quiet() or (as_json and not sys.stderr.isatty()))


def note(text: str) -> None:
    """Print one line on stderr, unless --quiet was given."""
    if not logs.is_quiet():
        click.echo(text, err=True)


def has_summary(*, as_json: bool) -> bool:
    """Return whether a command that makes something prints what it made: always as JSON, else without --quiet."""
    return as_json or not logs.is_quiet()


@contextlib.contextmanager
def blaming(option: str) -> Iterator[None]:
    """Start the text of an InputError that the block raises with the option whose value is wrong."""
    try:
        yield
    except InputError as e:
        raise InputError(f"{option}: {e}") from e


def names_in(text: str | None) -> tuple[str, ...]:
    """Return the names of a list that is joined by commas; none when there is no list."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def output_form(as_json: bool, as_csv: bool) -> str:
    """Return how rows are printed: json, csv or table. Raises InputError when both options are given."""
    if as_json and as_csv:
        raise InputError("--json and --csv exclude each other; give one")
    return "json" if as_json else "csv" if as_csv else "table"


def end_with_problems(problems: Sequence[str]) -> None:
    """Print each problem on stderr, and end the command with exit code 1 if there is one."""
    for problem in problems:
        click.echo(f"curate: {problem}", err=True)
    if problems:
        raise click.exceptions.Exit(EXIT_PROBLEMS)
