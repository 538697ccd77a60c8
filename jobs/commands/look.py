"""Looks into manifests and changes nothing: show, stats, log, query."""

from collections.abc import Sequence
from typing import Any

from jobs.commands.shared import blaming, names_in, note, output_form
from jobs.show import look
from jobs.show.history import history, print_history
from jobs.show.manifests import print_manifests
from jobs.units.output_place import require_file
from manifests import storage
from manifests.errors import InputError
from manifests.format.families import manifests_in
from manifests.format.store import Manifest, is_committed, open_manifest
from manifests.inspect.stats import StatsRequest, compute_stats
from manifests.sql.engine import DuckEngine
from manifests.sql.lookup import known_columns
from manifests.sql.query import run_query

MAX_TABLE_ROWS = 100


def show(manifest: str, row_count: int, as_json: bool) -> None:
    """Print the origin, funnel, counts, columns and some rows of a manifest, or the manifests of a pipeline."""
    place = storage.absolute(manifest)
    if not is_committed(place) and (found := manifests_in(place)):
        print_manifests(place, found, as_json=as_json)
        return
    look.print_manifest(open_manifest(manifest), rows=row_count, as_json=as_json)


def stats(manifest: str, columns: str | None, by: str | None, where: str | None, top: int, as_json: bool) -> None:
    """Print quantiles, histograms and frequent values of columns."""
    request = StatsRequest(columns=names_in(columns) or None, by=names_in(by), where=where, top=top)
    opened = open_manifest(manifest)
    for option, names in (("--columns", names_in(columns)), ("--by", names_in(by))):
        with blaming(option):
            known_columns(opened, names)
    with DuckEngine() as engine:
        look.print_stats(compute_stats(opened, request, engine), as_json=as_json)


def log(manifest: str, oneline: bool, as_json: bool) -> None:
    """Print what a manifest was made from, step by step."""
    print_history(history(open_manifest(manifest)), oneline=oneline, as_json=as_json)


def query(manifest: str, sql: str, others: tuple[str, ...], limit: int | None, **flags: Any) -> None:
    """Print or write the rows of a SELECT. `others` are texts NAME=URI."""
    form, out = output_form(flags["as_json"], flags["as_csv"]), flags["out"]
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
