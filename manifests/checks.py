"""Whether the parts of a manifest are what it says: sizes and footers before reading, hashes before copying."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from manifests import storage
from manifests.errors import ManifestError
from manifests.store import Manifest, Part

CONCURRENT = 16
CHUNK_BYTES = 4 << 20
RESTORE = "restore the part, or make the manifest again"
T = TypeVar("T")


def require_whole(manifest: Manifest, places: Sequence[int] | None = None, *, is_hashed: bool = False) -> None:
    """Raise ManifestError, naming the first part, in order, that is not what `_manifest.json` says.

    `places` are positions in `manifest.parts`, all by default. Sizes, row counts and schemas are compared, and the
    sha256 of every byte when `is_hashed`.
    """
    chosen = [manifest.parts[i] for i in (range(len(manifest.parts)) if places is None else places)]
    for faults in concurrently(lambda part: list(part_faults(manifest, part, is_hashed=is_hashed)), chosen):
        if faults:
            raise ManifestError(f"{faults[0]}; {RESTORE}")


def part_faults(manifest: Manifest, part: Part, *, is_hashed: bool) -> Iterator[str]:
    """Yield what is wrong with one part, each as a clause that begins with its address."""
    uri = manifest.part_uri(part)
    try:
        size = size_bytes(uri)
    except FileNotFoundError:
        yield f"{uri}: missing"
        return
    if size != part.size_bytes:
        yield f"{uri}: {size:,} bytes, {part.size_bytes:,} when it was committed"
    elif is_hashed and sha256(uri) != part.sha256:
        yield f"{uri}: altered: its sha256 is not the committed one"
    try:
        with storage.open_input(uri) as f, pq.ParquetFile(f) as parquet:
            rows, found = parquet.metadata.num_rows, parquet.schema_arrow
    except (pa.ArrowException, ValueError, OSError) as e:
        yield f"{uri}: not readable Parquet ({e})"
        return
    if rows != part.rows:
        yield f"{uri}: {rows:,} rows, {part.rows:,} when it was committed"
    if (names := _differing_columns(found, manifest.schema)) != []:
        yield f"{uri}: other columns than the manifest's ({', '.join(names[:5])})"


def _differing_columns(found: pa.Schema, wanted: pa.Schema) -> list[str]:
    ours, theirs = ({f.name: f.type for f in schema} for schema in (wanted, found))
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


def size_bytes(uri: str) -> int:
    """Return the bytes at `uri`. Raises FileNotFoundError."""
    fs, path = storage.filesystem(uri)
    fs.invalidate_cache(path.rsplit("/", 1)[0])
    return int(fs.info(path)["size"])


def sha256(uri: str) -> str:
    """Return the sha256 of the bytes at `uri`, in hexadecimal."""
    hashed = hashlib.sha256()
    with storage.open_input(uri) as f:
        while chunk := f.read(CHUNK_BYTES):
            hashed.update(chunk)
    return hashed.hexdigest()


def concurrently(do: Callable[[Part], T], parts: Sequence[Part]) -> Iterator[T]:
    """Yield the answers of `do`, in order, CONCURRENT at a time."""
    with ThreadPoolExecutor(CONCURRENT) as pool:
        yield from pool.map(do, parts)
