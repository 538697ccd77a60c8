"""`curate calibrate`: thresholds from labelled samples."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import examples


@click.command(
    epilog=examples(
        "curate score deduped/ -o exhaustive/ --set score.exhaustive=true",
        "curate calibrate labels.csv --manifest exhaustive/ -o thresholds.yaml --curves curves.png",
        "curate calibrate labels.csv --manifest exhaustive/ -o t.yaml --mix none=0.5,light=0.49,heavy=0.01",
        "curate calibrate labels.csv --manifest exhaustive/ -o t.yaml --heavy-recall 0.98",
        "curate calibrate audit/filled.csv --manifest exhaustive/ -o t.yaml -c pipeline.yaml",
        "curate score deduped/ -o scored/ -c thresholds.yaml",
    )
)
@click.argument("labels", metavar="LABELS.CSV")
@click.option("--manifest", required=True, metavar="URI", help="Manifest in which they were scored exhaustively.")
@click.option(
    "-o", "--output", required=True, metavar="FILE", help="Pipeline file to write, with bounds and thresholds."
)
@click.option("--curves", metavar="FILE", help="Also draw the curves: .png, .svg or .pdf.")
@click.option(
    "--mix", metavar="LABEL=SHARE,…", help="Shares of the labels in your own images.  [default: as labelled]"
)
@click.option("--heavy-recall", type=float, help="Share of heavy images to keep; instead of a false rate.")
@click.option("--heavy-false-rate", type=float, help="Share of other images kept as heavy.  [default: 0.01]")
@click.option("--light-recall", type=float, help="Share of images with any text to keep; instead of a false rate.")
@click.option("--light-false-rate", type=float, help="Share of other images kept as light.  [default: 0.05]")
@click.option(
    "--max-heavy-lost",
    type=float,
    default=0.005,
    show_default=True,
    help="Share of heavy images lost before any text is read.",
)
@click.option(
    "--max-light-lost",
    type=float,
    default=0.02,
    show_default=True,
    help="Share of light images lost before any text is read.",
)
@click.option(
    "--max-heavy-kept",
    type=float,
    default=0.002,
    show_default=True,
    help="Share of other images kept as heavy before any text is read.",
)
@click.option(
    "--max-light-kept",
    type=float,
    default=0.015,
    show_default=True,
    help="Share of other images kept as light before any text is read.",
)
@click.option(
    "--drawn",
    type=click.Choice(["audit", "random"]),
    help="How the labelled samples were drawn: by the audit.json beside LABELS.CSV, whose strata weigh them, or at "
    "random.  [default: audit if there is one]",
)
@click.option(
    "-c",
    "--config",
    "config_files",
    multiple=True,
    metavar="FILE",
    help="Pipeline file with the thresholds to compare with, and storage: options; may be repeated.  [default: those "
    "that are shipped]",
)
@click.option("--force", is_flag=True, help="Replace files that are there already.")
@click.option("--json", "as_json", is_flag=True, help="Print the expected results as JSON.")
@runs("jobs.commands.calibrate:calibrate")
def calibrate() -> None:
    """Compute bounds and thresholds from labelled samples.

    The bounds are those of every step of `curate score`, the thresholds those of both classes of `curate choose`.
    LABELS.CSV has the columns key and label (none, light, heavy), or tar, key and label as img2dataset names samples.
    A sheet that was filled in for `curate audit` works, too; its labels weigh as much as their strata have rows.
    Labels that are too few to show the wanted rates are refused.
    """
