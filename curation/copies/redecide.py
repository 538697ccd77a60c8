"""Decide the duplicates of clusters again, for fewer kinds or more strictness, from the recorded evidence."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.copies.kinds import Evidence, Strictness, kind_of
from curation.copies.representative import rank
from curation.copies.same_part import SameParts
from manifests.format.schema import DuplicateKind

DECIDED = ("cluster_id", "duplicate_of", "duplicate_kind", "duplicate_evidence", "reference")
_EVIDENCE = tuple(field.name for field in fields(Evidence))

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The kinds that count as copies from now on, and how strictly."""

    copies: Collection[str]
    strictness: Strictness

    def kind(self, row: Mapping[str, Any]) -> str | None:
        """Return the new `duplicate_kind` of a duplicate's row, or None when it is no longer a duplicate."""
        recorded = json.loads(row["duplicate_evidence"])
        found: str | None = recorded["kind"]
        if "matrix" in recorded:
            found = kind_of(_evidence(recorded), self.strictness, self.copies)
        elif found not in self.copies:
            found = None
        is_reference = row["duplicate_kind"] == DuplicateKind.REFERENCE
        return found and (str(DuplicateKind.REFERENCE) if is_reference else str(found))


def kinds(rows: pa.Table, decision: Decision) -> pa.Array:
    """Return the new `duplicate_kind` of each of `rows`: null where one is no duplicate, or no longer."""
    found = rows.select(["duplicate_of", "duplicate_kind", "duplicate_evidence"]).to_pylist()
    return pa.array([None if row["duplicate_of"] is None else decision.kind(row) for row in found], pa.string())


def redecide(clusters: pa.Table, decision: Decision) -> pa.Table:
    """Return the rows of whole `clusters` with the new decision: `part`, `key` and DECIDED, in any order.

    Rows that are no longer duplicates are released: they form new clusters among themselves. Rows with the same bytes
    stay together. Others are mild copies of each other when their recorded maps to the former representative show the
    same part of it. The best image of a cluster represents it, as in dedupe.
    """
    found = kinds(clusters, decision)
    place = clusters.column_names.index("duplicate_kind")
    clusters = clusters.set_column(place, clusters.field(place), found)
    is_released = pc.and_(pc.is_valid(clusters.column("duplicate_of")), pc.is_null(found))
    names = clusters.column("cluster_id")
    is_changed = pc.is_in(names, pc.unique(names.filter(is_released)))
    rows: list[Row] = clusters.filter(is_changed).to_pylist()
    by_cluster: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_cluster[row["cluster_id"]].append(row)
    for cluster in by_cluster.values():
        _release(cluster, decision)
    again = pa.Table.from_pylist(rows, clusters.schema)
    return pa.concat_tables([clusters.filter(pc.invert(is_changed)), again]).select(["part", "key", *DECIDED])


def _release(cluster: Sequence[Row], decision: Decision) -> None:
    """Divide a cluster: each duplicate without a kind is released."""
    free, staying = list[Row](), list[Row]()
    for row in cluster:
        is_released = row["duplicate_of"] is not None and row["duplicate_kind"] is None
        (free if is_released else staying).append(row)
    for head, members in _star_clusters(sorted(free, key=rank), decision):
        head.update(duplicate_of=None, duplicate_kind=None, duplicate_evidence=None, reference=None)
        for member, kind, evidence in members:
            member.update(duplicate_of=head["key"], duplicate_kind=kind, reference=None)
            member["duplicate_evidence"] = json.dumps(evidence)
        _name_cluster([head, *(member for member, _, _ in members)])
    if any(row["duplicate_of"] is None for row in staying):
        _name_cluster(staying)  # else a representative in another manifest gives the name


def _name_cluster(cluster: Sequence[Row]) -> None:
    smallest = min(row["key"] for row in cluster)
    for row in cluster:
        row["cluster_id"] = smallest


def _star_clusters(free: Sequence[Row], decision: Decision) -> list[tuple[Row, list[tuple[Row, str, Row]]]]:
    """Return each new representative with its members, their kinds and evidence. `free` is ordered by rank."""
    found: list[tuple[Row, list[tuple[Row, str, Row]]]] = []
    by_bytes: dict[str, int] = {}
    by_part = SameParts()
    for row in free:
        recorded = json.loads(row["duplicate_evidence"])
        equal = by_bytes.get(row["sha256"])
        is_whole = _is_without_overlay(recorded, decision)
        alike = by_part.first(recorded["matrix"], is_mirrored=recorded["is_mirrored"]) if is_whole else None
        if equal is not None and (alike is None or equal <= alike):
            found[equal][1].append((row, str(DuplicateKind.EXACT), {"kind": "exact", "same": "bytes"}))
        elif alike is not None:
            what = {"kind": "mild", "verified": False, "through": row["duplicate_of"]}
            found[alike][1].append((row, str(DuplicateKind.MILD), what))
        else:
            by_bytes.setdefault(row["sha256"], len(found))
            if is_whole:
                by_part.add(len(found), recorded["matrix"], is_mirrored=recorded["is_mirrored"])
            found.append((row, []))
    return found


def _is_without_overlay(recorded: Row, decision: Decision) -> bool:
    """Return whether the evidence shows a part of a third image without an overlay on it, if mild copies count."""
    is_compared = DuplicateKind.MILD in decision.copies and "matrix" in recorded
    return is_compared and recorded["differing"] <= 1 - decision.strictness.mild


def _evidence(recorded: Mapping[str, Any]) -> Evidence:
    """Return the recorded evidence; fields that an earlier version did not record have their defaults."""
    known = {name: recorded[name] for name in _EVIDENCE if name in recorded}
    return Evidence(**known | {"matrix": tuple(recorded["matrix"])})
