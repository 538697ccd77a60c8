"""Compares two manifests: which rows differ, and why."""

from typing import Any

import click

from jobs.commands.shared import names_in, note, reporter
from jobs.operations.compare import compare
from jobs.operations.engine_choice import EngineChoice, storage_options
from jobs.operations.engines import engines
from jobs.show import logs
from jobs.show.diff import print_diff
from manifests import storage
from manifests.compare.diff import Comparison, DiffOptions
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
    options = DiffOptions(limit=0 if flags["stat"] else flags["limit"], out=out, say=progress.say)
    with engines(choice, progress) as engine:
        found = compare(first, second, comparison, options, engine, may_replace=flags["force"])
    if found.text_scores_compare is False:
        note("text scores do not compare: other software made those of the second; leave out: --ignore text_score")
    style = "json" if flags["as_json"] else "markdown" if flags["as_markdown"] else "table"
    if style != "table" or not (flags["exit_code"] and logs.is_quiet()):
        print_diff(found, out=out, style=style)
    if flags["exit_code"] and not found.is_empty:
        raise click.exceptions.Exit(EXIT_DIFFERS)
