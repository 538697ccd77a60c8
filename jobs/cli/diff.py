"""`curate diff`: what differs between two manifests, and why."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import engine_options, examples, json_option


@click.command(
    epilog=examples(
        "curate diff out/chosen again/chosen",
        "curate diff may/shards june/shards --stat          # one line, and the reasons",
        "curate diff out/scored again/scored --ignore text_trail,text_engine --limit 50",
        "curate diff a/ b/ --by sha256                      # the same images under other keys",
        "curate diff may/chosen june/chosen --by-image      # verdicts on the same pictures of other crawls",
        "curate diff a/ b/ --where \"text_class = 'heavy'\" --json",
        "curate diff a/ b/ --out diff.parquet               # every row, before and after; for `curate patch`",
        "curate diff a/ b/ --html changes/                  # what entered and left, in pictures: changes/index.html",
        "curate diff a/ b/ --exit-code --quiet || echo differs",
    )
)
@click.argument("a")
@click.argument("b")
@click.option(
    "--by",
    type=click.Choice(["key", "sha256", "url", "image"]),
    default="key",
    show_default=True,
    help="What makes two rows the same sample.",
)
@click.option(
    "--by-image",
    is_flag=True,
    help="As --by image: match rows by sha256, the rest by fingerprint, and compare their verdicts; for manifests of "
    "different crawls.",
)
@click.option("--columns", metavar="COLUMN,...", help="Compare only these columns.")
@click.option("--ignore", metavar="COLUMN,...", help="Compare all columns but these.")
@click.option("--where", metavar="SQL", help="Only rows, of both, for which this expression is true.")
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Rows to print.")
@click.option("--stat", is_flag=True, help="Print numbers and reasons, no rows.")
@click.option("--md", "as_markdown", is_flag=True, help="Print Markdown, for a review.")
@json_option
@click.option("--out", metavar="URI", help="Folder for the whole diff, as Parquet.")
@click.option("--html", metavar="URI", help="Folder for a page that shows the rows that differ in pictures.")
@click.option("--force", is_flag=True, help="Replace a diff that is at --out; write beside other files at --html.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when they differ; with --quiet, print no table.")
@engine_options
@runs("jobs.commands.diff:diff")
def diff() -> None:
    """Print which rows differ between the manifests A and B, and why.

    Where digests are equal, of whole manifests or of parts, no rows are read. The reasons of rows that are missing in
    B come from its ancestors, if they are still where they were. Exits with 0, with 2 after an error, and with
    --exit-code with 1 when there is a difference.
    """
