"""Complete verification of a manifest for `curate verify`: its files, sums and keys, and every row.

`check_files` reads every byte once to hash it. `check_rows` decodes every row. Neither stops at a fault: all faults
are collected in a Findings. (manifests.format.integrity has the quick checks that protect other operations.)
"""

import contextlib
import dataclasses
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from manifests import storage
from manifests.errors import CurateError, ManifestError
from manifests.format.digest import Lanes, combine, digest, no_rows, row_lanes
from manifests.format.integrity import (
    CONCURRENT,
    MISSING,
    RESTORE,
    concurrently,
    file_faults,
    file_size_bytes,
    file_sizes,
    part_faults,
)
from manifests.format.receipts import COUNTED, add_counts, count_values
from manifests.format.schema import Stage, Status
from manifests.format.store import MANIFEST_FILE, Manifest, Part, open_manifest, read_batches
from manifests.sql.duckdb_errors import duckdb_errors
from manifests.sql.engine import DEFAULT_MEMORY_BYTES, connect, from_parts

AGAIN = "make the manifest again"
HASH_BYTES = 8
_LEFTOVERS = (".parquet", ".tar")


class Depth(StrEnum):
    """How thorough a verification is. Each level includes the one before."""

    QUICK = "quick"
    """Files, sums and keys."""
    ROWS = "rows"
    """Every row is read."""
    DEEP = "deep"
    """Images are read by byte range."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong: where, what, and what to do."""

    where: str
    what: str
    next: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resources:
    """What a verification may use: memory, threads, and the folder for temporary files.

    `on_progress` is called with a step, how much of it is done, and how much there is in all.
    """

    memory_bytes: int = DEFAULT_MEMORY_BYTES
    threads: int = dataclasses.field(default_factory=lambda: len(os.sched_getaffinity(0)))
    temp_folder: str | None = None
    on_progress: Callable[[str, int, int], None] = lambda step, done, total: None


class Findings:
    """The result of a verification. All faults are counted, and the first `max_faults` are stored (None: all)."""

    def __init__(self, max_faults: int | None = None) -> None:
        self.faults: list[Fault] = []
        self.fault_count = 0
        self.notes: list[str] = []
        self.checked: Counter[str] = Counter()
        self.missing: set[str] = set()
        self._max_faults = max_faults

    @property
    def is_valid(self) -> bool:
        """Whether there are no faults."""
        return self.fault_count == 0

    def fault(self, where: str, what: str, then: str) -> None:
        """Record a fault."""
        self.fault_count += 1
        if self._max_faults is None or len(self.faults) < self._max_faults:
            self.faults.append(Fault(where=where, what=what, next=then))

    def note(self, text: str) -> None:
        """Record something that is worth knowing but no fault."""
        self.notes.append(text)


def _document(manifest: Manifest) -> str:
    return storage.join(manifest.uri, MANIFEST_FILE)


# --- files, sums and keys


def check_files(manifest: Manifest, found: Findings, resources: Resources) -> list[int]:
    """Check files, sums and keys, and return the parts without faults, as positions in `manifest.parts`."""
    _check_sums(manifest, found)
    _check_sources(manifest, found)
    with ThreadPoolExecutor(1) as pool:
        keys = pool.submit(_are_keys_unique, manifest, resources)  # sorts on one core while the others hash files
        sizes = file_sizes(manifest.uri)
        intact = _check_parts(manifest, sizes, found, resources)
        _check_files_beside(manifest, sizes, found, resources)
        _note_leftovers(manifest, sizes, found)
        if keys.result() and len(intact) == len(manifest.parts):
            found.checked.update(keys=manifest.rows)
        else:
            check_keys(manifest, intact, found, resources)
    return intact


def _check_sums(manifest: Manifest, found: Findings) -> None:
    document, parts = _document(manifest), manifest.parts
    rows = sum(part.rows for part in parts)
    if rows != manifest.rows:
        found.fault(document, f"{manifest.rows:,} rows, but its parts have {rows:,}", AGAIN)
    statuses = manifest.counts.get("status")
    if statuses is not None and sum(statuses.values()) != manifest.rows:
        found.fault(document, f"{manifest.rows:,} rows, but {sum(statuses.values()):,} by status", AGAIN)
    lanes = combine(np.array(part.lanes, np.uint64) for part in parts)
    if digest(lanes, rows, manifest.schema) != manifest.digest:
        found.fault(document, "its digest is not that of its parts", AGAIN)
    for name, times in Counter(part.name for part in parts).items():
        if times > 1:
            found.fault(document, f"names the part {name} {times} times", AGAIN)


def _check_sources(manifest: Manifest, found: Findings) -> None:
    """Read the table of the sources, which nothing else does; that of the parts was read by now."""
    try:
        dict(manifest.inputs.get("sources", {}))
    except ManifestError as e:
        uri, _, what = str(e).partition(": ")
        found.fault(uri, what.partition(";")[0], f"restore it, or {AGAIN}")


def _check_parts(manifest: Manifest, sizes: Mapping[str, int], found: Findings, resources: Resources) -> list[int]:
    """Return the positions of the parts without faults."""
    intact: list[int] = []
    done_bytes = 0
    checks = concurrently(
        lambda part: list(part_faults(manifest, part, sizes)), manifest.parts, _readers(manifest, resources)
    )
    for place, (part, faults) in enumerate(zip(manifest.parts, checks, strict=True)):
        uri = manifest.part_uri(part)
        for text in faults:
            found.fault(uri, text.removeprefix(f"{uri}: "), RESTORE)
        if not faults:
            intact.append(place)
        found.checked.update(parts=1, bytes=part.size_bytes)
        done_bytes += part.size_bytes
        resources.on_progress("bytes of parts", done_bytes, manifest.size_bytes)
    return intact


def _readers(manifest: Manifest, resources: Resources) -> int:
    """Return how many files to read at a time: object stores answer many requests in parallel."""
    return resources.threads if storage.is_local(manifest.uri) else max(resources.threads, CONCURRENT)


def _check_files_beside(manifest: Manifest, sizes: Mapping[str, int], found: Findings, resources: Resources) -> None:
    """Check the files next to the parts: the tars of shards, their statistics and indexes."""
    files = [(part.rows, name, about) for part in manifest.parts for name, about in sorted(part.files.items())]
    files += [(manifest.rows, path, about) for path, about in sorted(manifest.files.items())]
    total_bytes = sum(recorded["bytes"] for *_, recorded in files)
    done_bytes = 0

    def faults_of(each: tuple[int, str, Any]) -> list[str]:
        _, name, recorded = each
        uri = storage.join(manifest.uri, name)
        found_bytes = file_size_bytes(uri) if "/" in name else sizes.get(name)
        return list(file_faults(uri, recorded["bytes"], recorded.get("sha256"), found_bytes=found_bytes))

    checks = concurrently(faults_of, files, _readers(manifest, resources))
    for (rows, name, recorded), faults in zip(files, checks, strict=True):
        uri = storage.join(manifest.uri, name)
        for text in faults:
            what = text.removeprefix(f"{uri}: ")
            if what == MISSING:
                found.missing.add(uri)
            needed = f"; rows that depend on it: {rows:,}" if name.endswith(".tar") else ""
            found.fault(uri, what + needed, "restore the file, or make the shards again")
        size_bytes = recorded["bytes"]
        found.checked.update(files=1, bytes=size_bytes)
        done_bytes += size_bytes
        resources.on_progress("bytes of shards", done_bytes, total_bytes)


def _note_leftovers(manifest: Manifest, sizes: Mapping[str, int], found: Findings) -> None:
    named = {part.name for part in manifest.parts} | {name for part in manifest.parts for name in part.files}
    for name in sorted(sizes):
        if name not in named and name.endswith(_LEFTOVERS) and not name.startswith((".", "_")):
            uri = storage.join(manifest.uri, name)
            found.note(f"{uri}: belongs to no part; tools that read every file of the folder would read it, too")


@contextlib.contextmanager
def database(resources: Resources) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a DuckDB connection with the memory and threads of `resources`, and a temporary folder to spill to."""
    with tempfile.TemporaryDirectory(prefix="curate-", dir=resources.temp_folder) as spill:
        db = connect(memory_bytes=resources.memory_bytes, threads=resources.threads, spill=spill)
        try:
            yield db
        finally:
            db.close()


def check_keys(manifest: Manifest, places: Sequence[int], found: Findings, resources: Resources) -> None:
    """Find keys that several rows of the parts at `places` have, and add them to `found`.

    64-bit hashes of the keys are compared, and the keys themselves only if two hashes are equal.
    """
    rows = sum(manifest.parts[place].rows for place in places)
    if rows == 0:
        return
    resources.on_progress("keys", 0, rows)
    with database(resources) as db, duckdb_errors(manifest.uri, is_streamed=True):
        table = from_parts(db, manifest, places)
        if not _are_hashes_unique(db, table, rows, resources.memory_bytes // 16):
            for key, times, first, last in _repeated(db, table):
                _fault_key(manifest, found, key, times, [manifest.parts[places[at]] for at in (first, last)])
    found.checked.update(keys=rows)
    resources.on_progress("keys", rows, rows)


def _are_keys_unique(manifest: Manifest, resources: Resources) -> bool:
    """Return whether all keys of the manifest have different hashes; False also if a part cannot be read."""
    places = range(len(manifest.parts))
    try:
        with database(resources) as db:
            return _are_hashes_unique(
                db, from_parts(db, manifest, places), manifest.rows, resources.memory_bytes // 16
            )
    except (duckdb.Error, pa.ArrowException, OSError):  # the checks of single parts will find and report it
        return False


def _are_hashes_unique(db: duckdb.DuckDBPyConnection, table: str, rows: int, max_bytes: int) -> bool:
    if rows * HASH_BYTES <= max_bytes:  # sorting them costs a fraction of a hash table
        hashes = np.sort(db.sql(f"SELECT hash(key) AS h FROM {table}").to_arrow_table().column("h").to_numpy())
        return not bool((hashes[1:] == hashes[:-1]).any())
    ((counted, distinct),) = db.execute(f"SELECT count(*), count(DISTINCT hash(key)) FROM {table}").fetchall()
    return bool(counted == distinct)


def _repeated(db: duckdb.DuckDBPyConnection, table: str) -> Iterator[tuple[str | None, int, int, int]]:
    """Yield repeated keys: the key, the number of its rows, the first and the last file that they are in."""
    answer = db.sql(
        f"""
        WITH alike AS (SELECT hash(key) AS h FROM {table} GROUP BY h HAVING count(*) > 1)
        SELECT key, count(*) AS times, min(file_index) AS first, max(file_index) AS last
        FROM {table} WHERE hash(key) IN (SELECT h FROM alike)
        GROUP BY key HAVING count(*) > 1 ORDER BY key
        """
    )
    for batch in answer.to_arrow_reader(8192):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _fault_key(manifest: Manifest, found: Findings, key: str | None, times: int, ends: Sequence[Part]) -> None:
    first, last = ends
    where = manifest.part_uri(first)
    named = "no key" if key is None else f"the key {key!r}"
    also = f", the last in {last.name}" if last.name != first.name else ""
    found.fault(where, f"{times:,} rows have {named}{also}; keys are unique", AGAIN)


# --- every row


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Reread:
    """The sums of one part's rows, or the problem that kept it from being read."""

    lanes: Lanes
    counts: dict[str, dict[str, int]]
    problem: str | None = None


def check_rows(manifest: Manifest, intact: Sequence[int], found: Findings, resources: Resources) -> None:
    """Read every row of the parts `intact`, and compare digests, counts and references with what was committed."""
    parts = [manifest.parts[place] for place in intact]
    total = sum(part.rows for part in parts)
    done = 0
    counts = []
    for part, reread in zip(parts, concurrently(lambda p: _read(manifest, p), parts, resources.threads), strict=True):
        _compare(manifest, part, reread, found)
        counts.append(reread.counts)
        done += part.rows
        resources.on_progress("rows", done, total)
    found.checked.update(rows=total)
    if len(intact) < len(manifest.parts):
        found.note(f"damaged parts, whose rows were not read: {len(manifest.parts) - len(intact):,}")
        return
    _compare_counts(manifest, add_counts(counts), found)
    check_duplicates(manifest, found, resources)


def _read(manifest: Manifest, part: Part) -> _Reread:
    lanes, counts = no_rows(), []
    try:
        for batch in read_batches(manifest.part_uri(part)):
            lanes = lanes + row_lanes(batch, manifest.roots)
            counts.append(count_values(batch))
    except ManifestError as e:
        return _Reread(lanes=lanes, counts={}, problem=str(e))
    return _Reread(lanes=lanes, counts=add_counts(counts))


def _compare(manifest: Manifest, part: Part, reread: _Reread, found: Findings) -> None:
    uri = manifest.part_uri(part)
    if reread.problem is not None:
        found.fault(uri, reread.problem.removeprefix(f"{uri}: "), RESTORE)
        return
    if tuple(reread.lanes.tolist()) != part.lanes:
        found.fault(uri, "the digest of its rows is not the committed one", RESTORE)
    for status, rows in reread.counts.get("status", {}).items():
        if status not in set(Status):
            found.fault(uri, f"the status {status!r} is not known; rows that have it: {rows:,}", AGAIN)


def _compare_counts(manifest: Manifest, counted: dict[str, dict[str, int]], found: Findings) -> None:
    """Compare the committed counts. Earlier versions counted fewer columns."""
    where = _document(manifest)
    for name in sorted(set(manifest.counts) & set(COUNTED)):
        recorded, rows = Counter(manifest.counts[name]), Counter(counted.get(name, {}))
        for value in sorted({*recorded, *rows}):
            if (committed := recorded[value]) != (read := rows[value]):
                found.fault(where, f"counts {committed:,} rows with {name} {value}, but there are {read:,}", AGAIN)


def check_duplicates(manifest: Manifest, found: Findings, resources: Resources) -> None:
    """Find duplicates whose `duplicate_of` should be the key of a row of the manifest, and is not.

    64-bit hashes are compared: with 10 billion rows, one wrong reference in a billion is missed.
    """
    if "duplicate_of" not in manifest.schema.names or manifest.stage is Stage.SHARD or manifest.rows == 0:
        return  # the rows that were not kept are not in the shards
    if manifest.derivation:
        found.note(f"duplicate_of is not checked: a {manifest.made_by} need not have all rows")
        return
    reference = "reference IS NULL" if "reference" in manifest.schema.names else "true"
    with database(resources) as db, duckdb_errors(manifest.uri, is_streamed=True):
        table = from_parts(db, manifest, range(len(manifest.parts)))
        answer = db.sql(
            f"""
            SELECT file_index, key, duplicate_of
            FROM (
                SELECT file_index, key, duplicate_of FROM {table} WHERE duplicate_of IS NOT NULL AND {reference}
            ) AS copies ANTI JOIN (SELECT hash(key) AS h FROM {table}) AS keys ON hash(copies.duplicate_of) = keys.h
            """
        )
        lost = answer.to_arrow_reader(8192)
        may_be_elsewhere: bool | None = False
        for number, batch in enumerate(lost):
            may_be_elsewhere = _was_compared_with_others(manifest) if number == 0 else may_be_elsewhere
            if may_be_elsewhere is not False:
                break
            for place, key, other in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                where = manifest.part_uri(manifest.parts[place])
                found.fault(
                    where, f"the row {key!r} is a duplicate of {other!r}, which is not the key of any row", AGAIN
                )
    if may_be_elsewhere is None:
        found.note(
            "some duplicate_of are no keys of this manifest, and the manifest of dedupe that would explain it is gone"
        )


def _was_compared_with_others(manifest: Manifest) -> bool | None:
    """Return whether rows may be duplicates of rows of other manifests; None if that is unknown."""
    try:
        while True:
            if manifest.derivation or any(name.startswith("against:") for name in manifest.inputs):
                return True
            if manifest.stage is Stage.DEDUPE:
                return False
            parent = manifest.parents[0]
            manifest = open_manifest(parent.uri)
            if manifest.digest != parent.digest:
                return None
    except (CurateError, OSError, IndexError):
        return None
