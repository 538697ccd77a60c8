"""Which image represents its cluster: the one order in which an image is better than another."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from manifests.format.schema import Status


class Rank(NamedTuple):
    """The place of an image in the order: of two images, the one with the smaller rank is better.

    No two ranks are equal, because they end in the key. `damage`: 0 for a complete image, 1 for any other.
    """

    damage: int
    negative_area_pixels: int
    negative_size_bytes: int
    key: str


_REASONS = {
    "damage": "it is complete, others are truncated",
    "negative_area_pixels": "it has most pixels",
    "negative_size_bytes": "it has most bytes",
    "key": "its key comes first",
}


def rank(row: Mapping[str, Any]) -> Rank:
    """Return the rank of a row, from its `status`, `width`, `height`, `size` and `key`."""
    return Rank(
        damage=int(row["status"] != Status.OK),
        negative_area_pixels=-(row["width"] or 0) * (row["height"] or 0),
        negative_size_bytes=-(row["size"] or 0),
        key=row["key"],
    )


def rank_columns(rows: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Return the ranks of `rows` as columns, named and ordered as the fields of Rank: the same numbers as `rank`."""
    width, height = (pc.cast(rows.column(side), pa.int64()) for side in ("width", "height"))
    return {
        "damage": pc.cast(pc.not_equal(rows.column("status"), str(Status.OK)), pa.int32()),
        "negative_area_pixels": pc.negate(pc.fill_null(pc.multiply(width, height), 0)),
        "negative_size_bytes": pc.negate(pc.fill_null(rows.column("size"), 0)),
        "key": rows.column("key"),
    }


def why_it_represents(representative: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """Return the first criterion by which `representative` is better than all `others` of its cluster, in words."""
    if not others:
        return "it is alone"
    own, next_best = rank(representative), min(map(rank, others))
    differing = [name for name, a, b in zip(Rank._fields, own, next_best, strict=True) if a != b]
    return _REASONS[differing[0] if differing else "key"]
