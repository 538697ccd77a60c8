"""Differences between two manifests: which rows, and why.

Parts with the same digest are not read. For the others, an engine joins the keys, each with a hash of its row. Only
rows that differ are read with all columns, compared, and given a reason (manifests.compare.changes). The digests
prove that nothing was missed: the first, minus the rows before, plus the rows after, must be the second.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from manifests.compare.changes import Change, RowComparer, Side, Tally, count_differences, row_as_json
from manifests.compare.diff_set import DiffSet, PartWriter, commit_diff
from manifests.compare.matching import VERDICTS, By, join_rows
from manifests.compare.row_history import find_reasons
from manifests.compare.text_scores import COLUMN, scores_compare
from manifests.errors import InputError, ManifestError
from manifests.format.digest import Lanes, combine
from manifests.format.store import Manifest
from manifests.sql.engine import Engine, count_rows, quoted
from manifests.sql.expressions import check_expression

ROWS_PER_PART = 50_000
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What to compare: rows with the same value of `by`, in `columns` (all by default) except those in `ignore`.

    Only rows that meet the condition `where` are compared. By image, verdicts alone are compared by default.
    """

    by: By = "key"
    columns: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    where: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether all rows and columns are compared, so that the diff contains every difference."""
        return not (self.columns or self.ignore or self.where or self.by == "image")

    def check(self, a: Manifest, b: Manifest) -> None:
        """Raise InputError when a column does not exist, or `where` is not a condition on a row of both."""
        known = set(all_columns(a, b))
        for option, names in (("--columns", self.columns), ("--ignore", self.ignore)):
            if unknown := [name for name in names if name not in known]:
                raise InputError(
                    f"{option} {unknown[0]}: no column of either manifest; `curate show {b.uri}` lists them"
                )
        if self.where is not None:
            for each in (a, b):
                check_expression(self.where, each.schema, "--where")

    def compared(self, a: Manifest, b: Manifest) -> list[str]:
        """Return the columns that are compared."""
        wanted = self.columns or (VERDICTS if self.by == "image" else ())
        return [
            name
            for name in all_columns(a, b)
            if name != self.by and name not in self.ignore and (not wanted or name in wanted)
        ]

    def has_membership(self, a: Manifest, b: Manifest) -> bool:
        """Whether the diff contains every row that one of both keeps and the other does not."""
        has_verdicts = ["keep" in each.schema.names for each in (a, b)]
        return self.where is None and all(has_verdicts) and "keep" in self.compared(a, b)


def all_columns(a: Manifest, b: Manifest) -> list[str]:
    """Return the columns that either manifest has."""
    return list(dict.fromkeys([*a.schema.names, *b.schema.names]))


@dataclass(frozen=True, kw_only=True)
class Diff:
    """What differs, added up, and the first rows by key. `is_proven`: the digests say that nothing was missed.

    `text_scores_compare`: whether the same software made the text scores of both; None if that is not known, or they
    were not compared.
    """

    a: Manifest
    b: Manifest
    comparison: Comparison
    tally: Tally
    first: Sequence[Mapping[str, Any]] = ()
    is_proven: bool = False
    notes: Sequence[str] = ()
    text_scores_compare: bool | None = None

    @property
    def new_columns(self) -> list[str]:
        """Columns that only the second has."""
        return [name for name in self.b.schema.names if name not in self.a.schema.names]

    @property
    def lost_columns(self) -> list[str]:
        """Columns that only the first has."""
        return [name for name in self.a.schema.names if name not in self.b.schema.names]

    @property
    def is_empty(self) -> bool:
        """Whether there are no differences in what was compared."""
        return not (self.tally.rows or self.new_columns or self.lost_columns)

    @property
    def same(self) -> int | None:
        """The number of equal rows in both; None if only some rows were compared."""
        if self.comparison.where is not None:
            return None
        return self.a.rows - sum(self.tally.of(c) for c in (Change.REMOVED, Change.CHANGED, Change.MOVED))


@dataclass(frozen=True, kw_only=True)
class DiffOptions:
    """What to report: the first `limit` rows, all rows in the folder `out` if given, and progress to `say`."""

    limit: int = 20
    out: str | None = None
    say: Say = lambda _: None


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The result of joining the keys."""

    rows: int
    places: Sequence[Sequence[int]]
    """The parts of each manifest that were read."""
    notes: list[str] = field(default_factory=list)

    @property
    def buckets(self) -> int:
        """The number of groups in which the rows are compared, and so the most parts that are written."""
        return max(1, -(-self.rows // ROWS_PER_PART))


def diff(
    engine: Callable[[], Engine], a: Manifest, b: Manifest, comparison: Comparison, options: DiffOptions
) -> Diff:
    """Return the differences from `a` to `b`, and write all of them to `options.out` if given.

    `engine` is called only if rows have to be read. Raises ManifestError when a part is damaged or keys are not
    unique, InputError when `comparison` does not fit the manifests.
    """
    comparison.check(a, b)
    comparer = RowComparer(
        before=Side(schema=a.schema, roots=a.roots),
        after=Side(schema=b.schema, roots=b.roots),
        columns=comparison.compared(a, b),
        by=comparison.by,
    )
    if a.digest == b.digest:
        return _end(Diff(a=a, b=b, comparison=comparison, tally=Tally(), is_proven=True), options.out, [])
    started = engine()
    found = _find(started, a, b, comparison, options.say)
    total, parts = Tally(), []
    first: list[dict[str, Any]] = []
    if found.rows:
        out = PartWriter(uri=options.out, parts=found.buckets) if options.out else None
        writer = DiffWriter(comparer=comparer, out=out, limit=options.limit)
        options.say(f"reading the {found.rows:,} rows that differ")
        for answer in started.map_groups(_whole_rows(started, a, b, comparison, found), "bucket", "m", writer):
            total.add(Tally.from_json(answer["tally"]))
            first = sorted([*first, *answer["first"]], key=itemgetter("key", "change"))[: options.limit]
            parts.append(answer["part"])
    is_proven = _prove(started, a, b, comparison, total)
    made = Diff(
        a=a,
        b=b,
        comparison=comparison,
        tally=total,
        first=first,
        is_proven=is_proven,
        notes=found.notes,
        text_scores_compare=scores_compare(a, b) if COLUMN in comparer.columns else None,
    )
    return _end(made, options.out, [part for part in parts if part])


def _end(made: Diff, out: str | None, parts: Sequence[Mapping[str, Any]]) -> Diff:
    if out is not None:
        found = {"tally": made.tally, "by": made.comparison.by, "is_whole": made.comparison.is_complete}
        commit_diff(DiffSet.between(made.a, made.b, out, parts, **found))
    return made


@dataclass(frozen=True, kw_only=True)
class DiffWriter:
    """Compares the rows of one group, counts the differences and writes them to `out`. It may run in a worker."""

    comparer: RowComparer
    out: PartWriter | None
    limit: int

    def __call__(self, group: pa.Table) -> dict[str, Any]:
        """Return the group's counts (`tally`), its `first` rows, and its `part`."""
        rows = self.comparer(group).sort_by([("key", "ascending"), ("change", "ascending")])
        first = [row_as_json(row) for row in rows.slice(0, self.limit).to_pylist()]
        number = group.column("bucket")[0].as_py()
        part = self.out.write(number, rows) if self.out and rows.num_rows else None
        return {"tally": count_differences(rows, self.comparer).to_json(), "first": first, "part": part}


# --- find rows that may differ, by key and hash


def _find(engine: Engine, a: Manifest, b: Manifest, comparison: Comparison, say: Say) -> _Found:
    """Store the rows that may differ in the table `changes`: `m` (what rows are matched by), and their places."""
    shared = shared_parts(a, b)
    places = [
        [i for i in range(len(each.parts)) if i not in skipped] for each, skipped in zip((a, b), shared, strict=True)
    ]
    if any(shared):
        say(f"{len(shared[0]):,} of {len(a.parts):,} parts are the same in both and need not be read")
    names = comparison.compared(a, b)
    counts = [sum(each.parts[i].rows for i in own) for each, own in zip((a, b), places, strict=True)]
    say(f"joining {counts[0]:,} rows with {counts[1]:,} by {comparison.by}")
    join_rows(engine, (a, b), names, by=comparison.by, where=comparison.where, places=places)
    rows = count_rows(engine, "changes")
    notes: list[str] = []
    if comparison.by == "key" and rows:
        say(f"{rows:,} rows differ; looking in earlier manifests for the reasons of added and removed rows")
        find_reasons(engine, "removed", b, notes)
        find_reasons(engine, "added", a, notes)
    return _Found(rows=rows, places=places, notes=notes)


def shared_parts(a: Manifest, b: Manifest) -> tuple[set[int], set[int]]:
    """Return the positions of the parts of each manifest that have the same digest as a part of the other."""
    if not a.schema.equals(b.schema):
        return set(), set()
    theirs: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for i, part in enumerate(b.parts):
        theirs.setdefault((part.rows, part.lanes), []).append(i)
    ours, others = set(), set()
    for i, part in enumerate(a.parts):
        if places := theirs.get((part.rows, part.lanes)):
            ours.add(i)
            others.add(places.pop())
    return ours, others


# --- read them with all columns


def _whole_rows(engine: Engine, a: Manifest, b: Manifest, comparison: Comparison, found: _Found) -> str:
    """Return SQL for the rows that may differ, in buckets: FLAGS, and all columns of both sides."""
    for view, each, places in zip(("a", "b"), (a, b), found.places, strict=True):
        columns = {f"{view}_{name}": quoted(name) for name in each.schema.names}
        engine.view(f"{view}_whole", each, columns, parts=places)
        engine.keep(
            f"{view}_found",
            f"SELECT w.* FROM {view}_whole w JOIN changes c ON w.part = c.{view}_part AND w.row = c.{view}_row",
        )
    has_why = comparison.by == "key"
    original = "b.b_duplicate_of" if "duplicate_of" in b.schema.names else "r.original"
    why = (
        "CASE WHEN c.b_part IS NULL THEN coalesce(r.why, 'not in its input') "
        "WHEN c.a_part IS NULL THEN coalesce(n.why, 'new') END"
        if has_why
        else f"CASE WHEN c.b_part IS NULL OR c.a_part IS NULL THEN 'no row with its {comparison.by}' END"
    )
    flags = [
        "c.m AS m",
        "c.a_part IS NOT NULL AS has_before",
        "c.b_part IS NOT NULL AS has_after",
        f"{why} AS why",
        f"{'f.key IS NOT NULL' if has_why else '1 = 0'} AS is_new_original",
    ]
    sides = [
        f"{view}.{view}_{name} AS {view}_{name}" for view, each in (("a", a), ("b", b)) for name in each.schema.names
    ]
    joins = (
        "LEFT JOIN a_found a ON a.part = c.a_part AND a.row = c.a_row "
        "LEFT JOIN b_found b ON b.part = c.b_part AND b.row = c.b_row "
    )
    if has_why:
        joins += (
            "LEFT JOIN why_removed r ON r.key = c.key LEFT JOIN why_added n ON n.key = c.key "
            "LEFT JOIN (SELECT key FROM changes WHERE a_part IS NULL) f "
            f"ON f.key = coalesce({original}, r.original) "
        )
    bucket = engine.bucket("c.m", found.buckets)
    return f"SELECT {bucket} AS bucket, {', '.join([*flags, *sides])} FROM changes c {joins}"


# --- proof


def _prove(engine: Engine, a: Manifest, b: Manifest, comparison: Comparison, total: Tally) -> bool:
    """Return whether the digests prove the diff: `a`, minus the rows before, plus those after, is `b`.

    Raises ManifestError when they disprove it.
    """
    if comparison.where is None:
        expected = a.rows - total.of(Change.REMOVED) + total.of(Change.ADDED)
        if expected != b.rows:
            _raise_cause(engine, a, b, comparison)
    if not (comparison.is_complete and a.schema.equals(b.schema)):
        return False
    before, after = combine(_lanes(a)), combine(_lanes(b))
    if not np.array_equal(before - total.lanes_before + total.lanes_after, after):
        _raise_cause(engine, a, b, comparison)
    return True


def _lanes(manifest: Manifest) -> list[Lanes]:
    return [np.array(part.lanes, np.uint64) for part in manifest.parts]


def _raise_cause(engine: Engine, a: Manifest, b: Manifest, comparison: Comparison) -> None:
    """Raise ManifestError with the cause: repeated keys, or rows that differ from the committed ones."""
    for each in (a, b) if comparison.by == "key" else ():
        engine.view("suspects", each, {"key": "key"})
        twice = engine.fetch("SELECT key FROM suspects GROUP BY key HAVING count(*) > 1 ORDER BY key LIMIT 3")
        if keys := twice.column("key").to_pylist():
            raise ManifestError(
                f"{each.uri}: keys are not unique ({', '.join(keys)} …), so rows cannot be matched; "
                f"`curate verify {each.uri}` counts them; make the manifest again"
            )
    raise ManifestError(
        f"{a.uri} or {b.uri}: its rows do not have the committed digest; `curate verify` names the altered part"
    )


def reasons(found: Tally) -> list[tuple[str, str, int]]:
    """Return (change, reason, rows), by change and then the most frequent first."""
    return [
        (str(change), reason, rows)
        for change in Change
        for reason, rows in sorted(Counter(found.reasons.get(str(change), {})).items(), key=lambda r: (-r[1], r[0]))
    ]
