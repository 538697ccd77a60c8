"""The manifest: a folder of Parquet files that is committed once and never modified.

my-manifest/part-00000-5f0c1a9e77b2.parquet ...   one per unit
my-manifest/_tables/parts-9b1d….parquet, …        its long lists, see manifests.format.tables
my-manifest/_evidence/pairs-….parquet, …          of dedupe: what was found when pictures were compared
my-manifest/_manifest.json                        written last: a folder with this file is committed
my-manifest/_work/                                receipts of an unfinished run
"""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from manifests import storage
from manifests.errors import ManifestError, StorageUnavailable
from manifests.format.digest import settings_hash
from manifests.format.parquet_files import open_parquet
from manifests.format.receipts import WORK
from manifests.format.schema import FORMAT_VERSION, READABLE_VERSIONS, RETIRED, Stage, schema
from manifests.format.stand_ins import name_stand_in
from manifests.format.tables import AS_JSON, TableFile, TableRows, table_names, without_tables
from manifests.format.wellformed import is_part, wrong_fields

MANIFEST_FILE = "_manifest.json"
EVIDENCE_FOLDER = "_evidence"
_HASH_IN_NAME = re.compile(r"(-[0-9a-f]{12})?\.parquet$")
_NOT_SETTINGS = ("operation", "duckdb", "shards_at")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """One Parquet file of a manifest, as committed.

    `lanes` is the sum of its row hashes (see manifests.format.digest), `key_lanes` that of the hashes of its keys;
    earlier versions wrote none. `files` are written next to it, such as the tars of shards: name → `bytes`, `sha256`.
    `fingerprint`, `counts` and `facts` are those of the unit that wrote it, see Receipt. The fingerprint is None if
    another run cannot use the part for the same unit: it was changed after the unit, or a source was broken. In
    format version 1, parts have none of them.
    """

    name: str
    rows: int
    size_bytes: int
    sha256: str
    lanes: tuple[int, int, int, int]
    files: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    key_lanes: tuple[int, int, int, int] | None = None
    fingerprint: str | None = None
    counts: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, int] = dataclasses.field(default_factory=dict)

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
    """A committed manifest: the content of `_manifest.json`, and of its tables when they are first asked for.

    `parts` and `inputs["sources"]` are read then; how many they are is known before. `tables` are the tables' paths.
    `digest` depends only on the rows (see format.digest). `fingerprint` is the hash of the stage, configuration,
    software and inputs of the run that made it (see digest.settings_hash). `cost` is in no hash; earlier
    versions recorded less of it, see format.cost. `derivation` is empty unless an operation made the manifest: it has
    the `operation` (sample, select, merge, patch) and its settings. `stage` and `config` are then those of the
    manifest that the rows were taken from. `taken_down` are the hashes of pictures that were taken down, from it or
    from what it was made of, as lines such as `sha256 5f0c…` or `pdq 8ad1…`: no row has one of them. `files` describe
    all of it, such as indexes of its tars or the evidence of dedupe, and are beside its parts: path → `bytes`,
    `sha256`. `shuffle` is how well the samples of its tars are shuffled, see curation.shards.shuffle.
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
    taken_down: Sequence[str] = ()
    files: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    shuffle: Mapping[str, float] = dataclasses.field(default_factory=dict)
    tables: Sequence[str] = ()

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
        uri = self.part_uri(part)
        tables = list(read_batches(uri, columns, rows=part.rows, size_bytes=part.size_bytes))
        return pa.Table.from_batches(tables, schema=None if tables else _narrow(self.schema, columns))

    def document(self) -> dict[str, Any]:
        """Return what `_manifest.json` contains, with all of its lists."""
        left_out = ("uri", "schema", "tables")
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in left_out}
        for name in ("parts", "parents"):
            fields[name] = [dataclasses.asdict(each) for each in fields[name]]
        fields["taken_down"] = list(fields["taken_down"])
        described = [
            {"name": f.name, "type": str(f.type), "description": (f.metadata or {})[b"description"].decode()}
            for f in self.schema
        ]
        return {"format_version": FORMAT_VERSION, **fields, "schema": described}


def _narrow(full: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    return full if columns is None else pa.schema([full.field(c) for c in columns])


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message: libraries add details and traces below it."""
    return str(error).strip().split("\n", 1)[0]


def read_batches(
    uri: str,
    columns: Sequence[str] | None = None,
    batch_rows: int = 16_384,
    *,
    rows: int | None = None,
    size_bytes: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of one Parquet part, with `columns` or all, in batches of at most `batch_rows` rows.

    `size_bytes` saves a request where it is known. Raises ManifestError when the part is missing, is not readable
    Parquet, or does not have `rows` rows, if given.
    """
    try:
        with open_parquet(uri, size_bytes) as parquet:
            if rows is not None and parquet.rows != rows:
                raise ManifestError(
                    f"{uri}: {parquet.rows:,} rows, {rows:,} when it was committed; restore it, or make the manifest "
                    "again"
                )
            yield from parquet.batches(columns, batch_rows)
    except FileNotFoundError as e:
        raise ManifestError(f"{uri}: missing; restore it, or make the manifest again") from e
    except StorageUnavailable:
        raise
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
    place = storage.join(uri, MANIFEST_FILE)
    try:
        raw = storage.read_bytes(place)
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
        raise ManifestError(f"{place}: {why}") from e
    version = fields.get("format_version") if isinstance(fields, dict) else None
    if version not in READABLE_VERSIONS or isinstance(version, bool):
        raise ManifestError(
            f"{place}: format version {version!r}, this curate reads {FORMAT_VERSION}; upgrade curate"
        )
    if wrong := wrong_fields(fields):
        raise ManifestError(f"{place}: damaged (the type of {', '.join(wrong)}); make the manifest again")
    try:
        return from_document(uri, fields)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise ManifestError(f"{place}: damaged ({e!r}); make the manifest again") from e


def from_document(uri: str, fields: Mapping[str, Any]) -> Manifest:
    """Return the manifest at `uri` from `fields`, the content of its `_manifest.json`.

    Raises ManifestError when its schema is that of a later curate; KeyError, TypeError, ValueError or AttributeError
    when it is damaged.
    """
    later = ("derivation", "source_warnings", "files", "shuffle")  # earlier versions wrote none
    known = {f.name for f in dataclasses.fields(Manifest)} - {"uri", "tables", "taken_down", *later}
    full = without_tables(uri, fields)
    values = {name: full[name] for name in known}
    values["stage"] = Stage(values["stage"])
    parts = TableFile.from_json(values["parts"])
    values["parts"] = list(map(part_of, values["parts"])) if parts is None else TableRows(uri, parts, _part_of_row)
    values["parents"] = [Parent(**p) for p in values["parents"]]
    values["schema"] = _recorded_schema(uri, values["stage"], full["schema"])
    more = {name: full.get(name, {}) for name in later}
    return Manifest(uri=uri, tables=table_names(fields), taken_down=_taken_down(uri, fields), **more, **values)


def _taken_down(uri: str, fields: Mapping[str, Any]) -> Sequence[str]:
    """Return the hashes of what was taken down, which are read when they are asked for if they are many."""
    given = fields.get("taken_down", [])  # earlier versions wrote none
    file = TableFile.from_json(given)
    return tuple(given) if file is None else TableRows(uri, file, _value_of_row)


def _value_of_row(row: Mapping[str, Any]) -> str:
    return str(row["value"])


def _recorded_schema(uri: str, stage: Stage, columns: Sequence[Mapping[str, Any]]) -> pa.Schema:
    """Return the schema that `_manifest.json` records: columns of this version, or of an earlier one."""
    known = RETIRED | {field.name: field for field in schema(stage)}
    unknown = [c["name"] for c in columns if c["name"] not in known or str(known[c["name"]].type) != c["type"]]
    if unknown:
        raise ManifestError(
            f"{uri}/{MANIFEST_FILE}: its schema is that of a later curate; this one does not know its "
            f"{', '.join(unknown[:5])}; upgrade curate"
        )
    return pa.schema([known[c["name"]] for c in columns])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Whole:
    """What is known of a manifest as a whole when all units are done: path → content of its files, and `shuffle`.

    `in_place` are files that are there already: path → `bytes`, `sha256`.
    """

    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    in_place: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    shuffle: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance:
    """What `_manifest.json` records apart from the receipts: everything that decided the rows.

    `schema` is None if it is that of the stage. A manifest derived from one of an earlier version has fewer columns.
    `taken_down` is that of the manifest, see there. `whole` decides no row.
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
    taken_down: Sequence[str] = ()
    whole: Whole = Whole()

    @property
    def fingerprint(self) -> str:
        """The hash of everything that decided the rows: stage, configuration, software and inputs.

        What was taken down is in it, because two manifests with equal rows may have other lists.
        """
        more = [each for each in (self.derivation, list(self.taken_down)) if each]
        return settings_hash(self.stage, self.config, self.software, self.inputs, *more)

    @property
    def made_by(self) -> str:
        """The name of the stage or operation that makes it."""
        return str(self.derivation.get("operation", self.stage))


def unit_of(part: str) -> str:
    """Return the name of the unit that wrote the part of this name: without the hash of its content."""
    return _HASH_IN_NAME.sub("", part)


def part_of(fields: Mapping[str, Any]) -> Part:
    """Return the part that JSON describes."""
    keys = fields.get("key_lanes")
    lanes = {"lanes": lanes_of(fields["lanes"]), "key_lanes": None if keys is None else lanes_of(keys)}
    return Part(**{**fields, **lanes})


def _part_of_row(row: Mapping[str, Any]) -> Part:
    """Return the part that a row of the table of parts describes. Raises ValueError if it describes none."""
    files = {each["name"]: {"bytes": each["bytes"], "sha256": each["sha256"]} for each in row["files"]}
    fields = {**row, "files": files, **{name: json.loads(row[name]) for name in AS_JSON}}
    if not is_part(fields):
        raise ValueError(f"not a part: {row['name']!r}")
    return part_of(fields)


def lanes_of(values: Sequence[int]) -> tuple[int, int, int, int]:
    """Return lanes as plain integers, as receipts and parts store them."""
    a, b, c, d = np.asarray(values, np.uint64).tolist()
    return a, b, c, d
