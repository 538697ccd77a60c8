"""Makes the index of a manifest and a selection of its rows: once, in the cache folder, for all processes."""

import contextlib
import dataclasses
import functools
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.feed.index import FILES, MEMBERS, ROWS, WEIGHT
from curation.feed.kept import kept
from manifests import storage
from manifests.errors import InputError
from manifests.format.digest import settings_hash
from manifests.format.integrity import require_intact
from manifests.format.schema import STATUSES_WITH_PIXELS, Stage
from manifests.format.store import Manifest
from manifests.sql.duckdb_errors import duckdb_errors
from manifests.sql.engine import connect, from_parts, quoted, sql_text
from manifests.sql.expressions import check_expression, check_value
from manifests.sql.lookup import known_columns

INDEX_VERSION = "1"
BATCH_ROWS = 1 << 20
MEMORY_BYTES = 2 << 30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """Which rows of a manifest are fed, with which of their members and columns.

    `where` and `weight` are SQL expressions over a row. `from_sources` reads the files that were scanned, although
    there are shards. `with_hashes` keeps what a list of denied pictures is compared with.
    """

    members: Sequence[str] = ("image",)
    columns: Sequence[str] = ()
    where: str | None = None
    weight: str | None = None
    from_sources: bool = False

    def check(self, manifest: Manifest) -> None:
        """Raise InputError when `manifest` has no such columns, or an expression is wrong."""
        if unknown := set(self.members) - set(MEMBERS):
            raise InputError(f"members: {sorted(unknown)[0]!r} is none of {', '.join(MEMBERS)}")
        if self.columns:
            known_columns(manifest, self.columns)
        if self.where is not None:
            check_expression(self.where, manifest.schema, "where")
        if self.weight is not None:
            check_value(self.weight, manifest.schema, "weight")
        if self.reads_shards(manifest) and len(self.members) > 1 and "shard_json_size" not in manifest.schema.names:
            raise InputError(
                f"{manifest.uri}: an earlier version wrote these shards without the places of json and captions; "
                "write them again with `curate shard`, or feed members=['image'] alone"
            )

    def reads_shards(self, manifest: Manifest) -> bool:
        """Return whether images come from the shards of `manifest`."""
        return manifest.stage is Stage.SHARD and not self.from_sources

    def condition(self, manifest: Manifest) -> str:
        """Return SQL for which rows are fed: those with a picture, kept ones if that was chosen, and `where`."""
        conditions = [f"status IN ({', '.join(map(sql_text, STATUSES_WITH_PIXELS))})"]
        conditions += ["keep"] if "keep" in manifest.schema.names else []
        return " AND ".join([*conditions, *([f"({self.where})"] if self.where else [])])

    def expressions(self, manifest: Manifest) -> dict[str, str]:
        """Return name → SQL of the index's columns; those that end with `_file` are URIs."""
        found = {"key": "key"}
        for member in MEMBERS:
            if member in self.members:
                found |= _place(manifest, member, in_shards=self.reads_shards(manifest))
        if "caption" in self.members:
            found["caption_text"] = f"CASE WHEN {found['caption_size']} IS NULL THEN caption END"
        found["image_sha256"] = _stored_sha256(manifest, in_shards=self.reads_shards(manifest))
        found |= {f"column_{name}": quoted(name) for name in self.columns}
        return found | ({WEIGHT: f"({self.weight})::DOUBLE"} if self.weight else {})


def _place(manifest: Manifest, member: str, *, in_shards: bool) -> dict[str, str]:
    """Return SQL for the file, the offset and the size of a member's bytes."""
    prefix = "" if member == "image" else f"{member}_"
    if in_shards:
        folder = sql_text(storage.join(manifest.shards_uri, ""))
        name = {"": "shard", "json_": "shard_json", "caption_": "shard_caption"}[prefix]
        return {
            f"{member}_file": f"{folder} || shard",
            f"{member}_offset": f"{name}_offset",
            f"{member}_size": f"{name}_size",
        }
    return {
        f"{member}_file": f"CASE WHEN source LIKE '%/' THEN source || {prefix}member ELSE source END",
        f"{member}_offset": quoted(f"{prefix}offset"),  # a word of SQL
        f"{member}_size": f"{prefix}size",
    }


def _stored_sha256(manifest: Manifest, *, in_shards: bool) -> str:
    """Return SQL for the sha256 of the image's bytes where they are read, 32 bytes."""
    is_new = in_shards and "shard_sha256" in manifest.schema.names
    return f"unhex({'coalesce(shard_sha256, sha256)' if is_new else 'sha256'})"


def identity(manifest: Manifest, selection: Selection) -> str:
    """Return a hash of everything that decides which rows an index has, and in which order."""
    parts = [[part.rows, list(part.lanes)] for part in manifest.parts]
    return settings_hash(manifest.digest, parts, selection.condition(manifest), selection.weight)


def open_index(manifest: Manifest, selection: Selection, cache: Path) -> str:
    """Return the folder of the index of `manifest` in the folder `cache`; it is made if it is missing.

    Raises InputError when the selection does not fit the manifest, selects nothing, or `cache` cannot be written;
    ManifestError when a part is missing or damaged.
    """
    selection.check(manifest)
    expressions = selection.expressions(manifest)
    name = settings_hash(INDEX_VERSION, identity(manifest, selection), manifest.uri, sorted(expressions.items()))
    return str(kept(cache, f"index-{name}", functools.partial(_write, manifest, selection)))


def _write(manifest: Manifest, selection: Selection, folder: Path) -> None:
    numbers: dict[str, int] = {}
    writer: pa.ipc.RecordBatchFileWriter | None = None
    rows = 0
    with contextlib.ExitStack() as stack:
        for table in selected_rows(manifest, selection, selection.expressions(manifest)):
            numbered = _with_numbers(table, numbers)
            _check_weights(numbered)
            if writer is None:
                writer = stack.enter_context(pa.ipc.new_file(str(folder / ROWS), numbered.schema))
            writer.write_table(numbered.combine_chunks(), max_chunksize=BATCH_ROWS)
            rows += numbered.num_rows
    if not rows:
        raise InputError(f"{manifest.uri}: no row is selected by {selection.condition(manifest)}; change where=…")
    uris = pa.table({"uri": pa.array(list(numbers), pa.string())})
    with pa.ipc.new_file(str(folder / FILES), uris.schema) as files:
        files.write_table(uris)


def selected_rows(manifest: Manifest, selection: Selection, expressions: Mapping[str, str]) -> Iterator[pa.Table]:
    """Yield the rows of an index in its order, in tables of about BATCH_ROWS rows, with the columns name → SQL.

    Raises ManifestError when a part is missing or damaged.
    """
    require_intact(manifest)
    columns = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in expressions.items())
    with tempfile.TemporaryDirectory(prefix="curate-") as spill, duckdb_errors(manifest.uri):
        threads = len(os.sched_getaffinity(0))
        with connect(memory_bytes=MEMORY_BYTES, threads=threads, spill=spill) as db:
            for places in _groups(manifest):
                rows = (
                    f"SELECT {columns} FROM {from_parts(db, manifest, places)} WHERE {selection.condition(manifest)} "
                    "ORDER BY file_index, file_row_number"
                )
                yield db.sql(rows).to_arrow_table()


def _groups(manifest: Manifest) -> Iterator[list[int]]:
    """Yield positions of parts, together with about BATCH_ROWS rows."""
    group: list[int] = []
    rows = 0
    for place, part in enumerate(manifest.parts):
        if group and rows + part.rows > BATCH_ROWS:
            yield group
            group, rows = [], 0
        group.append(place)
        rows += part.rows
    if group:
        yield group


def _with_numbers(table: pa.Table, numbers: dict[str, int]) -> pa.Table:
    """Return `table` with URIs replaced by their numbers, int32, and add new ones to `numbers`."""
    for place, name in enumerate(table.column_names):
        if name.endswith("_file"):
            encoded = pc.dictionary_encode(table.column(name).combine_chunks())
            known = [numbers.setdefault(uri, len(numbers)) for uri in encoded.dictionary.to_pylist()]
            table = table.set_column(place, name, pa.array(known, pa.int32()).take(encoded.indices))
    return table


def _check_weights(table: pa.Table) -> None:
    if WEIGHT not in table.column_names:
        return
    weights = table.column(WEIGHT).to_numpy()  # null becomes not a number
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        place = int(wrong.argmax())
        value = table.column(WEIGHT)[place].as_py()
        raise InputError(
            f"weight: {'null' if value is None else value} for {table.column('key')[place]}; a weight is at least 0; "
            "write coalesce(…, 0) for nulls"
        )
