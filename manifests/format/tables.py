"""Long lists of a JSON document as Parquet files beside it, so that the document stays small whatever it describes.

A document is a file such as `_manifest.json`. In place of a long field it has a reference, and the rows are in a file
in the folder `_tables`:

    "parts": {"table": "_tables/parts-5f0c1a9e77b2.parquet", "rows": 20000, "size_bytes": 3141592, "sha256": "5f0c…"}

| field                                                  | columns of its table                   |
|--------------------------------------------------------|----------------------------------------|
| `parts`                                                | those of PARTS                         |
| `inputs.sources`                                       | `name`, `value`: the URI and its state |
| `inputs`, `broken_sources`, `source_warnings`, if long | `name`, `value`                        |
| `roots` and `taken_down`, if long                      | `value`                                |
| `parents`, if long                                     | `uri`, `stage`, `digest`               |
| `files`, if long                                       | `name`, `bytes`, `sha256`              |

A table is named by the first digits of its sha256 and never written again.
"""

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar, overload

import pyarrow as pa
import pyarrow.parquet as pq

from manifests import storage
from manifests.errors import ManifestError
from manifests.format.parquet_files import table_of

TABLES = "_tables"
MAX_INLINE_BYTES = 4096  # of a field as JSON
NAME_DIGITS = 12
MADE_AT_ONCE = 1024
PARTS = pa.schema(
    [
        ("name", pa.string()),
        ("rows", pa.int64()),
        ("size_bytes", pa.int64()),
        ("sha256", pa.string()),
        ("lanes", pa.list_(pa.uint64())),
        ("key_lanes", pa.list_(pa.uint64())),
        ("fingerprint", pa.string()),
        ("counts", pa.string()),
        ("facts", pa.string()),
        ("files", pa.list_(pa.struct([("name", pa.string()), ("bytes", pa.int64()), ("sha256", pa.string())]))),
    ]
)
AS_JSON = ("counts", "facts")  # columns of PARTS
_NAMED = pa.schema([("name", pa.string()), ("value", pa.string())])
_VALUES = pa.schema([("value", pa.string())])
_FILES = pa.schema([("name", pa.string()), ("bytes", pa.int64()), ("sha256", pa.string())])
_PARENTS = pa.schema([("uri", pa.string()), ("stage", pa.string()), ("digest", pa.string())])
_IF_LONG = {
    "inputs": _NAMED,
    "broken_sources": _NAMED,
    "source_warnings": _NAMED,
    "roots": _VALUES,
    "taken_down": _VALUES,
    "parents": _PARENTS,
    "files": _FILES,
}
_FILE = re.compile(rf"{TABLES}/[a-z_]+-[0-9a-f]{{{NAME_DIGITS}}}\.parquet")
_RESTORE = "restore it, or make the manifest again"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TableFile:
    """What a document has in place of a long field. `table` is a path below the folder of the document."""

    table: str
    rows: int
    size_bytes: int
    sha256: str

    @classmethod
    def from_json(cls, value: Any) -> "TableFile | None":
        """Return the reference that `value` is, or None if the field is in the document itself.

        Raises ValueError when it is neither.
        """
        if not isinstance(value, Mapping) or not {"table", "sha256"} <= value.keys():
            return None
        found = cls(**value)
        if not isinstance(found.table, str) or not _FILE.fullmatch(found.table):
            raise ValueError(f"{found.table!r} is not the name of a table")
        if not all(isinstance(number, int) and number >= 0 for number in (found.rows, found.size_bytes)):
            raise ValueError(f"{found.table}: rows and bytes must be numbers")
        return found

    def read(self, folder: str) -> pa.Table:
        """Return the rows. Raises ManifestError when the file is missing or is not the one that was committed."""
        uri = storage.join(folder, self.table)
        try:
            data = storage.read_bytes(uri)
        except (FileNotFoundError, NotADirectoryError) as e:
            raise ManifestError(f"{uri}: missing; {_RESTORE}") from e
        if len(data) != self.size_bytes or hashlib.sha256(data).hexdigest() != self.sha256:
            raise ManifestError(f"{uri}: altered: its sha256 is not the committed one; {_RESTORE}")
        try:
            found = table_of(data)
        except (pa.ArrowException, OSError) as e:
            raise ManifestError(f"{uri}: not readable Parquet ({e}); {_RESTORE}") from e
        if found.num_rows != self.rows:
            raise ManifestError(f"{uri}: {found.num_rows:,} rows, not {self.rows:,}; {_RESTORE}")
        return found


class TableRows(Sequence[T], Generic[T]):
    """The rows of a table, made into objects by `make`, some at a time, when they are asked for.

    The file is read when the first one is. The length is known before.
    """

    def __init__(self, folder: str, file: TableFile, make: Callable[[Mapping[str, Any]], T]) -> None:
        self._folder, self._file, self._make = folder, file, make
        self._table: pa.Table | None = None
        self._made: dict[int, list[T]] = {}  # position of the first, in steps of MADE_AT_ONCE

    def _from(self, first: int) -> list[T]:
        """Return the rows that are made together, the first of which is at `first`."""
        if first not in self._made:
            if self._table is None:
                self._table = self._file.read(self._folder)
            try:
                rows = self._table.slice(first, MADE_AT_ONCE).to_pylist()
                self._made[first] = [self._make(row) for row in rows]
            except (KeyError, TypeError, ValueError) as e:
                where = storage.join(self._folder, self._file.table)
                raise ManifestError(f"{where}: damaged ({e!r}); {_RESTORE}") from e
        return self._made[first]

    def __len__(self) -> int:
        """Return the number of rows, without reading them."""
        return self._file.rows

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        """Return a row, or several."""
        places = range(len(self))[place]
        if isinstance(places, range):
            return [self[each] for each in places]
        return self._from(places - places % MADE_AT_ONCE)[places % MADE_AT_ONCE]

    def __iter__(self) -> Iterator[T]:
        """Yield the rows."""
        for first in range(0, len(self), MADE_AT_ONCE):
            yield from self._from(first)

    def __eq__(self, other: object) -> bool:
        """Whether `other` is a list or table of equal rows."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Name the file and the number of rows."""
        return f"TableRows({self._file.table!r}, {len(self)} rows)"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the rows, which another process reads when it needs them."""
        return {**self.__dict__, "_table": None, "_made": {}}


class TableMapping(Mapping[str, Any]):
    """The rows of a table with `name` and `value` as a mapping, read when first asked. The length is known before."""

    def __init__(self, folder: str, file: TableFile) -> None:
        self._folder, self._file = folder, file
        self._values: dict[str, Any] | None = None

    def _read(self) -> dict[str, Any]:
        if self._values is None:
            self._values = _named_values(self._file.read(self._folder))
        return self._values

    def __len__(self) -> int:
        """Return the number of names, without reading them."""
        return self._file.rows

    def __getitem__(self, name: str) -> Any:
        """Return the value of `name`."""
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._read())

    def __repr__(self) -> str:
        """Name the file and the number of rows."""
        return f"TableMapping({self._file.table!r}, {len(self)} rows)"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the values, which another process reads when it needs them."""
        return {**self.__dict__, "_values": None}


def with_tables(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return `document` with references in place of its long fields, and path → content of the tables' files.

    `document` has the fields of a manifest, or some of them; a part in `parts` is a mapping with the names of PARTS.
    """
    short, files = dict(document), dict[str, bytes]()

    def move(name: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> dict[str, Any]:
        data = _parquet(pa.Table.from_pylist(list(rows), schema))
        sha256 = hashlib.sha256(data).hexdigest()
        path = f"{TABLES}/{name}-{sha256[:NAME_DIGITS]}.parquet"
        files[path] = data
        return asdict(TableFile(table=path, rows=len(rows), size_bytes=len(data), sha256=sha256))

    if "parts" in short:
        short["parts"] = move("parts", [_part_row(part) for part in short["parts"]], PARTS)
    if isinstance(sources := short.get("inputs", {}).get("sources"), Mapping):
        short["inputs"] = {**short["inputs"], "sources": move("sources", _named_rows(sources), _NAMED)}
    for name, schema in _IF_LONG.items():
        if name in short and len(json.dumps(short[name], ensure_ascii=False)) > MAX_INLINE_BYTES:
            short[name] = move(name, _rows_of(short[name], schema), schema)
    return short, files


def without_tables(folder: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return `document` with the rows in place of its references, except those of `parts`, `taken_down` and
    `inputs.sources`.

    `inputs.sources` becomes a TableMapping. Raises ValueError for a reference to something else than a table, and
    ManifestError when a table is missing or damaged.
    """
    full = dict(document)
    for name, schema in _IF_LONG.items():
        file = TableFile.from_json(full.get(name))
        if file is not None and name != "taken_down":  # may be very long, and few ask for it
            full[name] = _field_of(file.read(folder), schema)
    inputs = full.get("inputs")
    sources = TableFile.from_json(inputs.get("sources")) if isinstance(inputs, Mapping) else None
    if sources is not None:
        full["inputs"] = {**full["inputs"], "sources": TableMapping(folder, sources)}
    return full


def table_names(document: Mapping[str, Any]) -> list[str]:
    """Return the paths of the tables that a document refers to."""
    values = [*document.values(), *document.get("inputs", {}).values()]
    return sorted(file.table for file in map(TableFile.from_json, values) if file is not None)


def _part_row(part: Mapping[str, Any]) -> dict[str, Any]:
    files = [{"name": name, **about} for name, about in sorted(part["files"].items())]
    return {**part, "files": files, **{name: json.dumps(part[name], sort_keys=True) for name in AS_JSON}}


def _named_rows(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _named_values(table: pa.Table) -> dict[str, Any]:
    return dict(zip(table.column("name").to_pylist(), table.column("value").to_pylist(), strict=True))


def _rows_of(value: Any, schema: pa.Schema) -> list[dict[str, Any]]:
    if schema is _FILES:
        return [{"name": name, **about} for name, about in sorted(value.items())]
    if isinstance(value, Mapping):
        return _named_rows(value)
    return [dict(each) if isinstance(each, Mapping) else {"value": each} for each in value]


def _field_of(table: pa.Table, schema: pa.Schema) -> Any:
    if schema is _NAMED:
        return _named_values(table)
    if schema is _FILES:
        return {row.pop("name"): row for row in table.to_pylist()}
    return table.column("value").to_pylist() if schema is _VALUES else table.to_pylist()


def _parquet(table: pa.Table) -> bytes:
    with io.BytesIO() as buffer:
        pq.write_table(table, buffer, compression="zstd")
        return buffer.getvalue()
