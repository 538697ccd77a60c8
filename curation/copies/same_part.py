"""Find the first of many pictures that shows the same part of a third picture, without trying them all."""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

MAX_SHIFT = 0.03  # of a side: two pictures show the same part of a third if their maps to it differ by less
_OCTAVE = 0.14  # log of a ratio; maps that differ by MAX_SHIFT have extents within a factor of 1.14
_NEAR = (-1, 0, 1)
_CORNERS = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], float).T

Matrix = NDArray[np.float64]
_Bucket = tuple[bool, int, int, int, int]


class SameParts:
    """Pictures in the order in which they were added, found by the part of a third picture that they show.

    A picture is given by its map: `matrix`, (2, 3) by rows, from it to the third picture in units of their widths and
    heights, and `is_mirrored`. Maps are kept by their extent and place, so that one is compared with a few others.
    """

    def __init__(self) -> None:
        self._maps: list[tuple[int, Matrix]] = []
        self._buckets: dict[_Bucket, list[int]] = defaultdict(list)  # places in _maps

    def add(self, number: int, matrix: Sequence[float], *, is_mirrored: bool) -> None:
        """Add a picture with its number; numbers grow. A map that cannot be inverted is never found."""
        found = _square(matrix)
        if abs(np.linalg.det(found)) < 1e-9:
            return
        centre, octaves = _centre(found), _octaves(found)
        self._buckets[_bucket(is_mirrored, octaves, centre)].append(len(self._maps))
        self._maps.append((number, found))

    def first(self, matrix: Sequence[float], *, is_mirrored: bool) -> int | None:
        """Return the smallest number of those that show the same part: no corner is off by more than MAX_SHIFT."""
        found = _square(matrix)
        if abs(np.linalg.det(found)) < 1e-9:
            return None
        near = sorted(place for bucket in self._around(found, is_mirrored) for place in self._buckets[bucket])
        for place in near:
            number, other = self._maps[place]
            if np.abs(np.linalg.inv(other) @ found @ _CORNERS - _CORNERS).max() <= MAX_SHIFT:
                return number
        return None

    def _around(self, found: Matrix, is_mirrored: bool) -> Iterator[_Bucket]:
        """Yield the buckets that may hold a map to the same part."""
        centre, (wide, high) = _centre(found), _octaves(found)
        for octaves in itertools.product([wide + by for by in _NEAR], [high + by for by in _NEAR]):
            _, _, _, column, row = _bucket(is_mirrored, octaves, centre)
            for place in itertools.product([column + by for by in _NEAR], [row + by for by in _NEAR]):
                if (bucket := (is_mirrored, *octaves, *place)) in self._buckets:
                    yield bucket


def _square(matrix: Sequence[float]) -> Matrix:
    return np.vstack([np.reshape(matrix, (2, 3)), [0, 0, 1]])


def _centre(square: Matrix) -> tuple[float, float]:
    x, y, _ = square @ (0.5, 0.5, 1)
    return float(x), float(y)


def _octaves(square: Matrix) -> tuple[int, int]:
    """Return the extent across and down of the part, in steps of _OCTAVE of its logarithm."""
    wide, high = np.abs(square[:2, :2]).sum(axis=1)
    return math.floor(math.log(wide) / _OCTAVE), math.floor(math.log(high) / _OCTAVE)


def _bucket(is_mirrored: bool, octaves: tuple[int, int], centre: tuple[float, float]) -> _Bucket:
    """Return the bucket of a part. Its steps are so wide that centres of the same part are in neighbouring ones."""
    column, row = (
        math.floor(at / (MAX_SHIFT * math.exp((octave + 1) * _OCTAVE)))
        for at, octave in zip(centre, octaves, strict=True)
    )
    return is_mirrored, *octaves, column, row
