"""Compare the pictures of candidate pairs by their pixels, reading each from where the scan found it.

    judge = PixelJudge(DEFAULT_LIMITS)
    for evidence in judge.evidence([(row, other), ...]):
        kind = kind_of(evidence, Strictness(), {"mild", "crop"}) if evidence else None

Rows are mappings with the columns `source`, `member`, `offset`, `size`, `sha256` and `local_points` of a scan, and
`node`, which is the same for rows with the same pixels.
"""

import functools
import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curation.copies.compare_pixels import compare_in_order, inverted, order
from curation.copies.kinds import Evidence
from curation.copies.rendering import BYTES_PER_PIXEL, FINE_AREA_PIXELS, Rendering, renderings
from curation.pictures.bounded import DecoderFailed, within_limits
from curation.pictures.decode import DecodeLimits
from curation.sources.byte_ranges import image_range, in_groups, read_ranges, require_unchanged

_log = logging.getLogger(__name__)

MAX_BYTES_KEPT = 384 << 20
"""Decoded pictures that stay in memory for further pairs."""

PICTURE_BYTES = BYTES_PER_PIXEL * FINE_AREA_PIXELS

Row = Mapping[str, Any]


class PixelJudge:
    """Compares pairs; each picture is read and decoded once while it is kept, those used last, up to MAX_BYTES_KEPT.

    If pairs come sorted by one of their pictures, most need only one more. With `is_retry`, a picture that crashes or
    stalls its decoder equals no other, as one that cannot be decoded; otherwise it ends the process.
    """

    def __init__(self, limits: DecodeLimits, *, is_retry: bool = False) -> None:
        self.limits, self.is_retry = limits, is_retry
        self.kept: OrderedDict[Any, list[Rendering]] = OrderedDict()
        self.kept_bytes = 0

    def evidence(self, pairs: Sequence[tuple[Row, Row]]) -> Iterator[Evidence | None]:
        """Yield what the comparison of each pair finds, in order; None if the pictures have nothing in common.

        Raises BrokenSource when a picture has changed since the scan.
        """
        for found, is_exchanged in self.compared(pairs):
            yield inverted(found) if found is not None and is_exchanged else found

    def compared(self, pairs: Sequence[tuple[Row, Row]]) -> Iterator[tuple[Evidence | None, bool]]:
        """Yield the evidence of each pair, and whether it is that of the second picture in the first.

        The pixels and `sha256` of two pictures decide which of them is compared with the other, whatever their order.
        Raises like `evidence`.
        """
        sizes = [2 * PICTURE_BYTES + first["size"] + second["size"] for first, second in pairs]
        for places in in_groups(range(len(pairs)), sizes, MAX_BYTES_KEPT):
            some = [pairs[place] for place in places]
            opened = self.open([row for pair in some for row in pair])
            for first, second in some:
                images = [opened[row["node"]] for row in (first, second)]
                here, there = ((order(opened[row["node"]]), row["sha256"]) for row in (first, second))
                is_exchanged = there < here
                yield compare_in_order(*(reversed(images) if is_exchanged else images)), is_exchanged

    def open(self, rows: Sequence[Row]) -> Mapping[Any, Sequence[Rendering]]:
        """Return node → renderings of `rows`, reading some bytes at a time.

        Raises BrokenSource when a picture has changed since the scan.
        """
        wanted = {row["node"]: row for row in rows}
        missing = [row for node, row in wanted.items() if node not in self.kept]
        for places in in_groups(range(len(missing)), [row["size"] for row in missing]):
            some = [missing[place] for place in places]
            for row, data in zip(some, read_ranges([image_range(row) for row in some]), strict=True):
                require_unchanged(row, data)
                self.kept[row["node"]] = self._render(row, data)
                self.kept_bytes += self._bytes(row["node"])
        found = {node: self.kept[node] for node in wanted}
        for node in wanted:
            self.kept.move_to_end(node)
        while self.kept_bytes > MAX_BYTES_KEPT:
            node = next(iter(self.kept))
            self.kept_bytes -= self._bytes(node)
            del self.kept[node]
        return found

    def _render(self, row: Row, data: bytes) -> list[Rendering]:
        render = functools.partial(renderings, limits=self.limits, points=row.get("local_points") or b"")
        try:
            return within_limits(render, data, is_retry=self.is_retry)
        except DecoderFailed as e:
            _log.warning("%s: %s: compared with no other picture: it %s", row["source"], row["member"], e)
            return []

    def _bytes(self, node: Any) -> int:
        return sum(each.memory_bytes for each in self.kept[node])
