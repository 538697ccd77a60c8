"""`curate verify`: whether a manifest, and the images it points to, are as it records them."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import examples, storage_option


@click.command(
    epilog=examples(
        "curate verify out/chosen --quick",
        "curate verify out/chosen",
        "curate verify out/scan --deep --fraction 0.01 --salt june",
        "curate verify s3://bucket/shards --deep",
        "curate verify out/chosen --json --limit 0 > faults.json",
    )
)
@click.argument("manifest")
@click.option("--quick", "is_quick", is_flag=True, help="Check files, hashes, sums and keys; decode no row.")
@click.option("--deep", "is_deep", is_flag=True, help="Also read images by byte range, from sources or shards.")
@click.option("--fraction", type=float, help="Share of the images that --deep reads, 0 to 1.  [default: 1]")
@click.option(
    "--salt", default="curate", show_default=True, help="Seed that selects the images of --fraction, as in sample."
)
@click.option(
    "--limit", type=click.IntRange(min=0), default=50, show_default=True, help="Faults to print; 0 prints all."
)
@click.option("--threads", type=click.IntRange(min=1), help="Files to read at a time.  [default: one a core]")
@click.option("--temp-dir", metavar="FOLDER", help="Where DuckDB spills to.  [default: the system's]")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@runs("jobs.commands.verify:verify")
def verify() -> None:
    """Check that MANIFEST is valid, and report every fault.

    Without --quick or --deep, all files are hashed and every row is read again. Exits with 0 when nothing is wrong,
    1 when faults were found, 2 when there is no manifest to check.
    """
