"""Compares two manifests: which rows differ, and why."""

import contextlib
import tempfile
from typing import Any

import click

from jobs.commands.shared import names_in, note, reporter
from jobs.operations.compare import compare
from jobs.operations.engine_choice import EngineChoice, storage_options
from jobs.operations.engines import engines
from jobs.operations.report_folder import report_folder
from jobs.show import logs
from jobs.show.diff import print_diff, summary
from manifests import storage
from manifests.compare.diff import Comparison, DiffOptions
from manifests.compare.diff_set import open_diff
from manifests.format.store import open_manifest

EXIT_DIFFERS = 1


def diff(a: str, b: str, **flags: Any) -> None:
    """Print the differences of two manifests, and write them as a diff where --out is given."""
    choice = EngineChoice.taken_from(flags)
    storage_options(choice)
    first, second = open_manifest(a), open_manifest(b)
    comparison = Comparison(
        by="image" if flags["by_image"] else flags["by"],
        columns=names_in(flags["columns"]),
        ignore=names_in(flags["ignore"]),
        where=flags["where"],
    )
    out = storage.absolute(flags["out"]) if flags["out"] else None
    progress = reporter(as_json=flags["as_json"])
    html = report_folder(flags["html"], "--html", ["index.html"], force=flags["force"]) if flags["html"] else None
    limit = 0 if flags["stat"] else flags["limit"]
    with contextlib.ExitStack() as stack:
        if html is not None and out is None:  # the page needs every row
            out = storage.absolute(stack.enter_context(tempfile.TemporaryDirectory(prefix="curate-"))) + "/diff"
        options = DiffOptions(limit=limit, out=out, say=progress.say)
        with engines(choice, progress) as engine:
            found = compare(first, second, comparison, options, engine, may_replace=flags["force"])
        if html is not None and out is not None:
            from curation.pages.changes import make_diff_report  # noqa: PLC0415 - only for pages

            made = make_diff_report(first, second, open_diff(out), html, sentence=summary(found))
            note(f"{made.index}: {made.pictures:,} pictures")
    out = storage.absolute(flags["out"]) if flags["out"] else None
    if found.text_scores_compare is False:
        note("text scores do not compare: other software made those of the second; leave out: --ignore text_score")
    style = "json" if flags["as_json"] else "markdown" if flags["as_markdown"] else "table"
    if style != "table" or not (flags["exit_code"] and logs.is_quiet()):
        print_diff(found, out=out, style=style)
    if flags["exit_code"] and not found.is_empty:
        raise click.exceptions.Exit(EXIT_DIFFERS)
