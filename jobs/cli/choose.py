"""`curate choose`: verdicts on the rows of a scored manifest."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import engine_option, examples, job_options, settings_files_option


@click.command(
    epilog=examples(
        "curate choose scored/ -o documents/ --preset documents",
        "curate choose scored/ -o charts/ --set choose.kinds=[chart,diagram]",
        "curate choose scored/ -o chosen/ --keep heavy",
        "curate choose scored/ -o chosen/ --min-heavy-score 0.6",
        "curate choose scored/ --min-heavy-score 0.6 --dry-run",
        "curate choose scored/ --what-if min_heavy_score=0.4,0.5,0.6",
        "curate choose scored/ --keep all --what-if target_fraction=0.01,0.02 --what-if min_side=0,256",
        "curate choose scored/ -o light/ -c pipeline.yaml --variant light",
        "curate choose scored/ -o chosen/ --keep all --target-fraction 0.013",
        "curate choose scored/ -o chosen/ --where 'large=width * height >= 65536'",
    )
)
@click.argument("manifest")
@click.option(
    "--preset",
    type=click.Choice(["websl-heavy", "websl-light", "documents", "no-text"]),
    help="What is wanted; decides --keep and the settings choose.kinds and choose.max_text_score that are not given.",
)
@click.option("--keep", type=click.Choice(["heavy", "light", "all"]), help="The least text_class that is kept.")
@click.option("--min-heavy-score", type=float, help="The least text_score of a heavy picture, 0 to 1.")
@click.option("--min-light-score", type=float, help="The least text_score of a light picture, 0 to 1.")
@click.option("--target-fraction", type=float, help="Keep this share of all rows, best text_score first.")
@click.option("--target-count", type=int, help="Keep this many rows, best text_score first.")
@click.option("--min-side", type=int, help="Shortest side kept, in pixels.")
@click.option("--max-aspect", type=float, help="Longest by shortest side, at most.")
@click.option(
    "--where",
    multiple=True,
    metavar="NAME=SQL",
    help="Your own rule: a SQL expression over the columns that must be true; may be repeated.",
)
@click.option(
    "--what-if",
    "what_ifs",
    multiple=True,
    metavar="NAME=VALUE,...",
    help="Print what each value of this setting of choose would keep, and why the others not; write nothing. May be "
    "repeated, for all combinations.",
)
@click.option(
    "-o", "--output", metavar="URI", help="Where the manifest is committed; not for --dry-run and --what-if."
)
@settings_files_option
@click.option("--variant", metavar="NAME", help="Which choice of the pipeline file, if it has several.")
@job_options
@engine_option
@runs("jobs.commands.choose:choose")
def choose() -> None:
    """Turn measurements into keep or a drop_reason.

    No image is read, and Spark is started only for more than 100 million rows, so the command can be repeated with
    other thresholds in seconds. --dry-run prints how many rows would be kept, and how many not for which reason.
    """
