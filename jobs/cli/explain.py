"""`curate explain`: why an image is a copy, of which image, and what else is in its cluster."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import examples, storage_option


@click.command(
    epilog=examples(
        "curate explain out/deduped 0b5c7d61e2",
        "curate explain s3://bucket/chosen 0b5c7d61e2 --limit 100",
        "curate explain out/deduped 0b5c7d61e2 --json",
    )
)
@click.argument("manifest")
@click.argument("key")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Members to print.")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="Print the row, its representative and its cluster as JSON.")
@runs("jobs.commands.explain:explain")
def explain() -> None:
    """Print the cluster of KEY, and why its images are copies.

    The output names the representative of the cluster, why it was chosen, and the evidence for each copy. MANIFEST is
    that of dedupe or of a later stage. The first characters of KEY are enough if no other key starts with them.
    """
