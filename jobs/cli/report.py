"""`curate report`: what a manifest contains, in pictures, for a browser."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import examples, storage_option


@click.command(
    epilog=examples(
        "curate report out/chosen                          # open report/index.html",
        "curate report out/ -o report/ --serve             # the same, and http://127.0.0.1:8000/",
        "curate report out/chosen --audit audit/           # with precision and recall from your labels",
        "curate report s3://bucket/out/chosen -o s3://bucket/report --pictures 60",
    )
)
@click.argument("manifest")
@click.option("-o", "--output", metavar="URI", help="Folder for the pages and pictures.  [default: report]")
@click.option(
    "--pictures",
    type=click.IntRange(1, 500),
    default=24,
    show_default=True,
    help="Pictures to show of each reason, at most.",
)
@click.option("--salt", default="curate", show_default=True, help="Seed of the samples; another salt draws others.")
@click.option(
    "--boxes", is_flag=True, help="Find the text of the pictures along the score again, and draw its boxes."
)
@click.option("--audit", metavar="DIR", help="Folder of a labelled audit, with audit.json and filled.csv.")
@click.option("--labels", metavar="CSV", help="Labels of pictures drawn at random, as `curate calibrate` reads them.")
@click.option("--serve", "serving", is_flag=True, help="Serve the pages to browsers on this machine until Ctrl-C.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port for --serve.")
@click.option("--force", is_flag=True, help="Write into a folder that contains something else.")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
@runs("jobs.commands.report:report")
def report() -> None:
    """Make pages that show MANIFEST in pictures, for a browser.

    MANIFEST is a manifest, or the output folder of a run. The pages are static: they work from a folder, from object
    storage, and without a network. They show the funnel, a sample of every reason and status, text scores with a
    threshold to move, duplicates with their evidence, and sources. Only pictures that are shown are read.
    """
