"""`curate verify`: whether a manifest, and what it points to, is what it says."""

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.options import examples, storage_option
from jobs.show import terminal

if TYPE_CHECKING:  # duckdb takes a while to import
    from manifests.format.store import Manifest
    from manifests.inspect.verify import Findings, Resources

EXIT_FAULTS = 1
LINE_EVERY_SECONDS = 30.0
Tell = Callable[[str, int, int], None]


@click.command(
    epilog=examples(
        "curate verify out/chosen --quick",
        "curate verify out/chosen",
        "curate verify out/scan --deep --fraction 0.01 --salt june",
        "curate verify s3://bucket/shards --deep",
        "curate verify out/chosen --json --limit 0 > faults.json",
    )
)
@click.argument("manifest")
@click.option("--quick", "is_quick", is_flag=True, help="Files, hashes, sums and keys alone; no row is decoded.")
@click.option("--deep", "is_deep", is_flag=True, help="Also read images by byte range, from sources or shards.")
@click.option("--fraction", type=float, help="Share of the images that --deep reads, 0 to 1.  [default: 1]")
@click.option(
    "--salt", default="curate", show_default=True, help="Names the images of --fraction; see curate sample."
)
@click.option(
    "--limit", type=click.IntRange(min=0), default=50, show_default=True, help="Faults to print; 0 prints all."
)
@click.option("--threads", type=click.IntRange(min=1), help="Files to read at a time.  [default: one a core]")
@click.option("--temp-dir", metavar="FOLDER", help="Where DuckDB spills to.  [default: the system's]")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
def verify(manifest: str, fraction: float | None, limit: int, as_json: bool, **flags: Any) -> None:
    """Check that MANIFEST is whole, and report every fault.

    Without --quick or --deep, all files are hashed and every row is read again. Exits with 0 when nothing is wrong,
    1 when faults were found, 2 when there is no manifest to check.
    """
    from manifests.format.store import open_manifest  # noqa: PLC0415
    from manifests.inspect.verify import Depth, Findings, Resources, check_files, check_rows  # noqa: PLC0415

    _require_that_options_fit(flags["is_quick"], flags["is_deep"], fraction)
    depth = Depth.QUICK if flags["is_quick"] else Depth.DEEP if flags["is_deep"] else Depth.ROWS
    opened = open_manifest(manifest)
    found = Findings(limit or None)
    given = {"threads": flags["threads"]} if flags["threads"] else {}
    with _progress(is_quiet=flags["quiet"] or (as_json and not sys.stderr.isatty())) as tell:
        means = Resources(on_progress=tell, temp_folder=flags["temp_dir"], **given)
        whole = check_files(opened, found, means)
        if depth is not Depth.QUICK:
            check_rows(opened, whole, found, means)
        if depth is Depth.DEEP:
            _check_images(opened, whole, found, means, 1.0 if fraction is None else fraction, flags["salt"])
    (_print_json if as_json else _print)(opened, str(depth), found)
    if not found.is_valid:
        raise click.exceptions.Exit(EXIT_FAULTS)


def _require_that_options_fit(is_quick: bool, is_deep: bool, fraction: float | None) -> None:
    if is_quick and is_deep:
        raise click.UsageError("--quick and --deep: give one of them")
    if fraction is not None and not is_deep:
        raise click.UsageError("--fraction is of the images that --deep reads: give --deep, too")
    if fraction is not None and not 0 <= fraction <= 1:
        raise click.UsageError(f"--fraction {fraction}: is a share of the images, from 0 to 1")


def _check_images(
    manifest: "Manifest", whole: list[int], found: "Findings", means: "Resources", fraction: float, salt: str
) -> None:
    from curation.shards.verify_images import check_images  # noqa: PLC0415 - OpenCV takes a while to import

    check_images(manifest, whole, found, means, fraction=fraction, salt=salt)


def _print_json(manifest: "Manifest", depth: str, found: "Findings") -> None:
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


def _print(manifest: "Manifest", depth: str, found: "Findings") -> None:
    """Print a line for each fault and note, then what was checked, then the verdict."""
    for fault in found.faults:
        click.echo(_line(f"{fault.where}: {fault.what}; {fault.next}"))
    if left := found.fault_count - len(found.faults):
        click.echo(f"and {left:,} more faults; --limit 0 prints all")
    for note in found.notes:
        click.echo(_line(f"note: {note}"))
    told = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in found.checked.items())
    click.echo(f"checked ({depth}): {told}")
    verdict = "whole" if found.is_valid else f"{found.fault_count:,} fault{'s' * (found.fault_count > 1)}"
    click.echo(_line(f"{manifest.uri}: {verdict}"))


def _line(text: str) -> str:
    """Return `text` on one line that no stranger's key or file name can make a terminal's command of."""
    return "".join(c if c.isprintable() else "·" for c in " ".join(text.split()))


@contextlib.contextmanager
def _progress(*, is_quiet: bool) -> Iterator[Tell]:
    """Yield what shows progress on stderr: a bar on a terminal, a line now and then elsewhere, or nothing."""
    if is_quiet:
        yield lambda step, done, total: None
    elif sys.stderr.isatty():
        with _bar() as tell:
            yield tell
    else:
        yield _Lines()


class _Lines:
    """Tells progress in plain lines, none within the first half minute."""

    def __init__(self) -> None:
        self._next = time.monotonic() + LINE_EVERY_SECONDS

    def __call__(self, step: str, done: int, total: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_EVERY_SECONDS
            click.echo(f"verify: {done:,} of {total:,} {step}", err=True)


@contextlib.contextmanager
def _bar() -> Iterator[Tell]:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (
        SpinnerColumn(),
        TextColumn("{task.completed:,} of {task.total:,} {task.description}"),
        BarColumn(bar_width=28),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=terminal.console(stderr=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def tell(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total)
            progress.update(tasks[step], completed=done, total=total)

        yield tell
