"""`curate takedown`: a manifest without the samples that must go, and the hashes by which they never return."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import engine_options, examples, making_options


@click.command(
    epilog=examples(
        "curate takedown out/chosen --urls removed.csv -o out/chosen-2 --dry-run --report look.html",
        "curate takedown out/chosen --urls removed.csv -o out/chosen-2",
        "curate takedown out/chosen --keys uids.npy --near-image reported/ -o out/chosen-2",
        "curate takedown out/chosen --pdq hashes.txt --max-distance 24 --allow-unmatched -o out/chosen-2",
        "curate takedown out/scan --hashes out/chosen-2 -o out/scan-2   # what was taken down there goes here, too",
    )
)
@click.argument("manifest")
@click.option("--keys", multiple=True, metavar="FILE", help="Keys or uids that must go: text, CSV, Parquet, .npy.")
@click.option("--urls", multiple=True, metavar="FILE", help="URLs that must go; CSV may have a header or none.")
@click.option("--sha256", multiple=True, metavar="FILE", help="Hashes of stored bytes, in hexadecimal.")
@click.option("--pdq", multiple=True, metavar="FILE", help="PDQ hashes, in hexadecimal, as ThreatExchange has them.")
@click.option("--near-image", multiple=True, metavar="FILE", help="A picture or a folder: its copies must go.")
@click.option("--hashes", multiple=True, metavar="LIST", help="What another manifest, or --list, took down.")
@click.option(
    "--max-distance",
    type=click.IntRange(0, 31),
    default=31,
    show_default=True,
    help="Bits in which the PDQ of a copy may differ.",
)
@click.option(
    "--report", metavar="FILE.html", help="Write a page with small pictures of what goes; also with --dry-run."
)
@click.option("--list", "list_folder", metavar="FOLDER", help="Write the hashes that are kept: sha256.txt, pdq.txt.")
@click.option("--allow-unmatched", is_flag=True, help="Exit with 0 even if an entry of a list matches no row.")
@making_options
@engine_options
@runs("jobs.commands.takedown:takedown")
def takedown() -> None:
    """Remove what must go from MANIFEST, with its copies.

    With a row go the copies in its cluster, and rows with the same bytes, the same pixels or a near PDQ. The result
    keeps their hashes, and no picture, URL or caption: manifests made from it inherit them, `merge` leaves out rows
    that have one, a scan with `takedown:` makes them taken_down, and the feed skips them. `curate purge` then removes
    the bytes from shards.

    All options for lists may be repeated. Exits with 1 when an entry of a list matches no row; everything else is
    done nevertheless.
    """
