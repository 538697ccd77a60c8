"""`curate doctor`, `init` and `package`: what comes before a pipeline."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import examples


@click.command(
    epilog=examples(
        "curate doctor",
        "curate doctor -c pipeline.yaml",
        "curate doctor --storage s3://bucket/out --engine easyocr",
        "curate doctor --json",
    )
)
@click.option(
    "-c",
    "--config",
    "config_files",
    multiple=True,
    metavar="FILE",
    help="Pipeline file: try its input, output, storage, engine and Spark master; may be repeated.",
)
@click.option("--engine", help="Text engine to try; by default the pipeline file's, or rapidocr.")
@click.option("--storage", "places", multiple=True, metavar="URI", help="Folder to try to write and read.")
@click.option("--master", metavar="URL", help="Spark master to start a worker on.")
@click.option("--no-spark", is_flag=True, help="Do not start Spark.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@runs("jobs.commands.setup:doctor")
def doctor() -> None:
    """Check that everything a run needs is there.

    Java, Python workers, the text engine and its models, storage and free disk are checked. The output says how to
    fix what is missing. Exits with 1 when something is.
    """


@click.command(epilog=examples("curate init > pipeline.yaml"))
@runs("jobs.commands.setup:init")
def init() -> None:
    """Print a commented pipeline file to start from."""


@click.command(
    epilog=examples(
        "curate package -o dist/",
        "spark-submit --master spark://host:7077 --py-files dist/curate.zip dist/curate_submit.py run pipeline.yaml",
    )
)
@click.option("-o", "--output", "folder", default="dist", show_default=True, help="Folder to write to.")
@runs("jobs.commands.setup:package")
def package() -> None:
    """Write the files that spark-submit needs.

    They are curate.zip and curate_submit.py, for workers that do not have curate installed.
    """
