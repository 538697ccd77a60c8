"""`curate release`: what the readers of shards need, in one folder."""

import click

from jobs.cli.lazy import runs
from jobs.cli.options import DEFAULT_MEMORY, bytes_of, examples, json_option, storage_option


@click.command(
    epilog=examples(
        "curate release out/shards -o release/",
        "curate release out/shards -o release/ --about about.yaml --data link",
        "curate release june/shards -o june/release/ --previous may/release/   # next version, and the patch",
        "curate release june/shards -o june/release/ --previous may/release/ --dry-run",
        "curate release out/shards -o release/ --base-url https://host/data    # where the tars will be",
        "curate release out/shards -o release/ --subsets 10k,100k,1M --gallery 24",
        "(cd release/ && sha256sum --check SHA256SUMS)",
    )
)
@click.argument("shards")
@click.option("-o", "--output", required=True, metavar="URI", help="Folder of the release.")
@click.option("--about", metavar="FILE", help="What only you know, as YAML: name, license, creators, answers …")
@click.option("--previous", metavar="RELEASE", help="The release before: decides the version; the patch is written.")
@click.option("--no-patch", is_flag=True, help="Leave the patch out, which has every row that moved, too.")
@click.option(
    "--data",
    type=click.Choice(["refer", "link", "copy"]),
    default="refer",
    show_default=True,
    help="refer to the tars where they are; or put hard links or copies of them into the release.",
)
@click.option("--base-url", metavar="URL", help="Where readers will find the tars, if not where they are.")
@click.option(
    "--subsets",
    default="1M,10M,100M",
    show_default=True,
    metavar="SIZE,...",
    help="Sizes of nested subsets; those that are smaller than the whole are made.",
)
@click.option(
    "--gallery", type=click.IntRange(0, 99), default=12, show_default=True, help="Pictures that the card shows."
)
@click.option(
    "--json-rows",
    type=click.IntRange(min=0),
    default=100_000,
    show_default=True,
    metavar="ROWS",
    help="Samples whose json is read for licences and authors.",
)
@click.option("--salt", default="curate", show_default=True, help="Seed of the gallery and of --json-rows.")
@click.option("--force", is_flag=True, help="Replace a release that is there.")
@click.option("--dry-run", is_flag=True, help="Print version, changes and subsets; write nothing.")
@json_option
@click.option(
    "--memory",
    default=DEFAULT_MEMORY,
    show_default=True,
    metavar="SIZE",
    callback=bytes_of,
    help="Memory that DuckDB may use before it spills to disk.",
)
@click.option("--temp-dir", metavar="FOLDER", help="Where DuckDB spills to.  [default: the system's]")
@storage_option
@runs("jobs.commands.release:release")
def release() -> None:
    """Write everything that the readers of SHARDS need into one folder.

    README.md is a card for Hugging Face, with a gallery, and `load_dataset` reads the folder; croissant.json
    describes files and fields in Croissant 1.1, with provenance; DATASHEET.md answers what was measured and marks
    what is open; SHA256SUMS has the tars and all other files. samples.parquet has a row for each sample, domains.csv
    the largest tenth of the domains, licences.parquet the licences that sources name, and subsets/ lists of tars.

    The first version is 1.0.0. After --previous, rows that are gone or differ make a major version, more rows or
    columns a minor one, the same data in other tars a patch; patch/ is a DIFF for `curate patch`, unless pictures
    were taken down since. The same shards and options give the same bytes. Exits with 0, with 2 when it is refused.
    """
