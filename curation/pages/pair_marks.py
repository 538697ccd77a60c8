"""What differs between two pictures that were compared, as paths that a page draws over the small pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation.copies.draw import WHOLE_SHARE, PairMarks, pair_marks
from curation.copies.rendering import FINE_AREA_PIXELS
from curation.pages.copies import Pair, PairKey
from curation.pages.workers import Workers
from curation.pictures.bounded import DecoderFailed, decode_bounded, within_limits
from curation.pictures.decode import DEFAULT_LIMITS, Decoded
from curation.pictures.marks import Quads
from curation.sources.originals import fetch

PAIRS_AT_ONCE = 6
MAX_QUADS = 400


@dataclass(frozen=True, kw_only=True)
class Marked:
    """SVG paths in parts of the sides of both pictures: what the other one shows, and the patches that differ."""

    first_frame: str = ""
    second_frame: str = ""
    first_patches: str = ""
    second_patches: str = ""


def mark_pairs(pairs: Sequence[Pair], *, shards_uri: str | None, workers: Workers) -> dict[PairKey, Marked]:
    """Return the marks of each pair whose pictures can be read, by `Pair.key`.

    Pictures are decoded and compared again in processes of their own; a pair that ends its process has no marks.
    """
    found: dict[PairKey, Marked] = {}
    groups = [pairs[first : first + PAIRS_AT_ONCE] for first in range(0, len(pairs), PAIRS_AT_ONCE)]
    for _, marked in workers.map(_mark, groups, shards_uri):
        found |= marked or {}
    return found


def _mark(pairs: Sequence[Pair], shards_uri: str | None, is_careful: bool) -> dict[PairKey, Marked]:
    rows: Mapping[str, Mapping[str, Any]] = {row["key"]: row for pair in pairs for row in (pair.first, pair.second)}
    ordered = list(rows.values())
    stored = {row["key"]: data for row, (data, _) in zip(ordered, fetch(ordered, shards_uri=shards_uri), strict=True)}
    found: dict[PairKey, Marked] = {}
    for pair in pairs:
        first, second = (_decoded(stored[row["key"]], is_careful) for row in (pair.first, pair.second))
        if first is not None and second is not None and first.rgb is not None and second.rgb is not None:
            found[pair.key] = _paths(pair_marks(first.rgb, second.rgb, pair.evidence), pair.evidence)
    return found


def _decoded(data: bytes | None, is_careful: bool) -> Decoded | None:
    if data is None:
        return None
    try:
        return within_limits(_decode, data, is_retry=is_careful)
    except DecoderFailed:
        return None


def _decode(data: bytes) -> Decoded:
    return decode_bounded(data, DEFAULT_LIMITS, enough_pixels=FINE_AREA_PIXELS)


def _paths(marks: PairMarks, evidence: Mapping[str, Any]) -> Marked:
    return Marked(
        first_frame=svg_path(marks.first_frame) if evidence["share_first"] < WHOLE_SHARE else "",
        second_frame=svg_path(marks.second_frame) if evidence["share_second"] < WHOLE_SHARE else "",
        first_patches=svg_path(marks.first_patches),
        second_patches=svg_path(marks.second_patches),
    )


def svg_path(quads: Quads) -> str:
    """Return the first MAX_QUADS of quads, (N, 4, 2), as the data of one SVG path, three decimals each."""
    inside = quads[:MAX_QUADS].clip(0, 1)
    return "".join("M" + "L".join(f"{x:.3f} {y:.3f}" for x, y in quad) + "Z" for quad in inside.tolist())
