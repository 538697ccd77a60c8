"""Checks that what was taken down is not there: in no row, and in no tar.

The bytes of each image in a tar are those of its row, as `verify_images` shows by their sha256; its PDQ is that of
these bytes. So a tar is free of what was taken down if no row has a hash of the list, and each member of the tar
belongs to a row.
"""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from tarfile import TarInfo
from typing import Any

from curation.shards.cuts import headers
from curation.takedown.deny_list import COLUMNS, DenyList
from manifests import storage
from manifests.errors import BrokenSource, ManifestError
from manifests.format.integrity import concurrently
from manifests.format.schema import Stage
from manifests.format.store import Manifest, Part, read_batches
from manifests.inspect.verify import Findings, Resources

TAKE_DOWN = "take it down again with --hashes, and purge the shards"
PURGE = "purge the shards again, or make them again"
_PLACES = ("shard_offset", "shard_json_offset", "shard_caption_offset")
_SIDECARS = frozenset({".json", ".txt"})
SHOWN = 3


def check_taken_down(manifest: Manifest, parts: Sequence[int], found: Findings, means: Resources) -> None:
    """Compare the hashes of each row of `parts` with those that `manifest` has as taken down."""
    if not manifest.taken_down:
        return
    denied = DenyList.of(manifest.taken_down)
    wanted = [name for name in ("key", *COLUMNS) if name in manifest.schema.names]

    def keys_of(part: Part) -> list[str]:
        keys: list[str] = []
        for batch in read_batches(manifest.part_uri(part), wanted, rows=part.rows, size_bytes=part.size_bytes):
            keys += batch.column("key").filter(denied.matches(batch)).to_pylist()
        return keys

    checked = [manifest.parts[place] for place in parts]
    for part, keys in zip(checked, _each(keys_of, checked, means), strict=True):
        uri = manifest.part_uri(part)
        if isinstance(keys, Exception):
            found.fault(uri, str(keys).removeprefix(f"{uri}: "), PURGE)
        elif keys:
            found.fault(uri, f"{len(keys):,} rows show what was taken down ({_some(keys)})", TAKE_DOWN)
    found.checked.update(taken_down_hashes=len(denied))


def check_members(manifest: Manifest, parts: Sequence[int], found: Findings, means: Resources) -> None:
    """Read the headers of the tars beside `parts`, and find members that belong to no row of their table."""
    if manifest.stage is not Stage.SHARD:
        return
    checked = [manifest.parts[place] for place in parts if manifest.parts[place].files]
    members = sum(part.rows for part in checked)
    done = 0
    for part, foreign in zip(checked, _each(lambda each: _foreign(manifest, each), checked, means), strict=True):
        for uri, names in () if isinstance(foreign, Exception) else foreign:
            found.fault(uri, f"{len(names):,} members belong to no row ({_some(names)})", PURGE)
        if isinstance(foreign, Exception):
            uri, _, what = str(foreign).partition(": ")
            if uri not in found.missing:
                found.fault(uri, what, PURGE)
        done += part.rows
        means.on_progress("samples in tars", done, members)


def _foreign(manifest: Manifest, part: Part) -> list[tuple[str, list[str]]]:
    """Return the URI of each tar of a part that has members of no row, and their names."""
    names = [name for name in ("key", *_PLACES) if name in manifest.schema.names]
    rows = manifest.read_part(part, names)
    keys = set(rows.column("key").to_pylist())
    places = {place for name in names[1:] for place in rows.column(name).drop_null().to_pylist()}
    is_complete = len(names) == 1 + len(_PLACES)  # earlier versions did not write where sidecars are
    found = []
    for name in part.files:
        if name.endswith(".tar"):
            uri = storage.join(manifest.uri, name)
            foreign = [
                header.name
                for header in _headers(uri)
                if header.offset_data not in places and (is_complete or not _is_sidecar(header.name, keys))
            ]
            found += [(uri, foreign)] * bool(foreign)
    return found


def _headers(uri: str) -> Iterator[TarInfo]:
    try:
        with storage.open_input(uri) as stream:
            yield from headers(stream, uri)
    except FileNotFoundError as e:
        raise BrokenSource(f"{uri}: missing", source=uri) from e


def _is_sidecar(name: str, keys: set[str]) -> bool:
    return PurePosixPath(name).suffix in _SIDECARS and name.partition(".")[0] in keys


def _each(do: Any, parts: Sequence[Part], means: Resources) -> Iterator[Any]:
    """Yield what `do` returns for each part, or the error that says what is damaged."""

    def attempt(part: Part) -> Any:
        try:
            return do(part)
        except (BrokenSource, ManifestError) as e:
            return e

    return concurrently(attempt, parts, means.threads)


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:SHOWN])) + " …" * (len(names) > SHOWN)
