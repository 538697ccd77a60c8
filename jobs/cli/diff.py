"""`curate diff`: what differs between two manifests, and why."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import click

from jobs.cli.options import examples
from jobs.operations.engines import EngineChoice, engine_options, engines, storage_options
from manifests import storage
from manifests.format.store import open_manifest

EXIT_DIFFERS = 1


@click.command(
    epilog=examples(
        "curate diff out/chosen again/chosen",
        "curate diff may/shards june/shards --stat          # one line, and the reasons",
        "curate diff out/scored again/scored --ignore text_trail,text_engine --limit 50",
        "curate diff a/ b/ --by sha256                      # the same pictures under other keys",
        "curate diff a/ b/ --where \"text_class = 'heavy'\" --json",
        "curate diff a/ b/ --out diff.parquet               # every row, before and after; for `curate patch`",
        "curate diff a/ b/ --exit-code --quiet || echo differs",
    )
)
@click.argument("a")
@click.argument("b")
@click.option(
    "--by",
    type=click.Choice(["key", "sha256", "url"]),
    default="key",
    show_default=True,
    help="What makes two rows the same sample.",
)
@click.option("--columns", metavar="COLUMN,...", help="Compare only these columns.")
@click.option("--ignore", metavar="COLUMN,...", help="Compare all columns but these.")
@click.option("--where", metavar="SQL", help="Only rows, of both, for which this expression is true.")
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Rows to print.")
@click.option("--stat", is_flag=True, help="Print numbers and reasons, no rows.")
@click.option("--md", "as_markdown", is_flag=True, help="Print Markdown, for a review.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.option("--out", metavar="URI", help="Folder for the whole diff, as Parquet.")
@click.option("--force", is_flag=True, help="Replace a diff that lies at --out.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when they differ.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@engine_options
def diff(a: str, b: str, choice: EngineChoice, **flags: Any) -> None:
    """Print what entered, what left, what changed from manifest A to B, and why.

    Equal digests, of whole manifests or of parts, are told without reading rows. The reasons of rows that left come
    from B's ancestors, as far as they are still where they were. Exits with 0, with 2 in trouble, and with
    --exit-code with 1 when there is a difference.
    """
    from jobs.show.diff import print_diff  # noqa: PLC0415 - takes a while to import
    from jobs.units.progress import Reporter  # noqa: PLC0415
    from manifests.compare.diff import Comparison, DiffOptions  # noqa: PLC0415
    from manifests.compare.diff import diff as find  # noqa: PLC0415

    storage_options(choice)
    first, second = open_manifest(a), open_manifest(b)
    comparison = Comparison(
        by=flags["by"], columns=_listed(flags["columns"]), ignore=_listed(flags["ignore"]), where=flags["where"]
    )
    comparison.check(first, second)
    out = storage.absolute(flags["out"]) if flags["out"] else None
    reporter = Reporter(quiet=flags["quiet"] or (flags["as_json"] and not sys.stderr.isatty()))
    report = DiffOptions(limit=0 if flags["stat"] else flags["limit"], out=out, say=reporter.say)
    with _room(out, may_replace=flags["force"]), engines(choice, reporter) as engine:
        found = find(lambda: engine([first, second]), first, second, comparison, report)
    style = "json" if flags["as_json"] else "markdown" if flags["as_markdown"] else "table"
    print_diff(found, out=out, style=style)
    if flags["exit_code"] and not found.is_empty:
        raise click.exceptions.Exit(EXIT_DIFFERS)


@contextlib.contextmanager
def _room(out: str | None, *, may_replace: bool) -> Iterator[None]:
    """Make room for a diff at `out`, if it is to be written, and keep a mark there until the block ends."""
    from jobs.units.at_work import at_work, require_no_other  # noqa: PLC0415
    from jobs.units.output_place import require_folder  # noqa: PLC0415
    from manifests.compare.diff_set import BEGUN_FILE, make_room  # noqa: PLC0415

    if out is None:
        yield
        return
    mark = storage.join(out, BEGUN_FILE)
    require_folder(out)
    require_no_other(mark, out)
    make_room(out, may_replace=may_replace)
    with at_work(mark):
        yield


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()
