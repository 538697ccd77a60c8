"""Hashes of pictures that were taken down, and which rows have one of them.

A list is text, one hash a line, 64 hexadecimal digits, as ThreatExchange's programs read and write it: `pdq HASH`,
`sha256 HASH` or `pixels HASH`; without a first word, the name of the file says which (`pdq.txt`). Lines of PDQ may
end with the number of bits that a copy may differ in. Sources: https://github.com/facebook/ThreatExchange, `pdq` and
`python-threatexchange/threatexchange/exchanges/impl/file_api.py`.
"""

import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.copies.cells import BITS, BYTES, as_matrix
from curation.pictures.pdq import PDQ_MATCH_DISTANCE, PDQ_MIN_QUALITY
from manifests import storage
from manifests.errors import InputError
from manifests.format.store import is_committed, open_manifest

COLUMNS = ("sha256", "pdq", "pdq_quality", "pixels")
"""The columns of a manifest that `DenyList.matches` reads."""
FLAT_SEARCH = 50_000  # hashes up to which comparing with all of them is fastest
HASHES, HASH_BITS = 16, 16  # words of a hash: of two hashes 31 bits apart, one word differs in at most one bit
ROWS_AT_ONCE = 8_192
MAX_LIST_BYTES = 1 << 30
_DIGITS = re.compile(r"[0-9a-f]{64}")
_SHOWN = 80


class Kind(StrEnum):
    """What a hash is of."""

    SHA256 = "sha256"
    """The stored bytes."""
    PDQ = "pdq"
    """The picture; copies differ in a few bits."""
    PIXELS = "pixels"
    """The decoded pixels of a picture too plain for PDQ."""


@dataclass(frozen=True, kw_only=True)
class DenyList:
    """Hashes as hexadecimal texts. `pdq` is hash → the number of bits in which a copy may differ, 0 to 31."""

    sha256: frozenset[str] = frozenset()
    pixels: frozenset[str] = frozenset()
    pdq: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, paths: Iterable[str], *, max_distance: int = PDQ_MATCH_DISTANCE) -> Self:
        """Return the hashes of all lists at `paths`: manifests, whose list is taken, folders of lists, and files.

        `max_distance` counts for the PDQ hashes without a number of their own. Raises InputError when there is
        nothing at a path, or no list.
        """
        lines: list[str] = []
        for path in paths:
            uri = storage.absolute(path)
            lines += open_manifest(uri).taken_down if is_committed(uri) else _lines_at(uri)
        return cls.of(lines, max_distance=max_distance)

    @classmethod
    def of(cls, lines: Iterable[str], *, max_distance: int = PDQ_MATCH_DISTANCE) -> Self:
        """Return the list of `lines`, as `lines` writes them. Raises InputError when one of them is no hash."""
        found: dict[str, dict[str, int]] = {kind: {} for kind in Kind}
        for line in lines:
            kind, digits, bits = _parsed(line, max_distance)
            found[kind][digits] = max(bits, found[kind].get(digits, 0))
        return cls(sha256=frozenset(found["sha256"]), pixels=frozenset(found["pixels"]), pdq=found["pdq"])

    def __len__(self) -> int:
        return len(self.sha256) + len(self.pixels) + len(self.pdq)

    def __or__(self, other: "DenyList") -> "DenyList":
        """Return the hashes of both; a PDQ hash of both with the larger distance."""
        return DenyList.of([*self.lines, *other.lines])

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the index, which another process makes again."""
        return {"sha256": self.sha256, "pixels": self.pixels, "pdq": self.pdq}

    @property
    def lines(self) -> list[str]:
        """The list as text, sorted: equal lists have equal lines."""
        exact = [f"{kind} {digits}" for kind in (Kind.SHA256, Kind.PIXELS) for digits in getattr(self, kind)]
        near = (f"pdq {digits}" + f" {bits}" * (bits != PDQ_MATCH_DISTANCE) for digits, bits in self.pdq.items())
        return sorted([*exact, *near])

    @property
    def digest(self) -> str:
        """The sha256 of the lines."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()

    def write(self, folder: str) -> list[str]:
        """Write a file for each kind of hash to `folder`, one hash a line, and return their URIs."""
        written = []
        for kind in Kind:
            digits = sorted(getattr(self, kind))
            uri = storage.join(folder, f"{kind}.txt")
            if digits:
                storage.make_folder(folder)
                storage.write_bytes(uri, "".join(f"{each}\n" for each in digits).encode())
                written.append(uri)
        return written

    def matches(self, table: pa.Table | pa.RecordBatch) -> pa.BooleanArray:
        """Return for each row of `table` whether its picture is one of the list; never null.

        The columns that are there count: `sha256` (hexadecimal text), `pixels` (32 bytes), and `pdq` (32 bytes) where
        `pdq_quality` is at least 50. Equal hashes match, and PDQ hashes that differ in no more bits than allowed;
        none of those is missed. Memory: about 150 bytes a hash, and 500 a PDQ hash above FLAT_SEARCH.
        """
        found = np.zeros(table.num_rows, np.bool_)
        if not self:
            return pa.array(found)
        if self.sha256 and "sha256" in table.schema.names:
            found |= _in(table.column("sha256").to_pylist(), self.sha256)
        if self.pixels and "pixels" in table.schema.names:
            found |= _in(_hex(table.column("pixels")), self.pixels)
        if self.pdq and "pdq" in table.schema.names:
            found[self._near(table)[0]] = True
        return pa.array(found)

    def found_in(self, table: pa.Table | pa.RecordBatch) -> set[str]:
        """Return the hashes of the list, as `kind HASH`, that a row of `table` matches; see `matches`."""
        names, found = table.schema.names, set[str]()
        if "sha256" in names:
            found |= {f"sha256 {each}" for each in self.sha256.intersection(table.column("sha256").to_pylist())}
        if "pixels" in names:
            found |= {f"pixels {each}" for each in self.pixels.intersection(_hex(table.column("pixels")))}
        if "pdq" in names:
            ordered = sorted(self.pdq)
            found |= {f"pdq {ordered[place]}" for place in set(self._near(table)[1].tolist())}
        return found

    def _near(self, table: pa.Table | pa.RecordBatch) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return pairs of a row of `table` and a place in the sorted PDQ hashes that are near each other."""
        trusted = np.flatnonzero(_trusted(table))
        fingerprints = as_matrix(table.column("pdq").take(pa.array(trusted)))
        rows, places = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        if self.pdq:
            index, allowed = self._index
            faiss.omp_set_num_threads(1)
            for first in range(0, len(fingerprints), ROWS_AT_ONCE):
                some = np.ascontiguousarray(fingerprints[first : first + ROWS_AT_ONCE])
                limits, distances, labels = index.range_search(some, int(allowed.max()) + 1)  # below the radius
                row = first + np.repeat(np.arange(len(some)), np.diff(limits.astype(np.int64)))
                is_near = distances.astype(np.int64) <= allowed[labels]
                rows.append(trusted[row[is_near]])
                places.append(labels[is_near])
        return np.concatenate(rows), np.concatenate(places)

    @functools.cached_property
    def _index(self) -> tuple[Any, npt.NDArray[np.int64]]:
        """The PDQ hashes, and how many bits may differ from each, (hashes,)."""
        ordered = sorted(self.pdq)
        matrix = np.frombuffer(bytes.fromhex("".join(ordered)), np.uint8).reshape(-1, BYTES)
        index = faiss.IndexBinaryFlat(BITS) if len(matrix) <= FLAT_SEARCH else _large_index()
        index.add(matrix)
        return index, np.array([self.pdq[each] for each in ordered], np.int64)


def _large_index() -> Any:
    """Return an index that compares few hashes with each row, and misses none up to 2 * HASHES - 1 bits."""
    index = faiss.IndexBinaryMultiHash(BITS, HASHES, HASH_BITS)
    index.nflip = 1
    return index


def hash_lines(table: pa.Table, *, max_distance: int | None = PDQ_MATCH_DISTANCE) -> list[str]:
    """Return the hashes of the pictures of `table`, with COLUMNS, as lines of a list.

    PDQ hashes are those that are to be trusted; None for `max_distance` leaves them out.
    """
    lines = [f"sha256 {each}" for each in table.column("sha256").to_pylist() if each is not None]
    lines += [f"pixels {each}" for each in _hex(table.column("pixels")) if each is not None]
    if max_distance is not None:
        near = _hex(table.column("pdq").filter(pa.array(_trusted(table))))
        lines += DenyList(pdq=dict.fromkeys(filter(None, near), max_distance)).lines
    return sorted(set(lines))


def _hex(column: pa.Array | pa.ChunkedArray) -> list[str | None]:
    return [value and value.hex() for value in column.to_pylist()]


def _in(values: Sequence[str | None], wanted: frozenset[str]) -> npt.NDArray[np.bool_]:
    return np.fromiter((value in wanted for value in values), np.bool_, len(values))


def _trusted(table: pa.Table | pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Return for each row whether its PDQ hash is there and to be trusted."""
    is_there = pc.is_valid(table.column("pdq"))
    if "pdq_quality" in table.schema.names:
        enough = pc.greater_equal(table.column("pdq_quality"), PDQ_MIN_QUALITY)
        is_there = pc.and_(is_there, pc.fill_null(enough, False))
    return np.asarray(is_there.to_numpy(zero_copy_only=False), np.bool_)


# --- reading


def _lines_at(uri: str) -> Iterator[str]:
    """Yield the lines of a list: a file, or all files `sha256*.txt`, `pdq*.txt` and `pixels*.txt` of a folder."""
    names = [name for name in storage.list_names(uri) if name.endswith(".txt") and _kind_in(name) is not None]
    for each in [storage.join(uri, name) for name in names] or [uri]:
        yield from _lines_of(each)


def _lines_of(uri: str) -> Iterator[str]:
    kind = _kind_in(uri.rsplit("/", 1)[-1])
    for number, line in enumerate(_text(uri).splitlines(), 1):
        words = line.replace(",", " ").split()
        if not words or words[0].startswith("#") or (number == 1 and not _DIGITS.search(line.lower())):
            continue  # the first line may be a header
        if words[0].lower() in set(Kind):
            yield " ".join([words[0].lower(), *words[1:3]])
        elif kind is None:
            raise InputError(
                f"{uri}: line {number} ({line[:_SHOWN]!r}) does not say what its hash is of; write `pdq …` or "
                "`sha256 …` on each line, or name the file pdq.txt, sha256.txt or pixels.txt"
            )
        else:
            yield f"{kind} {words[0]}"  # PDQ's own programs write HASH,QUALITY,FILE


def _kind_in(name: str) -> Kind | None:
    """Return the kind that the name of a file begins with."""
    return next((kind for kind in Kind if name.lower().startswith(kind)), None)


def _text(uri: str) -> str:
    try:
        with storage.open_input(uri) as f:
            data = f.read(MAX_LIST_BYTES + 1)
    except FileNotFoundError as e:
        raise InputError(f"{uri}: no such list of hashes; name a manifest, a folder of lists or a text file") from e
    except IsADirectoryError as e:
        raise InputError(f"{uri}: a folder without pdq.txt, sha256.txt or pixels.txt, and no manifest") from e
    if len(data) > MAX_LIST_BYTES:
        raise InputError(f"{uri}: over {MAX_LIST_BYTES >> 30} GiB; split it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise InputError(f"{uri}: not a text; a list has one hash a line, as 64 hexadecimal digits") from e


def _parsed(line: str, max_distance: int) -> tuple[Kind, str, int]:
    """Return the kind, the digits and the distance of a line. Raises InputError when it has none."""
    kind, _, rest = line.partition(" ")
    digits, _, bits = rest.strip().partition(" ")
    digits = digits.lower()
    if kind not in set(Kind) or not _DIGITS.fullmatch(digits):
        raise InputError(f"{line[:_SHOWN]!r} is no hash of a list; write `pdq` or `sha256` and 64 hexadecimal digits")
    if not bits:
        return Kind(kind), digits, max_distance
    if kind != Kind.PDQ or not bits.isdecimal() or int(bits) > PDQ_MATCH_DISTANCE:
        raise InputError(f"{line[:_SHOWN]!r}: the number after a PDQ hash is how many bits may differ, 0 to 31")
    return Kind.PDQ, digits, int(bits)
