"""Which rows a takedown removes: those that are asked for, the copies in their clusters, and near fingerprints.

Copies of copies are not followed: what is near a row that was itself found only by its fingerprint stays. So the
hashes that are kept for later match no row that stays, see docs/adr/0033.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import pyarrow as pa

from curation.takedown.deny_list import DenyList, hash_lines
from curation.takedown.requested import Requested
from jobs.operations.deny_scan import denied_rows
from jobs.operations.derive import derived_from
from jobs.operations.requests import Options
from jobs.operations.rewrite import Rewrite
from manifests.draw.combining import pick_listed, unmatched
from manifests.draw.sampling import PICKS
from manifests.exchange.comparable_values import shorten
from manifests.format.digest import settings_hash
from manifests.format.schema import DuplicateKind
from manifests.format.store import Manifest
from manifests.sql.engine import Engine, quoted

SHOWN = 5


class Why(StrEnum):
    """Why a row is removed."""

    REQUESTED = "requested"
    """A list names it, or a picture is given that it is a copy of."""
    CLUSTER = "cluster"
    """A copy in the cluster of such a row, as dedupe found."""
    FINGERPRINT = "fingerprint"
    """Its bytes, its pixels or its PDQ are those of one of these."""


@dataclass(frozen=True, kw_only=True)
class Unmatched:
    """Entries of a list that no row matched: how many, of how many, and the first of them."""

    list_name: str
    count: int
    of: int
    first: Sequence[str]

    @property
    def sentence(self) -> str:
        """What a person is told."""
        shown = ", ".join(map(shorten, self.first)) + (" …" if self.count > len(self.first) else "")
        return f"{self.list_name}: {self.count:,} of {self.of:,} entries match no row ({shown})"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a takedown removes: part → row → why; `taken_down` are the hashes to keep, as lines of a DenyList.

    `unhashed` counts removed rows without a hash, which may return.
    """

    gone: Mapping[int, Mapping[int, Why]]
    taken_down: Sequence[str]
    unmatched: Sequence[Unmatched] = ()
    unhashed: int = 0
    notes: Sequence[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Rows by reason."""
        reasons = [why for rows in self.gone.values() for why in rows.values()]
        return {str(why): reasons.count(why) for why in Why}

    @property
    def places(self) -> pa.Table:
        """The `part` and `row` of all removed rows, in order."""
        return _table(self.gone)


def request_of(source: Manifest, found: Found, max_distance: int, output: str, options: Options) -> Rewrite:
    """Return the request of the manifest without what was found."""
    gone = {part: sorted(rows) for part, rows in sorted(found.gone.items())}
    settings = {"removed": found.counts, "rows_hash": settings_hash(gone), "max_distance": max_distance}
    about = derived_from([source], "takedown", settings)
    about = dataclasses.replace(about, taken_down=sorted({*about.taken_down, *found.taken_down}))
    return Rewrite(about=about, source=source, output=output, gone=gone, options=options)


class _Gone:
    """The rows that go so far; the first reason stays."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[int, Why]] = {}

    def add(self, places: Iterable[tuple[int, int]], why: Why) -> None:
        for part, row in places:
            self.rows.setdefault(part, {}).setdefault(row, why)


def _table(gone: Mapping[int, Mapping[int, Why]]) -> pa.Table:
    """Return `part` and `row` of all rows, in order."""
    pairs = sorted((part, row) for part, rows in gone.items() for row in rows)
    parts, rows = [part for part, _ in pairs], [row for _, row in pairs]
    return pa.table({"part": pa.array(parts, pa.int32()), "row": pa.array(rows, pa.int64())})


def find(engine: Engine, source: Manifest, asked: Requested, max_distance: int) -> Found:
    """Return what a takedown of `asked` removes from `source`; PDQ hashes may differ in `max_distance` bits."""
    gone, missing = _Gone(), []
    for column, values in asked.listed.items():
        pick_listed(engine, source, column, values.values, is_inverted=False)
        gone.add(_places(engine, f"SELECT part, row FROM {PICKS}"), Why.REQUESTED)
        left = unmatched(engine)
        if left.values:
            missing.append(Unmatched(list_name=f"--{column}s", count=left.values, of=left.of, first=list(left.first)))
    matched: set[str] = set()
    for each in denied_rows(engine, source, asked.hashes, with_hashes=True):
        gone.add(((each.part, row) for row in each.rows), Why.REQUESTED)
        matched |= set(each.hashes)
    missing += _without_match(asked, matched)
    if "cluster_id" in source.schema.names:
        gone.add(_in_clusters(engine, source, gone), Why.CLUSTER)
    prints = _prints(engine, source, gone)
    kept = DenyList.of([*hash_lines(prints, max_distance=max_distance), *asked.hashes.lines])
    for each in denied_rows(engine, source, kept):
        gone.add(((each.part, row) for row in each.rows), Why.FINGERPRINT)
    exact = hash_lines(_prints(engine, source, gone), max_distance=None)
    return Found(
        gone=gone.rows,
        taken_down=(kept | DenyList.of(exact)).lines,
        unmatched=missing,
        unhashed=prints.num_rows - prints.column("sha256").drop_null().length(),
        notes=asked.notes,
    )


def _without_match(asked: Requested, matched: set[str]) -> list[Unmatched]:
    found = []
    for name, entries in asked.entries.items():
        left = [entry for entry, lines in entries.items() if not matched.intersection(map(_without_bits, lines))]
        if left:
            found.append(Unmatched(list_name=name, count=len(left), of=len(entries), first=left[:SHOWN]))
    return found


def _without_bits(line: str) -> str:
    return " ".join(line.split()[:2])


def _places(engine: Engine, sql: str) -> Iterable[tuple[int, int]]:
    found = engine.fetch(sql)
    return zip(found.column("part").to_pylist(), found.column("row").to_pylist(), strict=True)


def _in_clusters(engine: Engine, source: Manifest, gone: _Gone) -> Iterable[tuple[int, int]]:
    """Return the rows in the clusters of those in `gone` that show the same picture.

    A row whose embedding alone is similar to its representative's does not, whether that is a reference or not: it
    takes no other row along, and goes with none.
    """
    found = "CASE WHEN json_valid(duplicate_evidence) THEN json_extract_string(duplicate_evidence, '$.kind') END"
    is_copy = f"coalesce({found}, duplicate_kind, '') <> '{DuplicateKind.SEMANTIC}'"
    columns = {"cluster_id": quoted("cluster_id"), "is_copy": is_copy}
    engine.table("gone", _table(gone.rows))
    engine.view("clustered", source, columns)
    engine.keep(
        "clusters",
        "SELECT DISTINCT c.cluster_id AS cluster_id FROM clustered c "
        "JOIN gone g ON c.part = g.part AND c.row = g.row WHERE c.is_copy",
    )
    return _places(
        engine,
        "SELECT c.part AS part, c.row AS row FROM clustered c JOIN clusters k ON c.cluster_id = k.cluster_id "
        "WHERE c.is_copy",
    )


_ABSENT = {"sha256": "NULL::VARCHAR", "pdq": "NULL::BLOB", "pdq_quality": "NULL::INTEGER", "pixels": "NULL::BLOB"}


def _prints(engine: Engine, source: Manifest, gone: _Gone) -> pa.Table:
    """Return the hashes of the rows in `gone`."""
    engine.table("gone", _table(gone.rows))
    known = set(source.schema.names)  # earlier versions have fewer
    engine.view(
        "prints", source, {name: quoted(name) if name in known else absent for name, absent in _ABSENT.items()}
    )
    names = ", ".join(f"p.{name} AS {name}" for name in _ABSENT)
    return engine.fetch(f"SELECT {names} FROM prints p JOIN gone g ON p.part = g.part AND p.row = g.row")
