"""Commands that look into manifests and change nothing: show, stats, log, query, cat."""

import collections
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from jobs.cli.options import examples, storage_option
from manifests import storage
from manifests.errors import InputError
from manifests.format.store import Manifest, open_manifest

MAX_TABLE_ROWS = 100
EXIT_MISSING = 1


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


@click.command(
    epilog=examples(
        "curate show out/chosen", "curate show s3://bucket/scan --rows 20", "curate show out/shards --json"
    )
)
@click.argument("manifest")
@click.option("--rows", "row_count", type=click.IntRange(min=0), default=5, show_default=True, help="Rows to print.")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="Print the manifest's facts and rows as JSON.")
def show(manifest: str, row_count: int, as_json: bool) -> None:
    """Print what a manifest holds: where it comes from, its funnel, its counts, its columns and a few rows."""
    from jobs.show import look  # noqa: PLC0415

    look.print_manifest(open_manifest(manifest), rows=row_count, as_json=as_json)


@click.command(
    epilog=examples(
        "curate stats out/chosen",
        "curate stats out/chosen --by text_class,format --columns width,height,text_score",
        "curate stats s3://bucket/scan --where \"status = 'ok'\" --top 20 --json",
    )
)
@click.argument("manifest")
@click.option("--columns", metavar="COLUMN,...", help="Columns to look at; by default all.")
@click.option("--by", metavar="COLUMN,...", help="Tell of each group of rows with the same values in these columns.")
@click.option("--where", metavar="SQL", help="Only rows for which this expression over the columns is true.")
@click.option("--top", type=click.IntRange(min=0), default=10, show_default=True, help="Frequent values to list.")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def stats(manifest: str, columns: str | None, by: str | None, where: str | None, top: int, as_json: bool) -> None:
    """Print what the columns of MANIFEST hold: quantiles, histograms, frequent values.

    The numbers depend on the rows alone. Above 5,000,000 rows, quantiles, histograms and the frequent values of
    columns with many different ones are of a sample of about 1,000,000 rows, and the output says so.
    """
    from jobs.show import look  # noqa: PLC0415
    from manifests.inspect.stats import StatsRequest  # noqa: PLC0415
    from manifests.inspect.stats import stats as measured  # noqa: PLC0415
    from manifests.sql.engine import DuckEngine  # noqa: PLC0415 - takes a while to import

    question = StatsRequest(columns=_names(columns) or None, by=_names(by), where=where, top=top)
    opened = open_manifest(manifest)
    with DuckEngine() as engine:
        look.print_stats(measured(opened, question, engine), as_json=as_json)


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
def log(manifest: str, oneline: bool, as_json: bool) -> None:
    """Print what MANIFEST was made from, step by step, back to the tars: when, how, and what left at each step.

    A parent that was moved together with MANIFEST is found; one that is gone, or is not what it was, is told of.
    """
    from jobs.show.history import history  # noqa: PLC0415
    from jobs.show.log import print_history  # noqa: PLC0415

    print_history(history(open_manifest(manifest)), oneline=oneline, as_json=as_json)


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
@click.option("--limit", type=click.IntRange(min=0), help=f"Rows at most; of a table {MAX_TABLE_ROWS} by default.")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of the rows.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
@click.option("--out", metavar="FILE.parquet", help="Write the rows to this file, which must not be there.")
def query(manifest: str, sql: str, others: tuple[str, ...], limit: int | None, **flags: Any) -> None:
    """Answer a SELECT of DuckDB's SQL over MANIFEST, which is the view `manifest`, and `m` for short.

    A query reads the manifests it is given and nothing else: no other file, and no network.
    """
    from jobs.show import look  # noqa: PLC0415
    from manifests.sql.query import run_query  # noqa: PLC0415 - takes a while to import

    form, out = _form(flags["as_json"], flags["as_csv"]), flags["out"]
    if out is not None and form != "table":
        raise InputError("--out: write a file, or print --json or --csv, not both")
    if out is not None:
        _require_free(out)
    opened = open_manifest(manifest)
    views = {"manifest": opened, "m": opened, **_views(others)}
    is_cut = form == "table" and out is None and limit is None
    with run_query(views, sql, max_rows=MAX_TABLE_ROWS + 1 if is_cut else limit) as answer:
        if out is not None:
            rows = look.write_parquet(out, answer.schema, answer.batches)
            click.echo(f"{rows:,} rows at {storage.absolute(out)}", err=True)
            return
        max_rows = MAX_TABLE_ROWS if is_cut else None
        look.print_rows(answer.schema.names, answer.batches, form=form, max_rows=max_rows)


def _form(as_json: bool, as_csv: bool) -> str:
    if as_json and as_csv:
        raise InputError("--json and --csv exclude each other; give one")
    return "json" if as_json else "csv" if as_csv else "table"


def _require_free(out: str) -> None:
    """Raise InputError when a file must not be written at `out`."""
    from jobs.units.output_place import require_file  # noqa: PLC0415
    from manifests.format.store import is_committed  # noqa: PLC0415

    uri = storage.absolute(out)
    require_file(uri)
    if storage.exists(uri):
        raise InputError(f"--out {out}: there already; remove it or name another file")
    folder = uri.rpartition("/")[0]
    if is_committed(folder):
        raise InputError(f"--out {out}: {folder} holds a manifest, whose folder has its parts alone; name another")


def _views(others: Sequence[str]) -> dict[str, Manifest]:
    """Return name → manifest of `--with NAME=URI`."""
    found: dict[str, Manifest] = {}
    for text in others:
        name, equals, uri = text.partition("=")
        if not (equals and name.isidentifier() and uri):
            raise InputError(f"--with {text}: write NAME=URI, for example old=out/chosen")
        if name.lower() in ("manifest", "m", *map(str.lower, found)):
            raise InputError(f"--with {text}: {name} names another manifest already; give another name")
        found[name] = open_manifest(uri)
    return found


@click.command(
    epilog=examples(
        "curate cat out/chosen --keys 0b5c7d61e2a94f03,77aa01c2d3e4f506",
        "curate cat out/chosen --keys @keys.txt --columns key,caption,url --json",
        "curate cat out/shards --keys @keys.txt --images pictures/",
    )
)
@click.argument("manifest")
@click.option(
    "--keys", "keys", multiple=True, required=True, metavar="KEY,...|@FILE",
    help="Keys, joined by commas, or a file with one a line; repeatable.",
)  # fmt: skip
@click.option("--columns", metavar="COLUMN,...", help="Columns to print; by default all.")
@click.option("--images", metavar="DIR", help="Write the pictures to this folder, each named by its key.")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines: an object for each row.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
def cat(manifest: str, keys: tuple[str, ...], columns: str | None, images: str | None, **flags: Any) -> None:
    """Print the rows with these keys, in the manifest's order, and write their pictures.

    Exits with 1 when a key is not there, or a picture cannot be had; the others are printed all the same.
    """
    from jobs.show import look  # noqa: PLC0415
    from jobs.units.output_place import require_folder  # noqa: PLC0415
    from manifests.sql.engine import DuckEngine  # noqa: PLC0415 - takes a while to import
    from manifests.sql.lookup import find_rows, known_columns, missing_keys  # noqa: PLC0415

    form = _form(flags["as_json"], flags["as_csv"])
    if images is not None:
        require_folder(storage.absolute(images))
    opened = open_manifest(manifest)
    names = known_columns(opened, _names(columns))
    wanted = list(_keys(keys))
    with DuckEngine() as engine:
        places = find_rows(opened, wanted, engine)
    problems: list[str] = []
    rows = _with_pictures(opened, places, names, images, problems)
    shown = [*names, "image"] if images is not None else names
    look.print_rows(shown, rows, form="jsonl" if form == "json" else form)
    if images is not None:
        collections.deque(rows, maxlen=0)  # all pictures are written, even when nobody reads the rows any more
    if lacking := missing_keys(wanted, places):
        named = ", ".join(lacking[:10]) + (f" … and {len(lacking) - 10:,} more" if len(lacking) > 10 else "")
        problems.append(f"{len(lacking):,} of {len(set(wanted)):,} keys are not in {opened.uri}: {named}")
    for problem in problems:
        click.echo(f"curate: {problem}", err=True)
    if problems:
        raise click.exceptions.Exit(EXIT_MISSING)


def _keys(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        if not text.startswith("@"):
            yield from _names(text)
            continue
        try:
            content = (_stdin() if text == "@-" else storage.read_bytes(storage.absolute(text[1:]))).decode()
        except FileNotFoundError as e:
            raise InputError(f"--keys {text}: no such file; name a file with one key a line") from e
        except UnicodeDecodeError as e:
            raise InputError(f"--keys {text}: not UTF-8 text; name a file with one key a line") from e
        yield from (key for line in content.splitlines() if (key := line.strip()))


def _stdin() -> bytes:
    """Return what comes in, as bytes: a list is UTF-8 whatever the locale. Nothing when stdin is closed."""
    return b"" if sys.stdin is None else sys.stdin.buffer.read()


def _with_pictures(
    manifest: Manifest, places: Any, names: Sequence[str], images: str | None, problems: list[str]
) -> Iterator[Any]:
    """Yield the rows at `places` with the columns `names`, and with `image`, where its file is, if `images` is given.

    What goes wrong with a picture is added to `problems`.
    """
    import pyarrow as pa  # noqa: PLC0415

    from manifests.sql.lookup import rows_at  # noqa: PLC0415

    if images is None:
        yield from rows_at(manifest, places, names)
        return
    from curation.sources.originals import NEEDED, NEEDED_OF_SHARDS, save  # noqa: PLC0415

    is_sharded = "shard" in manifest.schema.names
    needed = [*NEEDED, *NEEDED_OF_SHARDS] if is_sharded else NEEDED
    folder = storage.absolute(images)
    for table in rows_at(manifest, places, list(dict.fromkeys([*names, *needed]))):
        records = table.select(list(needed)).to_pylist()
        saved = list(save(records, folder, shards_uri=manifest.shards_uri if is_sharded else None))
        problems += [f"{each.key}: {each.problem}" for each in saved if each.problem]
        yield table.select(list(names)).append_column("image", pa.array([each.uri for each in saved], pa.string()))
