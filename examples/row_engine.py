"""A small text engine as an example: it detects lines as rows of ink and reads nothing.

    PYTHONPATH=examples curate score deduped/ -o scored-by-rows/ --engine row_engine:RowEngine

docs/guides/add-a-filter.md explains it.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from filters.protocol import Boxes, Line, Rgb

VERSION = "1"  # raise it whenever the same picture could get another box
MIN_LINE_ROWS = 3


class RowEngine:
    """Finds horizontal lines of text on flat ground: bands of rows in which brightness often jumps.

    `min_step` is the jump that counts, in grey levels; `min_jumps` the share of a row's pixels that must jump.
    """

    name = "rows"

    def __init__(self, *, min_step: int = 64, min_jumps: float = 0.03) -> None:
        self.version = f"rows-{VERSION}+min_step={min_step}+min_jumps={min_jumps:g}"
        self._min_step = min_step
        self._min_jumps = min_jumps

    def detect(self, pictures: Sequence[Rgb], *, max_area_pixels: int) -> list[Boxes]:
        """Return a box around each band of each picture, in the picture's own pixels."""
        return [self._detect_one(rgb, max_area_pixels) for rgb in pictures]

    def read(self, pictures: Sequence[Rgb], boxes: Sequence[Boxes]) -> list[list[Line]]:
        """Return an unread line for each of the boxes of each picture."""
        return [[Line(text="", confidence=0.0)] * len(mine) for mine in boxes]

    def _detect_one(self, rgb: Rgb, max_area_pixels: int) -> Boxes:
        height, width = rgb.shape[:2]
        every = max(1, math.ceil(math.sqrt(height * width / max_area_pixels)))  # shrunk by skipping pixels
        grey = rgb[::every, ::every].mean(axis=2)
        jumps = np.abs(np.diff(grey, axis=1)) >= self._min_step
        share = jumps.mean(axis=1) if jumps.shape[1] else np.zeros(len(grey))
        quads: list[list[tuple[int, int]]] = []
        scores: list[float] = []
        for first, last in _runs(share >= self._min_jumps):
            columns = np.flatnonzero(jumps[first:last].any(axis=0))
            left, right = int(columns[0]) * every, min(width, int(columns[-1] + 2) * every)
            top, bottom = first * every, min(height, last * every)
            quads.append([(left, top), (right, top), (right, bottom), (left, bottom)])
            scores.append(min(1.0, 5 * float(share[first:last].mean())))
        return Boxes(
            quads=np.array(quads, np.float32).reshape(-1, 4, 2),
            scores=np.array(scores, np.float32),
        )


def _runs(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (first, one past the last) of each run of marked rows that is high enough for a line."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    runs = [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
    return [(first, last) for first, last in runs if last - first >= MIN_LINE_ROWS]
