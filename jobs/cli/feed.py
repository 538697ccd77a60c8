"""`curate feed`: how fast this machine reads the samples of a manifest, and which of them it cannot read."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import examples, json_option, storage_option


@click.command(
    epilog=examples(
        "curate feed out/shards --size 224",
        "curate feed s3://bucket/shards --size 224 --order windowed --batch-size 256 --batches 50",
        "curate feed out/shards --batches 0 --verify 1        # every sample, and its sha256",
        "curate feed out/chosen --where \"text_class = 'heavy'\" --deny takedowns/ --json",
    )
)
@click.argument("manifest")
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Samples in a batch.")
@click.option(
    "--batches", type=click.IntRange(min=0), default=100, show_default=True, help="How many to read; 0 for an epoch."
)
@click.option("--size", type=int, help="Sides of the squares that images become.  [default: their own size]")
@click.option("--fit", default="crop", show_default=True, help="How: crop, pad, stretch or random_crop.")
@click.option("--no-decode", is_flag=True, help="Read stored bytes alone.")
@click.option("--members", default="image", show_default=True, help="What is read, of image,json,caption.")
@click.option("--where", metavar="SQL", help="Only rows for which this expression over the columns is true.")
@click.option("--deny", multiple=True, metavar="LIST", help="Hashes of pictures that are not fed; may be repeated.")
@click.option(
    "--order", default="shuffled", show_default=True, help="shuffled, windowed, windowed:SAMPLES or stored."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order.")
@click.option("--from-sources", is_flag=True, help="Read the files that were scanned, although there are shards.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads that decode.  [default: one a core]")
@click.option("--verify", type=float, default=0.0, show_default=True, help="Share of images whose sha256 is checked.")
@click.option(
    "--cache", metavar="FOLDER", help="Where indexes and cached bytes are kept.  [default: ~/.cache/curate]"
)
@click.option("--cache-bytes", type=int, default=0, show_default=True, help="Bytes of remote files to keep there.")
@storage_option
@json_option
@runs("jobs.commands.feed:feed")
def feed() -> None:
    """Read MANIFEST as a trainer does, and print how fast that is.

    It reads and decodes batches as `curate.feed` does in Python, and names the samples that cannot be read. Exits
    with 0 when all could be read, 1 when some could not, 2 when there is nothing to feed.
    """
