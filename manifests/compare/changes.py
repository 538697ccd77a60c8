"""Rows that differ: in which columns, what kind of change, and why. Tables in, tables out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.format.digest import Lanes, row_lanes
from manifests.format.roots import relative_sources

_SHARD_PLACES = ("shard", "shard_offset", "shard_index", "shard_json_offset", "shard_caption_offset")
PLACE_COLUMNS = frozenset(("source", "member", "offset", "caption_offset", "json_offset", *_SHARD_PLACES))
MAX_NAMED = 4
STILL_DROPPED = "dropped before and after, for another reason"
FLAGS = ("m", "has_before", "has_after", "why", "is_new_original")


class Change(StrEnum):
    """How a row differs between two manifests."""

    ADDED = "added"
    """Only in the second."""
    REMOVED = "removed"
    """Only in the first."""
    CHANGED = "changed"
    """In both, with other values."""
    MOVED = "moved"
    """In both, and only the place of its bytes differs."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two manifests: its columns, and the roots that its sources are relative to."""

    schema: pa.Schema
    roots: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class RowComparer:
    """Compares rows of two manifests that have the same value of the column `by`, in `columns`.

    It is called with a table of candidate rows, also in workers.
    """

    before: Side
    after: Side
    columns: Sequence[str]
    by: str

    @property
    def schema(self) -> pa.Schema:
        """The schema of a diff: `before` and `after` are rows with all columns, null if there is no such row."""
        return pa.schema(
            [
                pa.field("change", pa.string(), nullable=False),
                pa.field("key", pa.string(), nullable=False),
                pa.field("reason", pa.string()),
                pa.field("columns", pa.list_(pa.string())),
                pa.field("before", pa.struct(_nullable(self.before.schema))),
                pa.field("after", pa.struct(_nullable(self.after.schema))),
            ]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Return the rows of a diff, with `schema`.

        `rows` has the columns FLAGS and those of both sides, named `a_…` and `b_…`. Rows of both sides that turn out
        equal are left out.
        """
        has_before, has_after = (_truth(rows.column(name)) for name in ("has_before", "has_after"))
        both = has_before & has_after
        differs = {name: self._differs(rows, name) & both for name in self.columns}
        anywhere = np.zeros(rows.num_rows, np.bool_)
        beyond_place = np.zeros(rows.num_rows, np.bool_)
        for name, each in differs.items():
            anywhere |= each
            if name not in PLACE_COLUMNS and not (name == "key" and self.by != "key"):
                beyond_place |= each
        change = np.select(
            [~has_after, ~has_before, beyond_place],
            [str(Change.REMOVED), str(Change.ADDED), str(Change.CHANGED)],
            default=str(Change.MOVED),
        )
        keys = pc.coalesce(rows.column("b_key"), rows.column("a_key"))
        names = _names(differs, both)
        diff = pa.table(
            {
                "change": pa.array(change, pa.string()),
                "key": keys,
                "reason": self._reasons(rows, names, both),
                "columns": pa.array(names, pa.list_(pa.string())),
                "before": _struct(rows, "a_", self.before.schema, has_before),
                "after": _struct(rows, "b_", self.after.schema, has_after),
            }
        ).cast(self.schema)
        return diff.filter(pa.array(anywhere | ~both))

    def _differs(self, rows: pa.Table, name: str) -> npt.NDArray[np.bool_]:
        sides = [self._values(rows, name, *side) for side in (("a_", self.before), ("b_", self.after))]
        a, b = (s if s is not None else pa.nulls(rows.num_rows, o.type) for s, o in _with_other(sides))
        if pa.types.is_floating(a.type):
            a, b = (pc.if_else(pc.is_nan(each), None, each) for each in (a, b))  # two NaNs are no difference
        unequal = pc.fill_null(pc.not_equal(a, b), False)
        return _truth(pc.or_(unequal, pc.xor(pc.is_null(a), pc.is_null(b))))

    @staticmethod
    def _values(rows: pa.Table, name: str, prefix: str, side: Side) -> pa.Array | None:
        if name not in side.schema.names:
            return None
        values = rows.column(prefix + name).combine_chunks()
        return relative_sources(values, side.roots) if name == "source" else values

    def _reasons(
        self, rows: pa.Table, names: Sequence[Sequence[str] | None], both: npt.NDArray[np.bool_]
    ) -> pa.Array:
        """Return why each row differs: for rows of both sides the verdict that changed, or else the columns."""
        only_new = set(self.after.schema.names) - set(self.before.schema.names)
        of_both = np.flatnonzero(both)
        pairs = zip(*(self._pairs(rows, name, of_both) for name in _VERDICT), strict=True)
        verdicts = dict(zip(of_both.tolist(), pairs, strict=True))
        why = rows.column("why").to_pylist()
        fresh = _truth(pc.fill_null(rows.column("is_new_original"), False)).tolist()
        reasons: list[str | None] = []
        for i, row_names in enumerate(names):
            if row_names is None:
                reasons.append(_of_new(why[i], fresh[i]))
            else:
                reasons.append(_why_changed(verdicts[i], row_names, only_new, is_fresh=fresh[i]))
        return pa.array(reasons, pa.string())

    def _pairs(self, rows: pa.Table, name: str, places: npt.NDArray[np.int64]) -> list[tuple[Any, Any]]:
        """Return the values before and after of a column; _ABSENT for a side without it."""
        sides = []
        for prefix, side in (("a_", self.before), ("b_", self.after)):
            has = name in side.schema.names
            sides.append(rows.column(prefix + name).take(places).to_pylist() if has else [_ABSENT] * len(places))
        return list(zip(*sides, strict=True))


_SAID_BY: Mapping[str, str] = {
    "drop_reason": "keep",
    "duplicate_kind": "duplicate_of",
    "duplicate_evidence": "duplicate_of",
    "cluster_id": "duplicate_of",
}
"""Columns that say again what another one says: where both differ, the other one counts."""
_VERDICT = ("keep", "drop_reason", "duplicate_of", "duplicate_kind")
_ABSENT = object()


def _with_other(sides: Sequence[pa.Array | None]) -> list[tuple[pa.Array | None, pa.Array]]:
    a, b = sides
    known = a if a is not None else b
    return [(a, known), (b, known)]


def _of_new(reason: str | None, is_fresh: bool) -> str | None:
    return f"{reason} of an added image" if is_fresh and reason and reason.startswith("duplicate:") else reason


def _why_changed(
    verdict: Sequence[tuple[Any, Any]], names: Sequence[str], only_new: set[str], *, is_fresh: bool
) -> str:
    keep, drop, original, kind = verdict
    if _ABSENT not in keep and keep[0] != keep[1]:
        return f"kept, was {drop[0]}" if keep[1] else f"dropped: {_of_new(drop[1], is_fresh)}"
    if _ABSENT not in drop and drop[0] != drop[1]:
        return STILL_DROPPED
    if _ABSENT not in original and (original[0] is None) != (original[1] is None):
        if original[1] is None:
            return f"no longer duplicate:{kind[0]}"
        return f"now {_of_new(f'duplicate:{kind[1]}', is_fresh)}"
    if names and set(names) <= only_new:
        return "only columns that are new"
    return (
        "other "
        + ", ".join(names[:MAX_NAMED])
        + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")
    )


def _names(differs: Mapping[str, npt.NDArray[np.bool_]], both: npt.NDArray[np.bool_]) -> list[list[str] | None]:
    """Return the names of the columns that differ in each row, each fact once; None for rows of one side."""
    names: list[list[str] | None] = [[] if each else None for each in both.tolist()]
    for name, each in differs.items():
        is_said = differs.get(_SAID_BY.get(name, ""), np.zeros(len(each), np.bool_))
        for i in np.flatnonzero(each & ~is_said).tolist():
            found = names[i]
            if found is not None:
                found.append(name)
    return names


def _nullable(schema: pa.Schema) -> list[pa.Field]:
    return [pa.field(f.name, f.type) for f in schema]


def _struct(rows: pa.Table, prefix: str, schema: pa.Schema, has: npt.NDArray[np.bool_]) -> pa.Array:
    columns = [rows.column(prefix + f.name).combine_chunks().cast(f.type) for f in schema]
    return pa.StructArray.from_arrays(columns, fields=_nullable(schema), mask=pa.array(~has))


def _truth(values: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (
        values.to_numpy(zero_copy_only=False) if isinstance(values, pa.Array) else values.to_numpy()
    )
    return found.astype(np.bool_)


# --- counts


@dataclass(kw_only=True)
class Tally:
    """Counts of differing rows: by change and reason, and by column.

    `entered` are those that only the second keeps, `left` those that only the first keeps. In a manifest without
    verdicts every row counts as kept.
    `lanes_before` and `lanes_after` are the sums of the row hashes of all rows before and after.
    """

    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    columns: Counter[str] = field(default_factory=Counter)
    entered: int = 0
    left: int = 0
    lanes_before: Lanes = field(default_factory=lambda: np.zeros(4, np.uint64))
    lanes_after: Lanes = field(default_factory=lambda: np.zeros(4, np.uint64))

    def of(self, change: Change) -> int:
        """Return the number of rows with this change."""
        return sum(self.reasons.get(str(change), {}).values())

    @property
    def rows(self) -> int:
        """The number of rows that differ."""
        return sum(map(self.of, Change))

    def add(self, other: "Tally") -> None:
        """Add the counts of another part of the diff."""
        for change, counts in other.reasons.items():
            self.reasons.setdefault(change, Counter()).update(counts)
        self.columns.update(other.columns)
        self.entered += other.entered
        self.left += other.left
        self.lanes_before = self.lanes_before + other.lanes_before
        self.lanes_after = self.lanes_after + other.lanes_after

    def to_json(self) -> dict[str, Any]:
        """Return the counts as values that JSON can store."""
        return {
            "reasons": {change: dict(sorted(counts.items())) for change, counts in sorted(self.reasons.items())},
            "columns": dict(sorted(self.columns.items())),
            "entered": self.entered,
            "left": self.left,
            "lanes_before": [int(lane) for lane in self.lanes_before],
            "lanes_after": [int(lane) for lane in self.lanes_after],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Tally":
        """Return the counts that `to_json` returned."""
        return cls(
            reasons={change: Counter(counts) for change, counts in found["reasons"].items()},
            columns=Counter(found["columns"]),
            entered=found.get("entered", 0),  # earlier versions counted neither
            left=found.get("left", 0),
            lanes_before=np.array(found["lanes_before"], np.uint64),
            lanes_after=np.array(found["lanes_after"], np.uint64),
        )


def count_differences(diff: pa.Table, comparer: RowComparer) -> Tally:
    """Return the counts of the rows of a diff."""
    added = Tally()
    pairs = pa.table({"change": diff.column("change"), "reason": pc.fill_null(diff.column("reason"), "")})
    for row in pairs.group_by(["change", "reason"]).aggregate([([], "count_all")]).to_pylist():
        added.reasons.setdefault(row["change"], Counter())[row["reason"]] = row["count_all"]
    for pair in pc.list_flatten(diff.column("columns")).value_counts().to_pylist():
        added.columns[pair["values"]] = pair["counts"]
    before, after = _kept(diff.column("before")), _kept(diff.column("after"))
    added.entered, added.left = int((after & ~before).sum()), int((before & ~after).sum())
    added.lanes_before = row_lanes(side_rows(diff, "before", comparer.before.schema), comparer.before.roots)
    added.lanes_after = row_lanes(side_rows(diff, "after", comparer.after.schema), comparer.after.roots)
    return added


def _kept(side: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Return in which rows of a diff a side has a row that it keeps."""
    structs = side.combine_chunks()
    is_there = _truth(structs.is_valid())
    if structs.type.get_field_index("keep") < 0:
        return is_there
    return is_there & _truth(pc.fill_null(structs.field("keep"), False))


def side_rows(diff: pa.Table, side: str, schema: pa.Schema) -> pa.Table:
    """Return the rows in the column `side` (`before` or `after`) of a diff, with `schema`."""
    structs = diff.column(side).combine_chunks()
    structs = structs.filter(structs.is_valid())
    return pa.table([structs.field(f.name) for f in schema], schema=pa.schema(_nullable(schema))).cast(schema)


def row_as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return one row of a diff for people and JSON: its place, and each changed column with both values."""
    before, after = row["before"], row["after"]
    shown = after or before
    described = {"change": row["change"], "key": row["key"], "reason": row["reason"]}
    described |= {name: shown.get(name) for name in ("source", "member")}
    if row["columns"] is not None:
        described["columns"] = {
            n: [_plain((before or {}).get(n)), _plain((after or {}).get(n))] for n in row["columns"]
        }
    return described


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value
