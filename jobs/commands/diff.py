"""Compares two manifests: which rows differ, and why."""

import contextlib
from collections.abc import Iterator
from typing import Any

import click

from jobs.commands.shared import names_in, reporter
from jobs.operations.engines import EngineChoice, engines, storage_options
from jobs.show import logs
from jobs.show.diff import print_diff
from jobs.units.at_work import at_work, require_no_other
from jobs.units.output_place import require_folder
from manifests import storage
from manifests.compare.diff import Comparison, DiffOptions
from manifests.compare.diff import diff as find
from manifests.compare.diff_set import BEGUN_FILE, make_room
from manifests.format.store import open_manifest

EXIT_DIFFERS = 1


def diff(a: str, b: str, **flags: Any) -> None:
    """Print the differences of two manifests, and write them as a diff where --out is given."""
    choice = EngineChoice.taken_from(flags)
    storage_options(choice)
    first, second = open_manifest(a), open_manifest(b)
    comparison = Comparison(
        by=flags["by"], columns=names_in(flags["columns"]), ignore=names_in(flags["ignore"]), where=flags["where"]
    )
    comparison.check(first, second)
    out = storage.absolute(flags["out"]) if flags["out"] else None
    progress = reporter(as_json=flags["as_json"])
    options = DiffOptions(limit=0 if flags["stat"] else flags["limit"], out=out, say=progress.say)
    with _place_for_diff(out, may_replace=flags["force"]), engines(choice, progress) as engine:
        found = find(lambda: engine([first, second]), first, second, comparison, options)
    style = "json" if flags["as_json"] else "markdown" if flags["as_markdown"] else "table"
    if style != "table" or not (flags["exit_code"] and logs.is_quiet()):
        print_diff(found, out=out, style=style)
    if flags["exit_code"] and not found.is_empty:
        raise click.exceptions.Exit(EXIT_DIFFERS)


@contextlib.contextmanager
def _place_for_diff(out: str | None, *, may_replace: bool) -> Iterator[None]:
    """Prepare `out`, if a diff is to be written, and keep a file there that says so until the block ends."""
    if out is None:
        yield
        return
    marker = storage.join(out, BEGUN_FILE)
    require_folder(out)
    require_no_other(marker, out)
    make_room(out, may_replace=may_replace)
    with at_work(marker):
        yield
