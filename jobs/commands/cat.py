"""Prints rows by their keys or other names, and writes their images."""

import collections
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from curation.sources.originals import needed_columns, save
from jobs.commands.named_rows import named_rows
from jobs.commands.shared import blaming, end_with_problems, names_in, output_form
from jobs.show import look
from jobs.units.output_place import require_folder
from manifests import storage
from manifests.format.store import Manifest, open_manifest
from manifests.sql.lookup import known_columns, rows_at


def cat(
    manifest: str,
    texts: tuple[str, ...],
    keys: tuple[str, ...],
    columns: str | None,
    images: str | None,
    **flags: Any,
) -> None:
    """Print the rows that are named and write their images. Exits with 1 when one is missing or ambiguous."""
    form = output_form(flags["as_json"], flags["as_csv"])
    if images is not None:
        require_folder(storage.absolute(images))
    opened = open_manifest(manifest)
    with blaming("--columns"):
        names = known_columns(opened, names_in(columns))
    found = named_rows(opened, texts, keys)
    problems: list[str] = []
    rows = _with_images(opened, found.places, names, images, problems)
    shown = [*names, "image"] if images is not None else names
    if len(found.places) or form != "table":
        look.print_rows(shown, rows, form="jsonl" if form == "json" else form)
    if images is not None:
        collections.deque(rows, maxlen=0)  # all images are written, even when nobody reads the rows any more
    end_with_problems([*problems, *found.problems(opened.uri)])


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
