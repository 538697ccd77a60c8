"""`curate sample`: a manifest of some of another's rows."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import engine_options, examples, json_option


@click.command(
    epilog=examples(
        "curate sample out/chosen -o small/ --fraction 0.013",
        "curate sample out/chosen -o small/ --count 100000 --where 'text_score > 0.9 and width >= 256'",
        "curate sample out/chosen -o lost/ --count 1000 --from dropped --stratify-by drop_reason",
        "curate sample out/chosen -o mixed/ --count 60000 --stratify-by format,text_class --shares equal",
        "curate sample out/scored -o rich/ --top 1000000 --by text_score",
        "curate sample out/scored -o rich/ --count 1000000 --weight text_score --salt run-2",
        "curate sample out/deduped -o firsts/ --per-cluster 1",
        "curate sample s3://bucket/chosen -o s3://bucket/small --fraction 0.01 --engine spark --master spark://host:7077",
    )
)
@click.argument("manifest")
@click.option("-o", "--output", required=True, metavar="URI", help="Where the manifest of the sample is committed.")
@click.option(
    "--from",
    "among",
    type=click.Choice(["all", "kept", "dropped"]),
    help="Rows to draw from.  [default: kept if MANIFEST has verdicts and no expression is about them, else all]",
)
@click.option(
    "--fraction",
    type=float,
    help="Share of the rows, 0 to 1; whether a row is drawn does not depend on other rows.",
)
@click.option("--count", type=click.IntRange(min=0), help="Exactly this many rows.")
@click.option("--top", type=click.IntRange(min=0), metavar="N", help="The N rows with the largest --by.")
@click.option("--by", metavar="COLUMN", help="What --top orders by: a column, or a SQL expression over one row.")
@click.option("--weight", metavar="COLUMN", help="Draw in proportion to this, without replacement; 0 and null never.")
@click.option("--stratify-by", metavar="COLUMN,...", help="Give every combination of these columns its share.")
@click.option(
    "--shares",
    type=click.Choice(["proportional", "equal"]),
    default="proportional",
    show_default=True,
    help="The shares of --stratify-by.",
)
@click.option("--per-cluster", type=click.IntRange(min=0), metavar="N", help="At most N rows of each cluster_id.")
@click.option("--where", metavar="SQL", help="Only rows for which this expression over the columns is true.")
@click.option("--salt", default="curate", show_default=True, help="Seed of the draw; another salt draws other rows.")
@click.option("--dry-run", is_flag=True, help="Print how many rows would be drawn; write nothing.")
@click.option("--restart", is_flag=True, help="Discard what another draw left at the output, instead of refusing.")
@json_option
@engine_options
@runs("jobs.commands.sample:sample")
def sample() -> None:
    """Draw a reproducible subset of MANIFEST as a new manifest.

    A keyed hash of `key` decides. With one salt, a smaller sample is a subset of a larger one, and the order of the
    rows, the parts and the engine do not matter. With --fraction alone, rows that are added later do not change which
    of the others are drawn.

    A --where that has no answer for some rows, because a column was not measured for them, says so, and so does one
    that leaves no row.
    """
