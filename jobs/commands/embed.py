"""Writes features of a manifest's images, and prints what was written."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jobs.commands.shared import has_summary, names_in
from jobs.operations.embed import Embedded, Rows
from jobs.operations.embed import embed as write
from jobs.operations.embed_workers import Embedding
from jobs.show import logs, terminal
from jobs.show.basics import print_json
from manifests.format.store import open_manifest

EXIT_MISSING = 1
PROBLEMS_SHOWN = 20


def embed(manifest: str, output: str, model: str, columns: str | None, as_json: bool, **flags: Any) -> None:
    """Write the vectors of the images. Exits with 1 when one has none."""
    which = Rows(where=flags["where"], columns=names_in(columns), dtype=flags["dtype"])
    given = {} if flags["workers"] is None else {"workers": flags["workers"]}
    how = Embedding(
        model=model,
        batch_images=flags["batch_images"],
        device=flags["device"],
        download=flags["download"],
        **given,
    )
    opened = open_manifest(manifest)
    with _progress(is_quiet=logs.is_quiet() or (as_json and not sys.stderr.isatty())) as report:
        done = write(opened, output, which, how, is_forced=flags["force"], on_progress=report)
    if has_summary(as_json=as_json):
        _print(done, as_json=as_json)
    if done.problems:
        raise click.exceptions.Exit(EXIT_MISSING)


def _print(done: Embedded, *, as_json: bool) -> None:
    if as_json:
        facts = {"uri": done.uri, "rows": done.rows, "dimensions": done.dimensions, "model": done.model}
        print_json({**facts, "problems": [{"key": key, "problem": why} for key, why in done.problems]})
        return
    for key, why in done.problems[:PROBLEMS_SHOWN]:
        click.echo(f"no vector: {key}: {why}", err=True)
    if len(done.problems) > PROBLEMS_SHOWN:
        click.echo(f"no vector: {len(done.problems) - PROBLEMS_SHOWN:,} more; the column problem says why", err=True)
    vectors = done.rows - len(done.problems)
    click.echo(f"{vectors:,} vectors of {done.dimensions:,} numbers at {done.uri}\nmodel: {done.model}")


@contextlib.contextmanager
def _progress(*, is_quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows how many rows are done: a bar on a terminal, else nothing."""
    console = terminal.console(stderr=True)
    if is_quiet or not console.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn("embed"), BarColumn(bar_width=28), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("embed", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
