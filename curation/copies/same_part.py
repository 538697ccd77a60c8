"""Find the first of many pictures that shows the same part of a third picture, without trying them all."""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

MAX_SHIFT = 0.03  # of a side: two pictures show the same part of a third if their maps to it differ by less
_OCTAVE = 0.14  # log of a ratio; maps that differ by MAX_SHIFT have extents within a factor of 1.14
_MIN_DETERMINANT = 1e-9
_NEAR = (-1, 0, 1)
_CORNERS = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], float).T

_Extent = tuple[bool, int, int]  # is_mirrored, and the steps across and down
_Place = tuple[int, int]


class SameParts:
    """Pictures in the order in which they were added, found by the part of a third picture that they show.

    A picture is given by its map: `matrix`, (2, 3) by rows, from it to the third picture in units of their widths and
    heights, and `is_mirrored`. Maps are kept by their extent and place, so that one is compared with few others.
    """

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._inverses = np.empty((1, 2, 3))  # of the maps, with room for more
        self._buckets: dict[_Extent, dict[_Place, list[int]]] = defaultdict(lambda: defaultdict(list))

    def add(self, number: int, matrix: Sequence[float], *, is_mirrored: bool) -> None:
        """Add a picture with its number; numbers grow. A map that cannot be inverted is never found."""
        if not _is_invertible(matrix):
            return
        row, extent = len(self._numbers), _extent(matrix, is_mirrored)
        if row == len(self._inverses):
            self._inverses = np.concatenate([self._inverses, np.empty_like(self._inverses)])
        self._inverses[row] = np.linalg.inv(np.vstack([np.reshape(matrix, (2, 3)), [0, 0, 1]]))[:2]
        self._numbers.append(number)
        self._buckets[extent][_place(matrix, extent)].append(row)

    def first(self, matrix: Sequence[float], *, is_mirrored: bool) -> int | None:
        """Return the smallest number of those that show the same part: no corner is off by more than MAX_SHIFT."""
        if not _is_invertible(matrix):
            return None
        near = np.array([row for bucket in self._around(matrix, is_mirrored) for row in bucket], np.int64)
        there = np.vstack([np.reshape(matrix, (2, 3)) @ _CORNERS, _CORNERS[2]])
        back = (self._inverses[near].reshape(-1, 3) @ there).reshape(-1, 2, 4)
        same = near[np.abs(back - _CORNERS[:2]).max(axis=(1, 2)) <= MAX_SHIFT]
        return self._numbers[same.min()] if len(same) else None

    def _around(self, matrix: Sequence[float], is_mirrored: bool) -> Iterator[list[int]]:
        """Yield the buckets that may hold a map to the same part."""
        _, wide, high = _extent(matrix, is_mirrored)
        for by_wide, by_high in itertools.product(_NEAR, _NEAR):
            extent = is_mirrored, wide + by_wide, high + by_high
            if extent not in self._buckets:
                continue
            buckets = self._buckets[extent]
            column, row = _place(matrix, extent)
            for by_column, by_row in itertools.product(_NEAR, _NEAR):
                if (place := (column + by_column, row + by_row)) in buckets:
                    yield buckets[place]


def _is_invertible(matrix: Sequence[float]) -> bool:
    a, b, _, c, d, _ = matrix
    return abs(a * d - b * c) >= _MIN_DETERMINANT


def _extent(matrix: Sequence[float], is_mirrored: bool) -> _Extent:
    """Return the extent across and down of the part, in steps of _OCTAVE of its logarithm."""
    a, b, _, c, d, _ = matrix
    wide, high = (math.floor(math.log(side) / _OCTAVE) for side in (abs(a) + abs(b), abs(c) + abs(d)))
    return is_mirrored, wide, high


def _place(matrix: Sequence[float], extent: _Extent) -> _Place:
    """Return the centre of a part in steps so wide that centres of the same part are at most one step apart."""
    a, b, x, c, d, y = matrix
    _, wide, high = extent
    return (
        math.floor((a / 2 + b / 2 + x) / (MAX_SHIFT * math.exp((wide + 1) * _OCTAVE))),
        math.floor((c / 2 + d / 2 + y) / (MAX_SHIFT * math.exp((high + 1) * _OCTAVE))),
    )
