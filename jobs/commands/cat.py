"""Prints rows by their keys, and writes their images."""

import collections
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click
import pyarrow as pa

from curation.sources.originals import needed_columns, save
from jobs.commands.shared import blaming, names_in, output_form
from jobs.show import look
from jobs.units.output_place import require_folder
from manifests import storage
from manifests.errors import InputError
from manifests.format.store import Manifest, open_manifest
from manifests.sql.engine import DuckEngine
from manifests.sql.lookup import find_rows, known_columns, missing_keys, rows_at

EXIT_MISSING = 1


def cat(manifest: str, keys: tuple[str, ...], columns: str | None, images: str | None, **flags: Any) -> None:
    """Print the rows with these keys and write their images. Exits with 1 when one is missing."""
    form = output_form(flags["as_json"], flags["as_csv"])
    if images is not None:
        require_folder(storage.absolute(images))
    opened = open_manifest(manifest)
    with blaming("--columns"):
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
    needed = needed_columns(manifest.schema.names, from_shards=is_sharded)
    folder = storage.absolute(images)
    for table in rows_at(manifest, places, list(dict.fromkeys([*names, *needed]))):
        records = table.select(needed).to_pylist()
        saved = list(save(records, folder, shards_uri=manifest.shards_uri if is_sharded else None))
        problems += [f"{each.key}: {each.problem}" for each in saved if each.problem]
        yield table.select(list(names)).append_column("image", pa.array([each.uri for each in saved], pa.string()))
