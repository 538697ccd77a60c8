"""Checks whether a manifest, and the images it points to, are as it records them."""

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import click
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from jobs.operations.verify import verify as check
from jobs.show import logs, terminal
from manifests.format.store import Manifest, open_manifest
from manifests.inspect.verify import Depth, Findings, Resources

EXIT_FAULTS = 1
LINE_EVERY_SECONDS = 30.0
OnProgress = Callable[[str, int, int], None]


def verify(manifest: str, fraction: float | None, limit: int, as_json: bool, **flags: Any) -> None:
    """Print every fault of a manifest. Exits with 1 when there is one."""
    _require_that_options_fit(flags["is_quick"], flags["is_deep"], fraction)
    depth = Depth.QUICK if flags["is_quick"] else Depth.DEEP if flags["is_deep"] else Depth.ROWS
    opened = open_manifest(manifest)
    given = {"threads": flags["threads"]} if flags["threads"] else {}
    with _progress(is_quiet=logs.is_quiet() or (as_json and not sys.stderr.isatty())) as report:
        resources = Resources(on_progress=report, temp_folder=flags["temp_dir"], **given)
        share = 1.0 if fraction is None else fraction
        found = check(opened, depth, resources, fraction=share, salt=flags["salt"], max_faults=limit or None)
    (_print_json if as_json else _print)(opened, str(depth), found)
    if not found.is_valid:
        raise click.exceptions.Exit(EXIT_FAULTS)


def _require_that_options_fit(is_quick: bool, is_deep: bool, fraction: float | None) -> None:
    if is_quick and is_deep:
        raise click.UsageError("--quick and --deep: give one of them")
    if fraction is not None and not is_deep:
        raise click.UsageError("--fraction is the share of the images that --deep reads: give --deep, too")
    if fraction is not None and not 0 <= fraction <= 1:
        raise click.UsageError(f"--fraction {fraction}: not a share of the images, from 0 to 1")


def _print_json(manifest: Manifest, depth: str, found: Findings) -> None:
    answer = {
        "uri": manifest.uri,
        "depth": depth,
        "is_whole": found.is_valid,
        "checked": dict(sorted(found.checked.items())),
        "fault_count": found.fault_count,
        "faults": [dataclasses.asdict(fault) for fault in found.faults],
        "notes": found.notes,
    }
    click.echo(json.dumps(answer, indent=1))


def _print(manifest: Manifest, depth: str, found: Findings) -> None:
    """Print a line for each fault and note, then what was checked, then the verdict."""
    for fault in found.faults:
        click.echo(_line(f"{fault.where}: {fault.what}; {fault.next}"))
    if left := found.fault_count - len(found.faults):
        click.echo(f"and {left:,} more faults; --limit 0 prints all")
    for note in found.notes:
        click.echo(_line(f"note: {note}"))
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in found.checked.items())
    click.echo(f"checked ({depth}): {counts}")
    verdict = "valid" if found.is_valid else f"{found.fault_count:,} fault{'s' * (found.fault_count > 1)}"
    click.echo(_line(f"{manifest.uri}: {verdict}"))


def _line(text: str) -> str:
    """Return `text` on one line, without control characters that a key or a file name may contain."""
    return "".join(c if c.isprintable() else "·" for c in " ".join(text.split()))


@contextlib.contextmanager
def _progress(*, is_quiet: bool) -> Iterator[OnProgress]:
    """Yield what shows progress on stderr: a bar on a terminal, a line now and then elsewhere, or nothing."""
    if is_quiet:
        yield lambda step, done, total: None
    elif sys.stderr.isatty():
        with _bar() as report:
            yield report
    else:
        yield _Lines()


class _Lines:
    """Reports progress in plain lines, none within the first half minute."""

    def __init__(self) -> None:
        self._next = time.monotonic() + LINE_EVERY_SECONDS

    def __call__(self, step: str, done: int, total: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_EVERY_SECONDS
            click.echo(f"verify: {done:,} of {total:,} {step}", err=True)


@contextlib.contextmanager
def _bar() -> Iterator[OnProgress]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.completed:,} of {task.total:,} {task.description}"),
        BarColumn(bar_width=28),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=terminal.console(stderr=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total)
            progress.update(tasks[step], completed=done, total=total)

        yield report
