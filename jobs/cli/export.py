"""`curate export`: a file for another tool, from the rows of a manifest."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import examples

FORMATS = ("datacomp", "keys", "urls", "sha256", "csv", "jsonl", "img2dataset")


@click.command(
    epilog=examples(
        "curate export out/chosen -o subset.npy                      # DataComp's subset: pairs of u8, sorted",
        "curate export out/chosen -o keys.txt --where 'text_score > 0.9'",
        "curate export out/deduped -o - --format urls | head",
        "curate export out/chosen -o table.csv --columns key,url,caption,text_score --all",
        "curate export out/chosen -o s3://bucket/again.parquet       # a list of URLs for img2dataset",
    )
)
@click.argument("manifest")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write; - is stdout, for texts.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    help="What to write; by default by FILE's extension: npy datacomp, txt keys, csv, jsonl, parquet img2dataset.",
)
@click.option("--columns", metavar="COLUMN,...", help="Columns of csv and jsonl; by default all that are not binary.")
@click.option("--where", metavar="SQL", help="Only rows for which this expression over the columns is true.")
@click.option(
    "--kept",
    "which",
    flag_value="kept",
    help="Only rows that are kept.  [default where the manifest has a column keep]",
)
@click.option("--all", "which", flag_value="all", help="All rows, kept or not.")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.option("--temp-dir", metavar="FOLDER", help="Where sorting spills to.  [default: the system's]")
@click.option(
    "-c", "--config", "config_files", multiple=True, metavar="FILE", help="Pipeline file with storage: options."
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
@runs("jobs.commands.export:export")
def export() -> None:
    """Write rows of MANIFEST as a file for another tool.

    It can be DataComp's subset, a list of keys, URLs or hashes, a table, or a list for img2dataset. The file is
    sorted, by key or by the values of its list, and appears complete or not at all. Rows that lack the listed value
    are left out and counted. MANIFEST itself is plain Parquet, for tools that read that.
    """
