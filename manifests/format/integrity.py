"""Checks of committed files before they are read: their sizes, and hashes where bytes are copied.

They protect an operation from damaged input. Who reads a part checks its rows, see `store.read_batches`. All of a
manifest is checked by `curate verify` (manifests.inspect.verify).
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

from manifests import storage
from manifests.errors import ManifestError, StorageUnavailable
from manifests.format.parquet_files import open_parquet
from manifests.format.store import Manifest, Part, first_line

CONCURRENT = 16
MISSING = "missing"
RESTORE = "restore the part, or make the manifest again"
NAMED_FAULTS = 3
NAMES_PER_REQUEST = 1000  # of a listing of an object store
S = TypeVar("S")
T = TypeVar("T")


def require_intact(manifest: Manifest, places: Sequence[int] | None = None, *, is_hashed: bool = False) -> None:
    """Raise ManifestError, naming the first parts that differ from what `_manifest.json` records.

    `places` are positions in `manifest.parts`, all by default. Sizes are compared, and with `is_hashed` then also the
    sha256 of the files, their row counts and schemas.
    """
    require_sizes(manifest, places)
    if is_hashed:
        for faults in concurrently(lambda part: list(part_faults(manifest, part)), _chosen(manifest, places)):
            if faults:
                raise ManifestError(f"{faults[0]}; {RESTORE}")


def require_sizes(manifest: Manifest, places: Sequence[int] | None = None) -> None:
    """Raise ManifestError, naming the first parts that are missing or do not have the size that was committed.

    `places` are positions in `manifest.parts`, all by default. An object store gets one request for 1000 files.
    """
    parts = _chosen(manifest, places)
    sizes = part_sizes(manifest, parts)
    faults = [fault for part in parts if (fault := _size_fault(manifest, part, sizes)) is not None]
    if faults:
        more = f"; such parts in all: {len(faults):,}" if len(faults) > NAMED_FAULTS else ""
        raise ManifestError(f"{'; '.join(faults[:NAMED_FAULTS])}{more}; {RESTORE}")


def _chosen(manifest: Manifest, places: Sequence[int] | None) -> Sequence[Part]:
    return manifest.parts if places is None else [manifest.parts[place] for place in places]


def _size_fault(manifest: Manifest, part: Part, sizes: Mapping[str, int]) -> str | None:
    return next(file_faults(manifest.part_uri(part), part.size_bytes, None, found_bytes=sizes.get(part.name)), None)


def part_sizes(manifest: Manifest, parts: Sequence[Part]) -> dict[str, int]:
    """Return name → size in bytes of those of `parts` that exist."""
    requests_of_a_listing = 1 + len(manifest.parts) // NAMES_PER_REQUEST
    if storage.is_local(manifest.uri) or len(parts) < requests_of_a_listing:
        found = {part.name: file_size_bytes(manifest.part_uri(part)) for part in parts}
        return {name: size for name, size in found.items() if size is not None}
    return file_sizes(manifest.uri)


def file_sizes(folder: str) -> dict[str, int]:
    """Return name → size in bytes of each file directly in `folder`."""
    return {name: int(entry["size"]) for name, entry in storage.entries(folder).items()}


def part_faults(manifest: Manifest, part: Part, sizes: Mapping[str, int] | None = None) -> Iterator[str]:
    """Yield each thing that is wrong with one part, as a clause that begins with its URI.

    `sizes` are those of `file_sizes`, which need not be asked for then.
    """
    uri = manifest.part_uri(part)
    found_bytes = file_size_bytes(uri) if sizes is None else sizes.get(part.name)
    yield from file_faults(uri, part.size_bytes, part.sha256, found_bytes=found_bytes)
    if found_bytes is None:
        return
    try:
        with open_parquet(uri, found_bytes) as parquet:
            rows, found = parquet.rows, parquet.schema
    except StorageUnavailable:
        raise
    except (pa.ArrowException, ValueError, OSError) as e:
        yield f"{uri}: not readable Parquet ({first_line(e) or type(e).__name__})"
        return
    if rows != part.rows:
        yield f"{uri}: {rows:,} rows, {part.rows:,} when it was committed"
    if names := _differing_columns(found, manifest.schema):
        yield f"{uri}: other columns than the manifest's ({', '.join(names[:5])})"


def file_faults(
    uri: str, committed_bytes: int, committed_sha256: str | None, *, found_bytes: int | None
) -> Iterator[str]:
    """Yield what is wrong with one file of `found_bytes` (None: there is none), as `part_faults` does.

    Its bytes are read only if a sha256 is given.
    """
    if found_bytes is None:
        yield f"{uri}: {MISSING}"
    elif found_bytes != committed_bytes:
        yield f"{uri}: {found_bytes:,} bytes, {committed_bytes:,} when it was committed"
    elif committed_sha256 is not None and file_sha256(uri, found_bytes) != committed_sha256:
        yield f"{uri}: altered: its sha256 is not the committed one"


def _differing_columns(found: pa.Schema, wanted: pa.Schema) -> list[str]:
    ours, theirs = ({f.name: f.type for f in schema} for schema in (wanted, found))
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


def file_size_bytes(uri: str) -> int | None:
    """Return the size of the file at `uri`, without any cache; None if there is none."""
    fs, path = storage.filesystem(uri)
    fs.invalidate_cache(path.rsplit("/", 1)[0])
    found = storage.describe(uri)
    return None if found is None else int(found["size"])


def file_sha256(uri: str, size_bytes: int | None = None) -> str:
    """Return the sha256 of the file at `uri`, in hexadecimal. `size_bytes` saves a request where it is known.

    Raises FileNotFoundError.
    """
    with storage.open_input(uri, size_bytes) as f:  # file_digest reuses one small buffer
        return hashlib.file_digest(f, "sha256").hexdigest()  # type: ignore[arg-type]


def concurrently(do: Callable[[S], T], each: Sequence[S], threads: int = CONCURRENT) -> Iterator[T]:
    """Yield `do(item)` of each item, in order, computed by `threads` threads."""
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(do, each)
