"""Commands that look into manifests and change nothing: show, stats, log, query, cat."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import examples, storage_option


@click.command(
    epilog=examples(
        "curate show out/chosen", "curate show s3://bucket/scan --rows 20", "curate show out/shards --json"
    )
)
@click.argument("manifest")
@click.option("--rows", "row_count", type=click.IntRange(min=0), default=5, show_default=True, help="Rows to print.")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="Print the manifest's facts and rows as JSON.")
@runs("jobs.commands.look:show")
def show() -> None:
    """Print origin, funnel, counts, columns and some rows of MANIFEST.

    Of a folder with manifests in it, such as the output of a pipeline, it lists those.
    """


@click.command(
    epilog=examples(
        "curate stats out/chosen",
        "curate stats out/chosen --by text_class,format --columns width,height,text_score",
        "curate stats s3://bucket/scan --where \"status = 'ok'\" --top 20 --json",
    )
)
@click.argument("manifest")
@click.option("--columns", metavar="COLUMN,...", help="Columns to look at; by default all.")
@click.option("--by", metavar="COLUMN,...", help="Print each group of rows with the same values in these columns.")
@click.option("--where", metavar="SQL", help="Only rows for which this expression over the columns is true.")
@click.option("--top", type=click.IntRange(min=0), default=10, show_default=True, help="Frequent values to list.")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
@runs("jobs.commands.look:stats")
def stats() -> None:
    """Print quantiles, histograms and frequent values of columns.

    The numbers depend on the rows of MANIFEST alone. Above 5,000,000 rows, quantiles, histograms and the frequent
    values of columns with many different ones are those of a sample of about 1,000,000 rows, and the output says so.
    """


@click.command(
    epilog=examples(
        "curate log out/shards",
        "curate log out/shards --oneline",
        "curate log s3://bucket/merged --json",
    )
)
@click.argument("manifest")
@click.option("--oneline", is_flag=True, help="A line for each manifest.")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="Print the manifests and sources as JSON.")
@runs("jobs.commands.look:log")
def log() -> None:
    """Print what MANIFEST was made from, step by step.

    The steps go back to the tars, with the time, the settings and the reasons why rows were dropped. A parent that
    was moved together with MANIFEST is found. A parent that is missing or has changed is reported.
    """


@click.command(
    epilog=examples(
        "curate query out/chosen 'select text_class, count(*) from manifest group by all'",
        "curate query out/chosen 'select key, url from m where width > 2000 order by key' --csv > large.csv",
        "curate query new/ 'select key from m anti join old using (key)' --with old=before/ --out added.parquet",
    )
)
@click.argument("manifest")
@click.argument("sql")
@click.option("--with", "others", multiple=True, metavar="NAME=URI", help="Another manifest as a view; repeatable.")
@click.option("--limit", type=click.IntRange(min=0), help="Rows at most; by default 100 in a table, else all.")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of the rows.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
@click.option("--out", metavar="FILE.parquet", help="Write the rows to this file, which must not exist.")
@runs("jobs.commands.look:query")
def query() -> None:
    """Run a SELECT, in DuckDB's SQL, over the rows of MANIFEST.

    MANIFEST is the view `manifest`, and `m` for short. A query can read the manifests that are named and nothing
    else: no other file, and no network.
    """


@click.command(
    epilog=examples(
        "curate cat out/chosen 0b5c7d61e2a94f03 --columns key,caption,url --json",
        "curate cat out/scan 00000.tar/000000209.jpg pictures/cat.jpg     # a member of a tar, and a file here",
        "curate cat out/shards --keys @keys.txt --images pictures/",
    )
)
@click.argument("manifest")
@click.argument("texts", nargs=-1, metavar="[KEY]...")
@click.option(
    "--keys", "keys", multiple=True, metavar="KEY,...|@FILE",
    help="Keys, joined by commas, or a file with one a line; repeatable.",
)  # fmt: skip
@click.option("--columns", metavar="COLUMN,...", help="Columns to print; by default all.")
@click.option("--images", metavar="DIR", help="Write the images to this folder, each named by its key.")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines: an object for each row.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
@runs("jobs.commands.cat:cat")
def cat() -> None:
    """Print the rows with these keys, and write their images.

    KEY is a key or its beginning, the name of a member with or without its tar and extension, a URL, a sha256, a file
    on this machine, or @FILE with one a line, where keys must be complete. The rows are printed in the manifest's
    order. Exits with 1 when a key is missing or ambiguous, or an image cannot be read; the others are printed and
    written nevertheless.
    """
