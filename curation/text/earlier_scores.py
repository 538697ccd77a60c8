"""Text scores of an earlier run, for rows of the same images: the others are scored as usual."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from manifests.format.schema import COLUMNS, Stage

_SAME = ("sha256", "status", "text_presence", "text_density", "text_kinds")
_SCORES = [field.name for field in COLUMNS[Stage.SCORE]]
NEEDED = ("key", *_SAME, *_SCORES)
AddColumns = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True)
class EarlierScores:
    """Adds the columns of the score stage: those of `earlier` where the image is the same, of `score` elsewhere.

    `earlier` has the columns NEEDED of rows that were scored by the same engine with the same settings. An image is
    the same if its bytes are, and all that the scan measured of it and the score depends on.
    """

    score: AddColumns
    earlier: pa.Table

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return `table` with the columns of the score stage, its rows in their order."""
        before = self.earlier.take(pc.index_in(table.column("key"), value_set=self.earlier.column("key")))
        is_known = pc.and_(pc.is_valid(before.column("text_engine")), pc.is_null(table.column("duplicate_of")))
        for name in _SAME:
            is_known = pc.and_(is_known, _is_same(before.column(name), table.column(name)))
        fresh = self.score(table.filter(pc.invert(is_known)))
        # Rows of `before` are followed by the fresh ones: a row is at its own place, or at that of its fresh score.
        number = pc.subtract(pc.cumulative_sum(pc.cast(pc.invert(is_known), pa.int64())), 1)
        own = pa.chunked_array([pa.array(range(len(table)), pa.int64())])
        places = pc.if_else(is_known, own, pc.add(number, len(table)))
        for field in COLUMNS[Stage.SCORE]:
            both = [*before.column(field.name).chunks, *fresh.column(field.name).cast(field.type).chunks]
            table = table.append_column(field, pa.chunked_array(both, field.type).take(places))
        return table


def _is_same(a: pa.ChunkedArray, b: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether values are equal; two nulls are."""
    both_null = pc.and_(pc.is_null(a), pc.is_null(b))
    return pc.or_(pc.fill_null(pc.equal(a, b.cast(a.type)), False), both_null)
