"""The commands of the pipeline: `curate run`, and one for each stage."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import examples, job_options, settings_files_option, together

_onto = click.option(
    "--onto",
    metavar="EARLIER",
    help="Manifest of an earlier run of this stage: take from it what is unchanged, and do only the rest.",
)
_stage_options = together(
    click.option("-o", "--output", required=True, metavar="URI", help="Where the manifest is committed."),
    settings_files_option,
    job_options,
)


@click.command(
    epilog=examples(
        "curate run pipeline.yaml",
        "curate run pipeline.yaml --set score.engine=rapidocr --set choose.target_fraction=0.013",
        "curate run pipeline.yaml --set choose.preset=documents",
        "curate run pipeline.yaml thresholds.yaml",
        "curate run pipeline.yaml --set output=june/ --onto may/",
        "curate run pipeline.yaml --dry-run --json",
    )
)
@click.argument("pipeline", metavar="PIPELINE.YAML...", nargs=-1, required=True)
@click.option(
    "--onto",
    metavar="EARLIER",
    help="Output of an earlier run: take from its stages what is unchanged, and do only the rest.",
)
@job_options
@runs("jobs.commands.stages:run")
def run() -> None:
    """Run the whole pipeline: scan, dedupe, score, choose, shard.

    Run it again to resume. Of several files the later ones win, so that thresholds can be in a file of their own.
    """


@click.command(
    epilog=examples(
        "curate scan 'data/{00000..00999}.tar' -o scan/",
        "curate scan 's3://bucket/*.tar' @more.txt -o s3://bucket/scan --master spark://host:7077",
        "curate scan 'data/*.tar' -o june/scan/ --onto may/scan/",
        "curate scan photos/ -o scan/ --dry-run",
    )
)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--unit-bytes", type=int, help="Bytes of the input that one task reads, about: half to twice as many.")
@click.option("--max-broken-tars", type=int, help="Tars that may be unreadable before the scan fails.")
@click.option(
    "--takedown",
    multiple=True,
    metavar="LIST",
    help="Manifest or list of hashes of what was taken down and must not return; may be repeated.",
)
@_onto
@_stage_options
@runs("jobs.commands.stages:scan")
def scan() -> None:
    """Locate, decode and measure every sample of INPUT, once.

    INPUT is a tar, a folder of images, a glob, a brace pattern or @LIST.TXT, on any fsspec URI.
    """


@click.command(
    epilog=examples(
        "curate dedupe scan/ -o deduped/",
        "curate dedupe scan/ -o deduped/ --max-distance 24",
        "curate dedupe scan/ -o deduped/ --fingerprint embedding --min-cosine 0.9",
        "curate dedupe scan/ -o deduped/ --copies exact,mild",
        "curate dedupe scan/ -o deduped/ --reference imagenet-val/scan --reference charts=evaluation/scan",
        "curate dedupe june/scan/ -o june/deduped/ --against may/deduped/",
        "curate dedupe grown/scan/ -o grown/deduped/ --onto may/deduped/",
    )
)
@click.argument("manifest")
@click.option(
    "--copies",
    metavar="KIND,...",
    help="Kinds of copies to find, joined by commas: exact, mild, overlay, crop, mirror, turn, the default, and "
    "recolour.",
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="[NAME=]MANIFEST",
    help="Scan of a set of images to keep out, whose copies are named after it; may be repeated.",
)
@click.option(
    "--against",
    multiple=True,
    metavar="MANIFEST",
    help="Deduplicated manifest that samples may be copies of; it is not rewritten; may be repeated.",
)
@click.option("--no-verify", is_flag=True, help="Decide by PDQ alone and read no image; for exact and mild.")
@click.option("--max-distance", type=int, help="Largest PDQ distance of mild copies, in bits of 256.")
@click.option("--fingerprint", type=click.Choice(["pdq", "embedding"]), help="What identifies copies.")
@click.option("--min-cosine", type=float, help="Least cosine of the embeddings of two copies.")
@_onto
@_stage_options
@runs("jobs.commands.stages:dedupe")
def dedupe() -> None:
    """Find all copies, and one representative of each cluster.

    A reference set without a NAME is named by its last folder, or by the one above if that is scan.
    """


@click.command(
    epilog=examples(
        "curate score deduped/ -o scored/",
        "curate score deduped/ -o scored/ --engine my_package.my_module:MyEngine",
    )
)
@click.argument("manifest")
@click.option("--engine", help="rapidocr, easyocr, tesseract, or your own as package.module:Class.")
@click.option(
    "--ask",
    type=click.Choice(["light", "heavy"]),
    help="light: find images with any text, too; heavy: only charts, tables and documents.",
)
@_onto
@_stage_options
@runs("jobs.commands.stages:score")
def score() -> None:
    """Measure the text in all images that are no copies.

    Each image is read by its byte range.
    """


@click.command(
    epilog=examples(
        "curate shard chosen/ -o shards/ --samples-per-shard 5000",
        "curate shard chosen/ -o s3://bucket/shards --target-shard-bytes 1000000000",
        "curate shard chosen/ -o shards/ --resize 512:keep-ratio",
        "curate shard chosen/ -o shards/ --dry-run",
        "curate shard shards/ -o smaller/ --samples-per-shard 500",
    )
)
@click.argument("manifest")
@click.option("--samples-per-shard", type=int, help="Samples in a tar.")
@click.option("--target-shard-bytes", type=int, help="Image bytes in a tar, about, instead of a count.")
@click.option(
    "--layout",
    type=click.Choice(["uniform", "original"]),
    help="uniform: every sample as key.jpg, key.json and key.txt, as trainers expect; original: its files as they "
    "are in the source.  [default: uniform]",
)
@click.option(
    "--resize",
    metavar="SIDE:keep-ratio",
    help="Make larger pictures smaller, so that the shorter side has this many pixels, such as 512:keep-ratio. These "
    "are encoded anew; all others keep their bytes.",
)
@click.option("--salt", help="Seed of the global shuffle; another salt gives another order.")
@click.option(
    "--read",
    type=click.Choice(["auto", "gather", "stream"]),
    help="How samples are read: each by its byte range, or sources from start to end; auto takes the faster one.",
)
@_stage_options
@runs("jobs.commands.stages:shard")
def shard() -> None:
    """Write the kept images, unchanged, as shuffled webdataset tars.

    MANIFEST is a chosen manifest or one of shards, whose samples are then divided anew, or made of one by select,
    sample, merge or patch.

    The same rows and settings give the same tars, byte for byte. webdataset, Hugging Face datasets, open_clip, wids,
    DALI and Energon read them.
    """
