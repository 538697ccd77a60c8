"""`curate takedown` and `curate purge`: samples that must go leave manifests and shards, and never return."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import engine_options, examples, json_option, making_options


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


@click.command(
    epilog=examples(
        "curate purge out/shards --against out/chosen-2 -o out/shards-2",
        "curate purge out/shards --against out/chosen-2 --in-place --patch june.patch.json",
        "curate purge out/shards --against out/chosen-2 -o out/shards-2 --dry-run",
        "curate purge their/shards --apply june.patch.json --in-place   # who has a copy needs only the patch",
        "curate verify out/shards-2 --deep",
    )
)
@click.argument("shards")
@click.option("--against", metavar="MANIFEST", help="Samples that it lacks, or took down, go.")
@click.option("--apply", "patch_file", metavar="FILE", help="Apply a patch that --patch wrote, instead.")
@click.option("-o", "--output", metavar="URI", help="Where the shards without them are written.")
@click.option(
    "--in-place", is_flag=True, help="Replace the shards: new tars, then the manifest, then the old tars go."
)
@click.option("--patch", "patch_out", metavar="FILE", help="Also write a patch for others who have a copy.")
@click.option("--dry-run", is_flag=True, help="Print what would go from where; write nothing.")
@click.option("--restart", is_flag=True, help="Discard unfinished work at the output, instead of refusing.")
@json_option
@engine_options
@runs("jobs.commands.purge:purge")
def purge() -> None:
    """Take samples out of the tars of SHARDS.

    Only the tars that have one are written again, and all other members in them keep their bytes and their order. All
    other tars and tables are linked or copied. An interrupted purge goes on with the same command, and a second one
    does nothing.

    A patch names byte ranges and has no byte of a picture. SHARDS of --apply may also be a folder with the tars
    alone.
    """
