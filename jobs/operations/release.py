"""Makes a release of shards: the files that its readers need, beside the tars or referring to them.

`release.json` is written last: a release is complete once it is there, and it lists all other files.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from importlib import metadata
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from curation.domains import list_version
from curation.release import gallery, release, sidecars
from curation.release.about import About
from curation.release.card import card
from curation.release.croissant import croissant
from curation.release.datasheet import datasheet
from curation.release.places import checksum_lines, is_relative, prefix_of
from curation.release.release import Planned, Previous, Release, Shown, tars_of
from curation.release.samples import SCHEMA, Samples, Totals, columns_read, require_own_tars
from curation.release.subsets import DEFAULT_SIZES, nested
from curation.release.versions import FIRST, Changes, changes_between
from jobs.operations.compare import compare
from jobs.operations.release_place import FORMAT_VERSION, Earlier, copy_tars, link_tars
from manifests import storage
from manifests.compare.diff import Comparison, DiffOptions
from manifests.format.regroup import regroup
from manifests.format.store import Manifest
from manifests.sql.engine import DuckEngine
from manifests.sql.lookup import rows_at

ROWS_PER_GROUP = 65_536


class Data(StrEnum):
    """Where the tars of a release are."""

    REFER = "refer"
    """Where they were made."""
    LINK = "link"
    """In the release, as hard links."""
    COPY = "copy"
    """In the release, as copies, whose sha256 is checked."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to release, where, and how.

    `gallery` is the number of pictures shown, `json_rows` that of samples whose json is read for licences; both are
    drawn by `salt`.
    """

    manifest: Manifest
    output: str
    about: About = field(default_factory=About)
    data: Data = Data.REFER
    base_url: str | None = None
    sizes: Sequence[int] = DEFAULT_SIZES
    gallery: int = 12
    json_rows: int = 100_000
    salt: str = "curate"
    previous: Earlier | None = None
    wants_patch: bool = True

    @property
    def took_down(self) -> bool:
        """Whether pictures were taken down since the previous release, which a patch would name again."""
        before = self.previous
        return before is not None and bool(set(self.manifest.taken_down) - set(before.manifest.taken_down))

    @property
    def has_patch(self) -> bool:
        """Whether the rows that differ from the previous release are written."""
        return self.previous is not None and self.wants_patch and not self.took_down

    @property
    def prefix(self) -> str:
        """What comes before the name of a tar. Raises InputError when readers could not find them."""
        if self.data is not Data.REFER and self.base_url is None:
            return f"{release.DATA}/"
        return prefix_of(self.output, self.manifest.uri, self.base_url)


def plan(request: Request, engine: DuckEngine, *, patch: str | None = None) -> Planned:
    """Return what the release will be. The patch from the previous one is written to the folder `patch`, if given.

    Only a patch needs the rows that are merely elsewhere: without one, columns that readers get are compared, which
    is cheaper, and how many rows are packed differently is not known.
    """
    tars = tars_of(request.manifest)
    changes = None if request.previous is None else _changes(request, request.previous, engine, patch)
    before = None if request.previous is None else request.previous.version
    return Planned(
        version=FIRST if before is None or changes is None else before.after(changes.bump),
        changes=changes,
        tars=tars,
        subsets=nested([tar.samples for tar in tars], request.sizes),
        prefix=request.prefix,
    )


def _changes(request: Request, earlier: Earlier, engine: DuckEngine, patch: str | None) -> Changes:
    before, after = earlier.manifest, request.manifest
    options = DiffOptions(limit=0, out=patch)
    columns = columns_read(after)
    names = [name for name in columns if name != "key"]
    comparison = Comparison() if request.has_patch else Comparison(columns=tuple(names))
    found = compare(before, after, comparison, options, lambda _: engine, may_replace=True)
    is_repacked = {tar.sha256 for tar in tars_of(before)} != {tar.sha256 for tar in tars_of(after)}
    changes = changes_between(found.tally, earlier.columns, columns, is_repacked=is_repacked)
    return changes if request.has_patch else replace(changes, repacked=None)


class Files:
    """Writes the files of a release to the folder `uri`, and remembers the bytes and sha256 of each."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.written: dict[str, dict[str, Any]] = {}

    def write(self, name: str, data: bytes) -> None:
        """Write one small file."""
        with storage.write_atomically(storage.join(self.uri, *name.split("/"))) as f:
            f.write(data)
        self.written[name] = {"bytes": f.size_bytes, "sha256": f.sha256.hexdigest()}

    def parquet(self, name: str, tables: Any, schema: pa.Schema) -> None:
        """Write `tables` as one Parquet file, whose bytes do not depend on how the rows are divided."""
        with storage.write_atomically(storage.join(self.uri, name)) as f:
            with pq.ParquetWriter(f, schema, compression="zstd") as writer:
                for table in regroup(tables, ROWS_PER_GROUP):
                    writer.write_table(table, row_group_size=ROWS_PER_GROUP)
            size_bytes, digest = f.size_bytes, f.sha256.hexdigest()
        self.written[name] = {"bytes": size_bytes, "sha256": digest}

    def csv(self, name: str, table: pa.Table) -> None:
        """Write a small table as CSV."""
        sink = pa.BufferOutputStream()
        pa_csv.write_csv(table, sink)
        self.write(name, sink.getvalue().to_pybytes())


def make(request: Request, engine: DuckEngine) -> tuple[Release, Mapping[str, Any]]:
    """Write the release, and return it with the content of its `release.json`.

    The folder must be empty, or prepared by release_place.make_room. Raises InputError when readers could not find
    the tars, BrokenSource when one of them is not the committed one, as far as it is read.
    """
    files = Files(request.output)
    patch = storage.join(request.output, release.PATCH) if request.has_patch else None
    planned = plan(request, engine, patch=patch)
    require_own_tars(engine, request.manifest, [tar.name for tar in planned.tars])
    if request.data is Data.LINK:
        link_tars(request.manifest.uri, storage.join(request.output, release.DATA), planned.tars)
    elif request.data is Data.COPY:
        copy_tars(request.manifest.uri, storage.join(request.output, release.DATA), planned.tars)
    found = sidecars.read_sidecars(engine, request.manifest, request.json_rows, request.salt)
    samples = Samples(engine, request.manifest, found)
    totals = samples.totals()
    _write_tables(files, samples, totals)
    made = Release(
        about=request.about,
        manifest=request.manifest,
        version=planned.version,
        tars=planned.tars,
        prefix=planned.prefix,
        totals=totals,
        subsets=planned.subsets,
        gallery=_write_gallery(files, request, samples),
        licences=samples.shares("license") if totals.counts["license"] else (),
        json_read=min(request.json_rows, request.manifest.rows),
        previous=_previous(request),
        changes=planned.changes,
        has_patch=request.has_patch,
        tables=dict(files.written),
        software={"curate": metadata.version("curate-images")},
    )
    return made, _write_documents(files, request, made)


def _previous(request: Request) -> Previous | None:
    earlier = request.previous
    if earlier is None:
        return None
    return Previous(name=earlier.name, version=earlier.version, digest=earlier.manifest.digest)


def _write_tables(files: Files, samples: Samples, totals: Totals) -> None:
    files.parquet(release.SAMPLES, samples.batches(), SCHEMA)
    domains = samples.domains()
    files.parquet(release.DOMAINS, [domains], domains.schema)
    top = domains.slice(0, len(totals.top_domains))
    shares = [round(size / totals.size_bytes, 6) for size in top.column("bytes").to_pylist()]
    files.csv(release.TOP_DOMAINS, top.append_column("share_of_bytes", pa.array(shares, pa.float64())))
    if totals.counts["license"]:
        licences = samples.licences()
        files.parquet(release.LICENCES, [licences], licences.schema)


def _write_gallery(files: Files, request: Request, samples: Samples) -> list[Shown]:
    if not request.gallery:
        return []
    places = samples.drawn(request.gallery, request.salt)
    columns = [name for name in gallery.COLUMNS if name in request.manifest.schema.names]
    rows = [row for table in rows_at(request.manifest, places, columns) for row in table.to_pylist()]
    shown = []
    for number, each in enumerate(gallery.thumbnails(request.manifest.uri, rows), 1):
        name = None if each.jpeg is None else f"{release.THUMBNAILS}/{number:02d}.jpg"
        if name is not None and each.jpeg is not None:
            files.write(name, each.jpeg)
        caption = each.row.get("caption") or ""
        shown.append(Shown(file=name, problem=each.problem, caption=caption))
    return shown


def _write_documents(files: Files, request: Request, made: Release) -> dict[str, Any]:
    for subset in made.subsets:
        lines = "".join(f"{made.url_of(tar)}\n" for tar in made.tars[: subset.tars])
        files.write(f"{release.SUBSETS}/{subset.name}.txt", lines.encode("utf-8", "surrogateescape"))
    files.write(release.CROISSANT, croissant(made))
    files.write(release.CARD, card(made))
    files.write(release.DATASHEET, datasheet(made))
    named = made.url_of if is_relative(made.prefix) else (lambda tar: tar.name)
    own = [(name, about["sha256"]) for name, about in sorted(files.written.items())]
    files.write(release.CHECKSUMS, checksum_lines([*((named(tar), tar.sha256) for tar in made.tars), *own]))
    document = _document(files, request, made)
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    storage.write_bytes(storage.join(files.uri, release.RELEASE), text.encode())
    return document


def _document(files: Files, request: Request, made: Release) -> dict[str, Any]:
    """Return the content of `release.json`."""
    previous = made.previous and {**asdict(made.previous), "version": str(made.previous.version)}
    return {
        "format_version": FORMAT_VERSION,
        "is_complete": True,
        "name": made.about.name,
        "version": str(made.version),
        "date": made.date,
        "digest": made.manifest.digest,
        "shards": _shards_place(request),
        "rows": made.manifest.rows,
        "columns": columns_read(made.manifest),
        "tars": len(made.tars),
        "bytes": made.tar_bytes,
        "data": request.data,
        "domains": made.totals.domains,
        "previous": previous,
        "changes": made.changes and asdict(made.changes),
        "subsets": [{"name": each.name, **asdict(each)} for each in made.subsets],
        "settings": {
            "base_url": request.base_url,
            "gallery": request.gallery,
            "json_rows": request.json_rows,
            "salt": request.salt,
            "sizes": list(request.sizes),
        },
        "software": {**made.software, "domains": list_version()},
        "files": dict(sorted(files.written.items())),
    }


def _shards_place(request: Request) -> str | None:
    """Return where the manifest of the shards is, for the next release; None if not to be found from the release."""
    if storage.is_local(request.manifest.uri) and not storage.is_local(request.output):
        return None
    return prefix_of(request.output, request.manifest.uri, None)
