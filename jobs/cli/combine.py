"""`curate select`, `merge` and `patch`: manifests of listed rows, of several manifests, of one and a diff."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import engine_options, examples, making_options


@click.command(
    epilog=examples(
        "curate select out/chosen --keys keys.txt -o picked/",
        "curate select out/scan --keys datacomp-subset.npy -o picked/   # u8,u8 uids",
        "curate select out/chosen --keys urls.txt --by url -o picked/",
        "curate select out/chosen --key 000000209 --key pictures/cat.jpg -o picked/",
        "curate select out/chosen --keys takedown.parquet --invert -o rest/",
        "curate select june/chosen --keys may/chosen -o both/           # the keys of another manifest",
    )
)
@click.argument("manifest")
@click.option("--keys", "keys_uri", metavar="FILE", help="Text, CSV, JSON, Parquet, .npy, or a manifest.")
@click.option(
    "--key",
    "names",
    multiple=True,
    metavar="KEY",
    help="A row, named as for `curate cat`; repeatable, without --keys.",
)
@click.option(
    "--by",
    type=click.Choice(["key", "sha256", "url"]),
    help="What the file lists.  [default: the name of its column, else any name of a row]",
)
@click.option("--invert", is_flag=True, help="Take the rows that are not listed.")
@click.option("--strict", is_flag=True, help="Refuse when a listed value is in no row.")
@making_options
@engine_options
@runs("jobs.commands.combine:select")
def select() -> None:
    """Take the rows of MANIFEST that a file lists.

    The result is a manifest like any other. A list that does not say what it contains may have keys, URLs, sha256s
    and names of members, such as img2dataset's 000000209.
    """


@click.command(
    epilog=examples(
        "curate merge may/scan june/scan -o both/scan",
        "curate merge a/chosen b/chosen -o all/chosen --on-conflict best",
        "curate merge a/scan b/scan c/scan -o all/scan --dry-run",
    )
)
@click.argument("manifests", nargs=-1, required=True, metavar="MANIFEST MANIFEST...")
@click.option(
    "--on-conflict",
    type=click.Choice(["refuse", "first", "best"]),
    default="refuse",
    show_default=True,
    help="When a key has different rows: refuse; take the row of the manifest named first; take the best row.",
)
@making_options
@engine_options
@runs("jobs.commands.combine:merge")
def merge() -> None:
    """Join manifests of one stage into one that has each key once.

    With refuse and best, the order of the manifests does not matter. The best row is the one whose image is not
    truncated, then the one with most pixels, then the one with most bytes. Copies across manifests are not searched:
    dedupe merged scans, or use dedupe --against.
    """


@click.command(
    epilog=examples(
        "curate diff may/chosen june/chosen --out june.diff.parquet",
        "curate patch may/chosen june.diff.parquet -o june/chosen      # has the digest of June's, or is not made",
    )
)
@click.argument("manifest")
@click.argument("diff_uri", metavar="DIFF")
@making_options
@engine_options
@runs("jobs.commands.combine:patch")
def patch() -> None:
    """Apply a DIFF of `curate diff A B --out` to A, which makes B.

    MANIFEST is A. The result is checked against the digest of B before it is committed.
    """
