"""A complete diff as files: parts in Parquet, and `_diff.json`, which is written last.

Every row has `change`, `key`, `reason`, `columns` (those that differ), and the rows `before` and `after`.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests import storage
from manifests.compare.changes import Tally
from manifests.errors import InputError, ManifestError
from manifests.file_names import numbered
from manifests.format.integrity import file_sha256
from manifests.format.store import Manifest, from_document, read_batches

DIFF_FILE = "_diff.json"
BEGUN_FOLDER = "_begun"  # a folder without it or `_diff.json` was not written by a diff
_PART = re.compile(r"part-\d{5,}\.parquet|\..*\.[0-9a-f]{32}\.tmp")
FORMAT_VERSION = 1
_NOT_KEPT: Mapping[str, Any] = {"parts": [], "inputs": {}, "cost": {}}  # of the second manifest


@dataclass(frozen=True, kw_only=True)
class DiffPart:
    """One Parquet file of a diff."""

    name: str
    rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class DiffSet:
    """The content of `_diff.json`: which manifests are compared, the counts, and the parts.

    `b` is the second manifest without its parts and inputs. Only a diff of all columns and rows (`is_whole`) can be
    applied.
    """

    uri: str
    a_uri: str
    a_digest: str
    b: Manifest
    by: str
    is_whole: bool
    tally: Tally
    parts: Sequence[DiffPart]

    @classmethod
    def between(
        cls, a: Manifest, b: Manifest, uri: str, parts: Sequence[Mapping[str, Any]], **found: Any
    ) -> "DiffSet":
        """Return the diff from `a` to `b` with `parts` stored at `uri`; `found` are `tally`, `by` and `is_whole`."""
        ordered = sorted((DiffPart(**part) for part in parts), key=lambda part: part.name)
        return cls(uri=uri, a_uri=a.uri, a_digest=a.digest, b=b, parts=ordered, **found)

    def to_json(self) -> bytes:
        """Return the content of `_diff.json`."""
        b = {name: value for name, value in self.b.document().items() if name not in _NOT_KEPT}
        document = {
            "format_version": FORMAT_VERSION,
            "a": {"uri": self.a_uri, "digest": self.a_digest},
            "b": {"uri": self.b.uri, **b},
            "by": self.by,
            "is_whole": self.is_whole,
            "tally": self.tally.to_json(),
            "parts": [asdict(part) for part in self.parts],
        }
        return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()

    def batches(self, part: DiffPart) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one part. Raises ManifestError when it is missing or altered."""
        uri = storage.join(self.uri, part.name)
        try:
            found = file_sha256(uri)
        except FileNotFoundError as e:
            raise ManifestError(f"{uri}: missing; make the diff again") from e
        if found != part.sha256:
            raise ManifestError(f"{uri}: altered: its sha256 is not the committed one; make the diff again")
        yield from read_batches(uri)


@dataclass(frozen=True, kw_only=True)
class PartWriter:
    """Writes the parts of a diff, of which there are at most `parts`, to the folder `uri`."""

    uri: str
    parts: int

    def write(self, number: int, rows: pa.Table) -> dict[str, Any]:
        """Write one part, completely or not at all, and return its entry in `_diff.json`."""
        name = f"part-{numbered(number, self.parts)}.parquet"
        with storage.write_atomically(storage.join(self.uri, name)) as f:
            with pq.ParquetWriter(f, rows.schema, compression="zstd", store_schema=True) as writer:
                writer.write_table(rows.combine_chunks())
            size_bytes, digest = f.size_bytes, f.sha256.hexdigest()
        return {"name": name, "rows": rows.num_rows, "size_bytes": size_bytes, "sha256": digest}


def commit_diff(made: DiffSet) -> None:
    """Write `_diff.json`. Call it after all parts are written."""
    storage.write_bytes(storage.join(made.uri, DIFF_FILE), made.to_json())
    storage.remove(storage.join(made.uri, BEGUN_FOLDER))


def open_diff(uri: str) -> DiffSet:
    """Return the diff at `uri`. Raises ManifestError when there is none or it is not readable."""
    uri = storage.absolute(uri)
    place = storage.join(uri, DIFF_FILE)
    try:
        fields = json.loads(storage.read_bytes(place))
    except (FileNotFoundError, NotADirectoryError) as e:
        raise ManifestError(f"{uri}: no diff here ({DIFF_FILE} is missing); `curate diff A B --out` makes one") from e
    except ValueError as e:
        raise ManifestError(f"{place}: not JSON ({e}); make the diff again") from e
    version = fields.get("format_version") if isinstance(fields, dict) else None
    if version != FORMAT_VERSION:
        raise ManifestError(
            f"{place}: format version {version!r}, this curate reads {FORMAT_VERSION}; upgrade curate"
        )
    try:
        return DiffSet(
            uri=uri,
            a_uri=fields["a"]["uri"],
            a_digest=fields["a"]["digest"],
            b=from_document(fields["b"]["uri"], {**fields["b"], **_NOT_KEPT}),
            by=fields["by"],
            is_whole=fields["is_whole"],
            tally=Tally.from_json(fields["tally"]),
            parts=[DiffPart(**part) for part in fields["parts"]],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise ManifestError(f"{place}: damaged ({e!r}); make the diff again") from e


def require_room(uri: str, *, may_replace: bool) -> None:
    """Raise InputError when the folder `uri` has a complete diff that may not be replaced, or anything else.

    The rest of an interrupted diff may be there.
    """
    names = storage.list_names(uri)
    is_diff = DIFF_FILE in names or BEGUN_FOLDER in names
    others = [n for n in names if n not in (DIFF_FILE, BEGUN_FOLDER) and not (is_diff and _PART.fullmatch(n))]
    if others:
        raise InputError(f"{uri}: not empty and no diff ({', '.join(others[:3])} …); name another output")
    if DIFF_FILE in names and not may_replace:
        raise InputError(f"{uri}: a diff is there already; name another output, or replace it with --force")


def make_room(uri: str) -> None:
    """Remove the diff in the folder `uri`, or what is left of one; first the file that makes its parts valid."""
    for name in [DIFF_FILE, *(n for n in storage.list_names(uri) if _PART.fullmatch(n))]:
        storage.remove(storage.join(uri, name))
