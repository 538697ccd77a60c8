"""`curate embed`: features of a manifest's images, by a vision model."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import examples, json_option, storage_option


@click.command(
    epilog=examples(
        "curate embed out/chosen --model facebook/webssl-dino300m-full2b-224 --download -o features.parquet",
        "curate embed out/shards --model models/vit/ -o features.parquet --columns text_class,text_kind",
        "curate embed out/chosen --model models/vit/ -o kept.parquet --where keep --device cuda --workers 4",
        "curate embed s3://bucket/chosen --model models/vit/ -o s3://bucket/features.parquet --json",
    )
)
@click.argument("manifest")
@click.option("-o", "--output", required=True, metavar="FILE", help="The Parquet file to write.")
@click.option(
    "--model",
    required=True,
    metavar="MODEL",
    help="Folder or name of a Hugging Face vision model, or a TorchScript file.",
)
@click.option("--where", metavar="SQL", help="Only rows for which this expression over the columns is true.")
@click.option("--columns", metavar="COLUMN,...", help="Columns of MANIFEST to copy beside the vectors.")
@click.option(
    "--dtype",
    type=click.Choice(["float16", "float32"]),
    default="float16",
    show_default=True,
    help="The numbers of the vectors.",
)
@click.option(
    "--batch-images",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="How many images go through the model together.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Processes, each with the model in memory; 0: this one.  [default: one for each core, at most 8]",
)
@click.option(
    "--device", default="auto", show_default=True, help="cpu, cuda, cuda:1 …; auto: a GPU where there is one."
)
@click.option("--download", is_flag=True, help="Fetch the model from the Hugging Face hub if it is not here.")
@click.option("--force", is_flag=True, help="Replace a file that exists, and what another call left unfinished.")
@storage_option
@json_option
@runs("jobs.commands.embed:embed")
def embed() -> None:
    """Write a vector of each image, by a vision model, as Parquet.

    FILE has the columns key, vector and problem: vectors have length 1, and a row whose image cannot be read says why
    it has none. Rows that the scan found without a picture are left out. Images are read by byte range, from the
    sources or the shards. After an interruption the same command goes on. Exits with 1 when an image has no vector;
    the others are written nevertheless.
    """
