"""Duplicates decided again, with fewer kinds or more strictness, from the evidence that a manifest holds."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa

from curation.copies.kinds import Evidence, Strictness, kind_of
from manifests.format.schema import DuplicateKind, Status

MAX_SHIFT = 0.03  # of a side: how far two maps to one picture may lie apart for both pictures to show the same
DECIDED = ("cluster_id", "duplicate_of", "duplicate_kind", "duplicate_evidence", "reference")
_EVIDENCE = tuple(field.name for field in fields(Evidence))

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What counts as a copy from now on."""

    copies: Collection[str]
    strictness: Strictness

    def kind(self, row: Mapping[str, Any]) -> str | None:
        """Return the `duplicate_kind` that a duplicate's row still deserves, or None when it is released."""
        told = json.loads(row["duplicate_evidence"])
        found: str | None = told["kind"]
        if "matrix" in told:
            found = kind_of(_evidence(told), self.strictness, self.copies)
        elif found not in self.copies:
            found = None
        is_reference = row["duplicate_kind"] == DuplicateKind.REFERENCE
        return found and (str(DuplicateKind.REFERENCE) if is_reference else str(found))


def released(rows: pa.Table, decision: Decision) -> pa.Array:
    """Return which of `rows` are duplicates no more."""
    columns = ("duplicate_of", "duplicate_kind", "duplicate_evidence")
    told = rows.select(columns).to_pylist()
    return pa.array([row["duplicate_of"] is not None and decision.kind(row) is None for row in told], pa.bool_())


def redecide(cluster: pa.Table, decision: Decision) -> pa.Table:
    """Return the rows of one cluster as they are decided now: `part`, `key` and DECIDED.

    Those that are released start over among themselves. Rows of the same bytes stay together. Others are mild copies
    of each other when both recorded maps, to the representative they had, say that they show the same of it; the
    best of them represents, as it does in dedupe.
    """
    rows: list[Row] = cluster.to_pylist()
    staying: list[Row] = []
    free: list[Row] = []
    for row in rows:
        kind = decision.kind(row) if row["duplicate_of"] is not None else None
        (free if row["duplicate_of"] is not None and kind is None else staying).append(row)
        row["duplicate_kind"] = kind
    for head, members in _stars(sorted(free, key=_rank), decision):
        head.update(duplicate_of=None, duplicate_kind=None, duplicate_evidence=None, reference=None)
        for member, kind, told in members:
            member.update(duplicate_of=head["key"], duplicate_kind=kind, reference=None)
            member["duplicate_evidence"] = json.dumps(told)
        _name([head, *(member for member, _, _ in members)])
    if any(row["duplicate_of"] is None for row in staying):
        _name(staying)  # else its representative lies elsewhere, and with it the name
    return pa.Table.from_pylist(rows, cluster.schema).select(["part", "key", *DECIDED])


def _name(cluster: Sequence[Row]) -> None:
    smallest = min(row["key"] for row in cluster)
    for row in cluster:
        row["cluster_id"] = smallest


def _rank(row: Mapping[str, Any]) -> tuple[Any, ...]:
    area = (row["width"] or 0) * (row["height"] or 0)
    return row["status"] != Status.OK, -area, -(row["size"] or 0), row["key"]


def _stars(free: Sequence[Row], decision: Decision) -> list[tuple[Row, list[tuple[Row, str, Row]]]]:
    """Return each new representative with its members, their kinds and what is told of them; `free` by rank."""
    found: list[tuple[Row, list[tuple[Row, str, Row]]]] = []
    evidence: list[Row] = []
    for row in free:
        told = json.loads(row["duplicate_evidence"])
        for (head, members), of_head in zip(found, evidence, strict=True):
            if row["sha256"] == head["sha256"]:
                members.append((row, str(DuplicateKind.EXACT), {"kind": "exact", "same": "bytes"}))
                break
            if DuplicateKind.MILD in decision.copies and _show_the_same(told, of_head, decision.strictness):
                what = {"kind": "mild", "verified": False, "through": row["duplicate_of"]}
                members.append((row, str(DuplicateKind.MILD), what))
                break
        else:
            found.append((row, []))
            evidence.append(told)
    return found


def _show_the_same(first: Row, second: Row, strictness: Strictness) -> bool:
    """Whether two pictures' maps to a third tell that they show the same of it, neither with anything put over it."""
    if "matrix" not in first or "matrix" not in second or first["is_mirrored"] != second["is_mirrored"]:
        return False
    if max(first["differing"], second["differing"]) > 1 - strictness.mild:
        return False
    corners = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], float).T
    to_third, from_third = _square(first["matrix"]), np.linalg.inv(_square(second["matrix"]))
    return bool(np.abs(from_third @ to_third @ corners - corners).max() <= MAX_SHIFT)


def _square(matrix: Sequence[float]) -> np.ndarray[Any, Any]:
    return np.vstack([np.reshape(matrix, (2, 3)), [0, 0, 1]])


def _evidence(told: Mapping[str, Any]) -> Evidence:
    return Evidence(**{name: told[name] for name in _EVIDENCE} | {"matrix": tuple(told["matrix"])})
