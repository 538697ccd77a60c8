"""What each operation makes: the request of a sample, of listed rows, of merged manifests, of a patch."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from curation.takedown.deny_list import DenyList
from jobs.operations.deny_scan import denied_rows
from jobs.operations.derive import Request, derived_from
from manifests import storage
from manifests.compare.changes import side_rows
from manifests.compare.diff_set import DiffPart, DiffSet
from manifests.draw.combining import (
    OnConflict,
    check_mergeable,
    check_patch,
    pick_listed,
    pick_merged,
    pick_unchanged,
    rebased,
    unmatched,
    values_digest,
)
from manifests.draw.sampling import PICKS, Draw, local_condition, pick_sample
from manifests.draw.selectivity import remarks
from manifests.errors import InputError
from manifests.exchange.key_lists import KeyList
from manifests.format.store import Manifest
from manifests.sql.engine import Engine, count_rows

Note = Callable[[str], None]
Options = Mapping[str, Mapping[str, Any]]
"""Storage arguments by protocol, for workers."""


def sample(source: Manifest, draw: Draw, output: str, options: Options, note: Note) -> Request:
    """Return the request of a sample of `source`; `note` is called with what a person should know about it.

    Raises InputError when `draw` does not fit the manifest.
    """
    draw.check(source)
    draw = draw.settled(source)

    def remark(engine: Engine, rows: int) -> None:
        for text in remarks(source, draw, rows, engine):
            note(text)

    how: dict[str, Any] = {"decide": lambda engine: pick_sample(engine, source, draw)}
    if draw.is_local:
        how = {"where": local_condition(draw), "share": 1.0 if draw.fraction is None else draw.fraction}
    return Request(
        about=derived_from([source], "sample", draw.settings),
        sources=[source],
        output=storage.absolute(output),
        options=options,
        remark=remark,
        **how,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listed:
    """Which listed rows to take: values of `by`, or all rows but those.

    With `is_strict`, a listed value that is in no row is an error.
    """

    values: KeyList
    by: str | None = None
    is_inverted: bool = False
    is_strict: bool = False

    @property
    def column(self) -> str:
        """The column whose values are listed."""
        return self.by or self.values.column or "key"

    @property
    def has_names(self) -> bool:
        """Whether nothing says what is listed, so that a text may also be another name of a row than its key."""
        return self.by is None and self.values.column is None


def select(source: Manifest, listed: Listed, output: str, options: Options, note: Note) -> Request:
    """Return the request of the listed rows of `source`; `note` is called with a sentence about unmatched values."""
    column, values = listed.column, listed.values.values

    def decide(engine: Engine) -> None:
        pick_listed(engine, source, column, values, is_inverted=listed.is_inverted, by_names=listed.has_names)
        left = unmatched(engine)
        if left.values:
            sentence = left.sentence(column, listed.values.type)
            if listed.is_strict:
                raise InputError(f"{sentence}; correct the list, or leave out --strict")
            advice = (
                "" if left.values < left.of else "; write them as in the manifest, or name another column with --by"
            )
            note(f"select: {sentence}{advice}")

    settings = {
        "by": "name" if listed.has_names else column,
        "values": len(values),
        "values_sha256": values_digest(values),
    }
    return Request(
        about=derived_from([source], "select", {**settings, **({"is_inverted": True} if listed.is_inverted else {})}),
        sources=[source],
        output=storage.absolute(output),
        decide=decide,
        options=options,
    )


def merge(sources: Sequence[Manifest], on_conflict: OnConflict, output: str, options: Options, note: Note) -> Request:
    """Return the request of one manifest that has each key of `sources` once.

    Raises InputError when they cannot be merged.
    """
    if len(sources) < 2:
        raise InputError("merge: name at least two manifests")
    check_mergeable(sources)

    def decide(engine: Engine) -> None:
        shared, differ = pick_merged(engine, sources, on_conflict)
        if shared:
            note(f"merge: {shared:,} keys are in several manifests, {differ:,} with different rows")
        if left_out := _leave_out_denied(engine, sources):
            note(f"merge: {left_out:,} rows left out: another manifest has their pictures as taken down")

    about = derived_from(sources, "merge", {"on_conflict": str(on_conflict)})
    if any(each.config != sources[0].config for each in sources):
        about = dataclasses.replace(about, config={})
    return Request(about=about, sources=sources, output=storage.absolute(output), decide=decide, options=options)


def _leave_out_denied(engine: Engine, sources: Sequence[Manifest]) -> int:
    """Take the rows out of PICKS whose pictures any of `sources` has as taken down, and return how many there are."""
    denied = DenyList.of(line for each in sources for line in each.taken_down)
    found = [
        (number, part.part, row)
        for number, source in enumerate(sources)
        for part in denied_rows(engine, source, denied)
        for row in part.rows
    ]
    if not found:
        return 0
    kinds = {"source": pa.int32(), "part": pa.int32(), "row": pa.int64()}
    values = zip(*found, strict=True)
    engine.table("denied", pa.table({n: pa.array(v, k) for (n, k), v in zip(kinds.items(), values, strict=True)}))
    engine.keep("merged", f"SELECT source, part, row FROM {PICKS}")
    engine.keep(
        PICKS,
        "SELECT m.source AS source, m.part AS part, m.row AS row FROM merged m WHERE NOT EXISTS "
        "(SELECT 1 FROM denied d WHERE d.source = m.source AND d.part = m.part AND d.row = m.row)",
    )
    return count_rows(engine, "merged") - count_rows(engine, PICKS)


def patch(a: Manifest, diff: DiffSet, output: str, options: Options) -> Request:
    """Return the request that makes B of A and the diff from A to B. Its commit fails unless the digest is B's.

    Raises InputError when the diff is not of A, or not of all rows and columns, or when it adds what A took down.
    """
    check_patch(a, diff)
    b = diff.b
    _require_nothing_taken_down(a, diff)
    shards = {"shards_at": b.shards_uri} if "shard" in b.schema.names else {}
    about = dataclasses.replace(
        derived_from([a], "patch", {"to": b.digest, **shards}),
        stage=b.stage,
        config=b.config,
        software=b.software,
        inputs={"parent": a.digest, "patched": b.digest},
        roots=b.roots,
        funnel=b.funnel,
        taken_down=sorted({*a.taken_down, *b.taken_down}),
        schema=b.schema,
    )
    return Request(
        about=about,
        sources=[a],
        output=storage.absolute(output),
        decide=lambda engine: pick_unchanged(engine, a, _removed_or_replaced(diff)),
        extra={part.name: functools.partial(_rows_after, diff, part) for part in diff.parts},
        rebased=rebased(a, b),
        digest=b.digest,
        options=options,
    )


def _require_nothing_taken_down(a: Manifest, diff: DiffSet) -> None:
    """Raise InputError when the diff adds a row whose picture A has as taken down."""
    denied = DenyList.of(a.taken_down)
    for part in diff.parts if denied else ():
        for batch in _rows_after(diff, part):
            keys = batch.column("key").filter(denied.matches(batch)).to_pylist()
            if keys:
                raise InputError(
                    f"{diff.uri}: adds what was taken down from {a.uri} ({', '.join(keys[:3])}); take it down from "
                    "the other manifest, too, and make the diff again"
                )


def _removed_or_replaced(diff: DiffSet) -> pa.Table:
    """Return the keys of all rows that the diff removes or replaces."""
    keys = pa.schema([("key", pa.string())])
    batches = itertools.chain.from_iterable(map(diff.batches, diff.parts))
    found = [batch.column("before").field("key").filter(batch.column("before").is_valid()) for batch in batches]
    return pa.table([pa.chunked_array(found, pa.string())], schema=keys)


def _rows_after(diff: DiffSet, part: DiffPart) -> Iterator[pa.RecordBatch]:
    """Yield the rows that one part of the diff adds or replaces others with."""
    for batch in diff.batches(part):
        yield from side_rows(pa.Table.from_batches([batch]), "after", diff.b.schema).to_batches()
