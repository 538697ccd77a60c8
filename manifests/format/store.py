"""The manifest: a folder of Parquet files that is committed once and never modified.

my-manifest/part-00000.parquet ...   one per unit
my-manifest/_manifest.json           written last: a folder with this file is committed
my-manifest/_work/                   receipts of an unfinished run
"""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from manifests import exclusive, storage
from manifests.errors import ManifestError, StorageUnavailable
from manifests.format.cost import Spent, cost_of, images_worked
from manifests.format.digest import combine, digest, settings_hash
from manifests.format.receipts import WORK, Receipt, add_counts
from manifests.format.schema import FORMAT_VERSION, Stage, schema
from manifests.format.stand_ins import name_stand_in
from manifests.format.wellformed import wrong_fields

MANIFEST_FILE = "_manifest.json"
_HASH_IN_NAME = re.compile(r"(-[0-9a-f]{12})?\.parquet$")
_NOT_SETTINGS = ("operation", "duckdb", "shards_at")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """One Parquet file of a manifest, as committed.

    `lanes` is the sum of its row hashes (see manifests.format.digest), `key_lanes` that of the hashes of its keys;
    earlier versions wrote none. `files` are written next to it, such as the tars of shards: name → `bytes`, `sha256`.
    """

    name: str
    rows: int
    size_bytes: int
    sha256: str
    lanes: tuple[int, int, int, int]
    files: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    key_lanes: tuple[int, int, int, int] | None = None

    @property
    def unit(self) -> str:
        """The name of the unit that wrote it: the file name without the hash of its content."""
        return unit_of(self.name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parent:
    """A manifest that another one was made from."""

    uri: str
    stage: str
    digest: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """A committed manifest: the content of `_manifest.json`.

    `digest` depends only on the rows (see format.digest). `fingerprint` is the hash of the stage, configuration,
    software and inputs of the run that made it (see digest.settings_hash). `cost` is in no hash; earlier
    versions recorded less of it, see format.cost. `derivation` is empty unless an operation made the manifest: it has
    the `operation` (sample, select, merge, patch) and its settings. `stage` and `config` are then those of the
    manifest that the rows were taken from.
    """

    uri: str
    stage: Stage
    rows: int
    digest: str
    fingerprint: str
    config: Mapping[str, Any]
    software: Mapping[str, str]
    inputs: Mapping[str, Any]
    parents: Sequence[Parent]
    roots: Sequence[str]
    counts: Mapping[str, Mapping[str, int]]
    funnel: Sequence[Mapping[str, Any]]
    parts: Sequence[Part]
    broken_sources: Mapping[str, str]
    facts: Mapping[str, int]
    cost: Mapping[str, Any]
    created: str
    schema: pa.Schema
    derivation: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    source_warnings: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def made_by(self) -> str:
        """The name of the stage or operation that made it."""
        return str(self.derivation.get("operation", self.stage))

    @property
    def operation_settings(self) -> dict[str, Any]:
        """The settings of the operation that made it; empty if a stage made it."""
        return {name: value for name, value in self.derivation.items() if name not in _NOT_SETTINGS}

    @property
    def shards_uri(self) -> str:
        """The folder with the tars that the column `shard` names."""
        return str(self.derivation.get("shards_at", self.uri))

    @property
    def size_bytes(self) -> int:
        """The size of all parts together."""
        return sum(part.size_bytes for part in self.parts)

    def part_uri(self, part: Part) -> str:
        """Return the URI of `part`."""
        return storage.join(self.uri, part.name)

    def read_part(self, part: Part, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of one part, with `columns` or all. Raises ManifestError when it is missing or damaged."""
        tables = list(read_batches(self.part_uri(part), columns))
        return pa.Table.from_batches(tables, schema=None if tables else _narrow(self.schema, columns))

    def to_json(self) -> bytes:
        """Return the content of `_manifest.json`."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("uri", "schema")}
        for name in ("parts", "parents"):
            fields[name] = [dataclasses.asdict(each) for each in fields[name]]
        described = [
            {"name": f.name, "type": str(f.type), "description": (f.metadata or {})[b"description"].decode()}
            for f in self.schema
        ]
        document = {"format_version": FORMAT_VERSION, **fields, "schema": described}
        return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _narrow(full: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    return full if columns is None else pa.schema([full.field(c) for c in columns])


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message: libraries add details and traces below it."""
    return str(error).strip().split("\n", 1)[0]


def read_batches(
    uri: str, columns: Sequence[str] | None = None, batch_rows: int = 16_384, *, rows: int | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of one Parquet part, with `columns` or all, in batches of at most `batch_rows` rows.

    Raises ManifestError when the part is missing, is not readable Parquet, or does not have `rows` rows, if given.
    """
    try:
        with storage.open_input(uri) as f:
            reader = pq.ParquetFile(f)
            if rows is not None and reader.metadata.num_rows != rows:
                raise ManifestError(
                    f"{uri}: {reader.metadata.num_rows:,} rows, {rows:,} when it was committed; restore it, or make "
                    "the manifest again"
                )
            yield from reader.iter_batches(batch_size=batch_rows, columns=columns)
    except FileNotFoundError as e:
        raise ManifestError(f"{uri}: missing; restore it, or make the manifest again") from e
    except (pa.ArrowException, ValueError, OSError) as e:
        raise ManifestError(
            f"{uri}: not readable Parquet ({first_line(e)}); restore it, or make the manifest again"
        ) from e


def manifest_uri(uri: str) -> str:
    """Return the URI of `_manifest.json` of the manifest at `uri`."""
    return storage.join(storage.absolute(uri), MANIFEST_FILE)


def is_committed(uri: str) -> bool:
    """Return whether there is a committed manifest at `uri`."""
    return storage.exists(manifest_uri(uri))


def open_manifest(uri: str) -> Manifest:
    """Return the committed manifest at `uri`, a path or URI of its folder. No part is read.

    Raises ManifestError when there is none, when it is unfinished, or when `_manifest.json` is not readable.
    """
    uri = storage.absolute(uri)
    try:
        raw = storage.read_bytes(storage.join(uri, MANIFEST_FILE))
    except (FileNotFoundError, NotADirectoryError) as e:
        if isinstance(e, StorageUnavailable):
            raise ManifestError(str(e)) from e
        if storage.list_names(storage.join(uri, WORK)):
            raise ManifestError(f"{uri}: unfinished; run the command that makes it again to resume it") from e
        raise ManifestError(f"{uri}: no manifest here ({MANIFEST_FILE} is missing)") from e
    try:
        fields = json.loads(raw)
    except ValueError as e:
        stand_in = name_stand_in(raw)
        why = f"not JSON but {stand_in}" if stand_in else f"not JSON ({e}); make the manifest again"
        raise ManifestError(f"{uri}/{MANIFEST_FILE}: {why}") from e
    if not isinstance(fields, dict) or fields.get("format_version") != FORMAT_VERSION:
        found = fields.get("format_version") if isinstance(fields, dict) else None
        raise ManifestError(
            f"{uri}/{MANIFEST_FILE}: format version {found!r}, this curate reads {FORMAT_VERSION}; upgrade curate"
        )
    if wrong := wrong_fields(fields):
        raise ManifestError(
            f"{uri}/{MANIFEST_FILE}: damaged (the type of {', '.join(wrong)}); make the manifest again"
        )
    try:
        return from_document(uri, fields)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise ManifestError(f"{uri}/{MANIFEST_FILE}: damaged ({e!r}); make the manifest again") from e


def from_document(uri: str, fields: Mapping[str, Any]) -> Manifest:
    """Return the manifest at `uri` from `fields`, the content of its `_manifest.json`.

    Raises ManifestError when its schema is that of a later curate; KeyError, TypeError, ValueError or AttributeError
    when it is damaged.
    """
    later = ("derivation", "source_warnings")  # earlier versions wrote none
    known = {f.name for f in dataclasses.fields(Manifest)} - {"uri", *later}
    values = {name: fields[name] for name in known}
    values["stage"] = Stage(values["stage"])
    values["parts"] = [part_of(p) for p in values["parts"]]
    values["parents"] = [Parent(**p) for p in values["parents"]]
    values["schema"] = _recorded_schema(uri, values["stage"], fields["schema"])
    return Manifest(uri=uri, **{name: fields.get(name, {}) for name in later}, **values)


def _recorded_schema(uri: str, stage: Stage, columns: Sequence[Mapping[str, Any]]) -> pa.Schema:
    """Return the schema that `_manifest.json` records: the columns of this version, or fewer of an earlier one."""
    known = schema(stage)
    unknown = [c["name"] for c in columns if known.get_field_index(c["name"]) < 0]
    unknown += [
        c["name"] for c in columns if c["name"] not in unknown and str(known.field(c["name"]).type) != c["type"]
    ]
    if unknown:
        raise ManifestError(
            f"{uri}/{MANIFEST_FILE}: its schema is that of a later curate; this one does not know its "
            f"{', '.join(unknown[:5])}; upgrade curate"
        )
    return pa.schema([known.field(c["name"]) for c in columns])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance:
    """What `_manifest.json` records apart from the receipts: everything that decided the rows.

    `schema` is None if it is that of the stage. A manifest derived from one of an earlier version has fewer columns.
    """

    stage: Stage
    config: Mapping[str, Any]
    software: Mapping[str, str]
    inputs: Mapping[str, Any]
    parents: Sequence[Parent]
    roots: Sequence[str]
    funnel: Sequence[Mapping[str, Any]]
    derivation: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    schema: pa.Schema | None = None

    @property
    def fingerprint(self) -> str:
        """The hash of everything that decided the rows: stage, configuration, software and inputs."""
        derivation = [self.derivation] if self.derivation else []
        return settings_hash(self.stage, self.config, self.software, self.inputs, *derivation)

    @property
    def made_by(self) -> str:
        """The name of the stage or operation that makes it."""
        return str(self.derivation.get("operation", self.stage))


def commit(
    uri: str,
    receipts: Sequence[Receipt],
    about: Provenance,
    *,
    created: str,
    spent: Spent | None = None,
    run_folder: str | None = None,
) -> Manifest:
    """Write `_manifest.json` from the receipts of all units, and return the manifest.

    The row of this stage is added to the funnel of `about`. `run_folder` is the URI of the folder of the run that
    commits. A run that takes over removes it, and then nothing can be committed on a disk: raises FileNotFoundError.
    Raises ManifestError when there is a manifest already.
    """
    uri = storage.absolute(uri)
    manifest = _manifest_of(uri, receipts, about, created=created, spent=spent or Spent())
    if not _put_in_place(manifest, run_folder):
        raise ManifestError(f"{uri}: there is a committed manifest already, which is never modified")
    return manifest


def _manifest_of(uri: str, receipts: Sequence[Receipt], about: Provenance, *, created: str, spent: Spent) -> Manifest:
    ordered = sorted(receipts, key=lambda r: r.part)
    rows = sum(r.rows for r in ordered)
    counts = add_counts(r.counts for r in ordered)
    images = images_worked(about.made_by, rows, counts)
    cost = cost_of(ordered, images, spent)
    columns = schema(about.stage) if about.schema is None else about.schema
    return Manifest(
        uri=uri,
        stage=about.stage,
        rows=rows,
        digest=digest(combine(r.row_lanes for r in ordered), rows, columns),
        fingerprint=about.fingerprint,
        config=about.config,
        software=about.software,
        inputs=about.inputs,
        parents=about.parents,
        roots=about.roots,
        counts=counts,
        funnel=[
            *about.funnel,
            {
                "stage": about.made_by,
                "rows": rows,
                "core_seconds": cost["core_seconds"],
                "images_worked": images,
                **counts,
            },
        ],
        parts=[
            Part(
                name=r.part,
                rows=r.rows,
                size_bytes=r.size_bytes,
                sha256=r.sha256,
                lanes=r.lanes,
                key_lanes=r.key_lanes,
                files=r.files,
            )
            for r in ordered
        ],
        broken_sources=dict(sorted((s, why) for r in ordered for s, why in r.broken_sources.items())),
        source_warnings=dict(sorted((s, why) for r in ordered for s, why in r.source_warnings.items())),
        facts=add_counts({"facts": r.facts} for r in ordered).get("facts", {}),
        cost=cost,
        created=created,
        schema=columns,
        derivation=about.derivation,
    )


def _put_in_place(manifest: Manifest, run_folder: str | None) -> bool:
    """Write `_manifest.json` if there is none yet, in one step, and return whether it was written."""
    place, content = storage.join(manifest.uri, MANIFEST_FILE), manifest.to_json()
    if run_folder is None or not storage.is_local(manifest.uri):
        return exclusive.create(place, content)
    staged = storage.join(run_folder, MANIFEST_FILE)
    exclusive.rewrite(staged, content)
    return exclusive.put_file(place, Path(storage.filesystem(staged)[1]))


def unit_of(part: str) -> str:
    """Return the name of the unit that wrote the part of this name: without the hash of its content."""
    return _HASH_IN_NAME.sub("", part)


def part_of(fields: Mapping[str, Any]) -> Part:
    """Return the part that JSON describes."""
    keys = fields.get("key_lanes")
    lanes = {"lanes": lanes_of(fields["lanes"]), "key_lanes": None if keys is None else lanes_of(keys)}
    return Part(**{**fields, **lanes})


def lanes_of(values: Sequence[int]) -> tuple[int, int, int, int]:
    """Return lanes as plain integers, as receipts and parts store them."""
    a, b, c, d = np.asarray(values, np.uint64).tolist()
    return a, b, c, d
