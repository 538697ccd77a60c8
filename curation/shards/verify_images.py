"""Checks that images are stored where the rows of a manifest say: their bytes, and the tar headers before them.

Rows are read in the order of the manifest and sorted by file and offset, some thousands at once. Images close to each
other are read together, as one span. Memory is bounded by one group of spans for each thread.
"""

import hashlib
import io
import itertools
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from tarfile import BLOCKSIZE, HeaderError, TarInfo, calc_chksums, nti  # type: ignore[attr-defined]
from typing import Any

import duckdb

from curation.shards.layout import image_member, layout_of
from curation.sources.byte_ranges import ByteRange, try_ranges
from curation.sources.tar_stream import ForwardReader, StrictTar
from manifests import storage
from manifests.draw.sampling import fraction_condition
from manifests.errors import BrokenSource
from manifests.format.schema import Stage, Status
from manifests.format.store import Manifest
from manifests.inspect.verify import Findings, Resources, database
from manifests.sql.duckdb_errors import duckdb_errors
from manifests.sql.engine import from_parts, quoted

ROWS_AT_ONCE = 8192
GROUP_BYTES = 32 << 20
SPAN_BYTES = 8 << 20
GAP_BYTES = 64 << 10  # between images: read, since another request costs more
NEAR_HEADER_BYTES = 4 * BLOCKSIZE  # a header, and a long name before it
FAR_HEADER_BYTES = 1 << 20  # a header, and whatever extended headers are before it
MIN_THREADS = 4
MISSING = "missing"
SOURCE_NEXT = "restore it as it was when it was scanned, or scan it again"
SHARD_NEXT = "restore it, or make the shards again"
_BEFORE_HEADER = (b"L", b"K", b"x", b"X", b"g")  # GNU's long names, pax headers


@dataclass(frozen=True, kw_only=True, slots=True)
class _Image:
    """One image, or sidecar of one, to check.

    `sha256` is None when only its header is checked; `folder` is set for a loose file.
    """

    key: str
    uri: str
    member: str
    offset: int
    size: int
    sha256: str | None
    folder: str | None = None
    is_sidecar: bool = False

    @property
    def start(self) -> int:
        """The first byte to read."""
        return 0 if self.folder is not None else max(0, self.offset - NEAR_HEADER_BYTES)

    @property
    def end(self) -> int:
        """The end of the bytes to read; of a loose file one more than there should be."""
        size = self.size if self.sha256 is not None else 0
        return size + 1 if self.folder is not None else self.offset + size


@dataclass(kw_only=True, slots=True)
class _Span:
    """Bytes of one file, and the images in them."""

    uri: str
    start: int
    end: int
    images: list[_Image]


@dataclass(kw_only=True, slots=True)
class _Checked:
    """What was found in one group: faults by address, and images that could not be read, and why."""

    images: int = 0
    image_bytes: int = 0
    sidecars: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)
    unread: list[tuple[_Image, str]] = field(default_factory=list)


def check_images(
    manifest: Manifest, parts: Sequence[int], found: Findings, means: Resources, *, fraction: float, salt: str
) -> None:
    """Read the images of `parts`, or a `fraction` of them chosen by `salt`, and compare each with its row.

    The images of a manifest of shards are read from its tars, where sidecars are looked for, too; other images are
    read from their sources. Faults and counts are added to `found`; rows without an image count as `images_skipped`.
    A file that is missing or cut short is one fault, however many rows depend on it.
    """
    advice = SHARD_NEXT if manifest.stage is Stage.SHARD else SOURCE_NEXT
    total = round(sum(manifest.parts[place].rows for place in parts) * fraction)
    threads = max(means.threads, MIN_THREADS)
    unread = _Unread(found.missing)
    with database(means) as db, ThreadPoolExecutor(threads) as pool:
        images = unread.leave_out(_images(db, manifest, parts, found, fraction_condition(fraction, salt)))
        groups = _groups(images, min(GROUP_BYTES, means.memory_bytes // (2 * threads)))
        for checked in _in_parallel(pool, groups, threads):
            found.checked.update(images=checked.images, image_bytes=checked.image_bytes)
            if checked.sidecars:
                found.checked.update(sidecars=checked.sidecars)
            for where, what in checked.faults:
                found.fault(where, what, advice)
            for image, why in checked.unread:
                unread.add(image, why)
            means.on_progress("images", found.checked["images"] + found.checked["images_skipped"], total)
    for (uri, why), rows in unread.counts.items():
        found.fault(uri, f"{why}; rows looked at that depend on it: {rows:,}", advice)


class _Unread:
    """Images that could not be read, counted by file and reason; no more are read of a file that is missing."""

    def __init__(self, reported: Iterable[str]) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._reported = frozenset(reported)
        self._last: dict[tuple[str, str], str] = {}
        self._gone: set[str] = set()
        self._has_folder: dict[str, bool] = {}

    def add(self, image: _Image, why: str) -> None:
        """Count an image; a loose one in a missing folder counts for the folder.

        A sidecar comes right after its image, and is not counted if that was.
        """
        uri = image.uri
        if why == MISSING and image.folder is not None:
            if image.folder not in self._has_folder:
                self._has_folder[image.folder] = storage.exists(image.folder)
            uri = uri if self._has_folder[image.folder] else image.folder
        if why == MISSING and (image.folder is None or uri == image.folder):
            self._gone.add(uri)
        self.counts[uri, why] += self._last.get((uri, why)) != image.key
        self._last[uri, why] = image.key

    def leave_out(self, images: Iterable[_Image]) -> Iterator[_Image]:
        """Yield the images of files that may exist, and count those of missing files, unless these are reported."""
        for image in images:
            if image.uri in self._gone or image.folder in self._gone:
                self.add(image, MISSING)
            elif image.uri not in self._reported:
                yield image


# --- which images, in which groups


def _images(
    db: duckdb.DuckDBPyConnection, manifest: Manifest, parts: Sequence[int], found: Findings, where: str
) -> Iterator[_Image]:
    """Yield the images of the rows that meet the condition `where`, in the order of the manifest."""
    names = ["key", "source", "member", "offset", "size", "sha256", "status", "format"]
    if manifest.stage is Stage.SHARD:
        names += ["shard", "shard_offset", "shard_size"]
        later = ("shard_sha256", *(name for columns in _SIDECARS.values() for name in columns))
        names += [name for name in later if name in manifest.schema.names]
    chosen = ", ".join(map(quoted, names))
    with duckdb_errors(manifest.uri):
        rows = db.sql(f"SELECT {chosen} FROM {from_parts(db, manifest, parts)} WHERE {where}")
        for batch in rows.to_arrow_reader(ROWS_AT_ONCE):
            for row in batch.to_pylist():
                image = _image(manifest, row)
                if image is None:
                    found.checked.update(images_skipped=1)
                elif image.size < 0 or image.offset < (BLOCKSIZE if image.folder is None else 0):
                    found.fault(image.uri, f"the row {image.key!r} has an impossible byte range", SOURCE_NEXT)
                else:
                    yield image
                    yield from _sidecars(manifest, row, found)


_SIDECARS = {"json": ("shard_json_offset", "shard_json_size"), "txt": ("shard_caption_offset", "shard_caption_size")}
"""By extension, the columns with their place in a tar, which earlier versions did not write."""


def _sidecars(manifest: Manifest, row: Mapping[str, Any], found: Findings) -> Iterator[_Image]:
    """Yield the sidecars of a row of a shard. Only their headers are checked: the tar as a whole has a sha256."""
    for extension, columns in _SIDECARS.items():
        offset, size = (row.get(name) for name in columns)
        if offset is None:
            continue
        uri = storage.join(manifest.shards_uri, row["shard"])
        if size is None or size < 0 or offset < BLOCKSIZE:
            found.fault(uri, f"the row {row['key']!r} has an impossible byte range of its {extension}", SHARD_NEXT)
            continue
        member = f"{row['key']}.{extension}"
        yield _Image(key=row["key"], uri=uri, member=member, offset=offset, size=size, sha256=None, is_sidecar=True)


def _image(manifest: Manifest, row: Mapping[str, Any]) -> _Image | None:
    """Return the image of a row, or None when it has none that can be compared."""
    if manifest.stage is Stage.SHARD:
        return _Image(
            key=row["key"],
            uri=storage.join(manifest.shards_uri, row["shard"]),
            member=image_member(row, layout_of(manifest)),
            offset=row["shard_offset"],
            size=row["shard_size"],
            sha256=row.get("shard_sha256") or row["sha256"],
        )
    is_unhashed = row["sha256"] is None and row["status"] != Status.TOO_LARGE
    if row["status"] == Status.EMPTY or row["offset"] is None or row["size"] is None or is_unhashed:
        return None
    source: str = row["source"]
    is_loose = source.endswith("/")
    return _Image(
        key=row["key"],
        uri=source + row["member"] if is_loose else source,
        member=row["member"],
        offset=row["offset"],
        size=row["size"],
        sha256=row["sha256"],
        folder=source if is_loose else None,
    )


def _groups(images: Iterator[_Image], group_bytes: int) -> Iterator[list[_Span]]:
    """Yield groups of spans of about `group_bytes` each."""
    while some := sorted(itertools.islice(images, ROWS_AT_ONCE), key=lambda image: (image.uri, image.offset)):
        group: list[_Span] = []
        total_bytes = 0
        for span in _spans(some):
            if group and total_bytes + span.end - span.start > group_bytes:
                yield group
                group, total_bytes = [], 0
            group.append(span)
            total_bytes += span.end - span.start
        yield group


def _spans(images: Sequence[_Image]) -> Iterator[_Span]:
    span: _Span | None = None
    for image in images:
        is_near = span is not None and image.uri == span.uri and image.start <= span.end + GAP_BYTES
        if span is not None and is_near and image.end - span.start <= SPAN_BYTES:
            span.end = max(span.end, image.end)
            span.images.append(image)
            continue
        if span is not None:
            yield span
        span = _Span(uri=image.uri, start=image.start, end=image.end, images=[image])
    if span is not None:
        yield span


def _in_parallel(pool: ThreadPoolExecutor, groups: Iterable[Sequence[_Span]], threads: int) -> Iterator[_Checked]:
    """Yield what is found in each group, in order; only as many groups are made as there are threads for."""
    waiting: deque[Future[_Checked]] = deque()
    for group in groups:
        waiting.append(pool.submit(_check, group))
        if len(waiting) > threads:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


# --- reading and comparing


def _check(group: Sequence[_Span]) -> _Checked:
    checked = _Checked()
    for span, data in zip(group, _read(group), strict=True):
        for image in span.images:
            if isinstance(data, OSError):
                is_missing = isinstance(data, FileNotFoundError)
                checked.unread.append(
                    (image, MISSING if is_missing else f"not readable ({type(data).__name__}: {data})")
                )
            elif span.start + len(data) < image.end - (image.folder is not None):
                checked.unread.append((image, "cut short"))
            else:
                checked.images += not image.is_sidecar
                checked.sidecars += image.is_sidecar
                checked.image_bytes += image.size if image.sha256 is not None else 0
                if wrong := _differences(image, data, image.offset - span.start):
                    checked.faults.append((image.uri, f"{_name(image)}: {' and '.join(wrong)}"))
    return checked


def _name(image: _Image) -> str:
    return f"row {image.key!r}" + ("" if image.folder is not None else f", byte {image.offset:,}")


def _read(spans: Sequence[_Span]) -> list[bytes | OSError]:
    return try_ranges([ByteRange(uri=s.uri, offset=s.start, size_bytes=s.end - s.start) for s in spans])


def _differences(image: _Image, data: bytes, at: int) -> list[str]:
    """Return what differs between the row of an image and `data`, in which its bytes begin at `at`."""
    wrong: list[str] = []
    if image.folder is not None and image.sha256 is not None and len(data) > image.size:
        wrong.append(f"more than the {image.size:,} bytes it had")
    elif image.sha256 is not None and hashlib.sha256(data[at : at + image.size]).hexdigest() != image.sha256:
        wrong.append("the bytes have another sha256")
    if image.folder is not None:
        return wrong
    header = member_before(data[max(0, at - NEAR_HEADER_BYTES) : at])
    if not wrong and not _fits(header, image) and image.offset > NEAR_HEADER_BYTES:
        header = member_before(_far_head(image))
    if header is None:
        wrong.insert(0, "no tar member begins there")
    elif not _fits(header, image):
        wrong.insert(0, f"{header.name!r} of {header.size:,} bytes is stored there, not {image.member!r}")
    return wrong


def _far_head(image: _Image) -> bytes:
    start = max(0, image.offset - FAR_HEADER_BYTES // BLOCKSIZE * BLOCKSIZE)
    (data,) = _read([_Span(uri=image.uri, start=start, end=image.offset, images=[])])
    return b"" if isinstance(data, OSError) else data


def _fits(header: TarInfo | None, image: _Image) -> bool:
    return header is not None and header.name == image.member and header.size == image.size


def member_before(blocks: bytes) -> TarInfo | None:
    """Return the header of the tar member whose bytes begin where `blocks` end, or None when none does.

    Long names and pax headers before it are used where `blocks` contain them completely.
    """
    first = len(blocks) - BLOCKSIZE
    if first < 0:
        return None
    while (earlier := _extension_before(blocks, first)) is not None:
        first = earlier
    try:
        header = StrictTar(ForwardReader(io.BytesIO(blocks[first:]), "")).next_header()
    except BrokenSource:
        return None
    return header if header is not None and header.offset_data == len(blocks) - first else None


def _extension_before(blocks: bytes, end: int) -> int | None:
    """Return where the extended header begins that ends at `end`, or None when there is none."""
    for start in range(end - 2 * BLOCKSIZE, -1, -BLOCKSIZE):
        block = blocks[start : start + BLOCKSIZE]
        if block[156:157] not in _BEFORE_HEADER:
            continue
        try:
            size, checksum = nti(block[124:136]), nti(block[148:156])
        except HeaderError:
            continue
        if start + BLOCKSIZE - (-size // BLOCKSIZE) * BLOCKSIZE == end and checksum in calc_chksums(block):
            return start
    return None
