"""`curate explain`: why a row is what it is."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import examples, storage_option


@click.command(
    epilog=examples(
        "curate explain out 000000209                               # by img2dataset's key, in a pipeline's output",
        "curate explain out/chosen 0b5c7d61e2 7aa1c2d3e4 --json     # by the beginnings of keys",
        "curate explain out/scan 00003.tar/000003017.jpg            # by the member of a tar",
        "curate explain s3://bucket/chosen pictures/cat.jpg         # by a file here, with the same bytes",
        "curate explain out/deduped 0b5c7d61e2 --compared           # and pictures that were compared, and differ",
        "curate explain out/chosen 0b5c7d61e2 --images look/        # boxes of text, and the pair, as pictures",
    )
)
@click.argument("manifest")
@click.argument("texts", nargs=-1, required=True, metavar="KEY...")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Members to print.")
@click.option("--compared", is_flag=True, help="Print pictures, too, that were compared with it and are no copies.")
@click.option(
    "--images",
    metavar="DIR",
    help="Write KEY.text.png, with boxes of text, and KEY.pair.png, a copy beside what it copies, to this folder.",
)
@storage_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array with an object for each row.")
@runs("jobs.commands.explain:explain")
def explain() -> None:
    """Print where a row came from, what became of it, and why.

    MANIFEST is one of any stage, or the output of a pipeline. KEY is a key or its beginning, the name of a member
    with or without its tar and extension, a URL, a sha256, a file on this machine, or @FILE with one a line. The
    answer has status and error, each step of the text cascade against its bounds, the rule that dropped the row and
    by how much it missed it, its cluster with the evidence for each copy, and its shard. Exits with 1 when a row is
    missing or ambiguous, or a picture cannot be drawn; the others are printed nevertheless.
    """
