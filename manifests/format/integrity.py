"""Checks of committed files before they are read: sizes and footers, and hashes where bytes are copied.

They protect an operation from damaged input. `curate verify` (manifests.inspect.verify) checks all of a manifest.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from manifests import storage
from manifests.errors import ManifestError
from manifests.format.store import Manifest, Part, first_line

CONCURRENT = 16
MISSING = "missing"
RESTORE = "restore the part, or make the manifest again"
S = TypeVar("S")
T = TypeVar("T")


def require_intact(manifest: Manifest, places: Sequence[int] | None = None, *, is_hashed: bool = False) -> None:
    """Raise ManifestError, naming the first part that differs from what `_manifest.json` records.

    `places` are positions in `manifest.parts`, all by default. Sizes, row counts and schemas are compared, and with
    `is_hashed` also the sha256 of the file.
    """
    chosen = [manifest.parts[i] for i in (range(len(manifest.parts)) if places is None else places)]
    for faults in concurrently(lambda part: list(part_faults(manifest, part, is_hashed=is_hashed)), chosen):
        if faults:
            raise ManifestError(f"{faults[0]}; {RESTORE}")


def part_faults(manifest: Manifest, part: Part, *, is_hashed: bool) -> Iterator[str]:
    """Yield each thing that is wrong with one part, as a clause that begins with its URI."""
    uri = manifest.part_uri(part)
    faults = list(file_faults(uri, part.size_bytes, part.sha256 if is_hashed else None))
    yield from faults
    if f"{uri}: {MISSING}" in faults:
        return
    try:
        with storage.open_input(uri) as f, pq.ParquetFile(f) as parquet:
            rows, found = parquet.metadata.num_rows, parquet.schema_arrow
    except (pa.ArrowException, ValueError, OSError) as e:
        yield f"{uri}: not readable Parquet ({first_line(e) or type(e).__name__})"
        return
    if rows != part.rows:
        yield f"{uri}: {rows:,} rows, {part.rows:,} when it was committed"
    if names := _differing_columns(found, manifest.schema):
        yield f"{uri}: other columns than the manifest's ({', '.join(names[:5])})"


def file_faults(uri: str, committed_bytes: int, committed_sha256: str | None) -> Iterator[str]:
    """Yield what is wrong with one file, as `part_faults` does. Its bytes are read only if a sha256 is given."""
    try:
        size = file_size_bytes(uri)
    except FileNotFoundError:
        yield f"{uri}: {MISSING}"
        return
    if size != committed_bytes:
        yield f"{uri}: {size:,} bytes, {committed_bytes:,} when it was committed"
    elif committed_sha256 is not None and file_sha256(uri) != committed_sha256:
        yield f"{uri}: altered: its sha256 is not the committed one"


def _differing_columns(found: pa.Schema, wanted: pa.Schema) -> list[str]:
    ours, theirs = ({f.name: f.type for f in schema} for schema in (wanted, found))
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


def file_size_bytes(uri: str) -> int:
    """Return the size of the file at `uri`, without any cache. Raises FileNotFoundError."""
    fs, path = storage.filesystem(uri)
    fs.invalidate_cache(path.rsplit("/", 1)[0])
    return int(fs.info(path)["size"])


def file_sha256(uri: str) -> str:
    """Return the sha256 of the file at `uri`, in hexadecimal. Raises FileNotFoundError."""
    with storage.open_input(uri) as f:  # file_digest reuses one small buffer
        return hashlib.file_digest(f, "sha256").hexdigest()  # type: ignore[arg-type]


def concurrently(do: Callable[[S], T], each: Sequence[S], threads: int = CONCURRENT) -> Iterator[T]:
    """Yield `do(item)` of each item, in order, computed by `threads` threads."""
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(do, each)
