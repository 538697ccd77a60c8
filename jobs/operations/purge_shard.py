"""Write one shard again without the samples that go, or take it over as it is, in any process."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from curation.choosing.verdicts import kept_bytes
from curation.shards.cuts import Cuts, copy_without, headers
from curation.shards.indexes import Members
from curation.shards.purge_patch import ShardCut, Tar
from curation.shards.shuffle import shuffle_facts
from curation.shards.write import write_beside
from jobs.units.earlier import receipt_of_part
from jobs.units.worker import Attempt, receipt_of
from manifests import storage
from manifests.errors import BrokenSource
from manifests.format.integrity import require_intact
from manifests.format.receipts import Receipt, part_name, write_part
from manifests.format.roots import relative_sources
from manifests.format.store import Manifest, Part, part_of
from manifests.hashing_writer import HashingWriter

COPIED_AT_ONCE = 1 << 20
RESTORE = "restore it, or make the shards again"


def tar_of(part: Part) -> tuple[str, Mapping[str, Any]]:
    """Return the name of the tar of a part, and its size and sha256."""
    return next((name, about) for name, about in part.files.items() if name.endswith(".tar"))


def opened_tar(uri: str) -> BinaryIO:
    """Open a file of the shards. Raises BrokenSource when it is missing."""
    try:
        return storage.open_input(uri)
    except FileNotFoundError as e:
        raise BrokenSource(f"{uri}: missing; {RESTORE}", source=uri) from e


def require_same(uri: str, sha256: str, committed: str) -> None:
    """Raise BrokenSource unless a file of the shards has the committed sha256."""
    if sha256 != committed:
        raise BrokenSource(f"{uri}: altered: its sha256 is not the committed one; {RESTORE}", source=uri)


def shard_cut(fields: Mapping[str, Any]) -> ShardCut:
    """Return the ShardCut that the fields of one, read from JSON, describe."""
    cuts = Cuts(ranges=tuple((start, end) for start, end in fields["cuts"]["ranges"]), end=fields["cuts"]["end"])
    before, after = (Tar(**fields[name]) for name in ("before", "after"))
    return ShardCut(before=before, after=after, cuts=cuts, samples=fields["samples"])


@dataclass(frozen=True, kw_only=True)
class ShardPurger:
    """Writes one shard without what goes, or takes it over as it is, in any process."""

    shards: Manifest
    renaming: bool

    def __call__(self, attempt: Attempt) -> Receipt:
        """Write the files of the unit of an attempt, and return its receipt."""
        part = part_of(attempt.unit.inputs["part"])
        if attempt.unit.inputs["cut"] is None:
            return self._taken_over(attempt, part)
        return self._purged(attempt, part, shard_cut(attempt.unit.inputs["cut"]))

    def _taken_over(self, attempt: Attempt, part: Part) -> Receipt:
        folder = Path(storage.filesystem(attempt.folder)[1])
        files = {part.name: {"bytes": part.size_bytes, "sha256": part.sha256}, **part.files}
        for name, about in files.items():
            staged = folder / (attempt.unit.part if name == part.name else name)
            _take(storage.join(self.shards.uri, name), staged, about)
        return receipt_of_part(part, attempt.unit)

    def _purged(self, attempt: Attempt, part: Part, cut: ShardCut) -> Receipt:
        shards = replace(self.shards, parts=[part])
        require_intact(shards, [0], is_hashed=True)
        source = storage.join(shards.uri, cut.before.name)
        with (
            opened_tar(source) as stream,
            storage.write_atomically(storage.join(attempt.folder, cut.after.name)) as sink,
        ):
            _, sha256 = copy_without(stream, sink, cut.cuts)
            require_same(source, sha256, cut.before.sha256)
            require_same(f"{source} without what goes", sink.sha256.hexdigest(), cut.after.sha256)
        rows = rows_without(shards.read_part(part), cut)
        tar = {"bytes": cut.after.bytes, "sha256": cut.after.sha256}
        files = {cut.after.name: tar, **_files_beside(attempt.folder, rows, cut, tar, part.files)}
        written = write_part(attempt.part, rows.to_batches(), shards.schema, roots=shards.roots)
        sources = relative_sources(rows.column("source").combine_chunks(), shards.roots).to_pylist()
        is_by_content = self.renaming or part.name != attempt.unit.part
        name = part_name(attempt.unit.name, written.sha256) if is_by_content else part.name
        facts = {**kept_bytes(rows), **shuffle_facts(sources)}
        return receipt_of(attempt.unit, written, name=name, files=files, facts=facts)


def rows_without(rows: pa.Table, cut: ShardCut) -> pa.Table:
    """Return the rows of a shard without the samples that go; the others say where their members are now.

    Raises BrokenSource when the cuts take other rows than those of whole samples.
    """
    offsets = rows.column("shard_offset").to_numpy()
    stays = ~cut.cuts.contain(offsets)
    if int(np.count_nonzero(~stays)) != cut.samples:
        raise BrokenSource(f"{cut.before.name}: the patch does not take out whole samples of it; make it again")
    left = rows.filter(pa.array(stays))
    for place, field in enumerate(left.schema):
        if field.name.startswith("shard_") and field.name.endswith("offset"):
            left = left.set_column(place, field, _moved(left.column(field.name), cut.cuts))
    count = left.num_rows
    for name, values in (("shard", [cut.after.name] * count), ("shard_index", range(count))):
        field = left.schema.field(name)
        left = left.set_column(left.schema.get_field_index(name), field, pa.array(values, field.type))
    return left


def _moved(column: pa.ChunkedArray, cuts: Cuts) -> pa.Array:
    """Return offsets without the bytes that go; null stays null."""
    known = column.combine_chunks()
    moved = cuts.moved(known.fill_null(0).to_numpy())
    return pa.array(moved, pa.int64(), mask=known.is_null().to_numpy(zero_copy_only=False))


def _files_beside(
    folder: str, rows: pa.Table, cut: ShardCut, tar: Mapping[str, Any], before: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Write what is beside a tar again; return bytes and sha256, by name, of those kinds of files that were there."""
    old, new = (each.name.removesuffix(".tar") for each in (cut.before, cut.after))
    members = _members(storage.join(folder, cut.after.name))
    written = write_beside(folder, new, rows, members, tar)
    return {name: about for name, about in written.items() if old + name.removeprefix(new) in before}


def _members(uri: str) -> list[tuple[str, Members]]:
    """Return the key of each sample of a tar, and its members: extension → first byte and size, in their order."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    with storage.open_input(uri) as stream:
        for header in headers(stream, uri):
            key, _, extension = header.name.partition(".")
            found.setdefault(key, {})[extension] = (header.offset_data, header.size)
    return list(found.items())


def _take(uri: str, path: Path, about: Mapping[str, Any]) -> None:
    """Put a committed file at a local path, too: by a link, or by a copy whose sha256 is checked."""
    if storage.is_local(uri):
        source = os.path.realpath(storage.filesystem(uri)[1])
        try:
            os.link(source, path)
        except FileNotFoundError as e:
            raise BrokenSource(f"{uri}: missing; {RESTORE}", source=uri) from e
        except OSError:  # no links here
            pass
        else:
            return
    with opened_tar(uri) as stream, path.open("wb") as f:
        writer = HashingWriter(f)
        shutil.copyfileobj(stream, writer, COPIED_AT_ONCE)
    require_same(uri, writer.sha256.hexdigest(), about["sha256"])
