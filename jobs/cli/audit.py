"""`curate audit`: a sample to label, and the precision and recall of a run from the labels."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import examples, json_option


@click.command(
    epilog=examples(
        "curate audit out/chosen --n 400 -o audit/            # open audit/index.html and label",
        "curate audit out/chosen --filled audit/filled.csv    # precision and recall of the run",
        "curate audit out/chosen --filled ~/Downloads/filled.csv -o audit/ --json",
    )
)
@click.argument("manifest")
@click.option("--n", type=click.IntRange(min=1), help="Images to draw.  [default: 400]")
@click.option("--salt", help="Seed of the draw; another salt draws other images.  [default: curate]")
@click.option(
    "-o",
    "--output",
    metavar="URI",
    help="Folder for the page, the sheet and audit.json; with --filled, the folder that contains them.",
)
@click.option("--filled", metavar="CSV", help="The sheet with labels: print the estimates instead of drawing.")
@json_option
@runs("jobs.commands.audit:audit")
def audit() -> None:
    """Measure precision and recall from images labelled by hand.

    Without --filled, a stratified sample of a chosen MANIFEST is written to the folder -o: index.html to label in a
    browser, or sheet.csv. With --filled, the labels are weighted back to the whole manifest, and each estimate is
    printed with its 95 % interval.
    """
