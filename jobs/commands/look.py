"""Looks into manifests and changes nothing: show, stats, log, query, cat."""

import collections
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click
import pyarrow as pa

from curation.sources.originals import NEEDED, NEEDED_OF_SHARDS, save
from jobs.commands.shared import names_in, note
from jobs.show import look
from jobs.show.history import history
from jobs.show.log import print_history
from jobs.units.output_place import require_file, require_folder
from manifests import storage
from manifests.errors import InputError
from manifests.format.store import Manifest, is_committed, open_manifest
from manifests.inspect.stats import StatsRequest
from manifests.inspect.stats import stats as measured
from manifests.sql.engine import DuckEngine
from manifests.sql.lookup import find_rows, known_columns, missing_keys, rows_at
from manifests.sql.query import run_query

MAX_TABLE_ROWS = 100
EXIT_MISSING = 1


def show(manifest: str, row_count: int, as_json: bool) -> None:
    """Print the origin, funnel, counts, columns and some rows of a manifest."""
    look.print_manifest(open_manifest(manifest), rows=row_count, as_json=as_json)


def stats(manifest: str, columns: str | None, by: str | None, where: str | None, top: int, as_json: bool) -> None:
    """Print quantiles, histograms and frequent values of columns."""
    request = StatsRequest(columns=names_in(columns) or None, by=names_in(by), where=where, top=top)
    opened = open_manifest(manifest)
    with DuckEngine() as engine:
        look.print_stats(measured(opened, request, engine), as_json=as_json)


def log(manifest: str, oneline: bool, as_json: bool) -> None:
    """Print what a manifest was made from, step by step."""
    print_history(history(open_manifest(manifest)), oneline=oneline, as_json=as_json)


def query(manifest: str, sql: str, others: tuple[str, ...], limit: int | None, **flags: Any) -> None:
    """Print or write the rows of a SELECT. `others` are texts NAME=URI."""
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
            note(f"{rows:,} rows at {storage.absolute(out)}")
            return
        max_rows = MAX_TABLE_ROWS if is_cut else None
        look.print_rows(answer.schema.names, answer.batches, form=form, max_rows=max_rows)


def _form(as_json: bool, as_csv: bool) -> str:
    if as_json and as_csv:
        raise InputError("--json and --csv exclude each other; give one")
    return "json" if as_json else "csv" if as_csv else "table"


def _require_free(out: str) -> None:
    """Raise InputError when a file must not be written at `out`."""
    uri = storage.absolute(out)
    require_file(uri)
    if storage.exists(uri):
        raise InputError(f"--out {out}: exists already; remove it or name another file")
    folder = uri.rpartition("/")[0]
    if is_committed(folder):
        raise InputError(f"--out {out}: {folder} is the folder of a manifest, for its parts alone; name another")


def _views(others: Sequence[str]) -> dict[str, Manifest]:
    """Return name → manifest of `--with NAME=URI`."""
    found: dict[str, Manifest] = {}
    for text in others:
        name, equals, uri = text.partition("=")
        if not (equals and name.isidentifier() and uri):
            raise InputError(f"--with {text}: write NAME=URI, for example old=out/chosen")
        if name.lower() in ("manifest", "m", *map(str.lower, found)):
            raise InputError(f"--with {text}: {name} is the name of another manifest already; give another name")
        found[name] = open_manifest(uri)
    return found


def cat(manifest: str, keys: tuple[str, ...], columns: str | None, images: str | None, **flags: Any) -> None:
    """Print the rows with these keys and write their images. Exits with 1 when one is missing."""
    form = _form(flags["as_json"], flags["as_csv"])
    if images is not None:
        require_folder(storage.absolute(images))
    opened = open_manifest(manifest)
    names = known_columns(opened, names_in(columns))
    wanted = list(_keys(keys))
    with DuckEngine() as engine:
        places = find_rows(opened, wanted, engine)
    problems: list[str] = []
    rows = _with_images(opened, places, names, images, problems)
    shown = [*names, "image"] if images is not None else names
    look.print_rows(shown, rows, form="jsonl" if form == "json" else form)
    if images is not None:
        collections.deque(rows, maxlen=0)  # all images are written, even when nobody reads the rows any more
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
            yield from names_in(text)
            continue
        try:
            content = (_stdin() if text == "@-" else storage.read_bytes(storage.absolute(text[1:]))).decode()
        except FileNotFoundError as e:
            raise InputError(f"--keys {text}: no such file; name a file with one key a line") from e
        except UnicodeDecodeError as e:
            raise InputError(f"--keys {text}: not UTF-8 text; name a file with one key a line") from e
        yield from (key for line in content.splitlines() if (key := line.strip()))


def _stdin() -> bytes:
    """Return all of stdin as bytes, since a list is UTF-8 in every locale; nothing when stdin is closed."""
    return b"" if sys.stdin is None else sys.stdin.buffer.read()


def _with_images(
    manifest: Manifest, places: pa.Table, names: Sequence[str], images: str | None, problems: list[str]
) -> Iterator[pa.Table]:
    """Yield the rows at `places` with the columns `names`, and with `image`, where its file is, if `images` is given.

    What goes wrong with an image is added to `problems`.
    """
    if images is None:
        yield from rows_at(manifest, places, names)
        return
    is_sharded = "shard" in manifest.schema.names
    needed = [*NEEDED, *NEEDED_OF_SHARDS] if is_sharded else NEEDED
    folder = storage.absolute(images)
    for table in rows_at(manifest, places, list(dict.fromkeys([*names, *needed]))):
        records = table.select(list(needed)).to_pylist()
        saved = list(save(records, folder, shards_uri=manifest.shards_uri if is_sharded else None))
        problems += [f"{each.key}: {each.problem}" for each in saved if each.problem]
        yield table.select(list(names)).append_column("image", pa.array([each.uri for each in saved], pa.string()))
