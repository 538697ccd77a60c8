"""Whether a manifest is what it says: its files, its sums, its keys, and every row read again.

`check_files` reads every byte once, for its hash. `check_rows` decodes every row. Neither stops at a fault: all are
gathered in a Findings.
"""

import contextlib
import dataclasses
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from manifests import storage
from manifests.errors import CurateError, ManifestError
from manifests.format.digest import Lanes, combine, digest, no_rows, row_lanes
from manifests.format.integrity import CONCURRENT, MISSING, RESTORE, concurrently, file_faults, part_faults
from manifests.format.receipts import COUNTED, add_counts, count_values
from manifests.format.schema import Stage, Status
from manifests.format.store import MANIFEST_FILE, Manifest, Part, open_manifest, read_batches
from manifests.sql.engine import DEFAULT_MEMORY_BYTES, connect, from_parts, told_plainly

AGAIN = "make the manifest again"
HASH_BYTES = 8
_LEFTOVERS = (".parquet", ".tar")


class Depth(StrEnum):
    """How far a verification goes; each includes the one before."""

    QUICK = "quick"
    """Files, sums and keys."""
    ROWS = "rows"
    """Every row, read again."""
    DEEP = "deep"
    """Images, read by byte range."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong: where, what, and what to do next."""

    where: str
    what: str
    next: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resources:
    """What a verification may use. `on_progress` is told a step, how much of it is done, and of how much."""

    memory_bytes: int = DEFAULT_MEMORY_BYTES
    threads: int = dataclasses.field(default_factory=lambda: len(os.sched_getaffinity(0)))
    temp_folder: str | None = None
    on_progress: Callable[[str, int, int], None] = lambda step, done, total: None


class Findings:
    """What a verification found. Of the faults the first `max_faults` are kept, and all are counted."""

    def __init__(self, max_faults: int | None = None) -> None:
        self.faults: list[Fault] = []
        self.fault_count = 0
        self.notes: list[str] = []
        self.checked: Counter[str] = Counter()
        self.missing: set[str] = set()
        self._max_faults = max_faults

    @property
    def is_valid(self) -> bool:
        """Whether nothing is wrong."""
        return self.fault_count == 0

    def fault(self, where: str, what: str, then: str) -> None:
        """Record a fault."""
        self.fault_count += 1
        if self._max_faults is None or len(self.faults) < self._max_faults:
            self.faults.append(Fault(where=where, what=what, next=then))

    def note(self, text: str) -> None:
        """Record what is worth knowing and no fault."""
        self.notes.append(text)


def _document(manifest: Manifest) -> str:
    return storage.join(manifest.uri, MANIFEST_FILE)


# --- files, sums and keys


def check_files(manifest: Manifest, found: Findings, means: Resources) -> list[int]:
    """Check all that does not need the rows, and return which parts are whole, as positions in `manifest.parts`."""
    _check_sums(manifest, found)
    with ThreadPoolExecutor(1) as pool:
        keys = pool.submit(_are_keys_unique, manifest, means)  # sorts on one core what the others have time to hash
        whole = _check_parts(manifest, found, means)
        _check_beside(manifest, found, means)
        _note_leftovers(manifest, found)
        if keys.result() and len(whole) == len(manifest.parts):
            found.checked.update(keys=manifest.rows)
        else:
            check_keys(manifest, whole, found, means)
    return whole


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


def _check_parts(manifest: Manifest, found: Findings, means: Resources) -> list[int]:
    """Return which parts are whole."""
    whole: list[int] = []
    done_bytes = 0
    checks = concurrently(
        lambda part: list(part_faults(manifest, part, is_hashed=True)), manifest.parts, _readers(manifest, means)
    )
    for place, (part, faults) in enumerate(zip(manifest.parts, checks, strict=True)):
        uri = manifest.part_uri(part)
        for text in faults:
            found.fault(uri, text.removeprefix(f"{uri}: "), RESTORE)
        if not faults:
            whole.append(place)
        found.checked.update(parts=1, bytes=part.size_bytes)
        done_bytes += part.size_bytes
        means.on_progress("bytes of parts", done_bytes, manifest.size_bytes)
    return whole


def _readers(manifest: Manifest, means: Resources) -> int:
    """Return how many files to read at a time: a distant storage answers many requests at once."""
    return means.threads if storage.is_local(manifest.uri) else max(means.threads, CONCURRENT)


def _check_beside(manifest: Manifest, found: Findings, means: Resources) -> None:
    """Check the files that lie beside the parts: the tars of shards, and their statistics."""
    beside = [(part, name, told) for part in manifest.parts for name, told in sorted(part.files.items())]
    total_bytes = sum(told["bytes"] for *_, told in beside)
    done_bytes = 0

    def faults_of(each: tuple[Part, str, Any]) -> list[str]:
        _, name, told = each
        return list(file_faults(storage.join(manifest.uri, name), told["bytes"], told.get("sha256")))

    checks = concurrently(faults_of, beside, _readers(manifest, means))
    for (part, name, told), faults in zip(beside, checks, strict=True):
        uri = storage.join(manifest.uri, name)
        for text in faults:
            what = text.removeprefix(f"{uri}: ")
            if what == MISSING:
                found.missing.add(uri)
            needed = f"; rows that depend on it: {part.rows:,}" if name.endswith(".tar") else ""
            found.fault(uri, what + needed, "restore the file, or make the shards again")
        size_bytes = told["bytes"]
        found.checked.update(files=1, bytes=size_bytes)
        done_bytes += size_bytes
        means.on_progress("bytes of shards", done_bytes, total_bytes)


def _note_leftovers(manifest: Manifest, found: Findings) -> None:
    named = {part.name for part in manifest.parts} | {name for part in manifest.parts for name in part.files}
    for name in storage.list_names(manifest.uri):
        if name not in named and name.endswith(_LEFTOVERS) and not name.startswith((".", "_")):
            uri = storage.join(manifest.uri, name)
            found.note(f"{uri}: belongs to no part; tools that read every file of the folder would take it for one")


@contextlib.contextmanager
def database(means: Resources) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection that keeps to its memory and spills to a folder that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="curate-", dir=means.temp_folder) as spill:
        db = connect(memory_bytes=means.memory_bytes, threads=means.threads, spill=spill)
        try:
            yield db
        finally:
            db.close()


def check_keys(manifest: Manifest, places: Sequence[int], found: Findings, means: Resources) -> None:
    """Find keys that more than one row of the parts at `places` has.

    64-bit hashes of the keys are compared, and the keys themselves only where two hashes are the same.
    """
    rows = sum(manifest.parts[place].rows for place in places)
    if rows == 0:
        return
    means.on_progress("keys", 0, rows)
    with database(means) as db, told_plainly(manifest.uri, is_streamed=True):
        table = from_parts(db, manifest, places)
        if not _are_hashes_unique(db, table, rows, means.memory_bytes // 16):
            for key, times, first, last in _repeated(db, table):
                _fault_key(manifest, found, key, times, [manifest.parts[places[at]] for at in (first, last)])
    found.checked.update(keys=rows)
    means.on_progress("keys", rows, rows)


def _are_keys_unique(manifest: Manifest, means: Resources) -> bool:
    """Whether no two keys of the manifest have the same hash; False also when a part cannot be read."""
    places = range(len(manifest.parts))
    try:
        with database(means) as db:
            return _are_hashes_unique(db, from_parts(db, manifest, places), manifest.rows, means.memory_bytes // 16)
    except (duckdb.Error, pa.ArrowException, OSError):  # whatever it is, it is found again, and told, part by part
        return False


def _are_hashes_unique(db: duckdb.DuckDBPyConnection, table: str, rows: int, max_bytes: int) -> bool:
    if rows * HASH_BYTES <= max_bytes:  # sorting them costs a fraction of a hash table
        hashes = np.sort(db.sql(f"SELECT hash(key) AS h FROM {table}").to_arrow_table().column("h").to_numpy())
        return not bool((hashes[1:] == hashes[:-1]).any())
    ((counted, distinct),) = db.execute(f"SELECT count(*), count(DISTINCT hash(key)) FROM {table}").fetchall()
    return bool(counted == distinct)


def _repeated(db: duckdb.DuckDBPyConnection, table: str) -> Iterator[tuple[str | None, int, int, int]]:
    """Yield keys of more than one row: the key, its rows, the first file they are in and the last."""
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


# --- every row, read again


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Reread:
    """What one part's rows add up to, or why they could not be read."""

    lanes: Lanes
    counts: dict[str, dict[str, int]]
    problem: str | None = None


def check_rows(manifest: Manifest, whole: Sequence[int], found: Findings, means: Resources) -> None:
    """Read every row of the parts `whole` again, and compare its digest, its counts and what it refers to."""
    parts = [manifest.parts[place] for place in whole]
    total = sum(part.rows for part in parts)
    done = 0
    counts = []
    for part, reread in zip(parts, concurrently(lambda p: _read(manifest, p), parts, means.threads), strict=True):
        _compare(manifest, part, reread, found)
        counts.append(reread.counts)
        done += part.rows
        means.on_progress("rows", done, total)
    found.checked.update(rows=total)
    if len(whole) < len(manifest.parts):
        found.note(f"damaged parts, whose rows were not read: {len(manifest.parts) - len(whole):,}")
        return
    _compare_counts(manifest, add_counts(counts), found)
    check_duplicates(manifest, found, means)


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
        found.fault(uri, "its rows are not those whose digest was committed", RESTORE)
    for status, rows in reread.counts.get("status", {}).items():
        if status not in set(Status):
            found.fault(uri, f"the status {status!r} is not known; rows that have it: {rows:,}", AGAIN)


def _compare_counts(manifest: Manifest, counted: dict[str, dict[str, int]], found: Findings) -> None:
    """Compare the counts that were committed; an earlier curate counted fewer columns."""
    for name in sorted(set(manifest.counts) & set(COUNTED)):
        told, rows = dict(manifest.counts[name]), counted.get(name, {})
        for value in sorted({*told, *rows}):
            if told.get(value, 0) != rows.get(value, 0):
                found.fault(
                    _document(manifest),
                    f"counts {told.get(value, 0):,} rows with {name} {value}, but there are {rows.get(value, 0):,}",
                    AGAIN,
                )


def check_duplicates(manifest: Manifest, found: Findings, means: Resources) -> None:
    """Find duplicates whose `duplicate_of` no row of the manifest has as its key, where it should be one.

    Hashes of 64 bits are compared: of 10 billion rows, one reference in a billion that leads nowhere is not noticed.
    """
    if "duplicate_of" not in manifest.schema.names or manifest.stage is Stage.SHARD or manifest.rows == 0:
        return  # shards have no row of what was not kept
    if manifest.derivation:
        found.note(f"what duplicate_of names is not looked for: a {manifest.made_by} need not have all rows")
        return
    reference = "reference IS NULL" if "reference" in manifest.schema.names else "true"
    with database(means) as db, told_plainly(manifest.uri, is_streamed=True):
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
        is_elsewhere: bool | None = False
        for number, batch in enumerate(lost):
            is_elsewhere = _knows_others(manifest) if number == 0 else is_elsewhere
            if is_elsewhere is not False:
                break
            for place, key, other in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                where = manifest.part_uri(manifest.parts[place])
                found.fault(where, f"the row {key!r} is a duplicate of {other!r}, which no row is", AGAIN)
    if is_elsewhere is None:
        found.note(
            "some duplicate_of are no key of this manifest, and the manifest of dedupe that would say why is gone"
        )


def _knows_others(manifest: Manifest) -> bool | None:
    """Whether rows may be duplicates of rows of other manifests; None when that cannot be told."""
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
